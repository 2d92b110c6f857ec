//! The subjects of JetStream: those of the API, of acknowledgements, of flow control, of copies.

mod ack;
mod api;
mod batch;

use midge_stdx::clock::Wall;
use midge_stdx::gotime;
use sha2::{Digest, Sha256};

pub use ack::{AckSubject, FlowSubject};
pub use api::ApiCall;
pub use batch::{BatchOp, BatchReply, GapRule};

/// What the subjects of the API begin with.
pub const API_PREFIX: &str = "$JS.API.";
/// Every subject of the API.
pub const API_ALL: &str = "$JS.API.>";
/// What the subjects of advisories begin with.
pub const ADVISORY_PREFIX: &str = "$JS.EVENT.ADVISORY.";
/// What the subjects of measurements begin with.
pub const METRIC_PREFIX: &str = "$JS.EVENT.METRIC.";
/// What the subjects begin with to which mirrors are delivered.
pub const MIRROR_DELIVER_PREFIX: &str = "$JS.M.";
/// What the subjects begin with to which sources are delivered.
pub const SOURCE_DELIVER_PREFIX: &str = "$JS.S.";
/// What the subjects begin with to which requests of mirrors and sources are answered.
pub const SOURCE_REPLY_PREFIX: &str = "$JSC.R.";

/// Eight letters and digits that stand for a text: 62 of them, by the first bytes of its SHA-256.
pub fn hash8(text: &[u8]) -> [u8; 8] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let digest = Sha256::digest(text);
    let mut out = [b'0'; 8];
    for (place, byte) in out.iter_mut().zip(digest.iter()) {
        *place = DIGITS.get(usize::from(byte % 62)).copied().unwrap_or(b'0');
    }
    out
}

/// Which incarnation of a stream this is: what stands for the time at which it was made.
pub fn stream_identity(created: Wall) -> String {
    String::from_utf8_lossy(&hash8(gotime::rfc3339(created).as_bytes())).into_owned()
}

/// The subject to which a copy to be restored goes; the id is unique.
pub fn restore(stream: &str, id: &str) -> String {
    format!("$JS.SNAPSHOT.RESTORE.{stream}.{id}")
}

/// The reply subject of a chunk of a copy: its bytes and its number from 1 on.
pub fn snapshot_ack(stream: &str, id: &str, size: usize, index: u64) -> String {
    format!("$JS.SNAPSHOT.ACK.{stream}.{id}.{size}.{index}")
}

/// Every reply subject of the chunks of a copy.
pub fn snapshot_acks(stream: &str, id: &str) -> String {
    format!("$JS.SNAPSHOT.ACK.{stream}.{id}.*.*")
}

/// What an account's subjects are mapped to when the server has a domain: from, to.
pub fn domain_mappings(domain: &str) -> Vec<(String, String)> {
    let mut mappings = vec![(format!("$JS.{domain}.API.INFO"), "$JS.API.INFO".to_owned())];
    for area in ["STREAM", "CONSUMER", "DIRECT", "META", "SERVER", "ACCOUNT"] {
        mappings.push((format!("$JS.{domain}.API.{area}.>"), format!("$JS.API.{area}.>")));
    }
    for bucket in ["$KV", "$OBJ"] {
        mappings.push((format!("$JS.{domain}.API.{bucket}.>"), format!("{bucket}.>")));
    }
    mappings
}

/// The digits of a number; nothing else.
fn number(token: &[u8]) -> Option<u64> {
    if token.is_empty() {
        return None;
    }
    token.iter().try_fold(0_u64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_known_by_the_time_it_was_made() {
        let created = gotime::parse_rfc3339("2026-11-21T18:59:30.242353439Z").unwrap().unwrap();
        assert_eq!(stream_identity(created), "25CcF5eb");
    }

    #[test]
    fn copies_have_their_subjects() {
        assert_eq!(restore("S", "id"), "$JS.SNAPSHOT.RESTORE.S.id");
        assert_eq!(snapshot_ack("S", "id", 131_072, 3), "$JS.SNAPSHOT.ACK.S.id.131072.3");
        assert_eq!(snapshot_acks("S", "id"), "$JS.SNAPSHOT.ACK.S.id.*.*");
    }

    #[test]
    fn a_domain_has_an_api_of_its_own() {
        let mappings = domain_mappings("D");
        assert_eq!(mappings.len(), 9);
        assert_eq!(mappings[1], ("$JS.D.API.STREAM.>".to_owned(), "$JS.API.STREAM.>".to_owned()));
        assert_eq!(mappings[7], ("$JS.D.API.$KV.>".to_owned(), "$KV.>".to_owned()));
    }

    #[test]
    fn numbers_are_digits() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"-1", b"+1", b"1x", b"18446744073709551616"] {
            assert_eq!(number(bad), None);
        }
    }
}
