//! Checks configuration files without a server: `check -t -c FILE`, or `check --each DIRECTORY` for every file of it.

// An example is a program: it may meet the operating system.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use midge_config::{Command, Identity, Source, configure};

struct Os;

impl Source for Os {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("open {path}: no such file or directory"),
            std::io::ErrorKind::IsADirectory => format!("read {path}: is a directory"),
            _ => format!("open {path}: {error}"),
        })
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

fn identity() -> Identity {
    Identity { compat_version: String::from("2.15.1"), midge_version: String::new() }
}

/// The texts and the status of a command line.
fn run(arguments: &[String]) -> (String, String, u8) {
    match configure(arguments, &Os, &identity()) {
        Command::Run(options) => {
            let warnings = options.origin.warnings.iter().map(|line| format!("{line}\n")).collect();
            (format!("{options:#?}\n"), warnings, 0)
        }
        Command::PrintVersion(text) | Command::PrintHelp(text) | Command::PrintHelpTls(text) => {
            (text, String::new(), 0)
        }
        Command::TestConfig { message, .. } => (String::new(), message, 0),
        Command::Signal { command, argument } => (format!("signal {command} {argument}\n"), String::new(), 0),
        Command::Fail { stderr, stdout, exit_code } => (stdout, stderr, u8::try_from(exit_code).unwrap_or(1)),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [each, directory] = arguments.as_slice()
        && each == "--each"
    {
        let Ok(entries) = std::fs::read_dir(directory) else { return ExitCode::FAILURE };
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        for name in names.iter().filter(|name| name.ends_with(".conf")) {
            let path = format!("{directory}/{name}");
            let (_, stderr, code) = run(&["-t", "-c", &path].map(String::from));
            println!("=== {name} {code}\n{stderr}");
        }
        return ExitCode::SUCCESS;
    }
    let (stdout, stderr, code) = run(&arguments);
    print!("{stdout}");
    eprint!("{stderr}");
    ExitCode::from(code)
}
