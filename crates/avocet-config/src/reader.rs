//! The walk through the values of the sources, which collects every mistake.

use crate::field::{Field, Setting, Unfit};
use crate::mistake::{Mistake, Origin};
use crate::section::{Bounded, Limits, limits};
use crate::value::{Table, Value, quote_key};

/// Collects mistakes, and knows at which key it is.
#[derive(Debug)]
pub struct Reader {
    path: Vec<String>,
    mistakes: Vec<Mistake>,
    /// The sections of the root.
    sections: Vec<&'static str>,
    /// The origin of what no source wrote: the file, if there is one.
    fallback: Origin,
}

impl Reader {
    pub(crate) fn new(sections: Vec<&'static str>, fallback: Origin) -> Self {
        Self { path: Vec::new(), mistakes: Vec::new(), sections, fallback }
    }

    pub(crate) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes
    }

    /// Says that `value`, which stands at this key, is refused.
    pub fn unfit(&mut self, value: &Value, unfit: Unfit, accepted: Option<String>) {
        self.push(value.origin.clone(), unfit.0, accepted);
    }

    /// Reads a value; a mistake is noted.
    pub fn setting<T: Setting>(&mut self, value: &Value) -> Option<T> {
        match T::read(value) {
            Ok(read) => Some(read),
            Err(unfit) => {
                self.unfit(value, unfit, Some(T::accepted()));
                None
            }
        }
    }

    /// Works on what stands under `key`.
    pub(crate) fn inside<R>(&mut self, key: &str, work: impl FnOnce(&mut Self) -> R) -> R {
        let separator = if self.path.is_empty() { "" } else { "." };
        self.path.push(format!("{separator}{}", quote_key(key)));
        let result = work(self);
        self.path.pop();
        result
    }

    /// Works on an element of the list at this key.
    pub(crate) fn element<R>(&mut self, index: usize, work: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(format!("[{index}]"));
        let result = work(self);
        self.path.pop();
        result
    }

    /// Reads what stands under `key`, first what weaker sources say about it, for their mistakes.
    pub(crate) fn entry(
        &mut self,
        key: &str,
        value: &Value,
        mut read: impl FnMut(&Value, &mut Self),
    ) {
        self.inside(key, |reader| {
            for weaker in &value.shadowed {
                read(weaker, reader);
            }
            read(value, reader);
        });
    }

    /// Reads a table of known keys. What `read` does not ask for is unknown.
    pub fn table(&mut self, value: &Value, read: impl FnOnce(&mut TableReader<'_>)) {
        let Some(table) = value.table() else {
            self.unfit(value, Unfit::found(value), Some("a table".to_owned()));
            return;
        };
        let mut reader = TableReader {
            reader: self,
            table,
            known: Vec::new(),
            unbuilt: Vec::new(),
            absent: &[],
        };
        read(&mut reader);
        reader.refuse_unknown();
    }

    fn push(&mut self, origin: Origin, message: String, accepted: Option<String>) {
        self.mistakes.push(Mistake { origin, key: self.path.concat(), message, accepted });
    }
}

/// Reads one table, and remembers which keys are known in it.
#[derive(Debug)]
pub struct TableReader<'a> {
    reader: &'a mut Reader,
    table: &'a Table,
    known: Vec<&'static str>,
    unbuilt: Vec<(&'static str, &'static str)>,
    absent: &'static [(&'static str, &'static str)],
}

impl TableReader<'_> {
    /// Reads a field over what it was.
    pub fn field<T: Field>(&mut self, name: &'static str, field: &mut T) {
        let name = plain(name);
        self.known.push(name);
        if let Some(value) = self.table.get(name) {
            self.reader.entry(name, value, |value, reader| field.update(value, reader));
        }
    }

    /// Reads a field over what it was, if the new value is within the limits.
    pub fn field_within<T, U>(&mut self, name: &'static str, field: &mut T, range: &impl Limits<U>)
    where
        T: Field + Bounded<U>,
        U: Setting + PartialOrd,
    {
        let name = plain(name);
        self.known.push(name);
        let Some(value) = self.table.get(name) else { return };
        let accepted = limits::<T, U>(T::shape(), range).accepted();
        self.reader.entry(name, value, |value, reader| {
            let before = reader.mistakes.len();
            match T::read(value, reader) {
                Some(read) => match read.outside(range) {
                    None => *field = read,
                    Some(outside) => {
                        let message = format!("{} is out of range", outside.write());
                        reader.unfit(value, Unfit(message), accepted.clone());
                    }
                },
                // What the type accepts is wider than what the field does.
                None => reader.mistakes[before..]
                    .iter_mut()
                    .for_each(|mistake| mistake.accepted.clone_from(&accepted)),
            }
        });
    }

    /// A field that this build does not have, for want of a feature.
    pub fn unbuilt(&mut self, name: &'static str, feature: &'static str) {
        self.unbuilt.push((plain(name), feature));
    }

    /// Keys of what Avocet has room for but this executable has no code for: each with the name of
    /// the thing.
    pub fn absent(&mut self, absent: &'static [(&'static str, &'static str)]) {
        self.absent = absent;
    }

    /// A key that is read by somebody else.
    pub fn known(&mut self, name: &'static str) {
        self.known.push(name);
    }

    fn refuse_unknown(self) {
        let Self { reader, table, known, unbuilt, absent } = self;
        for (key, value) in table {
            if known.contains(&key.as_str()) {
                continue;
            }
            if let Some((_, thing)) = absent.iter().find(|(name, _)| name == key) {
                let message = format!("{thing} is not built into this executable");
                reader.inside(key, |reader| reader.push(value.origin.clone(), message, None));
                continue;
            }
            let (message, accepted) = match unbuilt.iter().find(|(name, _)| name == key) {
                Some((_, feature)) => (
                    format!(
                        "this build has no feature {feature:?}; build with --features {feature}"
                    ),
                    None,
                ),
                None if reader.sections.contains(&key.as_str()) => (
                    format!("{key:?} does not belong here; write it above the first [section]"),
                    None,
                ),
                None => unknown(key, &known, &unbuilt),
            };
            reader.inside(key, |reader| reader.push(value.origin.clone(), message, accepted));
        }
    }
}

/// A section that was read, under the eyes of its own check.
#[derive(Debug)]
pub struct Check<'a> {
    value: Option<&'a Value>,
    reader: &'a mut Reader,
}

impl<'a> Check<'a> {
    pub(crate) fn new(value: Option<&'a Value>, reader: &'a mut Reader) -> Self {
        Self { value, reader }
    }

    /// Says that what `key` of this section holds is wrong, or that it is missing: the line is the
    /// key's, or the section's where the key is not set. A key that is wrong already is not
    /// complained of a second time: what stands in its field is not what was written.
    pub fn mistake(&mut self, key: &str, message: impl Into<String>) {
        if self.is_wrong(key) {
            return;
        }
        let origin = self.origin(key);
        let message = message.into();
        self.reader.inside(key, |reader| reader.push(origin, message, None));
    }

    /// Whether a source sets `key` of this section.
    pub fn is_set(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    #[doc(hidden)]
    pub fn field<T: Field>(&mut self, name: &'static str, field: &T) {
        let name = plain(name);
        let value = self.entry(name);
        self.reader.inside(name, |reader| field.validate(value, reader));
    }

    #[doc(hidden)]
    pub fn required<T: Field>(&mut self, name: &'static str) {
        let name = plain(name);
        if self.is_set(name) {
            return;
        }
        let origin = self.origin(name);
        self.reader.inside(name, |reader| {
            reader.push(origin, "missing".to_owned(), T::shape().accepted());
        });
    }

    /// Whether `key` of this section, or something inside it, was found to be wrong. A check that
    /// compares two keys asks this of the one it does not complain of.
    pub fn is_wrong(&mut self, key: &str) -> bool {
        self.reader.inside(key, |reader| {
            let path = reader.path.concat();
            reader.mistakes.iter().any(|mistake| {
                mistake
                    .key
                    .strip_prefix(&path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            })
        })
    }

    fn entry(&self, key: &str) -> Option<&'a Value> {
        self.value.and_then(Value::table).and_then(|table| table.get(key))
    }

    fn origin(&self, key: &str) -> Origin {
        self.entry(key)
            .or(self.value)
            .map_or_else(|| self.reader.fallback.clone(), |value| value.origin.clone())
    }
}

/// The name of a field: `r#type` is written `type`.
pub fn plain(name: &'static str) -> &'static str {
    name.strip_prefix("r#").unwrap_or(name)
}

/// What to say about an unknown key.
fn unknown(
    key: &str,
    known: &[&'static str],
    unbuilt: &[(&'static str, &'static str)],
) -> (String, Option<String>) {
    let names = known.iter().copied().chain(unbuilt.iter().map(|(name, _)| *name));
    match nearest(key, names.clone()) {
        Some(name) => (format!("unknown key; did you mean {name:?}?"), None),
        None => {
            let mut names: Vec<&str> = names.collect();
            names.sort_unstable();
            ("unknown key".to_owned(), Some(names.join(", ")))
        }
    }
}

/// The name that was probably meant.
pub(crate) fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    names
        .map(|name| (strsim::damerau_levenshtein(&word, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).clamp(1, 4))
        .min()
        .map(|(_, name)| name)
}
