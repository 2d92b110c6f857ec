//! Who has the committer in hand: its thread or, while that sleeps, whoever submits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;

use midge_store::port::DiskError;
use parking_lot::Mutex;

use crate::driver::{Driver, Next};
use crate::inbox::{Inbox, Taken};

/// See the module. Empty once the disk is over.
pub(crate) struct Seat(Mutex<Option<Driver>>);

impl Seat {
    pub(crate) fn new(driver: Driver) -> Seat {
        Seat(Mutex::new(Some(driver)))
    }

    /// The life of the thread.
    pub(crate) fn run(&self, inbox: &Inbox) {
        let reply = catch_unwind(AssertUnwindSafe(|| self.drive(inbox)));
        let Some(driver) = self.0.lock().take() else { return };
        match reply {
            Ok(reply) => driver.end(reply),
            Err(_) => panicked(driver),
        }
    }

    fn drive(&self, inbox: &Inbox) -> Option<SyncSender<Result<(), DiskError>>> {
        let mut taken = Taken::default();
        loop {
            // What is queued is taken with the committer in hand, so that nothing that is queued later comes before it.
            let next = self.0.lock().as_mut().map(|driver| driver.step(&mut taken));
            match next {
                Some(Next::Wait(until, spin)) => inbox.wait(until, spin),
                Some(Next::Over(reply)) => return reply,
                None => return None,
            }
        }
    }

    /// Has done, here and now, what is queued, if that is no more than writing; false when it is left to the thread. Does not wait.
    pub(crate) fn here(&self) -> bool {
        let Some(mut seat) = self.0.try_lock() else { return false };
        let Some(driver) = seat.as_mut() else { return true };
        match catch_unwind(AssertUnwindSafe(|| driver.here())) {
            Ok(done) => done,
            Err(_) => {
                seat.take().into_iter().for_each(panicked);
                true
            }
        }
    }
}

fn panicked(driver: Driver) {
    tracing::error!(blame = "us", "the thread of a disk panicked; its stores are closed");
    driver.fail();
}
