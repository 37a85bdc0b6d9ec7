//! A TOML value that remembers where it was written, so that mistakes can say so.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::mistake::Origin;

/// The entries of a TOML table.
pub type Table = BTreeMap<String, Value>;

/// One value of a source, with its origin.
#[derive(Debug, Clone)]
pub struct Value {
    pub origin: Origin,
    pub data: Data,
    /// The words as they stood in the environment or on the command line, where text needs no
    /// quotes: `12345` may be meant as a password.
    pub raw: Option<String>,
    /// What a weaker source says about the same key. It counts for nothing, but mistakes in it are
    /// reported.
    pub(crate) shadowed: Vec<Self>,
}

/// What a [`Value`] holds.
#[derive(Debug, Clone)]
pub enum Data {
    Boolean(bool),
    /// Wide enough for every integer type; what does not fit is clamped, and then out of range.
    Integer(i128),
    Float(f64),
    Text(String),
    Datetime(String),
    List(Vec<Value>),
    Table(Table),
}

impl Value {
    pub(crate) fn new(origin: Origin, data: Data) -> Self {
        Self { origin, data, raw: None, shadowed: Vec::new() }
    }

    /// The text, quoted or, outside the file, bare.
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            Data::Boolean(_)
            | Data::Integer(_)
            | Data::Float(_)
            | Data::Datetime(_)
            | Data::List(_)
            | Data::Table(_) => self.raw.as_deref(),
        }
    }

    /// The entries, if this is a table.
    pub fn table(&self) -> Option<&Table> {
        if let Data::Table(table) = &self.data { Some(table) } else { None }
    }

    /// The value as a mistake quotes it.
    pub fn describe(&self) -> String {
        match &self.data {
            Data::Boolean(it) => it.to_string(),
            Data::Integer(it) => it.to_string(),
            Data::Float(it) => it.to_string(),
            Data::Text(it) if it.chars().count() > 60 => {
                format!("{:?}...", it.chars().take(60).collect::<String>())
            }
            Data::Text(it) => format!("{it:?}"),
            Data::Datetime(it) => it.clone(),
            Data::List(_) | Data::Table(_) => self.kind().to_owned(),
        }
    }

    /// What sort of value this is, without showing it.
    pub fn kind(&self) -> &'static str {
        match &self.data {
            Data::Boolean(_) => "a boolean",
            Data::Integer(_) => "an integer",
            Data::Float(_) => "a number with a fraction",
            Data::Text(_) => "a text",
            Data::Datetime(_) => "a date",
            Data::List(_) => "a list",
            Data::Table(_) => "a table",
        }
    }

    /// Copies a parsed TOML value; `origin` tells the place of a byte offset.
    pub(crate) fn from_toml(
        value: &DeValue<'_>,
        start: usize,
        origin: &dyn Fn(usize) -> Origin,
    ) -> Self {
        let data = match value {
            DeValue::Boolean(it) => Data::Boolean(*it),
            DeValue::Integer(it) => Data::Integer(
                i128::from_str_radix(it.as_str(), it.radix())
                    .unwrap_or(if it.as_str().starts_with('-') { i128::MIN } else { i128::MAX }),
            ),
            DeValue::Float(it) => Data::Float(it.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::String(it) => Data::Text(it.to_string()),
            DeValue::Datetime(it) => Data::Datetime(it.to_string()),
            DeValue::Array(items) => Data::List(
                items
                    .iter()
                    .map(|item| Self::from_toml(item.get_ref(), item.span().start, origin))
                    .collect(),
            ),
            DeValue::Table(entries) => Data::Table(
                entries
                    .iter()
                    .map(|(key, item)| {
                        // A key's line is where one looks; only a header is at its own place.
                        let start = key.span().start;
                        let value = Self::from_toml(item.get_ref(), start, origin);
                        (key.get_ref().to_string(), value)
                    })
                    .collect(),
            ),
        };
        Self::new(origin(start), data)
    }

    /// Lays a stronger source over this one: tables join, anything else gives way.
    pub(crate) fn overlay(&mut self, stronger: Self) {
        match (&mut self.data, stronger.data) {
            (Data::Table(mine), Data::Table(theirs)) => {
                for (key, value) in theirs {
                    match mine.get_mut(&key) {
                        Some(weaker) => weaker.overlay(value),
                        None => {
                            mine.insert(key, value);
                        }
                    }
                }
            }
            (_, data) => {
                let mut weaker =
                    std::mem::replace(self, Self { data, shadowed: Vec::new(), ..stronger });
                self.shadowed.append(&mut weaker.shadowed);
                self.shadowed.push(weaker);
            }
        }
    }
}

/// A key as TOML writes it: bare where it can be, quoted otherwise.
pub(crate) fn quote_key(key: &str) -> String {
    let bare = !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if bare { key.to_owned() } else { quote(key) }
}

/// A text as TOML writes it.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            it if it.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(it))),
            it => quoted.push(it),
        }
    }
    quoted.push('"');
    quoted
}
