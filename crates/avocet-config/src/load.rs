//! From sources to a root section, or to every mistake in them.

use crate::field::Field;
use crate::mistake::{Mistake, Origin};
use crate::reader::Reader;
use crate::section::Section;
use crate::source::Sources;

/// Reads the configuration; the error is every mistake of every source, in the order of the file.
pub fn load<R: Section + Field>(sources: &Sources) -> Result<R, Vec<Mistake>> {
    let joined = sources.join();
    let sections = R::fields().iter().map(|field| field.name).collect();
    let mut reader = Reader::new(sections, joined.fallback);
    let mut root = R::default();
    for weaker in &joined.value.shadowed {
        root.update(weaker, &mut reader);
    }
    root.update(&joined.value, &mut reader);
    // What a broken line was to set would be missed.
    if joined.mistakes.is_empty() {
        Field::validate(&root, Some(&joined.value), &mut reader);
    }
    let mut mistakes = joined.mistakes;
    let trusted = |mistake: &Mistake| match (&mistake.origin, joined.broken.first()) {
        (Origin::File { line, .. }, Some(broken)) => line < broken,
        _ => true,
    };
    mistakes.extend(reader.into_mistakes().into_iter().filter(trusted));
    if mistakes.is_empty() {
        return Ok(root);
    }
    mistakes.sort_by(|one, other| one.origin.cmp(&other.origin));
    mistakes.dedup();
    Err(mistakes)
}
