//! Real clients against a server: each client library with each kind of login, and the command line tool. Started by
//! `cargo xtask clients`, which finds server and tools.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use midge_testkit::certificates::Certificates;
use midge_testkit::server::Server;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

mod stored;

/// How long one exercise may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// bcrypt of `password`, at the lowest cost.
const HASH: &str = "$2a$04$I6y0Xu/RerfJF1RT9zAQLuD2VuoMbXO7b.0OplQopT60OEKoCZ9mW";
const NKEY: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

/// A way to log in: the configuration, what a client brings, and what it would bring in vain.
struct Login {
    name: &'static str,
    config: String,
    brings: Value,
    refused: Option<Value>,
}

struct Tools {
    server: PathBuf,
    python: PathBuf,
    node: PathBuf,
    nats: PathBuf,
    exercise: PathBuf,
    scripts: PathBuf,
    /// The released server, for what is exchanged with it.
    reference: Option<PathBuf>,
    only: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{failed} exercises failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("clients: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tools() -> Result<Tools> {
    let mut given = std::collections::BTreeMap::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
        given.insert(name, value);
    }
    let path = |name: &str| given.get(name).map(PathBuf::from).with_context(|| format!("{name} is needed"));
    let exercise = std::env::current_exe()?.with_file_name("exercise");
    Ok(Tools {
        server: path("--server")?,
        python: path("--python")?,
        node: path("--node")?,
        nats: path("--nats")?,
        exercise,
        scripts: path("--scripts")?,
        reference: given.get("--reference").map(PathBuf::from),
        only: given.get("--only").cloned(),
    })
}

async fn run() -> Result<usize> {
    let tools = tools()?;
    let scratch = std::env::temp_dir().join(format!("midge-clients-{}", std::process::id()));
    let certificates = Certificates::create(&scratch.join("certificates"))?;
    let mut failed = 0;
    for login in logins(certificates.dir()) {
        let dir = scratch.join(login.name);
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("server.conf"), &login.config)?;
        std::fs::write(dir.join("user.nk"), SEED)?;
        for client in ["async-nats", "nats-py", "transport-node", "nats-cli"] {
            let name = format!("{client} {}", login.name);
            if tools.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
                continue;
            }
            let started = Instant::now();
            let outcome = match client {
                "nats-cli" if login.brings["stored"] == true => stored_line(&tools, &dir).await,
                "nats-cli" => command_line(&tools, &login, &dir).await,
                library => exercise(&tools, library, &login, &dir).await,
            };
            match outcome {
                Ok(()) => println!("ok     {name} ({} ms)", started.elapsed().as_millis()),
                Err(error) => {
                    failed += 1;
                    println!("FAILED {name}: {error:#}");
                }
            }
        }
    }
    std::fs::remove_dir_all(&scratch)?;
    Ok(failed)
}

fn logins(certificates: &Path) -> Vec<Login> {
    let file = |name: &str| certificates.join(name).display().to_string();
    let tls = format!(
        "cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\"",
        file("server.pem"),
        file("server.key"),
        file("ca.pem")
    );
    let user = json!({"user": "derek", "pass": "password"});
    let wrong = json!({"user": "derek", "pass": "wrong"});
    vec![
        Login { name: "none", config: "debug: false\n".into(), brings: json!({"reconnect": true}), refused: None },
        Login {
            name: "stored",
            config: "jetstream { store_dir: \"store\" }\n".into(),
            brings: json!({"stored": true}),
            refused: None,
        },
        Login {
            name: "password",
            config: "authorization { user: derek, password: password }\n".into(),
            brings: user.clone(),
            refused: Some(wrong.clone()),
        },
        Login {
            name: "token",
            config: "authorization { token: secret }\n".into(),
            brings: json!({"token": "secret"}),
            refused: Some(json!({"token": "guess"})),
        },
        Login {
            name: "bcrypt",
            config: format!("authorization {{ users: [ {{ user: derek, password: \"{HASH}\" }} ] }}\n"),
            brings: user.clone(),
            refused: Some(wrong.clone()),
        },
        Login {
            name: "nkey",
            config: format!("authorization {{ users: [ {{ nkey: {NKEY} }} ] }}\n"),
            brings: json!({"seed": SEED}),
            refused: Some(json!({})),
        },
        Login {
            name: "users",
            config: "accounts { A { users: [ { user: derek, password: password }, { user: b, password: b } ] } }\n".into(),
            brings: user.clone(),
            refused: Some(wrong.clone()),
        },
        Login {
            name: "no_auth_user",
            config: "authorization { users: [ { user: derek, password: password } ] }\nno_auth_user: derek\n".into(),
            brings: json!({}),
            refused: Some(wrong.clone()),
        },
        Login {
            name: "tls",
            config: format!("tls {{ {tls} }}\nauthorization {{ user: derek, password: password }}\n"),
            brings: json!({"user": "derek", "pass": "password", "ca": file("ca.pem")}),
            refused: Some(json!({"user": "derek", "pass": "wrong", "ca": file("ca.pem")})),
        },
        Login {
            name: "tls_certificate",
            config: format!("tls {{ {tls}, verify: true }}\n"),
            brings: json!({"ca": file("ca.pem"), "cert": file("client.pem"), "key": file("client.key")}),
            refused: Some(json!({"ca": file("ca.pem")})),
        },
        Login {
            name: "tls_first",
            config: format!("tls {{ {tls}, handshake_first: true }}\n"),
            brings: json!({"ca": file("ca.pem"), "tls_first": true}),
            refused: None,
        },
    ]
}

async fn start(tools: &Tools, dir: &Path, port: Option<u16>) -> Result<Server> {
    let mut arguments = vec!["-c".to_owned(), dir.join("server.conf").display().to_string()];
    if let Some(port) = port {
        // Given twice, a flag has its last value.
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    Server::start(&tools.server, dir, &arguments, &[]).await
}

/// What a client library is told.
fn described(login: &Value, port: u16) -> Value {
    let mut described = login.clone();
    described["url"] = json!(format!("nats://localhost:{port}"));
    described
}

/// The command line tool and streams.
async fn stored_line(tools: &Tools, dir: &Path) -> Result<()> {
    let mut server = start(tools, dir, None).await?;
    stored::command_line(tools, &server, dir).await?;
    server.kill().await
}

async fn exercise(tools: &Tools, library: &str, login: &Login, dir: &Path) -> Result<()> {
    let mut server = start(tools, dir, None).await?;
    if let Some(refused) = &login.refused {
        let mut refused = described(refused, server.port);
        refused["refused"] = json!(true);
        converse(tools, library, &refused, &mut server, dir).await.context("a wrong login")?;
    }
    converse(tools, library, &described(&login.brings, server.port), &mut server, dir).await?;
    server.kill().await
}

/// Runs a library's exercise, and starts the server anew when it waits for that.
async fn converse(
    tools: &Tools,
    library: &str,
    login: &Value,
    server: &mut Server,
    dir: &Path,
) -> Result<()> {
    let mut command = match library {
        "async-nats" => Command::new(&tools.exercise),
        "nats-py" => {
            let mut command = Command::new(&tools.python);
            command.arg(tools.scripts.join("exercise.py"));
            command
        }
        _ => {
            let mut command = Command::new("node");
            command.arg(tools.scripts.join("exercise.mjs")).env("CLIENT_MODULES", &tools.node);
            command
        }
    };
    command
        .arg(login.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("starting {library}"))?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let mut errors = child.stderr.take().context("its errors")?;
    let talk = async {
        let mut done = false;
        while let Some(line) = lines.next_line().await? {
            match line.as_str() {
                "waiting" => {
                    let port = server.port;
                    server.kill().await?;
                    *server = start(tools, dir, Some(port)).await?;
                }
                "ok" => done = true,
                // What it saw so far.
                step => println!("       {library}: {step}"),
            }
        }
        let mut said = String::new();
        errors.read_to_string(&mut said).await?;
        let status = child.wait().await?;
        ensure!(done && status.success(), "it ended with {status}: {}", said.trim());
        Ok(())
    };
    timeout(PATIENCE, talk).await.context("it does not end")?
}

/// The command line tool: `pub`, `sub`, `request`, `reply`, `rtt`, `bench`, `server check connection`.
async fn command_line(tools: &Tools, login: &Login, dir: &Path) -> Result<()> {
    let mut server = start(tools, dir, None).await?;
    let nats = |login: &Value, words: &[&str]| {
        let mut command = Command::new(&tools.nats);
        command.args(["--server", &format!("nats://localhost:{}", server.port), "--no-context"]);
        let options = [
            ("user", "--user"),
            ("pass", "--password"),
            ("token", "--token"),
            ("ca", "--tlsca"),
            ("cert", "--tlscert"),
            ("key", "--tlskey"),
        ];
        for (name, flag) in options {
            if let Some(value) = login[name].as_str() {
                command.args([flag, value]);
            }
        }
        if login["seed"].is_string() {
            command.arg("--nkey").arg(dir.join("user.nk"));
        }
        if login["tls_first"] == true {
            command.arg("--tlsfirst");
        }
        command
            .args(words)
            .env("XDG_CONFIG_HOME", dir)
            .env("HOME", dir)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    };
    let brings = &login.brings;
    if let Some(refused) = &login.refused {
        let output = timeout(PATIENCE, nats(refused, &["pub", "cli.plain", "hello"]).output()).await??;
        ensure!(!output.status.success(), "a wrong login was accepted");
    }
    succeed(nats(brings, &["rtt"])).await.context("rtt")?;
    succeed(nats(brings, &["server", "check", "connection"])).await.context("server check connection")?;
    succeed(nats(brings, &["pub", "cli.plain", "hello", "-H", "A:b"])).await.context("pub")?;

    let listener = nats(brings, &["sub", "cli.sub", "--count", "1", "--raw"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let heard =
        repeat_until(listener.wait_with_output(), || succeed(nats(brings, &["pub", "cli.sub", "hello"])))
            .await
            .context("sub")?;
    ensure!(
        String::from_utf8_lossy(&heard.stdout).contains("hello"),
        "sub printed {:?}",
        String::from_utf8_lossy(&heard.stdout)
    );

    let service = nats(brings, &["reply", "cli.service", "the answer", "--count", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let asked = Instant::now();
    loop {
        // Until the service listens, a request fails at once for want of responders.
        match succeed(nats(brings, &["request", "cli.service", "question", "--raw", "--timeout", "2s"])).await
        {
            Ok(text) if text.contains("the answer") => break,
            other if asked.elapsed() > PATIENCE => bail!("request: {other:?}"),
            _ => {}
        }
    }
    drop(service);

    succeed(nats(brings, &["bench", "pub", "cli.bench", "--msgs", "10000", "--size", "16", "--no-progress"]))
        .await
        .context("bench pub")?;
    let bench = nats(brings, &["bench", "sub", "cli.bench", "--msgs", "100", "--no-progress"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let counted = repeat_until(bench.wait_with_output(), || {
        succeed(nats(
            brings,
            &["bench", "pub", "cli.bench", "--msgs", "1000", "--size", "16", "--no-progress"],
        ))
    });
    counted.await.context("bench sub")?;
    server.kill().await
}

/// Runs a command to its end; what it printed.
async fn succeed(mut command: Command) -> Result<String> {
    let output = timeout(PATIENCE, command.output()).await.context("it does not end")??;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "it ended with {}: {}", output.status, text.trim());
    Ok(text)
}

/// Does something again and again until something else has ended.
async fn repeat_until<F>(
    end: impl Future<Output = std::io::Result<std::process::Output>>,
    mut again: impl FnMut() -> F,
) -> Result<std::process::Output>
where
    F: Future<Output = Result<String>>,
{
    let repeating = async {
        loop {
            if let Err(error) = again().await {
                return error;
            }
        }
    };
    let either = async {
        tokio::select! {
            output = end => Ok(output?),
            error = repeating => Err(error),
        }
    };
    let output = timeout(PATIENCE, either).await.context("it does not end")??;
    ensure!(output.status.success(), "it ended with {}", output.status);
    Ok(output)
}
