use std::time::Duration;

use super::authorization::{NkeyUser, Permissions, ResponsePermission, SubjectPermission, User};
use super::listen::Port;
use super::tls::{CertificatePair, Curve, HandshakeFirst, TlsVersion};
use super::*;
use crate::lang::MemorySource;

const USER_KEY: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
const ACCOUNT_KEY: &str = "ABJHLOVMPA4CI6R5KLNGOB4GSLNIY7IOUPAJC4YFNDLQVIOBYQGUWVLA";

fn read(text: &str) -> Result<Options, String> {
    load("t.conf", &MemorySource::new().file("t.conf", text))
}

fn good(text: &str) -> Options {
    read(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// The lines of an error, up to the excerpts.
fn lines(text: &str) -> Vec<String> {
    let error = read(text).expect_err(text);
    error.lines().take_while(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn every_plain_option_reaches_its_field() {
    let options = good(
        "listen: \"h:1\"\nclient_advertise: adv\nserver_name: n\nserver_tags: [\" A \", a, B]\n\
         server_metadata {k: v}\nfeature_flags {f: true, g: no}\nmax_traced_msg_len: 7\nlogfile: l\n\
         log_size_limit: 1k\nlogfile_max_num: 3\nremote_syslog: r\npidfile: p\nports_file_dir: d\n\
         http: \"m:2\"\nhttp_base_path: \"a/../b/\"\nmax_control_line: 8k\nmax_payload: 2mb\nmax_pending: 3mb\n\
         max_conn: 4\nmax_subs: 5\nmax_sub_tokens: 6\nmax_closed_clients: 8\nping_interval: \"9s\"\nping_max: 10\n\
         write_deadline: \"11s\"\nwrite_timeout: retry\nlame_duck_duration: \"40s\"\n\
         lame_duck_grace_period: \"12s\"\nconnect_error_reports: 13\nreconnect_error_reports: 14\n\
         system_account: s\nstore_dir: sd\nno_auth_user: u\n",
    );
    assert_eq!((options.listen.host.as_str(), options.listen.port), ("h", Port::Fixed(1)));
    assert_eq!(options.listen.client_advertise, "adv");
    let server = &options.server;
    assert_eq!(server.server_name, "n");
    assert_eq!(server.server_tags, ["a", "b"]);
    assert_eq!(server.server_metadata, [(String::from("k"), String::from("v"))]);
    assert_eq!(server.feature_flags, [(String::from("f"), true), (String::from("g"), false)]);
    assert_eq!((server.pid_file.as_str(), server.ports_file_dir.as_str()), ("p", "d"));
    assert_eq!((server.system_account.as_str(), server.store_dir.as_str()), ("s", "sd"));
    assert_eq!((server.connect_error_reports, server.reconnect_error_reports), (13, 14));
    assert_eq!(server.lame_duck_duration, Duration::from_secs(40));
    assert_eq!(server.lame_duck_grace_period, Duration::from_secs(12));
    let logging = &options.logging;
    assert_eq!((logging.log_file.as_str(), logging.remote_syslog.as_str()), ("l", "r"));
    assert_eq!((logging.max_traced_msg_len, logging.log_size_limit, logging.log_max_num), (7, 1000, 3));
    let monitoring = &options.monitoring;
    assert_eq!((monitoring.host.as_str(), monitoring.http), ("m", Some(Port::Fixed(2))));
    assert_eq!(monitoring.base_path, "/b");
    let limits = &options.limits;
    assert_eq!((limits.max_control_line, limits.max_payload, limits.max_pending), (8000, 2 << 20, 3 << 20));
    assert_eq!((limits.max_connections, limits.max_subscriptions, limits.max_sub_tokens), (4, 5, 6));
    assert_eq!((limits.max_closed_clients, limits.ping_max), (8, 10));
    assert_eq!(
        (limits.ping_interval, limits.write_deadline),
        (Duration::from_secs(9), Duration::from_secs(11))
    );
    assert_eq!(limits.write_timeout, WriteTimeout::Retry);
    assert_eq!(options.authorization.no_auth_user, "u");
    assert!(!options.authorization.present);
    assert_eq!(options.origin.config_file, "t.conf");
    assert!(options.origin.digest.starts_with("sha256:"));
}

#[test]
fn every_switch_reaches_its_field() {
    type Field = fn(&Options) -> bool;
    let fields: [(&str, Field); 12] = [
        ("debug", |o| o.logging.debug),
        ("trace", |o| o.logging.trace),
        ("trace_verbose", |o| o.logging.trace_verbose && o.logging.trace),
        ("trace_headers", |o| o.logging.trace_headers && o.logging.trace),
        ("logtime", |o| o.logging.logtime),
        ("logtime_utc", |o| o.logging.logtime_utc),
        ("syslog", |o| o.logging.syslog),
        ("no_sublist_cache", |o| o.server.disable_sublist_cache),
        ("no_header_support", |o| o.server.no_header_support),
        ("no_fast_producer_stall", |o| o.server.no_fast_producer_stall),
        ("no_sys_acc", |o| o.server.no_system_account),
        ("allow_non_tls", |o| o.allow_non_tls),
    ];
    for (key, field) in fields {
        assert!(field(&good(&format!("{key}: true"))), "{key}");
        assert!(!field(&good(&format!("{key}: off"))), "{key}");
    }
    assert!(good("trace: true\ntrace_verbose: false").logging.trace);
}

#[test]
fn zero_takes_the_default_except_where_it_closes_the_server() {
    let zeros = "host: \"\"\nport: 0\nmax_control_line: 0\nmax_payload: 0\nmax_pending: 0\nmax_closed_clients: 0\n\
                 ping_interval: \"0s\"\nping_max: 0\nwrite_deadline: \"0s\"\nlame_duck_grace_period: \"0\"\n\
                 connect_error_reports: 0\nreconnect_error_reports: 0\nhttp_port: 0\n";
    let mut expected = Options::default();
    fill_defaults(&mut expected);
    let mut options = good(zeros);
    options.origin = Origin::default();
    assert_eq!(options, expected);
    assert_eq!(good("max_connections: 0").limits.max_connections, -1);
    assert_eq!(good("max_connections: -5").limits.max_connections, -5);
}

#[test]
fn listeners() {
    for (text, host, port) in [
        ("listen: 5", "0.0.0.0", Port::Fixed(5)),
        ("listen: -1", "0.0.0.0", Port::Random),
        ("listen: \":5\"", "0.0.0.0", Port::Fixed(5)),
        ("listen: \"h:-1\"", "h", Port::Random),
        ("listen: \"[::1]:5\"", "::1", Port::Fixed(5)),
        ("net: h; port: 5", "h", Port::Fixed(5)),
    ] {
        let options = good(text);
        assert_eq!((options.listen.host.as_str(), options.listen.port), (host, port), "{text}");
    }
    assert_eq!(good("host: h; http: 5").monitoring.host, "h");
    assert_eq!(good("https: -1").monitoring.https, Some(Port::Random));
    for text in ["port: 65536", "port: -2", "listen: \"h:70000\"", "http: 70000"] {
        assert!(lines(text)[0].ends_with("is out of range, expected -1 to 65535"), "{text}");
    }
}

#[test]
fn users_and_permissions() {
    let options = good(&format!(
        "authorization {{
            timeout: 1.5
            default_permissions {{ publish: d }}
            users: [
                {{user: a, password: b, permissions {{
                    pub {{allow: [x, \"y.>\"], deny: z}}, sub: \"q w\", allow_responses {{max: -1, ttl: \"5s\"}}
                }}, clients: [standard]}}
                {{nkey: {USER_KEY}, permissions {{ pub: [], allow_responses: true }}}}
                {{user: c, pass: d}}
            ]
        }}"
    ));
    let authorization = &options.authorization;
    assert!(authorization.present);
    assert_eq!(authorization.timeout, Some(Duration::from_millis(1500)));
    let default = Permissions {
        publish: Some(SubjectPermission { allow: Some(strings(&["d"])), deny: None }),
        ..Permissions::default()
    };
    assert_eq!(authorization.default_permissions, Some(default.clone()));
    let expected = Permissions {
        publish: Some(SubjectPermission { allow: Some(strings(&["x", "y.>"])), deny: Some(strings(&["z"])) }),
        subscribe: Some(SubjectPermission { allow: Some(strings(&["q w"])), deny: None }),
        responses: Some(ResponsePermission { max_msgs: -1, expires: Some(Duration::from_secs(5)) }),
    };
    assert_eq!(
        authorization.users,
        [
            User {
                username: String::from("a"),
                password: String::from("b"),
                account: String::new(),
                permissions: Some(expected),
                connection_types: strings(&["STANDARD"]),
            },
            User {
                username: String::from("c"),
                password: String::from("d"),
                permissions: Some(default),
                ..User::default()
            },
        ]
    );
    assert_eq!(
        authorization.nkeys,
        [NkeyUser {
            nkey: USER_KEY.to_owned(),
            // An empty list restricts nothing.
            permissions: Some(Permissions {
                responses: Some(ResponsePermission::default()),
                ..Permissions::default()
            }),
            ..NkeyUser::default()
        }]
    );
    let single = good("authorization {user: u, pass: p}").authorization;
    assert_eq!((single.username.as_str(), single.password.as_str()), ("u", "p"));
    assert_eq!(good("authorization {token: t}").authorization.token, "t");
    let endless = good("authorization {permissions {allow_responses {max: 0, expires: \"-1s\"}}}");
    let responses = endless.authorization.default_permissions.and_then(|permissions| permissions.responses);
    assert_eq!(responses, Some(ResponsePermission { max_msgs: 1, expires: None }));
}

#[test]
fn accounts_and_their_users() {
    let options = good(&format!(
        "accounts {{
            a {{
                nkey: {ACCOUNT_KEY}
                users: [{{user: ua, pass: p}}, {{nkey: {USER_KEY}}}]
                default_permissions {{ sub: s }}
                limits {{ max_conn: 1, max_subs: 2, max_pay: 3, max_leafs: 4 }}
            }}
            b {{ exports: [], imports: [], mappings {{}}, jetstream: disabled }}
        }}"
    ));
    let [a, b] = options.accounts.as_slice() else { panic!("two accounts") };
    assert_eq!((a.name.as_str(), a.nkey.as_str()), ("a", ACCOUNT_KEY));
    let limits = AccountLimits { max_connections: 1, max_subscriptions: 2, max_payload: 3, max_leafnodes: 4 };
    assert_eq!(a.limits, limits);
    assert_eq!((b.name.as_str(), b.limits), ("b", AccountLimits::default()));
    let user = &options.authorization.users[0];
    assert_eq!((user.account.as_str(), user.permissions.is_some()), ("a", true));
    assert_eq!(options.authorization.nkeys[0].account, "a");
    assert!(!options.authorization.present);
    let names: Vec<String> =
        good("accounts: [x, y]").accounts.into_iter().map(|account| account.name).collect();
    assert_eq!(names, ["x", "y"]);
}

#[test]
fn tls_blocks() {
    let pin = "ab".repeat(32);
    let text = format!(
        "port: 1\ntls {{ cert_file: c, key_file: k, ca_file: a, verify_and_map: true, timeout: 0.5, insecure: true\n\
         cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256], curve_preferences: [X25519, CurveP256]\n\
         min_version: \"1.3\", pinned_certs: [\"{}\"], connection_rate_limit: 9, first: \"2s\" }}",
        pin.to_uppercase()
    );
    let options = good(&text);
    assert_eq!(options.auth_timeout(), Duration::from_millis(1500));
    let tls = options.tls.expect("TLS is on");
    let pair = CertificatePair { cert_file: String::from("c"), key_file: String::from("k") };
    assert_eq!((tls.certificates, tls.ca_file.as_str()), (vec![pair], "a"));
    assert!(tls.verify && tls.verify_and_map && tls.insecure);
    assert_eq!((tls.timeout, tls.timeout_stated), (Duration::from_millis(500), true));
    assert_eq!(tls.cipher_suites.iter().map(|suite| suite.id).collect::<Vec<_>>(), [0xc02f]);
    assert_eq!(tls.curve_preferences, [Curve::X25519, Curve::P256]);
    assert_eq!((tls.min_version, tls.connection_rate_limit), (TlsVersion::Tls13, 9));
    assert_eq!(tls.pinned_certs, [pin]);
    assert_eq!(tls.handshake_first, HandshakeFirst::Auto(Duration::from_secs(2)));
    assert_eq!(tls.place.map(|place| place.to_string()).as_deref(), Some("t.conf:2:1"));
    for (text, expected) in [
        ("true", HandshakeFirst::On),
        ("false", HandshakeFirst::Off),
        ("\"on\"", HandshakeFirst::On),
        ("Auto", HandshakeFirst::Auto(Duration::from_millis(50))),
        ("auto_fallback", HandshakeFirst::Auto(Duration::from_millis(50))),
    ] {
        let tls = good(&format!("tls {{ handshake_first: {text} }}")).tls;
        assert_eq!(tls.map(|tls| tls.handshake_first), Some(expected), "{text}");
    }
    let many = good("tls { certs: [{cert_file: a, key_file: b}, {cert_file: c, key_file: d}] }").tls;
    assert_eq!(many.map(|tls| tls.certificates.len()), Some(2));
    assert_eq!(good("tls {timeout: 0}").auth_timeout(), Duration::from_secs(3));
    assert_eq!(good("port: 1").auth_timeout(), Duration::from_secs(2));
}

#[test]
fn features_that_do_not_exist_are_refused_where_they_stand() {
    for (text, place, key) in [
        ("port: 1\n  Cluster {name: c, port: 6222}", "t.conf:2:3", "Cluster"),
        ("jetstream {tpm {}}", "t.conf:1:11", "tpm"),
        ("cluster {name: c, port: 6222}", "t.conf:1:0", "cluster"),
        ("gateway {name: g}", "t.conf:1:0", "gateway"),
        ("leaf {remotes: []}", "t.conf:1:0", "leaf"),
        ("ws {port: 1}", "t.conf:1:0", "ws"),
        ("mqtt {port: 1}", "t.conf:1:0", "mqtt"),
        ("mappings {a: b}", "t.conf:1:0", "mappings"),
        ("leafnodes: []", "t.conf:1:0", "leafnodes"),
        ("operator {}", "t.conf:1:0", "operator"),
        ("operator: x", "t.conf:1:0", "operator"),
        ("trusted: [x]", "t.conf:1:0", "trusted"),
        ("resolver: MEM", "t.conf:1:0", "resolver"),
        ("resolver_preload {a: b}", "t.conf:1:0", "resolver_preload"),
        ("ocsp: true", "t.conf:1:0", "ocsp"),
        ("ocsp_cache: true", "t.conf:1:0", "ocsp_cache"),
        ("proxy_protocol: true", "t.conf:1:0", "proxy_protocol"),
        ("proxies {trusted: []}", "t.conf:1:0", "proxies"),
        ("prof_port: 1", "t.conf:1:0", "prof_port"),
        ("default_sentinel: x", "t.conf:1:0", "default_sentinel"),
        ("authorization {auth_callout {issuer: x}}", "t.conf:1:15", "auth_callout"),
        ("authorization {proxy_required: true}", "t.conf:1:15", "proxy_required"),
        ("authorization {users: [{user: a, proxy_required: true}]}", "t.conf:1:33", "proxy_required"),
        ("accounts {a {exports: [{stream: x}]}}", "t.conf:1:13", "exports"),
        ("accounts {a {imports: [x]}}", "t.conf:1:13", "imports"),
        ("accounts {a {maps {a: b}}}", "t.conf:1:13", "maps"),
        ("accounts {a {trace_dest: x}}", "t.conf:1:13", "trace_dest"),
        ("tls {ocsp_peer: true}", "t.conf:1:5", "ocsp_peer"),
    ] {
        let expected = format!("{place}: option \"{key}\" is not supported by this version of midge yet");
        assert_eq!(lines(text), [expected], "{text}");
    }
}

#[test]
fn values_that_this_server_refuses_and_others_do_not() {
    for (text, expected) in [
        ("ping_interval: \"-1s\"", "t.conf:1:0: ping_interval cannot be negative"),
        ("authorization {timeout: -1}", "t.conf:1:15: timeout cannot be negative"),
        ("accounts {a {limits {max_conn: 3g}}}", "t.conf:1:21: max_conn value is too big"),
    ] {
        assert_eq!(lines(text), [expected], "{text}");
    }
}

#[test]
fn warnings_come_first_and_do_not_stop_a_start() {
    assert_eq!(
        lines("zork: 1\nping_interval: 5\nport: x\n"),
        [
            "t.conf:2:1: invalid use of field \"ping_interval\": ping_interval should be converted to a duration",
            "t.conf:1:0: unknown field \"zork\"",
            "t.conf:3:1: interface conversion: interface {} is string, not int64",
        ]
    );
    let options = good("ping_interval: 5\n");
    assert_eq!(options.limits.ping_interval, Duration::from_secs(5));
    assert_eq!(options.origin.warnings.len(), 1);
    assert_eq!(good("# nothing").origin.warnings, ["t.conf: config has no values or is empty"]);
}

#[test]
fn errors_are_drawn_below_their_lines() {
    let error = read("port: 1\nauthorization {\n  password: \"s3cret\", zork: 1\n}\n").expect_err("zork");
    let expected = "t.conf:3:23: unknown field \"zork\"\n\n\
                    unknown field \"zork\"\n \
                    --> t.conf:3:23\n  |\n\
                    3 |   password: \"******\", zork: 1\n  |                       ^^^^\n";
    assert_eq!(error, expected);
}

#[test]
fn stored_streams_are_switched_and_limited() {
    for (text, on) in [
        ("jetstream: true", true),
        ("jetstream {}", true),
        ("JetStream: enabled", true),
        ("jetstream {enabled: false, domain: x}", false),
    ] {
        assert_eq!(read(text).expect(text).jetstream.enabled, on, "{text}");
    }
    let options = read(
        "jetstream {store_dir: d, max_mem: 1G, max_file: 10, sync: always, domain: hub, key: k, cipher: aes, strict: false\n\
         limits {max_ack_pending: 5, duplicate_window: \"1m\", batch {max_msgs: 7}}, max_outstanding_catchup: 1M}",
    )
    .expect("valid");
    let jetstream = &options.jetstream;
    assert_eq!(options.server.store_dir, "d");
    assert_eq!((jetstream.max_memory, jetstream.max_file), (Some(1_000_000_000), Some(10)));
    assert!(jetstream.sync_always && !jetstream.strict && jetstream.cipher == super::jetstream::Cipher::Aes);
    assert_eq!((jetstream.domain.as_str(), jetstream.limits.max_ack_pending), ("hub", 5));
    assert_eq!(jetstream.limits.batch.max_msgs, Some(7));
    let options =
        read("accounts {a {jetstream {max_mem: 1M, max_streams: 3, max_bytes: true}}}").expect("valid");
    let limits = options.accounts[0].jetstream.expect("enabled");
    assert_eq!((limits.max_memory, limits.max_streams, limits.max_bytes_required), (1_000_000, 3, true));
    assert_eq!(limits.max_store, -1);
}
