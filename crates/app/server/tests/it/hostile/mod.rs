//! Clients that mean ill: the server's memory stays within a stated bound, and others are served meanwhile.
//!
//! The server has a process of its own, so that its memory can be told from that of the clients: this test program,
//! started again.

mod scenarios;
mod watch;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use scenarios::{ALL, Size};
use watch::{Neighbour, peak_memory};

use crate::support::builder;

/// Tells the program that it is to be the server, with this configuration.
const ROLE: &str = "MIDGE_TEST_SERVER";

const SIZE: Size = Size { connections: 2_000, subscriptions: 200_000, flood: 32 << 20 };

/// The longest that the other client may wait for an answer, in a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(3);

struct Attacked {
    child: Child,
    addr: SocketAddr,
}

impl Attacked {
    fn start(config: &str) -> Attacked {
        allow_many_files();
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "hostile::a_server_in_a_process_of_its_own", "--nocapture"])
            .env(ROLE, config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let addr = lines.find_map(|line| line.ok()?.split_once("listening on ")?.1.parse().ok());
        let addr = addr.expect("an address");
        // What it says later is read, so that it never waits for somebody to do so.
        std::thread::spawn(move || lines.for_each(drop));
        Attacked { child, addr }
    }

    /// Ends it and answers whether it ended well.
    fn stop(mut self) -> bool {
        drop(self.child.stdin.take());
        self.child.wait().is_ok_and(|status| status.success())
    }
}

/// Both sides of thousands of connections need descriptors; the server inherits the limit.
fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the soft limit may be the hard one");
}

/// As a test of its own, it checks what the others rely on.
#[test]
fn a_server_in_a_process_of_its_own() {
    if let Ok(config) = std::env::var(ROLE) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(serve(&config));
    }
    let server = Attacked::start("");
    Neighbour::start(server.addr, "{\"verbose\":false}").and_then(Neighbour::stop).expect("it serves");
    assert!(peak_memory(server.child.id()).expect("its memory") > 1 << 20);
    assert!(server.stop());
}

async fn serve(config: &str) {
    let server = builder(config).start().await.expect("a server");
    // The harness has begun a line.
    write_out(&format!("\nlistening on {}\n", server.client_addr().expect("a listener")));
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    ended.await.expect("waiting for the end of input").expect("input");
    server.shutdown().await;
}

fn write_out(text: &str) {
    use std::io::Write as _;
    std::io::stdout().write_all(text.as_bytes()).expect("output");
}

/// Accepting pauses while there are no descriptors, and goes on when there are.
#[test]
fn descriptors_run_out_and_come_back() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let mut server = Attacked::start("");
    let pid = server.child.id();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count() as u64;
    let of = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let few = Rlimit { current: Some(open + 8), ..getrlimit(Resource::Nofile) };
    let former = prlimit(of, Resource::Nofile, few).expect("its limit is ours to change");
    let crowd: Vec<_> =
        (0..32).map(|_| std::net::TcpStream::connect(server.addr).expect("the system's queue")).collect();
    let last = crowd.last().expect("a crowd");
    last.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket option");
    assert!(last.peek(&mut [0]).is_err(), "there is no descriptor for it");
    assert!(server.child.try_wait().is_ok_and(|ended| ended.is_none()), "the server lives");
    prlimit(of, Resource::Nofile, former).expect("the former limit");
    for stream in crowd {
        let mut line = String::new();
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option");
        BufReader::new(stream).read_line(&mut line).expect("everybody is greeted");
        assert!(line.starts_with("INFO "), "{line}");
    }
    assert!(server.stop());
}

/// Plays one scenario, and checks the bound and the neighbour.
async fn play(name: &str) {
    let scenario = ALL.iter().find(|scenario| scenario.name == name).expect("a scenario");
    let server = Attacked::start(scenario.config);
    let connect = r#"{"verbose":false,"user":"u","pass":"p"}"#;
    let neighbour = Neighbour::start(server.addr, connect).expect("the other client is let in");
    let before = peak_memory(server.child.id()).expect("its memory");
    (scenario.play)(server.addr, SIZE).await;
    let took = neighbour.stop().expect("the other client is served");
    let longest = took.last().copied().unwrap_or_default();
    assert!(longest < PATIENCE, "{name}: the other client waited {longest:?}");
    let grown = peak_memory(server.child.id()).expect("its memory").saturating_sub(before);
    let bound = (scenario.bound)(SIZE);
    write_out(&format!("{name}: {} KiB of {} KiB, {longest:?}\n", grown >> 10, bound >> 10));
    assert!(grown <= bound, "{name}: {grown} bytes, bound {bound}");
    assert!(server.stop(), "{name}: the server ends well");
}

#[tokio::test]
async fn many_connections() {
    play("many connections").await;
}

#[tokio::test]
async fn half_open_handshakes() {
    play("half-open handshakes").await;
}

#[tokio::test]
async fn slow_readers() {
    play("slow readers").await;
}

#[tokio::test]
async fn oversized_control_lines() {
    play("oversized control lines").await;
}

#[tokio::test]
async fn subscription_bombs() {
    play("subscription bomb").await;
    play("subscription bomb against a maximum").await;
}

#[tokio::test]
async fn deep_subjects() {
    play("deep subjects").await;
}

#[tokio::test]
async fn header_bombs() {
    play("header bombs").await;
}

#[tokio::test]
async fn junk_after_ping() {
    play("junk after PING").await;
}

#[tokio::test]
async fn payloads_that_never_complete() {
    play("payloads that never complete").await;
}

#[tokio::test]
async fn a_byte_at_a_time() {
    play("a byte at a time").await;
}

#[tokio::test]
async fn storms_of_unanswered_requests() {
    play("storm of unanswered requests").await;
}
