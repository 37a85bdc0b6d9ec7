use super::{
    Outcome, Results, Spec,
    mark::{Marks, TestName},
    statement::{self, Key},
};

fn key(mark: &str) -> Key {
    Key::parse_mark(mark).expect("the test gives a mark")
}

fn marks(file: &str, lines: &[&str]) -> Marks {
    let mut marks = Marks::default();
    marks.scan(file, &lines.join("\n"));
    marks
}

#[test]
fn mark_above_a_test_names_that_test() {
    let found = marks(
        "crates/a/src/tests.rs",
        &["/// [MQTT3-3.1.2-24] [MQTT5-3.1.2-22]", "#[test]", "fn closes() {", "}"],
    );
    let test = TestName { file: "crates/a/src/tests.rs".to_owned(), function: "closes".to_owned() };
    assert!(found.tests[&key("MQTT3-3.1.2-24")].contains(&test));
    assert!(found.tests[&key("MQTT5-3.1.2-22")].contains(&test));
    assert!(found.code.is_empty() && found.problems.is_empty());
}

#[test]
fn mark_inside_a_test_counts_and_one_behind_it_does_not() {
    let lines =
        ["#[tokio::test]", "async fn one() {", "    // [MQTT5-4.7.0-1]", "}", "// [MQTT5-4.7.1-1]"];
    let found = marks("crates/a/src/b.rs", &lines);
    assert!(found.tests.contains_key(&key("MQTT5-4.7.0-1")));
    assert!(found.code.contains_key(&key("MQTT5-4.7.1-1")));
}

#[test]
fn mark_on_no_test_in_a_test_file_is_a_problem() {
    let found = marks("crates/a/tests/b.rs", &["/// [MQTT5-4.7.0-1]", "fn helper() {}"]);
    assert_eq!(found.problems.len(), 1);
    assert!(found.tests.is_empty());
}

#[test]
fn misspelt_mark_is_a_problem() {
    let found = marks("crates/a/src/b.rs", &["close(); // [MQTT-3.1.2-22]"]);
    assert!(found.problems[0].starts_with("crates/a/src/b.rs:1:"));
}

#[test]
fn client_statement_is_due_only_when_a_server_reacts() {
    let text = "version\tid\tbinds\tsummary\tnote\n\
        5.0\tMQTT-3.1.0-1\tclient\tfirst\tneg: closed\n\
        5.0\tMQTT-3.1.2-20\tclient\tping\tno server part\n\
        5.0\tMQTT-3.1.0-2\tserver\tsecond\t\n";
    let rows = statement::parse(text).expect("the rows are well-formed");
    let due: Vec<bool> = rows.iter().map(|row| row.test_is_due()).collect();
    assert_eq!(due, [true, false, true]);
}

#[test]
fn exception_without_a_reason_is_refused() {
    let text = "[[exception]]\nversion = \"5.0\"\nid = \"MQTT-4.7.3-3\"\nreason = \"\"\n";
    assert!(statement::exceptions(text).is_err());
}

#[test]
fn results_of_both_runners_are_read() {
    let libtest = Results::parse("test connect::one ... ok\ntest connect::two ... FAILED\n");
    let nextest = Results::parse("        PASS [   0.004s] avocet-tests::blackbox connect::one\n");
    let file = "crates/avocet-tests/tests/blackbox/connect.rs".to_owned();
    let one = TestName { file: file.clone(), function: "one".to_owned() };
    let two = TestName { file, function: "two".to_owned() };
    assert_eq!(libtest.of(&one), Outcome::Passed);
    assert_eq!(libtest.of(&two), Outcome::Failed);
    assert_eq!(nextest.of(&one), Outcome::Passed);
    assert_eq!(nextest.of(&two), Outcome::Unknown);
}

#[test]
fn proof_that_did_not_run_and_rule_without_a_line_are_told() {
    let rows = "version\tid\tbinds\tsummary\tnote\n5.0\tMQTT-3.1.0-2\tserver\tsecond\t\n";
    let proof = ["/// [MQTT5-3.1.0-2]", "#[test]", "fn closes() {", "}"];
    let spec = |code: &str| {
        let mut marks = marks("crates/a/tests/b.rs", &proof);
        marks.scan("crates/a/src/b.rs", code);
        let statements = statement::parse(rows).expect("the row is well-formed");
        Spec { statements, exceptions: Default::default(), missing: Default::default(), marks }
    };
    let (with, without) = (spec("close(); // [MQTT5-3.1.0-2]"), spec("close();"));
    assert!(with.problems(&Results::default()).is_empty());
    assert_eq!(without.problems(&Results::default()).len(), 1);
    assert!(with.not_run(&Results::parse("test b::closes ... ok\n")).is_empty());
    assert_eq!(with.not_run(&Results::parse("test b::opens ... ok\n")).len(), 1);
}
