//! The end of a run: quiet, then empty.

use midge_broker::broker::counter;
use midge_views::connz::{ConnzOptions, State};
use midge_views::observe::Observe;

use super::World;
use crate::edge::Phase;
use crate::model::Check;

impl World {
    /// Nothing is left to do: everything that was queued has arrived, and nothing waits.
    pub(super) fn check_quiet(&self) -> Check<()> {
        for (&cid, edge) in &self.edges {
            let Some(wire) = self.wires.get(&cid) else { continue };
            let pending = edge.peer.queue().pending();
            if edge.phase != Phase::Open {
                return Err(format!("connection {cid} never ends: {:?}", edge.phase));
            }
            if pending > 0 || !wire.owed.is_empty() {
                return Err(format!(
                    "connection {cid}: {pending} bytes are stranded, {} of those queued",
                    wire.owed.len()
                ));
            }
            if let Some(sent) = edge.sent.front().filter(|s| !s.applied && wire.link.up.is_empty()) {
                let held = edge.leftover.len() + wire.link.received.len();
                if held >= sent.bytes.len() {
                    return Err(format!("connection {cid} is not served: {held} bytes wait"));
                }
            }
            let (counted, wanted) = (
                edge.peer.subscriptions.load(std::sync::atomic::Ordering::Relaxed),
                self.model.conns.get(&cid).map_or(0, |c| c.subs.len()),
            );
            if counted != wanted as u64 {
                return Err(format!("connection {cid} counts {counted} subscriptions, not {wanted}"));
            }
        }
        if self.node.broker.connections() != self.edges.len() as u64 {
            return Err(format!(
                "{} connections are counted, of {}",
                self.node.broker.connections(),
                self.edges.len()
            ));
        }
        Ok(())
    }

    /// Everybody leaves, or the server shuts down.
    pub(super) fn end(&mut self) -> Check<()> {
        self.log.event(self.now.mono, None, 0, "finale", format_args!(""));
        let cids: Vec<u64> = self.people.iter_mut().filter_map(super::people::Person::stop).collect();
        if self.swarm.shut_down {
            self.stopping = true;
            self.node.broker.shut_down();
            return Ok(());
        }
        for cid in cids {
            let reset = self.schedule.percent(30);
            self.leave(cid, reset);
        }
        Ok(())
    }

    /// Nothing is left at all, and monitoring tells the story right.
    pub(super) fn check_end(&mut self) -> Check<()> {
        if let Some(cid) = self.edges.keys().next() {
            return Err(format!("connection {cid} outlives its client"));
        }
        let broker = &self.node.broker;
        if broker.connections() != 0 || !broker.peers().is_empty() {
            return Err(format!("{} connections are left", broker.connections()));
        }
        self.check_accounts()?;
        let sum = |n| broker.counters.sum(n);
        let (in_msgs, in_bytes) = self.model.received;
        let mut figures = vec![
            ("connections", sum(counter::TOTAL_CONNECTIONS), self.gone.len() as u64),
            ("messages received", sum(counter::IN_MSGS), in_msgs),
            ("bytes received", sum(counter::IN_BYTES), in_bytes),
            ("messages sent", sum(counter::OUT_MSGS), self.sent.0),
            ("bytes sent", sum(counter::OUT_BYTES), self.sent.1),
            ("slow consumers", sum(counter::SLOW_CONSUMERS), self.slow),
            ("stale connections", sum(counter::STALE), self.stale),
        ];
        if !self.uncertain {
            figures.push(("deliveries", sum(counter::OUT_MSGS), self.model.seen.deliveries));
        }
        for (what, counted, wanted) in figures {
            if counted != wanted {
                return Err(format!("{what}: {counted} counted, of {wanted}"));
            }
        }
        self.check_closed()
    }

    /// The list of closed connections.
    fn check_closed(&self) -> Check<()> {
        let options = ConnzOptions { state: State::Closed, limit: 10_000, ..ConnzOptions::default() };
        let page = self.node.connz(&options, self.now)?.connections.unwrap_or_default();
        if page.len() != self.gone.len() {
            return Err(format!("{} closed connections are shown, of {}", page.len(), self.gone.len()));
        }
        for &(cid, reason, subs) in &self.gone {
            let Some(shown) = page.iter().find(|c| c.cid == cid) else {
                return Err(format!("connection {cid} is not shown among the closed"));
            };
            if shown.reason != reason.text() {
                return Err(format!("connection {cid} is shown as {}, not {}", shown.reason, reason.text()));
            }
            if shown.subscriptions != subs {
                return Err(format!(
                    "connection {cid} is shown with {} subscriptions, not {subs}",
                    shown.subscriptions
                ));
            }
        }
        Ok(())
    }
}
