//! Where lines go.

mod file;
mod stderr;
mod syslog;
mod url;

use std::io;
use std::path::Path;

use midge_config::schema::Logging;

use crate::line::{Layout, Line, Zone};

/// What became of opening a destination anew.
#[derive(Debug)]
pub(crate) enum Reopened {
    Done,
    /// It is no file.
    NoFile,
    /// The old file stays in use.
    Failed(String),
}

/// A destination; one thread uses it.
pub(crate) trait Sink: Send {
    /// Takes a line. It may be held back until [`Sink::finish`].
    fn print(&mut self, line: &Line) -> io::Result<()>;

    /// Writes what was held back.
    fn finish(&mut self) -> io::Result<()>;

    /// Closes the destination and opens it again.
    fn reopen(&mut self) -> Reopened;
}

/// Opens the destination that the options ask for; answers also whether it is a syslog.
pub(crate) fn open(options: &Logging, argv0: &str) -> Result<(Box<dyn Sink>, bool), String> {
    let zone = if options.logtime_utc { Zone::Utc } else { Zone::local() };
    let layout = Layout { pid: std::process::id(), zone: options.logtime.then_some(zone), colours: false };
    let tag =
        || Path::new(argv0).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    if !options.log_file.is_empty() {
        Ok((Box::new(file::File::open(options, layout)?), false))
    } else if !options.remote_syslog.is_empty() {
        Ok((Box::new(syslog::Syslog::remote(&options.remote_syslog, tag())?), true))
    } else if options.syslog {
        Ok((Box::new(syslog::Syslog::local(tag())?), true))
    } else {
        Ok((Box::new(stderr::Stderr::new(layout)), false))
    }
}
