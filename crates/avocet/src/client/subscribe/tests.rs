use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: SubArgs,
}

fn parse(line: &str) -> Result<SubArgs, clap::Error> {
    let words = format!("sub {line}");
    Ok(Line::try_parse_from(words.split_ascii_whitespace())?.args)
}

fn shown(line: &str, publish: &Publish<'_>) -> String {
    let mut out = Vec::new();
    let mut aliases = HashMap::from([(NonZeroU16::MIN, "known".to_owned())]);
    show(&parse(line).unwrap(), &mut aliases, &mut out, publish).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn message_is_shown_as_mosquitto_shows_it() {
    let (full, empty) = (Publish::new("a/b", b"hi"), Publish::new("a/b", b""));
    assert_eq!(shown("-t #", &full), "hi\n");
    assert_eq!(shown("-t # -N", &full), "hi");
    assert_eq!(shown("-t # -v", &full), "a/b hi\n");
    assert_eq!(shown("-t #", &empty), "");
    assert_eq!(shown("-t # -v", &empty), "a/b (null)\n");
}

#[test]
fn unwanted_messages_are_not_shown() {
    let mut publish = Publish::new("a/b", b"hi");
    assert_eq!(shown("-t # -T a/+", &publish), "");
    publish.retain = true;
    assert_eq!(shown("-t # -R", &publish), "");
    assert_eq!(shown("-t #", &publish), "hi\n");
}

#[test]
fn topic_alias_stands_for_its_topic() {
    let mut publish = Publish::new("", b"hi");
    publish.topic_alias = Some(NonZeroU16::MIN);
    assert_eq!(shown("-t # -v", &publish), "known hi\n");
}

#[test]
fn every_topic_is_subscribed_with_the_qos() {
    let args = parse("-t a -L mqtt://host/b/# -q 1").unwrap();
    let subscribe = subscribe(&args, &args.filters().unwrap());
    let lines = subscribe.subscriptions.iter();
    let lines: Vec<_> = lines.map(|line| (line.filter.as_str(), line.options.qos)).collect();
    assert_eq!(lines, [("a", QoS::AtLeastOnce), ("b/#", QoS::AtLeastOnce)]);
}

#[test]
fn filters_are_checked_before_anyone_is_called() {
    let args = parse("-t a/#/b").unwrap();
    assert!(matches!(run(&args), Err(Failure::Usage(_))));
}

#[test]
fn without_any_filter_nobody_is_called() {
    let args = parse("-L ws://host/mqtt").unwrap();
    assert!(matches!(run(&args), Err(Failure::Usage(_))));
}

#[test]
fn nonsense_is_wrong_usage() {
    for line in ["", "-t a -C 0", "-t a -q 3", "-t a -W soon", "-t a -c"] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
}
