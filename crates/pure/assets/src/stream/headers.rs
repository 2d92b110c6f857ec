//! What the headers of a published message ask of a stream, read in one pass over the block.
//!
//! Names are compared with their case; of several values of a name the first counts.

/// The headers that mean something to a stream. Values are without leading blanks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    /// `Nats-Msg-Id`.
    pub msg_id: Option<&'a [u8]>,
    /// `Nats-Expected-Stream`.
    pub expected_stream: Option<&'a [u8]>,
    /// `Nats-Expected-Last-Sequence`.
    pub expected_last_seq: Option<&'a [u8]>,
    /// `Nats-Expected-Last-Subject-Sequence`.
    pub expected_subject_seq: Option<&'a [u8]>,
    /// `Nats-Expected-Last-Subject-Sequence-Subject`.
    pub expected_subject: Option<&'a [u8]>,
    /// `Nats-Expected-Last-Msg-Id`.
    pub expected_last_id: Option<&'a [u8]>,
    /// `Nats-Rollup`.
    pub rollup: Option<&'a [u8]>,
    /// `Nats-TTL`.
    pub ttl: Option<&'a [u8]>,
    /// `Nats-Incr`.
    pub incr: Option<&'a [u8]>,
    /// `Nats-Counter-Sources`.
    pub counter_sources: Option<&'a [u8]>,
    /// `Nats-Batch-Id`.
    pub batch_id: Option<&'a [u8]>,
    /// `Nats-Batch-Sequence`.
    pub batch_seq: Option<&'a [u8]>,
    /// `Nats-Batch-Commit`.
    pub batch_commit: Option<&'a [u8]>,
    /// `Nats-Schedule`.
    pub schedule: Option<&'a [u8]>,
    /// `Nats-Schedule-Target`.
    pub schedule_target: Option<&'a [u8]>,
    /// `Nats-Schedule-Source`.
    pub schedule_source: Option<&'a [u8]>,
    /// `Nats-Schedule-TTL`.
    pub schedule_ttl: Option<&'a [u8]>,
    /// `Nats-Schedule-Rollup`.
    pub schedule_rollup: Option<&'a [u8]>,
    /// `Nats-Schedule-Time-Zone`.
    pub schedule_zone: Option<&'a [u8]>,
    /// `Nats-Schedule-Next`.
    pub schedule_next: Option<&'a [u8]>,
    /// `Nats-Scheduler`.
    pub scheduler: Option<&'a [u8]>,
    /// `Nats-Stream-Source`.
    pub stream_source: Option<&'a [u8]>,
    /// `Nats-Required-Api-Level`.
    pub required_level: Option<&'a [u8]>,
    /// `Nats-Marker-Reason`.
    pub marker_reason: Option<&'a [u8]>,
    /// `KV-Operation`.
    pub kv_operation: Option<&'a [u8]>,
    /// `Nats-Request-Info`, which is never stored.
    pub request_info: Option<&'a [u8]>,
    /// The first line says more than the version, which is not stored.
    pub has_status: bool,
}

impl<'a> Headers<'a> {
    /// Reads a block; an empty one has no headers.
    pub fn read(block: &'a [u8]) -> Headers<'a> {
        let mut headers = Headers::default();
        let mut lines = Lines { rest: block };
        let Some(first) = lines.next() else { return headers };
        headers.has_status = first != b"NATS/1.0";
        for line in lines {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let (name, value) = line.split_at(colon);
            let Some(place) = headers.place(name) else { continue };
            if place.is_none() {
                *place = Some(blankless(value.get(1..).unwrap_or_default()));
            }
        }
        headers
    }

    fn place(&mut self, name: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        let Some(rest) = name.strip_prefix(b"Nats-") else {
            return (name == b"KV-Operation").then_some(&mut self.kv_operation);
        };
        Some(match rest {
            b"Msg-Id" => &mut self.msg_id,
            b"Expected-Stream" => &mut self.expected_stream,
            b"Expected-Last-Sequence" => &mut self.expected_last_seq,
            b"Expected-Last-Subject-Sequence" => &mut self.expected_subject_seq,
            b"Expected-Last-Subject-Sequence-Subject" => &mut self.expected_subject,
            b"Expected-Last-Msg-Id" => &mut self.expected_last_id,
            b"Rollup" => &mut self.rollup,
            b"TTL" => &mut self.ttl,
            b"Incr" => &mut self.incr,
            b"Counter-Sources" => &mut self.counter_sources,
            b"Batch-Id" => &mut self.batch_id,
            b"Batch-Sequence" => &mut self.batch_seq,
            b"Batch-Commit" => &mut self.batch_commit,
            b"Schedule" => &mut self.schedule,
            b"Schedule-Target" => &mut self.schedule_target,
            b"Schedule-Source" => &mut self.schedule_source,
            b"Schedule-TTL" => &mut self.schedule_ttl,
            b"Schedule-Rollup" => &mut self.schedule_rollup,
            b"Schedule-Time-Zone" => &mut self.schedule_zone,
            b"Schedule-Next" => &mut self.schedule_next,
            b"Scheduler" => &mut self.scheduler,
            b"Stream-Source" => &mut self.stream_source,
            b"Required-Api-Level" => &mut self.required_level,
            b"Marker-Reason" => &mut self.marker_reason,
            b"Request-Info" => &mut self.request_info,
            _ => return None,
        })
    }

    /// Any of the headers that demand a state of the stream.
    pub fn expects(&self) -> bool {
        self.expected_stream.is_some()
            || self.expected_last_seq.is_some()
            || self.expected_subject_seq.is_some()
            || self.expected_subject.is_some()
            || self.expected_last_id.is_some()
    }

    /// The block has something that is not stored.
    pub fn needs_cleaning(&self) -> bool {
        self.has_status || self.request_info.is_some()
    }
}

/// A value without leading blanks.
fn blankless(value: &[u8]) -> &[u8] {
    let blanks = value.iter().take_while(|&&b| b == b' ').count();
    value.get(blanks..).unwrap_or_default()
}

/// A number of a header: decimal digits only. What is none stands for no sequence that exists.
pub fn seq_of(value: &[u8]) -> u64 {
    number(value).unwrap_or(u64::MAX)
}

/// Decimal digits, if there is nothing else and they fit.
pub fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, &b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// The lines of a block without their ends; the empty last one is left out.
pub struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    /// Of a block, its first line included.
    pub fn of(block: &'a [u8]) -> Lines<'a> {
        Lines { rest: block }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        // Lines are short: a searcher for two bytes would cost more than it saves.
        let end = memchr::memchr_iter(b'\n', self.rest)
            .filter_map(|at| at.checked_sub(1))
            .find(|at| self.rest.get(*at) == Some(&b'\r'));
        let (line, rest) = match end {
            Some(at) => (self.rest.get(..at)?, self.rest.get(at + 2..)?),
            None => (self.rest, &[] as &[u8]),
        };
        self.rest = rest;
        (!line.is_empty()).then_some(line)
    }
}

/// Appends the block without those headers for whose names `drop` answers true, and without status; `add` follows. Nothing is appended when no header is left.
pub fn rewrite(block: &[u8], mut drop: impl FnMut(&[u8]) -> bool, add: &[(&[u8], &[u8])], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(VERSION_LINE);
    for line in Lines::of(block).skip(1) {
        let name = line.iter().position(|&b| b == b':').and_then(|at| line.get(..at)).unwrap_or(line);
        if !drop(name) {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
    }
    for (name, value) in add {
        push(name, value, out);
    }
    if out.len() == start + VERSION_LINE.len() {
        out.truncate(start);
    } else {
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends the block with another value for the first header of a name, at its place; without one, at the end.
pub fn replace(block: &[u8], name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(VERSION_LINE);
    let mut done = false;
    for line in Lines::of(block).skip(1) {
        let is_meant = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(b":"));
        if is_meant && !done {
            push(name, value, out);
            done = true;
        } else {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
    }
    if !done {
        push(name, value, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// The first line of a block.
pub const VERSION_LINE: &[u8] = b"NATS/1.0\r\n";

/// Appends `name: value` and the end of the line.
pub fn push(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Appends the block, which may be empty, without its last empty line: more headers may follow, and then an empty line.
pub fn open(block: &[u8], out: &mut Vec<u8>) {
    match block.strip_suffix(b"\r\n") {
        Some(lines) if !lines.is_empty() => out.extend_from_slice(lines),
        _ => out.extend_from_slice(VERSION_LINE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_name_counts_and_case_matters() {
        let block = b"NATS/1.0\r\nNats-Msg-Id:  a b \r\nnats-ttl: 5\r\nNats-Msg-Id: c\r\nNats-Rollup:sub\r\nX: y\r\n\r\n";
        let headers = Headers::read(block);
        assert_eq!(
            (headers.msg_id, headers.ttl, headers.rollup),
            (Some(&b"a b "[..]), None, Some(&b"sub"[..]))
        );
        assert!(!headers.needs_cleaning() && !headers.expects());
        assert_eq!(Headers::read(b""), Headers::default());
        assert!(Headers::read(b"NATS/1.0 503 x\r\n\r\n").has_status);
    }

    #[test]
    fn damaged_blocks_are_read_as_far_as_they_go() {
        for block in [
            &b"NATS/1.0"[..],
            b"NATS/1.0\r\n",
            b"NATS/1.0\r\n:\r\n\r\n",
            b"NATS/1.0\r\nNats-TTL",
            b"\r\n\r\n",
        ] {
            assert_eq!(Headers { has_status: false, ..Headers::read(block) }, Headers::default());
        }
        assert_eq!(Headers::read(b"NATS/1.0\r\nNats-TTL:5").ttl, Some(&b"5"[..]));
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(
            (number(b"012"), number(b""), number(b"+1"), number(b"18446744073709551616")),
            (Some(12), None, None, None)
        );
        assert_eq!(seq_of(b"x"), u64::MAX);
    }

    #[test]
    fn a_rewritten_block_has_no_status_and_ends_as_it_should() {
        let mut out = Vec::new();
        rewrite(b"NATS/1.0 100 x\r\nA: 1\r\nB: 2\r\n\r\n", |name| name == b"A", &[(b"C", b"3")], &mut out);
        assert_eq!(out, b"NATS/1.0\r\nB: 2\r\nC: 3\r\n\r\n");
        out.clear();
        rewrite(b"NATS/1.0\r\nA: 1\r\n\r\n", |_| true, &[], &mut out);
        assert_eq!(out, b"");
        open(b"", &mut out);
        push(b"K", b"v", &mut out);
        out.extend_from_slice(b"\r\n");
        assert_eq!(out, b"NATS/1.0\r\nK: v\r\n\r\n");
    }
}
