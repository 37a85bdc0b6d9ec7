//! The executable run to its end, and a folder for what it reads and writes.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{broker::executable, deadline, foreign};

/// How a run ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the executable in `folder` until it ends, which it has to do by itself.
pub fn run(folder: &Folder, variables: &[(&str, &str)], words: &[&str]) -> Ended {
    let mut command = Command::new(executable());
    command.args(words).envs(variables.iter().copied()).current_dir(folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let spawned = command.spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    let is_over = deadline::poll(deadline::ANSWER, || child.try_wait().ok().flatten()).is_some();
    if !is_over {
        // Fails only when it has ended meanwhile.
        drop(child.kill());
    }
    let output: Output = child.wait_with_output().expect("its output is piped");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes UTF-8");
    let ended = Ended {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    assert!(is_over, "{command:?} goes on: {ended:?}");
    ended
}

/// A folder of one test, gone with it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    #[expect(clippy::new_without_default, reason = "it makes something on the disk")]
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("avocet-tests-folder-{}-{number}", std::process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("the temporary folder is writable");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, and returns where it is.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("the temporary folder is writable");
        path.display().to_string()
    }
}

/// A small disk of its own, where the system gives one (Linux, root): a file system in memory.
#[derive(Debug)]
pub struct SmallDisk(Folder);

impl SmallDisk {
    /// One of so many megabytes; or a note that the test was not run.
    pub fn mount(megabytes: usize) -> Option<Self> {
        let folder = Folder::new();
        let size = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "avocet-tests"]).arg(folder.path());
        if !mount.output().is_ok_and(|output| output.status.success()) {
            foreign::note("a small disk: the system mounts none for us");
            return None;
        }
        Some(Self(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Mounts it anew: `ro` or `rw`.
    pub fn remount(&self, rights: &str) {
        let how = format!("remount,{rights}");
        let remounted = Command::new("mount").args(["-o", &how]).arg(self.path()).output();
        let remounted = remounted.expect("it was started before");
        assert!(remounted.status.success(), "{remounted:?}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Also if somebody has a file open there.
        drop(Command::new("umount").arg("-l").arg(self.path()).output());
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is in the system's folder for such things.
        drop(fs::remove_dir_all(&self.0));
    }
}
