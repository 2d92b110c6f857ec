//! Every byte of a store's files, encoded and decoded; no file is opened here.
//!
//! Decoders take what a damaged disk or a foreign program left: they check every length before they use it, allocate no more than
//! the input accounts for, and say where they stopped. What a damaged file means for a store is not decided here.
//!
//! - [`record`], [`scan`]: the records of a block, one and many;
//! - [`block_file`]: what lies around the records of a block.
//! - [`keys`], [`encrypt`]: the keys of encrypted stores, and what they seal.
//! - [`meta`], [`names`]: metadata and its checksum; how files and folders are called.
//! - [`index_db`], [`legacy_index`]: what blocks hold, without reading them.
//! - [`stream_state`]: the state of a replicated stream.
//! - [`side`]: schedules and sources of a stream.
//! - [`consumer_state`]: what a consumer has delivered, and what was acknowledged.
//! - [`archive`], [`tar`], [`inflow`]: backups, of servers since 2.15 and before.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used))]

pub mod archive;
pub mod block_file;
pub mod consumer_state;
pub mod encrypt;
pub mod index_db;
pub mod inflow;
pub mod keys;
pub mod legacy_index;
pub mod meta;
pub mod names;
pub mod record;
pub mod scan;
pub mod side;
pub mod stream_state;
pub mod tar;
