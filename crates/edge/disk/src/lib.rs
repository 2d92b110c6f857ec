//! Files: the real disk under the stores.
