//! What is measured: the rows of the table, each one call of `avocet bench`.

use std::{error::Error, fmt, path::Path};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::peer::Running;
use crate::repository;

/// A row of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// As it stands in the document.
    pub(super) title: &'static str,
    /// After `avocet bench`; where the broker is and how long is added.
    arguments: &'static [&'static str],
    /// Where the figure stands in what the tool says.
    figure: &'static str,
    pub(super) unit: &'static str,
    /// Whether `--seconds` may be said.
    is_timed: bool,
    /// What earlier rows left in the broker's memory would count.
    pub(super) needs_fresh_broker: bool,
}

pub(super) const CPU: &str = "broker_cpu_us_per_message";
/// Processors that everything but broker and tool kept busy.
pub(super) const OTHERS: &str = "others_busy_processors";

const fn load(name: &'static str, title: &'static str, arguments: &'static [&'static str]) -> Row {
    let unit = "us";
    Row { name, title, arguments, figure: CPU, unit, is_timed: true, needs_fresh_broker: false }
}

/// The table. MQTT 3.1.1 and payloads of 16 bytes, as the tool has it.
pub(super) const ROWS: [Row; 15] = [
    load("pair-window1", "50 pairs, QoS 0, window 1", &["pair", "--window", "1"]),
    load("pair-qos0", "50 pairs, QoS 0, window 20", &["pair"]),
    load("pair-qos1", "50 pairs, QoS 1, window 20", &["pair", "--qos", "1"]),
    load("pair-qos2", "50 pairs, QoS 2, window 20", &["pair", "--qos", "2"]),
    load("pair-1k", "50 pairs, QoS 0, window 20, 1 KiB", &["pair", "--size", "1024"]),
    load("fanin", "100 to 1, QoS 0, window 10", &["fanin", "--window", "10"]),
    load("fanin-qos1", "100 to 1, QoS 1, window 10", &["fanin", "--window", "10", "--qos", "1"]),
    load("fanout", "1 to 500, QoS 0, window 10", &["fanout", "--window", "10"]),
    load("fanout-qos1", "1 to 500, QoS 1, window 10", &["fanout", "--window", "10", "--qos", "1"]),
    load("share", "shared, 10 to 10, QoS 1, window 20", &["share", "--qos", "1"]),
    load("spread", "2,000 a second over 50 pairs", &["latency", "--pairs", "50", "--rate", "2000"]),
    Row {
        name: "spread-p99",
        title: "the same, p99 from when it was due",
        arguments: &["latency", "--pairs", "50", "--rate", "2000"],
        figure: "latency_us/p99",
        unit: "us",
        is_timed: true,
        needs_fresh_broker: false,
    },
    Row {
        name: "connect",
        title: "a connection, from connect to DISCONNECT",
        arguments: &["connect", "--count", "5000"],
        figure: "broker_cpu_us_per_connect",
        unit: "us",
        is_timed: false,
        needs_fresh_broker: false,
    },
    Row {
        name: "retained",
        title: "a retained message, set",
        arguments: &["retained", "--count", "20000"],
        figure: "set/broker_cpu_us_per_message",
        unit: "us",
        is_timed: false,
        needs_fresh_broker: false,
    },
    Row {
        name: "idle",
        title: "memory of an idle connection, of 5,000",
        arguments: &["idle", "--count", "5000"],
        figure: "broker_pss_bytes_per_connection",
        unit: "bytes",
        is_timed: false,
        needs_fresh_broker: true,
    },
];

pub(super) fn names() -> String {
    ROWS.map(|row| row.name).join(", ")
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) figure: f64,
    /// Processors that everything but broker and tool kept busy.
    pub(super) others: Option<f64>,
}

/// Messages that the broker did not deliver.
#[derive(Debug)]
pub(super) struct Loss(f64);

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "lost {} messages", self.0)
    }
}

impl Error for Loss {}

impl Row {
    /// # Errors
    ///
    /// [`Loss`]; else the tool fails or does not say the figure.
    pub(super) fn measure(&self, tool: &Path, broker: &Running, seconds: u32) -> Result<Figures> {
        let seconds = seconds.to_string();
        let mut arguments = self.arguments.to_vec();
        if self.is_timed {
            arguments.extend(["--seconds", &seconds]);
        }
        let said = said_of(tool, broker, &arguments)?;
        let others = number(&said, OTHERS).ok();
        Ok(Figures { figure: number(&said, self.figure)?, others })
    }
}

/// What `avocet bench` says of a broker.
///
/// # Errors
///
/// [`Loss`]; else the tool fails.
pub(super) fn said_of(tool: &Path, broker: &Running, arguments: &[&str]) -> Result<Value> {
    let (port, id) = (broker.port.to_string(), broker.process_id().to_string());
    let where_it_is = ["--host", "127.0.0.1", "--port", &port, "--pid", &id];
    said(tool, &[arguments, &where_it_is].concat())
}

/// What `avocet bench` says.
///
/// # Errors
///
/// [`Loss`]; else the tool fails.
pub(super) fn said(tool: &Path, arguments: &[&str]) -> Result<Value> {
    let tool = tool.to_str().context("the path of the tool is not UTF-8")?;
    let arguments = [&["bench"], arguments, &["--json"]].concat();
    let output = repository::command(tool, &arguments).output().context("starting the tool")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    let Ok(said) = serde_json::from_str::<Value>(line) else {
        bail!("{}{line}", String::from_utf8_lossy(&output.stderr));
    };
    if output.status.success() {
        return Ok(said);
    }
    // Messages are lost by everybody who is to have all of them, if at all.
    let lost = ["lost", "all/lost", "drain/lost"].map(|path| number(&said, path).ok());
    let lost = lost.into_iter().flatten().find(|lost| *lost > 0.0);
    Err(lost.map_or_else(|| anyhow!("failed: {line}"), |lost| Loss(lost).into()))
}

/// A figure in it.
pub(super) fn number(said: &Value, path: &str) -> Result<f64> {
    let number = said.pointer(&format!("/{path}")).and_then(Value::as_f64);
    number.with_context(|| format!("the tool says no {path}: {said}"))
}
