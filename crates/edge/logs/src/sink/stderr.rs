//! Standard error.

use std::io::{self, IsTerminal, Write};

use super::{Reopened, Sink};
use crate::limits::WRITE_BUFFER;
use crate::line::{Layout, Line};

/// Lines to standard error, in colours when that is a terminal.
pub(crate) struct Stderr {
    layout: Layout,
    buffer: Vec<u8>,
}

impl Stderr {
    pub(crate) fn new(layout: Layout) -> Stderr {
        let colours = io::stderr().is_terminal();
        Stderr { layout: Layout { colours, ..layout }, buffer: Vec::new() }
    }
}

impl Sink for Stderr {
    fn print(&mut self, line: &Line) -> io::Result<()> {
        self.layout.print(line, "\n", &mut self.buffer);
        if self.buffer.len() >= WRITE_BUFFER { self.finish() } else { Ok(()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        let written = io::stderr().lock().write_all(&self.buffer);
        self.buffer.clear();
        written
    }

    fn reopen(&mut self) -> Reopened {
        Reopened::NoFile
    }
}
