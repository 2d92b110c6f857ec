//! What a host tells monitoring.

use midge_broker::batch::Batch;
use midge_jsapi::info::ConsumerInfo;
use midge_stdx::clock::Now;

use super::Host;
use crate::observe::{Part, Shown, Which};

impl Host {
    /// Fills its part of a document. A part that cannot be filled is dropped, and shown without.
    pub(super) fn fill_part(&mut self, batch: &mut Batch, part: Part, now: Now) {
        let mut part = Some(part);
        self.begin(
            batch,
            now,
            Box::new(move |host, _, now| {
                host.info(now).map(|info| {
                    let Some(part) = part.take() else { return };
                    let (direct_consumers, consumers) =
                        host.shown_consumers(&part.which, now).into_iter().partition(is_direct);
                    let (state, mirror, sources) = (info.state, info.mirror, info.sources);
                    part.fill(Shown { state, mirror, sources, consumers, direct_consumers });
                })
            }),
        );
    }

    fn shown_consumers(&self, which: &Which, now: Now) -> Vec<ConsumerInfo> {
        let visible = self.visible;
        let all = self.consumers.iter().map(|(_, consumer)| consumer);
        match which {
            Which::None => Vec::new(),
            Which::Named(name) => {
                let found = self.consumers.find(name).and_then(|id| self.consumers.get(id));
                found.map(|consumer| consumer.info(now, visible)).into_iter().collect()
            }
            Which::Own => all.filter(|c| !c.config().direct).map(|c| c.info(now, visible)).collect(),
            Which::All => all.map(|c| c.info(now, visible)).collect(),
        }
    }
}

/// Whether it serves a mirror or a source of another stream.
fn is_direct(info: &ConsumerInfo) -> bool {
    info.config.as_ref().is_some_and(|config| config.direct)
}
