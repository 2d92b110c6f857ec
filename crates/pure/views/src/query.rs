//! Query strings, decoded as Go decodes them; the errors are the bodies of 400 answers.

use midge_stdx::goquote;

use crate::limits::MAX_QUERY_PAIRS;

/// The parameters of a request. Pairs with a semicolon or a bad escape are left out; of several values the first counts.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Undoes percent escapes, and `+` for a blank; `None` for a bad escape.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            byte => byte,
        });
    }
    Some(out)
}

impl Query {
    /// Decodes what stands behind the question mark.
    pub fn parse(text: &str) -> Query {
        let pairs =
            text.split('&').take(MAX_QUERY_PAIRS).filter(|pair| !pair.is_empty() && !pair.contains(';'));
        let decoded = pairs.filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescape(name)?, unescape(value)?))
        });
        Query { pairs: decoded.collect() }
    }

    /// The bytes of a parameter; empty when it is missing.
    pub fn bytes(&self, name: &str) -> &[u8] {
        let found = self.pairs.iter().find(|(known, _)| known == name.as_bytes());
        found.map_or(&[], |(_, value)| value)
    }

    /// A parameter as text.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.bytes(name)).into_owned()
    }

    /// A yes or no; missing means no.
    pub fn boolean(&self, name: &str) -> Result<bool, String> {
        match self.bytes(name) {
            b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True" => Ok(true),
            b"" | b"0" | b"f" | b"F" | b"FALSE" | b"false" | b"False" => Ok(false),
            other => Err(fault("boolean", name, "ParseBool", other, "invalid syntax")),
        }
    }

    /// A number; missing means 0.
    pub fn int(&self, name: &str) -> Result<i64, String> {
        let text = self.bytes(name);
        let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
        if text.is_empty() {
            return Ok(0);
        }
        number(text, digits).map_err(|why| fault("int", name, "Atoi", text, why))
    }

    /// A number without sign; missing means 0.
    pub fn uint64(&self, name: &str) -> Result<u64, String> {
        let text = self.bytes(name);
        if text.is_empty() {
            return Ok(0);
        }
        number(text, text).map_err(|why| fault("uint64", name, "ParseUint", text, why))
    }
}

fn number<T: std::str::FromStr>(text: &[u8], digits: &[u8]) -> Result<T, &'static str> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err("invalid syntax");
    }
    let text = std::str::from_utf8(text).map_err(|_| "invalid syntax")?;
    text.parse().map_err(|_| "value out of range")
}

fn fault(kind: &str, name: &str, function: &str, text: &[u8], why: &str) -> String {
    format!("Error decoding {kind} for '{name}': strconv.{function}: parsing {}: {why}", goquote::quote(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_decoded() {
        let query = Query::parse("a=%3Cx%3E&b=1+2&a=second&bad=%zz&semi=1;t=2&flag&=x&%61b=c");
        assert_eq!(query.text("a"), "<x>");
        assert_eq!(query.text("b"), "1 2");
        assert_eq!(query.text("ab"), "c");
        for absent in ["bad", "semi", "t", "flag", "none"] {
            assert_eq!(query.bytes(absent), b"", "{absent}");
        }
    }

    #[test]
    fn booleans_and_numbers_are_gos() {
        let boolean = |text: &str| Query::parse(&format!("v={text}")).boolean("v");
        for yes in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(boolean(yes), Ok(true));
        }
        for no in ["", "0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(boolean(no), Ok(false));
        }
        assert_eq!(
            boolean("tRue"),
            Err(r#"Error decoding boolean for 'v': strconv.ParseBool: parsing "tRue": invalid syntax"#.into())
        );
        assert!(boolean("%ff").unwrap_err().contains(r#"parsing "\xff": invalid syntax"#));
        let int = |text: &str| Query::parse(&format!("v={text}")).int("v");
        assert_eq!((int(""), int("7"), int("-7"), int("%2B7")), (Ok(0), Ok(7), Ok(-7), Ok(7)));
        let syntax = |text: &str| {
            format!("Error decoding int for 'v': strconv.Atoi: parsing \"{text}\": invalid syntax")
        };
        assert_eq!(int("+5"), Err(syntax(" 5")));
        assert_eq!(int("1_000"), Err(syntax("1_000")));
        assert_eq!(int("-"), Err(syntax("-")));
        assert!(int("9999999999999999999999").unwrap_err().ends_with("value out of range"));
        let uint = |text: &str| Query::parse(&format!("v={text}")).uint64("v");
        assert_eq!(uint("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(
            uint("-1"),
            Err(r#"Error decoding uint64 for 'v': strconv.ParseUint: parsing "-1": invalid syntax"#.into())
        );
        assert!(uint("%2B1").unwrap_err().ends_with("invalid syntax"));
        assert!(uint("99999999999999999999").unwrap_err().ends_with("value out of range"));
    }

    proptest! {
        #[test]
        fn any_query_is_survived(text in ".{0,60}") {
            let query = Query::parse(&text);
            let _ = (query.boolean("a"), query.int("a"), query.uint64("a"), query.text("a"));
        }
    }
}
