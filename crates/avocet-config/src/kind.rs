//! Sections that come in kinds: what `kinds!` needs.

use crate::field::Unfit;
use crate::reader::Reader;
use crate::section::Section;
use crate::setting::no_choice;
use crate::value::{Value, quote};

/// The kind a table says it is of; a mistake is noted.
pub fn kind_of<'v>(
    value: &'v Value,
    tag: &'static str,
    kinds: &[&'static str],
    unbuilt: &[(&'static str, &'static str)],
    reader: &mut Reader,
) -> Option<&'v str> {
    let Some(table) = value.table() else {
        reader.unfit(value, Unfit::found(value), Some("a table".to_owned()));
        return None;
    };
    let accepted: Vec<String> = kinds.iter().map(|kind| quote(kind)).collect();
    let accepted = Some(accepted.join(" | "));
    let Some(said) = table.get(tag) else {
        reader.inside(tag, |reader| {
            reader.unfit(value, Unfit("missing".to_owned()), accepted);
        });
        return None;
    };
    if let Some(kind) = said.text().filter(|text| kinds.contains(text)) {
        return Some(kind);
    }
    let missing = unbuilt.iter().find(|(kind, _)| said.text() == Some(kind));
    reader.inside(tag, |reader| match missing {
        Some((kind, feature)) => {
            let message = format!(
                "this build cannot do {kind:?}, which needs the feature {feature:?}; \
                 build with --features {feature}"
            );
            reader.unfit(said, Unfit(message), accepted);
        }
        None => reader.unfit(said, no_choice(said, kinds), accepted),
    });
    None
}

/// Reads a section beside its tag.
pub fn read_kind<T: Section>(tag: &'static str, value: &Value, reader: &mut Reader) -> T {
    let mut section = T::default();
    reader.table(value, |table| {
        table.known(tag);
        section.merge_fields(table);
    });
    section
}
