//! `avocet start`.

use std::{
    fs::File,
    io::{self, IsTerminal},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use avocet::{
    Broker, HttpConfig, HttpListener, HttpServer,
    config::{Config, LogConfig, LogFormat, LogLevel},
};
use avocet_broker::config::DurabilityChoice;
use avocet_storage::{
    disk::Folder,
    log::{Durability, UnknownFormat},
    store::{EmbeddedStore, FailedStore, Options, Store},
};
use rustix::fs::{Access, access};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, level_filters::LevelFilter};
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::{
    cli::{MISTAKEN, fail, print},
    data_dir::DataDir,
    notify::{self, notify},
    store,
};

/// Threads for what is not a client's connection: accepting, timers, HTTP.
const CONTROL_THREADS: usize = 2;
/// When a store that could not be opened is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// When what cannot serve anew is tried again.
const START_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Runs the broker until it is told to stop.
pub(crate) fn run(config: &Config) -> ExitCode {
    match open_log(&config.log).and_then(|()| serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_unknown_format(&error) => {
            fail(&error);
            ExitCode::from(MISTAKEN)
        }
        Err(error) => fail(&error),
    }
}

/// Whether a later version has written what is stored: no attempt will ever read it.
fn is_unknown_format(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(UnknownFormat::is_cause)
}

fn serve(config: &Config) -> anyhow::Result<()> {
    let disk = Disk::open(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(serve_from(config, disk));
    // A disk that does not answer keeps nobody waiting.
    runtime.shutdown_background();
    ended
}

async fn serve_from(config: &Config, mut disk: Disk) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let mut served = Served::start(config, &disk)?;
    if disk.failure.is_some() {
        let opened = tokio::select! {
            () = served.until_told(&mut signals) => return served.end().await,
            opened = disk.opened(config) => opened?,
        };
        info!("The store can be opened now: serving anew, with what is in it.");
        served.stop().await;
        disk = opened;
        served = tokio::select! {
            biased;
            () = signals.end() => return Ok(()),
            served = Served::start_again(config, &disk) => served,
        };
    }
    served.until_told(&mut signals).await;
    served.end().await
}

/// What a process can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    End,
    Reload,
}

/// What this one is told.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?,
            hangup: signal(SignalKind::hangup()).context("cannot listen to SIGHUP")?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => {
                info!("Stopping on SIGINT.");
                Told::End
            }
            _ = self.terminate.recv() => {
                info!("Stopping on SIGTERM.");
                Told::End
            }
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    async fn end(&mut self) {
        while self.next().await != Told::End {}
    }
}

/// What serves clients, and those who look on.
struct Served {
    broker: Broker,
    http: Option<HttpServer>,
}

impl Served {
    /// # Errors
    ///
    /// An address that cannot be had, certificates that cannot be used, or no threads.
    fn start(config: &Config, disk: &Disk) -> anyhow::Result<Self> {
        let mut options = config.options();
        options.store = disk.store();
        // Bound first: an address that cannot be had is known before a client is let in.
        let http = bind_http(&config.http)?;
        let broker = Broker::start(options)?;
        let http = http.map(|listener| listener.serve(broker.observer()));
        announce(&broker, http.as_ref());
        notify(notify::READY);
        Ok(Self { broker, http })
    }

    /// After a stop within the process. It has served with this configuration: what keeps it from
    /// doing so again, like an address that is not free yet, is waited for.
    async fn start_again(config: &Config, disk: &Disk) -> Self {
        let mut told = None;
        loop {
            let why = match Self::start(config, disk) {
                Ok(served) => return served,
                Err(error) => format!("{error:#}"),
            };
            if told.as_ref() != Some(&why) {
                error!("Nobody is served until this is mended: {why}.");
            }
            told = Some(why);
            tokio::time::sleep(START_AGAIN_AFTER).await;
        }
    }

    async fn until_told(&self, signals: &mut Signals) {
        while signals.next().await == Told::Reload {
            self.broker.reload();
        }
    }

    /// The process is about to end.
    async fn end(self) -> anyhow::Result<()> {
        notify(notify::STOPPING);
        self.stop().await;
        Ok(())
    }

    async fn stop(self) {
        // It answers until the end, so that whoever asks is told that this one is stopping.
        self.broker.stop().await;
        if let Some(http) = self.http {
            http.stop().await;
        }
    }
}

/// What is to survive, if anything is, and where it is kept. The broker starts whatever the disk
/// does: while the store cannot be opened nothing of it is changed, nothing is acknowledged that
/// it should have, and opening it is tried again.
struct Disk {
    data_dir: DataDir,
    store: Option<Arc<dyn Store>>,
    /// Why there is none, though there should be.
    failure: Option<String>,
}

impl Disk {
    /// # Errors
    ///
    /// Another process has the data directory, or the store is of a format that this version does
    /// not know.
    fn open(config: &Config) -> anyhow::Result<Self> {
        let (data_dir, trouble) = DataDir::try_open(&config.node.data_dir)?;
        let mut disk = Self { data_dir, store: None, failure: None };
        disk.take(open_store(config, trouble)?);
        Ok(disk)
    }

    /// Tries again to open what could not be opened, until it is. Whoever waits for it is not kept
    /// by a disk that does not answer.
    ///
    /// # Errors
    ///
    /// A panic.
    async fn opened(mut self, config: &Config) -> anyhow::Result<Self> {
        let config = Arc::new(config.clone());
        while self.failure.is_some() {
            tokio::time::sleep(RETRY_AFTER).await;
            let config = Arc::clone(&config);
            let retry = move || {
                let opened = self.reopen(&config);
                self.take(opened.unwrap_or_else(|error| Opened::Failed(format!("{error:#}"))));
                self
            };
            self = tokio::task::spawn_blocking(retry).await.context("opening the store")?;
        }
        Ok(self)
    }

    fn reopen(&mut self, config: &Config) -> anyhow::Result<Opened> {
        let mut trouble = None;
        if !self.data_dir.is_held() {
            (self.data_dir, trouble) = DataDir::try_open(&config.node.data_dir)?;
        }
        open_store(config, trouble)
    }

    fn take(&mut self, opened: Opened) {
        match opened {
            Opened::Nothing => {}
            Opened::Store(store) => (self.store, self.failure) = (Some(store), None),
            Opened::Failed(why) => {
                if self.failure.as_ref() != Some(&why) {
                    error!("Nothing is stored until it can be opened: {why}.");
                }
                self.failure = Some(why);
            }
        }
    }

    /// What a broker is started with.
    fn store(&self) -> Option<Arc<dyn Store>> {
        match &self.failure {
            None => self.store.clone(),
            Some(why) => Some(Arc::new(FailedStore::new(why.clone()))),
        }
    }
}

/// What came of opening the store.
enum Opened {
    /// There is to be none.
    Nothing,
    Store(Arc<dyn Store>),
    /// It cannot be opened, because of this.
    Failed(String),
}

/// # Errors
///
/// The store is of a format that this version does not know.
fn open_store(config: &Config, trouble: Option<io::Error>) -> anyhow::Result<Opened> {
    let durability = match config.session.durability {
        DurabilityChoice::Memory => return Ok(Opened::Nothing),
        DurabilityChoice::Os => Durability::Os,
        DurabilityChoice::Fsync => Durability::Fsync,
    };
    let path = store::path(config);
    let options = Options { durability, ..Options::default() };
    // Where nobody knows who else writes, nothing is opened.
    let folder = trouble.map_or_else(|| Folder::open(&path), Err);
    let opened = folder.and_then(|folder| EmbeddedStore::open(Arc::new(folder), options));
    let (store, losses) = match opened {
        Ok(opened) => opened,
        Err(error) if UnknownFormat::is_cause(&error) => {
            let context = format!("cannot open the store in {}", path.display());
            return Err(anyhow::Error::new(error).context(context));
        }
        Err(error) => {
            let shown = path.display();
            let why = format!("the store in {shown} (node.data_dir) cannot be opened: {error}");
            return Ok(Opened::Failed(why));
        }
    };
    for loss in losses {
        error!("The store is damaged, and goes on without what was lost: {loss}.");
    }
    if let Err(errno) = access(&path, Access::WRITE_OK) {
        let (shown, why) = (path.display(), io::Error::from(errno));
        error!("Nothing is stored until {shown} can be written to: {why}.");
        store.try_disk();
    }
    Ok(Opened::Store(Arc::new(store)))
}

fn bind_http(config: &HttpConfig) -> anyhow::Result<Option<HttpListener>> {
    if !config.enable {
        return Ok(None);
    }
    let listener = HttpListener::bind(config)
        .with_context(|| format!("cannot listen on {} (http.bind)", config.bind))?;
    Ok(Some(listener))
}

/// The line that scripts wait for.
fn announce(broker: &Broker, http: Option<&HttpServer>) {
    let mut line = "ready".to_owned();
    for (name, address) in broker.addresses() {
        line.push_str(&format!(" {name}={address}"));
    }
    if let Some(http) = http {
        line.push_str(&format!(" http={}", http.address()));
    }
    line.push('\n');
    print(&line);
}

/// # Errors
///
/// The file of the log cannot be opened.
fn open_log(config: &LogConfig) -> anyhow::Result<()> {
    let level = match config.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let (writer, ansi) = match &config.file {
        Some(path) => {
            let file = File::options().create(true).append(true).open(path);
            let file = file.with_context(|| {
                format!("cannot write the log to {} (log.file)", path.display())
            })?;
            // A line is one write, and the file is open to append: no lock is needed.
            (BoxMakeWriter::new(Arc::new(file)), false)
        }
        None => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_ansi(ansi).with_writer(writer);
    match config.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
