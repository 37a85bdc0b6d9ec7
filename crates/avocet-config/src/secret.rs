//! Passwords, tokens and cookies, which are never printed.

use std::fmt;
use std::path::PathBuf;

use crate::field::{Setting, Unfit};
use crate::value::{Value, quote};

const MASK: &str = "******";

/// A text that is not shown: not by `Debug`, not in the effective configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    source: Source,
}

#[derive(Clone, PartialEq, Eq)]
enum Source {
    Text,
    File(PathBuf),
    Environment(String),
}

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), source: Source::Text }
    }

    /// The text itself, for whoever has to send or compare it.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Setting for Secret {
    fn read(value: &Value) -> Result<Self, Unfit> {
        if let Some(text) = value.text().filter(|_| value.table().is_none()) {
            return Ok(Self::new(text));
        }
        let table = value.table().ok_or_else(|| Unfit::found_kind(value))?;
        let mut entries = table.iter().map(|(key, value)| (key.as_str(), value.text()));
        match (entries.next(), entries.next()) {
            (Some(("file", Some(path))), None) => from_file(path),
            (Some(("env", Some(name))), None) => from_environment(name),
            _ => Err(Unfit::found_kind(value)),
        }
    }

    fn accepted() -> String {
        "a text, { file = \"PATH\" } or { env = \"NAME\" }".to_owned()
    }

    fn write(&self) -> String {
        match &self.source {
            Source::Text => quote(MASK),
            Source::File(path) => format!("{{ file = {} }}", quote(&path.to_string_lossy())),
            Source::Environment(name) => format!("{{ env = {} }}", quote(name)),
        }
    }
}

crate::setting!(Secret);

fn from_file(path: &str) -> Result<Secret, Unfit> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Unfit(format!("cannot read {path:?}: {error}")))?;
    // Editors end a file with a line end that is not meant.
    let text = text.trim_end_matches(['\n', '\r']).to_owned();
    if text.is_empty() {
        return Err(Unfit(format!("the file {path:?} is empty")));
    }
    Ok(Secret { text, source: Source::File(path.into()) })
}

fn from_environment(name: &str) -> Result<Secret, Unfit> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(Unfit(format!("{name:?} is no name of an environment variable")));
    }
    let text = std::env::var(name)
        .map_err(|_| Unfit(format!("there is no environment variable {name:?}")))?;
    Ok(Secret { text, source: Source::Environment(name.to_owned()) })
}
