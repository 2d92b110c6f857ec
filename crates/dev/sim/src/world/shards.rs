//! What shards do, a step at a time: the loop of the real edge, cut open where threads could meet.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use midge_broker::conn::Flow;
use midge_broker::limits::{CROWDED_WAIT, FINAL_FLUSH};
use midge_broker::reason::Reason;
use midge_stdx::clock::Mono;

use super::World;
use super::observe::name;
use crate::edge::{Phase, Todo};
use crate::model::{Check, Want};
use crate::net::{Progress, Writer, Wrote};
use crate::shard::{Program, Then};
use crate::tamper::Break;

/// Messages longer than this are gathered before they are handled.
const LARGE_MESSAGE: usize = 64 * 1024;
/// Bytes of one read, at most.
const READ_BUFFER: usize = 128 * 1024;

impl World {
    /// One step of a shard: of what it is in the middle of, or of any connection that has something to do.
    pub(super) fn step_shard(&mut self, s: usize) -> Check<()> {
        if self.shards[s].program.is_some() {
            return self.go_on(s);
        }
        let now = self.now.mono;
        let mut todos = Vec::new();
        for (&cid, edge) in self.edges.iter().filter(|(_, e)| e.shard == s) {
            let Some(wire) = self.wires.get(&cid) else { continue };
            todos.extend(edge.todos(&wire.link, now).into_iter().map(|todo| (cid, todo)));
        }
        if todos.is_empty() {
            return Ok(());
        }
        let (cid, todo) = todos[self.schedule.below(todos.len())];
        match todo {
            Todo::Woken => self.woken(s, cid),
            Todo::Write => {
                self.write(s, cid);
                Ok(())
            }
            Todo::Checked => self.checked(s, cid),
            Todo::Read => self.read_input(s, cid),
            Todo::Deadline => self.on_deadline(s, cid),
            Todo::Stalled => {
                self.stalled(cid);
                Ok(())
            }
            Todo::Finish => {
                self.last_flush(s, cid);
                Ok(())
            }
            Todo::GiveUp => {
                if let Some(wire) = self.wires.get_mut(&cid) {
                    wire.lossy = true;
                }
                self.close(s, cid)
            }
        }
    }

    fn go_on(&mut self, s: usize) -> Check<()> {
        let Some(mut program) = self.shards[s].program.take() else { return Ok(()) };
        if let Some((mut writer, own)) = program.writer.take() {
            let cid = writer.cid;
            let progress = self.write_some(s, &mut writer)?;
            match progress {
                None => program.writer = Some((writer, own)),
                Some(wrote) => self.wrote(s, cid, own, wrote),
            }
            self.shards[s].program = Some(program);
            return Ok(());
        }
        if let Some((cid, inline)) = program.flushes.pop_front() {
            program.writer = self.flush_one(s, cid, inline).map(|writer| (writer, false));
            self.shards[s].program = Some(program);
            return Ok(());
        }
        self.after(s, program.then)
    }

    /// Asks a connection's hook to flush; answers what this shard is to write itself.
    fn flush_one(&mut self, s: usize, cid: u64, inline: bool) -> Option<Writer> {
        let now = self.now;
        let peer = self.edges.get(&cid)?.peer.clone();
        peer.flush(&mut self.shards[s].batch.pool, s, inline, now);
        let asked = self.flushes.take();
        let how = if asked.is_some() { "itself" } else { "wakes the owner" };
        self.log.event(now.mono, Some(s), cid, "flush", format_args!("{how}"));
        let kind = self.edges.get(&cid)?.kind;
        asked.map(|cid| Writer::new(cid, peer, kind, None, self.tamper.is(Break::FlushOutOfOrder)))
    }

    /// A step of writing; answers how it ended, if it did.
    fn write_some(&mut self, s: usize, writer: &mut Writer) -> Check<Option<Wrote>> {
        let cid = writer.cid;
        let Some(wire) = self.wires.get_mut(&cid) else { return Ok(Some(Wrote::Failed)) };
        let mut none = None;
        let in_flight = self.edges.get_mut(&cid).map_or(&mut none, |e| &mut e.in_flight);
        let pool = &mut self.shards[s].batch.pool;
        match writer.step(&mut wire.link, pool, in_flight, &mut self.net, self.now) {
            Progress::Ended(wrote) => {
                self.log.event(self.now.mono, Some(s), cid, "wrote", format_args!("{wrote:?}"));
                Ok(Some(wrote))
            }
            Progress::Going(bytes) => {
                if !bytes.is_empty() {
                    self.log.event(
                        self.now.mono,
                        Some(s),
                        cid,
                        "write",
                        format_args!("{} bytes", bytes.len()),
                    );
                }
                for (n, byte) in bytes.iter().enumerate() {
                    match wire.owed.pop_front() {
                        Some(owed) if owed == *byte => {}
                        owed => {
                            return Err(format!(
                                "connection {cid} was queued {owed:?} but written {byte} at {n} of {}",
                                crate::report::shown(&bytes)
                            ));
                        }
                    }
                }
                Ok(None)
            }
        }
    }

    /// Writing ended, by the owner or by another shard.
    fn wrote(&mut self, s: usize, cid: u64, own: bool, wrote: Wrote) {
        let Some(edge) = self.edges.get_mut(&cid) else { return self.close_wire(cid) };
        edge.peer.release_publishers();
        if let Phase::Finishing { last, .. } = &mut edge.phase {
            *last = wrote;
            return;
        }
        if !own {
            match wrote {
                Wrote::Done | Wrote::Busy => {}
                Wrote::Blocked => {
                    if !self.tamper.is(Break::StrandBytes) {
                        edge.raised.store(true, Ordering::Release);
                    }
                }
                Wrote::Failed => {
                    edge.peer.close(Reason::WriteError);
                }
            }
            return;
        }
        edge.write_blocked = wrote == Wrote::Blocked;
        if wrote == Wrote::Failed {
            self.finish(s, cid, Reason::WriteError);
        }
    }

    fn after(&mut self, s: usize, then: Then) -> Check<()> {
        match then {
            Then::Rest => Ok(()),
            Then::Woken(cid) => {
                let Some(edge) = self.edges.get_mut(&cid) else { return Ok(()) };
                edge.paused_until = None;
                match edge.peer.closed() {
                    Some(reason) => self.finish(s, cid, reason),
                    None => self.write(s, cid),
                }
                Ok(())
            }
            Then::Flow(cid, flow) => {
                if let Flow::Close(reason) = flow {
                    self.finish(s, cid, reason);
                }
                Ok(())
            }
            Then::Finished(cid) => self.finished(s, cid),
            Then::Ingested { cid, flow, full, rest } => self.ingested(s, cid, flow, full, rest),
        }
    }

    fn ingested(&mut self, s: usize, cid: u64, flow: Flow, full: bool, rest: Vec<u8>) -> Check<()> {
        let now = self.now.mono;
        let Some(edge) = self.edges.get_mut(&cid) else { return Ok(()) };
        let held_back = self.shards[s].batch.holds_back(&edge.peer);
        let all = rest.is_empty();
        match flow {
            Flow::Continue if full && !all && !held_back => return self.ingest(s, cid, rest),
            Flow::Continue => {
                edge.leftover = rest;
                if held_back {
                    self.log.event(now, Some(s), cid, "held back", format_args!(""));
                    edge.paused_until = Some(now + CROWDED_WAIT);
                    edge.backlog = full && !all;
                }
            }
            Flow::Throttle(wait) => {
                edge.leftover = rest;
                edge.paused_until = Some(now + wait);
                edge.backlog = !all;
            }
            Flow::Work(work) => {
                edge.leftover = rest;
                edge.backlog = !all;
                let delay = self.net.micros(10, 400);
                edge.work = Some((work, now + delay));
            }
            Flow::Close(reason) => self.finish(s, cid, reason),
        }
        Ok(())
    }

    /// Somebody queued bytes, gave orders, or ended the connection.
    fn woken(&mut self, s: usize, cid: u64) -> Check<()> {
        let before = self.before();
        let now = self.now;
        let Some(edge) = self.edges.get_mut(&cid) else { return Ok(()) };
        edge.raised.store(false, Ordering::Release);
        let batch = &mut self.shards[s].batch;
        batch.begin(now);
        edge.machine.catch_up(batch);
        self.log.event(now.mono, Some(s), cid, "woken", format_args!(""));
        let mut taps = self.taps(&before)?;
        self.carry_out(cid, &mut taps)?;
        self.settle(&taps)?;
        self.flush(s, Then::Woken(cid));
        Ok(())
    }

    /// The owner writes what is queued.
    fn write(&mut self, s: usize, cid: u64) {
        let Some(edge) = self.edges.get_mut(&cid) else { return };
        let in_flight = edge.in_flight.take();
        let early = self.tamper.is(Break::FlushOutOfOrder);
        let writer = Writer::new(cid, edge.peer.clone(), edge.kind, in_flight, early);
        self.shards[s].program =
            Some(Program { flushes: VecDeque::new(), writer: Some((writer, true)), then: Then::Rest });
    }

    fn checked(&mut self, s: usize, cid: u64) -> Check<()> {
        let before = self.before();
        let now = self.now;
        let Some(edge) = self.edges.get_mut(&cid) else { return Ok(()) };
        let Some((work, _)) = edge.work.take() else { return Ok(()) };
        let fits = work.run();
        let batch = &mut self.shards[s].batch;
        batch.begin(now);
        let flow = edge.machine.login_checked(batch, fits);
        self.log.event(now.mono, Some(s), cid, "checked", format_args!("{fits}, {}", name(&flow)));
        let mut taps = self.taps(&before)?;
        let want = self.model.checked(cid, &mut taps, now)?;
        self.compare(s, cid, flow, want, &taps)
    }

    fn compare(
        &mut self,
        s: usize,
        cid: u64,
        flow: Flow,
        want: Want,
        taps: &crate::model::Taps,
    ) -> Check<()> {
        let fits = match (&flow, want) {
            (Flow::Continue, Want::Go) => true,
            (Flow::Close(reason), Want::Close(wanted)) => *reason == wanted,
            _ => false,
        };
        if !fits {
            return Err(format!("connection {cid}: the node answers {}, not {want:?}", name(&flow)));
        }
        self.settle(taps)?;
        self.flush(s, Then::Flow(cid, flow));
        Ok(())
    }

    fn on_deadline(&mut self, s: usize, cid: u64) -> Check<()> {
        let before = self.before();
        let now = self.now;
        let Some(edge) = self.edges.get_mut(&cid) else { return Ok(()) };
        let batch = &mut self.shards[s].batch;
        batch.begin(now);
        let flow = edge.machine.on_deadline(batch);
        self.log.event(now.mono, Some(s), cid, "timer", format_args!("{}", name(&flow)));
        let mut taps = self.taps(&before)?;
        let want = self.model.deadline(cid, &mut taps, now)?;
        self.compare(s, cid, flow, want, &taps)
    }

    /// The link has refused bytes for as long as it may.
    fn stalled(&mut self, cid: u64) {
        let now = self.now.mono;
        let Some(edge) = self.edges.get_mut(&cid) else { return };
        let retry = edge.machine.retries_writes() && edge.peer.queue().restart_stall(now);
        self.log.event(
            now,
            Some(edge.shard),
            cid,
            "stalled",
            format_args!("{}", if retry { "again" } else { "out" }),
        );
        if !retry {
            let shard = edge.shard;
            self.finish(shard, cid, Reason::SlowConsumerWriteDeadline);
        }
    }

    /// Reads once and hands on what came.
    fn read_input(&mut self, s: usize, cid: u64) -> Check<()> {
        let most = match self.net.below(4) {
            0 => self.net.between(1, 40),
            1 => self.net.between(1, 5_000),
            _ => READ_BUFFER,
        };
        let (Some(edge), Some(wire)) = (self.edges.get_mut(&cid), self.wires.get_mut(&cid)) else {
            return Ok(());
        };
        edge.paused_until = None;
        if std::mem::take(&mut edge.backlog) {
            let input = std::mem::take(&mut edge.leftover);
            return self.ingest(s, cid, input);
        }
        let bytes = match wire.link.read(most) {
            Err(_) => {
                self.finish(s, cid, Reason::ReadError);
                return Ok(());
            }
            Ok(bytes) if bytes.is_empty() => {
                self.finish(s, cid, Reason::ClientClosed);
                return Ok(());
            }
            Ok(bytes) => bytes,
        };
        edge.leftover.extend_from_slice(&bytes);
        if edge.need > LARGE_MESSAGE && edge.leftover.len() < edge.need {
            return Ok(());
        }
        let input = std::mem::take(&mut edge.leftover);
        self.ingest(s, cid, input)
    }

    /// The connection ends: what is queued is written for the last time, if the reason allows it.
    fn finish(&mut self, s: usize, cid: u64, reason: Reason) {
        let now = self.now.mono;
        let Some(edge) = self.edges.get_mut(&cid) else { return };
        edge.peer.queue().close(reason);
        let reason = edge.peer.closed().unwrap_or(reason);
        edge.ended = Some(reason);
        self.log.event(now, Some(s), cid, "finish", format_args!("{}", reason.text()));
        let until = if reason.flushes() { now + FINAL_FLUSH } else { Mono(0) };
        edge.phase = Phase::Finishing { reason, until, last: Wrote::Busy };
    }

    /// Tries the last flush.
    fn last_flush(&mut self, s: usize, cid: u64) {
        self.write(s, cid);
        if let Some(program) = &mut self.shards[s].program {
            program.then = Then::Finished(cid);
        }
    }

    fn finished(&mut self, s: usize, cid: u64) -> Check<()> {
        match self.edges.get(&cid).map(|e| e.phase) {
            Some(Phase::Finishing { last: Wrote::Done | Wrote::Failed, .. }) => self.close(s, cid),
            // Another shard is writing: it may be refused, and the rest is then left to this one.
            Some(Phase::Finishing { last: Wrote::Busy, .. }) if self.tamper.is(Break::EndTooSoon) => {
                self.close(s, cid)
            }
            _ => Ok(()),
        }
    }

    /// The end of a connection.
    fn close(&mut self, s: usize, cid: u64) -> Check<()> {
        let now = self.now;
        let Some(mut edge) = self.edges.remove(&cid) else { return Ok(()) };
        let reason = edge.ended.unwrap_or(Reason::ClientClosed);
        let outside = edge.machine.waits_for_login();
        let batch = &mut self.shards[s].batch;
        batch.begin(now);
        edge.machine.close(batch, reason);
        self.log.event(now.mono, Some(s), cid, "close", format_args!("{}", reason.text()));
        if edge.peer.closed() != Some(reason) {
            return Err(format!("connection {cid} ended for {:?}, not {reason:?}", edge.peer.closed()));
        }
        let conn = self.model.closed(cid)?;
        let (msgs, bytes, chunks) = {
            let queue = edge.peer.queue();
            (queue.out_msgs, queue.out_bytes, queue.chunks())
        };
        self.uncertain |= conn.uncertain;
        self.sent = (self.sent.0 + msgs, self.sent.1 + bytes);
        if !conn.uncertain && (msgs, bytes) != (conn.out_msgs, conn.out_bytes) {
            return Err(format!(
                "connection {cid} counts {msgs} messages and {bytes} bytes sent, not {} and {}",
                conn.out_msgs, conn.out_bytes
            ));
        }
        if !reason.flushes() && chunks > 0 {
            return Err(format!("connection {cid} ended for {reason:?} and keeps {chunks} chunks"));
        }
        let counts = matches!(reason, Reason::SlowConsumerPendingBytes | Reason::SlowConsumerWriteDeadline);
        self.slow += u64::from(counts && !outside);
        self.stale += u64::from(reason == Reason::StaleConnection);
        self.gone.push((cid, reason, conn.subs.len()));
        if self.tamper.is(Break::KeepSubscription) {
            self.keep_subscription(&conn, &edge.peer);
        }
        self.check_accounts()?;
        if let Some(wire) = self.wires.get_mut(&cid) {
            wire.ended = Some(reason);
            wire.lossy |= !reason.flushes();
        }
        if !self.shards.iter().any(|shard| shard.writes(cid)) {
            self.close_wire(cid);
        }
        self.flush(s, Then::Rest);
        Ok(())
    }

    /// The socket closes with the last that writes it.
    fn close_wire(&mut self, cid: u64) {
        if let Some(wire) = self.wires.get_mut(&cid) {
            wire.link.closed = true;
            if wire.link.gone {
                self.wires.remove(&cid);
            }
        }
    }

    fn keep_subscription(&self, conn: &crate::model::Conn, peer: &std::sync::Arc<midge_broker::peer::Peer>) {
        let Some(sub) = conn.subs.first() else { return };
        let target = midge_broker::subscription::Target::Peer(peer.clone());
        let kept =
            midge_broker::subscription::Subscription::new(target, sub.subject.as_bytes(), None, b"1", false);
        if let Some(account) = self.node.broker.accounts.find(&conn.account) {
            let _ = account.insert(std::sync::Arc::new(kept));
        }
    }
}
