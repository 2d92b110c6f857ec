use super::*;
use crate::lang::MemorySource;
use crate::schema::{self, Options};

/// Every key of the options reference, aliases included.
const KNOWN: &str = "listen host net port client_advertise server_name server_tags server_metadata feature_flags \
    debug trace logtime logtime_utc trace_verbose trace_headers max_traced_msg_len logfile log_file \
    logfile_size_limit log_size_limit logfile_max_num log_max_num syslog remote_syslog pidfile pid_file \
    ports_file_dir prof_port prof_block_rate http http_port monitor_port https https_port http_base_path \
    max_control_line max_payload max_pending max_connections max_conn max_subscriptions max_subs max_sub_tokens \
    max_subscription_tokens max_closed_clients ping_interval ping_max write_deadline write_timeout \
    lame_duck_duration lame_duck_grace_period connect_error_reports reconnect_error_reports \
    disable_sublist_cache no_sublist_cache no_header_support no_fast_producer_stall proxy_protocol allow_non_tls \
    tls ocsp ocsp_cache authorization no_auth_user default_sentinel accounts mappings maps system_account system \
    no_system_account no_system no_sys_acc operator operators roots root root_operator root_operators trusted \
    trusted_keys resolver account_resolver accounts_resolver resolver_tls resolver_preload \
    resolver_pinned_accounts cluster gateway leaf leafnodes websocket ws mqtt jetstream proxies store_dir \
    storedir default_js_domain";

#[test]
fn every_known_key_is_a_row_and_every_row_is_known() {
    let known: Vec<&str> = KNOWN.split_whitespace().collect();
    for key in &known {
        assert!(find(Block::Top, key).is_some(), "{key}");
    }
    for name in SERVER_ROWS.iter().flat_map(Row::names) {
        assert!(known.contains(&name), "{name}");
    }
    assert!(find(Block::Top, "MAX_Payload").is_some());
    assert!(find(Block::Top, "zork").is_none());
    assert!(find(Block::Tls, "port").is_none());
}

#[test]
fn names_are_unique_in_their_block() {
    let mut seen = std::collections::BTreeSet::new();
    for row in rows() {
        for name in row.names() {
            assert!(seen.insert((row.block, name)), "{name}");
        }
        assert!(!row.doc.is_empty(), "{}", row.key);
    }
    let mut flags = std::collections::BTreeSet::new();
    for flag in FLAGS {
        for name in flag.names {
            assert!(flags.insert(name), "-{name}");
        }
        assert!(flag.option.is_empty() || find(Block::Top, flag.option).is_some(), "-{}", flag.name());
    }
}

#[test]
fn defaults_of_the_table_are_those_of_the_options() {
    let mut expected = Options::default();
    schema::fill_defaults(&mut expected);
    let stated = |row: &&Row| row.block == Block::Top && !row.default.is_empty();
    for row in rows().filter(stated) {
        let text = match row.kind {
            Kind::Listen | Kind::Text => format!("{}: \"{}\"", row.key, row.default),
            _ => format!("{}: {}", row.key, row.default),
        };
        let source = MemorySource::new().file("t.conf", text.as_str());
        let mut options = schema::load("t.conf", &source).unwrap_or_else(|error| panic!("{text}: {error}"));
        options.origin = expected.origin.clone();
        assert_eq!(options, expected, "{text}");
    }
}

#[test]
fn every_supported_option_has_a_reader() {
    // A map is a wrong value for all but a few options; none of them may be unknown to the reader.
    for row in rows().filter(|row| row.block == Block::Top && row.status == Status::Supported) {
        let source = MemorySource::new().file("t.conf", format!("{}: []", row.key));
        let error = schema::load("t.conf", &source).err().unwrap_or_default();
        assert!(!error.contains("has no reader") && !error.contains("unknown field"), "{}: {error}", row.key);
    }
}

#[test]
fn the_reference_names_every_row() {
    let text = render::reference();
    for row in rows() {
        assert!(text.contains(&format!("| `{}`", row.key)), "{}", row.key);
    }
    assert!(text.contains("| `host`, `net` | text | `0.0.0.0` | refused | Address for clients. |"));
    assert!(text.contains("**Not in this version yet.** Trusted proxies. |"));
}
