//! Limits by tier: one for everything, or one for each number of replicas.

use std::collections::BTreeMap;

use midge_jsapi::account::AccountLimits;
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::stream_config::Storage;

/// Limits that limit nothing.
pub const UNLIMITED: AccountLimits = AccountLimits {
    max_memory: -1,
    max_storage: -1,
    max_streams: -1,
    max_consumers: -1,
    max_ack_pending: -1,
    memory_max_stream_bytes: -1,
    storage_max_stream_bytes: -1,
    max_bytes_required: false,
};

/// The name of the tier for everything.
pub const FLAT: &str = "";

/// The limits of an account, by tier: `""` for everything, or `R1`, `R3` and so on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tiers {
    limits: BTreeMap<String, AccountLimits>,
}

impl Tiers {
    /// One set of limits for everything.
    pub fn flat(limits: AccountLimits) -> Tiers {
        Tiers::of([(FLAT.to_owned(), limits)])
    }

    /// Limits by tier. Where zero means nothing, it becomes -1: for unacknowledged messages and the bytes of one stream.
    pub fn of(limits: impl IntoIterator<Item = (String, AccountLimits)>) -> Tiers {
        let settled = limits.into_iter().map(|(tier, mut limits)| {
            let optional = [
                &mut limits.max_ack_pending,
                &mut limits.memory_max_stream_bytes,
                &mut limits.storage_max_stream_bytes,
            ];
            for limit in optional {
                if *limit <= 0 {
                    *limit = -1;
                }
            }
            (tier, limits)
        });
        Tiers { limits: settled.collect() }
    }

    /// Whether there is one set of limits for everything.
    pub fn is_flat(&self) -> bool {
        self.limits.contains_key(FLAT)
    }

    /// All of them, by the names of the tiers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &AccountLimits)> {
        self.limits.iter().map(|(tier, limits)| (tier.as_str(), limits))
    }

    /// The limits of a tier.
    pub fn limits(&self, tier: &str) -> Option<&AccountLimits> {
        self.limits.get(tier)
    }

    /// The tier that counts for so many replicas, and its limits.
    ///
    /// # Errors
    /// 10120: there is none.
    pub fn select(&self, replicas: i64) -> Result<(&str, &AccountLimits), ApiError> {
        if let Some((tier, limits)) = self.limits.get_key_value(FLAT) {
            return Ok((tier, limits));
        }
        let name = format!("R{}", replicas.max(1));
        match self.limits.get_key_value(&name) {
            Some((tier, limits)) => Ok((tier, limits)),
            None => Err(errors::NO_LIMITS.into()),
        }
    }
}

/// Bytes that all streams of this storage may have together, -1 for any number.
pub fn max_total(limits: &AccountLimits, storage: Storage) -> i64 {
    match storage {
        Storage::File => limits.max_storage,
        Storage::Memory => limits.max_memory,
    }
}

/// Bytes that one stream of this storage may have, -1 for any number.
pub fn max_stream_bytes(limits: &AccountLimits, storage: Storage) -> i64 {
    match storage {
        Storage::File => limits.storage_max_stream_bytes,
        Storage::Memory => limits.memory_max_stream_bytes,
    }
}

/// The refusal of a stream for which there is no room.
pub fn no_room(storage: Storage) -> ApiError {
    match storage {
        Storage::File => errors::STORAGE_RESOURCES_EXCEEDED.into(),
        Storage::Memory => errors::MEMORY_RESOURCES_EXCEEDED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flat_tier_wins_and_others_go_by_replicas() {
        let small = AccountLimits { max_storage: 1, max_ack_pending: 0, ..UNLIMITED };
        let flat = Tiers::of([("R1".into(), UNLIMITED), (FLAT.into(), small.clone())]);
        let (tier, limits) = flat.select(3).unwrap();
        assert_eq!((tier, limits.max_storage, limits.max_ack_pending), (FLAT, 1, -1));
        let tiered = Tiers::of([("R1".into(), UNLIMITED), ("R3".into(), small)]);
        assert_eq!((tiered.select(0).unwrap().0, tiered.select(3).unwrap().0), ("R1", "R3"));
        assert_eq!(tiered.select(5).unwrap_err().err_code, 10120);
        assert!(flat.is_flat() && !tiered.is_flat());
    }
}
