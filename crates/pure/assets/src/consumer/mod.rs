//! One consumer.
