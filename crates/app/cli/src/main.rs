//! The midge command.
use midge_config::{Command, Identity, Source};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Files;
impl Source for Files {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|e| e.to_string())
    }
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let identity = Identity { compat_version: "2.15.1".into(), midge_version: String::new() };
    match midge_config::configure(&arguments, &Files, &identity) {
        Command::Run(options) => {
            let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            rt.block_on(async { let s = midge_server::Builder::from_options(*options).start().await.unwrap(); s.wait().await; Ok::<(),String>(()) }).unwrap();
        }
        other => panic!("{other:?}"),
    }
}
