//! Rules over several options, checked at start and not by `-t`.

use crate::schema::Options;

/// The first broken rule, in the words that follow `nats-server: `.
pub fn validate(options: &Options) -> Result<(), String> {
    if options.limits.max_payload > options.limits.max_pending {
        return Err(format!(
            "max_payload ({}) cannot be higher than max_pending ({})",
            options.limits.max_payload, options.limits.max_pending
        ));
    }
    Ok(())
}
