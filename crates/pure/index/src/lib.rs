//! The routing index: which subscriptions want a subject.
