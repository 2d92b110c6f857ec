//! The way from the threads that log to the one that writes.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use midge_stdx::clock::Wall;

use crate::limits::{FLUSH_WAIT, FULL_WAIT, QUEUED_BYTES, QUEUED_LINES};
use crate::line::{Level, Line};
use crate::sink::{Reopened, Sink};

/// What the writer is asked to do, in order.
#[derive(Debug)]
enum Job {
    Print(Line),
    Reopen,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    bytes: usize,
    /// The writer has taken jobs and not finished them.
    writing: bool,
    /// Lines given up, to be told of.
    lost: u64,
    /// Somebody waited for room in vain: until the writer comes round nobody waits.
    stuck: bool,
    closed: bool,
}

impl State {
    fn is_full(&self) -> bool {
        self.jobs.len() >= QUEUED_LINES || self.bytes >= QUEUED_BYTES
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    drained: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The side of those who log. When it is dropped, the writer finishes and ends.
#[derive(Debug)]
pub(crate) struct Feed(Arc<Shared>);

/// The wall clock.
pub(crate) fn now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

impl Feed {
    /// Starts the writer. Errors: the system refuses a thread.
    pub(crate) fn start(sink: Box<dyn Sink>) -> io::Result<Feed> {
        let shared = Arc::new(Shared::default());
        let jobs = shared.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&jobs, sink))?;
        Ok(Feed(shared))
    }

    /// Hands a line to the writer; while the queue is full, waits for a moment, then gives the line up.
    pub(crate) fn print(&self, level: Level, text: String) {
        let mut state = self.0.lock();
        if state.is_full() {
            if !state.stuck {
                state = self
                    .0
                    .drained
                    .wait_timeout_while(state, FULL_WAIT, |state| state.is_full() && !state.stuck)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            if state.is_full() {
                state.stuck = true;
                state.lost += 1;
                return;
            }
        }
        state.bytes += text.len();
        // The time is taken under the lock, so that lines stand in the order of their times.
        state.jobs.push_back(Job::Print(Line { level, at: now(), text }));
        drop(state);
        self.0.filled.notify_one();
    }

    /// Asks the writer to open its destination anew, after the lines that came before.
    pub(crate) fn reopen(&self) {
        self.0.lock().jobs.push_back(Job::Reopen);
        self.0.filled.notify_one();
    }

    /// Waits until everything was written, but not for longer than [`FLUSH_WAIT`].
    pub(crate) fn flush(&self) {
        let end = Instant::now() + FLUSH_WAIT;
        let mut state = self.0.lock();
        while state.writing || !state.jobs.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.0.drained.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.filled.notify_one();
        self.flush();
    }
}

/// The writer's thread.
fn write(shared: &Shared, mut sink: Box<dyn Sink>) {
    let mut jobs = VecDeque::new();
    loop {
        let lost = {
            let mut state = shared.lock();
            state.writing = false;
            shared.drained.notify_all();
            while state.jobs.is_empty() {
                if state.closed {
                    return;
                }
                state = shared.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut state.jobs, &mut jobs);
            state.bytes = 0;
            state.writing = true;
            state.stuck = false;
            std::mem::take(&mut state.lost)
        };
        let mut failed = 0;
        if lost > 0 {
            let line = Line { level: Level::Warn, at: now(), text: format!("Log lines lost: {lost}") };
            if sink.print(&line).is_err() {
                failed += lost;
            }
        }
        for job in jobs.drain(..) {
            let line = match job {
                Job::Print(line) => line,
                Job::Reopen => reopen(sink.as_mut()),
            };
            failed += u64::from(sink.print(&line).is_err());
        }
        if sink.finish().is_err() {
            failed += 1;
        }
        shared.lock().lost += failed;
    }
}

/// Opens the destination anew and answers with the line that says so.
fn reopen(sink: &mut dyn Sink) -> Line {
    let (level, text) = match sink.reopen() {
        Reopened::Done => (Level::Info, "File log re-opened".to_owned()),
        Reopened::NoFile => (Level::Info, "File log re-open ignored, not a file logger".to_owned()),
        Reopened::Failed(error) => (Level::Error, format!("File log could not be re-opened: {error}")),
    };
    Line { level, at: now(), text }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Takes a line when the test allows it.
    struct Slow {
        taken: SyncSender<String>,
        allowed: Receiver<()>,
    }

    impl Sink for Slow {
        fn print(&mut self, line: &Line) -> io::Result<()> {
            let _ = self.allowed.recv();
            let _ = self.taken.send(line.text.clone());
            Ok(())
        }
        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }
        fn reopen(&mut self) -> Reopened {
            Reopened::NoFile
        }
    }

    #[test]
    fn a_stuck_destination_loses_lines_and_says_so() {
        let (taken, lines) = sync_channel(4 * QUEUED_LINES);
        let (allow, allowed) = sync_channel(4 * QUEUED_LINES);
        let feed = Feed::start(Box::new(Slow { taken, allowed })).unwrap();
        // One batch at most is with the writer while the queue fills up behind it.
        let logged = 2 * QUEUED_LINES + 10;
        for n in 0..logged {
            feed.print(Level::Info, n.to_string());
        }
        let lost = usize::try_from(feed.0.lock().lost).unwrap();
        assert!(lost >= 10, "{lost}");
        for _ in 0..logged + 1 {
            allow.send(()).unwrap();
        }
        feed.flush();
        feed.print(Level::Info, "after".to_owned());
        feed.flush();
        let lines: Vec<String> = lines.try_iter().collect();
        assert_eq!(lines.iter().filter(|line| line.starts_with("Log lines lost: ")).count(), 1);
        assert_eq!(lines.last().unwrap(), "after");
        assert_eq!(lines.len(), logged - lost + 2);
    }

    #[test]
    fn requests_keep_their_order() {
        let (taken, lines) = sync_channel(8);
        let (allow, allowed) = sync_channel(8);
        let feed = Feed::start(Box::new(Slow { taken, allowed })).unwrap();
        feed.print(Level::Info, "one".to_owned());
        feed.reopen();
        feed.print(Level::Info, "two".to_owned());
        for _ in 0..3 {
            allow.send(()).unwrap();
        }
        drop(feed);
        let lines: Vec<String> = lines.try_iter().collect();
        assert_eq!(lines, ["one", "File log re-open ignored, not a file logger", "two"]);
    }
}
