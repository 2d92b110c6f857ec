//! One source, several weighted destinations, some of them for one cluster only.

use std::fmt;

use midge_stdx::entropy::Entropy;
use midge_stdx::goquote;

use crate::limits::MAX_TOTAL_WEIGHT;
use crate::name::is_valid_subject;
use crate::transform::{Transform, TransformError};
use crate::wildcard::matches;

/// A destination as a configuration states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The destination of a transform.
    pub subject: String,
    /// Its share in percent.
    pub weight: u8,
    /// The cluster whose servers use it; empty for all that have none of their own.
    pub cluster: String,
}

/// Why a mapping is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingError {
    /// The source is not a valid subject.
    InvalidSubject,
    /// A destination stands in the list twice.
    Duplicate(String),
    /// One weight is above 100.
    WeightTooLarge,
    /// The weights of one cluster add up to more than 100.
    TotalTooLarge,
    /// A destination is no transform of the source.
    Transform(TransformError),
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MappingError::InvalidSubject => f.write_str("invalid subject"),
            MappingError::Duplicate(subject) => {
                write!(f, "duplicate entry for {}", goquote::quote(subject.as_bytes()))
            }
            MappingError::WeightTooLarge => f.write_str("individual weights need to be <= 100"),
            MappingError::TotalTooLarge => f.write_str("total weight needs to be <= 100"),
            MappingError::Transform(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MappingError {}

impl From<TransformError> for MappingError {
    fn from(error: TransformError) -> Self {
        MappingError::Transform(error)
    }
}

/// Where one message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection<'a> {
    /// Its subject stays.
    Original,
    /// Its subject is rewritten.
    Rewritten(&'a Transform),
    /// The weights say that it is lost: nobody receives it.
    Lost,
}

/// A compiled mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    source: Box<[u8]>,
    general: Shares,
    clusters: Vec<(Box<[u8]>, Shares)>,
}

/// A weight and where it leads; `None` leaves the subject as it is.
type Share = (u8, Option<Transform>);

/// Destinations with cumulative weights, lightest first.
#[derive(Clone, Debug, Default)]
struct Shares {
    upto: Vec<Share>,
}

impl Mapping {
    /// Compiles a mapping. What the weights of a cluster leave of 100 % stays on the original subject, unless the
    /// source is itself a destination: then it is lost.
    pub fn new(source: &str, destinations: &[Destination]) -> Result<Mapping, MappingError> {
        if !is_valid_subject(source.as_bytes()) {
            return Err(MappingError::InvalidSubject);
        }
        let mut lists: Vec<(&str, Vec<Share>)> = vec![("", Vec::new())];
        for (at, destination) in destinations.iter().enumerate() {
            if destinations[..at].iter().any(|earlier| earlier.subject == destination.subject) {
                return Err(MappingError::Duplicate(destination.subject.clone()));
            }
            if destination.weight > MAX_TOTAL_WEIGHT {
                return Err(MappingError::WeightTooLarge);
            }
            let cluster = destination.cluster.as_str();
            let list = lists.iter().position(|(name, _)| *name == cluster).unwrap_or_else(|| {
                lists.push((cluster, Vec::new()));
                lists.len() - 1
            });
            let list = &mut lists[list].1;
            let total: u32 = list.iter().map(|(weight, _)| u32::from(*weight)).sum();
            if total + u32::from(destination.weight) > u32::from(MAX_TOTAL_WEIGHT) {
                return Err(MappingError::TotalTooLarge);
            }
            let transform = Transform::optional(source.as_bytes(), destination.subject.as_bytes())?;
            list.push((destination.weight, transform));
        }
        let lossy = destinations.iter().any(|destination| destination.subject == source);
        let mut shares = lists.into_iter().map(|(name, list)| (name, Shares::new(list, lossy)));
        let general = shares.next().map(|(_, shares)| shares).unwrap_or_default();
        let clusters = shares.map(|(name, shares)| (name.as_bytes().into(), shares)).collect();
        Ok(Mapping { source: source.as_bytes().into(), general, clusters })
    }

    /// The pattern of the subjects that are mapped.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// Whether `subject` is mapped.
    pub fn applies_to(&self, subject: &[u8]) -> bool {
        matches(subject, &self.source)
    }

    /// Chooses for one message on a server of `cluster` (empty for none).
    pub fn select(&self, cluster: &[u8], entropy: &mut dyn Entropy) -> Selection<'_> {
        let own = self.clusters.iter().find(|(name, _)| **name == *cluster);
        let shares = own.map_or(&self.general, |(_, shares)| shares);
        // A draw decides nothing where one destination takes everything.
        let draw = match shares.upto.first() {
            Some((MAX_TOTAL_WEIGHT, _)) => 0,
            _ => entropy.below(u64::from(MAX_TOTAL_WEIGHT)),
        };
        match shares.upto.iter().find(|(upto, _)| draw < u64::from(*upto)) {
            Some((_, Some(transform))) => Selection::Rewritten(transform),
            Some((_, None)) => Selection::Original,
            None => Selection::Lost,
        }
    }
}

impl Shares {
    fn new(mut list: Vec<Share>, lossy: bool) -> Shares {
        let total: u8 = list.iter().map(|(weight, _)| *weight).sum();
        if total < MAX_TOTAL_WEIGHT && !lossy {
            list.push((MAX_TOTAL_WEIGHT - total, None));
        }
        list.sort_by_key(|(weight, _)| *weight);
        let mut upto = 0;
        for (weight, _) in &mut list {
            upto += *weight;
            *weight = upto;
        }
        Shares { upto: list }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_stdx::entropy::Seeded;

    fn to(subject: &str, weight: u8, cluster: &str) -> Destination {
        Destination { subject: subject.to_owned(), weight, cluster: cluster.to_owned() }
    }

    /// How many of 10,000 messages go to each destination, in percent rounded to the nearest.
    fn spread(mapping: &Mapping, subject: &str, cluster: &str) -> Vec<(String, u32)> {
        let (mut entropy, mut counts) = (Seeded::new(5), std::collections::BTreeMap::<String, u32>::new());
        for _ in 0..10_000 {
            let place = match mapping.select(cluster.as_bytes(), &mut entropy) {
                Selection::Original => "original".to_owned(),
                Selection::Lost => "lost".to_owned(),
                Selection::Rewritten(transform) => {
                    let mut out = Vec::new();
                    transform.apply(subject.as_bytes(), &mut Seeded::new(1), &mut out).unwrap();
                    String::from_utf8(out).unwrap()
                }
            };
            *counts.entry(place).or_default() += 1;
        }
        counts.into_iter().map(|(place, count)| (place, (count + 50) / 100)).collect()
    }

    fn about(got: &[(String, u32)], expected: &[(&str, u32)]) {
        assert_eq!(got.len(), expected.len(), "{got:?}");
        for (name, percent) in expected {
            let (_, seen) = got.iter().find(|(place, _)| place == name).unwrap_or_else(|| panic!("{got:?}"));
            assert!(seen.abs_diff(*percent) <= 2, "{name}: {seen} instead of {percent}");
        }
    }

    #[test]
    fn the_rest_stays_on_the_original_subject() {
        let mapping = Mapping::new("foo.*", &[to("bar.$1", 20, ""), to("baz.$1", 30, "")]).unwrap();
        about(&spread(&mapping, "foo.x", ""), &[("bar.x", 20), ("baz.x", 30), ("original", 50)]);
        assert!(mapping.applies_to(b"foo.x") && !mapping.applies_to(b"foo.x.y"));
        assert_eq!(mapping.source(), b"foo.*");
    }

    #[test]
    fn naming_the_source_makes_the_rest_a_loss() {
        let mapping = Mapping::new("foo", &[to("foo", 30, ""), to("bar", 20, "")]).unwrap();
        about(&spread(&mapping, "foo", ""), &[("foo", 30), ("bar", 20), ("lost", 50)]);
    }

    #[test]
    fn a_cluster_may_have_destinations_of_its_own() {
        let mapping =
            Mapping::new("foo", &[to("a", 100, ""), to("b", 100, "west"), to("c", 40, "east")]).unwrap();
        about(&spread(&mapping, "foo", ""), &[("a", 100)]);
        about(&spread(&mapping, "foo", "north"), &[("a", 100)]);
        about(&spread(&mapping, "foo", "west"), &[("b", 100)]);
        about(&spread(&mapping, "foo", "east"), &[("c", 40), ("original", 60)]);
        let elsewhere = Mapping::new("foo", &[to("b", 100, "west")]).unwrap();
        about(&spread(&elsewhere, "foo", ""), &[("original", 100)]);
    }

    #[test]
    fn bad_mappings_are_refused_in_these_words() {
        for (source, destinations, expected) in [
            ("foo..bar", vec![to("a", 100, "")], "invalid subject"),
            ("foo", vec![to("a", 10, ""), to("a", 10, "x")], "duplicate entry for \"a\""),
            ("foo", vec![to("a", 101, "")], "individual weights need to be <= 100"),
            ("foo", vec![to("a", 60, ""), to("b", 60, "")], "total weight needs to be <= 100"),
            (
                "foo",
                vec![to("a.$1", 100, "")],
                "invalid mapping destination: wildcard index out of range in $1",
            ),
        ] {
            assert_eq!(Mapping::new(source, &destinations).unwrap_err().to_string(), expected);
        }
        assert!(Mapping::new("foo", &[to("a", 60, ""), to("b", 60, "x")]).is_ok());
    }
}
