//! A value that is replaced as a whole: options, permissions, certificates.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// Readers take the current value without waiting; a writer replaces it.
#[derive(Debug)]
pub struct Snapshot<T>(ArcSwap<T>);

impl<T> Snapshot<T> {
    /// Starts with `value`.
    pub fn new(value: T) -> Self {
        Snapshot(ArcSwap::from_pointee(value))
    }

    /// The current value.
    pub fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces the value; readers that hold the old one keep it.
    pub fn store(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}
