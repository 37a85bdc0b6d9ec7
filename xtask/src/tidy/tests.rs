use super::{File, findings};

/// Findings in these files, each as `path:line: message`.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<File> = files
        .iter()
        .map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() })
        .collect();
    findings(&files).iter().map(ToString::to_string).collect()
}

/// The only finding begins and goes on like this.
#[track_caller]
fn check_one(files: &[(&str, &str)], begins: &str, says: &str) {
    let found = found(files);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with(begins) && found[0].contains(says), "{found:#?}");
}

fn check_in_library(text: &str, line: usize, says: &str) {
    let path = "crates/avocet-net/src/lib.rs";
    let manifest = ("crates/avocet-net/Cargo.toml", manifest("avocet-net", ""));
    check_one(
        &[(manifest.0, &manifest.1), (path, &format!("//! Map.\n{text}\n"))],
        &format!("{path}:{line}: "),
        says,
    );
}

fn manifest(name: &str, dependencies: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\n[dependencies]\n{dependencies}\n[lints]\nworkspace = true\n"
    )
}

fn check_manifest(name: &str, dependencies: &str, expected: &[&str]) {
    let path = format!("crates/{name}/Cargo.toml");
    let clippy = format!("crates/{name}/clippy.toml");
    let found = found(&[(&path, &manifest(name, dependencies)), (&clippy, "")]);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (finding, says) in found.iter().zip(expected) {
        assert!(finding.starts_with(&format!("{path}:4: ")) && finding.contains(says), "{finding}");
    }
}

#[test]
fn crate_uses_only_what_its_row_allows() {
    check_manifest("avocet-broker", "avocet-router.workspace = true", &[]);
    check_manifest("avocet-broker", "avocet-cluster.workspace = true", &["must not use"]);
    check_manifest("avocet-router", "avocet-session.workspace = true", &["must not use"]);
    check_manifest("avocet-net", "avocet-config.workspace = true", &[]);
    check_manifest("avocet-router", "avocet-config.workspace = true", &["must not use"]);
    check_manifest("avocet-tests", "avocet-cluster.workspace = true", &[]);
    check_manifest("avocet-other", "avocet-mqtt.workspace = true", &["no row"]);
}

#[test]
fn table_of_reasons_names_the_users_of_a_crate_and_no_others() {
    let check = |row: &str, expected: &[&str]| {
        let manifests = [
            ("crates/avocet-net/Cargo.toml", manifest("avocet-net", "tokio = \"1\"")),
            ("crates/avocet-broker/Cargo.toml", manifest("avocet-broker", "tokio = \"1\"")),
            ("crates/avocet-config/Cargo.toml", manifest("avocet-config", "")),
        ];
        let table = format!("| crate | used by | why |\n|---|---|---|\n{row}\n\n| tokio | net | |");
        let [net, broker, config] = &manifests;
        let found = found(&[
            (net.0, &net.1),
            (broker.0, &broker.1),
            (config.0, &config.1),
            ("ARCHITECTURE.md", &table),
        ]);
        assert_eq!(found, expected);
    };
    check("| tokio | net, tests of broker | speed |", &[]);
    check("| tokio | net | speed |", &["ARCHITECTURE.md:3: broker uses tokio, too"]);
    check("| tokio | net, broker, config | speed |", &["ARCHITECTURE.md:3: config has no tokio"]);
    check("| mio | | speed |", &["ARCHITECTURE.md: does not say what tokio is used for"]);
}

#[test]
fn pure_crate_has_no_sockets_clock_or_dice() {
    check_manifest("avocet-session", "tokio.workspace = true", &["pure"]);
    check_manifest("avocet-net", "tokio.workspace = true", &[]);
    let path = "crates/avocet-mqtt/Cargo.toml";
    check_one(&[(path, &manifest("avocet-mqtt", ""))], path, "clippy.toml");
}

#[test]
fn dependency_has_a_version_or_the_workspace() {
    check_manifest("avocet-net", "quinn = \"0.11\"", &[]);
    check_manifest("avocet-net", "quinn = { git = \"https://example.org\" }", &["neither"]);
    check_manifest("avocet-net", "quinn = { path = \"../../quinn\" }", &["neither"]);
}

#[test]
fn crate_takes_the_lints_of_the_workspace() {
    let path = "crates/avocet-net/Cargo.toml";
    check_one(&[(path, "[package]\nname = \"avocet-net\"\n")], path, "lints");
}

#[test]
fn banned_words_are_found_where_they_stand() {
    check_in_library("#[allow(dead_code)]", 2, "#[expect");
    check_in_library("fn f() { todo!() }", 2, "leftover");
    check_in_library("// FIXME", 2, "leftover");
    check_in_library("use tokio::sync::mpsc::UnboundedSender;", 2, "bound");
    check_in_library("const DIR: &str = \"/root/x\";", 2, "machine");
    check_in_library("const ANY: &str = \"0.0.0.0\";", 2, "loopback");
}

#[test]
fn part_of_a_longer_word_is_no_finding() {
    let manifest = manifest("avocet-net", "");
    let source = "//! Map.\n// autoTODOs and Deserialize, a/work/b\n";
    let files = [
        ("crates/avocet-net/Cargo.toml", manifest.as_str()),
        ("crates/avocet-net/src/lib.rs", source),
    ];
    assert_eq!(found(&files), [""; 0]);
}

#[test]
fn spine_type_is_not_serialize() {
    let manifest = manifest("avocet-mqtt", "");
    let files = [
        ("crates/avocet-mqtt/Cargo.toml", manifest.as_str()),
        ("crates/avocet-mqtt/clippy.toml", ""),
        ("crates/avocet-mqtt/src/lib.rs", "//! Map.\n#[derive(Serialize)]\nstruct A;\n"),
    ];
    check_one(&files, "crates/avocet-mqtt/src/lib.rs:2: ", "Serialize");
}

#[test]
fn test_neither_sleeps_nor_chooses_its_port_nor_is_ignored() {
    let manifest = manifest("avocet-net", "");
    for (line, says) in [
        ("std::thread::sleep(second);", "sleep"),
        ("let socket = TcpStream::connect(\"127.0.0.1:1883\");", "port 0"),
        ("#[ignore]", "runs"),
    ] {
        let source = format!("//! Map.\n{line}\n");
        let path = "crates/avocet-net/tests/listen.rs";
        let files = [("crates/avocet-net/Cargo.toml", manifest.as_str()), (path, source.as_str())];
        check_one(&files, &format!("{path}:2: "), says);
    }
}

#[test]
fn long_file_gives_its_reason() {
    let lines = "//\n".repeat(801);
    check_in_library_whole(&lines, "find the seam");
    let wide = format!("// {}", "w".repeat(98));
    check_in_library(&wide, 2, "101 characters");
}

fn check_in_library_whole(text: &str, says: &str) {
    let manifest = manifest("avocet-net", "");
    let path = "crates/avocet-net/src/lib.rs";
    let plain = format!("//! Map.\n{text}");
    let files = [("crates/avocet-net/Cargo.toml", manifest.as_str()), (path, plain.as_str())];
    check_one(&files, path, says);
    let excused = format!("//! Map. It is past 800\n//! lines because it is a table.\n{text}");
    let files = [("crates/avocet-net/Cargo.toml", manifest.as_str()), (path, excused.as_str())];
    assert_eq!(found(&files), [""; 0]);
}

#[test]
fn file_without_a_declaration_is_dead() {
    let manifest = manifest("avocet-net", "");
    let files = [
        ("crates/avocet-net/Cargo.toml", manifest.as_str()),
        ("crates/avocet-net/src/lib.rs", "//! Map.\nmod a;\n"),
        ("crates/avocet-net/src/a.rs", "pub(crate) mod b;\n"),
        ("crates/avocet-net/src/a/b.rs", ""),
        ("crates/avocet-net/src/c.rs", ""),
    ];
    check_one(&files, "crates/avocet-net/src/c.rs: ", "no module declares");
}

#[test]
fn drawer_and_crate_without_map_are_found() {
    let manifest = manifest("avocet-net", "");
    let files = [
        ("crates/avocet-net/Cargo.toml", manifest.as_str()),
        ("crates/avocet-net/src/lib.rs", "mod util;\n"),
        ("crates/avocet-net/src/util.rs", ""),
    ];
    let found = found(&files);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("map") && found[1].contains("drawer"), "{found:#?}");
}

#[test]
fn link_that_leads_nowhere_is_found() {
    let text = "[a](guides/a.md#top) [b](b.md) [c](https://example.org/c.md)\n";
    let files = [("docs/start.md", text), ("docs/guides/a.md", "[up](../start.md)\n")];
    check_one(&files, "docs/start.md:1: ", "b.md");
}

#[test]
fn version_is_compared_and_other_systems_are_named_where_they_belong() {
    let compares = "if version >= ProtocolVersion::V5 {}";
    check_in_library(compares, 2, "`>= ProtocolVersion::`");
    check_in_library("match v { ProtocolVersion::V5 => {} }", 2, "decided in avocet-mqtt");
    let source = |name: &str, text: &str| {
        let path = format!("crates/{name}/src/lib.rs");
        let manifest = (format!("crates/{name}/Cargo.toml"), manifest(name, ""));
        let clippy = (format!("crates/{name}/clippy.toml"), String::new());
        let files = [(path, format!("//! Map.\n{text}\n")), manifest, clippy];
        found(&files.each_ref().map(|(path, text)| (path.as_str(), text.as_str())))
    };
    assert_eq!(source("avocet-session", compares), Vec::<String>::new());
    assert_eq!(source("avocet-broker", "codec.version();").len(), 0);
    assert_eq!(source("avocet-broker", "// As redis does.").len(), 1);
    assert_eq!(source("avocet-broker", "mod kafka;").len(), 1);
    assert_eq!(source("avocet-net", "// As redis does.").len(), 0);
}
