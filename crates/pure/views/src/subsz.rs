//! `/subsz`: figures of the routing index, and subscriptions one by one.

use midge_stdx::clock::Wall;
use serde::Serialize;

use crate::json::{Time, is_default};
use crate::limits::DEFAULT_PAGE;
use crate::query::Query;

/// The parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubszOptions {
    /// `subs`: whether subscriptions are listed.
    pub subscriptions: bool,
    /// `offset`
    pub offset: i64,
    /// `limit`
    pub limit: i64,
    /// `acc`: only this account.
    pub account: String,
    /// `test`: only subscriptions that match this subject.
    pub test: String,
}

impl SubszOptions {
    /// Decodes the parameters; an error is the body of a 400 answer.
    pub fn decode(query: &Query) -> Result<SubszOptions, String> {
        Ok(SubszOptions {
            subscriptions: query.boolean("subs")?,
            offset: query.int("offset")?,
            limit: query.int("limit")?,
            account: query.text("acc"),
            test: query.text("test"),
        })
    }
}

/// One subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SubDetail {
    /// The account it belongs to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// The account's display name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account_tag: String,
    /// Its subject.
    pub subject: String,
    /// Its queue group.
    #[serde(rename = "qgroup", skip_serializing_if = "String::is_empty")]
    pub queue: String,
    /// Its id on the connection.
    pub sid: String,
    /// Messages delivered.
    pub msgs: i64,
    /// Messages after which it ends.
    #[serde(skip_serializing_if = "is_default")]
    pub max: i64,
    /// The connection.
    pub cid: u64,
}

/// Figures of one index, or of several added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct IndexStats {
    /// Subscriptions held.
    pub num_subscriptions: u64,
    /// Cached results.
    pub num_cache: u64,
    /// Insertions so far.
    pub num_inserts: u64,
    /// Removals so far.
    pub num_removes: u64,
    /// Look-ups so far.
    pub num_matches: u64,
    /// Look-ups answered from a cache, as a share.
    pub cache_hit_rate: f64,
    /// The largest cached result.
    pub max_fanout: u64,
    /// The mean of the cached results.
    pub avg_fanout: f64,
}

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Subsz {
    /// The server.
    pub server_id: String,
    /// When it was made.
    pub now: Time,
    /// The figures.
    #[serde(flatten)]
    pub stats: IndexStats,
    /// Subscriptions that qualify, on all pages.
    pub total: usize,
    /// The first entry of this page.
    pub offset: usize,
    /// The entries of a page.
    pub limit: usize,
    /// This page.
    #[serde(rename = "subscriptions_list", skip_serializing_if = "Vec::is_empty")]
    pub subscriptions: Vec<SubDetail>,
}

/// What must be known about subjects; the functions of `midge-subject`, which this crate does not use.
#[derive(Clone, Copy)]
pub struct SubjectRules {
    /// Whether a subject may be published to.
    pub is_publish: fn(&[u8]) -> bool,
    /// Whether a literal subject (first) matches a pattern.
    pub matches: fn(&[u8], &[u8]) -> bool,
}

/// First entry and number of entries of a page, from what was asked for.
pub(crate) fn page(offset: i64, limit: i64) -> (usize, usize) {
    let limit = usize::try_from(limit).ok().filter(|&limit| limit > 0).unwrap_or(DEFAULT_PAGE);
    (usize::try_from(offset).unwrap_or(0), limit)
}

/// Makes the document of the local subscriptions of the accounts asked for. `subscriptions` is called only when they are
/// to be listed; it need not look at the options other than `account`.
pub fn subsz(
    server_id: &str,
    stats: IndexStats,
    subscriptions: impl FnOnce() -> Vec<SubDetail>,
    options: &SubszOptions,
    rules: SubjectRules,
    now: Wall,
) -> Result<Subsz, String> {
    let test = options.test.as_bytes();
    if !test.is_empty() && !(rules.is_publish)(test) {
        return Err(format!("invalid test subject, must be valid publish subject: {}", options.test));
    }
    let (offset, limit) = page(options.offset, options.limit);
    let mut document =
        Subsz { server_id: server_id.to_owned(), now: now.into(), stats, offset, limit, ..Subsz::default() };
    if options.subscriptions {
        let mut list = subscriptions();
        list.retain(|sub| test.is_empty() || (rules.matches)(test, sub.subject.as_bytes()));
        document.total = list.len();
        document.subscriptions = list.into_iter().skip(offset).take(limit).collect();
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::pretty;

    const RULES: SubjectRules =
        SubjectRules { is_publish: |s| !s.contains(&b'*'), matches: |a, b| a == b || b == b">" };

    fn subs() -> Vec<SubDetail> {
        let sub = |subject: &str, queue: &str, max| SubDetail {
            account: "$G".into(),
            account_tag: "$G".into(),
            subject: subject.into(),
            queue: queue.into(),
            sid: "1".into(),
            max,
            cid: 5,
            ..SubDetail::default()
        };
        vec![sub("foo", "", 0), sub("bar", "q", 5), sub(">", "", 0)]
    }

    fn made(query: &str) -> Result<Subsz, String> {
        let options = SubszOptions::decode(&Query::parse(query))?;
        let stats = IndexStats { num_subscriptions: 3, cache_hit_rate: 0.5, ..IndexStats::default() };
        subsz("N1", stats, subs, &options, RULES, Wall(0))
    }

    #[test]
    fn without_subs_there_are_figures_only() {
        let expected = r#"{
  "server_id": "N1",
  "now": "1970-01-01T00:00:00Z",
  "num_subscriptions": 3,
  "num_cache": 0,
  "num_inserts": 0,
  "num_removes": 0,
  "num_matches": 0,
  "cache_hit_rate": 0.5,
  "max_fanout": 0,
  "avg_fanout": 0,
  "total": 0,
  "offset": 0,
  "limit": 1024
}"#;
        assert_eq!(pretty(&made("").unwrap()), expected);
    }

    #[test]
    fn subscriptions_are_filtered_and_paged() {
        let all = made("subs=1").unwrap();
        assert_eq!((all.total, all.subscriptions.len()), (3, 3));
        let tested = made("subs=true&test=foo").unwrap();
        assert_eq!(tested.subscriptions.iter().map(|s| s.subject.as_str()).collect::<Vec<_>>(), ["foo", ">"]);
        let second = made("subs=1&offset=1&limit=1").unwrap();
        assert_eq!((second.total, second.offset, second.limit), (3, 1, 1));
        let text = pretty(&second.subscriptions);
        assert!(text.contains(
            "\"qgroup\": \"q\",\n    \"sid\": \"1\",\n    \"msgs\": 0,\n    \"max\": 5,\n    \"cid\": 5"
        ));
        assert_eq!(made("subs=1&offset=9").unwrap().subscriptions.len(), 0);
    }

    #[test]
    fn bad_parameters_are_named() {
        assert_eq!(
            made("test=foo.*").unwrap_err(),
            "invalid test subject, must be valid publish subject: foo.*"
        );
        assert!(made("subs=detail").unwrap_err().starts_with("Error decoding boolean for 'subs'"));
    }
}
