//! What a stream may do beyond the usual: times to live, markers of what expired, roll-ups, refusals by subject.

use std::collections::BTreeMap;

use super::json::Json;
use super::model::{Fate, Limits, Outcome, Publish, Retention, StreamModel};
use crate::draw::Draw;

/// How late a marker may be: it is asked for again every two seconds.
const MARKED_WITHIN_NS: u64 = 2_500_000_000;
/// How long before its end nothing is said of it.
const MARKED_AFTER_NS: u64 = 100_000_000;

/// The subject, or all, whose earlier messages go with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RollUp {
    Subject,
    All,
}

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Features {
    /// Messages may say how long they live.
    pub(super) ttl: bool,
    /// What expires last of a subject leaves a marker, which stays.
    pub(super) markers: bool,
    /// Messages may take earlier ones away.
    pub(super) roll_up: bool,
    /// A subject that is full takes no more.
    pub(super) new_per_subject: bool,
}

impl Features {
    /// Those of a stream with these limits, and its limits.
    pub(super) fn draw(draw: &mut Draw, mut limits: Limits, retention: Retention) -> (Features, Limits) {
        let plain = retention == Retention::Limits;
        let markers = plain && draw.percent(if limits.max_age_ns > 0 { 60 } else { 12 });
        if markers && !limits.any() {
            limits.max_age_ns = draw.between(12, 20) as u64 * 500_000_000;
        }
        let features = Features {
            ttl: !markers && draw.percent(25),
            markers,
            roll_up: draw.percent(25),
            new_per_subject: limits.max_per_subject > 0 && draw.percent(40),
        };
        (features, limits)
    }

    /// What a configuration says of them.
    pub(super) fn config(self) -> String {
        let mut text = String::new();
        if self.ttl {
            text += r#","allow_msg_ttl":true"#;
        }
        if self.markers {
            text += r#","allow_msg_ttl":true,"subject_delete_marker_ttl":3600000000000"#;
        }
        if self.roll_up || self.markers {
            text += r#","allow_rollup_hdrs":true"#;
        }
        if self.new_per_subject {
            text += r#","discard_new_per_subject":true"#;
        }
        text
    }
}

impl StreamModel {
    /// Whether messages may go by themselves.
    pub(super) fn may_lose(&self) -> bool {
        self.tightest.any() || self.features.ttl
    }

    /// A marker was found under this sequence; answers which one it is.
    pub(super) fn marker(&mut self, seq: u64, subject: &str, header: &[u8]) -> Result<usize, String> {
        let name = &self.name;
        if !self.features.markers {
            return Err(format!("{name}: {seq} is a marker, and nobody asked for any"));
        }
        let subject = self.subjects.iter().position(|known| known == subject).unwrap_or(usize::MAX);
        if let Some(id) = self.by_seq.get(&seq) {
            let known = &self.publishes[*id];
            return if known.is_marker && known.subject == subject {
                Ok(*id)
            } else {
                Err(format!("{name}: sequence {seq} is a marker, and was publish {id}"))
            };
        }
        let expirable = |p: &Publish| p.subject == subject && !p.dead && p.outcome != Outcome::Refused;
        if !self.publishes.iter().any(|p| expirable(p) && p.seq.is_none_or(|other| other < seq)) {
            return Err(format!("{name}: {seq} is a marker of a subject that had no message"));
        }
        let id = self.publishes.len();
        self.by_seq.insert(seq, id);
        self.last_told = self.last_told.max(seq);
        self.publishes.push(Publish {
            // Nobody sent it: it comes behind everything that was.
            order: u64::MAX,
            subject,
            payload: Vec::new(),
            header_len: header.len(),
            msg_id: None,
            sent_at: 0,
            told_at: None,
            outcome: Outcome::Unknown,
            seq: Some(seq),
            fate: Fate::Kept,
            dead: false,
            is_marker: true,
            ttl_ns: 0,
            roll_up: None,
            has_room: false,
        });
        Ok(id)
    }

    /// A message is sent that will take others with it.
    pub(super) fn will_roll_up(&mut self, id: usize) {
        self.roll_up(id, Fate::MaybeGone);
    }

    /// A message is there that took others with it, if it is one.
    pub(super) fn rolled_up(&mut self, id: usize) {
        self.roll_up(id, Fate::Gone);
    }

    fn roll_up(&mut self, id: usize, fate: Fate) {
        let Publish { order, subject, roll_up, .. } = self.publishes[id];
        let Some(what) = roll_up else { return };
        self.mark(fate, order - 1, |other| what == RollUp::All || other.subject == subject);
    }

    /// A subject whose last message has expired, and has no marker.
    pub(super) fn unmarked(&self, found: &BTreeMap<u64, usize>, now: u64) -> Option<u64> {
        let others = Limits { max_age_ns: 0, ..self.tightest };
        // Under an earlier age, the marker may have come and gone.
        let same_age = self.tightest.max_age_ns == self.limits.max_age_ns;
        if !self.features.markers || others.any() || !self.asked.is_empty() || !same_age {
            return None;
        }
        (0..self.subjects.len()).find_map(|subject| {
            let of = |p: &&Publish| p.subject == subject && !p.dead && p.outcome != Outcome::Refused;
            let all = || self.publishes.iter().filter(of);
            let last = all().filter(|p| !p.is_marker).filter_map(|p| p.seq).max()?;
            let id = *self.by_seq.get(&last)?;
            let publish = &self.publishes[id];
            // What nobody knows the end of may have been the last; a marker may have been taken away.
            let open = |p: &Publish| match p.is_marker {
                true => p.fate != Fate::Kept,
                false => p.order > publish.order && p.outcome == Outcome::Unknown,
            };
            let certain = publish.outcome == Outcome::Acked;
            let kept = publish.fate == Fate::Kept && !self.may_be_removed(publish) && !all().any(open);
            // The marker ages as well.
            let age = self.limits.max_age_ns;
            let expired = self.is_too_old(id, now, MARKED_WITHIN_NS)
                && now + MARKED_AFTER_NS < publish.sent_at + 2 * age;
            let unmarked = !found.range(last + 1..).any(|(_, id)| self.publishes[*id].subject == subject);
            (certain && kept && expired && unmarked).then_some(last)
        })
    }

    /// Whether a subject may be full for the message of this publish.
    pub(super) fn may_be_full(&self, id: usize) -> bool {
        let publish = &self.publishes[id];
        let earlier = |p: &&Publish| {
            p.subject == publish.subject
                && (p.order < publish.order || p.is_marker)
                && !p.dead
                && !matches!(p.outcome, Outcome::Refused | Outcome::Duplicate)
                && p.fate != Fate::Gone
        };
        self.publishes.iter().filter(earlier).count() as u64 >= self.limits.max_per_subject
    }
}

/// Whether a header block is that of a marker.
pub(super) fn is_marker(header: &[u8]) -> bool {
    String::from_utf8_lossy(header).contains("Nats-Marker-Reason:")
}

/// The header block of a message as an answer has it.
pub(super) fn header_of(message: &Json) -> Vec<u8> {
    super::json::base64(message.get("hdrs").text())
}
