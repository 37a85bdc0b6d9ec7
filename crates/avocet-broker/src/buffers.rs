//! Buffers that a thread keeps for the bytes of whichever connection has some to write.

use std::cell::RefCell;

/// What a buffer begins with; most turns of most connections fit.
const BYTES: usize = 4 * 1024;
/// Larger buffers are given back to the system.
const POOLED_BYTES_MAX: usize = 64 * 1024;
/// Buffers a thread keeps.
const POOLED_MAX: usize = 128;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room.
#[inline]
pub(crate) fn take() -> Vec<u8> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(BYTES))
}

/// A buffer that is not needed any more.
pub(crate) fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > POOLED_BYTES_MAX {
        return;
    }
    buffer.clear();
    POOL.with_borrow_mut(|pool| {
        if pool.len() < POOLED_MAX {
            pool.push(buffer);
        }
    });
}
