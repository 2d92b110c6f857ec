//! Other people's byte formats.
#![forbid(unsafe_code)]
