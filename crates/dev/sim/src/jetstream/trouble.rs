//! A disk whose syncs fail, or that is full for a while.
//!
//! While it lasts, requests may fail or stay unanswered, and what they asked for may be the case or not. Afterwards the node has to be whole by itself, without
//! another start, and to have everything that it ever confirmed.

use super::json::Json;
use super::world::{Result, World};
use crate::disk::Faults;
use crate::draw::Draw;

/// What the disk of a run does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ailment {
    /// Syncs of a hundred that fail, and lose what was written; those of the journal, too, or not.
    Syncs { percent: usize, only_files: bool },
    /// It is full.
    Space,
}

/// How long a node may take to be whole again: it tries every second, and a full disk every five.
const RECOVERED_AFTER_NS: u64 = 12_000_000_000;

/// Errors that a failing disk gives: of resources, and of storing.
const FAILURES: [u64; 4] = [10023, 10074, 10077, 10110];

impl Ailment {
    /// The one of a run, in some runs.
    pub(super) fn draw(mut draw: Draw) -> Option<Ailment> {
        match draw.below(10) {
            0 => Some(Ailment::Syncs { percent: draw.between(2, 30), only_files: false }),
            1 => Some(Ailment::Syncs { percent: draw.between(5, 50), only_files: true }),
            2 => Some(Ailment::Space),
            _ => None,
        }
    }
}

impl World {
    /// The disk falls ill, or recovers, or stays as it is.
    pub(super) fn ail(&mut self) {
        let Some(ailment) = self.ailment else { return };
        if self.ailing {
            if self.draw.percent(10) {
                self.recover();
            }
            return;
        }
        if !self.draw.percent(5) {
            return;
        }
        let faults = match ailment {
            Ailment::Syncs { percent, only_files } => {
                Faults { sync_errors: percent, only_files, ..Faults::default() }
            }
            Ailment::Space => {
                let left = self.draw.pick(&[0, 1000, 20_000]);
                let capacity = self.files.used() + self.draw.below(left + 1) as u64;
                Faults { capacity: Some(capacity), ..Faults::default() }
            }
        };
        self.note(|| format!("---- {faults:?}"));
        self.saw(if ailment == Ailment::Space { "times without space" } else { "times of failing syncs" });
        self.files.set_faults(faults);
        (self.ailing, self.shaken) = (true, true);
        self.consumers.iter_mut().for_each(|consumer| consumer.exact = false);
    }

    /// The disk does everything again. What it did before is as uncertain as ever.
    pub(super) fn recover(&mut self) {
        if std::mem::take(&mut self.ailing) {
            self.note(|| "---- the disk is well".into());
            self.files.set_faults(Faults::default());
        }
    }

    /// The disk recovers, and the node has to.
    pub(super) fn heal(&mut self) -> Result {
        if !self.shaken {
            return Ok(());
        }
        self.recover();
        self.settle()?;
        self.pass(RECOVERED_AFTER_NS)?;
        let unanswered = self.give_up();
        self.saw("recoveries from failures");
        for _ in 0..unanswered {
            self.saw("requests without an answer");
        }
        self.shaken = false;
        self.ensure()
    }

    /// Whether an answer is an error that may be the disk's: what was asked for may have been done.
    pub(super) fn is_the_disks(&self, answer: &Json) -> bool {
        self.shaken && FAILURES.contains(&answer.get("error").get("err_code").number())
    }
}
