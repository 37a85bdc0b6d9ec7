//! A file with every key at its default, and the documentation as comments.

use super::{doc_lines, join};
use crate::field::Field;
use crate::section::Section;
use crate::shape::{FieldDoc, Shape, Tree};

/// The example file. What exists by default is written as it is; what does not is a comment that
/// begins with `#` and no space, so that removing the `#` switches it on.
pub fn example<R: Section + Field>() -> String {
    let mut example = Example { out: String::new(), off: false };
    let Shape::Table { doc, fields } = R::shape() else { return example.out };
    for line in doc_lines(doc) {
        example.comment(line);
    }
    example.fields("", &fields, &R::default().tree());
    example.out
}

struct Example {
    out: String,
    /// Whether what is written does not exist by default.
    off: bool,
}

impl Example {
    fn comment(&mut self, line: &str) {
        let space = if line.is_empty() { "" } else { " " };
        self.out.push_str(&format!("#{space}{line}\n"));
    }

    fn line(&mut self, line: &str) {
        let off = if self.off { "#" } else { "" };
        self.out.push_str(&format!("{off}{line}\n"));
    }

    fn header(&mut self, doc: &str, header: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        for line in doc_lines(doc) {
            self.comment(line);
        }
        self.line(header);
    }

    /// Values first: what follows a header belongs to it.
    fn fields(&mut self, path: &str, fields: &[FieldDoc], tree: &Tree) {
        let is_value = |field: &&FieldDoc| field.shape.is_value();
        for field in fields.iter().filter(is_value) {
            self.value(field, tree.entry(field.name).unwrap_or(&field.default));
        }
        for field in fields.iter().filter(|field| !is_value(field)) {
            let tree = tree.entry(field.name).unwrap_or(&field.default);
            self.table(&join(path, field.name), field.about(), &field.shape, tree);
        }
    }

    fn value(&mut self, field: &FieldDoc, tree: &Tree) {
        for line in doc_lines(field.about()) {
            self.comment(line);
        }
        for (word, doc) in field.shape.choices() {
            let doc = doc_lines(doc).collect::<Vec<_>>().join(" ");
            self.comment(&format!("{word:?}: {doc}"));
        }
        let accepted = field.shape.accepted().unwrap_or_default();
        self.comment(&format!("Accepted: {accepted}."));
        match tree {
            Tree::Value(value) => self.line(&format!("{} = {value}", field.name)),
            Tree::Absent | Tree::Table(_) | Tree::Named(_) | Tree::List(_) => {
                self.out.push_str(&format!("#{} =\n", field.name));
            }
        }
    }

    fn table(&mut self, path: &str, doc: &str, shape: &Shape, tree: &Tree) {
        match shape {
            Shape::Value { .. } => {}
            Shape::Table { fields, .. } => {
                let header = format!("[{path}]");
                let only_tables = !fields.iter().any(|field| field.shape.is_value());
                if !only_tables || fields.is_empty() {
                    self.header(doc, &header);
                }
                self.fields(path, fields, tree);
            }
            Shape::Kinds { tag, kinds, .. } => {
                for (kind, kind_doc, shape) in kinds {
                    self.kind(path, &format!("[{path}]"), (tag, kind), kind_doc, shape, tree);
                }
            }
            Shape::Optional(inner) => {
                let set = *tree != Tree::Absent;
                self.switched(set, |example| example.table(path, doc, inner, tree));
            }
            Shape::Named { inner, fresh } => self.named(path, doc, inner, fresh, tree),
            Shape::List(inner) => self.list(path, doc, inner),
        }
    }

    fn named(&mut self, path: &str, doc: &str, inner: &Shape, fresh: &Tree, tree: &Tree) {
        let entries = tree.names();
        for (name, tree) in entries {
            self.table(&join(path, name), doc, inner, tree);
        }
        if entries.is_empty() {
            self.switched(false, |example| {
                example.table(&join(path, "NAME"), doc, inner, fresh);
            });
        }
    }

    /// A list begins empty, so its element is only shown.
    fn list(&mut self, path: &str, doc: &str, inner: &Shape) {
        let header = format!("[[{path}]]");
        self.switched(false, |example| match inner {
            Shape::Kinds { tag, kinds, .. } => {
                for (kind, kind_doc, shape) in kinds {
                    example.kind(path, &header, (tag, kind), kind_doc, shape, &Tree::Absent);
                }
            }
            Shape::Table { fields, .. } => {
                example.header(doc, &header);
                example.fields(path, fields, &Tree::Absent);
            }
            Shape::Value { .. } | Shape::Named { .. } | Shape::List(_) | Shape::Optional(_) => {}
        });
    }

    fn kind(
        &mut self,
        path: &str,
        header: &str,
        (tag, kind): (&str, &str),
        doc: &str,
        shape: &Shape,
        tree: &Tree,
    ) {
        self.header(doc, header);
        self.line(&format!("{tag} = {kind:?}"));
        if let Shape::Table { fields, .. } = shape {
            self.fields(path, fields, tree);
        }
    }

    fn switched(&mut self, on: bool, write: impl FnOnce(&mut Self)) {
        let before = self.off;
        self.off = before || !on;
        write(self);
        self.off = before;
    }
}
