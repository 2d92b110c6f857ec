//! From the names in a client's certificate to a user (`verify_and_map`).

use crate::dn::{self, DistinguishedName, RelativeName};

/// The names of the first certificate that a peer showed, extracted by whoever parses certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerNames {
    /// E-mail addresses among the alternative names.
    pub emails: Vec<String>,
    /// DNS names among the alternative names.
    pub dns_names: Vec<String>,
    /// URIs among the alternative names.
    pub uris: Vec<String>,
    /// The subject in the certificate's order; types are dotted object identifiers.
    pub subject: Vec<RelativeName>,
}

/// User names that read as distinguished names, with what they stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamedUsers {
    names: Vec<(DistinguishedName, String)>,
}

impl NamedUsers {
    pub(crate) fn insert(&mut self, user: &str) {
        if let Some(name) = DistinguishedName::parse(user) {
            self.names.push((name, user.to_owned()));
        }
    }
}

/// Finds the user that a certificate stands for. Tried in this order: each e-mail address, DNS name and URI as a user
/// name; the subject as a distinguished name, parts in order, then in any order; the subject as Go prints it, with
/// and without its domain components. `admitted` says whether a user of that name exists and may connect here.
pub(crate) fn find_user(
    names: &PeerNames,
    users: &NamedUsers,
    admitted: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let alternative = names.emails.iter().chain(&names.dns_names).chain(&names.uris);
    if let Some(name) = alternative.into_iter().find(|name| admitted(name)) {
        return Some(name.clone());
    }
    let subject = DistinguishedName::from_certificate(&names.subject);
    let candidates = || users.names.iter().filter(|(_, user)| admitted(user));
    let by_name = candidates()
        .find(|(name, _)| name.equals(&subject))
        .or_else(|| candidates().find(|(name, _)| name.equals_in_any_order(&subject)));
    if let Some((_, user)) = by_name {
        return Some(user.clone());
    }
    let text = dn::go_text(&names.subject);
    let domain = dn::domain_components(&names.subject);
    let mut texts = Vec::with_capacity(2);
    if !domain.is_empty() {
        texts.push(format!("{text},{}", domain.join(",")));
    }
    texts.push(text);
    texts.into_iter().find(|text| !text.is_empty() && admitted(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tried_in_order() {
        let part = |kind: &str, value: &str| vec![(kind.to_owned(), value.to_owned())];
        let names = PeerNames {
            emails: vec!["jo@acme.com".into()],
            dns_names: vec!["host.acme.com".into()],
            uris: vec!["spiffe://acme/jo".into()],
            subject: vec![
                part("0.9.2342.19200300.100.1.25", "com"),
                part("0.9.2342.19200300.100.1.25", "acme"),
                part("2.5.4.11", "a"),
                part("2.5.4.11", "b"),
                part("2.5.4.3", "jo"),
            ],
        };
        let order = [
            "jo@acme.com",
            "host.acme.com",
            "spiffe://acme/jo",
            "CN=jo,OU=b,OU=a,DC=acme,DC=com",
            "DC=com,DC=acme,OU=a,OU=b,CN=jo",
            "CN=jo,OU=a+OU=b,DC=com,DC=acme",
            "CN=jo,OU=a+OU=b",
        ];
        for first in 0..order.len() {
            let known = &order[first..];
            let mut users = NamedUsers::default();
            known.iter().rev().for_each(|user| users.insert(user));
            let found = find_user(&names, &users, &|user| known.contains(&user));
            assert_eq!(found.as_deref(), Some(order[first]));
        }
        let reversed =
            find_user(&names, &NamedUsers::default(), &|user| user == "CN=jo,OU=a+OU=b,DC=acme,DC=com");
        assert_eq!(reversed, None);
        assert_eq!(find_user(&names, &NamedUsers::default(), &|_| false), None);
        assert_eq!(find_user(&PeerNames::default(), &NamedUsers::default(), &|_| true), None);
    }
}
