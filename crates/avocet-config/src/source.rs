//! The file, the environment and the command line, which become one tree of values.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::mistake::{Mistake, Origin};
use crate::value::{Data, Table, Value};

/// What every variable that sets something begins with.
const PREFIX: &str = "AVOCET__";

/// Where settings come from; the later field wins over the earlier.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    file: Option<File>,
    environment: Vec<(String, String)>,
    set: Vec<String>,
}

#[derive(Debug, Clone)]
enum File {
    Path(PathBuf),
    Text { name: String, text: String },
}

impl Sources {
    /// Nothing: the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A file, which has to be there.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(File::Path(path.into()));
        self
    }

    /// The text of a file, and how to call it in mistakes.
    #[must_use]
    pub fn with_text(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.file = Some(File::Text { name: name.into(), text: text.into() });
        self
    }

    /// Environment variables; those that do not begin with `AVOCET__` are passed over.
    #[must_use]
    pub fn with_environment(
        mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let ours = variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX));
        self.environment.extend(ours);
        // The system's order is not the same everywhere.
        self.environment.sort();
        self
    }

    /// The variables of this process.
    #[must_use]
    pub fn with_process_environment(self) -> Self {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        self.with_environment(variables)
    }

    /// `KEY=VALUE` words of the command line, the later winning.
    #[must_use]
    pub fn with_set(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.set.extend(words.into_iter().map(Into::into));
        self
    }

    /// All sources laid over each other.
    pub(crate) fn join(&self) -> Joined {
        let mut joined = Joined::new();
        match &self.file {
            None => {}
            Some(File::Text { name, text }) => joined.read_file(name, text),
            Some(File::Path(path)) => {
                let name = path.display().to_string();
                match std::fs::read_to_string(path) {
                    Ok(text) => joined.read_file(&name, &text),
                    Err(error) => {
                        joined.fallback = Origin::File { name: name.into(), line: 0 };
                        let message = format!("cannot be read: {error}");
                        joined.mistake(joined.fallback.clone(), "", message);
                    }
                }
            }
        }
        for (name, value) in &self.environment {
            joined.read_variable(name, value);
        }
        for word in &self.set {
            joined.read_word(word);
        }
        joined
    }
}

/// The sources, joined.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) value: Value,
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) fallback: Origin,
    /// The lines that are no TOML; what is read from the first on cannot be trusted.
    pub(crate) broken: BTreeSet<usize>,
}

impl Joined {
    fn new() -> Self {
        Self {
            value: Value::new(Origin::Default, Data::Table(Table::new())),
            mistakes: Vec::new(),
            fallback: Origin::Default,
            broken: BTreeSet::new(),
        }
    }

    fn mistake(&mut self, origin: Origin, key: &str, message: String) {
        self.mistakes.push(Mistake { origin, key: key.to_owned(), message, accepted: None });
    }

    fn read_file(&mut self, name: &str, text: &str) {
        let name: Arc<str> = name.into();
        let starts = line_starts(text);
        let line = |offset: usize| starts.partition_point(|start| *start <= offset);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or_default();
            let line = line(span.start);
            let origin = Origin::File { name: Arc::clone(&name), line };
            if error.message() == "duplicate key" {
                let end = starts.get(line).copied().unwrap_or(text.len());
                let key = text.get(span).unwrap_or_default();
                let key = duplicate(text.get(..end).unwrap_or_default(), key);
                self.mistake(origin, &key, "set a second time".to_owned());
            } else if self.broken.insert(line) {
                // One mistake a line: what follows on the same line follows from it.
                self.mistake(origin, "", format!("not TOML: {}", error.message()));
            }
        }
        let origin = |offset| Origin::File { name: Arc::clone(&name), line: line(offset) };
        let table = DeValue::Table(table.into_inner());
        self.value.overlay(Value::from_toml(&table, 0, &origin));
        self.fallback = Origin::File { name, line: 0 };
    }

    fn read_variable(&mut self, name: &str, text: &str) {
        let origin = Origin::Environment(name.into());
        let path: Vec<String> =
            name.trim_start_matches(PREFIX).split("__").map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            let message = "is not AVOCET__SECTION__KEY".to_owned();
            self.mistake(origin, "", message);
            return;
        }
        self.put(path, &bare(origin, text), true);
    }

    fn read_word(&mut self, word: &str) {
        let Some((key, text, path)) = split_word(word) else {
            let shown = word.split('=').next().unwrap_or_default().trim();
            let message = "is not KEY=VALUE with a dotted key".to_owned();
            self.mistake(Origin::Set(shown.into()), "", message);
            return;
        };
        self.put(path, &bare(Origin::Set(key.into()), text), false);
    }

    /// Lays one value over what is there. The environment knows no small letters: a name that is
    /// there already in other letters is meant.
    fn put(&mut self, path: Vec<String>, value: &Value, fold_case: bool) {
        let mut keys = Vec::with_capacity(path.len());
        let mut here = Some(&mut self.value);
        let mut path = path.into_iter().peekable();
        while let Some(word) = path.next() {
            let mut key = if fold_case { word.to_ascii_lowercase() } else { word.clone() };
            here = match here.map(|value| &mut value.data) {
                Some(Data::List(items)) => {
                    let item = word.parse().ok().and_then(|index: usize| items.get_mut(index));
                    if let Some(item) = item {
                        let rest = if fold_case {
                            path.map(|word| word.to_ascii_lowercase()).collect()
                        } else {
                            path.collect()
                        };
                        item.overlay(nest(rest, value.clone()));
                        return;
                    }
                    None
                }
                Some(Data::Table(table)) => {
                    if fold_case && !table.contains_key(&key) {
                        let same = table.keys().find(|name| name.eq_ignore_ascii_case(&word));
                        key = same.cloned().unwrap_or(key);
                    }
                    table.get_mut(&key)
                }
                _ => None,
            };
            keys.push(key);
        }
        self.value.overlay(nest(keys, value.clone()));
    }
}

/// The value under a path of keys, as a tree of tables.
fn nest(path: Vec<String>, value: Value) -> Value {
    path.into_iter().rev().fold(value, |inner, key| {
        Value::new(inner.origin.clone(), Data::Table(Table::from([(key, inner)])))
    })
}

/// A value outside the file: TOML if it is, else a text that needs no quotes.
pub(crate) fn bare(origin: Origin, text: &str) -> Value {
    let parsed = DeValue::parse(text.trim()).ok();
    let mut value = match parsed {
        Some(parsed) => Value::from_toml(parsed.get_ref(), 0, &|_| origin.clone()),
        None => Value::new(origin, Data::Text(text.to_owned())),
    };
    value.raw = Some(text.to_owned());
    value
}

/// `a."b.c"=value` as key, value and path.
fn split_word(word: &str) -> Option<(&str, &str, Vec<String>)> {
    let (mut quote, mut escaped) = (None, false);
    let end = word.char_indices().find_map(|(index, it)| match quote {
        None if it == '=' => Some(index),
        None => {
            quote = matches!(it, '"' | '\'').then_some(it);
            None
        }
        Some(open) => {
            if open == it && !escaped {
                quote = None;
            }
            escaped = open == '"' && it == '\\' && !escaped;
            None
        }
    })?;
    let (key, text) = (word[..end].trim(), &word[end + 1..]);
    if key.contains(['\n', '\r']) {
        return None;
    }
    let line = format!("{key} = 0");
    let parsed = DeTable::parse(&line).ok()?;
    let mut path = Vec::new();
    let mut table = parsed.get_ref();
    loop {
        let (name, value) = table.iter().next()?;
        path.push(name.get_ref().to_string());
        match value.get_ref().as_table() {
            Some(inner) => table = inner,
            None => return Some((key, text, path)),
        }
    }
}

/// The whole key of the last line of `text`, which sets `key` again: the header above it says the
/// rest.
fn duplicate(text: &str, key: &str) -> String {
    let mut lines = text.lines().rev();
    let line = lines.next().unwrap_or_default().trim_start();
    if line.starts_with('[') {
        return line.trim_start_matches('[').split(']').next().unwrap_or(key).trim().to_owned();
    }
    // A dotted key is shown as it stands.
    let key = line.split('=').next().filter(|whole| whole.contains(key)).unwrap_or(key).trim();
    let header = lines.map(str::trim).find(|line| line.starts_with('['));
    match header.and_then(|header| header.trim_start_matches('[').split(']').next()) {
        Some(header) => format!("{}.{key}", header.trim()),
        None => key.to_owned(),
    }
}

/// The offset of each line's first byte.
fn line_starts(text: &str) -> Vec<usize> {
    let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    std::iter::once(0).chain(ends.map(|(index, _)| index + 1)).collect()
}
