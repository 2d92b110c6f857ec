//! `Nats-Stream-Source`: where a message came from.
//!
//! ```text
//!  <stream>[:<hash of the API prefix>][:C=<hash of the consumer>] <sequence> <filters> <destinations> <subject> [<identity>]
//! ```
//!
//! Filters and destinations of several transforms are joined by form feeds; `>` stands for none. Older servers wrote the acknowledgement subject of the message, or
//! the stream and the sequence alone.

use midge_store::stream::SourceProgress;

use crate::stream::headers::number;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceHeader<'a> {
    /// The stream, with hashes behind it when it belongs to another account or domain or has a consumer of its own.
    pub stream: &'a [u8],
    /// The sequence there.
    pub seq: u64,
    /// Which subjects were taken.
    pub filters: &'a [u8],
    /// How they were renamed.
    pub destinations: &'a [u8],
    /// The subject there.
    pub subject: &'a [u8],
    /// Which incarnation of the stream.
    pub identity: &'a [u8],
}

impl<'a> SourceHeader<'a> {
    /// Reads any form of it.
    pub fn parse(value: &'a [u8]) -> Option<SourceHeader<'a>> {
        if let Some(ack) = value.strip_prefix(b"$JS.ACK.") {
            return from_ack(ack);
        }
        let mut words = value.split(|&b| b == b' ');
        let stream = words.next().filter(|stream| !stream.is_empty())?;
        let seq = number(words.next()?)?;
        let mut next = || words.next().unwrap_or_default();
        let (filters, destinations, subject, identity) = (next(), next(), next(), next());
        Some(SourceHeader { stream, seq, filters, destinations, subject, identity })
    }

    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        let seq = digits.format(self.seq).as_bytes();
        let or_all = |text: &'a [u8]| if text.is_empty() { b">" } else { text };
        for part in
            [self.stream, b" ", seq, b" ", or_all(self.filters), b" ", or_all(self.destinations), b" "]
        {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(self.subject);
        if !self.identity.is_empty() {
            out.push(b' ');
            out.extend_from_slice(self.identity);
        }
    }

    /// The name under which the progress of this source is kept.
    pub fn index_name(&self) -> Vec<u8> {
        if self.filters.is_empty() {
            return self.stream.to_vec();
        }
        [self.stream, self.filters, self.destinations].join(&b' ')
    }
}

/// `<stream>.<consumer>.<deliveries>.<sequence>…`, or with domain and account before it.
fn from_ack(ack: &[u8]) -> Option<SourceHeader<'_>> {
    let words: Vec<&[u8]> = ack.split(|&b| b == b'.').take(12).collect();
    let skip = if words.len() > 8 { 2 } else { 0 };
    let (stream, seq) = (words.get(skip)?, number(words.get(skip + 3)?)?);
    Some(SourceHeader { stream, seq, filters: b"", destinations: b"", subject: b"", identity: b"" })
}

/// How far a source was read when it gave a message with this header.
pub fn progress(value: &[u8]) -> Option<SourceProgress> {
    let header = SourceHeader::parse(value)?;
    Some(SourceProgress {
        index_name: header.index_name().into(),
        seq: header.seq,
        identity: header.identity.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_the_newest_written() {
        let text = b"ORDERS:abcdefgh 17 a.>\x0cb.> x.>\x0c> a.1 Id12Id34";
        let header = SourceHeader::parse(text).unwrap();
        assert_eq!(
            (header.stream, header.seq, header.subject, header.identity),
            (&b"ORDERS:abcdefgh"[..], 17, &b"a.1"[..], &b"Id12Id34"[..])
        );
        let mut out = Vec::new();
        header.write(&mut out);
        assert_eq!(out, text);
        assert_eq!(header.index_name(), b"ORDERS:abcdefgh a.>\x0cb.> x.>\x0c>");
        let old = SourceHeader::parse(b"S 5").unwrap();
        assert_eq!((old.stream, old.seq, old.index_name()), (&b"S"[..], 5, b"S".to_vec()));
        for ack in ["$JS.ACK.S.c.1.5.6.7.0", "$JS.ACK._.hash.S.c.1.5.6.7.0"] {
            assert_eq!(
                SourceHeader::parse(ack.as_bytes()).map(|header| (header.stream, header.seq)),
                Some((&b"S"[..], 5))
            );
        }
        for bad in ["", " 5", "S", "S x", "$JS.ACK.S", "$JS.ACK.a.b.c.d.e"] {
            assert_eq!(SourceHeader::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
