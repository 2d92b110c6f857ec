//! Transforms: a destination that was accepted can be applied to every subject that its source matches.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_stdx::entropy::Seeded;
use midge_subject::transform::Transform;
use midge_subject::{name, wildcard};

fuzz_target!(|texts: (&str, &str, &str)| {
    let (source, destination, subject) = texts;
    if name::is_valid_subject(source.as_bytes()) && name::is_valid_publish(subject.as_bytes()) {
        let _ = wildcard::is_subset(source.as_bytes(), subject.as_bytes());
        assert_eq!(
            wildcard::matches(subject.as_bytes(), source.as_bytes()),
            wildcard::overlaps(subject.as_bytes(), source.as_bytes())
        );
    }
    if let Ok(transform) = Transform::new(source.as_bytes(), destination.as_bytes()) {
        let mut out = Vec::new();
        let applied = transform.apply(subject.as_bytes(), &mut Seeded::new(1), &mut out);
        if name::is_valid_publish(subject.as_bytes()) {
            assert_eq!(applied.is_ok(), transform.applies_to(subject.as_bytes()));
        }
    }
});
