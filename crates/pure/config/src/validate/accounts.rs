//! Accounts and users that options name must exist.

use crate::quote::quoted;
use crate::schema::Options;

/// Accounts that exist without configuration.
const BUILT_IN: [&str; 2] = ["$G", "$SYS"];

pub(super) fn validate(options: &Options) -> Result<(), String> {
    let authorization = &options.authorization;
    let name = &authorization.no_auth_user;
    if !name.is_empty() {
        if authorization.users.is_empty() && authorization.nkeys.is_empty() {
            let name = quoted(name);
            return Err(format!("no_auth_user: {name} present, but users/nkeys are not defined"));
        }
        let exists = authorization.users.iter().any(|user| user.username == *name)
            || authorization.nkeys.iter().any(|user| user.nkey == *name);
        if !exists {
            let name = quoted(name);
            return Err(format!(
                "no_auth_user: {name} not present as user or nkey in authorization block or account configuration"
            ));
        }
    }
    let system = &options.server.system_account;
    let exists = system.is_empty()
        || BUILT_IN.contains(&system.as_str())
        || options.accounts.iter().any(|account| account.name == *system);
    if !exists {
        return Err(String::from("error resolving system account: account missing"));
    }
    Ok(())
}
