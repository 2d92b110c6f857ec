//! Bytes that nobody meant: reading them ends, and does not panic.

use midge_jsapi::json::{self, Mode};
use midge_jsapi::requests::{self, StreamCreate, StreamRestore};
use midge_jsapi::subjects::{AckSubject, ApiCall, BatchReply, FlowSubject};

/// A generator whose numbers are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn requests_of_any_bytes_are_survived() {
    let mut numbers = Numbers(7);
    let seeds: Vec<String> = include_str!("../data/refused.txt")
        .lines()
        .map(|line| serde_json::from_str::<(String, String, String)>(line).unwrap().1)
        .chain(include_str!("../data/stored_streams.txt").lines().map(str::to_owned))
        .collect();
    for _ in 0..40_000 {
        let mut body = seeds[numbers.below(seeds.len())].clone().into_bytes();
        for _ in 0..=numbers.below(3) {
            let at = numbers.below(body.len() + 1);
            match numbers.below(4) {
                0 => body.truncate(at),
                1 => body.insert(at, numbers.below(256) as u8),
                2 if at < body.len() => body[at] = br#"{}[]",:\u0n-"#[numbers.below(12)],
                _ if at < body.len() => drop(body.remove(at)),
                _ => {}
            }
        }
        let strict = json::decode(&body, Mode::Strict, &mut StreamCreate::default());
        let lenient = json::decode(&body, Mode::Lenient, &mut StreamCreate::default());
        // What the strict reading takes, the lenient one takes as well.
        assert!(strict.is_err() || lenient.is_ok(), "{}", body.escape_ascii());
        let one = json::decode_one(&body, Mode::Lenient, &mut StreamCreate::default());
        assert!(one.is_err() || lenient.is_ok(), "{}", body.escape_ascii());
        // Our syntax is that of any other reader, but for what is no UTF-8 and for what is too large.
        if let Ok(text) = std::str::from_utf8(&body)
            && !text.contains("\\u")
        {
            let other = serde_json::from_str::<serde_json::Value>(text);
            if other.is_ok_and(|value| value.is_object()) {
                let is_syntax =
                    |error: &String| error.contains("invalid character") || error.contains("unexpected");
                assert!(!one.as_ref().is_err_and(is_syntax), "{text} {one:?}");
            }
        }
        let _ = json::decode(&body, Mode::Strict, &mut StreamRestore::default());
        let _ = requests::parse_pull(&body);
        let _ = (requests::is_empty(&body), requests::has_json(&body));
    }
}

#[test]
fn lists_do_not_grow_beyond_what_their_text_justifies() {
    let read = |element: &str, count: usize| {
        let list = vec![element; count].join(",");
        let body = format!("{{\"sources\":[{list}]}}");
        let mut request = StreamCreate::default();
        json::decode(body.as_bytes(), Mode::Strict, &mut request).map(|()| request.config.sources.len())
    };
    assert_eq!(read("{}", 100), Ok(100));
    assert_eq!(read("{}", 100_000), Err("too many elements".to_owned()));
    assert_eq!(read("null", 100_000), Err("too many elements".to_owned()));
    assert_eq!(read(r#"{"name":"a"}"#, 100_000), Ok(100_000));
}

#[test]
fn subjects_of_any_bytes_are_survived() {
    let mut numbers = Numbers(11);
    let words: [&[u8]; 14] = [
        b"$JS",
        b"ACK",
        b"API",
        b"FC",
        b"STREAM",
        b"CONSUMER",
        b"CREATE",
        b"INFO",
        b"1",
        b"",
        b"_",
        b"$FI",
        b"ok",
        b"\xff",
    ];
    let (mut acks, mut calls) = (0, 0);
    for _ in 0..40_000 {
        let mut subject = [&b"$JS.ACK"[..], b"$JS.API", b"$JS.FC", b"x"][numbers.below(4)].to_vec();
        for _ in 0..numbers.below(12) {
            subject.push(b'.');
            let word = if numbers.below(2) == 0 { 8 } else { numbers.below(words.len()) };
            subject.extend_from_slice(words[word]);
        }
        if let Some(ack) = AckSubject::parse(&subject) {
            acks += 1;
            let mut out = Vec::new();
            if ack.account_hash.is_empty() {
                ack.push(&mut out)
            } else {
                ack.push_v2(&mut out)
            }
            assert_eq!(AckSubject::parse(&out), Some(ack));
        }
        calls += usize::from(ApiCall::parse(&subject).is_some());
        let _ = (FlowSubject::parse(&subject), BatchReply::parse(&subject));
    }
    assert!(acks > 50 && calls > 10, "{acks} {calls}");
}
