//! The operations a client may send.
//!
//! Tolerances follow the reference server: verbs in any case, blanks are runs of space or tab, a line ends at LF with an
//! optional CR before it, a payload must be followed by exactly CR LF. A wrong verb is noticed at its first wrong byte.

use crate::limits::{MAX_ARGS, MAX_SIZE_DIGITS};

/// A message to be published, as slices of the input.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// The whole operation from its verb to the CRLF after the payload.
    pub whole: &'a [u8],
    /// Where the message goes.
    pub subject: &'a [u8],
    /// Where answers go; empty for none.
    pub reply: &'a [u8],
    /// Whether it came as HPUB.
    pub has_headers: bool,
    /// Bytes of the header block at the start of the payload; 0 without.
    pub header_len: u32,
    /// Where the header block and payload start in `whole`; they end two bytes before its end.
    pub payload_at: u32,
    /// Where the bytes start that follow the subject and one blank, when everything from there on is in the form in
    /// which it will be delivered; 0 when the line has to be written anew.
    pub tail_at: u32,
    /// Where the digits of the total size start in `whole`, and how many there are.
    pub digits: (u32, u32),
}

impl<'a> Publish<'a> {
    /// Header block and payload.
    pub fn body(&self) -> &'a [u8] {
        let end = self.whole.len().saturating_sub(2);
        self.whole.get(self.payload_at as usize..end).unwrap_or_default()
    }

    /// The digits of the header size of HPUB: the argument before the total size.
    pub fn header_digits(&self) -> &'a [u8] {
        let before = self.whole.get(..self.digits.0 as usize).unwrap_or_default();
        before.split(|&b| is_blank(b)).rfind(|word| !word.is_empty()).unwrap_or_default()
    }
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub enum Op<'a> {
    /// CONNECT with its JSON text.
    Connect(&'a [u8]),
    /// PING.
    Ping,
    /// PONG.
    Pong,
    /// PUB or HPUB.
    Publish(Publish<'a>),
    /// SUB.
    Subscribe {
        /// What is subscribed to.
        subject: &'a [u8],
        /// The queue group, if any.
        queue: Option<&'a [u8]>,
        /// The client's name for the subscription.
        sid: &'a [u8],
    },
    /// UNSUB.
    Unsubscribe {
        /// The client's name for the subscription.
        sid: &'a [u8],
        /// Messages in total after which it ends; `None` ends it at once.
        max: Option<u64>,
    },
    /// INFO with its JSON text; clients may send it, to no effect.
    Info(&'a [u8]),
    /// A line that means nothing (+OK).
    Nothing,
    /// -ERR with its text: the peer gives up.
    PeerError(&'a [u8]),
}

/// Why a connection's bytes cannot be understood. Blame: the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not a verb.
    UnknownOperation,
    /// A line longer than `max_control_line`.
    ControlLine,
    /// PUB without two or three arguments.
    PubArgs,
    /// PUB with a size that is no number of one to nine digits.
    PubSize,
    /// HPUB without three or four arguments.
    HpubArgs,
    /// HPUB with a bad header size.
    HpubHeaderSize,
    /// HPUB with a bad total size.
    HpubTotalSize,
    /// HPUB whose header is longer than the whole.
    HpubHeaderBeyondTotal,
    /// HPUB on a connection without headers.
    HeadersNotSupported,
    /// SUB without two or three arguments.
    SubArgs,
    /// UNSUB without one or two arguments.
    UnsubArgs,
    /// A payload larger than allowed; the size that was announced.
    MaxPayload(u32),
}

/// What the bytes at the start of the input are.
#[derive(Debug)]
pub enum Step<'a> {
    /// An operation and the number of bytes it took.
    Op(Op<'a>, usize),
    /// Bytes without meaning were skipped; this many.
    Skipped(usize),
    /// The operation is not complete; it will have at least this many bytes (0: not known yet).
    More(usize),
    /// The bytes are wrong.
    Fault(Fault),
}

/// What the parser has to know of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Bytes of a control line, without verb, first blanks and line end.
    pub max_control_line: usize,
    /// Bytes of header and payload; negative for no limit.
    pub max_payload: i64,
    /// Whether HPUB is allowed.
    pub headers: bool,
}

/// The state between calls: only whether the rest of a line is being ignored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parser {
    skipping: bool,
}

#[inline]
fn is_blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// The arguments of a line: where each starts and ends in the input.
struct Args {
    spans: [(usize, usize); MAX_ARGS],
    /// How many there are; more than `MAX_ARGS` are counted, not kept.
    len: usize,
    /// Behind the LF.
    next: usize,
    /// Whether exactly one space stands between arguments and CR LF follows the last.
    canonical: bool,
}

impl Args {
    #[inline]
    fn span(&self, i: usize) -> (usize, usize) {
        self.spans.get(i).copied().unwrap_or((0, 0))
    }
}

enum Line {
    Args(Args),
    More,
    TooLong,
}

/// Splits the line whose arguments start at `start`. Where `cr_splits`, a CR separates as a blank does.
#[inline]
fn split(input: &[u8], start: usize, max: usize, cr_splits: bool) -> Line {
    let mut spans = [(0usize, 0usize); MAX_ARGS];
    let mut len = 0usize;
    let mut canonical = true;
    let mut at = start;
    let mut token = start;
    let Some(rest) = input.get(start..) else { return Line::More };
    for &b in rest {
        if b > b' ' {
            at += 1;
            continue;
        }
        match b {
            // An LF that is the first byte of the arguments is content, as upstream has it.
            b'\n' if at != start => {
                let end = if input.get(at - 1) == Some(&b'\r') { at - 1 } else { at };
                canonical &= end + 1 == at && end != token;
                if end > token {
                    if let Some(slot) = spans.get_mut(len) {
                        *slot = (token, end);
                    }
                    len += 1;
                }
                if end.saturating_sub(start) > max {
                    return Line::TooLong;
                }
                return Line::Args(Args { spans, len, next: at + 1, canonical });
            }
            b' ' | b'\t' => {
                canonical &= b == b' ' && at > token;
                if at > token {
                    if let Some(slot) = spans.get_mut(len) {
                        *slot = (token, at);
                    }
                    len += 1;
                }
                token = at + 1;
            }
            b'\r' if cr_splits && input.get(at + 1).is_some_and(|&b| b != b'\n') => {
                canonical = false;
                if at > token {
                    if let Some(slot) = spans.get_mut(len) {
                        *slot = (token, at);
                    }
                    len += 1;
                }
                token = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if at.saturating_sub(start) > max { Line::TooLong } else { Line::More }
}

/// Decimal digits only, one to nine of them.
#[inline]
pub fn size(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > MAX_SIZE_DIGITS {
        return None;
    }
    let mut n = 0u32;
    for &b in digits {
        if !b.is_ascii_digit() {
            return None;
        }
        n = n * 10 + u32::from(b - b'0');
    }
    Some(n)
}

/// How the input compares with a verb in lower case.
enum Verb {
    Yes,
    Partly,
    No,
}

#[inline]
fn verb(input: &[u8], lower: &[u8]) -> Verb {
    for (i, &want) in lower.iter().enumerate() {
        match input.get(i) {
            Some(&b) if b.to_ascii_lowercase() == want => {}
            Some(_) => return Verb::No,
            None => return Verb::Partly,
        }
    }
    Verb::Yes
}

/// Behind the blanks that follow a verb of `len` bytes: `Err` when no blank follows, `None` when that is not known yet.
#[inline]
fn args_start(input: &[u8], len: usize) -> Result<Option<usize>, ()> {
    match input.get(len) {
        None => return Ok(None),
        Some(&b) if is_blank(b) => {}
        Some(_) => return Err(()),
    }
    Ok(input.iter().skip(len).position(|&b| !is_blank(b)).map(|n| len + n))
}

impl Parser {
    /// What `input` begins with. `input` is everything that was received and not consumed.
    #[inline]
    pub fn next<'a>(&mut self, input: &'a [u8], rules: &Rules) -> Step<'a> {
        if self.skipping {
            return self.skip(input);
        }
        let Some(&first) = input.first() else { return Step::More(0) };
        match first {
            b'P' | b'p' => match input.get(1) {
                Some(b'U' | b'u') => match verb(input, b"pub") {
                    Verb::Yes => publish(input, 3, false, rules),
                    Verb::Partly => Step::More(0),
                    Verb::No => Step::Fault(Fault::UnknownOperation),
                },
                Some(b'I' | b'i') => self.bare(input, b"ping", Op::Ping),
                Some(b'O' | b'o') => self.bare(input, b"pong", Op::Pong),
                None => Step::More(0),
                Some(_) => Step::Fault(Fault::UnknownOperation),
            },
            b'H' | b'h' => match verb(input, b"hpub") {
                Verb::Yes => publish(input, 4, true, rules),
                Verb::Partly => Step::More(0),
                Verb::No => Step::Fault(Fault::UnknownOperation),
            },
            b'S' | b's' => match verb(input, b"sub") {
                Verb::Yes => subscribe(input, rules),
                Verb::Partly => Step::More(0),
                Verb::No => Step::Fault(Fault::UnknownOperation),
            },
            b'U' | b'u' => match verb(input, b"unsub") {
                Verb::Yes => unsubscribe(input, rules),
                Verb::Partly => Step::More(0),
                Verb::No => Step::Fault(Fault::UnknownOperation),
            },
            b'C' | b'c' => text(input, b"connect", rules, Op::Connect),
            b'I' | b'i' => text(input, b"info", rules, Op::Info),
            b'+' => self.bare(input, b"+ok", Op::Nothing),
            b'-' => match verb(input, b"-err") {
                Verb::Yes => peer_error(input, rules),
                Verb::Partly => Step::More(0),
                Verb::No => Step::Fault(Fault::UnknownOperation),
            },
            _ => Step::Fault(Fault::UnknownOperation),
        }
    }

    /// The rest of a line that is ignored however long it is; none of it is kept.
    fn skip<'a>(&mut self, input: &[u8]) -> Step<'a> {
        match memchr::memchr(b'\n', input) {
            Some(at) => {
                self.skipping = false;
                Step::Skipped(at + 1)
            }
            None if input.is_empty() => Step::More(0),
            None => Step::Skipped(input.len()),
        }
    }

    /// A verb after which anything may follow up to LF. It takes effect at the LF.
    fn bare<'a>(&mut self, input: &'a [u8], lower: &[u8], op: Op<'a>) -> Step<'a> {
        match verb(input, lower) {
            Verb::No => return Step::Fault(Fault::UnknownOperation),
            Verb::Partly => return Step::More(0),
            Verb::Yes => {}
        }
        let len = lower.len();
        match input.get(len..) {
            Some([b'\r', b'\n', ..]) => Step::Op(op, len + 2),
            Some([b'\n', ..]) => Step::Op(op, len + 1),
            Some(rest) => match memchr::memchr(b'\n', rest) {
                Some(at) => Step::Op(op, len + at + 1),
                // Junk without end must not be buffered: the verb counts now, and its line is skipped.
                None if rest.len() > crate::limits::MAX_QUOTED => {
                    self.skipping = true;
                    Step::Op(op, input.len())
                }
                None => Step::More(0),
            },
            None => Step::More(0),
        }
    }
}

/// CONNECT and INFO: blanks may be missing, the rest of the line is one argument.
fn text<'a>(input: &'a [u8], lower: &[u8], rules: &Rules, op: fn(&'a [u8]) -> Op<'a>) -> Step<'a> {
    match verb(input, lower) {
        Verb::No => return Step::Fault(Fault::UnknownOperation),
        Verb::Partly => return Step::More(0),
        Verb::Yes => {}
    }
    let start = input.iter().skip(lower.len()).position(|&b| !is_blank(b)).map(|n| lower.len() + n);
    let Some(start) = start else { return Step::More(0) };
    line_text(input, start, rules, op)
}

fn peer_error<'a>(input: &'a [u8], rules: &Rules) -> Step<'a> {
    match args_start(input, 4) {
        Ok(Some(start)) => line_text(input, start, rules, Op::PeerError),
        Ok(None) => Step::More(0),
        Err(()) => Step::Fault(Fault::UnknownOperation),
    }
}

fn line_text<'a>(input: &'a [u8], start: usize, rules: &Rules, op: fn(&'a [u8]) -> Op<'a>) -> Step<'a> {
    let tail = input.get(start + 1..).unwrap_or_default();
    match memchr::memchr(b'\n', tail) {
        Some(at) => {
            let lf = start + 1 + at;
            let end = if input.get(lf - 1) == Some(&b'\r') { lf - 1 } else { lf };
            let arg = input.get(start..end.max(start)).unwrap_or_default();
            if arg.len() > rules.max_control_line {
                return Step::Fault(Fault::ControlLine);
            }
            Step::Op(op(arg), lf + 1)
        }
        None if input.len() - start > rules.max_control_line => Step::Fault(Fault::ControlLine),
        None => Step::More(0),
    }
}

#[inline]
fn line(input: &[u8], verb_len: usize, rules: &Rules, cr_splits: bool) -> Result<Args, Step<'static>> {
    // The common line has exactly one blank; anything else takes the general way.
    let start = match (input.get(verb_len), input.get(verb_len + 1)) {
        (Some(b' '), Some(&b)) if b > b' ' => verb_len + 1,
        _ => match args_start(input, verb_len) {
            Ok(Some(start)) => start,
            Ok(None) => return Err(Step::More(0)),
            Err(()) => return Err(Step::Fault(Fault::UnknownOperation)),
        },
    };
    match split(input, start, rules.max_control_line, cr_splits) {
        Line::Args(args) => Ok(args),
        Line::More => Err(Step::More(0)),
        Line::TooLong => Err(Step::Fault(Fault::ControlLine)),
    }
}

fn slice(input: &[u8], span: (usize, usize)) -> &[u8] {
    input.get(span.0..span.1).unwrap_or_default()
}

/// The end of the token that starts at `at`, when exactly one space follows it.
#[inline]
fn token_end(input: &[u8], at: usize) -> Option<usize> {
    let end = at + input.get(at..)?.iter().position(|&b| b <= b' ')?;
    (end > at && input.get(end) == Some(&b' ')).then_some(end)
}

/// A number that starts at `at`, and where the byte after its digits stands.
#[inline]
fn number(input: &[u8], at: usize) -> Option<(u32, usize)> {
    let mut n = 0u32;
    let mut end = at;
    while let Some(digit) = input.get(end).map(|b| b.wrapping_sub(b'0')).filter(|&d| d <= 9) {
        if end - at == MAX_SIZE_DIGITS {
            return None;
        }
        n = n * 10 + u32::from(digit);
        end += 1;
    }
    (end > at).then_some((n, end))
}

/// PUB and HPUB as clients write them: single spaces, plain numbers, CR LF, the whole message there. Everything else,
/// wrong or merely unusual, is left to [`publish`].
#[inline]
fn common_publish<'a>(input: &'a [u8], verb_len: usize, rules: &Rules) -> Option<Step<'a>> {
    let has_headers = verb_len == 4;
    if input.get(verb_len) != Some(&b' ') {
        return None;
    }
    let start = verb_len + 1;
    let subject_end = token_end(input, start)?;
    let mut reply = (0, 0);
    let mut at = subject_end + 1;
    let (mut first, mut end) = match number(input, at) {
        Some((n, end)) if matches!(input.get(end), Some(b'\r' | b' ')) => (n, end),
        _ => (0, 0),
    };
    // What follows the subject is a reply when it is no number, or when one number too many follows.
    let is_reply = end == 0 || (!has_headers && input.get(end) == Some(&b' '));
    if is_reply || (has_headers && hpub_reply_is_number(input, end)) {
        let reply_end = token_end(input, at)?;
        reply = (at, reply_end);
        at = reply_end + 1;
        (first, end) = number(input, at)?;
    }
    let (mut header_len, mut total, mut digits) = (0, first, (at, end));
    if has_headers {
        if !rules.headers || input.get(end) != Some(&b' ') {
            return None;
        }
        at = end + 1;
        (total, end) = number(input, at)?;
        (header_len, digits) = (first, (at, end));
        if header_len > total || header_len == 0 {
            return None;
        }
    }
    let line_fits = end - start <= rules.max_control_line;
    if input.get(end..end + 2) != Some(b"\r\n")
        || !line_fits
        || (rules.max_payload >= 0 && i64::from(total) > rules.max_payload)
    {
        return None;
    }
    let payload_at = end + 2;
    let after = payload_at + total as usize;
    if input.get(after..after + 2) != Some(b"\r\n") {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "a line and nine digits of payload fit 32 bits")]
    let publish = Publish {
        whole: input.get(..after + 2)?,
        subject: input.get(start..subject_end)?,
        reply: input.get(reply.0..reply.1)?,
        has_headers,
        header_len,
        payload_at: payload_at as u32,
        tail_at: subject_end as u32 + 1,
        digits: (digits.0 as u32, (digits.1 - digits.0) as u32),
    };
    Some(Step::Op(Op::Publish(publish), after + 2))
}

/// Whether three numbers follow the subject of HPUB: the first is then a reply.
#[inline]
fn hpub_reply_is_number(input: &[u8], first_end: usize) -> bool {
    number(input, first_end + 1).is_some_and(|(_, end)| input.get(end) == Some(&b' '))
}

impl<'a> Publish<'a> {
    /// The message that `input` begins with, when its line is the same as this one's and it is there as a whole.
    /// Publishers mostly repeat themselves, and comparing is cheaper than parsing.
    #[inline]
    pub fn repeated(&self, input: &'a [u8]) -> Option<Publish<'a>> {
        let len = self.whole.len();
        let line = self.whole.get(..self.payload_at as usize)?;
        let whole = input.get(..len)?;
        if !whole.starts_with(line) || !whole.ends_with(b"\r\n") {
            return None;
        }
        let start = self.subject.as_ptr().addr() - self.whole.as_ptr().addr();
        let reply = match self.reply {
            [] => &[],
            reply => {
                let at = reply.as_ptr().addr() - self.whole.as_ptr().addr();
                whole.get(at..at + reply.len())?
            }
        };
        Some(Publish { whole, subject: whole.get(start..start + self.subject.len())?, reply, ..*self })
    }
}

/// PUB and HPUB: the sizes are checked before a byte of the payload is waited for.
#[inline]
fn publish<'a>(input: &'a [u8], verb_len: usize, has_headers: bool, rules: &Rules) -> Step<'a> {
    if let Some(step) = common_publish(input, verb_len, rules) {
        return step;
    }
    let args = match line(input, verb_len, rules, false) {
        Ok(args) => args,
        Err(step) => return step,
    };
    let sizes = if has_headers { 2 } else { 1 };
    let reply_given = match args.len.checked_sub(sizes) {
        Some(1) => false,
        Some(2) => true,
        _ => return Step::Fault(if has_headers { Fault::HpubArgs } else { Fault::PubArgs }),
    };
    if has_headers && !rules.headers {
        return Step::Fault(Fault::HeadersNotSupported);
    }
    let total_span = args.span(args.len - 1);
    let mut header_len = 0;
    if has_headers {
        match size(slice(input, args.span(args.len - 2))) {
            Some(n) => header_len = n,
            None => return Step::Fault(Fault::HpubHeaderSize),
        }
    }
    let Some(total) = size(slice(input, total_span)) else {
        return Step::Fault(if has_headers { Fault::HpubTotalSize } else { Fault::PubSize });
    };
    if header_len > total {
        return Step::Fault(Fault::HpubHeaderBeyondTotal);
    }
    if rules.max_payload >= 0 && i64::from(total) > rules.max_payload {
        return Step::Fault(Fault::MaxPayload(total));
    }
    let end = args.next + total as usize;
    match input.get(end..end + 2) {
        Some(b"\r\n") => {}
        Some(_) => return Step::Fault(Fault::UnknownOperation),
        // The byte behind the payload is judged as soon as it is here.
        None if input.get(end).is_some_and(|&b| b != b'\r') => return Step::Fault(Fault::UnknownOperation),
        None => return Step::More(end + 2),
    }
    let subject_span = args.span(0);
    let canonical = args.canonical && (header_len > 0 || !has_headers);
    #[allow(clippy::cast_possible_truncation, reason = "a line and nine digits of payload fit 32 bits")]
    let publish = Publish {
        whole: input.get(..end + 2).unwrap_or_default(),
        subject: slice(input, subject_span),
        reply: if reply_given { slice(input, args.span(1)) } else { &[] },
        has_headers,
        header_len,
        payload_at: args.next as u32,
        tail_at: if canonical { subject_span.1 as u32 + 1 } else { 0 },
        digits: (total_span.0 as u32, (total_span.1 - total_span.0) as u32),
    };
    Step::Op(Op::Publish(publish), end + 2)
}

#[inline]
fn subscribe<'a>(input: &'a [u8], rules: &Rules) -> Step<'a> {
    let args = match line(input, 3, rules, true) {
        Ok(args) => args,
        Err(step) => return step,
    };
    let subject = slice(input, args.span(0));
    match args.len {
        2 => Step::Op(Op::Subscribe { subject, queue: None, sid: slice(input, args.span(1)) }, args.next),
        3 => {
            let queue = Some(slice(input, args.span(1)));
            Step::Op(Op::Subscribe { subject, queue, sid: slice(input, args.span(2)) }, args.next)
        }
        _ => Step::Fault(Fault::SubArgs),
    }
}

#[inline]
fn unsubscribe<'a>(input: &'a [u8], rules: &Rules) -> Step<'a> {
    let args = match line(input, 5, rules, true) {
        Ok(args) => args,
        Err(step) => return step,
    };
    let sid = slice(input, args.span(0));
    match args.len {
        1 => Step::Op(Op::Unsubscribe { sid, max: None }, args.next),
        2 => {
            // What is no positive number ends the subscription at once.
            let max = size(slice(input, args.span(1))).filter(|&n| n > 0).map(u64::from);
            Step::Op(Op::Unsubscribe { sid, max }, args.next)
        }
        _ => Step::Fault(Fault::UnsubArgs),
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
