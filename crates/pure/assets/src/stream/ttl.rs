//! Lifetimes of messages: `Nats-TTL`.

use midge_stdx::gotime;

/// What `Nats-TTL` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ttl {
    /// It is not there.
    #[default]
    None,
    /// The message outlives the age limit.
    Never,
    /// Seconds, at least 1.
    Seconds(u64),
    /// It cannot be read.
    Invalid,
}

impl Ttl {
    /// Reads `never` in any case, a duration of at least a second, or whole seconds.
    pub fn parse(value: Option<&[u8]>) -> Ttl {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ttl::None };
        if value.eq_ignore_ascii_case(b"never") {
            return Ttl::Never;
        }
        let Ok(text) = std::str::from_utf8(value) else { return Ttl::Invalid };
        match gotime::parse_duration(text) {
            Ok(ns) if ns >= 1_000_000_000 => Ttl::Seconds(ns.unsigned_abs() / 1_000_000_000),
            Ok(_) => Ttl::Invalid,
            Err(_) => match super::headers::number(value) {
                Some(seconds @ 1..=0x7fff_ffff_ffff_ffff) => Ttl::Seconds(seconds),
                _ => Ttl::Invalid,
            },
        }
    }

    /// It is there, and says something.
    pub fn is_set(self) -> bool {
        matches!(self, Ttl::Never | Ttl::Seconds(_))
    }

    /// What the store is told: 0 for none.
    pub fn seconds(self) -> u64 {
        if let Ttl::Seconds(seconds) = self { seconds } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_never_durations_or_seconds() {
        let of = |text: &str| Ttl::parse(Some(text.as_bytes()));
        assert_eq!(
            (of("NEVER"), of("5"), of("1m1.9s"), of("")),
            (Ttl::Never, Ttl::Seconds(5), Ttl::Seconds(61), Ttl::None)
        );
        for bad in ["0", "-1", "1ms", "abc", "999ms", "5 ", "9999999999999999999"] {
            assert_eq!(of(bad), Ttl::Invalid, "{bad}");
        }
        assert_eq!(Ttl::parse(None), Ttl::None);
    }
}
