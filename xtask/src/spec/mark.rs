//! Finds marks in sources and tells those of tests from those of code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::statement::Key;

/// A test function and the file it stands in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TestName {
    pub(super) file: String,
    pub(super) function: String,
}

impl TestName {
    /// Whether a test runner's path of modules may be this test: it ends in the function and
    /// names the module of the file.
    pub(super) fn is_called(&self, path: &str) -> bool {
        let mut parts: Vec<&str> = path.split("::").collect();
        let function = parts.pop();
        let file = self.file.rsplit('/').next().unwrap_or(&self.file);
        let module = file.trim_end_matches(".rs");
        let root = ["lib", "main", "mod"].contains(&module) || self.file.contains("/tests/");
        function == Some(self.function.as_str()) && (root || parts.contains(&module))
    }
}

impl fmt::Display for TestName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}::{}", self.file, self.function)
    }
}

/// All marks of the sources.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) code: BTreeMap<Key, BTreeSet<String>>,
    pub(super) tests: BTreeMap<Key, BTreeSet<TestName>>,
    pub(super) problems: Vec<String>,
}

/// Where the scan of a file stands.
#[derive(Default)]
struct Scan {
    /// Marks of the doc comment above the next item, with their lines.
    pending: Vec<(usize, Key)>,
    /// The attributes above the next item make it a test.
    test_attribute: bool,
    inside_attribute: bool,
    /// The test whose body this is, and the indentation its closing brace has.
    body: Option<(TestName, usize)>,
}

impl Marks {
    pub(super) fn scan(&mut self, file: &str, text: &str) {
        let mut scan = Scan::default();
        for (index, line) in text.lines().enumerate() {
            self.scan_line(&mut scan, file, index + 1, line);
        }
        self.keep_as_code(file, scan.pending);
    }

    fn scan_line(&mut self, scan: &mut Scan, file: &str, number: usize, line: &str) {
        let found = self.marks_in(file, number, line);
        let code = line.trim_start();
        let indentation = line.len() - code.len();
        if let Some((test, closing)) = &scan.body {
            for (_, key) in found {
                self.tests.entry(key).or_default().insert(test.clone());
            }
            if indentation == *closing && code.starts_with('}') {
                scan.body = None;
            }
            return;
        }
        if code.starts_with("///") {
            scan.pending.extend(found);
        } else if code.starts_with("#[") || scan.inside_attribute {
            scan.test_attribute |= is_test_attribute(code);
            scan.inside_attribute = !code.ends_with(']');
        } else if let Some(function) = function_name(code).filter(|_| scan.test_attribute) {
            let test = TestName { file: file.to_owned(), function: function.to_owned() };
            for (_, key) in scan.pending.drain(..).chain(found) {
                self.tests.entry(key).or_default().insert(test.clone());
            }
            scan.test_attribute = false;
            scan.body = (!code.ends_with('}')).then_some((test, indentation));
        } else {
            let above = std::mem::take(&mut scan.pending);
            self.keep_as_code(file, above.into_iter().chain(found));
            scan.test_attribute = false;
        }
    }

    fn keep_as_code(&mut self, file: &str, marks: impl IntoIterator<Item = (usize, Key)>) {
        for (number, key) in marks {
            if is_test_file(file) {
                let rule = "a mark in a test file stands above a test or inside one";
                self.problems.push(format!("{file}:{number}: {key}: {rule}"));
            } else {
                self.code.entry(key).or_default().insert(file.to_owned());
            }
        }
    }

    fn marks_in(&mut self, file: &str, number: usize, line: &str) -> Vec<(usize, Key)> {
        let mut found = Vec::new();
        for rest in line.split("[MQTT").skip(1) {
            let Some((inside, _)) = rest.split_once(']') else { continue };
            let mark = format!("MQTT{inside}");
            match Key::parse_mark(&mark) {
                Some(key) => found.push((number, key)),
                None => self.problems.push(format!("{file}:{number}: [{mark}] is no mark")),
            }
        }
        found
    }
}

fn is_test_file(file: &str) -> bool {
    file.contains("/tests/") || file.ends_with("/tests.rs")
}

fn is_test_attribute(code: &str) -> bool {
    let name = code.trim_start_matches("#[");
    let path = name.split(['(', ']', ' ', '=']).next().unwrap_or_default();
    path.split("::").last().is_some_and(|last| last == "test" || last == "test_case")
}

/// The name of the function a line declares.
fn function_name(code: &str) -> Option<&str> {
    let mut code = code;
    for word in ["pub(crate) ", "pub ", "async "] {
        code = code.strip_prefix(word).unwrap_or(code);
    }
    let name = code.strip_prefix("fn ")?;
    let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
    Some(&name[..end])
}
