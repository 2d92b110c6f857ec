//! Queries of monitoring URLs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_views::connz::ConnzOptions;
use midge_views::healthz::HealthzOptions;
use midge_views::query::Query;
use midge_views::subsz::SubszOptions;

fuzz_target!(|text: &str| {
    let query = Query::parse(text);
    let _ = ConnzOptions::decode(&query);
    let _ = SubszOptions::decode(&query);
    let _ = HealthzOptions::decode(&query);
});
