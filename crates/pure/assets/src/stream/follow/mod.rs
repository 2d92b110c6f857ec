//! Streams that are fed by others.
//!
//! - [`link`]: one stream that feeds another: asking, following, asking again;
//! - [`request`]: the consumer that is asked for;
//! - [`apply`]: what comes, stored;
//! - [`header`]: where a message came from.

pub mod apply;
pub mod header;
pub mod link;
pub mod request;

pub use apply::{Delivered, Origins, Renaming};
pub use link::{Action, Link, Taken, first_start};
pub use request::{Owner, Role, Start};

use midge_jsapi::stream_config::StreamSource;
use midge_jsapi::subjects::hash8;
use midge_store::stream::Store;

/// The name of a source within its stream: two sources with the same one are the same. The progress of the source is kept under it, and messages carry it.
pub fn index_name(source: &StreamSource) -> String {
    let mut name = source.name.clone();
    if let Some(external) = source.external.as_ref().filter(|external| !external.api.is_empty()) {
        name.push(':');
        name.push_str(&String::from_utf8_lossy(&hash8(external.api.as_bytes())));
    }
    if let Some(consumer) = &source.consumer {
        name.push_str(":C=");
        name.push_str(&String::from_utf8_lossy(&hash8(consumer.name.as_bytes())));
    }
    let or_all = |text: &str| if text.is_empty() { ">".to_owned() } else { text.to_owned() };
    let (filters, destinations) = if source.subject_transforms.is_empty() {
        (or_all(&source.filter_subject), ">".to_owned())
    } else {
        let join = |texts: Vec<String>| texts.join("\x0c");
        let transforms = source.subject_transforms.iter();
        (
            join(transforms.clone().map(|transform| or_all(&transform.src)).collect()),
            join(transforms.map(|transform| or_all(&transform.dest)).collect()),
        )
    };
    format!("{name} {filters} {destinations}")
}

/// How far a source with this index name was read, and which incarnation of it. Messages that servers before 2.10 stored name the stream alone, and stand for
/// everything that was taken from it.
pub fn read_through<'s>(store: &'s Store, index_name: &str) -> Option<(u64, &'s [u8])> {
    let stream = index_name.split(' ').next().unwrap_or_default();
    store.source(index_name.as_bytes()).or_else(|| store.source(stream.as_bytes()))
}

#[cfg(test)]
mod tests;
