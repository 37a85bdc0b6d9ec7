//! What outlives the process.
//!
//! - [`disk`]: as little of a file system as a log needs; a folder, or a disk in memory that loses,
//!   tears and refuses writes;
//! - [`log`]: records one behind the other, committed in groups; what makes a promise keep.

pub mod disk;
pub mod log;
