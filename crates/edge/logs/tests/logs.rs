//! A log as a server uses it, with real files and sockets.

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use midge_config::schema::Logging;
use midge_logs::Logs;
use tracing::subscriber::with_default;

/// A directory that is removed at the end of its test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("midge-logs-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }

    /// The names in it, sorted.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn to_file(path: &str) -> Logging {
    Logging { log_file: path.to_owned(), logtime: false, ..Logging::default() }
}

fn pid() -> u32 {
    std::process::id()
}

/// One event of each level.
fn one_of_each() {
    tracing::error!(target: "midge_test", "e {}", 1);
    tracing::warn!(target: "midge_test", "w");
    tracing::info!(target: "midge_test", extra = 7, "i");
    tracing::debug!(target: "midge_test", "d");
    tracing::trace!(target: "midge_test", "t");
}

#[test]
fn switches_decide_what_is_printed_while_it_runs() {
    let dir = Directory::new();
    let path = dir.file("x.log");
    let logs = Logs::build(&to_file(&path), "x").unwrap();
    let labels = |from: usize| -> Vec<String> {
        logs.flush();
        let text = read(&path);
        let line_label = |line: &str| line.split(['[', ']']).nth(3).unwrap_or_default().to_owned();
        text.lines().skip(from).map(line_label).collect()
    };
    with_default(logs.subscriber(), || {
        one_of_each();
        assert_eq!(labels(0), ["ERR", "WRN", "INF"]);
        assert!(!tracing::enabled!(target: "midge_test", tracing::Level::DEBUG));
        logs.set_trace(true);
        one_of_each();
        assert_eq!(labels(3), ["ERR", "WRN", "INF", "TRC"]);
        logs.set_trace(false);
        logs.set_debug(true);
        one_of_each();
        assert_eq!(labels(7), ["ERR", "WRN", "INF", "DBG"]);
        tracing::debug!(target: "hyper", "not ours");
        tracing::info!(target: "hyper", "not ours, but of interest");
        assert_eq!(labels(11), ["INF"]);
        logs.set_debug(false);
        one_of_each();
        assert_eq!(labels(12), ["ERR", "WRN", "INF"]);
    });
    let text = read(&path);
    assert!(text.starts_with(&format!("[{0}] [ERR] e 1\n[{0}] [WRN] w\n[{0}] [INF] i\n", pid())), "{text}");
}

#[test]
fn a_file_has_times_and_is_appended_to() {
    let dir = Directory::new();
    let path = dir.file("x.log");
    let options = Logging { logtime: true, logtime_utc: true, debug: true, ..to_file(&path) };
    for text in ["one", "two\nthree"] {
        let logs = Logs::build(&options, "x").unwrap();
        with_default(logs.subscriber(), || tracing::info!("{text}"));
    }
    let text = read(&path);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    for (line, ending) in lines.iter().zip(["one", "two\\nthree"]) {
        let rest = line.strip_prefix(&format!("[{}] ", pid())).unwrap();
        let (time, rest) = rest.split_at("2023/11/14 22:13:20.123456".len());
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000/00/00 00:00:00.000000");
        assert_eq!(rest, format!(" [INF] {ending}"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
    }
}

#[test]
fn a_file_that_grows_too_long_is_rotated_and_old_ones_are_purged() {
    let dir = Directory::new();
    let path = dir.file("x.log");
    std::fs::write(dir.file("x.log.keep"), "not a backup").unwrap();
    let options = Logging { log_size_limit: 400, log_max_num: 3, ..to_file(&path) };
    let logs = Logs::build(&options, "x").unwrap();
    with_default(logs.subscriber(), || {
        for n in 0..60 {
            tracing::info!("line {n:02} {}", "x".repeat(60));
        }
    });
    logs.flush();
    let names = dir.names();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(names.first().unwrap(), "x.log");
    assert_eq!(names.last().unwrap(), "x.log.keep");
    let shape: String = names[1].chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "x.log.0000.00.00.00.00.00.000000000");
    let current = read(&path);
    let backup = dir.file(&names[2]);
    let expected = format!("[{}] [INF] Rotated log, backup saved as \"{backup}\"\r\n", pid());
    assert!(current.starts_with(&expected), "{current}");
    assert!(current.contains("[INF] Purged log file \"x.log.2"), "{current}");
    assert!(current.contains("\"\r\n"), "{current}");
    for name in &names[1..3] {
        let size = read(dir.file(name)).len();
        assert!((400..600).contains(&size), "{size}");
    }
    // Nothing is lost at the seams.
    let all: String = [&names[1], &names[2], &names[0]].map(|name| read(dir.file(name))).concat();
    let numbers: Vec<u32> =
        all.lines().filter_map(|line| line.split_once("line ")?.1.get(..2)?.parse().ok()).collect();
    let first = numbers[0];
    assert_eq!(numbers, (first..60).collect::<Vec<u32>>());
}

#[test]
fn a_file_that_is_too_long_at_the_start_is_rotated() {
    let dir = Directory::new();
    let path = dir.file("x.log");
    std::fs::write(&path, "x".repeat(500) + "\n").unwrap();
    drop(Logs::build(&Logging { log_size_limit: 400, ..to_file(&path) }, "x").unwrap());
    let names = dir.names();
    assert_eq!(names.len(), 2);
    assert!(read(dir.file(&names[1])).ends_with(&format!("x\n[{}] [INF] Rotating logfile...\r\n", pid())));
    assert!(read(&path).contains("Rotated log, backup saved as"));
}

#[test]
fn when_rotation_fails_the_file_goes_on() {
    let dir = Directory::new();
    // The name has no room for the date of a backup.
    let name = "x".repeat(240);
    let path = dir.file(&name);
    let logs = Logs::build(&Logging { log_size_limit: 400, ..to_file(&path) }, "x").unwrap();
    with_default(logs.subscriber(), || {
        for _ in 0..20 {
            tracing::info!("{}", "y".repeat(100));
        }
    });
    logs.flush();
    let text = read(&path);
    assert!(
        text.contains("[ERR] Unable to rotate the log file (file name too long), next attempt at size 8")
    );
    assert_eq!(text.matches("yyy").count() / 33, 20);
    let attempts = text.matches("Unable to rotate").count();
    assert!((2..=4).contains(&attempts), "{attempts}");
}

#[test]
fn a_file_is_opened_again_by_its_name_and_keeps_its_options() {
    let dir = Directory::new();
    let path = dir.file("x.log");
    let logs = Logs::build(&Logging { log_size_limit: 2000, log_max_num: 2, ..to_file(&path) }, "x").unwrap();
    with_default(logs.subscriber(), || {
        tracing::info!("before");
        logs.flush();
        std::fs::rename(&path, dir.file("moved")).unwrap();
        tracing::info!("still in the old file");
        logs.reopen();
        tracing::info!("after");
        logs.flush();
        assert!(read(dir.file("moved")).ends_with("still in the old file\n"));
        let expected = format!("[{0}] [INF] File log re-opened\n[{0}] [INF] after\n", pid());
        assert_eq!(read(&path), expected);
        for _ in 0..100 {
            tracing::info!("{}", "x".repeat(100));
        }
    });
    logs.flush();
    assert_eq!(dir.names().len(), 3, "the moved file, the current one and one backup");
}

#[test]
fn a_limited_text_is_printed_once_per_second() {
    let dir = Directory::new();
    let path = dir.file("x.log");
    let logs = Logs::build(&to_file(&path), "x").unwrap();
    with_default(logs.subscriber(), || {
        for _ in 0..5 {
            tracing::warn!(limited = true, "often");
            tracing::warn!(limited = false, "always");
            logs.rate_limited_warn("by name");
        }
    });
    logs.flush();
    let text = read(&path);
    let count = |what: &str| text.matches(what).count();
    assert_eq!((count("[WRN] often"), count("[WRN] always"), count("[WRN] by name")), (1, 5, 1));
}

#[test]
fn a_fatal_line_ends_the_process_except_with_a_syslog() {
    let dir = Directory::new();
    let path = dir.file("x.log");
    let logs = Logs::build(&to_file(&path), "x").unwrap();
    assert!(logs.fatal("no way on"));
    assert_eq!(read(&path), format!("[{}] [FTL] no way on\n", pid()));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = format!("udp://{}", socket.local_addr().unwrap());
    let logs = Logs::build(&Logging { remote_syslog: address, ..Logging::default() }, "x").unwrap();
    assert!(!logs.fatal("no way on"));
    let mut buffer = [0; 1024];
    let read = socket.recv(&mut buffer).unwrap();
    assert!(buffer[..read].starts_with(b"<2>"));
}

#[test]
fn remote_syslogs_get_one_message_per_line() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = format!("udp://{}", socket.local_addr().unwrap());
    let tcp = format!("tcp://{}", listener.local_addr().unwrap());
    let options =
        |address: &str| Logging { remote_syslog: address.to_owned(), syslog: true, ..Logging::default() };
    let log = |address: &str| {
        let logs = Logs::build(&options(address), "/usr/bin/nats-server").unwrap();
        with_default(logs.subscriber(), one_of_each);
        // It is no file.
        logs.reopen();
    };
    log(&udp);
    let mut messages = Vec::new();
    for _ in 0..4 {
        let mut buffer = [0; 1024];
        let read = socket.recv(&mut buffer).unwrap();
        messages.push(String::from_utf8(buffer[..read].to_vec()).unwrap());
    }
    log(&tcp);
    let mut stream = String::new();
    listener.accept().unwrap().0.read_to_string(&mut stream).unwrap();
    let expected =
        [("<3>", "e 1"), ("<4>", "w"), ("<5>", "i"), ("<5>", "File log re-open ignored, not a file logger")];
    for messages in [messages, stream.split_inclusive('\n').map(str::to_owned).collect()] {
        assert_eq!(messages.len(), expected.len());
        for (message, (priority, text)) in messages.iter().zip(expected) {
            assert!(message.starts_with(priority), "{message}");
            assert!(message.ends_with(&format!(" nats-server[{}]: {text}\n", pid())), "{message}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_syslog_that_was_restarted_is_found_again() {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;
    let dir = Directory::new();
    let path = dir.file("log.sock");
    let options = Logging { remote_syslog: format!("unix://{path}"), ..Logging::default() };
    let listener = UnixListener::bind(&path).unwrap();
    let logs = Logs::build(&options, "x").unwrap();
    let line = |listener: &UnixListener| {
        let mut line = String::new();
        BufReader::new(listener.accept().unwrap().0).read_line(&mut line).unwrap();
        line
    };
    with_default(logs.subscriber(), || {
        tracing::info!("first");
        assert!(line(&listener).ends_with(": first\n"));
        // The connection is gone; the next line takes a new one.
        tracing::info!("second");
        assert!(line(&listener).ends_with(": second\n"));
    });
}

#[test]
fn what_cannot_be_opened_is_named() {
    let error = |options: &Logging| Logs::build(options, "x").unwrap_err();
    assert_eq!(
        error(&to_file("/no/such/x.log")),
        "error opening file: open /no/such/x.log: no such file or directory"
    );
    let syslog = |address: &str| Logging { remote_syslog: address.to_owned(), ..Logging::default() };
    assert_eq!(error(&syslog("foo://x")), "error invalid network type: \"foo\"");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(
        error(&syslog(&format!("tcp://{free}"))),
        format!("error connecting to syslog: \"dial tcp {free}: connect: connection refused\"")
    );
    // The file comes first, whatever else is set.
    let dir = Directory::new();
    let both = Logging { remote_syslog: "foo://x".to_owned(), ..to_file(&dir.file("x.log")) };
    assert!(Logs::build(&both, "x").is_ok());
}
