//! `/accountz`: accounts.

use serde::Serialize;

use crate::json::{Time, is_default};
use crate::query::Query;
use crate::subsz::IndexStats;

/// The parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountzOptions {
    /// `acc`: the account to be described; empty for the list.
    pub account: String,
}

impl AccountzOptions {
    /// Takes the parameters, which cannot be wrong.
    pub fn of(query: &Query) -> AccountzOptions {
        AccountzOptions { account: query.text("acc") }
    }

    /// The body of the answer when there is no such account.
    pub fn unknown(&self) -> String {
        format!("Account {} does not exist", self.account)
    }
}

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Accountz {
    /// The server.
    pub server_id: String,
    /// When it was made.
    pub now: Time,
    /// The system account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub system_account: String,
    /// The names of all accounts, unless one was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
    /// The one that was asked for.
    #[serde(rename = "account_detail", skip_serializing_if = "Option::is_none")]
    pub detail: Option<AccountInfo>,
}

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AccountInfo {
    /// Its name.
    pub account_name: String,
    /// When it was made or changed.
    pub update_time: Time,
    /// It is the system account.
    #[serde(skip_serializing_if = "is_default")]
    pub is_system: bool,
    /// It may not be used any more.
    pub expired: bool,
    /// Everything about it is known.
    pub complete: bool,
    /// It may have streams.
    pub jetstream_enabled: bool,
    /// Connections of leaf nodes.
    pub leafnode_connections: u64,
    /// Connections of clients.
    pub client_connections: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// The name for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_tag: String,
    /// The figures of its index.
    pub sublist_stats: IndexStats,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::pretty;
    use midge_stdx::clock::Wall;

    #[test]
    fn a_list_and_an_account_print_as_by_the_released_server() {
        let list = Accountz {
            server_id: "N".into(),
            now: Wall(1_500_000_000).into(),
            system_account: "$SYS".into(),
            accounts: vec!["$G".into(), "$SYS".into()],
            detail: None,
        };
        let expected = r#"{
  "server_id": "N",
  "now": "1970-01-01T00:00:01.5Z",
  "system_account": "$SYS",
  "accounts": [
    "$G",
    "$SYS"
  ]
}"#;
        assert_eq!(pretty(&list), expected);
        let detail = AccountInfo {
            account_name: "SYS".into(),
            update_time: Wall(0).into(),
            is_system: true,
            complete: true,
            name_tag: "SYS".into(),
            ..AccountInfo::default()
        };
        let one = Accountz { accounts: Vec::new(), detail: Some(detail), ..list };
        let expected = r#"{
  "server_id": "N",
  "now": "1970-01-01T00:00:01.5Z",
  "system_account": "$SYS",
  "account_detail": {
    "account_name": "SYS",
    "update_time": "1970-01-01T00:00:00Z",
    "is_system": true,
    "expired": false,
    "complete": true,
    "jetstream_enabled": false,
    "leafnode_connections": 0,
    "client_connections": 0,
    "subscriptions": 0,
    "name_tag": "SYS",
    "sublist_stats": {
      "num_subscriptions": 0,
      "num_cache": 0,
      "num_inserts": 0,
      "num_removes": 0,
      "num_matches": 0,
      "cache_hit_rate": 0,
      "max_fanout": 0,
      "avg_fanout": 0
    }
  }
}"#;
        assert_eq!(pretty(&one), expected);
        assert_eq!(AccountzOptions::of(&Query::parse("acc=%24X")).unknown(), "Account $X does not exist");
    }
}
