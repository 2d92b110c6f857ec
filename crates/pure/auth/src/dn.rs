//! Distinguished names: the texts that users are configured under, and the names in certificates.

use crate::limits::MAX_DN_ATTRIBUTES;

/// One relative name: its attributes as (type, value); usually one.
pub type RelativeName = Vec<(String, String)>;

/// A distinguished name, most specific part first, as texts have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName {
    parts: Vec<RelativeName>,
}

/// Attribute types by object identifier and by the short name that texts use.
const TYPES: [(&str, &str); 11] = [
    ("2.5.4.6", "C"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.17", "POSTALCODE"),
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// The short name of an attribute type, or its identifier where it has none.
pub fn type_name(identifier: &str) -> &str {
    TYPES.iter().find(|(oid, _)| *oid == identifier).map_or(identifier, |&(_, name)| name)
}

impl DistinguishedName {
    /// The name in a certificate, whose parts stand there from the most general on. Types may be identifiers.
    pub fn from_certificate(parts: &[RelativeName]) -> DistinguishedName {
        let named = |part: &RelativeName| {
            part.iter().map(|(kind, value)| (type_name(kind).to_owned(), value.clone())).collect()
        };
        DistinguishedName { parts: parts.iter().rev().map(named).collect() }
    }

    /// Parses a text such as `CN=www.example.com,OU=Web+L=Here,O=Acme\, Inc.`; `None` when it is no such text.
    pub fn parse(text: &str) -> Option<DistinguishedName> {
        let mut parts: Vec<RelativeName> = vec![Vec::new()];
        let mut rest = text;
        for _ in 0..MAX_DN_ATTRIBUTES {
            let (kind, after) = rest.split_once('=')?;
            let kind = kind.trim_matches(' ');
            let sound = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
            if kind.is_empty() || !kind.bytes().all(sound) {
                return None;
            }
            let (value, separator, after) = value(after)?;
            parts.last_mut()?.push((kind.to_owned(), value));
            match separator {
                None => return Some(DistinguishedName { parts }),
                Some(',') => parts.push(Vec::new()),
                Some(_) => {}
            }
            rest = after;
        }
        None
    }

    /// The same parts in the same order. Types are compared without regard to case, the attributes of one part as a
    /// set.
    pub fn equals(&self, other: &DistinguishedName) -> bool {
        self.parts.len() == other.parts.len()
            && self.parts.iter().zip(&other.parts).all(|(a, b)| same_part(a, b))
    }

    /// The same parts in any order.
    pub fn equals_in_any_order(&self, other: &DistinguishedName) -> bool {
        let mut left: Vec<&RelativeName> = other.parts.iter().collect();
        self.parts.len() == left.len()
            && self.parts.len() <= MAX_DN_ATTRIBUTES
            && self.parts.iter().all(|part| {
                let found = left.iter().position(|candidate| same_part(part, candidate));
                found.map(|at| left.swap_remove(at)).is_some()
            })
    }
}

fn same_attribute(a: &(String, String), b: &(String, String)) -> bool {
    a.0.eq_ignore_ascii_case(&b.0) && a.1 == b.1
}

fn same_part(a: &RelativeName, b: &RelativeName) -> bool {
    a.len() == b.len() && a.iter().all(|x| b.iter().any(|y| same_attribute(x, y)))
}

/// Reads a value up to an unescaped `,` or `+`: the value, the separator, what follows it.
fn value(text: &str) -> Option<(String, Option<char>, &str)> {
    let (mut bytes, mut kept) = (Vec::new(), 0);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ',' | '+' => return finish(bytes, kept, Some(c), &text[at + 1..]),
            '\\' => {
                bytes.push(escaped(&text[at + 1..], &mut chars)?);
                kept = bytes.len();
            }
            ' ' if bytes.is_empty() => {}
            c => {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                if c != ' ' {
                    kept = bytes.len();
                }
            }
        }
    }
    finish(bytes, kept, None, "")
}

/// The byte that `\,` or `\2C` stands for; `after` is the text behind the backslash.
fn escaped(after: &str, chars: &mut std::str::CharIndices<'_>) -> Option<u8> {
    let first = u8::try_from(chars.next()?.1).ok()?;
    if matches!(first, b' ' | b'"' | b'#' | b'+' | b',' | b';' | b'<' | b'=' | b'>' | b'\\') {
        return Some(first);
    }
    chars.next()?;
    let digits = after.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok()
}

/// Drops the blanks at the end that were not escaped.
fn finish(
    mut bytes: Vec<u8>,
    kept: usize,
    separator: Option<char>,
    rest: &str,
) -> Option<(String, Option<char>, &str)> {
    bytes.truncate(kept);
    Some((String::from_utf8(bytes).ok()?, separator, rest))
}

/// The order in which Go prints the attributes of a subject.
const PRINTED: [&str; 9] = ["SERIALNUMBER", "CN", "POSTALCODE", "STREET", "ST", "L", "OU", "O", "C"];

/// The subject of a certificate as Go prints it: the standard attributes only, one group per type, in a fixed order.
pub fn go_text(parts: &[RelativeName]) -> String {
    let mut groups = Vec::new();
    for kind in PRINTED {
        let attributes = parts.iter().flatten().filter(|(found, _)| type_name(found) == kind);
        let mut values: Vec<String> =
            attributes.map(|(_, value)| format!("{kind}={}", escape(value))).collect();
        if matches!(kind, "CN" | "SERIALNUMBER") {
            values.drain(..values.len().saturating_sub(1));
        }
        if !values.is_empty() {
            groups.push(values.join("+"));
        }
    }
    groups.join(",")
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';')
            || (c == ' ' && (at == 0 || at == last))
            || (c == '#' && at == 0);
        if special {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The `DC=` parts of a subject as text, in the certificate's order.
pub fn domain_components(parts: &[RelativeName]) -> Vec<String> {
    let of_domain = parts.iter().flatten().filter(|(kind, _)| type_name(kind) == "DC");
    of_domain.map(|(_, value)| format!("DC={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: &str, value: &str) -> RelativeName {
        vec![(kind.to_owned(), value.to_owned())]
    }

    #[test]
    fn texts_are_parsed_with_their_escapes() {
        let parsed = |text: &str| DistinguishedName::parse(text).map(|name| name.parts);
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(parsed("CN=a,O=b"), Some(vec![part("CN", "a"), part("O", "b")]));
        assert_eq!(parsed("CN = a b , O= c "), Some(vec![part("CN", "a b"), part("O", "c")]));
        assert_eq!(
            parsed("CN=a+OU=x,O=b"),
            Some(vec![vec![pair("CN", "a"), pair("OU", "x")], part("O", "b")])
        );
        assert_eq!(
            parsed(r"O=Acme\, Inc.\ ,L=\c3\a9"),
            Some(vec![part("O", "Acme, Inc. "), part("L", "\u{e9}")])
        );
        assert_eq!(parsed("CN="), Some(vec![part("CN", "")]));
        for bad in ["", "a", "CN", "CN=a,", "=a", "C N=a", r"CN=\", r"CN=\zz", r"CN=\ff", r"CN=\é"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
        assert_eq!(parsed(&"CN=a,".repeat(1000)), None);
    }

    #[test]
    fn names_are_compared_in_order_and_out_of_order() {
        let name = |text: &str| DistinguishedName::parse(text).unwrap();
        assert!(name("CN=a,O=b").equals(&name("cn=a,o=b")));
        assert!(name("CN=a+OU=b").equals(&name("OU=b+CN=a")));
        assert!(!name("CN=a,O=b").equals(&name("O=b,CN=a")));
        assert!(name("CN=a,O=b").equals_in_any_order(&name("O=b,CN=a")));
        assert!(!name("CN=a,CN=a").equals_in_any_order(&name("CN=a,CN=b")));
        assert!(!name("CN=a").equals_in_any_order(&name("CN=A")));
    }

    #[test]
    fn certificates_list_the_general_first_and_go_prints_groups() {
        let subject = [
            part("0.9.2342.19200300.100.1.25", "com"),
            part("0.9.2342.19200300.100.1.25", "acme"),
            part("2.5.4.6", "US"),
            part("2.5.4.11", "Users"),
            part("2.5.4.11", "Ops, #1"),
            part("1.2.3.4", "odd"),
            part("2.5.4.3", "jo "),
        ];
        let name = DistinguishedName::from_certificate(&subject);
        let text = r"CN=jo\ ,1.2.3.4=odd,OU=Ops\, #1,OU=Users,C=US,DC=acme,DC=com";
        assert!(name.equals(&DistinguishedName::parse(text).unwrap()));
        assert_eq!(go_text(&subject), r"CN=jo\ ,OU=Users+OU=Ops\, #1,C=US");
        assert_eq!(domain_components(&subject), ["DC=com", "DC=acme"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in "[A-Z=,+\\\\ é0-9a-f]{0,40}") {
            if let Some(name) = DistinguishedName::parse(&text) {
                assert!(name.equals(&name) && name.equals_in_any_order(&name));
            }
        }
    }
}
