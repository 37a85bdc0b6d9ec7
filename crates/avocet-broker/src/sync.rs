//! What the threads of the write path meet at: the usual locks and atomics. Where a scheduler of
//! tests tries the interleavings (`simulation`), its own, with the same methods.

#[cfg(not(all(test, feature = "interleavings")))]
mod usual {
    pub(crate) use std::sync::atomic::AtomicU8;

    pub(crate) use parking_lot::{Mutex, MutexGuard};
}

#[cfg(all(test, feature = "interleavings"))]
mod scheduled {
    use std::sync::PoisonError;

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
}

#[cfg(all(test, feature = "interleavings"))]
pub(crate) use scheduled::{AtomicU8, Mutex, MutexGuard};
#[cfg(not(all(test, feature = "interleavings")))]
pub(crate) use usual::{AtomicU8, Mutex, MutexGuard};
