//! Starts the real executable, knows its address, and ends it.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use crate::{Connect, Raw, Version, deadline};

/// Tries the tests themselves: `host:port` of a running broker, or `mosquitto` to start one.
const FOREIGN: &str = "AVOCET_TEST_BROKER";

/// A broker of one test: started for it, ended with it.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    child: Option<Child>,
    log: Arc<Mutex<String>>,
    ready: String,
    /// What it writes when it serves.
    lines: Option<Mutex<mpsc::Receiver<String>>>,
    data_dir: Option<PathBuf>,
    is_folder_ours: bool,
}

/// A broker that does not serve yet.
#[derive(Debug)]
pub struct Starting {
    broker: Broker,
}

impl Starting {
    /// Waits until it serves.
    pub fn ready(self) -> Broker {
        let Self { mut broker } = self;
        broker.wait_until_ready();
        broker
    }

    /// Ends it as [`Broker::kill`] does, wherever it is.
    pub fn kill(mut self) {
        self.broker.kill();
    }
}

impl Broker {
    /// Starts a broker with these `--set` settings beside a listener on a free port.
    pub fn start(settings: &[&str]) -> Self {
        match env::var(FOREIGN) {
            Ok(name) if name == "mosquitto" => Self::start_mosquitto(settings),
            Ok(address) => Self::running(&address),
            Err(_) => Self::start_avocet(settings, None),
        }
    }

    /// Starts the executable with a configuration file; what a test always needs is set beside it.
    pub fn start_with_file(file: &str) -> Self {
        Self::start_avocet(&[], Some(file))
    }

    /// Whether the broker under test is not Avocet; its settings are then not ours to choose.
    pub fn is_foreign() -> bool {
        env::var_os(FOREIGN).is_some()
    }

    /// Waits until it says that it serves, for the first time or anew.
    pub fn wait_until_ready(&mut self) {
        let lines = self.lines.as_ref().expect("the broker is ours");
        let lines = lines.lock().expect("nobody panics with it");
        let Ok(ready) = lines.recv_timeout(deadline::ANSWER) else {
            panic!("{} did not become ready; its log:\n{}", executable().display(), self.log());
        };
        drop(lines);
        self.ready = ready;
        if self.has_listener("tcp.default") {
            self.address = self.listener("tcp.default");
        }
    }

    /// Starts the executable on a folder that outlives it.
    pub fn start_in(data_dir: &Path, settings: &[&str]) -> Self {
        Self::launch_in(data_dir, settings).ready()
    }

    /// As [`Self::start_in`], without waiting until it serves.
    pub fn launch_in(data_dir: &Path, settings: &[&str]) -> Starting {
        Self::launch(data_dir, settings, None)
    }

    fn start_avocet(settings: &[&str], file: Option<&str>) -> Self {
        let data_dir = temporary_folder();
        let mut broker = Self::launch(&data_dir, settings, file).ready();
        broker.is_folder_ours = true;
        broker
    }

    fn launch(data_dir: &Path, settings: &[&str], file: Option<&str>) -> Starting {
        let mut command = Command::new(executable());
        command.args(["start", "--set", "listeners.tcp.default.bind=127.0.0.1:0"]);
        command.args(["--set", "http.bind=127.0.0.1:0"]);
        command.args(file.iter().flat_map(|file| ["-c", *file]));
        command.arg("--set").arg(format!("node.data_dir={}", data_dir.display()));
        command.args(settings.iter().flat_map(|setting| ["--set", *setting]));
        let mut broker = Self::spawn(command.stdout(Stdio::piped()));
        broker.data_dir = Some(data_dir.to_owned());
        let child = broker.child.as_mut().expect("the broker was just started");
        let stdout = child.stdout.take().expect("standard output is piped");
        let (sender, lines) = mpsc::sync_channel(8);
        broker.lines = Some(Mutex::new(lines));
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            for ready in lines.filter(|line| line.starts_with("ready ")) {
                // The receiver is gone only when nobody waits for the broker.
                drop(sender.try_send(ready));
            }
        });
        Starting { broker }
    }

    /// The address of a listener, by its name in the ready line.
    pub fn listener(&self, name: &str) -> SocketAddr {
        let address = self.place(name).parse().ok();
        address.unwrap_or_else(|| panic!("{name} has no address: {}", self.ready))
    }

    /// The file of a listener at a Unix socket.
    pub fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(self.place(name))
    }

    pub fn has_listener(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn place(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("no {name} in the ready line: {}", self.ready))
    }

    fn find(&self, name: &str) -> Option<&str> {
        let mut pairs = self.ready.split_whitespace().filter_map(|word| word.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, place)| place)
    }

    /// A mosquitto of the same short life, which has the settings that it knows under its names.
    fn start_mosquitto(settings: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("there is a free port");
        let mut lines = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n",
            address.port()
        );
        for (key, value) in settings.iter().filter_map(|setting| setting.split_once('=')) {
            let theirs = match key {
                "mqtt.max_packet_size" => "max_packet_size",
                "mqtt.max_awaiting_rel" => "max_inflight_messages",
                _ => panic!("mosquitto has no name for {key}"),
            };
            lines.push_str(&format!("{theirs} {value}\n"));
        }
        let folder = env::temp_dir().join(format!("avocet-tests-{}", std::process::id()));
        let config = folder.join(format!("mosquitto-{}.conf", address.port()));
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        std::fs::write(&config, lines).expect("the temporary folder is writable");
        let mut broker = Self::spawn(Command::new("mosquitto").arg("-v").arg("-c").arg(config));
        broker.address = address;
        let ready = deadline::poll(deadline::ANSWER, || TcpStream::connect(address).ok());
        assert!(ready.is_some(), "mosquitto did not start:\n{}", broker.log());
        broker
    }

    fn running(address: &str) -> Self {
        let resolved = address.to_socket_addrs().ok().and_then(|mut found| found.next());
        let address = resolved.unwrap_or_else(|| panic!("{FOREIGN}={address} is no host:port"));
        let log = Arc::default();
        let ready = String::new();
        Self {
            address,
            child: None,
            log,
            ready,
            lines: None,
            data_dir: None,
            is_folder_ours: false,
        }
    }

    fn spawn(command: &mut Command) -> Self {
        let spawned = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        let mut stderr = child.stderr.take().expect("standard error is piped");
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]);
                kept.lock().expect("nobody panics with the log").push_str(&text);
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let (child, ready) = (Some(child), String::new());
        Self { address, child, log, ready, lines: None, data_dir: None, is_folder_ours: false }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the broker has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panics with the log").clone()
    }

    /// The broker's process, to look at its memory or descriptors.
    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Bytes of memory the broker's process has.
    pub fn resident_bytes(&self) -> u64 {
        let id = self.process_id().expect("the broker is ours");
        let status = std::fs::read_to_string(format!("/proc/{id}/status"));
        let status = status.expect("the broker runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.expect("the system tells the size of a process") * 1024
    }

    /// What the broker wrote when it began to serve.
    pub fn ready(&self) -> &str {
        &self.ready
    }

    /// Where the broker keeps its files.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.as_deref().expect("the broker is ours")
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends SIGHUP, and waits until the log says `word` once more.
    pub fn reload(&self, word: &str) {
        let before = self.log().matches(word).count();
        self.signal("-HUP");
        let done = || (self.log().matches(word).count() > before).then_some(());
        let told = deadline::poll(deadline::ANSWER, done);
        assert!(told.is_some(), "no {word:?} after SIGHUP:\n{}", self.log());
    }

    /// Ends the broker with SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            // Both fail only when the broker has ended already.
            drop(child.kill());
            drop(child.wait());
        }
    }

    fn signal(&self, name: &str) {
        let id = self.process_id().expect("the broker is ours").to_string();
        let sent = Command::new("kill").args([name, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send a signal to {id}");
    }

    /// The exit code of a broker that ends by itself.
    pub fn exit_code(&mut self) -> Option<i32> {
        let child = self.child.as_mut().expect("the broker is ours");
        let status = deadline::poll(deadline::ANSWER, || child.try_wait().ok().flatten());
        status.expect("the broker ends within a deadline").code()
    }

    /// A connection on which nothing was sent yet.
    pub fn open(&self, version: Version) -> Raw {
        Raw::open(self.address, version)
    }

    /// A connected client with a clean start and nothing special.
    pub fn client(&self, version: Version, client_id: &str) -> Raw {
        self.connect(&Connect::new(version, client_id))
    }

    /// A client connected with this CONNECT, which has to succeed.
    pub fn connect(&self, connect: &Connect) -> Raw {
        self.connect_with(connect).0
    }

    /// As [`Self::connect`], together with the CONNACK.
    pub fn connect_with(&self, connect: &Connect) -> (Raw, crate::received::Connack) {
        let mut raw = self.open(connect.version);
        raw.send(&connect.bytes());
        let connack = raw.expect_connack();
        assert_eq!(connack.code, 0, "CONNECT is refused: {connack:?}");
        (raw, connack)
    }

    /// What a CONNECT that must not succeed gets: a code and the end, or the end at once.
    pub fn refusal(&self, version: Version, bytes: &[u8]) -> Option<u8> {
        let mut raw = self.open(version);
        raw.send(bytes);
        let code = raw.receive_or_close().map(|answer| {
            let crate::Kind::Connack(connack) = answer.kind else {
                panic!("not a CONNACK: {answer:?}");
            };
            assert_ne!(connack.code, 0, "CONNECT is accepted: {connack:?}");
            connack.code
        });
        if code.is_some() {
            raw.expect_close();
        }
        code
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        if let (Some(data_dir), true) = (&self.data_dir, self.is_folder_ours) {
            // What stays behind is in the system's folder for such things.
            drop(std::fs::remove_dir_all(data_dir));
        }
        if thread::panicking() {
            #[expect(clippy::print_stderr, reason = "shown by the test runner for a failed test")]
            {
                eprintln!("--- log of the broker\n{}", self.log());
            }
        }
    }
}

/// A folder that no other test has.
fn temporary_folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    env::temp_dir().join(format!("avocet-tests-{}-{number}", std::process::id()))
}

/// The executable under test: `AVOCET_BIN`, else the one beside this test in cargo's folder.
pub fn executable() -> PathBuf {
    if let Some(path) = env::var_os("AVOCET_BIN") {
        return PathBuf::from(path);
    }
    let test = env::current_exe().expect("a running test knows its executable");
    let profile = test.parent().and_then(Path::parent).expect("tests lie in PROFILE/deps");
    let path = profile.join("avocet");
    assert!(
        path.is_file(),
        "{} is not there: `cargo build --package avocet` builds it, and AVOCET_BIN names another",
        path.display()
    );
    path
}
