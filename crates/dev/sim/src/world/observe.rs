//! Calls of the node, each compared with the model.

use std::collections::BTreeMap;

use bytes::Bytes;
use midge_broker::conn::{Flow, Ingested};
use midge_broker::reason::Reason;

use super::World;
use crate::clients::{Op, Reader};
use crate::edge::Order;
use crate::model::{Check, Sub, Tap, Taps, Want};
use crate::report::shown;
use crate::shard::{Program, Then};

/// The accounts that every run has.
const ACCOUNTS: [&str; 4] = ["$G", "A", "B", "$SYS"];

/// What the queues were like before a call: bytes queued, and whether they were closed.
pub(super) type Before = BTreeMap<u64, (usize, bool)>;

fn matches(flow: &Flow, want: Want) -> bool {
    match (flow, want) {
        (Flow::Continue | Flow::Throttle(_), Want::Go) | (Flow::Work(_), Want::Work) => true,
        (Flow::Close(reason), Want::Close(wanted)) => *reason == wanted,
        _ => false,
    }
}

impl World {
    pub(super) fn before(&self) -> Before {
        self.edges
            .iter()
            .map(|(&cid, edge)| {
                let queue = edge.peer.queue();
                (cid, (queue.pending(), queue.closed().is_some()))
            })
            .collect()
    }

    /// What a call queued.
    pub(super) fn taps(&mut self, before: &Before) -> Check<Taps> {
        let mut taps = Taps::default();
        for (&cid, edge) in &self.edges {
            let (was, closed_before) = before.get(&cid).copied().unwrap_or_default();
            let mut tap = Tap { before: was, closed_before, ..Tap::default() };
            let queue = edge.peer.queue();
            match queue.closed() {
                Some(Reason::SlowConsumerPendingBytes) if !closed_before => {
                    tap.overflow = true;
                    self.model.seen.overflows += 1;
                    self.uncertain = true;
                    if let Some(wire) = self.wires.get_mut(&cid) {
                        wire.lossy = true;
                    }
                }
                Some(_) => {}
                None => {
                    let Some(new) = queue.pending().checked_sub(was) else {
                        return Err(format!(
                            "connection {cid} has fewer bytes queued, though nothing was written"
                        ));
                    };
                    if queue.pending() > self.swarm.max_pending {
                        return Err(format!("connection {cid} has {} bytes queued", queue.pending()));
                    }
                    let mut bytes = Vec::new();
                    if new > 0 {
                        queue.copy_last(new, &mut bytes);
                    }
                    if bytes.len() != new {
                        return Err(format!(
                            "connection {cid} counts {new} bytes more but holds {}",
                            bytes.len()
                        ));
                    }
                    let mut reader = Reader::default();
                    tap.events = reader.push(&bytes).map_err(|e| format!("connection {cid}: {e}"))?;
                    if !reader.is_between() {
                        return Err(format!("connection {cid} was queued a part: {}", shown(&bytes)));
                    }
                    for event in &tap.events {
                        let at = self.now.mono;
                        self.log.event(at, None, cid, "queued", format_args!("{}", shown(&event.raw)));
                    }
                    self.tamper.queued(&mut tap.events);
                    if let Some(wire) = self.wires.get_mut(&cid) {
                        wire.owed.extend(bytes);
                    }
                }
            }
            drop(queue);
            taps.list.insert(cid, tap);
        }
        Ok(taps)
    }

    /// After the model has ticked off a call.
    pub(super) fn settle(&mut self, taps: &Taps) -> Check<()> {
        taps.finish(self.swarm.max_pending)?;
        for (&cid, _) in taps.list.iter().filter(|(_, tap)| tap.overflow) {
            let Some(account) = self.model.conns.get(&cid).map(|c| c.account.clone()) else { continue };
            let mut held = Vec::new();
            if let Some(account) = self.node.broker.accounts.find(&account) {
                account.for_each_subscription(|sub| {
                    if sub.peer().is_some_and(|p| p.cid == cid) {
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        held.push(Sub {
                            subject: text(sub.subject()),
                            queue: sub.queue().map(text),
                            sid: text(sub.sid()),
                            delivered: sub.delivered(),
                            max: sub.max(),
                        });
                    }
                });
            }
            self.model.adopt(cid, held)?;
        }
        self.check_accounts()?;
        for (&cid, edge) in &self.edges {
            if edge.peer.closed().is_none() && self.model.conns.contains_key(&cid) {
                self.model.check_deadline(cid, edge.machine.deadline())?;
            }
        }
        Ok(())
    }

    /// The indexes hold what the model says, and the accounts count its clients.
    pub(super) fn check_accounts(&self) -> Check<()> {
        if self.stopping {
            return Ok(());
        }
        for name in ACCOUNTS {
            let Some(account) = self.node.broker.accounts.find(name) else {
                return Err(format!("account {name} is missing"));
            };
            let (held, wanted) = (account.index_counts().0, self.model.subscriptions(name));
            if held != wanted {
                let mut list = Vec::new();
                account.for_each_subscription(|sub| {
                    let cid = sub.peer().map_or(0, |p| p.cid);
                    list.push((cid, String::from_utf8_lossy(sub.sid()).into_owned()));
                });
                let odd = self.model.odd_subscriptions(name, &list);
                return Err(format!("account {name} holds {held} subscriptions, not {wanted}: {odd}"));
            }
            let (clients, wanted) = (account.clients(), self.model.clients(name));
            if clients != wanted as u64 {
                return Err(format!("account {name} counts {clients} clients, not {wanted}"));
            }
        }
        Ok(())
    }

    /// What the shard flushes after a batch, and what follows.
    pub(super) fn flush(&mut self, s: usize, then: Then) {
        let mut dirty = Vec::new();
        self.shards[s].batch.take_dirty(&mut dirty);
        let inline = self.net.pick(&[1, 3, 1_000]);
        let flushes = dirty.iter().enumerate().map(|(n, peer)| (peer.cid, n < inline)).collect();
        self.shards[s].program = Some(Program { flushes, writer: None, then });
    }

    /// Hands input to a machine and compares what follows.
    pub(super) fn ingest(&mut self, s: usize, cid: u64, input: Vec<u8>) -> Check<()> {
        let before = self.before();
        let now = self.now;
        let Some(edge) = self.edges.get_mut(&cid) else { return Ok(()) };
        let batch = &mut self.shards[s].batch;
        batch.begin(now);
        let Ingested { consumed, need, flow } = edge.machine.ingest(batch, &Bytes::from(input.clone()));
        let full = batch.is_full();
        edge.need = need;
        self.log.event(
            now.mono,
            Some(s),
            cid,
            "ingest",
            format_args!(
                "{consumed} of {} bytes, need {need}, {}{}",
                input.len(),
                name(&flow),
                if full { ", full" } else { "" }
            ),
        );
        let mut taps = self.taps(&before)?;
        self.carry_out(cid, &mut taps)?;
        let want = self.consume(cid, consumed, input.len(), full, &flow, &mut taps)?;
        if !matches(&flow, want) {
            return Err(format!("connection {cid}: the node answers {}, not {want:?}", name(&flow)));
        }
        self.check_need(cid, input.len() - consumed, need)?;
        self.settle(&taps)?;
        let rest = input.get(consumed..).unwrap_or_default().to_vec();
        self.flush(s, Then::Ingested { cid, flow, full, rest });
        Ok(())
    }

    /// Applies the operations that the node consumed.
    fn consume(
        &mut self,
        cid: u64,
        consumed: usize,
        presented: usize,
        full: bool,
        flow: &Flow,
        taps: &mut Taps,
    ) -> Check<Want> {
        let now = self.now;
        let mut left = consumed;
        let mut want = Want::Go;
        let mut last: Option<String> = None;
        let Some(edge) = self.edges.get_mut(&cid) else { return Ok(want) };
        while left > 0 {
            let Some(sent) = edge.sent.front_mut() else {
                return Err(format!("connection {cid}: the node took {left} bytes that were never sent"));
            };
            let missing = sent.bytes.len() - sent.taken;
            let whole = left >= missing;
            if !whole && !matches!(sent.op, Op::Ping(_)) {
                return Err(format!("connection {cid}: the node stopped inside {}", shown(&sent.bytes)));
            }
            let taken = left.min(missing);
            left -= taken;
            sent.taken += taken;
            let applied = std::mem::replace(&mut sent.applied, true);
            let op = sent.op.clone();
            if whole {
                edge.sent.pop_front();
            }
            if applied {
                continue;
            }
            if want != Want::Go {
                return Err(format!("connection {cid}: the node went on after {want:?}"));
            }
            let subject = if let Op::Publish(publish) = &op { Some(publish.subject.clone()) } else { None };
            let follows = subject.is_some() && subject == last;
            want = self.model.operate(cid, &op, follows, taps, now)?;
            last = subject;
        }
        let rest = presented - consumed;
        let Some(sent) = edge.sent.front().filter(|_| rest > 0 && want == Want::Go) else { return Ok(want) };
        if sent.applied {
            return Ok(want);
        }
        let (op, bytes) = (sent.op.clone(), sent.bytes.clone());
        if let Flow::Close(_) = flow {
            return self.model.operate(cid, &op, false, taps, now);
        }
        if full {
            return Ok(want);
        }
        if rest >= self.model.notice(cid, &op, &bytes) {
            return Err(format!("connection {cid}: the node does not act on {}", shown(&bytes)));
        }
        self.model.first_byte(cid, bytes[0], taps, now)
    }

    /// What the machine says about the size of what is incomplete.
    fn check_need(&self, cid: u64, rest: usize, need: usize) -> Check<()> {
        let Some(sent) = self.edges.get(&cid).and_then(|e| e.sent.front()) else { return Ok(()) };
        let whole = sent.bytes.len() - sent.taken;
        if need > 0 && (need > whole || need <= rest) {
            return Err(format!("connection {cid}: {need} bytes are needed, of {whole}, with {rest} there"));
        }
        Ok(())
    }

    /// Orders are carried out before anything else.
    pub(super) fn carry_out(&mut self, cid: u64, taps: &mut Taps) -> Check<()> {
        let Some(edge) = self.edges.get_mut(&cid) else { return Ok(()) };
        for order in edge.orders.drain(..) {
            match order {
                Order::Permit(spec) => self.model.permit(cid, Some(spec), taps)?,
                Order::LameDuck => self.model.announce(cid, taps)?,
            }
        }
        Ok(())
    }

    /// A new connection.
    pub(super) fn greet(&mut self, s: usize, cid: u64) -> Check<()> {
        let before = self.before();
        let now = self.now;
        let Some(edge) = self.edges.get_mut(&cid) else { return Ok(()) };
        let batch = &mut self.shards[s].batch;
        batch.begin(now);
        let flow = edge.machine.greet(batch);
        if !matches!(flow, Flow::Close(_)) {
            edge.machine.secured(now);
        }
        let mut taps = self.taps(&before)?;
        let want = self.model.greeted(cid, now, &mut taps)?;
        if !matches(&flow, want) {
            return Err(format!("connection {cid}: greeting answers {}, not {want:?}", name(&flow)));
        }
        self.settle(&taps)?;
        self.flush(s, Then::Flow(cid, flow));
        Ok(())
    }
}

/// A flow in a word.
pub(super) fn name(flow: &Flow) -> String {
    match flow {
        Flow::Continue => "go on".to_owned(),
        Flow::Throttle(wait) => format!("wait {wait:?}"),
        Flow::Work(_) => "check a password".to_owned(),
        Flow::Close(reason) => format!("close: {}", reason.text()),
    }
}
