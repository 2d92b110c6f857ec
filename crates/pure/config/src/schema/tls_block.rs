//! Reads a `tls` block. Its first error ends it.

use super::decode::{Decoded, Decoder, Stop};
use super::tls::{CIPHER_SUITES, CURVES, CertificatePair, HandshakeFirst, Tls, TlsVersion};
use super::{duration, off};
use crate::lang::{Node, Text, Value};
use crate::limits::DEFAULT_HANDSHAKE_FIRST_WAIT;
use crate::quote::quoted;
use crate::table::{Block, find};

/// Hex digits of a pinned key.
const PIN_DIGITS: usize = 64;

impl Decoder<'_> {
    /// The `tls` block of the client listener.
    pub(super) fn tls(&mut self, node: &Node) -> Decoded<Tls> {
        let map = self.map(node)?;
        let mut tls = Tls { place: Some(self.place(&node.at)), ..Tls::default() };
        let mut pair = CertificatePair::default();
        for (key, entry) in map.iter() {
            let name = key.to_text();
            // Variables are not tolerated in here.
            let Some(row) = find(Block::Tls, &name) else {
                let name = quoted(&name);
                return Err(self.error(&entry.at, format!("error parsing tls config, unknown field {name}")));
            };
            match row.key {
                "cert_file" => pair.cert_file = self.tls_file(row.key, entry)?,
                "key_file" => pair.key_file = self.tls_file(row.key, entry)?,
                "ca_file" => tls.ca_file = self.tls_file(row.key, entry)?,
                "certs" => tls.certificates = self.certificates(entry)?,
                "verify" => tls.verify |= self.tls_bool(row.key, entry)?,
                "verify_and_map" => tls.verify_and_map = self.tls_bool(row.key, entry)?,
                "insecure" => tls.insecure = self.tls_bool(row.key, entry)?,
                "allow_insecure_cipher_suites" => {
                    tls.allow_insecure_cipher_suites = self.tls_bool(row.key, entry)?;
                }
                "verify_cert_and_check_known_urls" => {
                    if self.tls_bool(row.key, entry)? {
                        let why = "verify_cert_and_check_known_urls not supported in this context";
                        return Err(self.error(&entry.at, why));
                    }
                }
                "timeout" => {
                    let seconds = self.seconds("tls", entry)?;
                    // Zero takes the default.
                    if seconds > 0.0 {
                        tls.timeout = duration::from_seconds(seconds);
                        tls.timeout_stated = true;
                    }
                }
                "cipher_suites" => self.cipher_suites(&mut tls, entry)?,
                "curve_preferences" => self.curves(&mut tls, entry)?,
                "min_version" => tls.min_version = self.min_version(entry)?,
                "pinned_certs" => tls.pinned_certs = self.pins(entry)?,
                "connection_rate_limit" => match entry.value {
                    Value::Integer(limit) => tls.connection_rate_limit = limit,
                    _ => {
                        let why = "error parsing tls config, 'connection_rate_limit' wrong type";
                        return Err(self.error(&entry.at, why));
                    }
                },
                "handshake_first" => tls.handshake_first = self.handshake_first(&name, entry)?,
                "cert_store"
                | "cert_match_by"
                | "cert_match"
                | "cert_match_skip_invalid"
                | "ca_certs_match" => {
                    self.certificate_store(row.key, entry)?;
                }
                _ if off::is_off(row.key, &entry.value) => {}
                _ => {
                    self.not_supported(key, entry, row);
                    return Err(Stop);
                }
            }
        }
        self.finish_tls(node, tls, pair)
    }

    fn finish_tls(&mut self, node: &Node, mut tls: Tls, pair: CertificatePair) -> Decoded<Tls> {
        tls.verify |= tls.verify_and_map;
        let insecure: Vec<&str> =
            tls.cipher_suites.iter().filter(|suite| suite.insecure).map(|suite| suite.name).collect();
        if !insecure.is_empty() && !tls.allow_insecure_cipher_suites {
            let names = insecure.join(", ");
            return Err(self.error(
                &node.at,
                format!(
                    "insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: {names}"
                ),
            ));
        }
        let why = match (pair.cert_file.is_empty(), pair.key_file.is_empty()) {
            (true, true) => return Ok(tls),
            (false, _) if !tls.certificates.is_empty() => {
                "error parsing tls config, cannot combine 'cert_file' option with 'certs' option"
            }
            (false, true) => "missing 'key_file' in TLS configuration",
            (true, false) => "missing 'cert_file' in TLS configuration",
            (false, false) => {
                tls.certificates.push(pair);
                return Ok(tls);
            }
        };
        Err(self.error(&node.at, why))
    }

    fn tls_file(&mut self, key: &str, node: &Node) -> Decoded<String> {
        match &node.value {
            Value::String(text) => Ok(text.to_text()),
            _ => {
                Err(self
                    .error(&node.at, format!("error parsing tls config, expected '{key}' to be filename")))
            }
        }
    }

    fn tls_bool(&mut self, key: &str, node: &Node) -> Decoded<bool> {
        match node.value {
            Value::Bool(value) => Ok(value),
            _ => {
                Err(self
                    .error(&node.at, format!("error parsing tls config, expected '{key}' to be a boolean")))
            }
        }
    }

    fn certificates(&mut self, node: &Node) -> Decoded<Vec<CertificatePair>> {
        let Value::Array(nodes) = &node.value else {
            // The type named is not that of the value; tools know the text.
            let why = "error parsing certificates config: unsupported type map[string]interface {}";
            return Err(self.error(&node.at, why));
        };
        let mut pairs = Vec::with_capacity(nodes.len());
        for element in nodes {
            let Value::Map(map) = &element.value else {
                let got = element.value.type_name();
                let why = format!("error parsing certificates config: unsupported type {got}");
                return Err(self.error(&element.at, why));
            };
            let mut pair = CertificatePair::default();
            let mut last = &element.at;
            for (key, entry) in map.iter() {
                last = &entry.at;
                pair = self.certificate_field(pair, key, entry)?;
            }
            if pair.cert_file.is_empty() || pair.key_file.is_empty() {
                let why =
                    "error parsing certificates config: both 'cert_file' and 'cert_key' options are required";
                return Err(self.error(last, why));
            }
            pairs.push(pair);
        }
        Ok(pairs)
    }

    fn certificate_field(
        &mut self,
        mut pair: CertificatePair,
        key: &Text,
        node: &Node,
    ) -> Decoded<CertificatePair> {
        let Value::String(text) = &node.value else {
            let got = node.value.type_name();
            let why = format!("error parsing certificates config: unsupported type {got}");
            return Err(self.error(&node.at, why));
        };
        let name = key.to_text();
        match find(Block::Certificates, &name).map(|row| row.key) {
            Some("cert_file") => pair.cert_file = text.to_text(),
            Some(_) => pair.key_file = text.to_text(),
            None => {
                let name = quoted(&name);
                let why = format!("error parsing tls certs config, unknown field {name}");
                return Err(self.error(&node.at, why));
            }
        }
        Ok(pair)
    }

    fn cipher_suites(&mut self, tls: &mut Tls, node: &Node) -> Decoded<()> {
        let nodes = self.array(node)?;
        if nodes.is_empty() {
            let why = "error parsing tls config, 'cipher_suites' cannot be empty";
            return Err(self.error(&node.at, why));
        }
        tls.cipher_suites.clear();
        for element in nodes {
            let name = self.text(element)?;
            match CIPHER_SUITES.iter().find(|suite| suite.name == name) {
                Some(suite) => tls.cipher_suites.push(suite),
                None => return Err(self.error(&element.at, format!("unrecognized cipher {name}"))),
            }
        }
        Ok(())
    }

    fn curves(&mut self, tls: &mut Tls, node: &Node) -> Decoded<()> {
        let nodes = self.array(node)?;
        if nodes.is_empty() {
            let why = "error parsing tls config, 'curve_preferences' cannot be empty";
            return Err(self.error(&node.at, why));
        }
        tls.curve_preferences.clear();
        for element in nodes {
            let name = self.text(element)?;
            match CURVES.iter().find(|(curve, _)| *curve == name) {
                Some((_, curve)) => tls.curve_preferences.push(*curve),
                None => {
                    return Err(self.error(&element.at, format!("unrecognized curve preference {name}")));
                }
            }
        }
        Ok(())
    }

    fn min_version(&mut self, node: &Node) -> Decoded<TlsVersion> {
        let Value::String(text) = &node.value else {
            let got = super::decode::shown(&node.value);
            return Err(
                self.error(&node.at, format!("error parsing tls config: 'min_version' wrong type: {got}"))
            );
        };
        let why = match text.to_text().as_str() {
            "1.2" => return Ok(TlsVersion::Tls12),
            "1.3" => return Ok(TlsVersion::Tls13),
            old @ ("1.0" | "1.1") => format!("unsupported TLS version: TLS {old}"),
            other => format!("unknown version: {other}"),
        };
        Err(self.error(&node.at, format!("error parsing tls config: {why}")))
    }

    fn pins(&mut self, node: &Node) -> Decoded<Vec<String>> {
        const FORM: &str = "hex-encoded sha256 of DER encoded SubjectPublicKeyInfo";
        let Value::Array(nodes) = &node.value else {
            let why = format!("error parsing tls config, expected 'pinned_certs' to be a list of {FORM}");
            return Err(self.error(&node.at, why));
        };
        let mut pins = Vec::with_capacity(nodes.len());
        for element in nodes {
            let pin = self.text(element)?.to_lowercase();
            if pin.len() != PIN_DIGITS || !pin.bytes().all(|b| b.is_ascii_hexdigit()) {
                let why =
                    format!("error parsing tls config, 'pinned_certs' key {pin} does not look like {FORM}");
                return Err(self.error(&element.at, why));
            }
            pins.push(pin);
        }
        Ok(pins)
    }

    fn handshake_first(&mut self, name: &str, node: &Node) -> Decoded<HandshakeFirst> {
        let text = match &node.value {
            Value::Bool(true) => return Ok(HandshakeFirst::On),
            Value::Bool(false) => return Ok(HandshakeFirst::Off),
            Value::String(text) => text.to_text(),
            value => {
                let (name, got) = (quoted(name), value.type_name());
                return Err(
                    self.error(&node.at, format!("field {name} should be a boolean or a string, got {got}"))
                );
            }
        };
        match text.trim().to_lowercase().as_str() {
            "true" | "on" => return Ok(HandshakeFirst::On),
            "false" | "off" => return Ok(HandshakeFirst::Off),
            "auto" | "auto_fallback" => return Ok(HandshakeFirst::Auto(DEFAULT_HANDSHAKE_FIRST_WAIT)),
            _ => {}
        }
        match duration::parse(&text).ok().and_then(duration::from_nanos) {
            Some(wait) => Ok(HandshakeFirst::Auto(wait)),
            None => {
                let (name, text) = (quoted(name), quoted(&text));
                Err(self.error(&node.at, format!("field {name}'s value {text} is invalid")))
            }
        }
    }

    /// Options of certificate stores that this operating system does not have.
    fn certificate_store(&mut self, key: &str, node: &Node) -> Decoded<()> {
        match (key, &node.value) {
            ("cert_match_skip_invalid", Value::Bool(_)) | ("ca_certs_match", _) => Ok(()),
            ("cert_match_skip_invalid", _) => {
                Err(self.error(&node.at, format!("expected '{key}' to be a boolean")))
            }
            (_, Value::String(text)) if !text.bytes().is_empty() => match key {
                "cert_store" => Err(self.error(&node.at, "cert store type not implemented")),
                "cert_match_by" => Err(self.error(&node.at, "cert match by type not implemented")),
                _ => Ok(()),
            },
            _ => Err(self.error(&node.at, format!("expected '{key}' to be a valid non-empty string"))),
        }
    }
}
