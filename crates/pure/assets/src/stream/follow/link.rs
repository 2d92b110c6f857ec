//! One stream that feeds another: the consumer that is asked for, what it delivers, and what to do when it falls silent.
//!
//! ```text
//!   New ──(a moment)──▶ asked ──reply──▶ following ──gap, silence, trouble──▶ Idle ──(later each time)──▶ asked
//! ```
//!
//! The owner subscribes, publishes and sets timers as [`Action`]s say, and hands in what comes.

use std::time::Duration;

use bytes::Bytes;
use midge_jsapi::errors;
use midge_jsapi::headers as names;
use midge_jsapi::stream_config::StreamSource;
use midge_jsapi::subjects::{AckSubject, SOURCE_REPLY_PREFIX};
use midge_stdx::clock::{Mono, Now};
use midge_stdx::entropy::Entropy;
use midge_wire::headers as wire;

use super::request::{self, Owner, Role, Start, api_subject, create, deliver_subject, token};
use crate::stream::headers::{VERSION_LINE, number, push};

/// How long a reply to a request for a consumer is waited for.
const CREATE_WAIT: Duration = Duration::from_secs(30);
/// How long a reply to a reset is waited for.
const RESET_WAIT: Duration = Duration::from_secs(5);
/// Silence after which a consumer counts as lost.
const STALLED: Duration = Duration::from_secs(10);
/// The shortest time between two requests.
const MIN_RETRY: Duration = Duration::from_secs(2);
/// What is added for each attempt that failed.
const BACKOFF: Duration = Duration::from_secs(10);
/// The longest time between two requests.
const MAX_RETRY: Duration = Duration::from_secs(120);

/// What the owner has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Listen to a subject, in place of the one before of the same kind.
    Subscribe {
        /// The subject.
        subject: Bytes,
        /// Messages come here; otherwise replies.
        deliveries: bool,
    },
    /// Listen no more to deliveries.
    Unsubscribe,
    /// Publish.
    Publish {
        /// Where to.
        subject: Bytes,
        /// Where replies go; empty for nowhere.
        reply: Bytes,
        /// The header block; may be empty.
        headers: Bytes,
        /// The payload.
        payload: Bytes,
        /// It says that messages were stored, and may go only when all that were so far are durable.
        when_durable: bool,
    },
}

/// What a delivered message means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A message to be stored.
    Message {
        /// Its sequence where it comes from.
        seq: u64,
        /// When it was stored there, Unix nanoseconds.
        ts_ns: i64,
    },
    /// Nothing more to do.
    Nothing,
}

/// How much of the newer API the other server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// Level 5: it knows identities of streams.
    Identity,
    /// Level 4: it knows consumers for sourcing.
    Sourcing,
    /// Neither.
    Plain,
}

#[derive(Debug)]
enum State {
    /// Nothing was asked for yet: the stream that is followed may be about to be made.
    New,
    Idle {
        retry: Mono,
    },
    Asked {
        until: Mono,
    },
    Following,
}

/// See the module.
#[derive(Debug)]
pub struct Link {
    role: Role,
    source: StreamSource,
    owner: Owner,
    name: String,
    state: State,
    dialect: Dialect,
    /// Which incarnation of the stream was read; empty when that is not known.
    identity: String,
    /// The number of the last delivery.
    delivered: u64,
    /// The last sequence that was taken, where it comes from.
    taken: u64,
    pending: u64,
    heard: Option<Mono>,
    asked: Option<Mono>,
    fails: u32,
    error: Option<midge_jsapi::errors::ApiError>,
}

impl Link {
    /// A link that asks in a moment. `index` is given for a source when others of the same stream read the same one; `taken` and `identity` say how far it was read.
    pub fn new(
        role: Role,
        source: StreamSource,
        owner: Owner,
        index: Option<&str>,
        taken: u64,
        identity: String,
    ) -> Link {
        Link {
            name: request::consumer_name(role, &owner, index),
            role,
            source,
            owner,
            state: State::New,
            dialect: if role == Role::Mirror { Dialect::Sourcing } else { Dialect::Identity },
            identity,
            delivered: 0,
            taken,
            pending: 0,
            heard: None,
            asked: None,
            fails: 0,
            error: None,
        }
    }

    /// The setting that made it.
    pub fn source(&self) -> &StreamSource {
        &self.source
    }

    /// Which incarnation of the other stream is read.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Messages that are still to come, as told with the last one.
    pub fn lag(&self) -> u64 {
        self.pending
    }

    /// Nanoseconds since something was heard; -1 when nothing ever was.
    pub fn active_ns(&self, now: Mono) -> i64 {
        let since = |heard| i64::try_from(now.since(heard).as_nanos()).unwrap_or(i64::MAX);
        self.heard.map_or(-1, since)
    }

    /// Why the last request failed.
    pub fn error(&self) -> Option<&midge_jsapi::errors::ApiError> {
        self.error.as_ref()
    }

    /// When [`Link::tick`] has something to do.
    pub fn deadline(&self) -> Mono {
        match self.state {
            State::New => Mono(0),
            State::Idle { retry } => retry,
            State::Asked { until } => until,
            State::Following => self.heard.unwrap_or(Mono(0)) + STALLED,
        }
    }

    /// Does what is due. `start` is where to begin when nothing was taken so far: see [`first_start`].
    pub fn tick(&mut self, now: Now, start: Start, entropy: &mut dyn Entropy, out: &mut Vec<Action>) {
        if now.mono < self.deadline() {
            return;
        }
        match self.state {
            State::New => self.rest(now, jitter(entropy), out),
            State::Idle { .. } => self.ask(now, start, entropy, out),
            State::Asked { .. } | State::Following => self.fail(now, entropy, out),
        }
    }

    fn ask(&mut self, now: Now, start: Start, entropy: &mut dyn Entropy, out: &mut Vec<Action>) {
        let reply: Bytes = format!("{SOURCE_REPLY_PREFIX}{}", token(entropy)).into();
        let deliver = deliver_subject(self.role, &self.source, entropy);
        let start = if self.taken > 0 { Start::Seq(self.taken + 1) } else { start };
        let wait = if self.source.consumer.is_some() { RESET_WAIT } else { CREATE_WAIT };
        out.push(Action::Subscribe { subject: reply.clone(), deliveries: false });
        out.push(Action::Subscribe { subject: deliver.clone().into(), deliveries: true });
        let mut headers = Vec::new();
        let level: Option<&[u8]> = match self.dialect {
            Dialect::Identity => Some(b"5"),
            Dialect::Sourcing => Some(b"4"),
            Dialect::Plain => None,
        };
        // A mirror asks nothing more of a consumer that the user made.
        let bare = self.source.consumer.is_some() && self.dialect != Dialect::Identity;
        if let Some(level) = level.filter(|_| !bare) {
            headers.extend_from_slice(VERSION_LINE);
            push(names::REQUIRED_API_LEVEL, level, &mut headers);
            if self.dialect == Dialect::Identity {
                push(names::STREAM_IDENTITY, self.identity.as_bytes(), &mut headers);
            }
            headers.extend_from_slice(b"\r\n");
        }
        let (subject, payload) = match &self.source.consumer {
            Some(consumer) => {
                let rest = format!("CONSUMER.RESET.{}.{}", self.source.name, consumer.name);
                (api_subject(&self.source, &rest), Vec::new())
            }
            None => {
                let mut name = self.name.clone();
                let sourcing = self.dialect != Dialect::Plain;
                if !sourcing {
                    // Servers that do not know better would take the same name for the same consumer.
                    name = format!("{name}_{}", token(entropy));
                }
                create(self.role, &self.source, &self.owner, name, &deliver, start, sourcing)
            }
        };
        out.push(Action::Publish {
            subject: subject.into(),
            reply,
            headers: headers.into(),
            payload: payload.into(),
            when_durable: false,
        });
        self.delivered = 0;
        self.asked = Some(now.mono);
        self.state = State::Asked { until: now.mono + wait };
    }

    /// Gives up what there is, to ask again later: the longer, the more often it failed.
    fn fail(&mut self, now: Now, entropy: &mut dyn Entropy, out: &mut Vec<Action>) {
        self.fails = self.fails.saturating_add(1);
        let wait = BACKOFF.saturating_mul(self.fails).min(MAX_RETRY) + jitter(entropy);
        self.rest(now, wait, out);
    }

    /// Asks again as soon as that is permitted.
    fn again(&mut self, now: Now, entropy: &mut dyn Entropy, out: &mut Vec<Action>) {
        let since = self.asked.map_or(MIN_RETRY, |asked| now.mono.since(asked));
        self.rest(now, MIN_RETRY.saturating_sub(since) + jitter(entropy), out);
    }

    fn rest(&mut self, now: Now, wait: Duration, out: &mut Vec<Action>) {
        if matches!(self.state, State::Following | State::Asked { .. }) {
            out.push(Action::Unsubscribe);
        }
        self.state = State::Idle { retry: now.mono + wait };
    }

    /// Takes the reply to a request for a consumer.
    pub fn on_reply(
        &mut self,
        headers: &[u8],
        payload: &[u8],
        now: Now,
        entropy: &mut dyn Entropy,
        out: &mut Vec<Action>,
    ) {
        if !matches!(self.state, State::Asked { .. }) {
            return;
        }
        let reply: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
        let Some(error) = reply.get("error").filter(|error| !error.is_null()) else {
            if let Some(unfit) = self.unfit(&reply) {
                self.error = Some(unfit.into());
                self.fail(now, entropy, out);
            } else if reply.is_object() {
                self.accept(headers, now);
            } else {
                // Nobody was there to answer.
                self.fail(now, entropy, out);
            }
            return;
        };
        let code = error.get("err_code").and_then(serde_json::Value::as_u64).unwrap_or(0);
        self.error = u16::try_from(code).ok().and_then(errors::Code::of).map(|code| code.into());
        if let (Some(kept), Some(text)) =
            (&mut self.error, error.get("description").and_then(|text| text.as_str()))
        {
            kept.description = text.to_owned();
        }
        let is = |kind: errors::Code| code == u64::from(kind.err_code);
        if (is(errors::REQUIRED_API_LEVEL) || is(errors::INVALID_JSON)) && self.dialect != Dialect::Plain {
            self.dialect = if self.dialect == Dialect::Identity { Dialect::Sourcing } else { Dialect::Plain };
            self.state = State::Idle { retry: now.mono };
        } else if is(errors::CONSUMER_STREAM_IDENTITY_MISMATCH) {
            // It is another stream of the same name: nothing of it was read.
            (self.taken, self.identity) = (0, String::new());
            self.again(now, entropy, out);
        } else {
            self.fail(now, entropy, out);
        }
    }

    /// A consumer made beforehand has to take what is said by flow control for acknowledgements: with any other policy it would deliver
    /// the same again and again, or lose what got lost on the way.
    fn unfit(&self, reply: &serde_json::Value) -> Option<errors::Code> {
        self.source.consumer.as_ref()?;
        if !reply.is_object() || reply["config"]["ack_policy"] == "flow_control" {
            return None;
        }
        Some(match self.role {
            Role::Mirror => errors::MIRROR_CONSUMER_REQUIRES_ACK_FLOW_CONTROL,
            Role::Source => errors::SOURCE_CONSUMER_REQUIRES_ACK_FLOW_CONTROL,
        })
    }

    fn accept(&mut self, headers: &[u8], now: Now) {
        if let Some(identity) = wire::find(headers, names::STREAM_IDENTITY) {
            self.identity = String::from_utf8_lossy(identity).into_owned();
        }
        self.error = None;
        self.heard = Some(now.mono);
        self.state = State::Following;
    }

    /// Takes what was delivered. A message that is to be stored counts as taken with [`Link::took`].
    pub fn on_delivery(
        &mut self,
        reply: &[u8],
        headers: &[u8],
        now: Now,
        entropy: &mut dyn Entropy,
        out: &mut Vec<Action>,
    ) -> Taken {
        match self.state {
            State::New | State::Idle { .. } => return Taken::Nothing,
            // Whether a consumer made beforehand fits is not known yet; what it delivered before its reset comes again.
            State::Asked { .. } if self.source.consumer.is_some() => return Taken::Nothing,
            State::Asked { .. } | State::Following => {}
        }
        self.heard = Some(now.mono);
        if headers.starts_with(b"NATS/1.0 100") {
            self.on_control(reply, headers, now, entropy, out);
            return Taken::Nothing;
        }
        let Some(place) = AckSubject::parse(reply) else { return Taken::Nothing };
        if place.deliveries > 1 || place.consumer_seq <= self.delivered && self.delivered > 0 {
            return Taken::Nothing;
        }
        if self.source.consumer.is_some() && self.delivered == 0 {
            // Its deliveries are counted from when it was made.
            self.delivered = place.consumer_seq.saturating_sub(1);
        }
        if place.consumer_seq != self.delivered + 1 {
            self.again(now, entropy, out);
            return Taken::Nothing;
        }
        self.delivered = place.consumer_seq;
        self.pending = place.pending;
        self.fails = 0;
        if place.stream_seq <= self.taken {
            return Taken::Nothing;
        }
        Taken::Message { seq: place.stream_seq, ts_ns: place.ts_ns }
    }

    /// A message was stored, or passed over for good.
    pub fn took(&mut self, seq: u64) {
        self.taken = self.taken.max(seq);
    }

    /// Heartbeats and flow control.
    fn on_control(
        &mut self,
        reply: &[u8],
        headers: &[u8],
        now: Now,
        entropy: &mut dyn Entropy,
        out: &mut Vec<Action>,
    ) {
        if !reply.is_empty() {
            out.push(self.flow_answer(reply));
            return;
        }
        if let Some(stalled) = wire::find(headers, names::CONSUMER_STALLED) {
            out.push(self.flow_answer(stalled));
        }
        let last = wire::find(headers, names::LAST_CONSUMER).and_then(number);
        if matches!(self.state, State::Following) && last.is_some_and(|last| last != self.delivered) {
            let counted_before = self.source.consumer.is_some() && self.delivered == 0;
            if !counted_before {
                self.again(now, entropy, out);
            }
        }
    }

    fn flow_answer(&self, to: &[u8]) -> Action {
        let (mut headers, mut digits) = (VERSION_LINE.to_vec(), itoa::Buffer::new());
        push(names::LAST_CONSUMER, digits.format(self.delivered).as_bytes(), &mut headers);
        push(names::LAST_STREAM, digits.format(self.taken).as_bytes(), &mut headers);
        headers.extend_from_slice(b"\r\n");
        Action::Publish {
            subject: Bytes::copy_from_slice(to),
            reply: Bytes::new(),
            headers: headers.into(),
            payload: Bytes::new(),
            when_durable: true,
        }
    }
}

/// What keeps many links from asking in the same moment.
fn jitter(entropy: &mut dyn Entropy) -> Duration {
    Duration::from_millis(100 + entropy.below(101))
}

/// Where a link begins that has taken nothing: as configured, but a source never before the last message of its own stream.
pub fn first_start(role: Role, source: &StreamSource, own_last_ns: i64) -> Start {
    match source.opt_start_time {
        _ if source.opt_start_seq > 0 => Start::Seq(source.opt_start_seq),
        Some(time) if role == Role::Source => Start::Time(time.max(midge_stdx::clock::Wall(own_last_ns))),
        Some(time) => Start::Time(time),
        None => Start::All,
    }
}
