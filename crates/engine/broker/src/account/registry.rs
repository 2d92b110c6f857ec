//! The accounts of a server by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use midge_sync::ordlock::RwLock;
use midge_sync::rank;

use super::{Account, AccountLimits, GLOBAL};

/// Every account, with the global one always among them.
#[derive(Debug)]
pub struct Accounts {
    by_name: RwLock<{ rank::REGISTRY }, BTreeMap<String, Arc<Account>>>,
    global: Arc<Account>,
    system: Option<Arc<Account>>,
}

impl Accounts {
    /// The global account, the system account under its name (if there is one), and the configured ones.
    pub fn new(system: Option<&str>, configured: &[(String, AccountLimits)], shards: usize) -> Self {
        let mut by_name = BTreeMap::new();
        let global =
            Arc::new(Account::new(1, GLOBAL, system == Some(GLOBAL), AccountLimits::default(), shards));
        by_name.insert(GLOBAL.to_owned(), global.clone());
        let mut id = 1;
        let mut add = |name: &str, limits: AccountLimits| {
            by_name
                .entry(name.to_owned())
                .or_insert_with(|| {
                    id += 1;
                    Arc::new(Account::new(id, name, system == Some(name), limits, shards))
                })
                .clone()
        };
        for (name, limits) in configured {
            add(name, *limits);
        }
        let system = system.map(|name| add(name, AccountLimits::default()));
        Accounts { by_name: RwLock::new(by_name), global, system }
    }

    /// The account of connections without another one.
    pub fn global(&self) -> &Arc<Account> {
        &self.global
    }

    /// The system account, unless it is disabled.
    pub fn system(&self) -> Option<&Arc<Account>> {
        self.system.as_ref()
    }

    /// An account by its name; the empty name is the global account.
    pub fn find(&self, name: &str) -> Option<Arc<Account>> {
        if name.is_empty() {
            return Some(self.global.clone());
        }
        self.by_name.read().get(name).cloned()
    }

    /// All of them, sorted by name.
    pub fn all(&self) -> Vec<Arc<Account>> {
        self.by_name.read().values().cloned().collect()
    }
}
