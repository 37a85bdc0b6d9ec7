use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: PubArgs,
}

fn parse(line: &str) -> Result<PubArgs, clap::Error> {
    let words = format!("pub {line}");
    Ok(Line::try_parse_from(words.split_ascii_whitespace())?.args)
}

#[test]
fn letters_are_those_of_mosquitto() {
    let args = parse("-h host -t a/b -m -5 -q 2 -r --repeat 3 --repeat-delay 0.5").unwrap();
    assert_eq!((args.topic().unwrap(), args.message.as_deref()), ("a/b", Some("-5")));
    assert_eq!((args.qos, args.retain, args.repeat), (QoS::ExactlyOnce, true, 3));
    assert_eq!(args.repeat_delay, Duration::from_millis(500));
}

#[test]
fn there_is_exactly_one_payload() {
    for line in ["-t a -m x", "-t a -f x", "-t a -l", "-t a -s", "-t a -n"] {
        assert!(parse(line).is_ok(), "{line}");
    }
    for line in ["-t a", "-m x", "-t a -m x -n", "-t a -l -s", "-t a -l --repeat 2", "-t a -n -q 3"]
    {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn there_is_exactly_one_topic() {
    assert_eq!(parse("-L mqtt://host/a/b -n").unwrap().topic().unwrap(), "a/b");
    assert_eq!(parse("-L ws://host/mqtt -t a -n").unwrap().topic().unwrap(), "a");
    for line in ["-L mqtt://host/a -t b -n", "-L mqtt://host -n", "-L ws://host/mqtt -n"] {
        assert!(matches!(run(&parse(line).unwrap()), Err(Failure::Usage(_))), "{line}");
    }
}

#[test]
fn topic_is_checked_before_anyone_is_called() {
    let args = parse("-t a/# -m x").unwrap();
    assert!(matches!(run(&args), Err(Failure::Usage(_))));
}
