//! Whole texts in the configuration language, as people write them.

use midge_server::config::MemorySource;
use midge_server::config::lang::{Map, Value, parse_file};

/// A value in a form that is easy to compare: texts in quotes, maps in their order.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", text.to_text()),
        Value::Integer(n) => n.to_string(),
        Value::Float(x) => format!("{x:?}"),
        Value::Bool(b) => b.to_string(),
        Value::Date(text) => format!("<{text}>"),
        Value::Array(nodes) => {
            format!("[{}]", nodes.iter().map(|node| shown(&node.value)).collect::<Vec<_>>().join(" "))
        }
        Value::Map(map) => format!("{{{}}}", entries(map)),
    }
}

fn entries(map: &Map) -> String {
    let list = map.iter().map(|(key, node)| format!("{}={}", key.to_text(), shown(&node.value)));
    list.collect::<Vec<_>>().join(" ")
}

fn parse_from(source: MemorySource) -> String {
    match parse_file("t.conf", &source) {
        Ok(document) => entries(&document.map),
        Err(error) => error.lines().next().unwrap_or_default().to_owned(),
    }
}

fn parse(text: &str) -> String {
    parse_from(MemorySource::new().file("t.conf", text))
}

#[test]
fn blocks_within_blocks() {
    let text = "
        cluster {
          port: 4244

          authorization {
            user: route_user
            password: top_secret
            timeout: 1
          }

          # Routes are active solicited connections.
          // Test both styles of comments
          routes = [
            nats-route://foo:bar@apcera.me:4245
            nats-route://foo:bar@apcera.me:4246
          ]
        }";
    let expected = "cluster={port=4244 authorization={user=\"route_user\" password=\"top_secret\" timeout=1} \
        routes=[\"nats-route://foo:bar@apcera.me:4245\" \"nats-route://foo:bar@apcera.me:4246\"]}";
    assert_eq!(parse(text), expected);
}

#[test]
fn separators_of_every_kind_in_one_text() {
    let text = "foo  {\n  expr = '(true == \"false\")'\n  text = 'This is a multi-line\ntext block.'\n}";
    assert_eq!(
        parse(text),
        "foo={expr=\"(true == \\\"false\\\")\" text=\"This is a multi-line\\ntext block.\"}"
    );
    let text = "foo = { bar: 'x'; baz 22, qux = 1.5\n deep { a { b { c: [1, two, 'three'] } } } }";
    assert_eq!(parse(text), "foo={bar=\"x\" baz=22 qux=1.5 deep={a={b={c=[1 \"two\" \"three\"]}}}}");
    assert_eq!(parse("foo='1'; bar=2.2; baz=true;"), "foo=\"1\" bar=2.2 baz=true");
    assert_eq!(parse("foo = [\n  'a', 'b';\n]").as_str(), parse("foo = [\n  'a', 'b';\n]").as_str());
}

#[test]
fn maps_over_several_lines_with_and_without_separators() {
    for text in [
        "foo = {\n  ip = '127.0.0.1'\n  port = 4242\n}",
        "foo {\n  ip '127.0.0.1'\n  port 4242\n}",
        "foo = {\n  ip: '127.0.0.1',\n  port: 4242,\n}",
        "foo\n{\n\n  ip: '127.0.0.1';\n\n  port: 4242;\n}\n",
    ] {
        assert_eq!(parse(text), "foo={ip=\"127.0.0.1\" port=4242}", "{text}");
    }
    let nested = "foo = {\n  host  {\n  ip    127.0.0.1\n  port  4242\n  }\n}";
    assert_eq!(parse(nested), "foo={host={ip=\"127.0.0.1\" port=4242}}");
    let quoted = "foo = {'bar'='x', \"b z\" = \"y\"\n\t'a.b.c' = 1}";
    assert_eq!(parse(quoted), "foo={bar=\"x\" b z=\"y\" a.b.c=1}");
    let special = "foo = {'bar-1.2.3' = { port:4242 }, 'a*b>c' = 2}";
    assert_eq!(parse(special), "foo={bar-1.2.3={port=4242} a*b>c=2}");
    let twice = "a {\n b {\n  c: 1\n }\n}\n\nd {\n e {\n  f: 2\n }\n}\n";
    assert_eq!(parse(twice), "a={b={c=1}} d={e={f=2}}");
}

#[test]
fn arrays_of_maps() {
    let text = "users = [\n  { user: alice, password: foo }\n  { user: bob,   password: bar }\n]";
    let expected = "users=[{user=\"alice\" password=\"foo\"} {user=\"bob\" password=\"bar\"}]";
    assert_eq!(parse(text), expected);
}

#[test]
fn escapes_beside_text() {
    for (text, expected) in [
        (r"foo = \x62ar", "bar"),
        (r"foo = b\x61r", "bar"),
        (r"foo = ba\x72", "bar"),
        (r"foo = \x62\x61\x72", "bar"),
        (r"foo = \x62\x61r", "bar"),
        (r"foo = b\x61\x72", "bar"),
        (r"foo = \x62a\x72", "bar"),
        (r#"foo = "x\x41\x42z""#, "xABz"),
        (r#"foo = "\\x""#, "\\x"),
        (r"foo = '\x41'", r"\x41"),
        ("foo = ''", ""),
        ("foo = \"\"", ""),
        ("foo = é", "é"),
    ] {
        assert_eq!(parse(text), format!("foo={expected:?}"), "{text}");
    }
}

#[test]
fn bad_hexadecimal_bytes() {
    for text in ["foo = xyz\\x", "foo = xyz\\x\n", "foo = xyz\\x\"", "foo = xyz\\x4", "foo = xyz\\xgg"] {
        let error = parse(text);
        assert!(error.starts_with("Parse error on line "), "{text:?}: {error}");
    }
}

#[test]
fn words_that_look_like_something_else() {
    assert_eq!(parse("foo = \\true"), parse("foo = \\true"));
    assert_eq!(parse("foo = \\x74rue"), "foo=\"true\"", "an escape makes a text of a word");
    assert_eq!(parse("foo = \\x24bar"), "foo=\"$bar\"", "and of a variable");
    for raw in ["bar:baz", "http://localhost:80/x?y=1#z", "a_b-c.d", "/tmp/file", "*", "@x", "1.2.3"] {
        assert_eq!(parse(&format!("foo = {raw}")), format!("foo={raw:?}"));
    }
    assert_eq!(parse("sample = \"a value\" # it ends with a comment"), "sample=\"a value\"");
    assert_eq!(parse("sample = a // it ends with a comment"), "sample=\"a\"");
}

#[test]
fn texts_in_parentheses() {
    assert_eq!(parse("foo (\nfirst\n  second ) third\n)\n"), "foo=\"\\nfirst\\n  second ) third\\n\"");
    assert_eq!(parse("foo (bar\n)"), "foo=\"bar\\n)\"", "without a line end the last parenthesis is text");
    assert!(parse("foo (bar").contains("Unexpected EOF processing block"));
}

#[test]
fn quotes_that_do_not_end() {
    for text in ["foo = \"bar", "foo = 'bar", "\"foo = 1", "'foo = 1", "foo { \"bar: 1 }", "foo { 'bar: 1 }"]
    {
        assert!(parse(text).contains("Unexpected EOF"), "{text}: {}", parse(text));
    }
    for text in ["foo {", "foo { bar: 1", "foo: [1, 2", "foo {{"] {
        let error = parse(text);
        assert!(error.contains("EOF") || error.contains("but got"), "{text}: {error}");
    }
}

#[test]
fn a_key_must_have_a_name() {
    assert!(parse(" = 1").starts_with("Parse error on line 1"));
    assert!(parse(" : 1").starts_with("Parse error on line 1"));
}

#[test]
fn variables_of_the_environment_may_look_like_numbers() {
    let with =
        |value: &str| parse_from(MemorySource::new().file("t.conf", "foo = $VAR").variable("VAR", value));
    assert_eq!(with("22"), "foo=22");
    assert_eq!(with("1G"), "foo=1000000000");
    assert_eq!(with("xyz"), "foo=\"xyz\"");
    assert_eq!(with("3xyz"), "foo=\"3xyz\"");
    assert_eq!(with("3Gyz"), "foo=\"3Gyz\"");
    assert_eq!(with("'3G'"), "foo=\"3G\"");
    assert_eq!(with("\"3xyz\""), "foo=\"3xyz\"");
}

#[test]
fn included_files_may_use_variables_of_their_own() {
    let source = MemorySource::new()
        .file("t.conf", "authorization {\n  include './users.conf'\n  timeout: 0.5\n}")
        .file("users.conf", "PASS: 'secret'\nusers = [{ user: a, password: $PASS }]\n");
    assert_eq!(
        parse_from(source),
        "authorization={PASS=\"secret\" users=[{user=\"a\" password=\"secret\"}] timeout=0.5}"
    );
    let broken = MemorySource::new().file("t.conf", "a { include './no value.conf' }");
    assert!(parse_from(broken).starts_with("error parsing include file"));
    let valueless = MemorySource::new().file("t.conf", "include x.conf").file("x.conf", "foo");
    assert!(parse_from(valueless).contains("config is invalid"));
}

#[test]
fn a_key_used_as_a_variable_stays_in_the_digest() {
    let digest = |text: &str| {
        let source = MemorySource::new().file("t.conf", text);
        parse_file("t.conf", &source).map(|document| document.map.digest())
    };
    let with = digest("PORT: 4222\nport: $PORT");
    assert!(with.is_ok());
    assert_eq!(with, digest("# the same\nPORT: 4222\nport: 4222"));
    assert_ne!(with, digest("port: 4222"), "what only serves as a variable counts");
}

/// Texts on which a lexer may turn in circles.
#[test]
fn odd_texts_end() {
    for text in
        ["A@@Føøøø?˛ø:{øøøø˙˙", "include \"9/�ø�?˛ø:{ø", "{{{{", "[[[[", "((((", "\\", "$", "'", "a=[[[["]
    {
        let first = parse(text);
        assert_eq!(first, parse(text), "{text:?}");
    }
}
