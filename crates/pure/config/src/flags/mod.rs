//! The command line: parsing, precedence over the file, outcomes.

mod apply;
mod parse;
mod usage;

use crate::lang::Source;
use crate::schema::Options;
use parse::{Arguments, Value};
pub use usage::{help_tls_text, usage_text};

/// What the program calls itself, in messages as well.
const PROGRAM: &str = "nats-server";

/// Which versions the program shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The version of the server whose behaviour this one has, without `v`.
    pub compat_version: String,
    /// The program's own version line, printed second; empty for none.
    pub midge_version: String,
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Start a server. The options' warnings go to standard error first, one line each.
    Run(Box<Options>),
    /// Print this to standard output, exit 0.
    PrintVersion(String),
    /// Print this to standard output, exit 0.
    PrintHelp(String),
    /// Print this to standard output, exit 0.
    PrintHelpTls(String),
    /// The configuration file is fine as text: load what it names, then print the message, exit 0.
    TestConfig {
        /// For standard error.
        message: String,
        /// The options, for the files of TLS that the edge checks.
        options: Box<Options>,
    },
    /// Send a signal to a running server.
    Signal {
        /// `stop`, `quit`, `term`, `reopen`, `reload` or `ldm`; not checked here.
        command: String,
        /// Process id, pid file or prefix; empty to look for the process.
        argument: String,
    },
    /// Nothing can be done: print both texts, exit with the code.
    Fail {
        /// For standard error.
        stderr: String,
        /// For standard output.
        stdout: String,
        /// Status of the process.
        exit_code: i32,
    },
}

impl Command {
    fn fail(error: &str) -> Command {
        Command::Fail { stderr: format!("{PROGRAM}: {error}\n"), stdout: String::new(), exit_code: 1 }
    }
}

/// Reads a command line (without the program name) and the file that it names.
///
/// Flags are applied, then the file over them, then the flags again: a flag that is given wins, and a flag that is
/// not given leaves the file alone. A start is validated; `-t` is not.
pub fn configure(arguments: &[String], source: &dyn Source, identity: &Identity) -> Command {
    let parsed = match parse::parse(arguments) {
        Ok(parsed) => parsed,
        // Usage goes to standard output with status 0, as scripts have come to expect.
        Err(error) => {
            return Command::Fail { stderr: format!("{error}\n"), stdout: usage_text(), exit_code: 0 };
        }
    };
    if let Some(command) = information(&parsed, identity) {
        return command;
    }
    if let Some(signal) = parsed.text("sl").filter(|signal| !signal.is_empty()) {
        return signal_command(signal);
    }
    match options(arguments, &parsed, source) {
        Ok(command) => command,
        Err(error) => Command::fail(&error),
    }
}

/// Version and help, by flag or by word.
fn information(parsed: &Arguments, identity: &Identity) -> Option<Command> {
    let version = || {
        let mut text = format!("{PROGRAM}: v{}\n", identity.compat_version);
        if !identity.midge_version.is_empty() {
            text.push_str(&identity.midge_version);
            text.push('\n');
        }
        Command::PrintVersion(text)
    };
    if parsed.is_true("v") {
        return Some(version());
    }
    if parsed.is_true("h") {
        return Some(Command::PrintHelp(usage_text()));
    }
    if parsed.is_true("help_tls") {
        return Some(Command::PrintHelpTls(help_tls_text()));
    }
    // The first word decides; more of them are not looked at.
    let word = parsed.words.first()?;
    Some(match word.to_lowercase().as_str() {
        "version" => version(),
        "help" => Command::PrintHelp(usage_text()),
        _ => Command::fail(&format!("unrecognized command: {}", crate::quote::quoted(word))),
    })
}

fn signal_command(signal: &str) -> Command {
    let parts: Vec<&str> = signal.split('=').collect();
    match parts.as_slice() {
        [command] => Command::Signal { command: (*command).to_owned(), argument: String::new() },
        [command, argument] => {
            Command::Signal { command: (*command).to_owned(), argument: (*argument).to_owned() }
        }
        [_, _, rest @ ..] => Command::fail(&format!("invalid signal parameters: [{}]", rest.join(" "))),
        [] => Command::fail("invalid signal parameters: []"),
    }
}

fn options(arguments: &[String], parsed: &Arguments, source: &dyn Source) -> Result<Command, String> {
    apply::refuse_unsupported(parsed)?;
    let mut options = Options::default();
    apply::apply(&mut options, parsed)?;
    let test_only = parsed.is_true("t");
    match parsed.text("c").filter(|path| !path.is_empty()) {
        Some(path) => {
            let warnings = crate::schema::apply_file(&mut options, path, source)?;
            if test_only {
                if !warnings.is_empty() {
                    return Err(warnings);
                }
                let digest = &options.origin.digest;
                let message = format!("{PROGRAM}: configuration file {path} is valid ({digest})\n");
                return Ok(Command::TestConfig { message, options: Box::new(options) });
            }
            apply::apply(&mut options, parsed)?;
        }
        None if test_only => {
            return Err(String::from(
                "must specify [-c, --config] option to check configuration file syntax",
            ));
        }
        None => {}
    }
    apply::override_tls(&mut options, parsed)?;
    options.origin.arguments = arguments.to_vec();
    crate::schema::fill_defaults(&mut options);
    crate::validate::validate(&options)?;
    Ok(Command::Run(Box::new(options)))
}

impl Arguments {
    fn text(&self, name: &str) -> Option<&str> {
        match self.last(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn is_true(&self, name: &str) -> bool {
        matches!(self.last(name), Some(Value::Bool(true)))
    }
}

#[cfg(test)]
mod tests;
