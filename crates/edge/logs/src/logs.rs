//! The handle of a log.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use midge_config::schema::Logging;
use tracing::Dispatch;

use crate::line::{self, Level};
use crate::queue::Feed;
use crate::repeats::Repeats;
use crate::sink;
use crate::subscriber::{Inner, LogSubscriber, Switches};

/// What a server says that is asked to re-open its log and has none, because the program that embeds it does the logging.
pub const NO_LOGGER: &str = "File log re-open ignored, no logger";

/// A log with its destination. Clones are handles of the same log; dropping one waits for what was logged so far.
#[derive(Clone, Debug)]
pub struct Logs {
    inner: Arc<Inner>,
    syslog: bool,
}

impl Logs {
    /// Opens the destination, without making it the log of the process. `argv0` is the program's name as it was
    /// started: its last part tags lines in a syslog. Errors are one line, as the process ends with it:
    /// `error opening file: …`, `error invalid network type: "…"`, `error connecting to syslog: "…"`.
    pub fn build(options: &Logging, argv0: &str) -> Result<Logs, String> {
        let (sink, syslog) = sink::open(options, argv0)?;
        let feed = Feed::start(sink).map_err(|error| format!("error starting the log: {error}"))?;
        let switches = Switches { debug: options.debug.into(), trace: options.trace.into() };
        Ok(Logs { inner: Arc::new(Inner { feed, switches, repeats: Repeats::default() }), syslog })
    }

    /// Like [`Logs::build`], and the events of the whole process go there. Errors: also when the process has a
    /// subscriber already.
    pub fn install(options: &Logging, argv0: &str) -> Result<Logs, String> {
        let logs = Logs::build(options, argv0)?;
        tracing::dispatcher::set_global_default(Dispatch::new(logs.subscriber()))
            .map_err(|_| "error starting the log: the process has one already".to_owned())?;
        Ok(logs)
    }

    /// A subscriber that prints to this log.
    pub fn subscriber(&self) -> LogSubscriber {
        LogSubscriber(self.inner.clone())
    }

    /// Closes the log file and opens it by its name again, after everything logged so far; the log says what became of
    /// it. A log that is no file says so and goes on.
    pub fn reopen(&self) {
        self.inner.feed.reopen();
    }

    /// Switches debug lines.
    pub fn set_debug(&self, on: bool) {
        self.inner.switches.debug.store(on, Ordering::Relaxed);
        tracing_core::callsite::rebuild_interest_cache();
    }

    /// Switches trace lines.
    pub fn set_trace(&self, on: bool) {
        self.inner.switches.trace.store(on, Ordering::Relaxed);
        tracing_core::callsite::rebuild_interest_cache();
    }

    /// Logs why the server cannot go on and waits until that is written. Answers whether the process has to end (with
    /// status 1): with a syslog it goes on, as it always has.
    #[must_use = "the process has to end"]
    pub fn fatal(&self, text: &str) -> bool {
        self.inner.feed.print(Level::Fatal, line::one_line(text.to_owned()));
        self.flush();
        !self.syslog
    }

    /// Logs a warning, unless the same text was logged this way within the last second.
    pub fn rate_limited_warn(&self, text: &str) {
        self.inner.limited(Level::Warn, line::one_line(text.to_owned()));
    }

    /// Waits until everything logged so far was written, two seconds at most. Call it before the process ends.
    pub fn flush(&self) {
        self.inner.feed.flush();
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.flush();
    }
}
