//! What a field of a section can be, and how options, lists and named sections are built of it.

use std::collections::BTreeMap;

use crate::reader::Reader;
use crate::shape::{Shape, Tree};
use crate::value::{Data, Value};

/// One value: a number, a text, a duration.
///
/// Implement it for an own type and add `avocet_config::setting!(Type);` to make it a [`Field`].
pub trait Setting: Sized {
    /// Reads the value; the error says what is wrong with it.
    fn read(value: &Value) -> Result<Self, Unfit>;

    /// What is accepted, in words that follow "accepted: ".
    fn accepted() -> String;

    /// The value as it would be written in TOML.
    fn write(&self) -> String;

    /// What is accepted within limits, which are written as in TOML.
    fn accepted_within(low: Option<&str>, high: Option<&str>) -> String {
        let low = low.map(|low| format!("at least {low}"));
        let high = high.map(|high| format!("at most {high}"));
        let limits: Vec<String> = low.into_iter().chain(high).collect();
        [Self::accepted(), limits.join(" and ")].join(", ")
    }

    /// The names of a `choice!`, each with its documentation.
    fn choices() -> &'static [(&'static str, &'static str)] {
        &[]
    }
}

/// Why a value is refused, in words that follow its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit(pub String);

impl Unfit {
    /// The value is not of the accepted kind, and may be shown.
    pub fn found(value: &Value) -> Self {
        Self(format!("found {}", value.describe()))
    }

    /// The value is not of the accepted kind, and must not be shown.
    pub fn found_kind(value: &Value) -> Self {
        Self(format!("found {}", value.kind()))
    }
}

/// What a field of a section can be: a [`Setting`], a section, an option, a list, named sections.
pub trait Field: Sized {
    /// Reads a new one; `None` where the value cannot be used, which the reader was told.
    fn read(value: &Value, reader: &mut Reader) -> Option<Self>;

    /// Reads over this one. Keys that are not there keep what they were.
    fn update(&mut self, value: &Value, reader: &mut Reader) {
        if let Some(read) = Self::read(value, reader) {
            *self = read;
        }
    }

    /// Checks what was read as a whole; `value` is what the sources say, if anything.
    fn validate(&self, _value: Option<&Value>, _reader: &mut Reader) {}

    /// The description of the type.
    fn shape() -> Shape;

    /// What it holds, for printing.
    fn tree(&self) -> Tree;
}

impl<T: Field> Field for Option<T> {
    fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
        T::read(value, reader).map(Some)
    }

    fn update(&mut self, value: &Value, reader: &mut Reader) {
        match self {
            Some(inner) => inner.update(value, reader),
            None => *self = T::read(value, reader),
        }
    }

    fn validate(&self, value: Option<&Value>, reader: &mut Reader) {
        if let Some(inner) = self {
            inner.validate(value, reader);
        }
    }

    fn shape() -> Shape {
        let shape = T::shape();
        if shape.is_value() { shape } else { Shape::Optional(Box::new(shape)) }
    }

    fn tree(&self) -> Tree {
        self.as_ref().map_or(Tree::Absent, T::tree)
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
        let split;
        let items = match (&value.data, &value.raw) {
            (Data::List(items), _) => items,
            // Outside the file a list of texts needs neither brackets nor quotes.
            (_, Some(raw)) if T::shape().is_value() => {
                split = split_words(value, raw);
                &split
            }
            _ => {
                reader.unfit(value, Unfit::found(value), Self::shape().accepted());
                return None;
            }
        };
        let read = items
            .iter()
            .enumerate()
            .map(|(index, item)| reader.element(index, |reader| T::read(item, reader)));
        // Every element is read before one that failed ends it, so that all mistakes are found.
        let read: Vec<Option<T>> = read.collect();
        read.into_iter().collect()
    }

    fn validate(&self, value: Option<&Value>, reader: &mut Reader) {
        let items = match value.map(|value| &value.data) {
            Some(Data::List(items)) => items.as_slice(),
            _ => &[],
        };
        for (index, inner) in self.iter().enumerate() {
            reader.element(index, |reader| inner.validate(items.get(index), reader));
        }
    }

    fn shape() -> Shape {
        let shape = T::shape();
        if !shape.is_value() {
            return Shape::List(Box::new(shape));
        }
        let choices = shape.choices();
        let accepted = shape.accepted().unwrap_or_default();
        Shape::Value { accepted: format!("a list, each element {accepted}"), choices }
    }

    fn tree(&self) -> Tree {
        let items: Vec<Tree> = self.iter().map(T::tree).collect();
        if !T::shape().is_value() {
            return Tree::List(items);
        }
        let items: Vec<String> = items.into_iter().filter_map(Tree::into_value).collect();
        Tree::Value(format!("[{}]", items.join(", ")))
    }
}

impl<T: Field + Default> Field for BTreeMap<String, T> {
    fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
        let mut read = Self::new();
        read.update(value, reader);
        Some(read)
    }

    fn update(&mut self, value: &Value, reader: &mut Reader) {
        let Some(table) = value.table() else {
            reader.unfit(value, Unfit::found(value), Self::shape().accepted());
            return;
        };
        for (name, value) in table {
            let known = self.contains_key(name);
            // One that cannot be used is kept at its defaults: the load fails anyway.
            let entry = self.entry(name.clone()).or_default();
            reader.entry(name, value, |value, reader| entry.update(value, reader));
            if !known && name.is_empty() {
                reader.unfit(value, Unfit("the name is empty".to_owned()), None);
            }
        }
    }

    fn validate(&self, value: Option<&Value>, reader: &mut Reader) {
        let table = value.and_then(Value::table);
        for (name, inner) in self {
            let value = table.and_then(|table| table.get(name));
            reader.inside(name, |reader| inner.validate(value, reader));
        }
    }

    fn shape() -> Shape {
        Shape::Named { inner: Box::new(T::shape()), fresh: Box::new(T::default().tree()) }
    }

    fn tree(&self) -> Tree {
        Tree::Named(self.iter().map(|(name, inner)| (name.clone(), inner.tree())).collect())
    }
}

/// `a, b` as two texts, each still open to be read as what it looks like.
fn split_words(value: &Value, raw: &str) -> Vec<Value> {
    raw.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(|word| crate::source::bare(value.origin.clone(), word))
        .collect()
}
