//! `cargo xtask hostile`: clients that mean ill, at full size, against the release build. The scenarios are those of the
//! server's own tests; each has a server of its own, started with its configuration.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::{oracle, repo};

pub fn task(arguments: &[String]) -> Result<ExitCode> {
    let only = match arguments {
        [] => "",
        [flag, text] if flag == "--only" => text,
        _ => bail!("unknown arguments: --only TEXT plays the scenarios whose name contains TEXT"),
    };
    let server = oracle::build_midge()?;
    repo::check(repo::cargo().args(["build", "--quiet", "--release"]).args([
        "--package",
        "midge-server",
        "--example",
        "hostile",
    ]))?;
    let clients = repo::target().join("release/examples/hostile");
    let list = repo::capture(&mut Command::new(&clients))?;
    println!("{:<40} {:>8} {:>8}   the other client", "", "grown", "bound");
    println!("{:<40} {:>8} {:>8}   {:>10} {:>10} {:>10}", "scenario", "MiB", "MiB", "p50", "p99", "longest");
    let mut wrong = 0;
    for line in list.lines() {
        let (name, config) = line.split_once('\t').context("a name and a configuration")?;
        if name.contains(only) && !play(&server, &clients, name, config).with_context(|| name.to_owned())? {
            println!("{name}: beyond its bound, or the other client was not served");
            wrong += 1;
        }
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays one scenario against a server of its own.
fn play(server: &Path, clients: &Path, name: &str, config: &str) -> Result<bool> {
    let file = repo::target().join("hostile.conf");
    std::fs::write(&file, format!("listen: \"127.0.0.1:-1\"\n{config}\n"))?;
    let mut server = Command::new(server);
    server.arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = Running(server.spawn().context("starting the server")?);
    let mut log = BufReader::new(server.0.stderr.take().context("its log")?).lines();
    let port = log.find_map(|line| {
        let (_, address) = line.ok()?.split_once("Listening for client connections on ").map(own)?;
        address.rsplit_once(':')?.1.trim().parse::<u16>().ok()
    });
    let port = port.context("the server did not start")?;
    // The log is read to its end, so that the server never waits for it.
    std::thread::spawn(move || log.for_each(drop));
    let mut attack = Command::new(clients);
    attack.arg(name).arg(format!("127.0.0.1:{port}")).arg(server.0.id().to_string());
    // Both sides of every connection need a descriptor here or there; the server raises its own limit.
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$@\"", "sh"]);
    shell.arg(attack.get_program()).args(attack.get_args());
    let passed = shell.status()?.success();
    let alive = server.0.try_wait()?.is_none();
    Ok(passed && alive)
}

fn own((before, after): (&str, &str)) -> (String, String) {
    (before.to_owned(), after.to_owned())
}

/// A server that ends with its scenario.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
