//! The address that clients are told.

use std::net::SocketAddr;

use midge_config::Options;

/// Host and port for INFO: what `client_advertise` says, else where the server listens. An address that nobody could dial is refused,
/// in the released server's words; so are port numbers that no port has, which it would announce.
pub(crate) fn advertised(options: &Options, bound: SocketAddr) -> Result<(String, u16), String> {
    let advertise = options.listen.client_advertise.as_str();
    if advertise.is_empty() {
        return Ok((options.listen.host.clone(), bound.port()));
    }
    split(advertise, bound.port()).map_err(|error| {
        format!("Error setting server INFO with ClientAdvertise value of {advertise}, err={error}")
    })
}

fn split(address: &str, default: u16) -> Result<(String, u16), String> {
    let wrong = |why: &str| Err(format!("address {address}: {why}"));
    let (host, port) = if let Some(bracketed) = address.strip_prefix('[') {
        let Some((host, rest)) = bracketed.split_once(']') else { return wrong("missing ']' in address") };
        match rest.strip_prefix(':') {
            Some(port) if port.contains(':') => return wrong("too many colons in address"),
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return wrong("missing port in address"),
        }
    } else {
        match address.split_once(':') {
            Some((_, rest)) if rest.contains(':') => return wrong("too many colons in address"),
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    let number = match port.map(str::trim) {
        None | Some("0" | "-1") => default,
        Some(port) => {
            let number = port
                .parse::<i64>()
                .map_err(|_| format!("strconv.Atoi: parsing \"{port}\": invalid syntax"))?;
            u16::try_from(number).map_err(|_| format!("port {number} is outside of 1 to 65535"))?
        }
    };
    Ok((host.trim().to_owned(), number))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn addresses_with_and_without_a_port() {
        for (address, host, port) in [
            ("h", "h", 4222),
            ("h:1", "h", 1),
            (" h : 12 ", "h", 12),
            (":123", "", 123),
            ("h:0", "h", 4222),
            ("h:-1", "h", 4222),
            ("[::1]:55", "::1", 55),
            ("[::1]", "::1", 4222),
        ] {
            assert_eq!(split(address, 4222), Ok((host.to_owned(), port)), "{address}");
        }
    }

    #[test]
    fn addresses_that_nobody_can_dial() {
        for (address, error) in [
            ("addr:::123", "address addr:::123: too many colons in address"),
            ("h:1:2", "address h:1:2: too many colons in address"),
            ("::1", "address ::1: too many colons in address"),
            ("[::1", "address [::1: missing ']' in address"),
            ("host:", "strconv.Atoi: parsing \"\": invalid syntax"),
            ("host:abc", "strconv.Atoi: parsing \"abc\": invalid syntax"),
            ("host:70000", "port 70000 is outside of 1 to 65535"),
        ] {
            assert_eq!(split(address, 4222), Err(error.to_owned()));
        }
    }
}
