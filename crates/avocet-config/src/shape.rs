//! The types of the configuration, described for a reader.

/// What a field is, for the reference page and the example file.
#[derive(Debug, Clone)]
pub enum Shape {
    /// One value, with what is accepted in words, and the names of a choice with what they mean.
    Value { accepted: String, choices: &'static [(&'static str, &'static str)] },
    /// A section with its documentation and fields.
    Table { doc: &'static str, fields: Vec<FieldDoc> },
    /// A section whose fields depend on what `tag` says.
    Kinds { doc: &'static str, tag: &'static str, kinds: Vec<(&'static str, &'static str, Self)> },
    /// Sections with names the operator chooses; `fresh` is one as it begins.
    Named { inner: Box<Self>, fresh: Box<Tree> },
    /// Any number of sections, in order.
    List(Box<Self>),
    /// A section that may be missing.
    Optional(Box<Self>),
}

impl Shape {
    /// Whether it is a value, which stands before the tables of a section.
    pub(crate) fn is_value(&self) -> bool {
        matches!(self, Self::Value { .. })
    }

    /// The doc comment of the section in it.
    fn doc(&self) -> &'static str {
        match self {
            Self::Value { .. } => "",
            Self::Table { doc, .. } | Self::Kinds { doc, .. } => doc,
            Self::Named { inner, .. } | Self::List(inner) | Self::Optional(inner) => inner.doc(),
        }
    }

    /// The names of a choice, each with its documentation.
    pub(crate) fn choices(&self) -> &'static [(&'static str, &'static str)] {
        if let Self::Value { choices, .. } = self { choices } else { &[] }
    }

    /// What is accepted, in words.
    pub fn accepted(&self) -> Option<String> {
        Some(match self {
            Self::Value { accepted, .. } => accepted.clone(),
            Self::Table { .. } | Self::Kinds { .. } => "a table".to_owned(),
            Self::Named { .. } => "a table of named tables".to_owned(),
            Self::List(_) => "a list of tables".to_owned(),
            Self::Optional(inner) => return inner.accepted(),
        })
    }
}

/// A field of a section, described.
#[derive(Debug, Clone)]
pub struct FieldDoc {
    pub name: &'static str,
    /// The doc comment, a sentence a line; if there is none, a section's own is shown.
    pub doc: &'static str,
    /// The feature without which the field does not exist.
    pub feature: Option<&'static str>,
    /// Whether it must be set.
    pub required: bool,
    pub shape: Shape,
    pub default: Tree,
}

impl FieldDoc {
    /// The documentation to show.
    pub(crate) fn about(&self) -> &'static str {
        if self.doc.is_empty() { self.shape.doc() } else { self.doc }
    }
}

/// What a field holds, ready to be written as TOML.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// A value in TOML's notation.
    Value(String),
    /// Nothing: an option that is not set.
    Absent,
    Table(Vec<(&'static str, Self)>),
    Named(Vec<(String, Self)>),
    List(Vec<Self>),
}

impl Tree {
    pub(crate) fn into_value(self) -> Option<String> {
        if let Self::Value(value) = self { Some(value) } else { None }
    }

    /// The named sections.
    pub(crate) fn names(&self) -> &[(String, Self)] {
        if let Self::Named(entries) = self { entries } else { &[] }
    }

    /// The entry of a table.
    pub(crate) fn entry(&self, name: &str) -> Option<&Self> {
        let Self::Table(entries) = self else { return None };
        entries.iter().find(|(key, _)| *key == name).map(|(_, tree)| tree)
    }
}
