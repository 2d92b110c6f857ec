//! Messages of other streams, stored.

use midge_jsapi::headers as names;
use midge_jsapi::stream_config::{StreamSource, SubjectTransform};
use midge_stdx::clock::Now;
use midge_stdx::entropy::Entropy;
use midge_store::stream::{Compact, Filter, NewMessage, PurgeQuery, Step, Store};
use midge_subject::transform::Transform;
use midge_subject::wildcard;

use super::header::SourceHeader;
use crate::stream::headers::{Headers, rewrite};
use crate::stream::publish::{Cx, Incoming, Origin, Verdict};
use crate::stream::rollup::Rollup;
use crate::stream::ttl::Ttl;
use crate::stream::{Chore, Stream, refuse};

/// How subjects are renamed on the way.
#[derive(Clone, Debug, Default)]
pub struct Renaming {
    rules: Vec<(Box<[u8]>, Option<Transform>)>,
}

impl Renaming {
    /// Of a mirror or source whose configuration was checked.
    pub fn new(source: &StreamSource) -> Renaming {
        let rule = |SubjectTransform { src, dest }: &SubjectTransform| {
            let transform = Transform::optional(src.as_bytes(), dest.as_bytes()).ok().flatten();
            let pattern: &[u8] = if src.is_empty() { b">" } else { src.as_bytes() };
            (pattern.into(), transform)
        };
        Renaming { rules: source.subject_transforms.iter().map(rule).collect() }
    }

    /// Appends what becomes of a subject: the first rule that matches counts, and without one it stays.
    pub fn apply(&self, subject: &[u8], entropy: &mut dyn Entropy, out: &mut Vec<u8>) {
        match self.rules.iter().find(|(pattern, _)| wildcard::matches(subject, pattern)) {
            Some((_, Some(transform))) => transform.rewrite(subject, entropy, out),
            Some((_, None)) | None => out.extend_from_slice(subject),
        }
    }
}

/// A message as it was delivered.
#[derive(Clone, Copy, Debug)]
pub struct Delivered<'a> {
    /// Its sequence where it comes from.
    pub seq: u64,
    /// When it was stored there, Unix nanoseconds.
    pub ts_ns: i64,
    /// Its subject there.
    pub subject: &'a [u8],
    /// Its header block.
    pub headers: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
}

/// Demands on the other stream, and its batches, mean nothing here.
fn is_of_the_origin(name: &[u8]) -> bool {
    name.starts_with(names::EXPECTED_PREFIX) || name.starts_with(names::BATCH_PREFIX)
}

/// What the headers of a source say about it: stream, filters and destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    stream: Vec<u8>,
    filters: Vec<u8>,
    destinations: Vec<u8>,
}

impl Origins {
    /// Of a source.
    pub fn new(source: &StreamSource) -> Origins {
        let index = super::index_name(source);
        let mut words = index.split(' ').map(|word| word.as_bytes().to_vec());
        let mut next = || words.next().unwrap_or_default();
        let (stream, filters, destinations) = (next(), next(), next());
        Origins { stream, filters, destinations }
    }
}

impl Stream {
    /// Stores a message of the stream that this one mirrors, with its sequence and time. Sequences that are missing before it are used up. One that is there already
    /// changes nothing.
    pub fn mirror(
        &mut self,
        store: &mut Store,
        message: &Delivered<'_>,
        renaming: &Renaming,
        now: Now,
        entropy: &mut dyn Entropy,
    ) -> Step<Verdict> {
        ready!(self.settle(store));
        let next = store.appended() + 1;
        if message.seq < next {
            return Step::Ready(Verdict::Duplicate { seq: message.seq });
        }
        let (mut block, mut subject) = (Vec::new(), Vec::new());
        rewrite(message.headers, is_of_the_origin, &[], &mut block);
        renaming.apply(message.subject, entropy, &mut subject);
        if let Some(transform) = self.transform.as_ref().filter(|transform| transform.applies_to(&subject)) {
            let mut transformed = Vec::new();
            transform.rewrite(&subject, entropy, &mut transformed);
            subject = transformed;
        }
        let headers = Headers::read(&block);
        let ttl = if self.config.allow_msg_ttl { Ttl::parse(headers.ttl) } else { Ttl::None };
        let new = NewMessage {
            subject: &subject,
            headers: &block,
            payload: message.payload,
            ttl_s: ttl.seconds(),
            scheduled: false,
        };
        let gap = message.seq - next;
        let skipped = if gap > 0 { store.skip_range(next, gap, now, false) } else { Ok(()) };
        let stored =
            skipped.and_then(|()| store.append_at(message.seq, message.ts_ns, now.mono, &new, false));
        let seq = match stored {
            Ok(seq) => seq,
            Err(error) => return Step::Ready(Verdict::Refused(refuse::store(&error))),
        };
        self.last_id.clear();
        self.last_id.extend_from_slice(headers.msg_id.unwrap_or_default());
        if self.config.allow_rollup_hdrs && !self.config.deny_purge {
            match headers.rollup.map(Rollup::parse) {
                Some(Ok(Rollup::All)) => self.chores.push_back(Chore::Compact(Compact::new(seq))),
                Some(Ok(Rollup::Subject)) => {
                    self.chores.push_back(Chore::Purge(PurgeQuery::new(Filter::one(&subject), seq, 0)));
                }
                Some(Err(())) | None => {}
            }
        }
        Step::Ready(Verdict::Stored { seq })
    }

    /// Stores a message of a source, at the next sequence and with a header that says where it came from.
    pub fn source(
        &mut self,
        store: &mut Store,
        message: &Delivered<'_>,
        origins: &Origins,
        identity: &str,
        renaming: &Renaming,
        cx: &mut Cx<'_>,
    ) -> Step<Verdict> {
        let (mut block, mut subject, mut value) = (Vec::new(), Vec::new(), Vec::new());
        let header = SourceHeader {
            stream: &origins.stream,
            seq: message.seq,
            filters: &origins.filters,
            destinations: &origins.destinations,
            subject: message.subject,
            identity: identity.as_bytes(),
        };
        header.write(&mut value);
        let drop = |name: &[u8]| is_of_the_origin(name) || name == names::STREAM_SOURCE;
        rewrite(message.headers, drop, &[(names::STREAM_SOURCE, &value)], &mut block);
        renaming.apply(message.subject, cx.entropy, &mut subject);
        let incoming = Incoming {
            subject: &subject,
            reply: b"",
            headers: &block,
            payload: message.payload,
            origin: Origin::Source,
        };
        self.publish(store, &incoming, cx)
    }
}
