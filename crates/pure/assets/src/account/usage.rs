//! Bytes that streams have and may grow to.

use std::collections::BTreeMap;

use midge_jsapi::account::{AccountInfo, AccountLimits, Tier};
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::stream_config::{Storage, StreamConfig};

use super::tiers::{FLAT, Tiers, max_total, no_room};

/// What counts for a stream when its usage is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    tier: Box<str>,
    storage: Storage,
    replicas: i64,
}

/// What the server has for all accounts, in bytes; -1 for any number.
#[derive(Clone, Copy, Debug)]
pub struct ServerRoom {
    /// In memory.
    pub max_memory: i64,
    /// In files.
    pub max_storage: i64,
    /// Already promised to streams, in memory.
    pub reserved_memory: i64,
    /// In files.
    pub reserved_storage: i64,
}

impl ServerRoom {
    /// Room without end.
    pub const ENDLESS: ServerRoom =
        ServerRoom { max_memory: -1, max_storage: -1, reserved_memory: 0, reserved_storage: 0 };

    /// Whether so much more can be promised.
    fn has(&self, storage: Storage, bytes: i64) -> bool {
        let (max, reserved) = match storage {
            Storage::File => (self.max_storage, self.reserved_storage),
            Storage::Memory => (self.max_memory, self.reserved_memory),
        };
        max < 0 || reserved.saturating_add(bytes) <= max
    }

    /// Whether the limits of an account can be added to those of the others, `reserved` so far.
    ///
    /// # Errors
    /// 10028 or 10047: the server has less.
    pub fn admit_account(&self, tiers: &Tiers) -> Result<(), ApiError> {
        for (_, limits) in tiers.iter() {
            for storage in [Storage::Memory, Storage::File] {
                if !self.has(storage, max_total(limits, storage).max(0)) {
                    return Err(no_room(storage));
                }
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    memory: i64,
    storage: i64,
}

impl Used {
    fn of(&mut self, storage: Storage) -> &mut i64 {
        match storage {
            Storage::File => &mut self.storage,
            Storage::Memory => &mut self.memory,
        }
    }
}

#[derive(Clone, Debug)]
struct StreamUse {
    place: Place,
    max_bytes: i64,
    bytes: i64,
    consumers: usize,
}

/// One account.
#[derive(Clone, Debug, Default)]
pub struct Account {
    tiers: Tiers,
    streams: BTreeMap<Box<str>, StreamUse>,
    /// By tier; bytes of flat limits are counted once per replica.
    used: BTreeMap<Box<str>, Used>,
}

impl Account {
    /// An account without streams.
    pub fn new(tiers: Tiers) -> Account {
        Account { tiers, ..Account::default() }
    }

    /// The limits.
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// Changes the limits. What is there stays, even if it is more than they permit.
    pub fn set_tiers(&mut self, tiers: Tiers) {
        self.tiers = tiers;
        self.used.clear();
        let mut streams = std::mem::take(&mut self.streams);
        for stream in streams.values_mut() {
            stream.place = self.place(stream.place.storage, stream.place.replicas);
            self.count(&stream.place.clone(), stream.bytes);
        }
        self.streams = streams;
    }

    /// The limits that count for a stream.
    ///
    /// # Errors
    /// 10120: there are none.
    pub fn limits_of(&self, config: &StreamConfig) -> Result<&AccountLimits, ApiError> {
        Ok(self.tiers.select(config.num_replicas)?.1)
    }

    /// What counts for a stream. Without limits for it, usage is counted under the tier that it would have.
    pub fn place(&self, storage: Storage, replicas: i64) -> Place {
        let tier = match self.tiers.select(replicas) {
            Ok((tier, _)) => tier.into(),
            Err(_) => format!("R{}", replicas.max(1)).into(),
        };
        Place { tier, storage, replicas: replicas.max(1) }
    }

    /// Whether a stream may be created, or changed to be so.
    ///
    /// # Errors
    /// 10120 without limits for it; 10027 with as many streams as there may be; 10028 or 10047 when account or server cannot promise its bytes. A change that asks for no
    /// more than before passes.
    pub fn check_stream(&self, config: &StreamConfig, server: &ServerRoom) -> Result<(), ApiError> {
        let (tier, limits) = self.tiers.select(config.num_replicas)?;
        let own = self.streams.get(config.name.as_str());
        let of_tier = |stream: &&StreamUse| *stream.place.tier == *tier;
        let others =
            self.streams.iter().filter(|(name, _)| ***name != *config.name).map(|(_, stream)| stream);
        if limits.max_streams > 0 && others.clone().filter(of_tier).count() as i64 >= limits.max_streams {
            return Err(errors::MAXIMUM_STREAMS_LIMIT.into());
        }
        let storage = config.storage;
        let before = own.filter(|own| own.place.storage == storage).map_or(0, |own| own.max_bytes.max(0));
        let wanted = config.max_bytes.max(0);
        if own.is_some() && wanted <= before {
            return Ok(());
        }
        // A stream that does not say how large it may grow has to find room for something.
        let asked = wanted.max(1);
        let max = max_total(limits, storage);
        if max >= 0 {
            let times = |replicas: i64| if tier == FLAT { replicas.max(1) } else { 1 };
            let reserved: i64 = others
                .filter(of_tier)
                .filter(|stream| stream.place.storage == storage)
                .map(|stream| stream.max_bytes.max(0).saturating_mul(times(stream.place.replicas)))
                .fold(0, i64::saturating_add);
            if reserved.saturating_add(asked.saturating_mul(times(config.num_replicas))) > max {
                return Err(no_room(storage));
            }
        }
        if server.has(storage, wanted - before) { Ok(()) } else { Err(no_room(storage)) }
    }

    /// A stream is there, or has another configuration.
    pub fn put_stream(&mut self, config: &StreamConfig) {
        let place = self.place(config.storage, config.num_replicas);
        let before = self.streams.get(config.name.as_str()).cloned();
        let (bytes, consumers) = before.as_ref().map_or((0, 0), |stream| (stream.bytes, stream.consumers));
        if let Some(before) = before {
            self.count(&before.place, -bytes);
        }
        self.count(&place, bytes);
        let stream = StreamUse { place, max_bytes: config.max_bytes, bytes, consumers };
        self.streams.insert(config.name.as_str().into(), stream);
    }

    /// A stream is gone.
    pub fn remove_stream(&mut self, name: &str) {
        if let Some(stream) = self.streams.remove(name) {
            self.count(&stream.place, -stream.bytes);
        }
    }

    /// A stream has so many bytes now.
    pub fn set_bytes(&mut self, name: &str, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let Some(stream) = self.streams.get_mut(name) else { return };
        let more = bytes - std::mem::replace(&mut stream.bytes, bytes);
        let place = stream.place.clone();
        self.count(&place, more);
    }

    /// A stream has so many consumers now.
    pub fn set_consumers(&mut self, name: &str, consumers: usize) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.consumers = consumers;
        }
    }

    fn count(&mut self, place: &Place, more: i64) {
        let times = if &*place.tier == FLAT { place.replicas } else { 1 };
        let used = match self.used.get_mut(&place.tier) {
            Some(used) => used,
            None => self.used.entry(place.tier.clone()).or_default(),
        };
        let used = used.of(place.storage);
        *used = used.saturating_add(more.saturating_mul(times)).max(0);
    }

    /// Whether a message of so many bytes may be stored. O(log tiers), without allocation.
    ///
    /// # Errors
    /// 10120 without limits for the stream; 10002 when they are reached.
    pub fn admit(&self, place: &Place, bytes: u64) -> Result<(), ApiError> {
        let Some(limits) = self.tiers.limits(&place.tier) else { return Err(errors::NO_LIMITS.into()) };
        let max = max_total(limits, place.storage);
        if max < 0 {
            return Ok(());
        }
        let used = self.used.get(&place.tier).map_or(0, |used| *used.clone().of(place.storage));
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        // Flat limits count every replica; those of a tier are meant per replica, of which this server has one.
        let more = if &*place.tier == FLAT { bytes.saturating_mul(place.replicas) } else { bytes };
        if used.saturating_add(more) > max { Err(errors::ACCOUNT_RESOURCES_EXCEEDED.into()) } else { Ok(()) }
    }

    /// Bytes that streams may grow to: in memory and in files.
    pub fn reserved(&self) -> (i64, i64) {
        let sum = |storage| {
            let of = self.streams.values().filter(|stream| stream.place.storage == storage);
            of.map(|stream| stream.max_bytes.max(0)).fold(0, i64::saturating_add)
        };
        (sum(Storage::Memory), sum(Storage::File))
    }

    /// What is told about the account; counts of requests and the domain are left to the caller.
    pub fn info(&self) -> AccountInfo {
        let mut info = AccountInfo { total: self.tier_info(None), ..AccountInfo::default() };
        if self.tiers.is_flat() {
            if let Ok((_, limits)) = self.tiers.select(1) {
                info.total.limits = limits.clone();
            }
        } else {
            for (tier, limits) in self.tiers.iter() {
                let told = Tier { limits: limits.clone(), ..self.tier_info(Some(tier)) };
                info.tiers.insert(tier.to_owned(), told);
            }
        }
        info
    }

    fn tier_info(&self, tier: Option<&str>) -> Tier {
        let mut told = Tier::default();
        for (_, used) in self.used.iter().filter(|(name, _)| tier.is_none_or(|tier| ***name == *tier)) {
            told.memory += used.memory.unsigned_abs();
            told.storage += used.storage.unsigned_abs();
        }
        let of_tier = |stream: &&StreamUse| tier.is_none_or(|tier| *stream.place.tier == *tier);
        for stream in self.streams.values().filter(of_tier) {
            told.streams += 1;
            told.consumers += stream.consumers as i64;
            let reserved = stream.max_bytes.max(0).unsigned_abs();
            match stream.place.storage {
                Storage::Memory => told.reserved_memory += reserved,
                Storage::File => told.reserved_storage += reserved,
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::super::tiers::UNLIMITED;
    use super::*;

    fn stream(name: &str, storage: Storage, max_bytes: i64) -> StreamConfig {
        StreamConfig { name: name.into(), storage, max_bytes, num_replicas: 1, ..StreamConfig::default() }
    }

    fn account() -> Account {
        let limits = AccountLimits { max_storage: 1000, max_memory: 500, max_streams: 4, ..UNLIMITED };
        Account::new(Tiers::flat(limits))
    }

    fn code(result: Result<(), ApiError>) -> Option<u16> {
        result.err().map(|error| error.err_code)
    }

    #[test]
    fn streams_are_promised_what_the_account_has() {
        // As the Go server answers the same requests.
        let mut account = account();
        let room = ServerRoom::ENDLESS;
        for (name, max_bytes) in [("S1", 999), ("S2", -1), ("S3", -1), ("S4", 1)] {
            let config = stream(name, Storage::File, max_bytes);
            assert_eq!(code(account.check_stream(&config, &room)), None, "{name}");
            account.put_stream(&config);
        }
        assert_eq!(code(account.check_stream(&stream("S5", Storage::Memory, -1), &room)), Some(10027));
        let change = |max_bytes| code(account.check_stream(&stream("S1", Storage::File, max_bytes), &room));
        assert_eq!((change(1000), change(998), change(999)), (Some(10047), None, None));
        account.remove_stream("S3");
        assert_eq!(code(account.check_stream(&stream("S3", Storage::Memory, 501), &room)), Some(10028));
        assert_eq!(account.reserved(), (0, 1000));
        let full = ServerRoom { max_memory: 100, reserved_memory: 60, ..ServerRoom::ENDLESS };
        assert_eq!(code(account.check_stream(&stream("S3", Storage::Memory, 41), &full)), Some(10028));
        assert_eq!(code(account.check_stream(&stream("S3", Storage::Memory, 40), &full)), None);
    }

    #[test]
    fn messages_are_stored_as_long_as_they_fit() {
        let mut account = account();
        account.put_stream(&stream("S", Storage::File, -1));
        let place = account.place(Storage::File, 1);
        account.set_bytes("S", 924);
        assert_eq!((code(account.admit(&place, 76)), code(account.admit(&place, 77))), (None, Some(10002)));
        account.set_bytes("S", 100);
        assert_eq!(code(account.admit(&place, 900)), None);
        account.set_tiers(Tiers::of([("R3".into(), UNLIMITED)]));
        assert_eq!(code(account.admit(&account.place(Storage::File, 1), 1)), Some(10120));
        assert_eq!(account.info().total.storage, 100);
    }

    #[test]
    fn replicas_count_in_flat_limits_alone() {
        let config = StreamConfig { num_replicas: 3, ..stream("S", Storage::File, 300) };
        let limits = AccountLimits { max_storage: 900, ..UNLIMITED };
        let mut flat = Account::new(Tiers::flat(limits.clone()));
        let mut tiered = Account::new(Tiers::of([("R3".into(), limits)]));
        for account in [&mut flat, &mut tiered] {
            assert_eq!(code(account.check_stream(&config, &ServerRoom::ENDLESS)), None);
            account.put_stream(&config);
            account.set_bytes("S", 300);
        }
        let admit = |account: &Account| code(account.admit(&account.place(Storage::File, 3), 1));
        assert_eq!((admit(&flat), admit(&tiered)), (Some(10002), None));
        let second = StreamConfig { name: "T".into(), ..config };
        assert_eq!(code(flat.check_stream(&second, &ServerRoom::ENDLESS)), Some(10047));
        assert_eq!(code(tiered.check_stream(&second, &ServerRoom::ENDLESS)), None);
    }

    #[test]
    fn an_account_has_to_fit_the_server() {
        let server = ServerRoom { max_storage: 1000, reserved_storage: 300, ..ServerRoom::ENDLESS };
        let tiers = |max_storage| Tiers::flat(AccountLimits { max_storage, ..UNLIMITED });
        assert_eq!(code(server.admit_account(&tiers(700))), None);
        assert_eq!(code(server.admit_account(&tiers(701))), Some(10047));
        assert_eq!(code(server.admit_account(&tiers(-1))), None);
    }
}
