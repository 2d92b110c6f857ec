//! Direct gets: one message, several in a row, or the last ones of several subjects, each sent as it was published.

use midge_jsapi::headers as names;
use midge_jsapi::requests::MsgGet;
use midge_stdx::clock::Wall;
use midge_stdx::gotime;
use midge_store::stream::{
    Filter, LastQuery, Message, NextQuery, PendingQuery, Step, Store, StoreError, TimeQuery,
};

use super::{Got, Which, has_several, is_absence};
use crate::stream::headers;

/// Subjects that one request may ask for.
pub const MAX_RESULTS: usize = 1024;

/// A request that cannot be served.
pub const EMPTY_REQUEST: &[u8] = b"NATS/1.0 408 Empty Request\r\n\r\n";
/// A request that is no JSON.
pub const MALFORMED_REQUEST: &[u8] = b"NATS/1.0 408 Malformed Request\r\n\r\n";
/// A request that contradicts itself.
pub const BAD_REQUEST: &[u8] = b"NATS/1.0 408 Bad Request\r\n\r\n";
/// There is no such message.
pub const NOT_FOUND: &[u8] = b"NATS/1.0 404 Message Not Found\r\n\r\n";
/// There are no such messages.
pub const NO_RESULTS: &[u8] = b"NATS/1.0 404 No Results\r\n\r\n";
/// There are too many.
pub const TOO_MANY_RESULTS: &[u8] = b"NATS/1.0 413 Too Many Results\r\n\r\n";
/// A newer server is needed.
pub const REQUIRED_API_LEVEL: &[u8] = b"NATS/1.0 412 Required Api Level\r\n\r\n";

/// An answer to a direct get. Its header block was appended to the caller's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A message. Unless it is the last answer, more follow.
    Message {
        /// The message, whose payload is sent.
        message: Message,
        /// Nothing follows.
        last: bool,
    },
    /// A status without payload; nothing follows.
    Status,
    /// Not durable: call again when everything up to this sequence is visible.
    Later(u64),
}

/// A direct get that is being answered.
#[derive(Debug)]
pub struct DirectGet {
    kind: Kind,
    bare: bool,
    /// Bytes after which no further message follows.
    max_bytes: u64,
    sent_bytes: u64,
    /// Messages that may still follow.
    left: u64,
    last_seq: u64,
}

#[derive(Debug)]
enum Kind {
    Single(Which),
    Row {
        next: NextQuery,
        /// The time to begin at, until the sequence is known.
        since: Option<i64>,
        pending: Option<u64>,
        counting: Option<[PendingQuery; 2]>,
    },
    Many {
        /// None when no subject was named that a message could have.
        filter: Option<Filter>,
        min_seq: u64,
        up_to: UpTo,
        query: Option<LastQuery>,
        /// What was found, the last one first.
        found: Option<Vec<u64>>,
    },
}

#[derive(Debug)]
enum UpTo {
    /// Everything that was appended.
    End,
    Seq(u64),
    Before(Wall),
}

impl DirectGet {
    /// Reads a request that was decoded. `subject` is the one in the subject of the request, if it was there; `max_bytes` what the server sends at most when the
    /// request does not say.
    ///
    /// # Errors
    /// The header block of the answer.
    pub fn new(request: &MsgGet, subject: Option<&[u8]>, max_bytes: u64) -> Result<DirectGet, &'static [u8]> {
        let kind = match subject {
            Some(subject) => {
                let plain =
                    MsgGet { no_hdr: request.no_hdr, max_bytes: request.max_bytes, ..MsgGet::default() };
                if *request != plain {
                    return Err(BAD_REQUEST);
                }
                Kind::Single(Which::Last(Filter::one(subject)))
            }
            None => Kind::of(request)?,
        };
        let left = match (&kind, u64::try_from(request.batch)) {
            (Kind::Single(_), _) => 1,
            (_, Ok(batch @ 1..)) => batch,
            // Less than nothing of a row is nothing, and how many there are.
            (Kind::Row { .. }, Err(_)) => 0,
            _ => u64::MAX,
        };
        let bare = request.no_hdr && !matches!(kind, Kind::Many { .. });
        let max_bytes = u64::try_from(request.max_bytes).ok().filter(|max| *max > 0).unwrap_or(max_bytes);
        Ok(DirectGet { kind, bare, max_bytes, sent_bytes: 0, left, last_seq: 0 })
    }

    /// The next answer. `visible` is the highest sequence that others may see.
    pub fn step(
        &mut self,
        store: &mut Store,
        visible: u64,
        stream: &[u8],
        out: &mut Vec<u8>,
    ) -> Step<Answer> {
        let step = match &self.kind {
            Kind::Single(_) => self.single(store, visible, stream, out),
            Kind::Row { .. } => self.row(store, visible, stream, out),
            Kind::Many { .. } => self.many(store, visible, stream, out),
        };
        match step {
            Step::Failed(StoreError::TooMany) => status(TOO_MANY_RESULTS, out),
            Step::Failed(error) => status(format!("NATS/1.0 500 {error}\r\n\r\n").as_bytes(), out),
            step => step,
        }
    }

    fn single(&mut self, store: &mut Store, visible: u64, stream: &[u8], out: &mut Vec<u8>) -> Step<Answer> {
        let Kind::Single(which) = &mut self.kind else { return status(BAD_REQUEST, out) };
        match ready!(which.find(store, visible)) {
            Got::NotFound => status(NOT_FOUND, out),
            Got::Later(seq) => Step::Ready(Answer::Later(seq)),
            Got::Message(message) => {
                if !self.bare {
                    write_headers(&message, stream, None, out);
                }
                Step::Ready(Answer::Message { message, last: true })
            }
        }
    }

    fn row(&mut self, store: &mut Store, visible: u64, stream: &[u8], out: &mut Vec<u8>) -> Step<Answer> {
        let Kind::Row { next, since, pending, counting } = &mut self.kind else {
            return status(BAD_REQUEST, out);
        };
        if let Some(from_ns) = *since {
            next.from = ready!(store.seq_from_time(TimeQuery { from_ns }));
            *since = None;
        }
        let left = match *pending {
            Some(left) => left,
            None => {
                // What is not visible does not count.
                let [all, hidden] = counting.get_or_insert_with(|| {
                    [next.from, visible + 1]
                        .map(|from| PendingQuery::new(next.filter.clone(), from.max(next.from), false))
                });
                let all = ready!(store.pending(all)).count;
                let hidden = ready!(store.pending(hidden)).count;
                *pending.insert(all.saturating_sub(hidden))
            }
        };
        let none_sent = self.last_seq == 0;
        let more = self.left > 0 && self.sent_bytes < self.max_bytes;
        let found =
            if more { ready!(store.next(next)).filter(|message| message.seq <= visible) } else { None };
        match found {
            None if none_sent && more => status(NOT_FOUND, out),
            None => {
                end(left, self.last_seq, None, out);
                Step::Ready(Answer::Status)
            }
            Some(message) => {
                next.from = message.seq + 1;
                let left = left.saturating_sub(1);
                *pending = Some(left);
                Step::Ready(self.send(message, left, stream, out))
            }
        }
    }

    fn send(&mut self, message: Message, pending: u64, stream: &[u8], out: &mut Vec<u8>) -> Answer {
        if !self.bare {
            write_headers(&message, stream, Some((pending, self.last_seq)), out);
        }
        self.left -= 1;
        self.sent_bytes +=
            (message.subject().len() + message.headers().len() + message.payload().len()) as u64;
        self.last_seq = message.seq;
        Answer::Message { message, last: false }
    }

    fn many(&mut self, store: &mut Store, visible: u64, stream: &[u8], out: &mut Vec<u8>) -> Step<Answer> {
        let Kind::Many { filter, min_seq, up_to, query, found } = &mut self.kind else {
            return status(BAD_REQUEST, out);
        };
        let Some(filter) = filter else { return status(NO_RESULTS, out) };
        if let UpTo::Before(time) = up_to {
            let after = ready!(store.seq_from_time(TimeQuery { from_ns: time.0 }));
            *up_to = UpTo::Seq(after.saturating_sub(1));
        }
        if found.is_none() {
            if let UpTo::End = up_to {
                *up_to = UpTo::Seq(store.appended());
            }
            let UpTo::Seq(most) = *up_to else { return status(BAD_REQUEST, out) };
            if most == 0 {
                return status(NO_RESULTS, out);
            }
            let query = query.get_or_insert_with(|| LastQuery::new(filter.clone(), most, MAX_RESULTS));
            let mut seqs = ready!(store.last_seqs(query));
            if seqs.is_empty() {
                return status(NO_RESULTS, out);
            }
            // A page behind the last result is an empty page, not a search without results.
            seqs.retain(|seq| *seq >= *min_seq);
            seqs.reverse();
            *found = Some(seqs);
        }
        let (Some(seqs), UpTo::Seq(most)) = (found, &up_to) else { return status(NO_RESULTS, out) };
        let most = *most;
        if let Some(last) = seqs.first().filter(|last| **last > visible) {
            return Step::Ready(Answer::Later(*last));
        }
        while self.left > 0 && self.sent_bytes < self.max_bytes {
            let Some(seq) = seqs.last().copied() else { break };
            let message = match store.load(seq) {
                Step::Wait => return Step::Wait,
                Step::Ready(message) => message,
                // It went in the meantime.
                Step::Failed(error) if is_absence(&error) => {
                    seqs.pop();
                    continue;
                }
                Step::Failed(error) => return Step::Failed(error),
            };
            seqs.pop();
            let pending = seqs.len() as u64;
            return Step::Ready(self.send(message, pending, stream, out));
        }
        end(seqs.len() as u64, self.last_seq, Some(most), out);
        Step::Ready(Answer::Status)
    }
}

impl Kind {
    fn of(request: &MsgGet) -> Result<Kind, &'static [u8]> {
        let (last, next) = (!request.last_by_subj.is_empty(), !request.next_by_subj.is_empty());
        if has_several(request) {
            let both = request.up_to_seq > 0 && request.up_to_time.is_some();
            if request.multi_last.is_empty() || last || next || both {
                return Err(BAD_REQUEST);
            }
            let mut named = request.multi_last.iter().filter(|subject| !subject.is_empty()).peekable();
            return Ok(Kind::Many {
                filter: named.peek().is_some().then(|| Filter::of(named.map(String::as_bytes))),
                min_seq: request.seq,
                up_to: match request.up_to_time {
                    Some(time) => UpTo::Before(time),
                    None if request.up_to_seq > 0 => UpTo::Seq(request.up_to_seq),
                    None => UpTo::End,
                },
                query: None,
                found: None,
            });
        }
        if request.seq == 0 && !last && !next && request.start_time.is_none() {
            return Err(EMPTY_REQUEST);
        }
        let which = Which::single(request).ok_or(BAD_REQUEST)?;
        if request.batch == 0 {
            return Ok(Kind::Single(which));
        }
        let (next, since) = match which {
            Which::Last(_) => return Err(BAD_REQUEST),
            Which::At(seq) => (NextQuery { filter: Filter::all(), from: seq }, None),
            Which::Next(query) => (query, None),
            Which::Since { filter, from_ns, .. } => (NextQuery { filter, from: 1 }, Some(from_ns)),
        };
        Ok(Kind::Row { next, since, pending: None, counting: None })
    }
}

fn status(block: &[u8], out: &mut Vec<u8>) -> Step<Answer> {
    out.extend_from_slice(block);
    Step::Ready(Answer::Status)
}

fn end(pending: u64, last_seq: u64, up_to: Option<u64>, out: &mut Vec<u8>) {
    let mut number = itoa::Buffer::new();
    out.extend_from_slice(b"NATS/1.0 204 EOB\r\n");
    headers::push(names::NUM_PENDING, number.format(pending).as_bytes(), out);
    headers::push(names::LAST_SEQUENCE, number.format(last_seq).as_bytes(), out);
    if let Some(up_to) = up_to {
        headers::push(names::UP_TO_SEQUENCE, number.format(up_to).as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the header block with which a stored message is sent; `place` is how many follow and which came before.
pub fn write_headers(message: &Message, stream: &[u8], place: Option<(u64, u64)>, out: &mut Vec<u8>) {
    let mut number = itoa::Buffer::new();
    headers::open(message.headers(), out);
    headers::push(names::STREAM, stream, out);
    headers::push(names::SUBJECT, message.subject(), out);
    headers::push(names::SEQUENCE, number.format(message.seq).as_bytes(), out);
    headers::push(names::TIME_STAMP, gotime::rfc3339(Wall(message.ts_ns)).as_bytes(), out);
    if let Some((pending, last_seq)) = place {
        headers::push(names::NUM_PENDING, number.format(pending).as_bytes(), out);
        headers::push(names::LAST_SEQUENCE, number.format(last_seq).as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}
