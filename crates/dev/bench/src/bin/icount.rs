//! Workloads whose instructions are counted: `icount NAME ITERATIONS`.
//!
//! `cargo xtask icount` runs each under valgrind with two numbers of iterations; the difference is the cost of the
//! iterations alone. Everything is seeded, so the counts repeat.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a command")]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use midge_auth::permissions::Permissions;
use midge_broker::account::{Account, AccountLimits};
use midge_broker::batch::Batch;
use midge_broker::outbound::Taken;
use midge_broker::peer::Peer;
use midge_broker::routing::{self, Origin};
use midge_broker::subscription::{Subscription, Target};
use midge_config::schema::authorization::{Permissions as Stated, SubjectPermission};
use midge_index::sublist::Matched;
use midge_stdx::clock::Now;
use midge_wire::parse::{Op, Parser, Publish, Rules, Step};

const RULES: Rules = Rules { max_control_line: 4096, max_payload: 1 << 20, headers: true };

/// Messages with different lines, so that none is recognised as a repetition.
fn lines() -> Vec<u8> {
    (0..64)
        .flat_map(|n| format!("PUB orders.eu.{n} reply.{n} 16\r\n0123456789abcdef\r\n").into_bytes())
        .collect()
}

fn publishes(input: &[u8]) -> Vec<Publish<'_>> {
    let (mut parser, mut at, mut list) = (Parser::default(), 0, Vec::new());
    while let Step::Op(Op::Publish(publish), taken) = parser.next(&input[at..], &RULES) {
        list.push(publish);
        at += taken;
    }
    list
}

/// Parses 64 messages.
fn parse(iterations: u64) {
    let input = lines();
    for _ in 0..iterations {
        black_box(publishes(black_box(&input)));
    }
}

/// An account with 10,000 literal and 100 wildcard subscriptions of `receivers` connections.
fn account(receivers: &[Arc<Peer>]) -> Arc<Account> {
    let account = Arc::new(Account::new(1, "A", false, AccountLimits::default(), 1));
    for n in 0..10_100_usize {
        let subject = if n < 10_000 { format!("orders.eu.{n}") } else { format!("*.r{n}.>") };
        let target = Target::Peer(receivers[n % receivers.len()].clone());
        let sid = n.to_string();
        let sub = Subscription::new(target, subject.as_bytes(), None, sid.as_bytes(), false);
        let _ = account.insert(Arc::new(sub));
    }
    account
}

fn peers(count: u64) -> Vec<Arc<Peer>> {
    (1..=count).map(|cid| Arc::new(Peer::new(cid, None, Now::default(), 0, 1 << 26))).collect()
}

/// Matches one of 10,000 subjects against the index.
fn matching(iterations: u64) {
    let account = account(&peers(10));
    let mut matched = Matched::default();
    for n in 0..iterations {
        matched.clear();
        let subject = format!("orders.eu.{}", n % 10_000);
        account.matching(black_box(subject.as_bytes()), &mut matched);
        black_box(&matched);
    }
}

/// Delivers a message to ten receivers, and takes it off their queues.
fn deliver(iterations: u64) {
    let (receivers, publisher) = (peers(10), peers(11).remove(10));
    let account = Arc::new(Account::new(1, "A", false, AccountLimits::default(), 1));
    for peer in &receivers {
        let sub = Subscription::new(Target::Peer(peer.clone()), b"orders.*.1", None, b"1", false);
        let _ = account.insert(Arc::new(sub));
    }
    let input = b"PUB orders.eu.1 16\r\n0123456789abcdef\r\n";
    let run = publishes(input);
    let origin = Origin {
        peer: &publisher,
        account: &account,
        echo: true,
        no_responders: false,
        drop_for_slow: false,
        trace: None,
    };
    let mut batch = Batch::new(0, 1);
    let mut dirty = Vec::new();
    for _ in 0..iterations {
        batch.begin(Now::default());
        routing::publish(&mut batch, &origin, black_box(&run), None);
        batch.take_dirty(&mut dirty);
        for peer in dirty.drain(..) {
            let mut queue = peer.queue();
            if let Taken::Flight(mut flight) = queue.take() {
                let n = flight.len();
                flight.advance(n, &mut batch.pool);
                queue.done(flight, n, true, &mut batch.pool);
            }
        }
    }
}

/// Checks a subject against allow and deny lists of a dozen entries.
fn permission(iterations: u64) {
    let list = |name: &str| Some((0..12).map(|n| format!("{name}{n}.*.>")).collect());
    let publish = SubjectPermission { allow: list("allowed"), deny: list("denied") };
    let (permissions, _) = Permissions::compile(&Stated { publish: Some(publish), ..Stated::default() });
    for n in 0..iterations {
        let subject: &[u8] = if n % 2 == 0 { b"allowed7.eu.orders" } else { b"other.eu.orders" };
        black_box(permissions.may_publish(black_box(subject)));
    }
}

fn main() -> ExitCode {
    midge_stdx::hash::set_seed(1);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, iterations] = &arguments[..] else {
        println!("parse match deliver permission");
        return ExitCode::SUCCESS;
    };
    let Ok(iterations) = iterations.parse() else { return ExitCode::FAILURE };
    match name.as_str() {
        "parse" => parse(iterations),
        "match" => matching(iterations),
        "deliver" => deliver(iterations),
        "permission" => permission(iterations),
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}
