//! Rules over several options, checked at start and not by `-t`. The first broken one is the error.

mod accounts;
mod jetstream;
mod listeners;

use crate::schema::{Options, duration};

/// The first broken rule, in the words that follow `nats-server: `.
pub fn validate(options: &Options) -> Result<(), String> {
    let (server, limits) = (&options.server, &options.limits);
    let (grace, length) = (server.lame_duck_grace_period, server.lame_duck_duration);
    if grace >= length {
        return Err(format!(
            "lame duck grace period ({}) should be strictly lower than lame duck duration ({})",
            duration::text(grace),
            duration::text(length)
        ));
    }
    if limits.max_payload > limits.max_pending {
        return Err(format!(
            "max_payload ({}) cannot be higher than max_pending ({})",
            limits.max_payload, limits.max_pending
        ));
    }
    if server.server_name.contains(' ') {
        return Err(String::from("server name cannot contain spaces"));
    }
    if limits.max_closed_clients < 0 {
        return Err(format!("max_closed_clients ({}) cannot be negative", limits.max_closed_clients));
    }
    accounts::validate(options)?;
    jetstream::validate(options)?;
    listeners::validate(options)
}

#[cfg(test)]
mod tests;
