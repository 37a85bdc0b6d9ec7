//! What a package of the program brings along: manual pages, and completion in shells, both made of
//! the definitions of the command line.

use std::{fs, path::Path};

use anyhow::Context;
use clap::{Command, ValueEnum};
use clap_complete::{Generator, Shell};
use clap_mangen::Man;

/// The shells that complete the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CompletedShell {
    Bash,
    Fish,
    Zsh,
}

/// The script by which this shell completes the command line.
pub(crate) fn completions(command: Command, shell: CompletedShell) -> String {
    let shell = match shell {
        CompletedShell::Bash => Shell::Bash,
        CompletedShell::Fish => Shell::Fish,
        CompletedShell::Zsh => Shell::Zsh,
    };
    let mut command = without_hidden(command);
    command.set_bin_name("avocet");
    command.build();
    let mut script = Vec::new();
    shell.generate(&command, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes a page of the manual for the program and for each of its commands.
///
/// # Errors
///
/// A file cannot be written.
pub(crate) fn write_pages(command: Command, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, page) in pages(command) {
        let file = folder.join(format!("{name}.1"));
        fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn pages(command: Command) -> Vec<(String, Vec<u8>)> {
    // Options that all commands have are on each page; `help` is on none.
    let mut command = without_hidden(command).disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    let mut open = vec![("avocet".to_owned(), command)];
    while let Some((name, command)) = open.pop() {
        for inner in command.get_subcommands() {
            open.push((format!("{name}-{}", inner.get_name()), inner.clone()));
        }
        let mut page = Vec::new();
        let title = name.to_uppercase();
        // A manual's page is called by the command with hyphens, and shows it with spaces.
        let command = command.display_name(name.clone());
        if Man::new(command).title(title).render(&mut page).is_ok() {
            pages.push((name, page));
        }
    }
    pages
}

/// Without the commands that are there for the repository alone.
fn without_hidden(command: Command) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
        .map(|inner| inner.get_name().to_owned())
        .collect();
    let shown: Vec<Command> =
        names.iter().filter_map(|name| command.find_subcommand(name).cloned()).collect();
    let mut bare = Command::new("avocet").version(env!("CARGO_PKG_VERSION")).subcommands(shown);
    for argument in command.get_arguments() {
        bare = bare.arg(argument.clone());
    }
    if let Some(about) = command.get_about() {
        bare = bare.about(about.clone());
    }
    if let Some(after) = command.get_after_help() {
        bare = bare.after_help(after.clone());
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    #[test]
    fn every_command_has_a_page_and_those_for_the_repository_have_none() {
        let names: Vec<String> = pages(cli::command()).into_iter().map(|(name, _)| name).collect();
        for command in cli::command().get_subcommands() {
            let name = format!("avocet-{}", command.get_name());
            assert_eq!(names.contains(&name), !command.is_hide_set(), "{name}");
            for inner in command.get_subcommands() {
                let name = format!("{name}-{}", inner.get_name());
                assert!(names.contains(&name), "{name}");
            }
        }
        assert!(names.contains(&"avocet".to_owned()), "{names:?}");
    }

    #[test]
    fn pages_say_what_the_help_says() {
        let pages = pages(cli::command());
        let page = |name: &str| {
            let (_, page) = pages.iter().find(|(other, _)| other == name).unwrap();
            String::from_utf8(page.clone()).unwrap()
        };
        assert!(page("avocet").contains("ready tcp.default") || page("avocet").contains("start"));
        assert!(page("avocet-start").contains("config"), "{}", page("avocet-start"));
        assert!(page("avocet-bench-pair").contains("window"));
    }

    #[test]
    fn every_shell_completes_every_command() {
        for shell in CompletedShell::value_variants() {
            let script = completions(cli::command(), *shell);
            for command in cli::command().get_subcommands() {
                let name = command.get_name();
                // As a word of its own; `docs` may be a part of another.
                let has = script.split(|c: char| !c.is_alphanumeric()).any(|word| word == name);
                assert_eq!(has, !command.is_hide_set(), "{shell:?}: {name}");
            }
        }
    }
}
