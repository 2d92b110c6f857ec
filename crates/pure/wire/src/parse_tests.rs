use super::*;

const RULES: Rules = Rules { max_control_line: 4096, max_payload: 1 << 20, headers: true };

/// One line per operation, in columns; what is wrong or missing stands at the end.
fn run(input: &[u8], rules: &Rules) -> Vec<String> {
    let mut parser = Parser::default();
    let (mut at, mut out) = (0, Vec::new());
    loop {
        let rest = &input[at..];
        if rest.is_empty() {
            return out;
        }
        match parser.next(rest, rules) {
            Step::Op(op, n) => {
                assert!(n > 0 && n <= rest.len());
                out.push(show(&op));
                at += n;
            }
            Step::Skipped(n) => {
                assert!(n > 0);
                at += n;
            }
            Step::More(n) => {
                out.push(format!("more {n}"));
                return out;
            }
            Step::Fault(fault) => {
                out.push(format!("{fault:?}"));
                return out;
            }
        }
    }
}

fn show(op: &Op<'_>) -> String {
    let s = |b: &[u8]| b.escape_ascii().to_string();
    match op {
        Op::Connect(json) => format!(
            "connect {}",
            String::from_utf8_lossy(json).escape_default().to_string().replace("\\\"", "\"")
        ),
        Op::Info(json) => format!("info {}", s(json)),
        Op::Ping => "ping".into(),
        Op::Pong => "pong".into(),
        Op::Nothing => "ok".into(),
        Op::PeerError(text) => format!("err {}", String::from_utf8_lossy(text)),
        Op::Subscribe { subject, queue, sid } => {
            format!("sub {} {} {}", s(subject), queue.map_or("-".into(), s), s(sid))
        }
        Op::Unsubscribe { sid, max } => format!("unsub {} {max:?}", s(sid)),
        Op::Publish(p) => {
            let tail = if p.tail_at > 0 { s(&p.whole[p.tail_at as usize..]) } else { "-".into() };
            let (at, len) = (p.digits.0 as usize, p.digits.1 as usize);
            format!(
                "pub {} {} {} h{} [{}] #{} {tail}",
                s(p.subject),
                if p.reply.is_empty() { "-".into() } else { s(p.reply) },
                if p.has_headers { "hdr" } else { "plain" },
                p.header_len,
                s(p.body()),
                s(&p.whole[at..at + len]),
            )
        }
    }
}

#[track_caller]
fn check(input: &str, want: &[&str]) {
    assert_eq!(run(input.as_bytes(), &RULES), want, "{input:?}");
}

#[test]
fn publishes() {
    check("PUB foo 2\r\nok\r\n", &["pub foo - plain h0 [ok] #2 2\\r\\nok\\r\\n"]);
    check("pub foo r 2\r\nok\r\n", &["pub foo r plain h0 [ok] #2 r 2\\r\\nok\\r\\n"]);
    check("PuB   foo\t r  2 \r\nok\r\n", &["pub foo r plain h0 [ok] #2 -"]);
    check("PUB foo 2\nok\r\n", &["pub foo - plain h0 [ok] #2 -"]);
    check("PUB foo 0\r\n\r\n", &["pub foo - plain h0 [] #0 0\\r\\n\\r\\n"]);
    check("PUB foo 002\r\nok\r\n", &["pub foo - plain h0 [ok] #002 002\\r\\nok\\r\\n"]);
    check("HPUB foo 1 2\r\nok\r\n", &["pub foo - hdr h1 [ok] #2 1 2\\r\\nok\\r\\n"]);
    check("HPUB foo 0 2\r\nok\r\n", &["pub foo - hdr h0 [ok] #2 -"]);
    check("HPUB foo r 2 2\r\nok\r\n", &["pub foo r hdr h2 [ok] #2 r 2 2\\r\\nok\\r\\n"]);
}

#[test]
fn bad_publishes() {
    check("PUB foo\r\n", &["PubArgs"]);
    check("PUB \r\n", &["PubArgs"]);
    check("PUB a b c 2\r\n", &["PubArgs"]);
    check("PUB a b c d e f 2\r\n", &["PubArgs"]);
    check("PUB foo x\r\n", &["PubSize"]);
    check("PUB foo -2\r\n", &["PubSize"]);
    check("PUB foo 0000000002\r\n", &["PubSize"]);
    check("PUB foo 1048577\r\n", &["MaxPayload(1048577)"]);
    check("PUB foo 2\r\nokk", &["UnknownOperation"]);
    check("PUB foo 2\r\nok\r\r", &["UnknownOperation"]);
    check("PUB foo 2\r\nok\n", &["UnknownOperation"]);
    check("HPUB foo 2\r\n", &["HpubArgs"]);
    check("HPUB foo x 2\r\n", &["HpubHeaderSize"]);
    check("HPUB foo 1 x\r\n", &["HpubTotalSize"]);
    check("HPUB foo 3 2\r\n", &["HpubHeaderBeyondTotal"]);
    check("PUBfoo", &["UnknownOperation"]);
    let plain = Rules { headers: false, ..RULES };
    assert_eq!(run(b"HPUB foo 1 2\r\nok\r\n", &plain), ["HeadersNotSupported"]);
}

#[test]
fn subscriptions() {
    check("SUB foo 1\r\nsub foo q 2\nUNSUB 1\r\n", &["sub foo - 1", "sub foo q 2", "unsub 1 None"]);
    check("SUB  foo   1  \r\n", &["sub foo - 1"]);
    check("SUB foo\r\n", &["SubArgs"]);
    check("SUB \r\n", &["SubArgs"]);
    check("SUB a b c d\r\n", &["SubArgs"]);
    check("UNSUB 1 5\r\n", &["unsub 1 Some(5)"]);
    check("UNSUB 1 0\r\nUNSUB 1 -3\r\nUNSUB 1 x\r\n", &["unsub 1 None"; 3]);
    check("UNSUB \r\n", &["UnsubArgs"]);
    check("UNSUB 1 2 3\r\n", &["UnsubArgs"]);
    check("UNSUBX", &["UnknownOperation"]);
}

#[test]
fn bare_words_and_texts() {
    check("PING\r\nping\nPONG\r\n+OK\r\n", &["ping", "ping", "pong", "ok"]);
    check("PING anything at all\r\nPONG\r\n", &["ping", "pong"]);
    check("CONNECT {}\r\nCONNECT{\"a\":1}\n", &["connect {}", "connect {\"a\":1}"]);
    check("INFO  {}\r\n", &["info {}"]);
    check("-ERR 'bye'\r\n", &["err 'bye'"]);
    check("CONNECT\n{}\r\nPING\r\n", &["connect \\n{}", "ping"]);
}

#[test]
fn long_junk_after_a_word_is_not_kept() {
    let junk = format!("PING {}", "x".repeat(100_000));
    let mut parser = Parser::default();
    let Step::Op(Op::Ping, n) = parser.next(junk.as_bytes(), &RULES) else { panic!() };
    assert_eq!(n, junk.len());
    let Step::Skipped(3) = parser.next(b"xyz", &RULES) else { panic!() };
    let Step::Skipped(3) = parser.next(b"x\r\nPONG\r\n", &RULES) else { panic!() };
    assert!(matches!(parser.next(b"PONG\r\n", &RULES), Step::Op(Op::Pong, 6)));
}

#[test]
fn a_wrong_verb_is_noticed_at_its_first_wrong_byte() {
    for bad in [
        "Z", "PX", "PIX", "PUX", "HX", "HM", "HPX", "SX", "UX", "CX", "IX", "+X", "-X", " PING", "\r\n",
        "MSG", "RS",
    ] {
        assert_eq!(run(bad.as_bytes(), &RULES), ["UnknownOperation"], "{bad:?}");
    }
    for start in ["P", "PU", "PUB", "PUB ", "PIN", "H", "HPUB", "S", "UNSU", "CONNEC", "+O", "-ER", "INF"] {
        assert_eq!(run(start.as_bytes(), &RULES), ["more 0"], "{start:?}");
    }
}

#[test]
fn control_lines_have_a_maximum_without_verb_and_line_end() {
    let rules = Rules { max_control_line: 10, ..RULES };
    let long = |n: usize| format!("SUB {} 1\r\n", "a".repeat(n));
    assert_eq!(run(long(8).as_bytes(), &rules), [format!("sub {} - 1", "a".repeat(8))]);
    assert_eq!(run(long(9).as_bytes(), &rules), ["ControlLine"]);
    assert_eq!(run(b"SUB aaaaaaaaaa", &rules), ["more 0"]);
    assert_eq!(run(b"SUB aaaaaaaaaaa", &rules), ["ControlLine"]);
    assert_eq!(run(b"CONNECT {\"aaaaaaaa\"", &rules), ["ControlLine"]);
    assert_eq!(run(b"PUB aaaaaaaaaaa", &rules), ["ControlLine"]);
}

#[test]
fn every_split_gives_the_same_operations() {
    let script: &[u8] =
        b"CONNECT {\"verbose\":false}\r\nPING\r\nSUB foo.* q 12\r\nPUB foo.bar reply 5\r\nhello\r\n\
        HPUB foo.bar 12 17\r\nNATS/1.0\r\n\r\nworld\r\nUNSUB 12 7\r\nPONG\r\n";
    let whole = run(script, &RULES);
    assert_eq!(whole.len(), 7);
    for cut in 1..script.len() {
        let mut parser = Parser::default();
        let (mut at, mut out) = (0, Vec::new());
        for end in [cut, script.len()] {
            loop {
                match parser.next(&script[at..end], &RULES) {
                    Step::Op(op, n) => {
                        out.push(show(&op));
                        at += n;
                    }
                    Step::Skipped(n) => at += n,
                    Step::More(n) => {
                        assert!(n == 0 || at + n > end, "asked for what is there");
                        break;
                    }
                    Step::Fault(fault) => panic!("{fault:?} at {at}, cut {cut}"),
                }
            }
        }
        assert_eq!(out, whole, "cut at {cut}");
    }
}
