//! The midge command. Everything it does is in `midge_server::process`; the allocator is chosen here and nowhere else.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

/// Messages are allocated on one thread and freed on another, which this allocator handles well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let path = arguments.next().unwrap_or_default();
    let program = Path::new(&path).file_name().and_then(|name| name.to_str()).unwrap_or("midge").to_owned();
    midge_server::process::run(&program, &arguments.collect::<Vec<_>>())
}
