//! Texts that are printed once per second however often they are logged.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limits::{LIMITED_TEXTS, LIMITED_WINDOW};

/// When each text was last printed.
#[derive(Debug, Default)]
pub(crate) struct Repeats(Mutex<HashMap<String, Instant>>);

impl Repeats {
    /// Whether `text` is to be printed at `now`.
    pub(crate) fn admit(&self, text: &str, now: Instant) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |at: &Instant| now.saturating_duration_since(*at) < LIMITED_WINDOW;
        if seen.get(text).is_some_and(fresh) {
            return false;
        }
        if seen.len() >= LIMITED_TEXTS {
            seen.retain(|_, at| fresh(at));
        }
        if seen.len() < LIMITED_TEXTS {
            seen.insert(text.to_owned(), now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_admitted_once_per_window() {
        let repeats = Repeats::default();
        let start = Instant::now();
        assert!(repeats.admit("a", start));
        assert!(!repeats.admit("a", start + LIMITED_WINDOW / 2));
        assert!(repeats.admit("b", start));
        assert!(repeats.admit("a", start + LIMITED_WINDOW));
        assert!(!repeats.admit("a", start + LIMITED_WINDOW));
    }

    #[test]
    fn many_texts_are_bounded() {
        let repeats = Repeats::default();
        let start = Instant::now();
        for n in 0..2 * LIMITED_TEXTS {
            assert!(repeats.admit(&n.to_string(), start));
        }
        assert_eq!(repeats.0.lock().unwrap().len(), LIMITED_TEXTS);
        assert!(repeats.admit("later", start + LIMITED_WINDOW));
        assert_eq!(repeats.0.lock().unwrap().len(), 1);
    }
}
