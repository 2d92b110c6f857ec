//! The midge command.
fn main() {}
