//! The client protocol: however the bytes are cut, the operations are the same, and no offset leaves the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_wire::parse::{Op, Parser, Rules, Step};

const RULES: Rules = Rules { max_control_line: 256, max_payload: 1024, headers: true };

/// One text per operation; `stops` says where reads end.
fn operations(input: &[u8], stops: &[usize]) -> Vec<String> {
    let (mut parser, mut at, mut out) = (Parser::default(), 0, Vec::new());
    for &end in stops {
        loop {
            match parser.next(&input[at..end], &RULES) {
                Step::Op(op, taken) => {
                    assert!(taken > 0 && taken <= end - at);
                    out.push(match op {
                        Op::Publish(p) => {
                            assert!(p.body().len() >= p.header_len as usize);
                            assert!(p.whole.ends_with(b"\r\n") && p.tail_at as usize <= p.whole.len());
                            if let Some(again) = p.repeated(p.whole) {
                                assert_eq!((again.subject, again.body()), (p.subject, p.body()));
                            }
                            format!("pub {:?} {:?} {:?} {}", p.subject, p.reply, p.body(), p.header_len)
                        }
                        other => format!("{other:?}"),
                    });
                    at += taken;
                }
                Step::Skipped(taken) => {
                    assert!(taken > 0 && taken <= end - at);
                    at += taken;
                }
                Step::More(need) => {
                    assert!(need == 0 || need > end - at, "asks for what is there");
                    break;
                }
                Step::Fault(fault) => {
                    out.push(format!("{fault:?}"));
                    return out;
                }
            }
        }
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, input)) = data.split_first() else { return };
    let whole = operations(input, &[input.len()]);
    let middle = usize::from(cut).min(input.len());
    let cut = operations(input, &[middle, input.len()]);
    // A bare CR inside a line and the length check at the end of a read depend on where reads end.
    if !input.contains(&b'\r') || whole == cut {
        return;
    }
    let bare_cr = input.windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n');
    let long = input.split(|&b| b == b'\n').any(|line| line.len() > 32);
    assert!(bare_cr || long, "{whole:?} or {cut:?}");
});
