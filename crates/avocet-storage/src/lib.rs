//! What outlives the process.
//!
//! - [`command`]: what is done to a store, and the bytes of its format;
//! - [`store`]: what every store promises, and the one that needs nothing but a disk;
//! - `conformance`: what every store does, as a suite of tests (feature `conformance`);
//! - [`inspect()`]: what lies on a disk, for people; [`backup()`]: copies it, file by file;
//! - [`log`]: records one behind the other, committed in groups; what makes a promise keep;
//! - [`disk`]: as little of a file system as a log needs; a folder, or a disk in memory that loses,
//!   tears and refuses writes.

mod backup;
pub mod command;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod disk;
mod inspect;
pub mod log;
pub mod store;

pub use self::{
    backup::backup,
    inspect::{Report, SegmentReport, inspect},
};
