//! `/jsz`: JetStream, its accounts, streams and consumers.

use midge_jsapi::account::{ServerConfig, ServerLimits, ServerStats};
use midge_jsapi::info::{ClusterInfo, ConsumerInfo, SourceInfo, StreamState};
use midge_jsapi::stream_config::StreamConfig;
use serde::Serialize;

use crate::json::{Time, is_default};
use crate::limits::DEFAULT_PAGE;
use crate::query::Query;
use crate::told::Told;

/// The body of the answer when only a leader was asked.
pub const NOT_LEADER: &str = "filtered response: not leader";

/// The parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JszOptions {
    /// `acc`: only this account.
    pub account: String,
    /// `accounts`: accounts one by one.
    pub accounts: bool,
    /// `streams`: streams one by one; implies accounts unless one was named.
    pub streams: bool,
    /// `consumers`: consumers one by one; implies streams.
    pub consumers: bool,
    /// `direct-consumers`: those of mirrors and sources as well.
    pub direct_consumers: bool,
    /// `config`: configurations go along.
    pub config: bool,
    /// `offset`: accounts that are passed over.
    pub offset: i64,
    /// `limit`: accounts of a page; 0 for the usual number, less for all.
    pub limit: i64,
    /// `leader-only`: only the leader of the meta group answers.
    pub leader_only: bool,
    /// `raft`: Raft groups go along.
    pub raft: bool,
    /// `stream-leader-only`: only streams that this server leads.
    pub stream_leader_only: bool,
}

impl JszOptions {
    /// Decodes the parameters; an error is the body of a 400 answer.
    pub fn decode(query: &Query) -> Result<JszOptions, String> {
        let accounts = query.boolean("accounts")?;
        let streams = query.boolean("streams")?;
        let consumers = query.boolean("consumers")?;
        let direct_consumers = query.boolean("direct-consumers")?;
        let config = query.boolean("config")?;
        let offset = query.int("offset")?;
        let limit = query.int("limit")?;
        let leader_only = query.boolean("leader-only")?;
        let raft = query.boolean("raft")?;
        let stream_leader_only = query.boolean("stream-leader-only")?;
        let account = query.text("acc");
        let streams = streams || consumers;
        Ok(JszOptions {
            accounts: accounts || (streams && account.is_empty()),
            account,
            streams,
            consumers,
            direct_consumers,
            config,
            offset,
            limit,
            leader_only,
            raft,
            stream_leader_only,
        })
    }

    /// Which of so many accounts, sorted by name, are on the page.
    pub fn page(&self, accounts: usize) -> std::ops::Range<usize> {
        let from = usize::try_from(self.offset).unwrap_or(0).min(accounts);
        let limit = match self.limit {
            0 => DEFAULT_PAGE,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        from..from.saturating_add(limit).min(accounts)
    }
}

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Jsz {
    /// What is used.
    #[serde(flatten)]
    pub stats: Told<ServerStats>,
    /// The server.
    pub server_id: String,
    /// When it was made.
    pub now: Time,
    /// JetStream is off.
    #[serde(skip_serializing_if = "is_default")]
    pub disabled: bool,
    /// How it is set up.
    pub config: Told<ServerConfig>,
    /// Limits of assets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Told<ServerLimits>>,
    /// Streams.
    pub streams: u64,
    /// Streams led by this server, if Raft was asked for.
    #[serde(skip_serializing_if = "is_default")]
    pub streams_leader: u64,
    /// Consumers.
    pub consumers: u64,
    /// Consumers led by this server, if Raft was asked for.
    #[serde(skip_serializing_if = "is_default")]
    pub consumers_leader: u64,
    /// Messages of all streams.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Accounts one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub account_details: Vec<AccountDetail>,
    /// Accounts with JetStream.
    pub total: usize,
    /// Some streams were too busy to answer in time: they show what was known of them, without times and consumers.
    #[serde(skip_serializing_if = "is_default")]
    pub partial: bool,
}

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AccountDetail {
    /// The name for people.
    pub name: String,
    /// The name.
    pub id: String,
    /// What is used; what is reserved are the limits of the account.
    #[serde(flatten)]
    pub stats: Told<ServerStats>,
    /// Its streams.
    #[serde(rename = "stream_detail", skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamDetail>,
}

/// A stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StreamDetail {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Time,
    /// Who keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Told<ClusterInfo>>,
    /// Its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Told<StreamConfig>>,
    /// What is in it.
    pub state: Told<StreamState>,
    /// Its consumers.
    #[serde(rename = "consumer_detail", skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<Told<ConsumerInfo>>,
    /// Consumers of mirrors and sources.
    #[serde(rename = "direct_consumer_detail", skip_serializing_if = "Vec::is_empty")]
    pub direct_consumers: Vec<Told<ConsumerInfo>>,
    /// How far it has followed its origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Told<SourceInfo>>,
    /// How far it has followed its sources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Told<SourceInfo>>,
}

#[cfg(test)]
#[path = "jsz_tests.rs"]
mod tests;
