//! Accounts as monitoring sees them.

use midge_stdx::clock::Now;
use midge_views::accountz::{AccountInfo, Accountz, AccountzOptions};

use crate::Node;

impl Node {
    pub(super) fn accounts_document(&self, options: &AccountzOptions, now: Now) -> Result<Accountz, String> {
        let accounts = &self.broker.accounts;
        let mut document = Accountz {
            server_id: self.broker.settings().identity.server_id.clone(),
            now: now.wall.into(),
            system_account: accounts.system().map_or_else(String::new, |account| account.name.clone()),
            ..Accountz::default()
        };
        if options.account.is_empty() {
            document.accounts = accounts.all().iter().map(|account| account.name.clone()).collect();
            document.accounts.sort();
            return Ok(document);
        }
        let account = accounts.find(&options.account).ok_or_else(|| options.unknown())?;
        let jetstream = self.jetstream.get().and_then(|js| js.account(&account.name));
        let stats = super::index_stats(std::slice::from_ref(&account));
        document.detail = Some(AccountInfo {
            account_name: account.name.clone(),
            // Accounts are made with the node and stay as they are.
            update_time: self.started.wall.into(),
            is_system: account.is_system,
            expired: false,
            complete: true,
            jetstream_enabled: jetstream.is_some(),
            leafnode_connections: 0,
            client_connections: account.clients(),
            subscriptions: stats.num_subscriptions,
            name_tag: account.name.clone(),
            sublist_stats: stats,
        });
        Ok(document)
    }
}
