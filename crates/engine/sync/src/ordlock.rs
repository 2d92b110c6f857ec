//! Locks that know their place.
//!
//! The rank is a constant parameter of the lock's type. In debug builds every thread keeps the ranks it holds; taking
//! one that is not above all of them panics, whether or not another thread was there to make it a deadlock.

use std::ops::{Deref, DerefMut};

#[cfg(not(feature = "shuttle"))]
mod prim {
    pub(super) type Mutex<T> = parking_lot::Mutex<T>;
    pub(super) type MutexGuard<'a, T> = parking_lot::MutexGuard<'a, T>;
    pub(super) type RwLock<T> = parking_lot::RwLock<T>;
    pub(super) type ReadGuard<'a, T> = parking_lot::RwLockReadGuard<'a, T>;
    pub(super) type WriteGuard<'a, T> = parking_lot::RwLockWriteGuard<'a, T>;

    #[inline]
    pub(super) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
        m.lock()
    }
    #[inline]
    pub(super) fn read<T>(m: &RwLock<T>) -> ReadGuard<'_, T> {
        m.read()
    }
    #[inline]
    pub(super) fn write<T>(m: &RwLock<T>) -> WriteGuard<'_, T> {
        m.write()
    }
}

#[cfg(feature = "shuttle")]
mod prim {
    pub(super) type Mutex<T> = shuttle::sync::Mutex<T>;
    pub(super) type MutexGuard<'a, T> = shuttle::sync::MutexGuard<'a, T>;
    pub(super) type RwLock<T> = shuttle::sync::RwLock<T>;
    pub(super) type ReadGuard<'a, T> = shuttle::sync::RwLockReadGuard<'a, T>;
    pub(super) type WriteGuard<'a, T> = shuttle::sync::RwLockWriteGuard<'a, T>;

    pub(super) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
        m.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
    pub(super) fn read<T>(m: &RwLock<T>) -> ReadGuard<'_, T> {
        m.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
    pub(super) fn write<T>(m: &RwLock<T>) -> WriteGuard<'_, T> {
        m.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Which ranks this thread holds; empty in release builds.
mod held {
    #[cfg(all(debug_assertions, not(feature = "shuttle")))]
    use std::cell::RefCell;

    #[cfg(all(debug_assertions, not(feature = "shuttle")))]
    thread_local! {
        static RANKS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    /// Proof that a rank was entered; leaving is its drop.
    #[derive(Debug)]
    pub(super) struct Held<const RANK: u8>(());

    impl<const RANK: u8> Held<RANK> {
        #[inline]
        pub(super) fn enter() -> Self {
            #[cfg(all(debug_assertions, not(feature = "shuttle")))]
            RANKS.with_borrow_mut(|ranks| {
                if let Some(top) = ranks.iter().max() {
                    assert!(*top < RANK, "lock of rank {RANK} taken while rank {top} is held");
                }
                ranks.push(RANK);
            });
            Held(())
        }
    }

    #[cfg(all(debug_assertions, not(feature = "shuttle")))]
    impl<const RANK: u8> Drop for Held<RANK> {
        fn drop(&mut self) {
            RANKS.with_borrow_mut(|ranks| {
                if let Some(at) = ranks.iter().rposition(|&r| r == RANK) {
                    ranks.remove(at);
                }
            });
        }
    }
}

/// A mutex of rank `RANK`.
#[derive(Debug, Default)]
pub struct Mutex<const RANK: u8, T>(prim::Mutex<T>);

/// Holds a [`Mutex`].
#[derive(Debug)]
pub struct MutexGuard<'a, const RANK: u8, T> {
    guard: prim::MutexGuard<'a, T>,
    _held: held::Held<RANK>,
}

impl<const RANK: u8, T> Mutex<RANK, T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Mutex(prim::Mutex::new(value))
    }

    /// Waits for the lock. Panics in debug builds when the thread holds this rank or a higher one.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, RANK, T> {
        let held = held::Held::enter();
        MutexGuard { guard: prim::lock(&self.0), _held: held }
    }
}

impl<const RANK: u8, T> Deref for MutexGuard<'_, RANK, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<const RANK: u8, T> DerefMut for MutexGuard<'_, RANK, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// A read-write lock of rank `RANK`.
#[derive(Debug, Default)]
pub struct RwLock<const RANK: u8, T>(prim::RwLock<T>);

/// Holds a [`RwLock`] for reading.
#[derive(Debug)]
pub struct ReadGuard<'a, const RANK: u8, T> {
    guard: prim::ReadGuard<'a, T>,
    _held: held::Held<RANK>,
}

/// Holds a [`RwLock`] for writing.
#[derive(Debug)]
pub struct WriteGuard<'a, const RANK: u8, T> {
    guard: prim::WriteGuard<'a, T>,
    _held: held::Held<RANK>,
}

impl<const RANK: u8, T> RwLock<RANK, T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        RwLock(prim::RwLock::new(value))
    }

    /// Waits for shared access, under the same rank rule as [`Mutex::lock`].
    #[inline]
    pub fn read(&self) -> ReadGuard<'_, RANK, T> {
        let held = held::Held::enter();
        ReadGuard { guard: prim::read(&self.0), _held: held }
    }

    /// Waits for exclusive access, under the same rank rule as [`Mutex::lock`].
    #[inline]
    pub fn write(&self) -> WriteGuard<'_, RANK, T> {
        let held = held::Held::enter();
        WriteGuard { guard: prim::write(&self.0), _held: held }
    }
}

impl<const RANK: u8, T> Deref for ReadGuard<'_, RANK, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<const RANK: u8, T> Deref for WriteGuard<'_, RANK, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<const RANK: u8, T> DerefMut for WriteGuard<'_, RANK, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;
    use crate::rank;

    #[test]
    fn ranks_rise() {
        let registry = Mutex::<{ rank::REGISTRY }, _>::new(1);
        let queue = Mutex::<{ rank::OUTBOUND }, _>::new(2);
        {
            let a = registry.lock();
            let b = queue.lock();
            assert_eq!(*a + *b, 3);
        }
        let _again = registry.lock();
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "lock of rank 20 taken while rank 40 is held")]
    fn a_falling_rank_panics() {
        let registry = RwLock::<{ rank::REGISTRY }, _>::new(1);
        let queue = Mutex::<{ rank::OUTBOUND }, _>::new(2);
        let _b = queue.lock();
        let _a = registry.read();
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "lock of rank 40 taken while rank 40 is held")]
    fn two_queues_at_once_panic() {
        let (one, two) = (Mutex::<{ rank::OUTBOUND }, _>::new(1), Mutex::<{ rank::OUTBOUND }, _>::new(2));
        let _a = one.lock();
        let _b = two.lock();
    }
}
