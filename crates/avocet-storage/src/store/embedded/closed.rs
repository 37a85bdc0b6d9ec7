//! Whether a store was closed in order: then it knows all that was done. A file says so, which is
//! taken away before anything else is done.

use crate::disk::Disk;

const NAME: &str = "closed";

/// Whether it was; from now on it is not. If the disk cannot be written to, it still is.
pub(super) fn take(disk: &dyn Disk) -> bool {
    let was_closed = disk.remove(NAME).is_ok()
        || disk.names().is_ok_and(|names| names.iter().any(|name| name == NAME));
    if was_closed {
        // If it comes back with a power cut, so little was done that nothing was synced.
        drop(disk.sync());
    }
    was_closed
}

/// All that was done is stored.
pub(super) fn leave(disk: &dyn Disk) {
    // Without it more is thought to be unknown than is.
    drop(disk.create(NAME).and_then(|_| disk.sync()));
}
