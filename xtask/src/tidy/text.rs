//! Rules on the lines of one file, its name and its length.

use super::{File, Finding};

/// Words that must not stand in a file, where, and why.
struct Ban {
    words: &'static [&'static str],
    applies: fn(&str) -> bool,
    message: &'static str,
    /// Files that may, each with its reason.
    except: &'static [(&'static str, &'static str)],
}

const BANS: [Ban; 10] = [
    Ban {
        words: &["#[allow(", "#![allow("],
        applies: is_rust,
        message: "exceptions to a lint are `#[expect(lint, reason = \"...\")]`",
        except: &[
            (
                "crates/avocet-config/src/macros.rs",
                "what a macro writes may need the exception in one place and not in the next",
            ),
            ("crates/avocet-config/src/macros/kinds.rs", "likewise"),
        ],
    },
    Ban {
        words: &["#[ignore"],
        applies: is_rust,
        message: "a test runs or is not there",
        except: &[],
    },
    Ban {
        words: &["todo!(", "unimplemented!(", "TODO", "FIXME"],
        applies: is_source,
        message: "a leftover; finish it or file an issue",
        except: &[],
    },
    Ban {
        words: &["thread::sleep(", "time::sleep("],
        applies: is_test,
        message: "tests do not sleep: wait for an answer with a deadline, or pause the clock",
        except: &[(
            "crates/avocet-tests/src/deadline.rs",
            "the one place that polls with a deadline, and lets time pass for rules about time",
        )],
    },
    Ban {
        words: &["unbounded_channel", "UnboundedSender", "UnboundedReceiver", "::unbounded("],
        applies: is_rust,
        message: "every queue has a bound",
        except: &[],
    },
    Ban {
        words: &["Serialize"],
        applies: is_spine,
        message: "spine types are not Serialize; disk, node and HTTP have types of their own",
        except: &[],
    },
    Ban {
        words: &[
            "== ProtocolVersion::",
            "!= ProtocolVersion::",
            ">= ProtocolVersion::",
            "> ProtocolVersion::",
            "<= ProtocolVersion::",
            "< ProtocolVersion::",
            "== Some(ProtocolVersion::",
            "ProtocolVersion::V3_1 =>",
            "ProtocolVersion::V3_1_1 =>",
            "ProtocolVersion::V5 =>",
        ],
        applies: |path| is_carrier(path) && !is_test(path),
        message: "what a version means is decided in avocet-mqtt and avocet-session",
        except: &[],
    },
    Ban {
        words: &[
            "redis",
            "mysql",
            "postgres",
            "mongo",
            "mongodb",
            "cassandra",
            "kafka",
            "rabbitmq",
            "Redis",
            "MySql",
            "Postgres",
            "Mongo",
            "MongoDb",
            "Cassandra",
            "Kafka",
            "RabbitMq",
        ],
        applies: |path| is_rust(path) && path.starts_with("crates/avocet-broker/"),
        message: "the broker names no third-party system; connectors do",
        except: &[],
    },
    Ban {
        words: &["/work/", "/root/", "/home/"],
        applies: |_| true,
        message: "a path of one machine",
        except: &[],
    },
    Ban {
        words: &["0.0.0.0"],
        applies: |path| is_rust(path) && !is_test(path),
        message: "listeners are on loopback unless documented; then add the file to xtask's list",
        except: &[(
            "crates/avocet-broker/src/config/listeners.rs",
            "the kinds of listeners that are there for others are only open when configured",
        )],
    },
];

/// Names of drawers: a type lives where it is decided upon.
const DRAWERS: [&str; 9] = [
    "util.rs",
    "utils.rs",
    "common.rs",
    "helper.rs",
    "helpers.rs",
    "types.rs",
    "misc.rs",
    "manager.rs",
    "prelude.rs",
];

const LINES_MAX: usize = 800;
const WIDTH_MAX: usize = 100;

pub(super) fn findings(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    // The rules' own words stand here, and in their tests.
    if !file.path.starts_with("xtask/src/tidy") {
        bans(file, &mut findings);
        fixed_ports(file, &mut findings);
    }
    if is_rust(&file.path) {
        shape(file, &mut findings);
    }
    findings
}

fn bans(file: &File, findings: &mut Vec<Finding>) {
    for ban in BANS.iter().filter(|ban| (ban.applies)(&file.path)) {
        if ban.except.iter().any(|(path, _)| *path == file.path) {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            if let Some(word) = ban.words.iter().find(|word| contains_word(line, word)) {
                let message = format!("`{word}`: {}", ban.message);
                findings.push(Finding { path: file.path.clone(), line: index + 1, message });
            }
        }
    }
}

/// Whether `word` stands in the line, not as a part of a longer identifier.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        // A path is one from the root only if no other name stands before it.
        let joins = |letter: char| is_letter(letter) || "$}.*+#-~".contains(letter);
        let glued_before = match word.starts_with('/') {
            true => before.is_some_and(joins),
            false => word.starts_with(is_letter) && before.is_some_and(is_letter),
        };
        let glued_after = word.ends_with(is_letter) && after.is_some_and(is_letter);
        !glued_before && !glued_after
    })
}

/// A test that opens a port does not choose which.
fn fixed_ports(file: &File, findings: &mut Vec<Finding>) {
    if !is_test(&file.path) {
        return;
    }
    let opens = ["bind(", "connect(", "TcpListener", "TcpStream", "UdpSocket", "--set", "bind="];
    for (index, line) in file.text.lines().enumerate() {
        let black_box = file.path.starts_with("crates/avocet-tests/");
        // Settings are read, nothing is opened.
        if file.path.starts_with("crates/avocet-config/") {
            return;
        }
        if !black_box && !opens.iter().any(|word| line.contains(word)) {
            continue;
        }
        let fixed = ["127.0.0.1:", "localhost:", "[::1]:"].iter().any(|host| {
            let ports = line.split(host).skip(1);
            ports.into_iter().any(|port| port.starts_with(|digit| ('1'..='9').contains(&digit)))
        });
        if fixed {
            let message = "a fixed port; tests take port 0 and ask which it became".to_owned();
            findings.push(Finding { path: file.path.clone(), line: index + 1, message });
        }
    }
}

/// Name, length, width and opening of a Rust source.
fn shape(file: &File, findings: &mut Vec<Finding>) {
    let mut say = |line, message: String| {
        findings.push(Finding { path: file.path.clone(), line, message });
    };
    let name = file.path.rsplit('/').next().unwrap_or_default();
    if DRAWERS.contains(&name) {
        say(0, format!("{name} is a drawer; a type lives in the file that decides about it"));
    }
    let map: Vec<&str> = file.text.lines().take_while(|line| line.starts_with("//!")).collect();
    if ["lib.rs", "main.rs"].contains(&name) && map.is_empty() {
        say(1, "a crate opens with its map, a `//!` comment".to_owned());
    }
    let lines = file.text.lines().count();
    let reason = "past 800 lines because";
    let excused = map.join(" ").replace("//! ", "").to_lowercase().contains(reason);
    if lines > LINES_MAX && !excused {
        say(0, format!("{lines} lines; find the seam, or say `{reason}` in the map comment"));
    }
    for (index, line) in file.text.lines().enumerate() {
        // rustfmt breaks what can be broken: neither a literal nor a mark behind the line that
        // fulfils a statement.
        let unbreakable = line.contains('"') || line.contains("// [MQTT");
        let width = line.chars().count();
        if width > WIDTH_MAX && !unbreakable {
            say(index + 1, format!("{width} characters, {WIDTH_MAX} are the most"));
        }
    }
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn is_source(path: &str) -> bool {
    [".rs", ".py", ".js", ".sh", ".toml"].iter().any(|ending| path.ends_with(ending))
        || path.starts_with(".ci/")
}

fn is_test(path: &str) -> bool {
    let place = path.contains("/tests/") || path.ends_with("/tests.rs");
    is_rust(path) && (place || path.starts_with("crates/avocet-tests/"))
}

/// The crates between the codec and the command line; the latter's client speaks a version.
fn is_carrier(path: &str) -> bool {
    let carriers = ["avocet-broker", "avocet-router", "avocet-net", "avocet-http"];
    is_rust(path) && carriers.iter().any(|name| path.starts_with(&format!("crates/{name}/src/")))
}

fn is_spine(path: &str) -> bool {
    let spine = ["avocet-mqtt", "avocet-session", "avocet-router"];
    is_rust(path) && spine.iter().any(|name| path.starts_with(&format!("crates/{name}/src/")))
}
