//! What the macros declare: sections, and the limits of their values.

use std::fmt::Debug;
use std::ops::{RangeFrom, RangeInclusive, RangeToInclusive};

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
    section.validate(&mut check);
}

#[doc(hidden)]
pub fn shape<T: Section>() -> Shape {
    Shape::Table { doc: T::DOC, fields: T::fields() }
}

/// A field whose value can be limited to a range of `T`: a `T`, or an option of one.
pub trait Bounded<T> {
    /// The value, if it is outside the limits.
    fn outside(&self, limits: &dyn Limits<T>) -> Option<&T>;
}

impl<T: Setting + PartialOrd> Bounded<T> for T {
    fn outside(&self, limits: &dyn Limits<T>) -> Option<&T> {
        let below = limits.low().is_some_and(|low| self < low);
        let above = limits.high().is_some_and(|high| self > high);
        (below || above).then_some(self)
    }
}

impl<T: Setting + PartialOrd> Bounded<T> for Option<T> {
    fn outside(&self, limits: &dyn Limits<T>) -> Option<&T> {
        self.as_ref().and_then(|value| value.outside(limits))
    }
}

/// A range as `, in RANGE` may give it; both its ends belong to it.
pub trait Limits<T>: Debug {
    fn low(&self) -> Option<&T>;
    fn high(&self) -> Option<&T>;
}

impl<T: Debug> Limits<T> for RangeInclusive<T> {
    fn low(&self) -> Option<&T> {
        Some(self.start())
    }

    fn high(&self) -> Option<&T> {
        Some(self.end())
    }
}

impl<T: Debug> Limits<T> for RangeFrom<T> {
    fn low(&self) -> Option<&T> {
        Some(&self.start)
    }

    fn high(&self) -> Option<&T> {
        None
    }
}

impl<T: Debug> Limits<T> for RangeToInclusive<T> {
    fn low(&self) -> Option<&T> {
        None
    }

    fn high(&self) -> Option<&T> {
        Some(&self.end)
    }
}

/// The shape of a field whose values are limited.
#[doc(hidden)]
pub fn limits<F: Bounded<T>, T: Setting + PartialOrd>(
    shape: Shape,
    limits: &impl Limits<T>,
) -> Shape {
    let [low, high] = [limits.low(), limits.high()].map(|end| end.map(T::write));
    let accepted = T::accepted_within(low.as_deref(), high.as_deref());
    Shape::Value { accepted, choices: shape.choices() }
}
