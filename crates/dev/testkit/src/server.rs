//! A server program as a child process on loopback.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take before it counts as stuck.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// How often conditions outside a connection are looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A running server. It is killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    dir: PathBuf,
    pid: u32,
    /// The client port.
    pub port: u16,
    /// The monitoring port, if there is one.
    pub monitor: Option<u16>,
}

impl Server {
    /// Starts `program` with a free client port; it is ready when its ports file exists. `dir` receives the ports file and the log
    /// (standard error) as `stderr.log`.
    pub async fn start(
        program: &Path,
        dir: &Path,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> Result<Self> {
        let mut command = program_command(program, dir);
        command.args(["-a", "127.0.0.1", "-p", "-1", "--ports_file_dir"]).arg(dir).args(arguments);
        Self::spawn(command, dir, environment).await
    }

    async fn spawn(mut command: Command, dir: &Path, environment: &[(String, String)]) -> Result<Self> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("stderr.log"))?;
        command.envs(environment.iter().map(|(name, value)| (name, value))).current_dir(dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let child =
            command.spawn().with_context(|| format!("starting {:?}", command.as_std().get_program()))?;
        let pid = child.id().context("the server has a pid")?;
        let mut server = Self { child, dir: dir.to_path_buf(), pid, port: 0, monitor: None };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let ports = self.dir.join(format!("nats-server_{}.ports", self.pid));
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(text) = std::fs::read_to_string(&ports)
                && let Ok(json) = serde_json::from_str::<serde_json::Value>(&text)
            {
                self.port = port(&json["nats"]).context("a client port in the ports file")?;
                self.monitor = port(&json["monitoring"]);
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at start with {status}:\n{}", self.stderr());
            }
            if Instant::now() > deadline {
                bail!(
                    "no ports file {} in {PATIENCE:?}; the server said:\n{}",
                    ports.display(),
                    self.stderr()
                );
            }
            sleep(LOOK).await;
        }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What the server wrote to standard error so far.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.join("stderr.log")).unwrap_or_default()
    }

    /// Sends a signal by its name without `SIG`.
    pub fn signal(&self, name: &str) -> Result<()> {
        use rustix::process::{Pid, Signal, kill_process};

        let signal = match name {
            "HUP" => Signal::HUP,
            "INT" => Signal::INT,
            "TERM" => Signal::TERM,
            "USR1" => Signal::USR1,
            "USR2" => Signal::USR2,
            "KILL" => Signal::KILL,
            other => bail!("unknown signal {other}"),
        };
        let pid = Pid::from_raw(i32::try_from(self.pid)?).context("a pid")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits until the process has ended.
    pub async fn exit(&mut self) -> Result<ExitStatus> {
        Ok(timeout(2 * PATIENCE, self.child.wait()).await.context("the server does not end")??)
    }

    /// Kills the process and waits for its end.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// The program under the name that tools expect: started through a link called `nats-server` in `dir`.
pub fn program_command(program: &Path, dir: &Path) -> Command {
    let link = dir.join("nats-server");
    if !link.exists() {
        // A second runner in the same folder may have made it meanwhile; either link will do.
        let _ = std::os::unix::fs::symlink(program, &link);
    }
    Command::new(link)
}

/// The port of the first URL in a list.
fn port(urls: &serde_json::Value) -> Option<u16> {
    urls.get(0)?.as_str()?.rsplit_once(':')?.1.parse().ok()
}

/// Waits until `holds` returns something.
pub async fn until<T>(patience: Duration, mut holds: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = holds() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        sleep(LOOK).await;
    }
}
