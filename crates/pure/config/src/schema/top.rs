//! Reads the options of the top level.

use super::decode::{Decoded, Decoder, Stop};
use super::listen::Port;
use super::server::WriteTimeout;
use super::{Options, duration, off};
use crate::lang::{Map, Node, Text, Value};
use crate::limits::MIN_LAME_DUCK_DURATION;
use crate::quote::quoted;
use crate::table::{Block, Row, Status, find};

/// Bytes that a message or a line may be limited to at most.
const MAX_SIZE: i64 = (1 << 31) - 1;

/// Which field an option sets.
enum Field<'o> {
    Bool(&'o mut bool),
    Int(&'o mut i64),
    Text(&'o mut String),
}

impl Decoder<'_> {
    /// Every option of a file, in file order, the system account first.
    pub(super) fn document(&mut self, options: &mut Options, map: &Map) {
        let is_system =
            |key: &Text| find(Block::Top, &key.to_text()).is_some_and(|row| row.key == "system_account");
        for (_, node) in map.iter().filter(|(key, _)| is_system(key)) {
            match &node.value {
                Value::String(text) => options.server.system_account = text.to_text(),
                _ => {
                    self.error(&node.at, "system account name must be a string");
                }
            }
        }
        for (key, node) in map.iter().filter(|(key, _)| !is_system(key)) {
            let Some(row) = self.row(Block::Top, key, node) else { continue };
            // A value that cannot be read ends its option, not the file.
            let _: Decoded<()> = self.option(options, row, key, node);
        }
    }

    fn option(&mut self, options: &mut Options, row: &Row, key: &Text, node: &Node) -> Decoded<()> {
        match simple_field(options, row.key) {
            Some(Field::Bool(field)) => *field = self.bool(node)?,
            Some(Field::Int(field)) => *field = self.int(node)?,
            Some(Field::Text(field)) => *field = self.text(node)?,
            None if row.status == Status::NotYet => self.not_yet(row, key, node)?,
            None => match row.key {
                "authorization" => self.authorization(options, node)?,
                "accounts" => self.accounts(options, node)?,
                "store_dir" => self.store_dir(&mut options.server.store_dir, node)?,
                "jetstream" => {
                    self.jetstream(&mut options.jetstream, &mut options.server.store_dir, node)?;
                }
                "tls" => options.tls = Some(self.tls(node)?),
                "server_tags" => self.tags(options, node)?,
                "server_metadata" => self.metadata(options, node)?,
                "feature_flags" => self.feature_flags(options, node)?,
                "listen" | "host" | "port" | "http" | "http_port" | "https" | "https_port" => {
                    self.listener(options, row.key, node)?;
                }
                "server_name" => {
                    let name = self.text(node)?;
                    if name.contains(' ') {
                        return Err(self.error(&node.at, "server name cannot contain spaces"));
                    }
                    options.server.server_name = name;
                }
                "trace_verbose" | "trace_headers" => {
                    let value = self.bool(node)?;
                    let logging = &mut options.logging;
                    match row.key {
                        "trace_verbose" => logging.trace_verbose = value,
                        _ => logging.trace_headers = value,
                    }
                    logging.trace |= value;
                }
                "http_base_path" => {
                    let path = self.text(node)?;
                    options.monitoring.base_path = crate::lang::clean(&format!("/{path}"));
                    options.monitoring.stated_base_path = path;
                }
                _ => self.limit(options, row.key, &key.to_text(), node)?,
            },
        }
        Ok(())
    }

    fn not_yet(&mut self, row: &Row, key: &Text, node: &Node) -> Decoded<()> {
        if off::is_off(row.key, &node.value) {
            return Ok(());
        }
        let why = match (row.key, &node.value) {
            ("cluster", Value::Map(_)) => None,
            ("cluster", value) => Some(format!("Expected map to define cluster, got {}", value.type_name())),
            ("proxy_protocol", _) => {
                self.bool(node)?;
                None
            }
            ("prof_port" | "prof_block_rate", _) => {
                self.int(node)?;
                None
            }
            _ => None,
        };
        match why {
            Some(why) => Err(self.error(&node.at, why)),
            None => {
                self.not_supported(key, node, row);
                Ok(())
            }
        }
    }

    /// Limits and times that are more than a number.
    fn limit(&mut self, options: &mut Options, key: &str, written: &str, node: &Node) -> Decoded<()> {
        let limits = &mut options.limits;
        match key {
            "max_control_line" | "max_payload" => {
                let value = self.int(node)?;
                if value > MAX_SIZE {
                    return Err(self.error(&node.at, format!("{written} value is too big")));
                }
                match key {
                    "max_payload" => limits.max_payload = value,
                    _ => limits.max_control_line = value,
                }
            }
            // Zero is not the default here: it closes the server to clients.
            "max_connections" => {
                let value = self.int(node)?;
                limits.max_connections = if value == 0 { -1 } else { value };
            }
            "max_sub_tokens" => {
                let value = self.int(node)?;
                limits.max_sub_tokens = match u8::try_from(value) {
                    Ok(tokens) if tokens > 0 => tokens,
                    _ if value > 0 => {
                        return Err(self.error(&node.at, format!("{written} value is too big")));
                    }
                    _ => {
                        return Err(self.error(&node.at, format!("{written} value can not be negative")));
                    }
                };
            }
            "ping_interval" => limits.ping_interval = self.duration("ping_interval", node)?,
            "write_deadline" => limits.write_deadline = self.duration("write_deadline", node)?,
            "write_timeout" => {
                limits.write_timeout = match self.text(node)?.as_str() {
                    "default" => WriteTimeout::Default,
                    "close" => WriteTimeout::Close,
                    "retry" => WriteTimeout::Retry,
                    _ => {
                        let why = "write_timeout must be 'default', 'close' or 'retry'";
                        return Err(self.error(&node.at, why));
                    }
                };
            }
            "lame_duck_duration" => {
                let nanos = self.duration_nanos("lame_duck_duration", node)?;
                options.server.lame_duck_duration = match duration::from_nanos(nanos) {
                    Some(length) if length >= MIN_LAME_DUCK_DURATION => length,
                    length => {
                        let sign = if length.is_none() { "-" } else { "" };
                        let length = duration::text(std::time::Duration::from_nanos(nanos.unsigned_abs()));
                        let why =
                            format!("invalid lame_duck_duration of {sign}{length}, minimum is 30 seconds");
                        return Err(self.error(&node.at, why));
                    }
                };
            }
            "lame_duck_grace_period" => {
                let nanos = self.duration_nanos("lame_duck_grace_period", node)?;
                let why = "invalid lame_duck_grace_period, needs to be positive";
                options.server.lame_duck_grace_period =
                    duration::from_nanos(nanos).ok_or_else(|| self.error(&node.at, why))?;
            }
            // Every key of the table has an arm; the tests of the table hold that.
            _ => return Err(self.error(&node.at, format!("option {} has no reader", quoted(written)))),
        }
        Ok(())
    }

    fn port(&mut self, node: &Node, number: i64) -> Decoded<Port> {
        Port::from_number(number).ok_or_else(|| {
            self.error(&node.at, format!("port {number} is out of range, expected -1 to 65535"))
        })
    }

    fn listener(&mut self, options: &mut Options, key: &str, node: &Node) -> Decoded<()> {
        let active = |port: Port| (port != Port::Fixed(0)).then_some(port);
        match key {
            "host" => options.listen.host = self.text(node)?,
            "port" => {
                let number = self.int(node)?;
                options.listen.port = self.port(node, number)?;
            }
            "http_port" | "https_port" => {
                let number = self.int(node)?;
                let port = active(self.port(node, number)?);
                match key {
                    "http_port" => options.monitoring.http = port,
                    _ => options.monitoring.https = port,
                }
            }
            _ => {
                let (host, port) = self.host_port(node)?;
                let bound = match key {
                    "listen" => {
                        options.listen.port = port;
                        &mut options.listen.host
                    }
                    "http" => {
                        options.monitoring.http = active(port);
                        &mut options.monitoring.host
                    }
                    _ => {
                        options.monitoring.https = active(port);
                        &mut options.monitoring.host
                    }
                };
                if let Some(host) = host {
                    *bound = host;
                }
            }
        }
        Ok(())
    }

    /// A port, or `host:port`.
    fn host_port(&mut self, node: &Node) -> Decoded<(Option<String>, Port)> {
        let address = match &node.value {
            Value::Integer(number) => return Ok((None, self.port(node, *number)?)),
            Value::String(text) => text.to_text(),
            value => {
                let got = value.type_name();
                return Err(self.error(&node.at, format!("expected port or host:port, got {got}")));
            }
        };
        let Some((host, port)) = split_host_port(&address) else {
            let address = quoted(&address);
            return Err(self.error(&node.at, format!("could not parse address string {address}")));
        };
        let digits = port.strip_prefix(['+', '-']).unwrap_or(port);
        let number = if digits.bytes().all(|b| b.is_ascii_digit()) { port.parse::<i64>().ok() } else { None };
        match number {
            Some(number) => Ok((Some(host.to_owned()), self.port(node, number)?)),
            None => {
                let port = quoted(port);
                Err(self.error(&node.at, format!("could not parse port {port}")))
            }
        }
    }

    fn tags(&mut self, options: &mut Options, node: &Node) -> Decoded<()> {
        let mut add = |text: &Text| {
            let tag = text.to_text().trim().to_lowercase();
            if !tag.is_empty() && !options.server.server_tags.contains(&tag) {
                options.server.server_tags.push(tag);
            }
        };
        match &node.value {
            Value::String(text) => add(text),
            Value::Array(nodes) => {
                for element in nodes {
                    match &element.value {
                        Value::String(text) => add(text),
                        _ => {
                            let why =
                                "error parsing tags: unsupported type *conf.token where string is expected";
                            return Err(self.error(&node.at, why));
                        }
                    }
                }
            }
            value => {
                let got = value.type_name();
                return Err(self.error(&node.at, format!("error parsing tags: unsupported type {got}")));
            }
        }
        Ok(())
    }

    fn free_map<'n>(&mut self, what: &str, node: &'n Node) -> Decoded<&'n Map> {
        match &node.value {
            Value::Map(map) => Ok(map),
            value => {
                let got = value.type_name();
                Err(self.error(&node.at, format!("error parsing {what}: unsupported type {got}")))
            }
        }
    }

    fn metadata(&mut self, options: &mut Options, node: &Node) -> Decoded<()> {
        let map = self.free_map("metadata", node)?;
        for (key, entry) in map.iter() {
            let value = self.text(entry)?;
            options.server.server_metadata.push((key.to_text(), value));
        }
        Ok(())
    }

    fn feature_flags(&mut self, options: &mut Options, node: &Node) -> Decoded<()> {
        let map = self.free_map("feature flags", node)?;
        for (key, entry) in map.iter() {
            let Value::Bool(value) = entry.value else {
                let (key, got) = (quoted(&key.to_text()), entry.value.type_name());
                let _: Stop = self
                    .error(&entry.at, format!("error parsing feature flag {key}: expected bool, got {got}"));
                continue;
            };
            options.server.feature_flags.push((key.to_text(), value));
        }
        Ok(())
    }
}

/// The field of an option that is set as it is.
fn simple_field<'o>(options: &'o mut Options, key: &str) -> Option<Field<'o>> {
    let Options { server, listen, limits, logging, authorization, .. } = options;
    Some(match key {
        "debug" => Field::Bool(&mut logging.debug),
        "trace" => Field::Bool(&mut logging.trace),
        "logtime" => Field::Bool(&mut logging.logtime),
        "logtime_utc" => Field::Bool(&mut logging.logtime_utc),
        "syslog" => Field::Bool(&mut logging.syslog),
        "disable_sublist_cache" => Field::Bool(&mut server.disable_sublist_cache),
        "no_header_support" => Field::Bool(&mut server.no_header_support),
        "no_fast_producer_stall" => Field::Bool(&mut server.no_fast_producer_stall),
        "no_system_account" => Field::Bool(&mut server.no_system_account),
        "allow_non_tls" => Field::Bool(&mut options.allow_non_tls),
        "max_traced_msg_len" => Field::Int(&mut logging.max_traced_msg_len),
        "log_size_limit" => Field::Int(&mut logging.log_size_limit),
        "log_max_num" => Field::Int(&mut logging.log_max_num),
        "max_pending" => Field::Int(&mut limits.max_pending),
        "max_subscriptions" => Field::Int(&mut limits.max_subscriptions),
        "max_closed_clients" => Field::Int(&mut limits.max_closed_clients),
        "ping_max" => Field::Int(&mut limits.ping_max),
        "connect_error_reports" => Field::Int(&mut server.connect_error_reports),
        "reconnect_error_reports" => Field::Int(&mut server.reconnect_error_reports),
        "client_advertise" => Field::Text(&mut listen.client_advertise),
        "log_file" => Field::Text(&mut logging.log_file),
        "remote_syslog" => Field::Text(&mut logging.remote_syslog),
        "pid_file" => Field::Text(&mut server.pid_file),
        "ports_file_dir" => Field::Text(&mut server.ports_file_dir),
        "no_auth_user" => Field::Text(&mut authorization.no_auth_user),
        _ => return None,
    })
}

/// Splits at the last colon; an address with colons of its own stands in brackets.
fn split_host_port(address: &str) -> Option<(&str, &str)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    (!host.contains(['[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}
