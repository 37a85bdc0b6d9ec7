//! The documents for users do what they say: their commands are run, block by block, against one
//! broker for each document, and print what stands below them.
//!
//! A block that begins with ```` ```sh run ```` is run by bash; a ```` ```text ```` block right
//! behind it is what it prints. ```` ```sh run terminal ```` stands for a terminal of its own: it
//! goes on in the background, the next block waits until it has subscribed, and what it printed is
//! compared at the end. The broker's port is `PORT`, its data directory is set for commands that
//! read the configuration, the executable is on the path, and the files of a document lie in a
//! folder of its own.

use std::{env, fs, path::Path, process::Command};

use avocet_tests::{
    Broker, Raw, Version, broker,
    foreign::{self, Running},
};

#[test]
fn commands_of_the_guides_print_what_the_guides_say() {
    if Broker::is_foreign() || foreign::program("mosquitto_sub", "guides").is_none() {
        return;
    }
    let root = foreign::repository();
    let guides = fs::read_dir(root.join("docs/guides")).expect("there are guides");
    let guides = guides.map(|entry| entry.expect("the folder can be read").path());
    let pages = guides.chain([root.join("README.md"), root.join("docs/start.md")]);
    let mut blocks_run = 0;
    for page in pages.filter(|page| page.extension().is_some_and(|ending| ending == "md")) {
        let text = fs::read_to_string(&page).expect("a document is text");
        blocks_run += run(&page, &blocks(&text));
    }
    assert!(blocks_run > 0, "no block begins with ```sh run");
}

/// Commands of a document.
#[derive(Default)]
struct Block {
    line: usize,
    in_background: bool,
    script: String,
    printed: Option<String>,
}

impl Block {
    fn check(&self, page: &Path, printed: &str) {
        let Some(expected) = &self.printed else { return };
        let place = format!("{}:{}", page.display(), self.line);
        assert_eq!(printed.trim_end(), expected.trim_end(), "printed by the block at {place}");
    }
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = text.lines().enumerate();
    let mut follows_a_run = false;
    while let Some((index, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        let body: String = inside.map(|line| format!("{line}\n")).collect();
        let runs = matches!(info, "sh run" | "sh run terminal");
        match blocks.last_mut().filter(|_| info == "text" && follows_a_run) {
            Some(block) => block.printed = Some(body),
            None if runs => blocks.push(Block {
                line: index + 1,
                in_background: info == "sh run terminal",
                script: body,
                printed: None,
            }),
            None => {}
        }
        follows_a_run = runs;
    }
    blocks
}

/// Runs the blocks of one document and tells how many there were.
fn run(page: &Path, blocks: &[Block]) -> usize {
    let broker = Broker::start(&["sys.interval=100ms"]);
    let folder = broker.data_dir().join("guide");
    fs::create_dir(&folder).expect("the data directory is writable");
    let mut terminals = Vec::new();
    for block in blocks {
        let mut bash = bash(&broker, &block.script);
        bash.current_dir(&folder);
        if block.in_background {
            let mut figures = Subscriptions::watch(&broker);
            terminals.push((block, Running::start(&mut bash)));
            figures.wait_for_one_more();
        } else {
            block.check(page, &foreign::run(&mut bash));
        }
    }
    for (block, terminal) in terminals {
        block.check(page, &terminal.finish());
    }
    blocks.len()
}

fn bash(broker: &Broker, script: &str) -> Command {
    let executable = broker::executable();
    let beside = executable.parent().expect("the executable lies in a folder").to_path_buf();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([beside].into_iter().chain(env::split_paths(&path)));
    let mut bash = Command::new("bash");
    bash.args(["-e", "-c", script]).env("PATH", path.expect("folders without a colon"));
    bash.env("HOST", broker.address().ip().to_string());
    // Commands that read a configuration find the broker's folder by it.
    bash.env("AVOCET__NODE__DATA_DIR", broker.data_dir());
    bash.env("PORT", broker.address().port().to_string());
    bash
}

/// How many subscriptions the broker has, by what it tells in `$SYS/`.
struct Subscriptions {
    raw: Raw,
    count: u32,
}

impl Subscriptions {
    fn watch(broker: &Broker) -> Self {
        let mut raw = broker.client(Version::V5, "");
        raw.subscribe("$SYS/brokers/+/stats/subscriptions/count", 0);
        let mut figures = Self { raw, count: 0 };
        // The first figure may be older than the block before; the second is not.
        figures.next();
        figures.count = figures.next();
        figures
    }

    fn next(&mut self) -> u32 {
        self.raw.expect_publish().text().parse().expect("a figure")
    }

    fn wait_for_one_more(&mut self) {
        while self.next() <= self.count {}
    }
}
