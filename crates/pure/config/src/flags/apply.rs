//! Flags as option values.

use super::parse::{Arguments, Value};
use crate::schema::tls::CertificatePair;
use crate::schema::{Options, Port, Tls};

/// Refuses flags of features that do not exist yet, unless their value says "off".
pub(super) fn refuse_unsupported(arguments: &Arguments) -> Result<(), String> {
    for (flag, name, value) in &arguments.given {
        let off = match value {
            Value::Bool(value) => !value,
            Value::Int(value) => *value == 0,
            Value::Text(value) => value.is_empty(),
        };
        if !flag.supported && !off {
            return Err(format!("flag \"-{name}\" is not supported by this version of midge yet"));
        }
    }
    Ok(())
}

/// Sets every option that has a flag on the command line.
pub(super) fn apply(options: &mut Options, arguments: &Arguments) -> Result<(), String> {
    for (flag, name, value) in &arguments.given {
        match value {
            Value::Bool(value) => apply_bool(options, flag.name(), *value),
            Value::Int(value) => apply_int(options, flag.name(), name, *value)?,
            Value::Text(value) => apply_text(options, flag.name(), value),
        }
    }
    Ok(())
}

fn apply_bool(options: &mut Options, flag: &str, value: bool) {
    let logging = &mut options.logging;
    match flag {
        "D" => logging.debug = value,
        "V" => logging.trace = value,
        "VV" => (logging.trace, logging.trace_verbose) = (value, value),
        "DV" => (logging.debug, logging.trace) = (value, value),
        "DVV" => (logging.debug, logging.trace, logging.trace_verbose) = (value, value, value),
        "T" => logging.logtime = value,
        "logtime_utc" => logging.logtime_utc = value,
        "s" => logging.syslog = value,
        "js" => options.jetstream.enabled = value,
        // The rest asks for an action, or belongs to TLS.
        _ => {}
    }
}

fn apply_int(options: &mut Options, flag: &str, name: &str, value: i64) -> Result<(), String> {
    let port = || {
        Port::from_number(value)
            .ok_or_else(|| format!("flag \"-{name}\": port {value} is out of range, expected -1 to 65535"))
    };
    let optional = |port: Port| (port != Port::Fixed(0)).then_some(port);
    match flag {
        "p" => options.listen.port = port()?,
        "m" => options.monitoring.http = optional(port()?),
        "ms" => options.monitoring.https = optional(port()?),
        "log_size_limit" => options.logging.log_size_limit = value,
        "max_traced_msg_len" => options.logging.max_traced_msg_len = value,
        _ => {}
    }
    Ok(())
}

fn apply_text(options: &mut Options, flag: &str, value: &str) {
    let target = match flag {
        "a" => &mut options.listen.host,
        "n" => &mut options.server.server_name,
        "P" => &mut options.server.pid_file,
        "client_advertise" => &mut options.listen.client_advertise,
        "ports_file_dir" => &mut options.server.ports_file_dir,
        "l" => &mut options.logging.log_file,
        "r" => &mut options.logging.remote_syslog,
        "sd" => &mut options.server.store_dir,
        "user" => &mut options.authorization.username,
        "pass" => &mut options.authorization.password,
        "auth" => &mut options.authorization.token,
        _ => return,
    };
    value.clone_into(target);
}

/// `-tls=false` removes TLS; any other TLS flag replaces what the file says and needs certificate and key.
pub(super) fn override_tls(options: &mut Options, arguments: &Arguments) -> Result<(), String> {
    let on = match arguments.last("tls") {
        Some(Value::Bool(false)) => {
            options.tls = None;
            return Ok(());
        }
        Some(_) => true,
        None => false,
    };
    let stated = |name| arguments.last(name).is_some();
    if !on && !["tlsverify", "tlscert", "tlskey", "tlscacert"].into_iter().any(stated) {
        return Ok(());
    }
    let text = |name| arguments.text(name).unwrap_or("").to_owned();
    let (cert_file, key_file) = (text("tlscert"), text("tlskey"));
    if cert_file.is_empty() {
        return Err(String::from("TLS Server certificate must be present and valid"));
    }
    if key_file.is_empty() {
        return Err(String::from("TLS Server private key must be present and valid"));
    }
    let mut tls = Tls {
        certificates: vec![CertificatePair { cert_file, key_file }],
        ca_file: text("tlscacert"),
        verify: arguments.is_true("tlsverify"),
        ..Tls::default()
    };
    if let Some(file) = &options.tls {
        // Only what is not part of the certificates outlives the flags.
        tls.timeout = file.timeout;
        tls.timeout_stated = file.timeout_stated;
        tls.handshake_first = file.handshake_first;
        tls.connection_rate_limit = file.connection_rate_limit;
        tls.pinned_certs.clone_from(&file.pinned_certs);
    }
    options.tls = Some(tls);
    Ok(())
}
