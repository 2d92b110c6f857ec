//! Paths of requests.

/// Undoes percent escapes; `None` for a bad escape or what is no text.
pub(crate) fn decode(path: &str) -> Option<String> {
    if !path.contains('%') {
        return Some(path.to_owned());
    }
    let hex = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' { hex(bytes.next())? << 4 | hex(bytes.next())? } else { byte });
    }
    String::from_utf8(out).ok()
}

/// The path without empty parts, `.` and `..`, a trailing slash kept; begins with exactly one slash.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut out = format!("/{}", parts.join("/"));
    if path.ends_with('/') && out.len() > 1 {
        out.push('/');
    }
    out
}

/// Escapes what may not stand in a path, so that it can stand in a header and a page.
pub(crate) fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$()*+,;=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        assert_eq!(decode("/%76arz").as_deref(), Some("/varz"));
        assert_eq!(decode("/a").as_deref(), Some("/a"));
        assert_eq!((decode("/%7"), decode("/%zz"), decode("/%ff")), (None, None, None));
    }

    #[test]
    fn unclean_paths_are_cleaned() {
        for (path, cleaned) in [
            ("/a/b", "/a/b"),
            ("//evil.example//x", "/evil.example/x"),
            ("/a/./b/../c/", "/a/c/"),
            ("/../..", "/"),
            ("/", "/"),
            ("", "/"),
        ] {
            assert_eq!(clean(path), cleaned);
        }
        assert_eq!(encode("/a\r\n<b>\"é"), "/a%0D%0A%3Cb%3E%22%C3%A9");
    }
}
