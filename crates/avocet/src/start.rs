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
    let mut disk = Disk::open(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        while serve_from(config, &mut disk, &mut signals).await? == End::StoreThere {
            info!("The store can be opened now: serving anew, with what is in it.");
        }
        Ok(())
    })
}

/// Why a broker has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was told to.
    Told,
    /// It did not know what is stored, and that can be read now.
    StoreThere,
}

/// What the process is told from outside.
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
}

async fn serve_from(
    config: &Config,
    disk: &mut Disk,
    signals: &mut Signals,
) -> anyhow::Result<End> {
    let mut options = config.options();
    options.store = disk.store();
    // Bound first: an address that cannot be had is known before a client is let in.
    let http = bind_http(&config.http)?;
    let broker = Broker::start(options)?;
    let http = http.map(|listener| listener.serve(broker.observer()));
    announce(&broker, http.as_ref());
    notify(notify::READY);
    let end = loop {
        tokio::select! {
            _ = signals.interrupt.recv() => {
                info!("Stopping on SIGINT.");
                break End::Told;
            }
            _ = signals.terminate.recv() => {
                info!("Stopping on SIGTERM.");
                break End::Told;
            }
            _ = signals.hangup.recv() => broker.reload(),
            () = tokio::time::sleep(RETRY_AFTER), if disk.failure.is_some() => {
                if disk.retry(config) {
                    break End::StoreThere;
                }
            }
        }
    };
    if end == End::Told {
        notify(notify::STOPPING);
    }
    // It answers until the end, so that whoever asks is told that this one is stopping.
    broker.stop().await;
    if let Some(http) = http {
        http.stop().await;
    }
    Ok(end)
}

/// What is to survive, if anything is, and where it is kept. The broker starts whatever the disk
/// does: while the store cannot be opened nothing of it is changed, nothing is acknowledged that
/// it should have, and opening it is tried again.
struct Disk {
    data_dir: DataDir,
    /// Until a broker has it.
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

    /// Tries again to open what could not be opened. Whether it is open now.
    fn retry(&mut self, config: &Config) -> bool {
        match self.reopen(config) {
            Ok(opened) => self.take(opened),
            Err(error) => self.take(Opened::Failed(format!("{error:#}"))),
        }
        self.failure.is_none()
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
    fn store(&mut self) -> Option<Arc<dyn Store>> {
        match &self.failure {
            None => self.store.take(),
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
