//! Plays one script against one server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use regex_lite::Regex;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::ask::Seen;
use super::backup::Backup;
use super::link::{self, Link, Piece};
use super::mask::Mask;
use super::{Transcript, http};
use crate::certificates::Certificates;
use crate::script::{Action, ConnectOptions, ConnectionAction, HttpView, Script, Step, escape, unescape};
use crate::server::{PATIENCE, Server, program_command, until};

/// INFO fields that are always recorded; the others only with `# info: full`.
const INFO_SHORT: [&str; 11] = [
    "auth_required",
    "tls_required",
    "tls_verify",
    "tls_available",
    "ldm",
    "connect_info",
    "remote_account",
    "acc_is_sys",
    "headers",
    "max_payload",
    "nonce",
];

/// A program to play against.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The server program.
    pub program: PathBuf,
    /// Certificates for TLS scripts.
    pub certificates: Certificates,
    /// Where runs make their folders.
    pub scratch: PathBuf,
}

/// Plays a script in a new folder and returns what was said.
pub async fn play(stage: &Stage, script: &Script) -> Result<Transcript> {
    let dir = stage.scratch.join(script.name.replace('/', "-"));
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    let variable =
        script.config.iter().chain(script.files.iter().map(|(_, text)| text)).any(|text| text.contains('@'));
    let mut mask = Mask::new(&dir, stage.certificates.dir(), &script.masked, variable);
    if script.jetstream {
        mask = mask.of_jetstream();
    }
    let mut player = Player {
        stage,
        script,
        dir,
        mask,
        server: None,
        links: BTreeMap::new(),
        transcript: Transcript::default(),
        seen: Seen::default(),
        backup: None,
    };
    player.write_files()?;
    if script.starts_server {
        player.start(&[]).await;
    }
    for step in &script.steps {
        if !player.transcript.stuck.is_empty() {
            break;
        }
        player.transcript.step(&step.text);
        player.flush_before(step).await;
        player.step(step).await.with_context(|| format!("line {}: {}", step.line, step.text))?;
    }
    if let Some(mut server) = player.server.take() {
        // It may have ended by itself; then there is nothing to kill.
        let _ = server.kill().await;
    }
    Ok(player.transcript)
}

pub(super) struct Player<'a> {
    stage: &'a Stage,
    pub(super) script: &'a Script,
    dir: PathBuf,
    pub(super) mask: Mask,
    server: Option<Server>,
    links: BTreeMap<String, Link>,
    pub(super) transcript: Transcript,
    pub(super) seen: Seen,
    /// The last one that was taken.
    pub(super) backup: Option<Backup>,
}

impl Player<'_> {
    fn write_files(&self) -> Result<()> {
        for (name, text) in &self.script.files {
            std::fs::write(self.dir.join(name), self.expand(text))?;
        }
        if let Some(config) = &self.script.config {
            std::fs::write(self.dir.join("server.conf"), self.expand(config))?;
        }
        Ok(())
    }

    /// Fills in what only this run knows.
    pub(super) fn expand(&self, text: &str) -> String {
        let mut text = self
            .seen
            .expand(text)
            .replace("@DIR@", &self.dir.display().to_string())
            .replace("@CERTS@", &self.stage.certificates.dir().display().to_string())
            .replace("@PIN@", self.stage.certificates.client_pin());
        if let Some(server) = &self.server {
            text =
                text.replace("@PORT@", &server.port.to_string()).replace("@PID@", &server.pid().to_string());
            text = text.replace("@HTTP@", &server.monitor.unwrap_or_default().to_string());
        }
        text
    }

    async fn start(&mut self, further: &[String]) {
        let mut arguments = Vec::new();
        if self.script.config.is_some() {
            arguments.extend(["-c".to_owned(), self.dir.join("server.conf").display().to_string()]);
        }
        if self.script.jetstream
            && !self.script.config.as_ref().is_some_and(|text| text.contains("jetstream"))
        {
            arguments.extend([
                "-js".to_owned(),
                "-sd".to_owned(),
                self.dir.join("store").display().to_string(),
            ]);
        }
        arguments.extend(self.script.arguments.iter().chain(further).map(|argument| self.expand(argument)));
        match Server::start(&self.stage.program, &self.dir, &arguments, &self.script.environment).await {
            Ok(server) => {
                // Among sequences and sizes, a number is not a pid because it looks like one.
                if !self.script.jetstream {
                    self.mask.number(server.pid(), "<pid>");
                    self.mask.number(u32::from(server.port), "<port>");
                    if let Some(port) = server.monitor {
                        self.mask.number(u32::from(port), "<http>");
                    }
                }
                self.server = Some(server);
            }
            Err(error) => self.transcript.stuck("start", &self.mask.text(&format!("{error:#}"))),
        }
    }

    /// Lines sent one after the other travel in one write; any other step sends them on their way first.
    async fn flush_before(&mut self, step: &Step) {
        let sender = match &step.action {
            Action::Connection { name, does: ConnectionAction::Line(_) } => Some(name),
            _ => None,
        };
        for (name, link) in &mut self.links {
            if sender != Some(name) {
                link.flush().await;
            }
        }
    }

    fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("no server runs")
    }

    async fn step(&mut self, step: &Step) -> Result<()> {
        match &step.action {
            Action::Connection { name, does } => self.connection(name, does, &step.text).await?,
            Action::Run { arguments, brief } => self.run(arguments, *brief).await?,
            Action::Http { path, view } => self.http(path, view, &step.text).await?,
            Action::LogWait(pattern) => self.wait_for_log(pattern, &step.text).await?,
            Action::LogLines(pattern) => {
                let pattern = Regex::new(&self.expand(pattern))?;
                for line in essential_lines(&self.log_text()).iter().filter(|line| pattern.is_match(line)) {
                    let line = self.mask.text(line);
                    self.transcript.saw(&line);
                }
            }
            Action::File(name) => {
                let text = std::fs::read(self.dir.join(self.expand(name)));
                let shown =
                    text.map_or_else(|_| "absent".to_owned(), |bytes| self.mask.text(&escape(&bytes)));
                self.transcript.saw(&shown);
            }
            Action::FileGone(name) => self.wait_for_file(name, false, &step.text).await,
            Action::FileExists(name) => self.wait_for_file(name, true, &step.text).await,
            Action::Start(arguments) => self.start(arguments).await,
            Action::Signal(name) => self.server()?.signal(name)?,
            Action::Exit => {
                let status = self.server.as_mut().context("no server runs")?.exit().await;
                match status {
                    Ok(status) => self.transcript.saw(&format!("exit {}", status.code().unwrap_or(-1))),
                    Err(error) => self.transcript.stuck(&step.text, &error.to_string()),
                }
            }
            Action::Kill => self.server.as_mut().context("no server runs")?.kill().await?,
            Action::Refused => {
                let port = self.server()?.port;
                let said = if Link::open(port).await.is_none() { "refused" } else { "accepted" };
                self.transcript.saw(said);
            }
            Action::Write { file, text } => {
                let bytes = unescape(&self.expand(text))?;
                std::fs::write(self.dir.join(file), bytes)?;
            }
        }
        Ok(())
    }

    async fn http(&mut self, path: &str, view: &HttpView, step: &str) -> Result<()> {
        let port = self.server()?.monitor.context("the server has no monitoring port")?;
        let path = self.expand(path);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, headers, body) = http::request(port, &view.method, &path).await?;
            let lines = http::shown(view, &self.mask, &status, &headers, &body);
            let awaited = view.until.as_ref().is_some_and(|line| !lines.contains(line));
            if !awaited || Instant::now() > deadline {
                lines.iter().for_each(|line| self.transcript.saw(line));
                if awaited {
                    self.transcript.stuck(step, "the line does not come");
                }
                return Ok(());
            }
        }
    }

    fn log_text(&self) -> String {
        let file = self.script.log_file.as_deref().unwrap_or("stderr.log");
        std::fs::read_to_string(self.dir.join(file)).unwrap_or_default()
    }

    async fn wait_for_log(&mut self, pattern: &str, step: &str) -> Result<()> {
        let pattern = Regex::new(&self.expand(pattern))?;
        let found = until(PATIENCE, || {
            let text = self.log_text();
            pattern.find(&text).map(|found| found.as_str().to_owned())
        });
        match found.await {
            Some(text) => {
                let text = self.mask.text(&text);
                self.transcript.saw(&text);
            }
            None => self.transcript.stuck(step, "no such line in the log"),
        }
        Ok(())
    }

    async fn wait_for_file(&mut self, name: &str, wanted: bool, step: &str) {
        let path = self.dir.join(self.expand(name));
        if until(PATIENCE, || (path.exists() == wanted).then_some(())).await.is_none() {
            self.transcript
                .stuck(step, if wanted { "the file does not appear" } else { "the file does not go" });
        }
    }

    async fn run(&mut self, arguments: &[String], brief: bool) -> Result<()> {
        let mut command = program_command(&self.stage.program, &self.dir);
        command.args(arguments.iter().map(|argument| self.expand(argument))).current_dir(&self.dir);
        command.envs(self.script.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).kill_on_drop(true);
        let Ok(output) = timeout(PATIENCE, command.output()).await else {
            self.transcript.stuck("run", "the program does not end");
            return Ok(());
        };
        let output = output?;
        self.transcript.saw(&format!("exit {}", output.status.code().unwrap_or(-1)));
        for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            let text = self.mask.text(&String::from_utf8_lossy(bytes));
            if brief && stream == "stdout" {
                self.transcript.saw(if text.is_empty() { "stdout: nothing" } else { "stdout: something" });
                continue;
            }
            for line in essential_lines(&text) {
                self.transcript.saw(&format!("{stream}: {line}"));
            }
        }
        Ok(())
    }

    async fn connection(&mut self, name: &str, does: &ConnectionAction, step: &str) -> Result<()> {
        match does {
            ConnectionAction::Connect(options) => {
                self.open(name, options).await?;
                return Ok(());
            }
            ConnectionAction::Login { options, json, seed } => {
                return self.login(name, options, json, seed.as_deref()).await;
            }
            ConnectionAction::Close => {
                self.links.remove(name).context("not connected")?;
                return Ok(());
            }
            _ => {}
        }
        let mut link = self.links.remove(name).with_context(|| format!("{name} is not connected"))?;
        match does {
            ConnectionAction::Send(text) => link.send(&unescape(&self.expand(text))?).await,
            ConnectionAction::Line(text) => {
                let mut bytes = unescape(&self.expand(text))?;
                bytes.extend_from_slice(b"\r\n");
                link.queue(&bytes);
            }
            ConnectionAction::Split { size, text } => {
                for piece in unescape(&self.expand(text))?.chunks(*size) {
                    link.send(piece).await;
                    // Lets the peer read the piece by itself. Should it not, the script is merely weaker: nothing is ordered by this.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            ConnectionAction::Expect(text) => {
                let wanted = self.expand(text);
                self.read(&mut link, step, false, &mut |line| line.contains(&wanted)).await;
            }
            ConnectionAction::Sync { sorted } => {
                link.send(b"PING\r\n").await;
                self.read(&mut link, step, *sorted, &mut |line| line == "PONG").await;
            }
            ConnectionAction::Read { count, sorted } => {
                let mut left = *count;
                let mut last = |_: &str| {
                    left -= 1;
                    left == 0
                };
                self.read(&mut link, step, *sorted, &mut last).await;
            }
            ConnectionAction::Ask(ask) => self.ask(name, &mut link, ask, step).await?,
            ConnectionAction::Backup { stream, json } => {
                self.backup(name, &mut link, stream, json, step).await?;
            }
            ConnectionAction::Restore { stream, json } => {
                self.restore(name, &mut link, stream, json, step).await?;
            }
            ConnectionAction::Closed => self.read(&mut link, step, false, &mut |_| false).await,
            ConnectionAction::Connect(_) | ConnectionAction::Login { .. } | ConnectionAction::Close => {}
        }
        self.links.insert(name.to_owned(), link);
        Ok(())
    }

    /// Opens a connection; whether it can be used.
    async fn open(&mut self, name: &str, options: &ConnectOptions) -> Result<bool> {
        let port = self.server()?.port;
        let Some(mut link) = Link::open(port).await else {
            self.transcript.saw("refused");
            return Ok(false);
        };
        let mut usable = true;
        if options.tls_first {
            usable = self.secure(&mut link, options).await;
        }
        if usable && !options.silent {
            usable = self.greeting(&mut link).await;
        }
        if usable && options.tls {
            usable = self.secure(&mut link, options).await;
        }
        self.links.insert(name.to_owned(), link);
        Ok(usable)
    }

    async fn secure(&mut self, link: &mut Link, options: &ConnectOptions) -> bool {
        let secured = link.secure(&self.stage.certificates, options).await;
        self.transcript.saw(if secured { "TLS established" } else { "TLS refused" });
        secured
    }

    /// Reads the first line, which is INFO.
    async fn greeting(&mut self, link: &mut Link) -> bool {
        match link.next(PATIENCE).await {
            Piece::Bytes(bytes) => {
                if let Some(info) = link::info(&bytes) {
                    link.nonce = info["nonce"].as_str().map(str::to_owned);
                }
                if let Some(line) = self.shown(&bytes) {
                    self.transcript.saw(&line);
                }
                true
            }
            Piece::End => {
                self.transcript.saw("closed");
                false
            }
            Piece::Stuck(left) => {
                self.transcript.stuck("connect", &format!("no INFO, only {:?}", escape(&left)));
                false
            }
        }
    }

    async fn login(
        &mut self,
        name: &str,
        options: &ConnectOptions,
        json: &str,
        seed: Option<&str>,
    ) -> Result<()> {
        if !self.open(name, options).await? {
            return Ok(());
        }
        let mut link = self.links.remove(name).context("not connected")?;
        let mut document = self.expand(json);
        if let Some(seed) = seed {
            document = link::sign(&document, seed, link.nonce.as_deref().unwrap_or_default())?;
        }
        link.send(format!("CONNECT {document}\r\nPING\r\n").as_bytes()).await;
        // With protocol 1, the server tells about the account after its first PONG.
        let protocol: Option<i64> =
            serde_json::from_str::<Value>(&document).ok().and_then(|document| document["protocol"].as_i64());
        let last = if protocol == Some(1) { "INFO " } else { "PONG" };
        self.read(&mut link, "login", false, &mut |line| line.starts_with(last)).await;
        self.links.insert(name.to_owned(), link);
        Ok(())
    }

    /// Records what arrives until `last` holds for a line, or the stream ends.
    async fn read(
        &mut self,
        link: &mut Link,
        step: &str,
        sorted: bool,
        last: &mut (dyn FnMut(&str) -> bool + Send),
    ) {
        let mut lines = Vec::new();
        loop {
            match link.next(PATIENCE).await {
                Piece::Bytes(bytes) => {
                    let Some(line) = self.shown(&bytes) else { continue };
                    let done = last(&line);
                    lines.push(line);
                    if done {
                        break;
                    }
                }
                Piece::End => {
                    lines.push("closed".to_owned());
                    break;
                }
                Piece::Stuck(left) => {
                    lines.iter().for_each(|line| self.transcript.saw(line));
                    self.transcript
                        .stuck(step, &format!("nothing more comes; left over: {:?}", escape(&left)));
                    return;
                }
            }
        }
        if sorted {
            lines.sort();
        }
        lines.iter().for_each(|line| self.transcript.saw(line));
    }

    /// A line or message as it is recorded; nothing for what is not.
    fn shown(&mut self, bytes: &[u8]) -> Option<String> {
        if self.script.jetstream {
            self.observe(bytes);
        }
        if bytes == b"PING\r\n" && !self.script.shows_pings {
            return None;
        }
        if let Some(info) = link::info(bytes) {
            return Some(self.shown_info(info, bytes.ends_with(b"} \r\n")));
        }
        let Some(bytes) = bytes.strip_suffix(b"\r\n") else { return Some(self.mask.text(&escape(bytes))) };
        let text = match bytes.windows(2).position(|window| window == b"\r\n") {
            Some(end) if bytes.starts_with(b"MSG ") || bytes.starts_with(b"HMSG ") => {
                if self.script.jetstream {
                    return Some(super::ask::shown_delivery(&self.mask, &bytes[..end], &bytes[end + 2..]));
                }
                shown_message(&self.mask, &bytes[..end], &bytes[end + 2..])
            }
            _ => escape(bytes),
        };
        Some(self.mask.text(&text))
    }

    fn shown_info(&self, mut info: Value, ends_well: bool) -> String {
        self.mask.json(&mut info);
        if let Some(fields) = info.as_object_mut()
            && !self.script.info_full
        {
            fields.retain(|name, value| {
                let usual =
                    (name == "headers" && *value == true) || (name == "max_payload" && *value == 1_048_576);
                INFO_SHORT.contains(&name.as_str()) && !usual
            });
        }
        format!("INFO {info}{}", if ends_well { "" } else { " (does not end with a blank)" })
    }
}

/// A message on one line. A document in it is masked, and then its size is, too.
fn shown_message(mask: &Mask, head: &[u8], payload: &[u8]) -> String {
    if let Ok(mut document @ Value::Object(_)) = serde_json::from_slice::<Value>(payload) {
        mask.json(&mut document);
        let head = escape(head);
        let head = head.rsplit_once(' ').map_or(head.as_str(), |(head, _)| head);
        return format!("{head} <size> | {document}");
    }
    format!("{} | {}", escape(head), escape(payload))
}

/// Lines that both servers must print. Below a configuration error midge draws an excerpt of the file: right below an error of the
/// language, and in paragraphs of their own below errors of options. It also names its own version.
fn essential_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, paragraph) in text.split("\n\n").enumerate() {
        let drawn = paragraph.lines().position(|line| line.trim_start().starts_with("--> "));
        match drawn {
            Some(start) if number == 0 => lines.extend(paragraph.lines().take(start)),
            Some(_) => {}
            None => lines.extend(paragraph.lines()),
        }
    }
    lines.retain(|line| !line.is_empty() && !line.contains("[INF]   Midge: "));
    lines.into_iter().map(str::to_owned).collect()
}

/// Checks a configuration file, run beside it: the exit code, and what was printed as a set of lines.
pub async fn check_config(
    program: &Path,
    scratch: &Path,
    dir: &Path,
    name: &str,
) -> Result<(i32, Vec<String>)> {
    let mut command = program_command(program, scratch);
    command.args(["-t", "-c", name]).current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
    let Ok(output) = timeout(PATIENCE, command.output()).await else {
        bail!("the check of {name} does not end")
    };
    let output = output?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = text.strip_prefix("nats-server: ").unwrap_or(&text);
    let mut lines = essential_lines(text);
    lines.sort();
    Ok((output.status.code().unwrap_or(-1), lines))
}

#[cfg(test)]
mod tests {
    use super::essential_lines;

    #[test]
    fn an_excerpt_is_left_out() {
        let text =
            "a.conf:1:0: wrong\n\nwrong\n --> a.conf:1:1\n  |\n1 | x\n  | ^\n\nb.conf:2:0: wrong too\n";
        assert_eq!(essential_lines(text), ["a.conf:1:0: wrong", "b.conf:2:0: wrong too"]);
        let text = "Parse error\n --> a.conf:1:1\n  |\n1 | = x\n  | ^\n";
        assert_eq!(essential_lines(text), ["Parse error"]);
    }
}
