//! Request bodies and what the Go server said of their JSON; an empty error is a body whose JSON it took.

use midge_jsapi::json::{self, Mode, Object};
use midge_jsapi::requests as ask;

/// How a body is read for a call, as `(error, one value only)`.
fn read<T: Object + Default>(body: &str, one: bool) -> String {
    let mut value = T::default();
    let result = match one {
        true => json::decode_one(body.as_bytes(), Mode::Lenient, &mut value),
        false => json::decode(body.as_bytes(), Mode::Strict, &mut value),
    };
    result.err().unwrap_or_default()
}

#[test]
fn every_body_gets_the_error_that_it_got_there() {
    let mut refused = 0;
    for line in include_str!("../data/refused.txt").lines() {
        let (call, body, error): (String, String, String) = serde_json::from_str(line).unwrap();
        let found = match call.as_str() {
            "STREAM.CREATE" => read::<ask::StreamCreate>(&body, false),
            "STREAM.NAMES" => read::<ask::StreamNames>(&body, false),
            "STREAM.LIST" => read::<ask::StreamList>(&body, false),
            "STREAM.INFO" => read::<ask::StreamInfoRequest>(&body, false),
            "STREAM.PURGE" => read::<ask::StreamPurge>(&body, false),
            "STREAM.MSG.GET" => read::<ask::MsgGet>(&body, false),
            "STREAM.MSG.DELETE" => read::<ask::MsgDelete>(&body, false),
            "STREAM.SNAPSHOT" => read::<ask::StreamSnapshot>(&body, false),
            "STREAM.RESTORE" => read::<ask::StreamRestore>(&body, false),
            "CONSUMER.CREATE" => read::<ask::ConsumerCreate>(&body, false),
            "CONSUMER.NAMES" | "CONSUMER.LIST" => read::<ask::Consumers>(&body, false),
            "CONSUMER.PAUSE" => read::<ask::ConsumerPause>(&body, false),
            "CONSUMER.RESET" => read::<ask::ConsumerReset>(&body, true),
            "CONSUMER.UNPIN" => read::<ask::ConsumerUnpin>(&body, true),
            _ => panic!("{call}"),
        };
        assert_eq!(found, error, "{call} {body}");
        refused += usize::from(!error.is_empty());
    }
    assert!(refused > 200, "{refused}");
}

#[test]
fn a_server_that_is_not_strict_reads_again() {
    let read = |body: &str, is_strict| json::decode_request::<ask::StreamCreate>(body.as_bytes(), is_strict);
    let (request, passed_over) = read(r#"{"name":"S","x":1,"max_msgs":3}"#, false).unwrap();
    assert_eq!((request.config.name.as_str(), request.config.max_msgs), ("S", 3));
    assert_eq!(passed_over.as_deref(), Some(r#"json: unknown field "x""#));
    let (request, passed_over) = read(r#"{"name":"S"}{"name":"T"}"#, false).unwrap();
    assert_eq!((request.config.name.as_str(), passed_over), ("T", None));
    for (body, error) in [
        (r#"{"name":"S","x":1}x"#, "invalid character 'x' after top-level value"),
        (r#"{"name":"S"}{"x":1}"#, "invalid character '{' after top-level value"),
        (r#"{"x":1"#, "unexpected end of JSON input"),
        (r#"{"name":"S","x":1,}"#, "invalid character '}' looking for beginning of object key string"),
        (r#"{"x":2,"retention":"foo"}"#, r#"can not unmarshal "\"foo\"""#),
    ] {
        assert_eq!(read(body, false), Err(error.to_owned()), "{body}");
        assert!(read(body, true).is_err());
    }
    assert_eq!(read("", true), Ok((ask::StreamCreate::default(), None)));
}

#[test]
fn bytes_that_are_no_text_are_shown() {
    for (body, error) in [
        (&b"\xff"[..], r"invalid character '\xff' looking for beginning of value at offset 1"),
        (b"{\xff", r"invalid character '\xff' looking for beginning of object key string at offset 2"),
        (b"{\"name\":\xc3}", r"invalid character '\xc3' looking for beginning of value at offset 9"),
    ] {
        let mut request = ask::StreamCreate::default();
        assert_eq!(json::decode(body, Mode::Strict, &mut request), Err(error.to_owned()));
    }
    let mut request = ask::StreamCreate::default();
    assert_eq!(json::decode(b"{\"name\":\"a\xffb\"}", Mode::Strict, &mut request), Ok(()));
    assert_eq!(request.config.name, "a\u{fffd}b");
}

#[test]
fn depth_has_a_bound() {
    for (opening, offset) in [("[", 10_001), ("{\"a\":", 50_001)] {
        let mut request = ask::StreamCreate::default();
        let body = opening.repeat(10_001);
        let error = json::decode(body.as_bytes(), Mode::Strict, &mut request);
        assert_eq!(error, Err(format!("exceeded max depth at offset {offset}")));
    }
    let body = format!("{{\"x\":{}1{}}}", "[".repeat(9_999), "]".repeat(9_999));
    let mut request = ask::StreamCreate::default();
    assert_eq!(json::decode(body.as_bytes(), Mode::Lenient, &mut request), Ok(()));
}

#[test]
fn later_values_are_read_over_earlier_ones() {
    let mut request = ask::StreamCreate::default();
    let body = br#"
        {"NAME":"first","subjects":["a","b"],"metadata":{"a":"1"},"placement":{"cluster":"c"},"max_age":5}
        {"name":"S","subjects":["x"],"metadata":{"b":null},"placement":{"tags":["t"]},"max_age":null,
         "sources":[{"name":"a","filter_subject":"f"}],"sources":[{"name":"b"}],"pedantic":true}
        null"#;
    assert_eq!(json::decode(body, Mode::Strict, &mut request), Ok(()));
    let config = request.config;
    assert_eq!((config.name.as_str(), config.subjects, config.max_age_ns), ("S", vec!["x".to_owned()], 5));
    let pairs: Vec<_> = config.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(pairs, [("a", "1"), ("b", "")]);
    let placement = config.placement.unwrap();
    assert_eq!((placement.cluster.as_str(), placement.tags), ("c", vec!["t".to_owned()]));
    assert_eq!(config.sources.len(), 1);
    assert_eq!((config.sources[0].name.as_str(), config.sources[0].filter_subject.as_str()), ("b", "f"));
    assert!(request.pedantic);
}

#[test]
fn escapes_are_undone() {
    let mut request = ask::StreamCreate::default();
    let body = br#"{"\u006eame":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83dx\ude00\ud83d\u0041"}"#;
    assert_eq!(json::decode(body, Mode::Strict, &mut request), Ok(()));
    assert_eq!(request.config.name, "\"\\/\u{8}\u{c}\n\r\t\u{e9}\u{1f600}\u{fffd}x\u{fffd}\u{fffd}A");
}

#[test]
fn times_are_read_as_in_go() {
    use midge_stdx::clock::Wall;

    let read = |text: &str| {
        let mut request = ask::ConsumerPause::default();
        let body = format!("{{\"pause_until\":\"{text}\"}}");
        json::decode(body.as_bytes(), Mode::Strict, &mut request).map(|()| request.pause_until)
    };
    for (text, time) in [
        ("1970-01-01T00:00:01Z", Some(Wall(1_000_000_000))),
        ("1970-01-01T1:00:00,5+01:00", Some(Wall(500_000_000))),
        ("1969-12-31T16:00:00.1234567899-08:00", Some(Wall(123_456_789))),
        ("0001-01-01T00:00:00Z", None),
        ("0500-01-01T00:00:00Z", Some(Wall(i64::MIN))),
        ("9999-12-31T23:59:59Z", Some(Wall(i64::MAX))),
        ("2000-02-29T00:00:00+24:60", Some(Wall(951_692_400_000_000_000))),
    ] {
        assert_eq!(read(text), Ok(time), "{text}");
    }
    assert_eq!(
        read("2020-01-01T00:00:00*01:00"),
        Err("parsing time \"2020-01-01T00:00:00*01:00\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"*01:00\" as \"Z07:00\"".to_owned())
    );
}
