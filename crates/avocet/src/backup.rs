//! `avocet backup` and `avocet restore`: copies of the store.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use avocet::config::Config;
use avocet_storage::{Report, backup, disk::Folder};
use clap::Args;

use crate::{
    cli::{ConfigArgs, MISTAKEN, complain, fail, print, read},
    data_dir::{DataDir, LOCK},
    store,
};

/// What the embedded store keeps beside its log, and makes anew.
const BESIDE: [&str; 2] = ["queues.scratch", "closed"];

#[derive(Args, Debug)]
#[command(after_help = BACKUP_EXAMPLES)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where the backup goes: a new folder, or an empty one.
    dir: PathBuf,
}

const BACKUP_EXAMPLES: &str = "\
Examples:
  avocet backup /backups/monday                    of a broker without configuration
  avocet backup -c /etc/avocet/avocet.toml /backups/$(date +%F)

Everything that was acknowledged before the command began is in the backup. Exit code 1 if it could
not be made, or if the store is damaged: then the backup has what can be read.";

#[derive(Args, Debug)]
#[command(after_help = RESTORE_EXAMPLES)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// If there is a store already, give it another name and put the backup in its place.
    #[arg(long)]
    replace: bool,
    /// Take a damaged backup, too: what of it can be read is there when the broker starts.
    #[arg(long)]
    damaged: bool,
    /// Where the backup is.
    dir: PathBuf,
}

const RESTORE_EXAMPLES: &str = "\
Examples:
  avocet restore /backups/monday                   for a broker without configuration
  avocet restore -c /etc/avocet/avocet.toml --replace /backups/monday
  avocet restore --set node.data_dir=/tmp/trial /backups/monday
                                                   to try a backup beside the broker that runs

A store that is replaced stays beside the new one, as store.replaced; it is yours to delete.";

/// Runs `avocet backup`.
pub(crate) fn run_backup(args: BackupArgs) -> ExitCode {
    let config = match read(args.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let store = store::path(&config);
    if is_within(&args.dir, &store) {
        let dir = args.dir.display();
        complain(&format_args!("avocet: {dir} is a part of the store; a backup goes elsewhere"));
        return ExitCode::from(MISTAKEN);
    }
    match make_backup(&store, &args.dir) {
        Ok(report) => {
            let head = format!("backed up {} to {}", store.display(), args.dir.display());
            let printed = print(&format!("{head}\n{}", store::stats(&report)));
            if report.is_sound() {
                return printed;
            }
            if report.left_out.is_empty() {
                complain(&"avocet: the store is damaged, and the backup has only what can be read");
            } else {
                complain(&format_args!("avocet: the backup lacks {}", left_out(&report)));
            }
            ExitCode::FAILURE
        }
        Err(error) => fail(&error),
    }
}

/// What cannot be opened, in one line.
fn left_out(report: &Report) -> String {
    let each = report.left_out.iter();
    let each = each.map(|(name, why)| format!("{name}, which cannot be opened ({why})"));
    each.collect::<Vec<_>>().join(", and ")
}

fn make_backup(store: &Path, dir: &Path) -> anyhow::Result<Report> {
    let from = store::open(store)?;
    let is_new = !dir.exists();
    let to = Folder::open(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let made = backup(&from, &to);
    if made.is_err() && is_new {
        // It stays if there is something in it.
        fs::remove_dir(dir).ok();
    }
    let (store, dir) = (store.display(), dir.display());
    made.with_context(|| format!("cannot back up {store} to {dir}"))
}

/// Whether a folder, which need not be there, is another or lies in it.
fn is_within(inner: &Path, outer: &Path) -> bool {
    let Ok(outer) = outer.canonicalize() else { return false };
    let absolute = std::path::absolute(inner).unwrap_or_else(|_| inner.to_owned());
    let mut existing = absolute.ancestors().filter_map(|it| it.canonicalize().ok());
    existing.next().is_some_and(|it| it.starts_with(outer))
}

/// Runs `avocet restore`.
pub(crate) fn run_restore(args: RestoreArgs) -> ExitCode {
    let RestoreArgs { config, replace, damaged, dir } = args;
    let config = match read(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    match restore(&config, &dir, Permitted { replace, damaged }) {
        Ok((report, aside)) => {
            let store = store::path(&config);
            let mut text = format!("restored {} to {}\n", dir.display(), store.display());
            if let Some(aside) = aside {
                text.push_str(&format!("what was there is {} now\n", aside.display()));
            }
            print(&(text + &store::stats(&report)))
        }
        Err(error) => fail(&error),
    }
}

/// What is done only if it was asked for.
#[derive(Clone, Copy, Debug)]
struct Permitted {
    replace: bool,
    damaged: bool,
}

/// Answers what was restored, and where a store is that was there before.
fn restore(
    config: &Config,
    dir: &Path,
    permitted: Permitted,
) -> anyhow::Result<(Report, Option<PathBuf>)> {
    let from = store::open(dir)?;
    let mut found = store::look(dir)?;
    found.put_aside.clear();
    if found.segments.is_empty() {
        bail!("there is no backup in {}: it has files such as 0000000000.log", dir.display());
    }
    if !found.is_sound() && !permitted.damaged {
        bail!("{} is damaged; --damaged takes what can be read of it", dir.display());
    }
    let _held = DataDir::open(&config.node.data_dir)?;
    let store = store::path(config);
    let is_there =
        is_store(&store).with_context(|| format!("cannot see what is in {}", store.display()))?;
    if is_there && !permitted.replace {
        let shown = store.display();
        bail!("there is a store in {shown}; --replace gives it another name, and takes its place");
    }
    let coming = store.with_extension("restoring");
    let made = bring(&from, &coming, &found, &config.node.data_dir);
    let placed = made.and_then(|()| place(&coming, &store, is_there));
    if placed.is_err() {
        // Whatever stays of it is taken away by the next attempt.
        remove(&coming).ok();
    }
    let shown = (dir.display(), store.display());
    let aside = placed.with_context(|| format!("cannot restore {} to {}", shown.0, shown.1))?;
    Ok((found, aside))
}

/// Whether there is anything that somebody could miss.
fn is_store(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.try_fold(false, |is_there, entry| {
            entry.map(|entry| is_there | BESIDE.iter().all(|name| entry.file_name() != **name))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Copies the backup beside the place where it belongs.
fn bring(from: &Folder, coming: &Path, found: &Report, data_dir: &Path) -> anyhow::Result<()> {
    remove(coming)?;
    let copied = backup(from, &Folder::open(coming)?)?;
    // What cannot be opened was told as damage, and is not in the copy.
    if copied.left_out.is_empty() && copied != *found {
        bail!("the copy is not what the backup is, which has perhaps changed meanwhile");
    }
    // The broker is perhaps not run by who restores.
    let owner = fs::metadata(data_dir)?;
    for entry in fs::read_dir(coming)? {
        give(&entry?.path(), &owner)?;
    }
    give(coming, &owner)?;
    give(&data_dir.join(LOCK), &owner)
}

fn give(path: &Path, owner: &fs::Metadata) -> anyhow::Result<()> {
    let (uid, gid) = (owner.uid(), owner.gid());
    if fs::metadata(path)?.uid() != uid {
        let to = || format!("cannot give {} to user {uid}", path.display());
        chown(path, Some(uid), Some(gid)).with_context(to)?;
    }
    Ok(())
}

/// Puts the copy in its place; answers where what was there is.
fn place(coming: &Path, store: &Path, is_there: bool) -> anyhow::Result<Option<PathBuf>> {
    let mut aside = None;
    if is_there {
        let free = free_name(store);
        fs::rename(store, &free)?;
        aside = Some(free);
    } else {
        remove(store)?;
    }
    if let Err(error) = fs::rename(coming, store) {
        if let Some(aside) = aside {
            fs::rename(&aside, store)
                .with_context(|| format!("what was there is {} now", aside.display()))?;
        }
        return Err(error.into());
    }
    let parent = store.parent().unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()?;
    Ok(aside)
}

fn free_name(store: &Path) -> PathBuf {
    let first = store.with_extension("replaced");
    let more = (2..).map(|number: u64| store.with_extension(format!("replaced-{number}")));
    let mut names = std::iter::once(first.clone()).chain(more);
    names.find(|name| fs::symlink_metadata(name).is_err()).unwrap_or(first)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_within_another_is_found_before_it_is_made() {
        let folder = std::env::temp_dir().join(format!("avocet-within-{}", std::process::id()));
        let store = folder.join("store");
        fs::create_dir_all(&store).unwrap();
        let within = |path: &str| is_within(&folder.join(path), &store);
        assert!(within("store") && within("store/a") && within("store/a/b") && within("./store/"));
        assert!(!within("") && !within("store.a") && !within("a/store") && !within("storey"));
        assert_eq!(free_name(&store), folder.join("store.replaced"));
        fs::create_dir(folder.join("store.replaced")).unwrap();
        assert_eq!(free_name(&store), folder.join("store.replaced-2"));
        assert!(!is_store(&store).unwrap() && !is_store(&folder.join("absent")).unwrap());
        BESIDE.iter().for_each(|name| fs::write(store.join(name), "").unwrap());
        assert!(!is_store(&store).unwrap());
        fs::write(store.join("0000000000.log.damaged"), "").unwrap();
        assert!(is_store(&store).unwrap());
        fs::remove_dir_all(&folder).unwrap();
    }
}
