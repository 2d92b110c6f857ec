use super::*;
use crate::decide::Setting;
use crate::kinds::ConnectionKind;
use crate::nkey::{KeyKind, KeyPair};
use crate::tls_map::PeerNames;
use midge_config::schema::authorization::{
    Authorization, NkeyUser, Permissions as Lists, SubjectPermission, User,
};
use midge_stdx::entropy::Seeded;

const NONCE: &[u8] = b"0123456789abcde";

fn tcp() -> Connection<'static> {
    Connection { kind: ConnectionKind::Standard, nonce: NONCE, certificate: None, map_certificate: false }
}

fn user(name: &str, password: &str) -> User {
    User { username: name.to_owned(), password: password.to_owned(), ..User::default() }
}

fn compile(config: &Authorization) -> Users {
    Users::compile(config, Setting::default()).0
}

/// The outcome in one line: `kind label@account` or the reason.
fn told(decision: Decision) -> String {
    match decision {
        Decision::Refuse(reason) => reason.text().to_owned(),
        Decision::Check { work, login } => {
            if work.run() {
                format!("hashed {}", told(Decision::Accept(login)))
            } else {
                "hash does not fit".to_owned()
            }
        }
        Decision::Accept(login) => {
            let stand_in = if login.no_auth { " (stand-in)" } else { "" };
            format!("{:?} {}@{}{stand_in}", login.kind, login.label, login.account)
        }
    }
}

fn given<'a>(user: &'a str, pass: &'a str) -> Credentials<'a> {
    Credentials { user, pass, ..Credentials::default() }
}

fn token(auth_token: &str) -> Credentials<'_> {
    Credentials { auth_token, ..Credentials::default() }
}

#[test]
fn nobody_is_asked_where_nothing_is_configured() {
    for present in [false, true] {
        let users = compile(&Authorization { present, ..Authorization::default() });
        assert!(!users.auth_required() && !users.info_auth_required() && !users.nonce_required());
        assert_eq!(told(users.decide(&given("", ""), &tcp())), "None @");
        assert_eq!(told(users.decide(&given("x", "p"), &tcp())), "User x@");
        assert_eq!(told(users.decide(&token("t"), &tcp())), "Token [REDACTED]@");
    }
}

#[test]
fn single_users_and_tokens() {
    let single = Authorization { username: "a".into(), password: "b".into(), ..Authorization::default() };
    let users = compile(&single);
    assert!(users.auth_required() && users.info_auth_required() && users.has_plaintext_passwords());
    for (credentials, expected) in [
        (given("a", "b"), "User a@"),
        (given("a", ""), "wrong password"),
        (given("x", "b"), "unknown user"),
        (given("", "b"), "no credentials"),
        (token("b"), "no credentials"),
    ] {
        assert_eq!(told(users.decide(&credentials, &tcp())), expected);
    }
    let users = compile(&Authorization { token: "tok".into(), ..Authorization::default() });
    for (credentials, expected) in [
        (token("tok"), "Token [REDACTED]@"),
        (token("x"), "wrong token"),
        (given("tok", ""), "wrong token"),
        (given("", "tok"), "wrong token"),
    ] {
        assert_eq!(told(users.decide(&credentials, &tcp())), expected);
    }
    let hash = bcrypt::hash("tok", 4).unwrap();
    let users = compile(&Authorization { token: hash, ..Authorization::default() });
    assert!(!users.has_plaintext_passwords());
    assert_eq!(told(users.decide(&token("tok"), &tcp())), "hashed Token [REDACTED]@");
    assert_eq!(told(users.decide(&token("x"), &tcp())), "hash does not fit");
}

#[test]
fn listed_users() {
    let hash = bcrypt::hash("h", 4).unwrap();
    let websocket = User { connection_types: vec!["WEBSOCKET".into()], ..user("ws", "w") };
    let named = User { account: "A".into(), ..user("s", "p") };
    let users = compile(&Authorization {
        present: true,
        users: vec![user("a", "b"), user("n", ""), user("h", &hash), websocket, named],
        ..Authorization::default()
    });
    for (credentials, expected) in [
        (given("a", "b"), "User a@"),
        (given("a", "x"), "wrong password"),
        (given("n", ""), "User n@"),
        (given("h", "h"), "hashed User h@"),
        (given("h", "x"), "hash does not fit"),
        (given("ws", "w"), "connection type not allowed"),
        (given("s", "p"), "User s@A"),
        (given("zz", "p"), "unknown user"),
        (given("", "b"), "no credentials"),
        (given("", ""), "no credentials"),
        (token("b"), "no credentials"),
    ] {
        assert_eq!(told(users.decide(&credentials, &tcp())), expected, "{credentials:?}");
    }
    let over_websocket = Connection { kind: ConnectionKind::Websocket, ..tcp() };
    assert_eq!(told(users.decide(&given("ws", "w"), &over_websocket)), "User ws@");
    assert!(users.without_connect(ConnectionKind::Standard).is_none());
}

#[test]
fn the_stand_in_serves_clients_without_any_credential() {
    let hash = bcrypt::hash("h", 4).unwrap();
    let users = compile(&Authorization {
        users: vec![user("a", "b"), user("c", &hash)],
        no_auth_user: "c".into(),
        ..Authorization::default()
    });
    assert!(users.auth_required() && !users.info_auth_required());
    for (credentials, expected) in [
        (given("", ""), "User c@ (stand-in)"),
        (given("", "x"), "no credentials"),
        (given("a", "x"), "wrong password"),
        (given("a", "b"), "User a@"),
        (token("x"), "no credentials"),
        (Credentials { jwt: "x", ..Credentials::default() }, "User c@ (stand-in)"),
        (Credentials { nkey: "x", ..Credentials::default() }, "User c@ (stand-in)"),
    ] {
        assert_eq!(told(users.decide(&credentials, &tcp())), expected, "{credentials:?}");
    }
    let early = users.without_connect(ConnectionKind::Standard).unwrap();
    assert_eq!(told(Decision::Accept(early)), "User c@ (stand-in)");
}

#[test]
fn a_stand_in_keeps_its_connection_kinds() {
    let only = User { connection_types: vec!["WEBSOCKET".into()], ..user("c", "p") };
    let users =
        compile(&Authorization { users: vec![only], no_auth_user: "c".into(), ..Authorization::default() });
    assert_eq!(told(users.decide(&given("", ""), &tcp())), "connection type not allowed");
    assert!(users.without_connect(ConnectionKind::Standard).is_none());
    assert!(users.without_connect(ConnectionKind::Websocket).is_some());
}

#[test]
fn anonymous_clients_enter_the_global_account_unless_something_speaks_against_it() {
    let system = User { account: "$SYS".into(), ..user("s", "p") };
    let config = Authorization { users: vec![system], ..Authorization::default() };
    let builtin = Setting { only_builtin_accounts: true, ..Setting::default() };
    let users = Users::compile(&config, builtin).0;
    assert!(users.accepts_anonymous() && users.info_auth_required());
    for (credentials, expected) in [
        (given("", ""), "None @ (stand-in)"),
        (given("s", "p"), "User s@$SYS"),
        (given("zz", "p"), "unknown user"),
        (token("zz"), "no credentials"),
        (given("", "zz"), "no credentials"),
    ] {
        assert_eq!(told(users.decide(&credentials, &tcp())), expected, "{credentials:?}");
    }
    assert!(users.without_connect(ConnectionKind::Standard).is_some());
    let block = Authorization { present: true, ..config.clone() };
    let users = Users::compile(&block, builtin).0;
    assert_eq!(told(users.decide(&given("", ""), &tcp())), "no credentials");
    let users = Users::compile(&config, Setting::default()).0;
    assert_eq!(told(users.decide(&given("", ""), &tcp())), "no credentials");
}

#[test]
fn keys_sign_the_nonce() {
    let mut entropy = Seeded::new(9);
    let pair = KeyPair::generate(KeyKind::User, &mut entropy);
    let free = KeyPair::generate(KeyKind::User, &mut entropy);
    let key = |pair: &KeyPair| NkeyUser { nkey: pair.public(), account: "A".into(), ..NkeyUser::default() };
    let users = compile(&Authorization {
        nkeys: vec![key(&pair), key(&free)],
        no_auth_user: free.public(),
        ..Authorization::default()
    });
    assert!(users.nonce_required() && users.auth_required());
    let (public, standing, stranger) =
        (pair.public(), free.public(), KeyPair::generate(KeyKind::User, &mut entropy));
    let unknown = stranger.public();
    let (good, bad) = (pair.sign_text(NONCE), stranger.sign_text(NONCE));
    let signed = |nkey, sig| Credentials { nkey, sig, ..Credentials::default() };
    for (credentials, expected) in [
        (signed(&public, &good), format!("Nkey {public}@A")),
        (signed(&public, &bad), "signature not verified".to_owned()),
        (signed(&public, ""), "signature missing".to_owned()),
        (signed(&unknown, &bad), "unknown nkey".to_owned()),
        (signed("", &good), format!("Nkey {standing}@A (stand-in)")),
        (signed(&standing, ""), format!("Nkey {standing}@A (stand-in)")),
        (given("x", "p"), "no credentials".to_owned()),
    ] {
        assert_eq!(told(users.decide(&credentials, &tcp())), expected);
    }
    let no_nonce = Connection { nonce: b"", ..tcp() };
    assert_eq!(told(users.decide(&signed(&public, &good), &no_nonce)), "signature missing");
    // A stand-in with a key does not serve clients that skip CONNECT.
    assert!(users.without_connect(ConnectionKind::Standard).is_none());
}

#[test]
fn bad_keys_are_reported_and_admit_nobody() {
    let config = Authorization {
        nkeys: vec![NkeyUser { nkey: "Ubad".into(), ..NkeyUser::default() }],
        ..Authorization::default()
    };
    let (users, complaints) = Users::compile(&config, Setting::default());
    assert_eq!(complaints.len(), 1);
    let credentials = Credentials { nkey: "Ubad", sig: "AAAA", ..Credentials::default() };
    assert_eq!(told(users.decide(&credentials, &tcp())), "signature not verified");
}

#[test]
fn certificates_name_the_user_where_they_are_mapped() {
    let config = Authorization {
        users: vec![user("jo@acme.com", ""), user("pw", "p"), user("", "")],
        ..Authorization::default()
    };
    let users = Users::compile(&config, Setting { maps_certificates: true, ..Setting::default() }).0;
    let names = PeerNames { emails: vec!["jo@acme.com".into()], ..PeerNames::default() };
    let mapped = Connection { certificate: Some(&names), map_certificate: true, ..tcp() };
    let Decision::Accept(login) = users.decide(&given("pw", "p"), &mapped) else { panic!("refused") };
    assert_eq!((&*login.label, login.ignored_user.as_deref()), ("jo@acme.com", Some("pw")));
    let strangers = PeerNames { emails: vec!["x@acme.com".into()], ..PeerNames::default() };
    let stranger = Connection { certificate: Some(&strangers), ..mapped };
    assert_eq!(told(users.decide(&given("pw", "p"), &stranger)), "no user for the certificate");
    let bare = Connection { certificate: None, ..mapped };
    assert_eq!(told(users.decide(&given("pw", "p"), &bare)), "no user for the certificate");
    // On another listener the same user has no password to come in with.
    assert_eq!(told(users.decide(&given("jo@acme.com", ""), &tcp())), "user needs a certificate");
    assert_eq!(told(users.decide(&given("pw", "p"), &tcp())), "User pw@");
}

#[test]
fn default_permissions_are_for_users_of_the_block_that_state_none() {
    let publish = |subject: &str| {
        let allow = Some(vec![subject.to_owned()]);
        Some(SubjectPermission { allow, deny: None })
    };
    let own = Lists { publish: publish("own"), ..Lists::default() };
    let config = Authorization {
        present: true,
        users: vec![
            user("plain", "p"),
            User { permissions: Some(own), ..user("own", "p") },
            User { permissions: Some(Lists::default()), ..user("blank", "p") },
            User { account: "A".into(), ..user("other", "p") },
        ],
        default_permissions: Some(Lists { publish: publish("default"), ..Lists::default() }),
        ..Authorization::default()
    };
    let users = compile(&config);
    let permissions = |name: &str| match users.decide(&given(name, "p"), &tcp()) {
        Decision::Accept(login) => login.permissions,
        other => panic!("{other:?}"),
    };
    assert!(permissions("plain").unwrap().may_publish(b"default"));
    assert!(permissions("blank").unwrap().may_publish(b"default"));
    let own = permissions("own").unwrap();
    assert!(own.may_publish(b"own") && !own.may_publish(b"default"));
    assert!(permissions("other").is_none());
}
