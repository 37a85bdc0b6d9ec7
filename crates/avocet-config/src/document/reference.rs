//! The reference page: a section for each table, a row for each key.

use super::{doc_lines, join};
use crate::field::Field;
use crate::section::Section;
use crate::shape::{FieldDoc, Shape, Tree};

/// Markdown, a section for each table; sentences stand in a row's last cell as they were written.
pub fn reference<R: Section + Field>() -> String {
    let mut page = Page { out: String::new() };
    if let Shape::Table { doc, fields } = R::shape() {
        page.doc(doc);
        page.fields("", &fields, &R::default().tree());
    }
    page.out
}

struct Page {
    out: String,
}

impl Page {
    fn doc(&mut self, doc: &str) {
        for line in doc_lines(doc) {
            self.out.push_str(&format!("{line}\n"));
        }
    }

    fn heading(&mut self, header: &str, field: &FieldDoc, more: &str) {
        let gap = if self.out.is_empty() { "" } else { "\n" };
        self.out.push_str(&format!("{gap}## `{header}`\n\n"));
        self.doc(field.about());
        if let Some(feature) = field.feature {
            self.out.push_str(&format!("Needs the feature `{feature}`.\n"));
        }
        self.out.push_str(more);
    }

    fn fields(&mut self, path: &str, fields: &[FieldDoc], tree: &Tree) {
        self.rows(fields, tree);
        for field in fields {
            let tree = tree.entry(field.name).unwrap_or(&field.default);
            self.table(&join(path, field.name), field, &field.shape, tree);
        }
    }

    fn rows(&mut self, fields: &[FieldDoc], tree: &Tree) {
        let is_value = |field: &&FieldDoc| field.shape.is_value();
        if !fields.iter().any(|field| is_value(&field)) {
            return;
        }
        self.out.push_str("\n| key | accepted | default | meaning |\n|---|---|---|---|\n");
        for field in fields.iter().filter(is_value) {
            let default = match tree.entry(field.name).unwrap_or(&field.default) {
                _ if field.required => "must be set".to_owned(),
                Tree::Value(value) => format!("`{value}`"),
                Tree::Absent | Tree::Table(_) | Tree::Named(_) | Tree::List(_) => {
                    "not set".to_owned()
                }
            };
            let mut meaning = doc_lines(field.about()).collect::<Vec<_>>().join(" ");
            if let Some(feature) = field.feature {
                meaning.push_str(&format!(" Needs the feature `{feature}`."));
            }
            for (word, doc) in field.shape.choices() {
                let doc = doc_lines(doc).collect::<Vec<_>>().join(" ");
                meaning.push_str(&format!(" `{word}`: {doc}"));
            }
            let accepted = field.shape.accepted().unwrap_or_default();
            let cells = [format!("`{}`", field.name), accepted, default, meaning];
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            self.out.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
    }

    fn table(&mut self, path: &str, field: &FieldDoc, shape: &Shape, tree: &Tree) {
        match shape {
            Shape::Value { .. } => {}
            Shape::Table { .. } | Shape::Kinds { .. } => {
                self.section(path, &format!("[{path}]"), field, "", shape, tree);
            }
            Shape::Optional(inner) => {
                let more = "Off unless the section is there.\n";
                self.section(path, &format!("[{path}]"), field, more, inner, tree);
            }
            Shape::Named { inner, fresh } => {
                let path = join(path, "NAME");
                let names: Vec<String> =
                    tree.names().iter().map(|(name, _)| format!("`{name}`")).collect();
                let more = match names.as_slice() {
                    [] => String::new(),
                    names => format!("There by default: {}.\n", names.join(", ")),
                };
                self.section(&path, &format!("[{path}]"), field, &more, inner, fresh);
            }
            Shape::List(inner) => {
                let more = "May be given any number of times; the order counts.\n";
                self.section(path, &format!("[[{path}]]"), field, more, inner, &Tree::Absent);
            }
        }
    }

    fn section(
        &mut self,
        path: &str,
        header: &str,
        field: &FieldDoc,
        more: &str,
        shape: &Shape,
        tree: &Tree,
    ) {
        match shape {
            Shape::Table { fields, .. } => {
                let only_tables = !fields.iter().any(|field| field.shape.is_value());
                if !only_tables || !more.is_empty() {
                    self.heading(header, field, more);
                }
                self.fields(path, fields, tree);
            }
            Shape::Kinds { tag, kinds, .. } => {
                self.heading(header, field, more);
                for (kind, doc, shape) in kinds {
                    self.out.push_str(&format!("\n### `{tag} = {kind:?}`\n\n"));
                    self.doc(doc);
                    if let Shape::Table { fields, .. } = shape {
                        self.fields(path, fields, &Tree::Absent);
                    }
                }
            }
            Shape::Value { .. } | Shape::Named { .. } | Shape::List(_) | Shape::Optional(_) => {
                self.table(path, field, shape, tree);
            }
        }
    }
}
