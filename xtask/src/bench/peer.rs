//! The brokers that are measured: what `xtask/peers.toml` says of each, and Avocet twice, with one
//! shard and as it is.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::row::Row;
use crate::{repository, services};

const FILE: &str = "xtask/peers.toml";

/// A broker that may be installed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Peer {
    pub(super) name: String,
    /// Prints the version somewhere in its first line.
    version: Vec<String>,
    command: Vec<String>,
    #[serde(default)]
    config: String,
    /// What the file with it is called.
    #[serde(default = "usual_name")]
    config_name: String,
    /// More files in its folder.
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// Rows that it cannot do, by name or beginning of the name, with the reason.
    #[serde(default)]
    lacks: BTreeMap<String, String>,
    #[serde(default = "usual_seconds")]
    seconds_to_start: u64,
}

fn usual_seconds() -> u64 {
    15
}

fn usual_name() -> String {
    "broker.conf".to_owned()
}

#[derive(Deserialize)]
struct Peers {
    peer: Vec<Peer>,
    durable: Vec<Peer>,
}

/// Avocet first, then those of the file.
pub(super) fn all(avocet: &Path) -> Result<Vec<Peer>> {
    let ours = [("Avocet", None), ("Avocet, 1 shard", Some("node.shards=1"))];
    let ours = ours.into_iter().map(|(name, setting)| Peer::avocet(avocet, name, setting));
    Ok(ours.chain(read()?.peer).collect())
}

/// What stores messages for good and does nothing else, of [`durable`].
pub(super) const BARE: &str = "a bare server";

/// The same for what outlives the process: by how much care is taken of it.
pub(super) fn durable(avocet: &Path) -> Result<Vec<Peer>> {
    let ours = [
        ("Avocet", None),
        ("Avocet, `os`", Some("session.durability=os")),
        ("Avocet, `memory`", Some("session.durability=memory")),
    ];
    let ours = ours.into_iter().map(|(name, setting)| Peer::avocet(avocet, name, setting));
    Ok(ours.chain([Peer::bare(avocet)]).chain(read()?.durable).collect())
}

fn read() -> Result<Peers> {
    let text = repository::read(FILE)?;
    toml::from_str(&text).with_context(|| format!("reading {FILE}"))
}

impl Peer {
    fn avocet(executable: &Path, name: &str, setting: Option<&str>) -> Self {
        let settings = [
            "listeners.tcp.default.bind=127.0.0.1:{port}",
            "http.enable=false",
            "http.bind=127.0.0.1:{port2}",
            "node.data_dir={dir}/data",
            "log.level=warn",
        ];
        let settings = settings.into_iter().chain(setting);
        let arguments = settings.flat_map(|setting| ["--set".to_owned(), setting.to_owned()]);
        Self::of_ours(executable, name, ["start".to_owned()].into_iter().chain(arguments))
    }

    /// One that tells its metrics.
    pub(super) fn telling(executable: &Path) -> Self {
        Self::avocet(executable, "Avocet", Some("http.enable=true"))
    }

    fn bare(executable: &Path) -> Self {
        let words = ["bench", "relay", "--port", "{port}", "--folder", "{dir}"];
        Self::of_ours(executable, BARE, words.map(str::to_owned))
    }

    /// A program that the executable is, too.
    fn of_ours(executable: &Path, name: &str, arguments: impl IntoIterator<Item = String>) -> Self {
        let executable = executable.display().to_string();
        Self {
            name: name.to_owned(),
            version: vec![executable.clone(), "--version".to_owned()],
            command: [executable].into_iter().chain(arguments).collect(),
            config: String::new(),
            config_name: usual_name(),
            files: BTreeMap::new(),
            environment: BTreeMap::new(),
            lacks: BTreeMap::new(),
            seconds_to_start: 60,
        }
    }

    /// The first number with a point in what it prints; nothing if it is not installed.
    pub(super) fn version(&self) -> Result<Option<String>> {
        let words: Vec<String> = self.version.iter().map(|word| in_peers(word)).collect();
        let Some((program, arguments)) = words.split_first() else {
            bail!("{} has no `version` in {FILE}", self.name);
        };
        let Ok(output) = Command::new(program).args(arguments).output() else { return Ok(None) };
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        let words = text.split_whitespace().map(|word| word.trim_start_matches('v'));
        let version = words.into_iter().find(|word| {
            word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit())
        });
        Ok(Some(version.unwrap_or("of unknown version").trim_end_matches(',').to_owned()))
    }
}

fn in_peers(text: &str) -> String {
    let folder = services::folder().unwrap_or_default().join("peers");
    text.replace("{peers}", &folder.display().to_string())
}

/// A broker that serves. It ends with this.
#[derive(Debug)]
pub(super) struct Running {
    peer: Peer,
    pub(super) version: String,
    child: Child,
    pub(super) port: u16,
    /// Where it tells its metrics, if it does.
    pub(super) http_port: u16,
    folder: PathBuf,
}

impl Running {
    pub(super) fn start(peer: Peer, version: String) -> Result<Self> {
        let name: String = peer.name.chars().filter(char::is_ascii_alphanumeric).collect();
        let folder = env::temp_dir().join(format!("avocet-bench-{}-{name}", std::process::id()));
        let (child, [port, http_port], _) = launch(&peer, &folder, |_| Ok(()))?;
        Ok(Self { peer, version, child, port, http_port, folder })
    }

    /// Ends it and starts it as if for the first time.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.restart_with(|_| Ok(())).map(drop)
    }

    /// The same with what `fill` puts into its folder before it is started: how long it takes until
    /// it lets somebody in.
    pub(super) fn restart_with(
        &mut self,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Duration> {
        end(&mut self.child);
        let took;
        let ports;
        (self.child, ports, took) = launch(&self.peer, &self.folder, fill)?;
        [self.port, self.http_port] = ports;
        Ok(took)
    }

    /// Where everything lies that it writes.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it has the session of a client.
    pub(super) fn has_session(&self, client_id: &str) -> bool {
        connack(self.port, client_id, false).is_some_and(|connack| connack[2] == 1)
    }

    pub(super) fn name(&self) -> &str {
        &self.peer.name
    }

    pub(super) fn process_id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn is_up(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None)) && answers(self.port)
    }

    /// Whether it has what a row needs, or why not.
    pub(super) fn can_do(&self, row: &Row) -> Result<(), String> {
        let lack = self.peer.lacks.iter().find(|(name, _)| row.name.starts_with(&***name));
        lack.map_or(Ok(()), |(_, reason)| Err(reason.clone()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child);
        // What stays behind is in the system's folder for such things.
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn launch(
    peer: &Peer,
    folder: &Path,
    prepare: impl FnOnce(&Path) -> Result<()>,
) -> Result<(Child, [u16; 2], Duration)> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    prepare(folder)?;
    let ports = free_ports()?;
    let config = folder.join(&peer.config_name);
    let fill = |text: &str| {
        let mut text = in_peers(text)
            .replace("{dir}", &folder.display().to_string())
            .replace("{config}", &config.display().to_string())
            .replace("{port}", &ports[0].to_string());
        for (number, port) in ports.iter().enumerate().skip(1) {
            text = text.replace(&format!("{{port{}}}", number + 1), &port.to_string());
        }
        text
    };
    fs::write(&config, fill(&peer.config)).context("writing a broker's configuration")?;
    for (name, text) in &peer.files {
        fs::write(folder.join(name), fill(text)).context("writing a broker's files")?;
    }
    let words: Vec<String> = peer.command.iter().map(|word| fill(word)).collect();
    let (program, arguments) = words.split_first().context("a peer needs a command")?;
    let log_path = folder.join("broker.log");
    let log = fs::File::create(&log_path).context("creating a broker's log")?;
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .envs(peer.environment.iter().map(|(name, value)| (name, fill(value))))
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("creating a broker's log")?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("starting {}", peer.name))?;
    let deadline = begun + Duration::from_secs(peer.seconds_to_start);
    while !answers(ports[0]) {
        let has_ended = !matches!(child.try_wait(), Ok(None));
        if has_ended || Instant::now() > deadline {
            end(&mut child);
            let log = fs::read_to_string(&log_path).unwrap_or_default();
            bail!("{} does not serve; its log:\n{}", peer.name, log.trim());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok((child, [ports[0], ports[1]], begun.elapsed()))
}

/// Whether a CONNECT is let in.
fn answers(port: u16) -> bool {
    connack(port, "look", true).is_some()
}

/// What a CONNECT of 3.1.1 is answered with, if that is a success.
fn connack(port: u16, client_id: &str, is_clean: bool) -> Option<[u8; 4]> {
    connect(port, client_id, is_clean).map(|(_, connack)| connack)
}

/// A connection of 3.1.1, and what CONNECT is answered with, if that is a success.
pub(super) fn connect(port: u16, client_id: &str, is_clean: bool) -> Option<(TcpStream, [u8; 4])> {
    let id_bytes = u8::try_from(client_id.len()).ok().filter(|bytes| *bytes < 100)?;
    let flags = u8::from(is_clean) << 1;
    let mut connect = vec![0x10, 12 + id_bytes, 0, 4];
    connect.extend(b"MQTT");
    connect.extend([4, flags, 0, 60, 0, id_bytes]);
    connect.extend(client_id.as_bytes());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(&connect).ok()?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).ok()?;
    (answer[..2] == [0x20, 2] && answer[3] == 0).then_some((stream, answer))
}

/// Ports that nobody listens at. They are told apart from each other because all are held at once.
fn free_ports() -> Result<[u16; 5]> {
    let mut held = Vec::new();
    let mut ports = [0; 5];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
        *port = listener.local_addr().context("looking for a free port")?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// SIGTERM, and SIGKILL for one that does not mind.
fn end(child: &mut Child) {
    let id = child.id().to_string();
    repository::works(&mut repository::command("kill", &["-TERM", &id]));
    let deadline = Instant::now() + Duration::from_secs(15);
    while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(Duration::from_millis(20));
    }
    // Both fail only when it has ended.
    child.kill().ok();
    child.wait().ok();
}
