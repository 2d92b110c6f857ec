//! The address of a remote syslog.

use midge_stdx::goquote;

/// Where a remote syslog listens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `host:port`
    Udp(String),
    /// `host:port`
    Tcp(String),
    /// A socket's path.
    Unix(String),
}

/// Reads `udp://host:port`, `tcp://host:port` or `unix:///path`. Errors: the line that ends the process.
pub(crate) fn parse(text: &str) -> Result<Address, String> {
    let scheme = text.split_once(':').filter(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    let Some((scheme, rest)) = scheme else {
        let quoted = goquote::quote(text.as_bytes());
        return Err(match text.find([':', '/']) {
            Some(0) if text.starts_with(':') => format!("parse {quoted}: missing protocol scheme"),
            Some(at) if text[at..].starts_with(':') => {
                format!("parse {quoted}: first path segment in URL cannot contain colon")
            }
            _ => "error invalid network type: \"\"".to_owned(),
        });
    };
    let scheme = scheme.to_ascii_lowercase();
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match scheme.as_str() {
        "udp" => Ok(Address::Udp(host.to_owned())),
        "tcp" => Ok(Address::Tcp(host.to_owned())),
        "unix" => Ok(Address::Unix(path.to_owned())),
        other => Err(format!("error invalid network type: {}", goquote::quote(other.as_bytes()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_errors_are_those_of_the_reference() {
        assert_eq!(parse("udp://localhost:514"), Ok(Address::Udp("localhost:514".into())));
        assert_eq!(parse("TCP://u:p@[::1]:514/x?y"), Ok(Address::Tcp("[::1]:514".into())));
        assert_eq!(parse("unix:///var/log.sock"), Ok(Address::Unix("/var/log.sock".into())));
        for (text, error) in [
            ("foo://bar", "error invalid network type: \"foo\""),
            ("udp4://1.2.3.4:5", "error invalid network type: \"udp4\""),
            ("localhost:514", "error invalid network type: \"localhost\""),
            ("/path", "error invalid network type: \"\""),
            ("127.0.0.1:514", "parse \"127.0.0.1:514\": first path segment in URL cannot contain colon"),
            (":1", "parse \":1\": missing protocol scheme"),
        ] {
            assert_eq!(parse(text), Err(error.to_owned()), "{text}");
        }
    }
}
