use super::*;

/// The values of a text; of an error the first line.
fn parse(text: &str) -> Result<Vec<(String, Value)>, String> {
    parse_with(MemorySource::new().file("t.conf", text))
}

fn parse_with(source: MemorySource) -> Result<Vec<(String, Value)>, String> {
    parse_file("t.conf", &source)
        .map(|document| document.map.iter().map(|(key, node)| (key.to_text(), node.value.clone())).collect())
        .map_err(|error| error.lines().next().unwrap_or_default().to_owned())
}

fn text(value: &str) -> Value {
    Value::String(Text::new(value.as_bytes().to_vec()))
}

/// Each text is `k` with one value.
fn check_values(cases: &[(&str, Value)]) {
    for (given, expected) in cases {
        let expected = Ok(vec![(String::from("k"), expected.clone())]);
        assert_eq!(parse(given), expected, "{given:?}");
    }
}

fn check_errors(cases: &[(&str, &str)]) {
    for (given, expected) in cases {
        assert_eq!(parse(given), Err((*expected).to_owned()), "{given:?}");
    }
}

#[test]
fn keys_and_separators() {
    check_values(&[
        ("k: v", text("v")),
        ("k = v", text("v")),
        ("k v", text("v")),
        ("k\nv", text("v")),
        ("k:v", text("v")),
        ("'k': v", text("v")),
        ("\"k\" v", text("v")),
        ("{k: v}", text("v")),
        ("{{k: v}}", text("v")),
        ("k: v\n}", text("v")),
        ("\u{2028}k: v", text("v")),
        ("k: 1\nk: v", text("v")),
        ("k: v;", text("v")),
        ("k: v // c", text("v")),
        ("# c\n// d\nk: v # e", text("v")),
        ("k:", text("")),
        ("k: }", text("")),
        ("k: v /\n", text("v")),
    ]);
    let pair = |a: &str, b: &str| Ok(vec![(a.to_owned(), text("1a")), (b.to_owned(), text("2b"))]);
    for (given, expected) in [
        ("a: 1a;b: 2b", pair("a", "b")),
        ("a: 1a,b: 2b", pair("a", "b")),
        ("a: 1a}b: 2b", pair("a", "b")),
        ("a.b: 1a\n'c d' = 2b", pair("a.b", "c d")),
        ("{a: 1a, b: 2b}", pair("a", "b")),
        ("a': 1a\n'': 2b", pair("a'", "")),
        ("a{ 1a\nINCLUDED 2b", pair("a{", "INCLUDED")),
        ("include: 1a\nInclude= 2b", pair("include", "Include")),
    ] {
        assert_eq!(parse(given), expected, "{given:?}");
    }
}

#[test]
fn texts_and_words() {
    check_values(&[
        (r#"k: "a\tb\n\r\"\\\x41""#, text("a\tb\n\r\"\\A")),
        ("k: \"a\nb\"", text("a\nb")),
        ("k: 'a\\t\"b'", text("a\\t\"b")),
        ("k: a\\tb", text("a\tb")),
        ("k: a'", text("a")),
        ("k: a#b", text("a#b")),
        ("k: http://x", text("http://x")),
        ("k: \\x24a", text("$a")),
        ("k: \\x74rue", text("true")),
        ("k: true", Value::Bool(true)),
        ("k: YES", Value::Bool(true)),
        ("k: oN", Value::Bool(true)),
        ("k: false", Value::Bool(false)),
        ("k: No", Value::Bool(false)),
        ("k: off", Value::Bool(false)),
        ("k: 'true'", text("true")),
        ("k: truex", text("truex")),
        ("k: (\n a ) b\n)\n", text("\n a ) b\n")),
        ("k: (\n)\n", text("\n")),
        ("k: (\na\n)", text("\na\n)")),
        ("k: $2a$11$x", text("$2a$11$x")),
        ("k: é", text("é")),
    ]);
}

#[test]
fn numbers() {
    let int = Value::Integer;
    check_values(&[
        ("k: 12", int(12)),
        ("k: -12", int(-12)),
        ("k: 1k", int(1000)),
        ("k: 1K", int(1000)),
        ("k: 1kb", int(1024)),
        ("k: 1ki", int(1024)),
        ("k: -1KiB", int(-1024)),
        ("k: 1m", int(1_000_000)),
        ("k: 2MB", int(2 << 20)),
        ("k: 1g", int(1_000_000_000)),
        ("k: 1gib", int(1 << 30)),
        ("k: 1t", int(1_000_000_000_000)),
        ("k: 1tb", int(1 << 40)),
        ("k: 1p", int(1_000_000_000_000_000)),
        ("k: 1pi", int(1 << 50)),
        ("k: 1e", int(1_000_000_000_000_000_000)),
        ("k: 1eb", int(1 << 60)),
        ("k: -9223372036854775808", int(i64::MIN)),
        ("k: 1.5", Value::Float(1.5)),
        ("k: -1.5", Value::Float(-1.5)),
        ("k: 10s", text("10s")),
        ("k: 12:30", text("12:30")),
        ("k: 1_000", text("1_000")),
        ("k: 10kx", text("10kx")),
        ("k: 1k2", text("1k2")),
        ("k: 1.2.3.4:4222", text("1.2.3.4:4222")),
        ("k: 2026-01-02T03:04:05Z", Value::Date(String::from("2026-01-02T03:04:05Z"))),
        ("k: 2024-02-29T00:00:00Z", Value::Date(String::from("2024-02-29T00:00:00Z"))),
    ]);
    check_errors(&[
        ("k: 1kbb", "integer '1kbb' has an unknown suffix"),
        ("k: 99999999999999999999", "integer '99999999999999999999' is out of the range"),
        ("k: 10e", "integer '10e' is out of the range"),
        ("k: 2026-13-01T00:00:00Z", "expected Zulu formatted DateTime, but got '2026-13-01T00:00:00Z'"),
        ("k: 2023-02-29T00:00:00Z", "expected Zulu formatted DateTime, but got '2023-02-29T00:00:00Z'"),
        ("k: 2026-01-01T24:00:00Z", "expected Zulu formatted DateTime, but got '2026-01-01T24:00:00Z'"),
    ]);
    let long = format!("k: {}.5", "9".repeat(400));
    let expected = format!("float '{}.5' is out of the range", "9".repeat(400));
    check_errors(&[(&long, &expected)]);
}

#[test]
fn containers() {
    let array = |text: &str| match parse(text).map(|entries| entries.into_iter().next()) {
        Ok(Some((_, Value::Array(nodes)))) => nodes.into_iter().map(|node| node.value).collect::<Vec<_>>(),
        other => panic!("{text:?}: {other:?}"),
    };
    let ints = |values: &[i64]| values.iter().map(|value| Value::Integer(*value)).collect::<Vec<_>>();
    assert_eq!(array("k: [1, 2 ]"), ints(&[1, 2]));
    assert_eq!(array("k: [1,2]"), ints(&[1, 2]));
    assert_eq!(array("k: [1\n2\n\n3,]"), ints(&[1, 2, 3]));
    assert_eq!(array("k: [ # c\n 1 // d\n 2, # e\n]"), ints(&[1, 2]));
    assert_eq!(array("k: []"), ints(&[]));
    assert_eq!(array("k: [1m]"), vec![text("1m")]);
    let map = |text: &str| match parse(text).map(|entries| entries.into_iter().next()) {
        Ok(Some((_, Value::Map(map)))) => {
            map.iter().map(|(key, _)| key.to_text()).collect::<Vec<_>>().join(" ")
        }
        other => panic!("{text:?}: {other:?}"),
    };
    assert_eq!(map("k {a: 1, b: 2; c 3\nd = {e: 1}}"), "a b c d");
    assert_eq!(map("k: {'a b': 1, \"c\": 2,}"), "a b c");
    assert_eq!(map("k {}"), "");
    assert_eq!(map("k { # c\n// d\n a: 1 # e\n}"), "a");
    assert_eq!(map("k { /a: 1 }"), "a");
}

#[test]
fn lexer_errors() {
    let top = "a top-level value to end with a new line, comment or EOF";
    let block = "a block-level value to end with a new line, comment or EOF";
    let array = "an array value terminator \",\" or an array terminator \"]\"";
    let map = "a map value terminator \",\" or a map terminator \"}\"";
    let escape = "Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.";
    let cases = [
        ("k: 'x", 1, String::from("Unexpected EOF.")),
        ("/x", 1, String::from("Unexpected EOF.")),
        ("'x", 1, String::from("Unexpected EOF.")),
        (": 1", 1, String::from("Unexpected key separator ':'")),
        ("k {: 1}", 1, String::from("Unexpected key separator ':'.")),
        ("k {]}", 1, String::from("Unexpected array end ']' processing map.")),
        ("k {", 1, String::from("Unexpected EOF processing map.")),
        ("k {a", 1, String::from("Unexpected EOF processing map key.")),
        ("k {'a", 1, String::from("Unexpected EOF processing quoted map key.")),
        ("k {\"a", 1, String::from("Unexpected EOF processing double quoted map key.")),
        ("k: (\n", 2, String::from("Unexpected EOF processing block.")),
        ("k: [,]", 1, String::from("Unexpected array value terminator ','.")),
        ("k: [/a]", 1, String::from("Unexpected array value terminator ','.")),
        ("k {a: ,}", 1, String::from("Unexpected map value terminator \",\".")),
        ("k: a b", 1, format!("Expected {top}, but got 'b' instead.")),
        ("{k: a b}", 1, format!("Expected {block}, but got 'b' instead.")),
        ("{{k: a}\nb}", 2, String::from("Expected a block-level to end with a '}', but got 'b' instead.")),
        ("{k: a", 1, format!("Expected {block}, but got '\0' instead.")),
        ("k: [a b]", 1, format!("Expected {array}, but got 'b' instead.")),
        ("k {a: b c}", 1, format!("Expected {map}, but got 'c' instead.")),
        ("k: .5", 1, String::from("Floats must start with a digit")),
        ("k: -.5", 1, String::from("Floats must start with a digit, not '.'.")),
        ("k: 5.x", 1, String::from("Floats must have a digit after the '.', but got 'x' instead.")),
        ("k: 5.\n", 2, String::from("Floats must have a digit after the '.', but got '\\n' instead.")),
        ("k: -x", 1, String::from("Expected a digit but got 'x'.")),
        ("k: 20-1", 1, String::from("All ISO8601 dates must be in full Zulu form.")),
        ("k: 2020-1x", 1, String::from("Expected digit in ISO8601 datetime, but found 'x' instead.")),
        ("k: 2020-01x", 1, String::from("Expected '-' in ISO8601 datetime, but found 'x' instead.")),
        ("k: \"\\q\"", 1, format!("Invalid escape character 'q'. {escape}")),
        ("k: \\\n", 2, format!("Invalid escape character '\\n'. {escape}")),
        ("k: \\x4\n", 2, String::from("Expected two hexadecimal digits after '\\x', but hit end of line")),
        ("k: \"\\x4\"", 1, String::from("Expected two hexadecimal digits after '\\x', but got '4\"'")),
        ("include [", 1, String::from("Expected include value but found start of an array")),
        ("include {", 1, String::from("Expected include value but found start of a map")),
        ("include (", 1, String::from("Expected include value but found start of a block")),
        ("include -", 1, String::from("Expected include value but found start of a number")),
        ("include \\", 1, String::from("Expected include value but found escape sequence")),
        ("include \n", 2, String::from("Expected include value but found new line")),
        ("include 'x", 1, String::from("Unexpected EOF in quoted include")),
        ("include \"x", 1, String::from("Unexpected EOF in double quoted include")),
    ];
    for (given, line, expected) in &cases {
        let expected = format!("Parse error on line {line}: '{expected}'");
        assert_eq!(parse(given), Err(expected), "{given:?}");
    }
}

#[test]
fn a_key_without_a_value_is_invalid() {
    check_errors(&[
        ("foo", "config is invalid (t.conf:1:3)"),
        ("a: 1\nfoo", "config is invalid (t.conf:2:4)"),
        ("a { b }", "config is invalid (t.conf:1:4)"),
        ("a { b: }", "config is invalid (t.conf:1:4)"),
        ("a: '", "config is invalid (t.conf:1:4)"),
        ("a: [ '", "config is invalid (t.conf:1:6)"),
    ]);
    assert_eq!(parse("}"), Ok(Vec::new()));
}

#[test]
fn variables_come_from_enclosing_maps_then_from_the_environment() {
    let source = |text: &str| {
        MemorySource::new()
            .file("t.conf", text)
            .variable("N", "2k")
            .variable("S", "'a b'")
            .variable("M", "{x: [1m , $N ]}")
            .variable("R", "$N")
            .variable("CYCLE", "$CYCLE2")
            .variable("CYCLE2", "$CYCLE")
            .variable("BAD", "{x")
            .variable("EMPTY", "")
            .variable("MISSING", "$nope")
    };
    let last = |text: &str| {
        parse_with(source(text)).map(|entries| entries.into_iter().last().map(|(_, value)| value))
    };
    for (given, expected) in [
        ("v: 5\nk: $v", Ok(Value::Integer(5))),
        ("N: 5\nk: $N", Ok(Value::Integer(5))),
        ("k: $N", Ok(Value::Integer(2000))),
        ("k: $R", Ok(Value::Integer(2000))),
        ("k: $S", Ok(text("a b"))),
        ("k: $EMPTY", Ok(text(""))),
        ("k: '$N'", Ok(text("$N"))),
        ("k: $v\nv: 5", Err("variable reference for 'v' on line 1 can not be found")),
        ("m {v: 1}\nk: $v", Err("variable reference for 'v' on line 2 can not be found")),
        ("V: 1\nk: $v", Err("variable reference for 'v' on line 2 can not be found")),
        ("k: $", Err("variable reference for '' on line 1 can not be found")),
        ("k: $2b$11$x", Err("variable reference for '2b$11$x' on line 1 can not be found")),
        (
            "k: $BAD",
            Err("variable reference for 'BAD' on line 1 could not be parsed: Parse error on line 1: \
                 'Unexpected EOF processing map key.'"),
        ),
        (
            "k: $MISSING",
            Err("variable reference for 'MISSING' on line 1 could not be parsed: \
                 variable reference for 'nope' on line 1 can not be found"),
        ),
        (
            "k: $CYCLE",
            Err("variable reference for 'CYCLE' on line 1 could not be parsed: \
                 variable reference for 'CYCLE2' on line 1 could not be parsed: \
                 variable reference for 'CYCLE' on line 1 could not be parsed: variable reference cycle for 'CYCLE'"),
        ),
    ] {
        assert_eq!(last(given), expected.map(Some).map_err(str::to_owned), "{given:?}");
    }
    let nested = parse_with(source("v: 1\nk { v: 2, m { a: [$v ] } }")).map(|entries| format!("{entries:?}"));
    assert!(nested.is_ok_and(|text| text.contains("Integer(2)")), "the innermost map wins");
    assert!(
        parse_with(source("k: $M")).is_ok_and(|entries| format!("{entries:?}").contains("Integer(2000)"))
    );
}

#[test]
fn includes_are_files_of_their_own() {
    let source = |text: &str| {
        MemorySource::new()
            .file("t.conf", text)
            .file("sub/a.conf", "v: 1\ninclude './b.conf'\n")
            .file("sub/b.conf", "w: 2")
            .file("sub/sees.conf", "x: $outer")
            .file("sub/bad.conf", "x: .5")
            .file("sub/deep.conf", "include bad.conf")
            .file("self.conf", "include self.conf")
    };
    let keys = |text: &str| {
        parse_with(source(text))
            .map(|entries| entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" "))
    };
    for (given, expected) in [
        ("include sub/a.conf", Ok("v w")),
        ("include \"sub/a.conf\"\nk: $w", Ok("v w k")),
        ("include /sub/a.conf; k: 1", Ok("v w k")),
        ("INCLUDE sub/../sub/a.conf\n", Ok("v w")),
        ("m { include sub/a.conf }", Ok("m")),
        ("v: 5\ninclude sub/a.conf", Ok("v w")),
        (
            "include no.conf",
            Err("error parsing include file 'no.conf', open no.conf: no such file or directory"),
        ),
        (
            "outer: 1\ninclude sub/sees.conf",
            Err(
                "error parsing include file 'sub/sees.conf', variable reference for 'outer' on line 1 can not be found",
            ),
        ),
        (
            "include sub/deep.conf",
            Err("error parsing include file 'sub/deep.conf', error parsing include file 'bad.conf', \
                 Parse error on line 1: 'Floats must start with a digit'"),
        ),
    ] {
        assert_eq!(keys(given), expected.map(str::to_owned).map_err(str::to_owned), "{given:?}");
    }
    let endless = parse_with(source("include self.conf")).expect_err("a file that includes itself");
    assert!(endless.ends_with("files include each other more than 16 levels deep"), "{endless}");
}

#[test]
fn what_multiplies_is_bounded() {
    let nested = format!("k: {}", "[".repeat(200));
    assert_eq!(
        parse(&nested),
        Err(String::from("Parse error on line 1: 'Maps and arrays are nested more than 100 levels deep'"))
    );
    let mut doubling = String::from("a0: [x, y]\n");
    for n in 1..40 {
        let previous = n - 1;
        doubling.push_str(&format!("a{n}: [$a{previous}, $a{previous} ]\n"));
    }
    let error = parse(&doubling).expect_err("values double");
    assert!(error.starts_with("the configuration has more than"), "{error}");
    let mut deepening = String::from("a0: [x]\n");
    for n in 1..120 {
        deepening.push_str(&format!("a{n}: [$a{} ]\n", n - 1));
    }
    let error = parse(&deepening).expect_err("levels add up");
    assert!(error.contains("nested more than 100 levels"), "{error}");
    let huge = MemorySource::new().file("t.conf", vec![b'#'; crate::limits::MAX_FILE_BYTES + 1]);
    let error = parse_with(huge).expect_err("too large");
    assert!(error.starts_with("read t.conf: file is larger than"), "{error}");
}

#[test]
fn positions_count_from_the_line_mark() {
    let source = MemorySource::new().file("t.conf", "a: 1\n  b: 2\n\"c\": [x,\n y ]\nd: \"\\x41\", e: 1\n");
    let document = parse_file("t.conf", &source).expect("it parses");
    let found: Vec<String> = document
        .map
        .iter()
        .map(|(key, node)| format!("{}:{}:{}", key.to_text(), node.at.line, node.at.position))
        .collect();
    assert_eq!(found, ["a:1:0", "b:2:3", "c:3:2", "d:5:1", "e:5:12"]);
    let Some(Value::Array(nodes)) = document.map.iter().nth(2).map(|(_, node)| node.value.clone()) else {
        panic!("an array");
    };
    let found: Vec<(u32, i64)> = nodes.iter().map(|node| (node.at.line, node.at.position)).collect();
    assert_eq!(found, [(3, 7), (4, 2)]);
}

#[test]
fn digests_are_those_of_the_released_server() {
    for (value, expected) in [
        ("1.50", "28e0c89aa1a2ce176827dc8d22b10a07ff5dc08fe30f29505249b35ab736a105"),
        ("-0.0", "a180a70bdb7178913f33c1eab9a2a897687a7c9c5b70dcfcd34cb9a2685f3b6e"),
        ("0.0000001", "e0d314d0af0d2ebac4a5cd304364e885e9d36688ce047944409bf486968ecf3a"),
        ("0.000001", "612d8d30baa2f2fa88012fb5fe51f9e4cb30ad660b302f8da79ee837c32b38d4"),
        ("123456789012345678901234.5", "0e23a1d369634523d23422699e0dc4658b66382a5054672ec2ecc7e872ab7774"),
        ("1000000000000000000000.0", "2885b9a21bef8512e66189fb81a7bc3678d0f6b67091fc68c9805b92ad079f84"),
        ("100000000000000000000.5", "84ba74d545b14a23db9ad260a02f5c7a102ebe25fc092ef2337c6a2030c0e5e6"),
        ("0.00000012345", "5624d8d0ce571e82d694e567fe53016b4206d0aa96ff485343623f6b4f57da30"),
        ("2026-01-02T03:04:05Z", "b87516ea5578ce670d307f33a63b2913c393a76905e4fef5c1218ad43a70212a"),
        ("[1 ,2 ,[3 ,{a: b}]]", "9f00918bffb033fa0e37f49fe75864b7f046ba34f1b6766b5e8e0c1c1c2d378e"),
        (
            "{z: 1, a: {b: c}, \"é\": 2, \"B\": 3}",
            "978e403ae163f837ecdc4a14f65b287f198104075ef2366bc8a45a717bc12f7c",
        ),
        ("-9223372036854775808", "c18d11da1416a9abf8747f07c08bfa2a57291c72da3bd5bd1f714643a07ef3c6"),
        ("1k", "f9e2c01e65c9081a2c37a4d0062121aa702f6606b58f2e0dee656abb2abeba6e"),
        ("3.14159265358979", "25bb88a4e375493333e91340c9f03fb8108a04eb75e5a07d9318b9f0ba3e73f1"),
        ("-2KiB", "de12827ce8e9c06133e3b9d505608cb3e32d317beb41f6f97cb8ba13e1cbf562"),
        ("(x\n)\n", "17cec1b2600df0b602a2c1f3f8a09473e622de7739b7a300e63fa638fe6aaaa8"),
        ("\"a<b>&c\"", "eb69fe9001d39f1b9d069dc5a48f1aa6802ec8b17c54e4a4d642dde7a3f5cafc"),
    ] {
        let text = format!("resolver {{ type: MEM, x: {value}\n}}\n");
        let source = MemorySource::new().file("t.conf", text);
        let digest = parse_file("t.conf", &source).map(|document| document.map.digest());
        assert_eq!(digest, Ok(format!("sha256:{expected}")), "{value}");
    }
    let source = MemorySource::new().file("t.conf", "v: 1\nport: $v");
    let other = MemorySource::new().file("t.conf", "port: 1 # c\nv: 1");
    let digest = |source: &MemorySource| parse_file("t.conf", source).map(|document| document.map.digest());
    assert_eq!(digest(&source), digest(&other), "variables stay in the map, comments and order do not count");
}
