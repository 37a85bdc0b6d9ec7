//! A mistake in the configuration, and where it was made.

use std::fmt;
use std::sync::Arc;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In a file; line 0 stands for the file as a whole.
    File { name: Arc<str>, line: usize },
    /// In an environment variable of this name.
    Environment(Arc<str>),
    /// In a `--set` of this key. The value is left out: it may be a secret.
    Set(Arc<str>),
    /// Nowhere: the value is a default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line: 0 } => f.write_str(name),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Environment(name) => f.write_str(name),
            Self::Set(key) => write!(f, "--set {key}"),
            Self::Default => f.write_str("configuration"),
        }
    }
}

/// One mistake: where, at which key, what is wrong and what is accepted.
///
/// Its `Display` is one line: `avocet.toml:12: mqtt.max_inflite: unknown key; did you mean
/// "max_inflight"?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub origin: Origin,
    /// The whole key, dotted; empty where the mistake has none.
    pub key: String,
    /// What is wrong, without capital and full stop.
    pub message: String,
    /// What would be right, in words.
    pub accepted: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.accepted {
            Some(accepted) => write!(f, "; accepted: {accepted}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Mistake {}
