//! Settings of the broker, declared as documented types by the crates that own them.
//!
//! - `macros`: [`settings!`] declares a section, [`choice!`] an enum of names, [`kinds!`] a section
//!   that comes in several kinds, [`setting!`] makes an own type usable as a field.
//! - `field`: [`Field`], what a struct's field can be (a value, a section, named sections, a list),
//!   and [`Setting`], one value. `setting` implements it for plain types, and `size`, `duration`,
//!   `bind` and `secret` for what TOML has no type for.
//! - `value`: a TOML value that remembers where it was written.
//! - `source`: the file, the environment and the command line become one tree of values.
//! - `kind`: what sections that come in kinds are read with.
//! - `load`: the tree becomes a root section; `reader` walks it and collects every [`Mistake`].
//! - `shape`: the types described for a reader; `document` writes the reference page, the example
//!   file and the effective configuration from it.
//!
//! It knows no section of the broker, opens no socket and logs nothing. Parsing TOML is the work of
//! the crate `toml`.

mod bind;
mod document;
mod duration;
mod field;
mod kind;
mod load;
mod macros;
mod mistake;
mod reader;
mod secret;
mod section;
mod setting;
mod shape;
mod size;
mod source;
mod value;

pub use bind::Bind;
pub use document::{example, reference, to_toml};
pub use duration::{Millis, Seconds};
pub use field::{Field, Setting, Unfit};
pub use load::load;
pub use mistake::{Mistake, Origin};
pub use reader::{Check, Reader, TableReader};
pub use secret::Secret;
pub use section::{Bounded, Limits, Section};
pub use shape::{FieldDoc, Shape, Tree};
pub use size::Size;
pub use source::Sources;
pub use value::{Data, Table, Value};

#[cfg(test)]
mod tests;

/// What the macros need.
#[doc(hidden)]
pub mod __private {
    pub use crate::kind::{kind_of, read_kind};
    pub use crate::reader::plain;
    pub use crate::section::{limits, merge, shape, validate};
    pub use crate::setting::no_choice;
}
