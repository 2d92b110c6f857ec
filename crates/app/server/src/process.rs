//! A process that is nothing but a server: command line, logs, limits of the process, signals, exit codes.

use std::process::ExitCode;
use std::sync::Arc;

use midge_config::{Command, Identity, Options, Source};
use midge_logs::Logs;
use midge_net::tls::ServerTls;
use midge_node::COMPAT_VERSION;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::builder::{Builder, StartError};
use crate::files::go_error;
use crate::server::Server;
use crate::{send_signal, usage};

/// Files and environment of the operating system.
struct System;

impl Source for System {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        // A directory can be opened; it is the reading that fails.
        std::fs::read(path).map_err(|error| {
            let verb = if error.kind() == std::io::ErrorKind::IsADirectory { "read" } else { "open" };
            go_error(verb, path, &error)
        })
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Runs the command. `program` is the name it was started by.
pub fn run(program: &str, arguments: &[String]) -> ExitCode {
    let identity = Identity {
        compat_version: COMPAT_VERSION.to_owned(),
        midge_version: format!("midge: v{}", env!("CARGO_PKG_VERSION")),
    };
    match midge_config::configure(arguments, &System, &identity) {
        Command::Run(options) => serve(program, *options),
        Command::PrintVersion(text) | Command::PrintHelp(text) | Command::PrintHelpTls(text) => {
            out(&text);
            ExitCode::SUCCESS
        }
        Command::TestConfig { message, options } => match check_files(&options) {
            Ok(()) => {
                err(&format!("{}\n", message.trim_end()));
                ExitCode::SUCCESS
            }
            Err(text) => fail(&text),
        },
        Command::Signal { command, argument } => match send_signal::send(&command, &argument) {
            Ok(()) => ExitCode::SUCCESS,
            Err(text) => fail(&text),
        },
        Command::Fail { stderr, stdout, exit_code } => {
            err(&stderr);
            out(&stdout);
            ExitCode::from(u8::try_from(exit_code).unwrap_or(1))
        }
    }
}

fn out(text: &str) {
    use std::io::Write as _;
    // Nobody can be told when standard output is closed.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn err(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn fail(text: &str) -> ExitCode {
    err(&format!("nats-server: {text}\n"));
    ExitCode::FAILURE
}

/// What `-t` checks beyond the text: that certificates and keys can be loaded.
fn check_files(options: &Options) -> Result<(), String> {
    match &options.tls {
        Some(tls) => {
            ServerTls::load(tls, options.allow_non_tls).map(|_| ()).map_err(|error| located(options, &error))
        }
        None => Ok(()),
    }
}

/// An error of TLS with the place of its block.
pub(crate) fn located(options: &Options, error: &str) -> String {
    match options.tls.as_ref().and_then(|tls| tls.place.as_ref()) {
        Some(place) => format!("{place}: {error}"),
        None => error.to_owned(),
    }
}

fn serve(program: &str, options: Options) -> ExitCode {
    for warning in &options.origin.warnings {
        err(&format!("{warning}\n"));
    }
    if let Err(error) = check_files(&options) {
        return fail(&error);
    }
    let logs = match Logs::install(&options.logging, program) {
        Ok(logs) => Arc::new(logs),
        Err(error) => return fail(&error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("control")
        .max_blocking_threads(2)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let code = runtime.block_on(serve_until_told(program, options, &logs));
    logs.flush();
    code
}

async fn serve_until_told(program: &str, options: Options, logs: &Arc<Logs>) -> ExitCode {
    // Signals are caught before anything is announced, so that none is missed by a script that waits for the log.
    let signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("cannot catch signals: {error}")),
    };
    match usage::raise_open_files() {
        Ok((before, now)) if before != now => {
            tracing::debug!("Limit of open files raised from {before} to {now}")
        }
        Ok((_, now)) => tracing::debug!("Limit of open files is {now}"),
        Err(error) => tracing::warn!("{error}"),
    }
    let has_file = !options.origin.config_file.is_empty();
    let mut builder = Builder::from_options(options);
    program.clone_into(&mut builder.program);
    match builder.start().await {
        Ok(server) => {
            follow(server, signals, logs, has_file).await;
            ExitCode::SUCCESS
        }
        Err(StartError::Options(text) | StartError::Tls(text)) => fail(&text),
        Err(StartError::System(text)) => {
            let _ = logs.fatal(&text);
            ExitCode::FAILURE
        }
    }
}

/// The signals that a server obeys.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    reopen: Signal,
    lame_duck: Signal,
    reload: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            reopen: signal(SignalKind::user_defined1())?,
            lame_duck: signal(SignalKind::user_defined2())?,
            reload: signal(SignalKind::hangup())?,
        })
    }
}

/// Serves until a signal ends it.
async fn follow(mut server: Server, mut signals: Signals, logs: &Arc<Logs>, has_file: bool) {
    let trapped = |name: &str| tracing::info!("Trapped \"{name}\" signal");
    loop {
        tokio::select! {
            _ = signals.interrupt.recv() => {
                trapped("interrupt");
                break;
            }
            _ = signals.terminate.recv() => {
                trapped("terminated");
                break;
            }
            _ = signals.reopen.recv() => {
                trapped("user defined signal 1");
                logs.reopen();
            }
            _ = signals.reload.recv() => {
                trapped("hangup");
                refuse_reload(has_file);
            }
            _ = signals.lame_duck.recv() => {
                trapped("user defined signal 2");
                leave(&server, &mut signals, logs, has_file).await;
                break;
            }
        }
    }
    server.end().await;
}

/// Lame duck mode; SIGTERM is ignored in it, SIGINT cuts it short.
async fn leave(server: &Server, signals: &mut Signals, logs: &Arc<Logs>, has_file: bool) {
    let leaving = server.lame_duck();
    tokio::pin!(leaving);
    loop {
        tokio::select! {
            () = &mut leaving => return,
            _ = signals.interrupt.recv() => {
                tracing::info!("Trapped \"interrupt\" signal");
                return;
            }
            _ = signals.terminate.recv() => tracing::info!("Trapped \"terminated\" signal"),
            _ = signals.reopen.recv() => logs.reopen(),
            _ = signals.reload.recv() => refuse_reload(has_file),
            _ = signals.lame_duck.recv() => {}
        }
    }
}

fn refuse_reload(has_file: bool) {
    let why = if has_file {
        "reload is not supported yet"
    } else {
        "can only reload config when a file is provided using -c or --config"
    };
    tracing::error!("Failed to reload server configuration: {why}");
}
