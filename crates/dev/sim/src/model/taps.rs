//! What a call of the node queued, per connection, to be ticked off.

use std::collections::BTreeMap;

use crate::clients::Event;

use super::Check;

/// What a call queued for one connection.
#[derive(Debug, Default)]
pub struct Tap {
    /// Bytes queued before.
    pub before: usize,
    /// Whether it was closed before, so that nothing may be queued any more.
    pub closed_before: bool,
    /// Whether this call closed it because too much was queued; what was queued is gone then.
    pub overflow: bool,
    /// What was queued, in order.
    pub events: Vec<Event>,
    /// The next event.
    pub at: usize,
    /// Bytes of the events ticked off, or, after an overflow, the most that may have been queued.
    pub bytes: usize,
}

impl Tap {
    /// Bytes queued at this point of the call.
    pub fn pending(&self) -> usize {
        self.before + self.bytes
    }

    /// Ticks off the next event.
    pub fn advance(&mut self) {
        if let Some(event) = self.events.get(self.at) {
            self.bytes += event.raw.len();
            self.at += 1;
        }
    }

    /// The next event.
    pub fn peek(&self) -> Option<&Event> {
        self.events.get(self.at)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Taps {
    /// By connection.
    pub list: BTreeMap<u64, Tap>,
}

fn found(tap: &Tap) -> String {
    tap.peek().map_or_else(|| "nothing".to_owned(), |e| crate::report::shown(&e.raw))
}

impl Taps {
    /// Whether deliveries to the connection can succeed.
    pub fn is_open(&self, cid: u64) -> bool {
        self.list.get(&cid).is_some_and(|tap| !tap.closed_before)
    }

    /// Whether what the connection was queued is gone.
    pub fn overflowed(&self, cid: u64) -> bool {
        self.list.get(&cid).is_some_and(|tap| tap.overflow)
    }

    /// The tap of a connection whose output can be looked at.
    pub fn visible(&mut self, cid: u64) -> Option<&mut Tap> {
        self.list.get_mut(&cid).filter(|tap| !tap.closed_before && !tap.overflow)
    }

    /// Counts bytes that may have been queued for a connection that overflowed.
    pub fn maybe(&mut self, cid: u64, bytes: usize) {
        if let Some(tap) = self.list.get_mut(&cid).filter(|tap| tap.overflow) {
            tap.bytes += bytes;
        }
    }

    /// The connection must be sent exactly this next.
    pub fn line(&mut self, cid: u64, line: &str) -> Check<()> {
        self.maybe(cid, line.len());
        let Some(tap) = self.visible(cid) else { return Ok(()) };
        if tap.peek().is_some_and(|e| e.raw == line.as_bytes()) {
            tap.advance();
            return Ok(());
        }
        Err(format!("connection {cid} must be sent {} but was sent {}", line.trim_end(), found(tap)))
    }

    /// The connection must be sent this error.
    pub fn error(&mut self, cid: u64, text: &str) -> Check<()> {
        self.line(cid, &format!("-ERR '{text}'\r\n"))
    }

    /// The connection must be sent these errors, in any order.
    pub fn errors(&mut self, cid: u64, mut texts: Vec<String>) -> Check<()> {
        while !texts.is_empty() {
            let Some(tap) = self.visible(cid) else {
                texts.iter().for_each(|t| self.maybe(cid, t.len() + 9));
                return Ok(());
            };
            let next = tap.peek().map(|e| e.raw.clone()).unwrap_or_default();
            let at = texts.iter().position(|t| format!("-ERR '{t}'\r\n").into_bytes() == next);
            let Some(at) = at else {
                return Err(format!(
                    "connection {cid} must be sent one of {texts:?} but was sent {}",
                    found(tap)
                ));
            };
            texts.swap_remove(at);
            tap.advance();
        }
        Ok(())
    }

    /// The connection must be sent an INFO with these fields.
    pub fn info(&mut self, cid: u64, fields: &[String], lame_duck: bool) -> Check<()> {
        const MOST: usize = 2_000;
        self.maybe(cid, MOST);
        let Some(tap) = self.visible(cid) else { return Ok(()) };
        let Some(event) = tap.peek().filter(|e| e.is("INFO {")) else {
            return Err(format!("connection {cid} must be sent INFO but was sent {}", found(tap)));
        };
        let text = String::from_utf8_lossy(&event.raw).into_owned();
        let missing = fields.iter().find(|f| !text.contains(f.as_str()));
        if let Some(missing) = missing {
            return Err(format!("connection {cid}: {missing} is missing in {text}"));
        }
        if text.contains("\"ldm\":true") != lame_duck {
            return Err(format!("connection {cid}: lame duck mode is {lame_duck}, but {text}"));
        }
        tap.advance();
        Ok(())
    }

    /// Everything must have been ticked off, and who was closed for having too much queued must have had that.
    pub fn finish(&self, max_pending: usize) -> Check<()> {
        for (cid, tap) in &self.list {
            if !tap.overflow && tap.at < tap.events.len() {
                return Err(format!("connection {cid} was sent what nothing asks for: {}", found(tap)));
            }
            if tap.overflow && tap.pending() <= max_pending {
                return Err(format!(
                    "connection {cid} was closed as slow with {} bytes queued at most, of {max_pending}",
                    tap.pending()
                ));
            }
        }
        Ok(())
    }
}
