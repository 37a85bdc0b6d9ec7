//! What the threads of the write path meet at: the usual locks and atomics. Where a scheduler of
//! tests tries the interleavings (`simulation`), its own, with the same methods.

#[cfg(not(all(test, feature = "interleavings")))]
mod usual {
    pub(crate) use std::sync::{OnceLock, atomic::AtomicU8};

    pub(crate) use parking_lot::{Mutex, MutexGuard};
}

#[cfg(all(test, feature = "interleavings"))]
mod scheduled {
    use std::sync::{self, PoisonError, atomic::Ordering};

    use shuttle::sync::atomic::AtomicBool;
    pub(crate) use shuttle::sync::{MutexGuard, atomic::AtomicU8};

    /// A lock that a panic does not poison.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// The standard library's; the scheduler may let others run before each use.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        cell: sync::OnceLock<T>,
        turn: AtomicBool,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self { cell: sync::OnceLock::new(), turn: AtomicBool::new(false) }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.turn.load(Ordering::Acquire);
            self.cell.get()
        }

        pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
            self.turn.store(true, Ordering::Release);
            self.cell.get_or_init(init)
        }
    }
}

#[cfg(all(test, feature = "interleavings"))]
pub(crate) use scheduled::{AtomicU8, Mutex, MutexGuard, OnceLock};
#[cfg(not(all(test, feature = "interleavings")))]
pub(crate) use usual::{AtomicU8, Mutex, MutexGuard, OnceLock};
