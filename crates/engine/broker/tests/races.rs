//! What two shards can race on, explored by shuttle: every test runs under thousands of thread schedules. Each has a
//! variant that is broken on purpose, which shuttle has to catch; otherwise the test proves nothing.
//!
//! `cargo test -p midge-broker --features shuttle --test races`

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use midge_broker::account::{Account, AccountLimits};
use midge_broker::batch::Batch;
use midge_broker::outbound::{Pool, Taken};
use midge_broker::peer::{Flush, Peer};
use midge_broker::routing::{self, Origin};
use midge_broker::subscription::{Subscription, Target};
use midge_index::sublist::Matched;
use midge_stdx::clock::Now;
use midge_sync::mailbox::{Mailbox, Sent};
use midge_wire::parse::{Op, Parser, Publish, Rules, Step};
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shuttle::thread;

/// Schedules tried for what has to hold, and at most until a broken variant is caught.
const SCHEDULES: usize = 2_000;

fn holds(test: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(test, SCHEDULES);
}

fn is_caught(test: impl Fn() + Send + Sync + 'static) {
    let outcome = catch_unwind(AssertUnwindSafe(|| shuttle::check_random(test, SCHEDULES)));
    assert!(outcome.is_err(), "{SCHEDULES} schedules did not show the defect");
}

fn peer(cid: u64) -> Arc<Peer> {
    Arc::new(Peer::new(cid, None, Now::default(), 0, 1 << 20))
}

fn account() -> Arc<Account> {
    Arc::new(Account::new(1, "A", false, AccountLimits::default(), 2))
}

/// A socket that takes a few bytes at a time and refuses now and then; it remembers what it took.
#[derive(Default)]
struct Socket {
    taken: Mutex<Vec<u8>>,
    /// How often its owner was asked to go on.
    wakes: AtomicUsize,
}

/// Writes as the edge does. With `looks_again` false, the flag is laid down without looking for new bytes.
fn flush(peer: &Peer, socket: &Socket, pool: &mut Pool, looks_again: bool) {
    use shuttle::rand::Rng as _;
    let mut taken = peer.queue().take();
    while let Taken::Flight(mut flight) = taken {
        let n = flight.front().len().min(5);
        if shuttle::rand::thread_rng().gen_range(0..4u32) == 0 {
            peer.queue().done(flight, 0, false, pool);
            socket.wakes.fetch_add(1, Ordering::SeqCst);
            return;
        }
        socket.taken.lock().unwrap().extend_from_slice(&flight.front()[..n]);
        flight.advance(n, pool);
        let more = looks_again || !flight.is_empty();
        taken = peer.queue().done(flight, n, more, pool);
    }
}

/// Two shards append to one queue and flush it; at the end the owner writes on when it was woken.
fn two_shards_write_one_queue(looks_again: bool) {
    let (peer, socket) = (peer(1), Arc::new(Socket::default()));
    let threads: Vec<_> = [b'a', b'b']
        .into_iter()
        .map(|letter| {
            let (peer, socket) = (peer.clone(), socket.clone());
            thread::spawn(move || {
                let mut pool = Pool::default();
                for n in 0..3u8 {
                    peer.queue().push(&mut pool, &[letter, b'0' + n, b' ']);
                    flush(&peer, &socket, &mut pool, looks_again);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let mut pool = Pool::default();
    while socket.wakes.swap(0, Ordering::SeqCst) > 0 {
        flush(&peer, &socket, &mut pool, true);
    }
    let taken = socket.taken.lock().unwrap();
    let text = String::from_utf8_lossy(&taken);
    for letter in ["a", "b"] {
        let own: Vec<&str> = text.split_whitespace().filter(|word| word.starts_with(letter)).collect();
        assert_eq!(own, [format!("{letter}0"), format!("{letter}1"), format!("{letter}2")], "{text}");
    }
    assert_eq!(peer.queue().pending(), 0);
}

#[test]
fn queues_lose_reorder_and_strand_nothing() {
    holds(|| two_shards_write_one_queue(true));
}

#[test]
fn a_flusher_that_does_not_look_again_is_caught() {
    is_caught(|| two_shards_write_one_queue(false));
}

#[test]
fn a_queue_closed_while_it_is_written_ends_clean() {
    holds(|| {
        let (peer, socket) = (peer(1), Arc::new(Socket::default()));
        peer.queue().push(&mut Pool::default(), b"some bytes that take a while");
        let (closing, writing) = (peer.clone(), (peer.clone(), socket));
        let close = thread::spawn(move || closing.close(midge_broker::reason::Reason::WriteError));
        let write = thread::spawn(move || flush(&writing.0, &writing.1, &mut Pool::default(), true));
        assert!(close.join().unwrap());
        write.join().unwrap();
        assert_eq!(peer.queue().pending(), 0);
        assert!(matches!(peer.queue().take(), Taken::Empty));
    });
}

fn subscription(peer: &Arc<Peer>, subject: &str) -> Arc<Subscription> {
    let target = Target::Peer(peer.clone());
    Arc::new(Subscription::new(target, subject.as_bytes(), None, b"1", false))
}

/// A publisher remembers a route under a stamp, a subscriber comes; once the subscriber is answered, the publisher must not
/// use the old route. With `under_the_lock` false, the stamp is read after the match instead of with it.
fn routes_notice_subscribers(under_the_lock: bool) {
    let account = account();
    let answered = Arc::new(AtomicBool::new(false));
    let (theirs, done) = (account.clone(), answered.clone());
    let subscriber = thread::spawn(move || {
        theirs.insert(subscription(&peer(7), "foo.*")).unwrap();
        done.store(true, Ordering::SeqCst);
    });
    let mut matched = Matched::default();
    let mut stamp = account.matching(b"foo.bar", &mut matched);
    if !under_the_lock {
        thread::yield_now();
        stamp = account.stamp(b"foo.bar");
    }
    if answered.load(Ordering::SeqCst) && account.stamp(b"foo.bar") == stamp {
        assert_eq!(matched.plain.len(), 1, "an old route was used for a new subscription");
    }
    subscriber.join().unwrap();
    assert!(account.stamp(b"foo.bar") != stamp || matched.plain.len() == 1);
}

#[test]
fn remembered_routes_notice_new_subscriptions() {
    holds(|| routes_notice_subscribers(true));
}

#[test]
fn a_stamp_read_after_the_match_is_caught() {
    is_caught(|| routes_notice_subscribers(false));
}

/// Subscriptions are put in the place of others while somebody publishes: it is the ones or the others that are found.
fn routes_find_the_old_or_the_new(at_once: bool) {
    let (account, owner) = (account(), peer(1));
    let old = subscription(&owner, "s.*");
    account.insert(old.clone()).unwrap();
    let replacing = {
        let (account, new) = (account.clone(), subscription(&owner, "s.>"));
        thread::spawn(move || {
            if at_once {
                assert_eq!(account.replace(&[old], vec![new]).len(), 1);
            } else {
                account.remove(&old);
                account.insert(new).unwrap();
            }
        })
    };
    for _ in 0..3 {
        let mut matched = Matched::default();
        account.matching(b"s.a", &mut matched);
        assert_eq!(matched.plain.len(), 1);
    }
    replacing.join().unwrap();
}

#[test]
fn replaced_subscriptions_are_found_before_or_after() {
    holds(|| routes_find_the_old_or_the_new(true));
}

#[test]
fn replacing_in_two_steps_is_caught() {
    is_caught(|| routes_find_the_old_or_the_new(false));
}

fn message() -> Publish<'static> {
    let rules = Rules { max_control_line: 100, max_payload: 100, headers: true };
    match Parser::default().next(b"PUB foo 2\r\nok\r\n", &rules) {
        Step::Op(Op::Publish(publish), _) => publish,
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_publishers_never_exceed_a_maximum() {
    holds(|| {
        let (account, receiver) = (account(), peer(1));
        let sub = subscription(&receiver, "foo");
        sub.limit(3);
        account.insert(sub).unwrap();
        receiver.subscriptions.fetch_add(1, midge_sync::atomic::Ordering::SeqCst);
        let publishers: Vec<_> = (0..2)
            .map(|shard| {
                let account = account.clone();
                thread::spawn(move || {
                    let own = peer(10 + shard as u64);
                    let mut batch = Batch::new(shard, 1);
                    for _ in 0..2 {
                        batch.begin(Now::default());
                        let origin = Origin {
                            peer: &own,
                            account: &account,
                            echo: true,
                            no_responders: false,
                            drop_for_slow: false,
                            trace: None,
                        };
                        routing::publish(&mut batch, &origin, &[message()], None);
                    }
                })
            })
            .collect();
        for publisher in publishers {
            publisher.join().unwrap();
        }
        assert_eq!(receiver.queue().out_msgs, 3);
        assert_eq!(receiver.take_ended().len(), 1, "it ends once");
        assert_eq!(account.index_counts().0, 0);
        assert_eq!(receiver.subscriptions.load(midge_sync::atomic::Ordering::SeqCst), 0);
    });
}

#[test]
fn counting_without_the_queue_lock_is_caught() {
    is_caught(|| {
        let sub = subscription(&peer(1), "foo");
        sub.limit(1);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let sub = sub.clone();
                thread::spawn(move || sub.claim(1))
            })
            .collect();
        let claimed: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(claimed, 1);
    });
}

/// Notes that it was woken.
struct Woken(Arc<AtomicBool>);

impl Flush for Woken {
    fn flush(&self, _: &Arc<Peer>, _: &mut Pool, _: usize, _: bool, _: Now) {}
    fn wake(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A publisher that is held back is woken when the consumer drains. With `released` false the consumer forgets to.
fn held_publishers_are_woken(released: bool) {
    let (publisher, consumer) = (peer(1), peer(2));
    let woken = Arc::new(AtomicBool::new(false));
    publisher.attach(Box::new(Woken(woken.clone())));
    consumer.queue().push(&mut Pool::default(), &[b'x'; 100]);
    let draining = consumer.clone();
    let consumer_thread = thread::spawn(move || {
        let mut pool = Pool::default();
        let taken = draining.queue().take();
        if let Taken::Flight(mut flight) = taken {
            let n = flight.len();
            flight.advance(n, &mut pool);
            draining.queue().done(flight, n, true, &mut pool);
        }
        if released {
            draining.release_publishers();
        }
    });
    let held = consumer.hold_back(&publisher, 50);
    consumer_thread.join().unwrap();
    assert!(!held || woken.load(Ordering::SeqCst), "held, and nobody wakes it");
}

#[test]
fn held_back_publishers_are_woken() {
    holds(|| held_publishers_are_woken(true));
}

#[test]
fn a_consumer_that_releases_nobody_is_caught() {
    is_caught(|| held_publishers_are_woken(false));
}

/// Two senders and an owner that sleeps unless it was woken. With `honest` false the owner sleeps without having drained
/// what came since.
fn mailboxes_lose_no_wake(honest: bool) {
    let mailbox = Arc::new(Mailbox::new(16));
    let wakes = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..2u32)
        .map(|id| {
            let (mailbox, wakes) = (mailbox.clone(), wakes.clone());
            thread::spawn(move || {
                for n in 0..2 {
                    if mailbox.send(id * 10 + n) == Sent::Wake {
                        wakes.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    let mut got = Vec::new();
    let mut take = || {
        while wakes.swap(0, Ordering::SeqCst) > 0 {
            mailbox.drain(&mut got);
        }
    };
    take();
    if !honest {
        // A wake that is thrown away.
        wakes.store(0, Ordering::SeqCst);
    }
    for sender in senders {
        sender.join().unwrap();
    }
    take();
    got.sort_unstable();
    assert_eq!(got, [0, 1, 10, 11]);
}

#[test]
fn mailboxes_wake_their_owner() {
    holds(|| mailboxes_lose_no_wake(true));
}

#[test]
fn a_wake_thrown_away_is_caught() {
    is_caught(|| mailboxes_lose_no_wake(false));
}
