//! Messages that nobody needs any more leave streams with retention by interest, and work queues.

use midge_assets::stream::interest::{self, Recheck};
use midge_assets::stream::publish::Interest as _;
use midge_broker::batch::Batch;
use midge_jsapi::stream_config::Retention;
use midge_stdx::clock::Now;
use midge_store::stream::{Filter, Step};

use super::{Consumers, Host};
use crate::limits::TURN_REMOVED;

/// The consumers of a work queue: what nobody asks for stays.
struct Workers<'a>(&'a Consumers);

impl interest::Consumers for Workers<'_> {
    fn need(&self, seq: u64, subject: &[u8]) -> bool {
        !self.0.wants(subject) || interest::Consumers::need(self.0, seq, subject)
    }
}

impl Host {
    /// Removes what consumers said that they need no more.
    pub(super) fn remove_consumed(&mut self, batch: &mut Batch, now: Now) {
        if self.config.retention == Retention::Limits {
            self.consumers.said.done.clear();
            return;
        }
        let mut done = std::mem::take(&mut self.consumers.said.done);
        for (_, first, last) in done.drain(..) {
            let first = first.max(self.store.state().first_seq);
            if first <= last {
                self.to_remove.push_back((first, last));
            }
        }
        self.consumers.said.done = done;
        let mut removed = false;
        let mut budget = TURN_REMOVED;
        'ranges: while let Some((first, last)) = self.to_remove.front().copied() {
            // What is acknowledged by its number alone was delivered; a range may hold what others work at.
            let alone = first == last;
            for seq in first..=last {
                if budget == 0 {
                    self.to_remove[0].0 = seq;
                    self.come_back();
                    break 'ranges;
                }
                budget -= 1;
                let step = match self.config.retention {
                    Retention::WorkQueue if alone => interest::taken(&mut self.store, seq),
                    Retention::WorkQueue => {
                        interest::acknowledged(&Workers(&self.consumers), &mut self.store, seq)
                    }
                    _ => interest::acknowledged(&self.consumers, &mut self.store, seq),
                };
                match step {
                    Step::Ready(gone) => removed |= gone,
                    Step::Failed(_) => {}
                    Step::Wait => {
                        self.to_remove[0].0 = seq;
                        break 'ranges;
                    }
                }
            }
            self.to_remove.pop_front();
        }
        if removed {
            self.removed(batch, now);
        }
    }

    /// A consumer went, or wants something else, or the stream has come to ask what is needed: what nobody needs goes, once the change itself would survive
    /// a power cut. Whoever asked for it is answered behind that.
    pub(super) fn recheck_after_change(&mut self, batch: &mut Batch, now: Now) {
        if self.config.retention != Retention::Interest {
            return;
        }
        self.when_durable(
            batch,
            now,
            Box::new(|host, batch, now| {
                if host.config.retention == Retention::Interest {
                    host.recheck_interest(batch, Filter::all(), now);
                }
            }),
        );
    }

    /// Looks for messages that nobody needs. In a work queue those are what was acknowledged before a crash that kept the acknowledgement and not the removal.
    pub(super) fn recheck_interest(&mut self, batch: &mut Batch, filter: Filter, now: Now) {
        let mut recheck = Recheck::new(filter);
        self.begin(
            batch,
            now,
            Box::new(move |host, batch, now| {
                loop {
                    let step = match host.config.retention {
                        Retention::WorkQueue => recheck.step(&Workers(&host.consumers), &mut host.store),
                        _ => recheck.step(&host.consumers, &mut host.store),
                    };
                    match step {
                        Step::Ready(Some(removed)) => {
                            if removed > 0 {
                                host.removed(batch, now);
                            }
                            return Step::Ready(());
                        }
                        Step::Ready(None) => {}
                        Step::Wait => return Step::Wait,
                        Step::Failed(_) => return Step::Ready(()),
                    }
                }
            }),
        );
    }
}
