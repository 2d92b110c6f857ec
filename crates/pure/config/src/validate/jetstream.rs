//! Stored streams.

use midge_subject::name;

use crate::schema::Options;

/// A domain becomes a token of subjects.
pub(super) fn validate(options: &Options) -> Result<(), String> {
    let domain = &options.jetstream.domain;
    if domain.is_empty() {
        return Ok(());
    }
    let subject = format!("$JS.{domain}.API.>");
    if !name::is_valid_subject(subject.as_bytes()) {
        return Err(format!("invalid domain name: derived \"{subject}\" is not a valid subject"));
    }
    if domain.contains(['.', '*', '>']) {
        return Err(String::from("invalid domain name: may not contain ., * or >"));
    }
    Ok(())
}
