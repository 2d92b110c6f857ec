//! Pinned clients: one of those that ask is served, the others stand by.

use midge_jsapi::consumer_config::PriorityPolicy;
use midge_stdx::clock::Wall;
use midge_stdx::entropy::Entropy;
use midge_stdx::nuid::{LENGTH, Nuid};

use super::machine::Consumer;
use super::outlet::{Cx, Event};
use super::requests::Slot;

/// The level of requests that carry the pin.
pub(super) const PINNED: u8 = 0;
/// The level of those that stand by.
pub(super) const STAND_BY: u8 = 1;

/// Who is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pin {
    pub(super) id: [u8; LENGTH],
    pub(super) since: Wall,
    /// When it ends unless another request carries it.
    pub(super) ends_at: i64,
}

/// An entropy that is borrowed.
struct Draw<'a>(&'a mut dyn Entropy);

impl Entropy for Draw<'_> {
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// A unique id.
pub(super) fn nuid(entropy: &mut dyn Entropy) -> [u8; LENGTH] {
    Nuid::new(Draw(entropy)).next_bytes()
}

impl Pin {
    /// Its id as text.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.id).unwrap_or_default()
    }
}

impl Consumer {
    /// The group that is tracked.
    pub(super) fn group(&self) -> &str {
        self.config.priority_groups.first().map_or("", String::as_str)
    }

    /// The pin that a request would get, or has.
    pub(super) fn pin_for(&self, cx: &mut Cx<'_>) -> Pin {
        let ends_at = self.time(cx.now).saturating_add(self.config.priority_timeout_ns);
        match &self.pin {
            Some(pin) => pin.clone(),
            None => Pin { id: nuid(cx.entropy), since: cx.now.wall, ends_at },
        }
    }

    /// A request got its first message with this pin.
    pub(super) fn pinned(&mut self, cx: &mut Cx<'_>, slot: Slot, pin: Pin) {
        if self.pin.is_none() {
            let group = self.group();
            cx.out.advise(&self.identity.name, Event::Pinned { group, id: pin.text() });
            self.requests.get_mut(slot).pin.extend_from_slice(&pin.id);
            self.requests.relevel(slot, PINNED);
            self.pin = Some(pin);
        }
    }

    /// A request with the right pin came.
    pub(super) fn renew_pin(&mut self, time: i64) {
        let timeout_ns = self.config.priority_timeout_ns;
        if let Some(pin) = &mut self.pin {
            pin.ends_at = time.saturating_add(timeout_ns);
        }
    }

    /// Takes the pin away from whoever has it; those of its requests that wait are told. Does nothing but with pinned clients.
    ///
    /// # Errors
    /// The name is not that of a group.
    pub fn unpin(&mut self, cx: &mut Cx<'_>, group: &str) -> Result<(), midge_jsapi::errors::ApiError> {
        if !super::config::is_group_name(group) {
            return Err(midge_jsapi::errors::CONSUMER_INVALID_GROUP_NAME.into());
        }
        if !self.config.priority_groups.iter().any(|known| known == group) {
            return Err(midge_jsapi::errors::CONSUMER_INVALID_PRIORITY_GROUP.into());
        }
        if self.rules.policy == PriorityPolicy::PinnedClient {
            self.drop_pin(cx, "admin");
        }
        Ok(())
    }

    pub(super) fn drop_pin(&mut self, cx: &mut Cx<'_>, reason: &'static str) {
        self.pin = None;
        let pinned: Vec<Slot> = self
            .requests
            .iter()
            .filter(|(_, request)| request.level == PINNED)
            .map(|(slot, _)| slot)
            .collect();
        for slot in pinned {
            self.end_request(cx, slot, "423 Nats-Wrong-Pin-Id");
        }
        cx.out.advise(&self.identity.name, Event::Unpinned { group: self.group(), reason });
    }
}
