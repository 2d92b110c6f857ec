use super::validate;
use crate::lang::MemorySource;
use crate::schema::load;

fn check(text: &str) -> Result<(), String> {
    let source = MemorySource::new().file("t.conf", text);
    validate(&load("t.conf", &source).unwrap_or_else(|error| panic!("{text}: {error}")))
}

#[test]
fn rules_over_several_options() {
    for (text, expected) in [
        ("port: 1", ""),
        ("max_payload: 100\nmax_pending: 50", "max_payload (100) cannot be higher than max_pending (50)"),
        ("max_pending: -5", "max_payload (1048576) cannot be higher than max_pending (-5)"),
        ("max_payload: -1\nmax_pending: 1", ""),
        (
            "lame_duck_grace_period: \"5m\"",
            "lame duck grace period (5m0s) should be strictly lower than lame duck duration (2m0s)",
        ),
        (
            "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"30s\"",
            "lame duck grace period (30s) should be strictly lower than lame duck duration (30s)",
        ),
        ("max_closed_clients: -1", "max_closed_clients (-1) cannot be negative"),
        ("no_auth_user: x", "no_auth_user: \"x\" present, but users/nkeys are not defined"),
        (
            "no_auth_user: x\nauthorization {user: x, pass: y}",
            "no_auth_user: \"x\" present, but users/nkeys are not defined",
        ),
        (
            "no_auth_user: x\nauthorization {users: [{user: y}]}",
            "no_auth_user: \"x\" not present as user or nkey in authorization block or account configuration",
        ),
        ("no_auth_user: x\naccounts {a {users: [{user: x}]}}", ""),
        ("system_account: a", "error resolving system account: account missing"),
        ("system_account: a\naccounts: [a]", ""),
        ("system_account: \"$SYS\"", ""),
        ("system_account: \"$G\"", ""),
        (
            "http: 1\nhttps: -1\ntls {}",
            "Can't start monitoring: can't specify both HTTP (1) and HTTPs (-1) ports",
        ),
        ("https: 1", "Can't start monitoring: TLS cert and key required for HTTPS"),
        ("https: 1\ntls {}", ""),
        ("jetstream {domain: hub}", ""),
        ("jetstream {domain: \"a.b\"}", "invalid domain name: may not contain ., * or >"),
        ("jetstream {domain: \"a*\"}", "invalid domain name: may not contain ., * or >"),
        ("jetstream {domain: \">\"}", "invalid domain name: derived \"$JS.>.API.>\" is not a valid subject"),
    ] {
        let expected = if expected.is_empty() { Ok(()) } else { Err(expected.to_owned()) };
        assert_eq!(check(text), expected, "{text}");
    }
}
