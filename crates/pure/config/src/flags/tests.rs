use super::*;
use crate::lang::MemorySource;
use crate::schema::Port;

fn run_with(source: &MemorySource, line: &str) -> Command {
    let arguments: Vec<String> = line.split(' ').filter(|word| !word.is_empty()).map(word).collect();
    let identity =
        Identity { compat_version: String::from("2.15.1"), midge_version: String::from("midge 0.1.0") };
    configure(&arguments, source, &identity)
}

/// `''` is an empty argument.
fn word(text: &str) -> String {
    if text == "''" { String::new() } else { text.to_owned() }
}

fn source() -> MemorySource {
    MemorySource::new()
        .file(
            "a.conf",
            "port: 1\nhost: file\ndebug: true\nlogtime: false\nserver_name: file\nhttp: 2\n\
             authorization {user: fu, pass: fp}\ntls {cert_file: fc, key_file: fk, timeout: 5, verify: true}",
        )
        .file("warn.conf", "ping_interval: 5")
        .file("bad.conf", "zork: 1")
        .file("start.conf", "max_payload: 1g")
}

fn run(line: &str) -> Command {
    run_with(&source(), line)
}

fn options(line: &str) -> Options {
    match run(line) {
        Command::Run(options) => *options,
        other => panic!("{line}: {other:?}"),
    }
}

fn failure(line: &str) -> (String, i32) {
    match run(line) {
        Command::Fail { stderr, stdout, exit_code } => {
            assert_eq!(exit_code == 0, !stdout.is_empty(), "usage comes with status 0");
            (stderr, exit_code)
        }
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn every_flag_reaches_its_field() {
    let set = options(
        "--addr=h -port 7 -n name -P pid -m 8 -client_advertise adv --ports_file_dir d -l log -T=false \
         -logtime_utc -s -r rs -D -V -log_size_limit 9 -max_traced_msg_len 10 -sd dir -user u --pass=p",
    );
    assert_eq!((set.listen.host.as_str(), set.listen.port), ("h", Port::Fixed(7)));
    assert_eq!((set.server.server_name.as_str(), set.server.pid_file.as_str()), ("name", "pid"));
    assert_eq!(set.monitoring.http, Some(Port::Fixed(8)));
    assert_eq!((set.listen.client_advertise.as_str(), set.server.ports_file_dir.as_str()), ("adv", "d"));
    let log = &set.logging;
    assert_eq!((log.log_file.as_str(), log.remote_syslog.as_str()), ("log", "rs"));
    assert!(!log.logtime && log.logtime_utc && log.syslog && log.debug && log.trace && !log.trace_verbose);
    assert_eq!((log.log_size_limit, log.max_traced_msg_len), (9, 10));
    assert_eq!(set.server.store_dir, "dir");
    assert_eq!((set.authorization.username.as_str(), set.authorization.password.as_str()), ("u", "p"));
    assert_eq!(options("-auth t").authorization.token, "t");
    assert_eq!(options("-p -1").listen.port, Port::Random);
    assert_eq!(options("-p 0").listen.port, Port::Fixed(4222));
    let vv = options("-VV").logging;
    assert!(vv.trace && vv.trace_verbose && !vv.debug);
    let dvv = options("-DVV").logging;
    assert!(dvv.trace && dvv.trace_verbose && dvv.debug);
    let dv = options("--DV").logging;
    assert!(dv.trace && !dv.trace_verbose && dv.debug);
    assert_eq!(options("-p 5 -V").origin.arguments, ["-p", "5", "-V"]);
}

#[test]
fn flags_win_over_the_file_and_leave_the_rest_of_it_alone() {
    let plain = options("-c a.conf");
    assert_eq!((plain.listen.host.as_str(), plain.listen.port), ("file", Port::Fixed(1)));
    assert!(plain.logging.debug && !plain.logging.logtime);
    let set = options("-c a.conf -p 9 -D=false --user u");
    assert_eq!((set.listen.host.as_str(), set.listen.port), ("file", Port::Fixed(9)));
    assert!(!set.logging.debug && !set.logging.logtime);
    assert_eq!((set.authorization.username.as_str(), set.authorization.password.as_str()), ("u", "fp"));
    assert_eq!(set.origin.config_file, "a.conf");
    assert_eq!(options("-c a.conf -m 0").monitoring.http, None);
}

#[test]
fn tls_flags() {
    assert_eq!(options("-c a.conf -tls=false").tls, None);
    let set = options("-c a.conf -tlscert c --tlskey k -tlscacert a").tls.expect("TLS is on");
    assert_eq!(set.certificates[0].cert_file, "c");
    assert_eq!((set.ca_file.as_str(), set.verify, set.place.is_none()), ("a", false, true));
    assert_eq!(set.timeout, std::time::Duration::from_secs(5));
    assert!(options("-tlsverify -tlscert c -tlskey k").tls.is_some_and(|tls| tls.verify));
    for (line, expected) in [
        ("-tls", "TLS Server certificate must be present and valid"),
        ("-tlsverify=false", "TLS Server certificate must be present and valid"),
        ("-c a.conf -tls", "TLS Server certificate must be present and valid"),
        ("-tlscert c", "TLS Server private key must be present and valid"),
    ] {
        assert_eq!(failure(line), (format!("nats-server: {expected}\n"), 1), "{line}");
    }
}

#[test]
fn malformed_flags_print_usage_with_status_zero() {
    for (line, expected) in [
        ("-zork", "flag provided but not defined: -zork"),
        ("--zork=1", "flag provided but not defined: -zork"),
        ("-p x", "invalid value \"x\" for flag -p: parse error"),
        ("-p 99999999999999999999", "invalid value \"99999999999999999999\" for flag -p: value out of range"),
        ("-D=zz", "invalid boolean value \"zz\" for -D: parse error"),
        ("-p", "flag needs an argument: -p"),
        ("---x", "bad flag syntax: ---x"),
        ("-=x", "bad flag syntax: -=x"),
    ] {
        assert_eq!(failure(line), (format!("{expected}\n"), 0), "{line}");
    }
}

#[test]
fn other_failures_have_status_one() {
    for (line, expected) in [
        ("foo", "unrecognized command: \"foo\""),
        ("-- -p", "unrecognized command: \"-p\""),
        ("-", "unrecognized command: \"-\""),
        ("-p 1 foo -zork", "unrecognized command: \"foo\""),
        ("-t", "must specify [-c, --config] option to check configuration file syntax"),
        ("-c no.conf", "open no.conf: no such file or directory"),
        ("-sl a=b=c", "invalid signal parameters: [c]"),
        ("-n name -p 70000", "flag \"-p\": port 70000 is out of range, expected -1 to 65535"),
        ("-routes x", "flag \"-routes\" is not supported by this version of midge yet"),
        ("-cluster nats://x:1", "flag \"-cluster\" is not supported by this version of midge yet"),
        ("-cluster_name x", "flag \"-cluster_name\" is not supported by this version of midge yet"),
        ("-profile 1", "flag \"-profile\" is not supported by this version of midge yet"),
        ("-m 1 -ms 2", "Can't start monitoring: can't specify both HTTP (1) and HTTPs (2) ports"),
    ] {
        assert_eq!(failure(line), (format!("nats-server: {expected}\n"), 1), "{line}");
    }
    let (stderr, code) = failure("-c bad.conf");
    assert!(stderr.starts_with("nats-server: bad.conf:1:0: unknown field \"zork\"\n\n"), "{stderr}");
    assert_eq!(code, 1);
    for line in ["-js=false", "-cluster ''", "-routes ''", "-profile 0", "-no_advertise=false"] {
        let _ = options(line);
    }
}

#[test]
fn information_and_signals() {
    let version = Command::PrintVersion(String::from("nats-server: v2.15.1\nmidge 0.1.0\n"));
    for line in ["-v", "--version", "version", "VERSION", "-p 1 version -zork", "-v -h"] {
        assert_eq!(run(line), version, "{line}");
    }
    for line in ["-h", "--help", "help", "-help"] {
        assert_eq!(run(line), Command::PrintHelp(usage_text()), "{line}");
    }
    assert_eq!(run("--help_tls"), Command::PrintHelpTls(help_tls_text()));
    let signal = |command: &str, argument: &str| Command::Signal {
        command: command.to_owned(),
        argument: argument.to_owned(),
    };
    assert_eq!(run("-sl ldm"), signal("ldm", ""));
    assert_eq!(run("--signal ldm=12"), signal("ldm", "12"));
    assert_eq!(run("-sl=stop=a.pid -c no.conf"), signal("stop", "a.pid"));
}

#[test]
fn testing_a_file() {
    match run("-t -c a.conf") {
        Command::TestConfig { message, options } => {
            let digest = &options.origin.digest;
            assert_eq!(message, format!("nats-server: configuration file a.conf is valid ({digest})\n"));
        }
        other => panic!("{other:?}"),
    }
    // Rules over several options are no part of the test; warnings are.
    assert!(matches!(run("-t -c start.conf"), Command::TestConfig { .. }));
    assert!(matches!(run("-c start.conf"), Command::Fail { .. }));
    assert!(matches!(run("-t -c warn.conf"), Command::Fail { exit_code: 1, .. }));
    assert_eq!(options("-c warn.conf").origin.warnings.len(), 1);
}

#[test]
fn usage_names_every_flag() {
    let text = usage_text();
    for flag in crate::table::FLAGS {
        for name in flag.names {
            assert!(text.contains(&format!("-{name}")), "{name}");
        }
    }
    assert!(text.starts_with("\nUsage: nats-server [options]\n"));
    assert!(help_tls_text().contains("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n"));
}
