//! What the macros declare: sections, and the limits of their values.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};

use crate::field::Setting;
use crate::reader::{Check, Reader, TableReader};
use crate::shape::{FieldDoc, Shape, Tree};
use crate::value::Value;

/// A table of settings. [`settings!`](crate::settings) writes the implementation.
pub trait Section: Default {
    /// The doc comment.
    const DOC: &'static str;

    /// Its fields, for documentation.
    fn fields() -> Vec<FieldDoc>;

    /// Reads the fields over what they were.
    fn merge_fields(&mut self, table: &mut TableReader<'_>);

    /// Lets each field check itself, and says which are missing.
    fn validate_fields(&self, check: &mut Check<'_>);

    /// Checks what only shows when several fields are seen together.
    fn validate(&self, check: &mut Check<'_>);

    /// What the fields hold.
    fn entries(&self) -> Vec<(&'static str, Tree)>;
}

#[doc(hidden)]
pub fn merge<T: Section>(section: &mut T, value: &Value, reader: &mut Reader) {
    reader.table(value, |table| section.merge_fields(table));
}

#[doc(hidden)]
pub fn validate<T: Section>(section: &T, value: Option<&Value>, reader: &mut Reader) {
    let mut check = Check::new(value, reader);
    section.validate_fields(&mut check);
    // A key that could not be read would be complained of a second time.
    if check.is_clean() {
        section.validate(&mut check);
    }
}

#[doc(hidden)]
pub fn shape<T: Section>() -> Shape {
    Shape::Table { doc: T::DOC, fields: T::fields() }
}

/// A field whose value can be held within a range of `T`: a `T`, or an option of one.
pub trait Bounded<T> {
    /// The value outside the range, as it would be written.
    fn outside(&self, range: &dyn Within<T>) -> Option<String>;
}

/// Whether a value is in a range; a `RangeBounds` that can be pointed to.
pub trait Within<T> {
    fn holds(&self, value: &T) -> bool;
}

impl<T: PartialOrd, R: RangeBounds<T>> Within<T> for R {
    fn holds(&self, value: &T) -> bool {
        self.contains(value)
    }
}

impl<T: Setting> Bounded<T> for T {
    fn outside(&self, range: &dyn Within<T>) -> Option<String> {
        (!range.holds(self)).then(|| self.write())
    }
}

impl<T: Setting> Bounded<T> for Option<T> {
    fn outside(&self, range: &dyn Within<T>) -> Option<String> {
        self.as_ref().and_then(|value| value.outside(range))
    }
}

#[doc(hidden)]
pub fn limits<F, T, R>(shape: Shape, range: &R) -> Shape
where
    F: Bounded<T>,
    T: Setting + PartialOrd,
    R: RangeBounds<T> + Debug,
{
    let accepted = shape.accepted().unwrap_or_default();
    Shape::Value { accepted: format!("{accepted}, {}", limits_in_words(range)) }
}

fn limits_in_words<T: Setting>(range: &impl RangeBounds<T>) -> String {
    let low = match range.start_bound() {
        Bound::Included(low) => Some(format!("at least {}", low.write())),
        Bound::Excluded(low) => Some(format!("more than {}", low.write())),
        Bound::Unbounded => None,
    };
    let high = match range.end_bound() {
        Bound::Included(high) => Some(format!("at most {}", high.write())),
        Bound::Excluded(high) => Some(format!("less than {}", high.write())),
        Bound::Unbounded => None,
    };
    low.into_iter().chain(high).collect::<Vec<_>>().join(" and ")
}
