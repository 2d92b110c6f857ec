//! What may be found after a crash: decided from operations and completions alone.

use std::collections::BTreeMap;

use midge_store::port::Name;

/// What is known of an operation. Ordered: a power cut keeps the last, a kill the last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Submitted, not completed, or failed.
    Open,
    /// Completed: it survives the end of the process.
    Cached,
    /// Completed: it survives the end of power.
    Durable,
}

/// What an operation does to one file.
#[derive(Clone, Debug)]
pub enum Change {
    /// Bytes at an offset.
    Write(usize, Vec<u8>),
    /// A new content.
    Whole(Vec<u8>),
    /// A new length.
    Len(usize),
    /// No file.
    Remove,
}

#[derive(Clone, Debug)]
struct Step {
    ticket: u64,
    level: Level,
    change: Change,
    /// A device failed since: it may be gone, whatever is said later.
    doubtful: bool,
}

/// The history of a file since it was last looked at.
#[derive(Clone, Debug, Default)]
pub struct FileLog {
    steps: Vec<Step>,
}

/// What a file may be.
#[derive(Default)]
struct Allowed {
    absent: bool,
    present: bool,
    least: usize,
    most: usize,
    cells: Vec<Vec<u8>>,
}

impl Allowed {
    fn cell(&mut self, at: usize) -> &mut Vec<u8> {
        while self.cells.len() <= at {
            self.cells.push(vec![0]);
        }
        &mut self.cells[at]
    }

    fn must(&mut self, change: &Change) {
        match change {
            Change::Write(at, bytes) => {
                for (i, byte) in bytes.iter().enumerate() {
                    *self.cell(at + i) = vec![*byte];
                }
                self.least = self.least.max(at + bytes.len());
                self.most = self.most.max(self.least);
                (self.absent, self.present) = (false, true);
            }
            Change::Whole(bytes) => {
                self.cells = bytes.iter().map(|b| vec![*b]).collect();
                (self.least, self.most, self.absent, self.present) = (bytes.len(), bytes.len(), false, true);
            }
            Change::Len(len) => {
                self.cells.truncate(*len);
                (self.least, self.most, self.absent, self.present) = (*len, *len, false, true);
            }
            Change::Remove => {
                *self = Allowed { absent: true, ..Allowed::default() };
            }
        }
    }

    fn may(&mut self, change: &Change) {
        match change {
            Change::Write(at, bytes) => {
                for (i, byte) in bytes.iter().enumerate() {
                    self.cell(at + i).push(*byte);
                }
                self.most = self.most.max(at + bytes.len());
                self.present = true;
            }
            Change::Whole(bytes) => {
                self.may(&Change::Write(0, bytes.clone()));
                self.least = self.least.min(bytes.len());
                // What follows may lie behind the end of the new content, with nothing in between.
                self.cells.iter_mut().skip(bytes.len()).for_each(|cell| cell.push(0));
            }
            Change::Len(len) => {
                for cell in self.cells.iter_mut().skip(*len) {
                    cell.push(0);
                }
                self.least = self.least.min(*len);
                self.most = self.most.max(*len);
                self.present = true;
            }
            Change::Remove => {
                self.cells.iter_mut().for_each(|cell| cell.push(0));
                (self.absent, self.least) = (true, 0);
            }
        }
    }
}

impl FileLog {
    /// A file of this content, found at a look.
    pub fn found(content: Option<Vec<u8>>, level: Level) -> FileLog {
        let change = content.map_or(Change::Remove, Change::Whole);
        FileLog { steps: vec![Step { ticket: 0, level, change, doubtful: false }] }
    }

    /// An operation was submitted.
    pub fn push(&mut self, ticket: u64, change: Change) {
        self.steps.push(Step { ticket, level: Level::Open, change, doubtful: false });
    }

    /// What was found after a kill comes on top of what is known.
    pub fn look(&mut self, content: Option<Vec<u8>>) {
        let change = content.map_or(Change::Remove, Change::Whole);
        // After a device failed, what a program reads need not be there, and no later sync says so: only what is written anew counts.
        let anew =
            |s: &Step| s.level == Level::Durable && matches!(s.change, Change::Whole(_) | Change::Remove);
        let doubtful = self.steps.iter().rev().take_while(|s| !anew(s)).any(|s| s.doubtful);
        // They are another process's now.
        self.steps.iter_mut().for_each(|step| step.ticket = 0);
        // What was promised is in it; the rest may be, in part, on stable storage.
        self.steps.push(Step { ticket: 0, level: Level::Cached, change, doubtful });
    }

    /// An operation completed.
    pub fn completed(&mut self, ticket: u64, level: Level) {
        self.steps.iter_mut().filter(|s| s.ticket == ticket).for_each(|s| s.level = s.level.max(level));
    }

    /// Everything up to this ticket that was completed is on stable storage. What an earlier process wrote and was killed over is not: a checkpoint speaks of
    /// what its lane submitted, and lanes end with the process.
    pub fn settled(&mut self, ticket: u64) {
        let own = |s: &Step| s.ticket > 0 && s.ticket <= ticket;
        let cached = |s: &&mut Step| own(s) && s.level == Level::Cached && !s.doubtful;
        for step in self.steps.iter_mut().filter(cached) {
            step.level = Level::Durable;
        }
    }

    /// A sync failed: what is only cached may be gone.
    pub fn doubt(&mut self) {
        self.steps.iter_mut().filter(|s| s.level < Level::Durable).for_each(|s| s.doubtful = true);
    }

    /// Whether the content may be what is there, if everything of this level has to be.
    pub fn check(&self, actual: Option<&[u8]>, level: Level, pieces: bool) -> Result<(), String> {
        if !pieces {
            return self.check_whole(actual, level);
        }
        let mut allowed = Allowed { absent: true, ..Allowed::default() };
        for step in &self.steps {
            if step.level >= level { allowed.must(&step.change) } else { allowed.may(&step.change) }
        }
        let Some(actual) = actual else {
            return if allowed.absent { Ok(()) } else { Err("is gone".into()) };
        };
        if !allowed.present {
            return Err("should not exist".into());
        }
        if actual.len() < allowed.least || actual.len() > allowed.most {
            return Err(format!("has {} bytes, not {} to {}", actual.len(), allowed.least, allowed.most));
        }
        for (at, byte) in actual.iter().enumerate() {
            let cell = allowed.cell(at);
            if !cell.contains(byte) {
                return Err(format!("has {byte:#x} at {at}, not one of {cell:x?}"));
            }
        }
        Ok(())
    }

    /// For files that are replaced only: it is one of the contents, whole.
    fn check_whole(&self, actual: Option<&[u8]>, level: Level) -> Result<(), String> {
        let mut allowed: Vec<Option<&[u8]>> = vec![None];
        for step in &self.steps {
            if step.level >= level {
                allowed.clear();
            }
            allowed.push(if let Change::Whole(bytes) = &step.change { Some(bytes) } else { None });
        }
        if allowed.contains(&actual) {
            return Ok(());
        }
        let head = actual.map(|bytes| &bytes[..bytes.len().min(12)]);
        Err(format!("is {head:?}, of which nothing was promised last ({} possibilities)", allowed.len()))
    }
}

/// What happened to a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its state was replaced by one of this number; none: it was removed.
    State(Option<u64>),
    /// A change of this number.
    Delta(u64),
}

/// A consumer.
#[derive(Clone, Debug, Default)]
pub struct ConsumerLog {
    events: Vec<(Event, u64, Level)>,
}

impl ConsumerLog {
    /// An operation was submitted.
    pub fn push(&mut self, ticket: u64, event: Event) {
        self.events.push((event, ticket, Level::Open));
    }

    /// An operation completed.
    pub fn completed(&mut self, ticket: u64, level: Level) {
        self.events.iter_mut().filter(|e| e.1 == ticket).for_each(|e| e.2 = e.2.max(level));
    }

    /// Whether these deltas may come with this state.
    pub fn check(&self, state: Option<u64>, deltas: &[u64], level: Level) -> Result<(), String> {
        let starts =
            self.events.iter().enumerate().filter(|(_, e)| e.0 == Event::State(state)).map(|(at, _)| at + 1);
        let mut candidates: Vec<usize> = starts.collect();
        if state.is_none() {
            candidates.push(0);
        }
        let mut why = format!("state {state:?} was never submitted");
        for from in candidates {
            let mut left = deltas.iter().peekable();
            let mut missing = None;
            for (event, _, known) in &self.events[from..] {
                let Event::Delta(number) = event else { continue };
                if left.peek() == Some(&number) {
                    left.next();
                } else if *known >= level {
                    missing = Some(*number);
                }
            }
            match (missing, left.next()) {
                (None, None) => return Ok(()),
                (Some(number), _) => {
                    why = format!("delta {number} after state {state:?} is missing in {deltas:?}")
                }
                (_, Some(number)) => {
                    why = format!("delta {number} does not belong to state {state:?}: {:?}", self.events)
                }
            }
        }
        Err(why)
    }

    /// What was found at a look.
    pub fn found(state: Option<u64>, deltas: &[u64]) -> ConsumerLog {
        let mut events = vec![(Event::State(state), 0, Level::Durable)];
        events.extend(deltas.iter().map(|n| (Event::Delta(*n), 0, Level::Durable)));
        ConsumerLog { events }
    }
}

/// A store.
#[derive(Clone, Debug, Default)]
pub struct StoreLog {
    /// Its files.
    pub files: BTreeMap<Name, FileLog>,
    /// Its consumers.
    pub consumers: BTreeMap<String, ConsumerLog>,
    /// Its deletion: the ticket, and whether it completed.
    pub deleted: Option<(u64, Level)>,
}

impl StoreLog {
    /// An operation completed.
    pub fn completed(&mut self, ticket: u64, level: Level) {
        self.files.values_mut().for_each(|f| f.completed(ticket, level));
        self.consumers.values_mut().for_each(|c| c.completed(ticket, level));
        if let Some(deleted) = self.deleted.as_mut().filter(|d| d.0 == ticket) {
            deleted.1 = level;
        }
    }

    /// A checkpoint completed.
    pub fn settled(&mut self, ticket: u64) {
        self.files.values_mut().for_each(|f| f.settled(ticket));
    }
}
