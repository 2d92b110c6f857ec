//! `Nats-Rollup`: a message that takes the place of others.

/// What a message replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollup {
    /// The other messages of its subject.
    Subject,
    /// All other messages.
    All,
}

impl Rollup {
    /// Reads `sub` or `all`, in any case.
    ///
    /// # Errors
    /// It is neither.
    #[allow(clippy::result_unit_err)]
    pub fn parse(value: &[u8]) -> Result<Rollup, ()> {
        match value.trim_ascii() {
            value if value.eq_ignore_ascii_case(b"sub") => Ok(Rollup::Subject),
            value if value.eq_ignore_ascii_case(b"all") => Ok(Rollup::All),
            _ => Err(()),
        }
    }
}
