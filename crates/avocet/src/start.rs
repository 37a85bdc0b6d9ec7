//! `avocet start`.

use std::{fs::File, io::IsTerminal, process::ExitCode, sync::Arc};

use anyhow::Context;
use avocet::{
    Broker, HttpConfig, HttpListener, HttpServer,
    config::{Config, LogConfig, LogFormat, LogLevel},
};
use avocet_broker::config::DurabilityChoice;
use avocet_storage::{
    disk::Folder,
    log::Durability,
    store::{EmbeddedStore, Options, Store},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, level_filters::LevelFilter};
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::{
    cli::{fail, print},
    data_dir::DataDir,
    notify::{self, notify},
    store,
};

/// Threads for what is not a client's connection: accepting, timers, HTTP.
const CONTROL_THREADS: usize = 2;

/// Runs the broker until it is told to stop.
pub(crate) fn run(config: &Config) -> ExitCode {
    match open_log(&config.log).and_then(|()| serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn serve(config: &Config) -> anyhow::Result<()> {
    let _data_dir = DataDir::open(&config.node.data_dir)?;
    let mut options = config.options();
    options.store = open_store(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
        let mut hangup = signal(SignalKind::hangup()).context("cannot listen to SIGHUP")?;
        // Bound first: an address that cannot be had is known before a client is let in.
        let http = bind_http(&config.http)?;
        let broker = Broker::start(options)?;
        let http = http.map(|listener| listener.serve(broker.observer()));
        announce(&broker, http.as_ref());
        notify(notify::READY);
        loop {
            tokio::select! {
                _ = interrupt.recv() => break info!("Stopping on SIGINT."),
                _ = terminate.recv() => break info!("Stopping on SIGTERM."),
                _ = hangup.recv() => broker.reload(),
            }
        }
        notify(notify::STOPPING);
        // It answers until the end, so that whoever asks is told that this one is stopping.
        broker.stop().await;
        if let Some(http) = http {
            http.stop();
        }
        Ok(())
    })
}

/// What is to survive, if anything is.
fn open_store(config: &Config) -> anyhow::Result<Option<Arc<dyn Store>>> {
    if config.session.durability == DurabilityChoice::Memory {
        return Ok(None);
    }
    let path = store::path(config);
    let durability = match config.session.durability {
        DurabilityChoice::Os => Durability::Os,
        DurabilityChoice::Fsync | DurabilityChoice::Memory => Durability::Fsync,
    };
    let options = Options { durability, ..Options::default() };
    let opened =
        Folder::open(&path).and_then(|folder| EmbeddedStore::open(Arc::new(folder), options));
    let (store, losses) =
        opened.with_context(|| format!("cannot open the store in {}", path.display()))?;
    for loss in losses {
        error!("The store is damaged, and goes on without what was lost: {loss}.");
    }
    Ok(Some(Arc::new(store)))
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
        None => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_ansi(ansi).with_writer(writer);
    match config.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
