//! Publishing: who must receive a message, and whether they did.

use midge_broker::reason::Reason;
use midge_stdx::clock::Now;

use super::rules::{is_literal, matches, quoted, refuses_publish, refuses_reply};
use super::{Check, Model, Taps, Want};
use crate::clients::{Event, Publish};

/// The subject under which the server tells clients who they are.
const USER_INFO: &str = "$SYS.REQ.USER.INFO";

/// A message on its way.
enum Message<'a> {
    /// What a client published.
    Published(&'a Publish),
    /// What the server answers to [`USER_INFO`].
    UserInfo { reply: &'a str, account: String, sequence: u64 },
}

/// Whether a consumer that is nearly full gets the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Must,
    May,
    MustNot,
}

/// A subscription that matches.
struct Candidate {
    cid: u64,
    sub: usize,
    message: usize,
    queue: Option<String>,
    due: Due,
    /// Its connection overflowed in this call, so nobody can tell.
    hidden: bool,
    got: bool,
}

/// Whether a message reached anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Yes,
    No,
    /// Only connections that overflowed may have got it.
    Perhaps,
}

/// The bytes of a delivery.
fn delivery(publish: &Publish, sid: &str, headers: bool) -> Vec<u8> {
    let header = publish.header.as_deref().unwrap_or_default();
    let zeros = "0".repeat(publish.zeros);
    let with_headers = headers && !header.is_empty();
    let stripped = !headers && !header.is_empty();
    let mut line = format!("{} {} {sid} ", if with_headers { "HMSG" } else { "MSG" }, publish.subject);
    if !publish.reply.is_empty() {
        line.push_str(&publish.reply);
        line.push(' ');
    }
    if with_headers {
        line.push_str(&format!("{zeros}{} ", header.len()));
    }
    if stripped {
        line.push_str(&publish.payload.len().to_string());
    } else {
        line.push_str(&format!("{zeros}{}", header.len() + publish.payload.len()));
    }
    let mut out = line.into_bytes();
    out.extend_from_slice(b"\r\n");
    if !stripped {
        out.extend_from_slice(header);
    }
    out.extend_from_slice(&publish.payload);
    out.extend_from_slice(b"\r\n");
    out
}

impl Message<'_> {
    fn subject(&self) -> &str {
        match self {
            Message::Published(publish) => &publish.subject,
            Message::UserInfo { reply, .. } => reply,
        }
    }

    fn is(&self, event: &Event, sid: &str, headers: bool) -> bool {
        match self {
            Message::Published(publish) => event.raw == delivery(publish, sid, headers),
            Message::UserInfo { reply, account, sequence } => {
                let body = String::from_utf8_lossy(event.body());
                event.sid.as_deref() == Some(sid.as_bytes())
                    && event.subject == reply.as_bytes()
                    && event.reply.is_empty()
                    && event.is("MSG ")
                    && body.starts_with("{\"server\":{")
                    && body.contains(&format!("\"seq\":{sequence},"))
                    && body.contains(&format!("\"account\":{}", quoted(account)))
            }
        }
    }

    /// Bytes of a delivery, at most.
    fn most(&self, sid: &str, headers: bool) -> usize {
        match self {
            Message::Published(publish) => delivery(publish, sid, headers).len(),
            Message::UserInfo { .. } => 4_000,
        }
    }
}

impl Model {
    /// PUB or HPUB.
    pub(super) fn publish(
        &mut self,
        cid: u64,
        publish: &Publish,
        follows: bool,
        taps: &mut Taps,
        now: Now,
    ) -> Check<Want> {
        let conn = self.conn(cid)?;
        let size = publish.payload.len() + publish.header.as_ref().map_or(0, Vec::len);
        if publish.header.is_some() && !conn.headers {
            self.seen.faults += 1;
            return Ok(Want::Close(Reason::ProtocolViolation));
        }
        if size > conn.max_payload {
            self.seen.faults += 1;
            taps.error(cid, "Maximum Payload Violation")?;
            return Ok(Want::Close(Reason::MaxPayloadExceeded));
        }
        conn.pings.heard(now.mono);
        conn.in_msgs += 1;
        conn.in_bytes += size as u64;
        if conn.pedantic && !is_literal(&publish.subject) {
            taps.error(cid, "Invalid Publish Subject")?;
        }
        let reserved = refuses_publish(&publish.subject, conn.account == "$SYS");
        let listed = !reserved && conn.permissions.as_ref().is_none_or(|p| p.may_publish(&publish.subject));
        let answers = !reserved && !listed && conn.answer(&publish.subject, now.mono);
        if !listed && !answers {
            self.seen.refused += 1;
            taps.error(cid, &format!("Permissions Violation for Publish to {}", quoted(&publish.subject)))?;
            return Ok(Want::Go);
        }
        if refuses_reply(&publish.reply) {
            self.seen.refused += 1;
            let text = format!("Permissions Violation for Publish with Reply of {}", quoted(&publish.reply));
            taps.error(cid, &text)?;
            return Ok(Want::Go);
        }
        if conn.verbose {
            taps.line(cid, "+OK\r\n")?;
        }
        self.seen.answers += u64::from(answers);
        let account = self.conn(cid)?.account.clone();
        let mut messages = vec![Message::Published(publish)];
        let to_service = publish.subject == USER_INFO;
        if to_service && !publish.reply.is_empty() {
            self.user_infos += 1;
            messages.push(Message::UserInfo { reply: &publish.reply, account, sequence: self.user_infos });
        }
        let reached = self.deliver(cid, &messages, follows, taps, now)?;
        if !to_service {
            self.unreached(cid, publish, reached, taps)?;
        }
        Ok(Want::Go)
    }

    /// Every subscription that matches, on connections that can take something.
    fn candidates(&mut self, from: u64, messages: &[Message<'_>], taps: &Taps) -> Check<Vec<Candidate>> {
        let sender = self.conn(from)?;
        let (account, echo) = (sender.account.clone(), sender.echo);
        let mut list = Vec::new();
        let mut kept_back = 0;
        for conn in self.conns.values().filter(|c| c.account == account && taps.is_open(c.cid)) {
            for (sub, s) in conn.subs.iter().enumerate() {
                for (n, message) in messages.iter().enumerate() {
                    if !matches(&s.subject, message.subject()) {
                        continue;
                    }
                    let own = conn.cid == from && !echo && matches!(message, Message::Published(_));
                    if own || !conn.may_receive(message.subject(), s) {
                        kept_back += 1;
                        continue;
                    }
                    list.push(Candidate {
                        cid: conn.cid,
                        sub,
                        message: n,
                        queue: s.queue.clone(),
                        due: Due::Must,
                        hidden: taps.overflowed(conn.cid),
                        got: false,
                    });
                }
            }
        }
        self.seen.kept_back += kept_back;
        Ok(list)
    }

    /// Ticks off the deliveries of a message and checks that they are all there are.
    fn deliver(
        &mut self,
        from: u64,
        messages: &[Message<'_>],
        follows: bool,
        taps: &mut Taps,
        now: Now,
    ) -> Check<Reached> {
        let mut candidates = self.candidates(from, messages, taps)?;
        let mut cids: Vec<u64> = candidates.iter().map(|c| c.cid).collect();
        cids.dedup();
        for cid in cids {
            self.tick_off(cid, messages, &mut candidates, follows, taps)?;
        }
        self.check_groups(messages, &candidates)?;
        for candidate in &candidates {
            let lost =
                self.swarm.drop_for_slow && !candidate.got && !candidate.hidden && candidate.queue.is_none();
            if candidate.got || lost {
                self.settle(candidate, messages, lost, now);
            }
        }
        for conn in self.conns.values_mut() {
            let before = conn.subs.len();
            conn.subs.retain(|s| s.max.is_none_or(|max| s.delivered < max));
            self.seen.spent += (before - conn.subs.len()) as u64;
        }
        let of_first = |pick: fn(&Candidate) -> bool| candidates.iter().any(|c| c.message == 0 && pick(c));
        Ok(if of_first(|c| c.got) {
            Reached::Yes
        } else if of_first(|c| c.hidden) {
            Reached::Perhaps
        } else {
            Reached::No
        })
    }

    /// One connection's part of [`Model::deliver`].
    fn tick_off(
        &self,
        cid: u64,
        messages: &[Message<'_>],
        candidates: &mut [Candidate],
        follows: bool,
        taps: &mut Taps,
    ) -> Check<()> {
        let Some(conn) = self.conns.get(&cid) else { return Ok(()) };
        let mut mine: Vec<&mut Candidate> = candidates.iter_mut().filter(|c| c.cid == cid).collect();
        let sid = |c: &Candidate| conn.subs.get(c.sub).map_or("", |s| s.sid.as_str());
        let most: usize = mine.iter().map(|c| messages[c.message].most(sid(c), conn.headers)).sum();
        if taps.overflowed(cid) {
            taps.maybe(cid, most);
            return Ok(());
        }
        let Some(tap) = taps.visible(cid) else { return Ok(()) };
        if self.swarm.drop_for_slow {
            let (limit, pending) = (self.swarm.max_pending / 4 * 3, tap.pending());
            let due = match pending > limit {
                true if follows => Due::May,
                true => Due::MustNot,
                false if mine.len() == 1 || pending + most <= limit => Due::Must,
                false => Due::May,
            };
            mine.iter_mut().filter(|c| c.message == 0).for_each(|c| c.due = due);
        }
        while let Some(event) = tap.peek() {
            let next =
                mine.iter_mut().find(|c| !c.got && messages[c.message].is(event, sid(c), conn.headers));
            let Some(candidate) = next else { break };
            candidate.got = true;
            tap.advance();
        }
        // The request and its answer may both match a subscription that takes one more message only.
        let full: Vec<usize> = mine
            .iter()
            .filter(|c| c.got && conn.subs.get(c.sub).is_some_and(|s| s.max == Some(s.delivered + 1)))
            .map(|c| c.sub)
            .collect();
        mine.iter_mut().filter(|c| !c.got && full.contains(&c.sub)).for_each(|c| c.due = Due::May);
        for candidate in mine {
            let (what, sid) = (messages[candidate.message].subject(), sid(candidate));
            if candidate.got && candidate.due == Due::MustNot {
                return Err(format!("connection {cid} is slow and loses messages, but got {what} on {sid}"));
            }
            if !candidate.got && candidate.due == Due::Must && candidate.queue.is_none() {
                let found = tap.peek().map_or_else(|| "nothing".to_owned(), |e| crate::report::shown(&e.raw));
                return Err(format!("connection {cid} must receive {what} on {sid} but was sent {found}"));
            }
        }
        Ok(())
    }

    /// Exactly one member of each group receives a message.
    fn check_groups(&mut self, messages: &[Message<'_>], candidates: &[Candidate]) -> Check<()> {
        let mut groups: Vec<(usize, &str)> =
            candidates.iter().filter_map(|c| c.queue.as_deref().map(|q| (c.message, q))).collect();
        groups.sort_unstable();
        groups.dedup();
        for (message, queue) in groups {
            let members =
                || candidates.iter().filter(|c| c.message == message && c.queue.as_deref() == Some(queue));
            let got: Vec<u64> = members().filter(|c| c.got).map(|c| c.cid).collect();
            let subject = messages[message].subject();
            if got.len() > 1 {
                return Err(format!("{subject} went to {} members of queue {queue}: {got:?}", got.len()));
            }
            self.seen.group_picks += got.len() as u64;
            if got.is_empty() && members().any(|c| c.due == Due::Must) && !members().any(|c| c.hidden) {
                let members: Vec<u64> = members().map(|c| c.cid).collect();
                return Err(format!("{subject} went to no member of queue {queue}, of {members:?}"));
            }
        }
        Ok(())
    }

    /// The consequences of a delivery, or of a message lost for being slow, which counts towards a maximum too.
    fn settle(&mut self, candidate: &Candidate, messages: &[Message<'_>], lost: bool, now: Now) {
        let Some(conn) = self.conns.get_mut(&candidate.cid) else { return };
        if let Some(sub) = conn.subs.get_mut(candidate.sub) {
            sub.delivered += 1;
        }
        if lost {
            self.seen.dropped += 1;
            return;
        }
        self.seen.deliveries += 1;
        conn.out_msgs += 1;
        if let Message::Published(publish) = &messages[candidate.message] {
            let header = publish.header.as_ref().map_or(0, Vec::len);
            conn.out_bytes += (publish.payload.len() + if conn.headers { header } else { 0 }) as u64;
            if !publish.reply.is_empty() {
                conn.grant(&publish.reply, now.mono);
            }
        } else {
            // The length of the answer is the server's.
            conn.uncertain = true;
        }
    }

    /// Nobody was there: the publisher is told, if it wants to know and listens for the answer.
    fn unreached(&mut self, cid: u64, publish: &Publish, reached: Reached, taps: &mut Taps) -> Check<()> {
        let conn = self.conn(cid)?;
        if reached == Reached::Yes || publish.reply.is_empty() || !conn.no_responders {
            return Ok(());
        }
        let own = conn.subs.iter().filter(|s| s.queue.is_none() && matches(&s.subject, &publish.reply));
        let answers: Vec<Vec<u8>> = own
            .map(|s| {
                let n = 32 + publish.subject.len();
                format!(
                    "HMSG {} {} {n} {n}\r\nNATS/1.0 503\r\nNats-Subject: {}\r\n\r\n\r\n",
                    publish.reply, s.sid, publish.subject
                )
                .into_bytes()
            })
            .collect();
        let Some(longest) = answers.iter().map(Vec::len).max() else { return Ok(()) };
        taps.maybe(cid, longest);
        let Some(tap) = taps.visible(cid) else { return Ok(()) };
        if tap.peek().is_some_and(|e| answers.contains(&e.raw)) {
            tap.advance();
            self.seen.unreached += 1;
        } else if reached == Reached::No {
            return Err(format!("connection {cid} must be told that nobody received {}", publish.subject));
        }
        Ok(())
    }
}
