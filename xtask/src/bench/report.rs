//! The figures, as they stand in `docs/benchmarks.md`.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result};

use super::{
    peer::Running,
    row::{Figures, Row},
};
use crate::repository;

const DOCUMENT: &str = "docs/benchmarks.md";
const BEGIN: &str = "<!-- written by `cargo xtask bench` -->";
const END: &str = "<!-- until here -->";

/// What was measured so far.
#[derive(Debug)]
pub(super) struct Report {
    brokers: Vec<(String, String)>,
    lines: BTreeMap<&'static str, String>,
    order: Vec<&'static str>,
    others: Vec<f64>,
}

impl Report {
    pub(super) fn new(running: &[Running], rows: &[&Row]) -> Self {
        Self {
            brokers: running
                .iter()
                .map(|broker| (broker.name().to_owned(), broker.version.clone()))
                .collect(),
            lines: BTreeMap::new(),
            order: rows.iter().map(|row| row.name).collect(),
            others: Vec::new(),
        }
    }

    /// The medians of a row, or why a broker has none.
    pub(super) fn add(&mut self, row: &Row, figures: Vec<Result<Vec<Figures>, String>>) {
        let mut cells = vec![format!("{}, {}", row.title, row.unit)];
        for figures in figures {
            cells.push(match figures {
                Ok(figures) => {
                    self.others.extend(figures.iter().filter_map(|one| one.others));
                    shown(median(figures.iter().map(|one| one.figure).collect()))
                }
                Err(reason) => reason,
            });
        }
        self.lines.insert(row.name, format!("| {} |", cells.join(" | ")));
    }

    pub(super) fn line(&self, row: &str) -> &str {
        self.lines.get(row).map_or("", |line| line)
    }

    /// Puts the table into the document, between its marks.
    pub(super) fn write(&self, rounds: usize, seconds: u32, absent: &[String]) -> Result<()> {
        let names: Vec<String> =
            self.brokers.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let mut text = format!("| | {} |\n|---|", names.join(" | "));
        text.push_str(&"---|".repeat(names.len()));
        text.push('\n');
        for row in &self.order {
            text.push_str(self.line(row));
            text.push('\n');
        }
        text.push_str(&format!(
            "\nMedians of {rounds} rounds, each of {seconds} s where a row is a matter of time; \
             the last row once, with a fresh broker.\n\
             Everything else on the machine kept {} processors busy meanwhile (median), at most \
             {}.\n",
            shown(median(self.others.clone())),
            shown(self.others.iter().copied().fold(0.0, f64::max)),
        ));
        for note in absent {
            text.push_str(&format!("{note}.\n"));
        }
        put(BEGIN, &text)
    }
}

/// Puts a text into the document, between the mark `begin` and the one that ends it.
pub(super) fn put(begin: &str, text: &str) -> Result<()> {
    let document = repository::read(DOCUMENT)?;
    let (before, rest) = document.split_once(begin).context("the document has no mark")?;
    let (_, after) = rest.split_once(END).context("the document has no second mark")?;
    let document = format!("{before}{begin}\n\n{}\n\n{END}{after}", text.trim());
    fs::write(repository::root().join(DOCUMENT), document)
        .with_context(|| format!("writing {DOCUMENT}"))?;
    println!("wrote {DOCUMENT}");
    Ok(())
}

/// Of several rounds; nothing of none.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// Three digits that count.
pub(super) fn shown(figure: f64) -> String {
    match figure {
        _ if figure >= 100.0 => format!("{figure:.0}"),
        _ if figure >= 10.0 => format!("{figure:.1}"),
        _ if figure >= 1.0 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}
