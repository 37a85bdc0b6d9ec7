//! What a run found, for people and for scripts.

use std::{fmt, time::Duration};

use avocet_mqtt::ProtocolVersion;
use serde_json::{Value, json};

use super::{
    lane::Faults,
    latency::Latencies,
    load::{Load, Rate},
    pace::Punctuality,
    spread,
};

/// The result of one run.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) load: Load,
    pub(super) found: Found,
}

/// What one process has found, or all together.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) costs: Costs,
    pub(super) latencies: Latencies,
    /// Of an open loop only.
    pub(super) punctuality: Option<Punctuality>,
    pub(super) faults: Faults,
}

/// What was used in the measured time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    pub(super) delivered: u64,
    pub(super) elapsed: Duration,
    /// Processor time of the broker, if its process was named.
    pub(super) broker: Option<Duration>,
    /// Processor time of this process.
    pub(super) own: Duration,
    /// Processor time of everything else on the machine.
    pub(super) others: Duration,
}

impl Costs {
    /// `what`: what was done with the messages, in eleven letters at most.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        let (delivered, seconds) = (self.delivered, self.elapsed.as_secs_f64());
        let rate = self.rate();
        writeln!(f, "  {what:11} {delivered} in {seconds:.2} s, {rate:.0} messages/s")?;
        if let Some(us) = self.broker_us() {
            writeln!(f, "  broker      {us:.3} us of processor time for a message")?;
        }
        let (own, others) = (self.own_us(), self.others_busy());
        writeln!(f, "  this tool   {own:.3} us; others kept {others:.2} processors busy")
    }

    /// The same for scripts.
    pub(super) fn figures(&self) -> Value {
        json!({
            "seconds": round(self.elapsed.as_secs_f64()),
            "delivered": self.delivered,
            "messages_per_second": self.rate().round(),
            "broker_cpu_us_per_message": self.broker_us().map(round),
            "own_cpu_us_per_message": round(self.own_us()),
            "others_busy_processors": round(self.others_busy()),
        })
    }

    pub(super) fn rate(&self) -> f64 {
        self.delivered as f64 / self.elapsed.as_secs_f64()
    }

    fn per_message(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.delivered.max(1) as f64
    }

    /// Microseconds of the broker for each delivered message.
    pub(super) fn broker_us(&self) -> Option<f64> {
        self.broker.map(|time| self.per_message(time))
    }

    /// Microseconds of this process for each delivered message.
    pub(super) fn own_us(&self) -> f64 {
        self.per_message(self.own)
    }

    /// How many processors everything else kept busy.
    pub(super) fn others_busy(&self) -> f64 {
        self.others.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

pub(super) fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::V3_1 => "3.1",
        ProtocolVersion::V3_1_1 => "3.1.1",
        ProtocolVersion::V5 => "5.0",
    }
}

impl Outcome {
    /// Whether every message came once and in order, and there were some.
    pub(super) fn is_good(&self) -> bool {
        self.found.faults.is_none() && self.found.costs.delivered > 0
    }

    pub(super) fn to_json(&self) -> Value {
        let Self { load, found: Found { costs, latencies, punctuality, faults } } = self;
        let late = punctuality.as_ref().and_then(|punctuality| punctuality.late.spread());
        let said = json!({
            "scenario": load.name(),
            "processes": load.role.processes(),
            "publishers": load.publishers(),
            "subscribers": load.subscribers(),
            "window": load.window,
            "rate": rate(load),
            "payload_bytes": load.payload_bytes,
            "qos": load.qos.bits(),
            "mqtt": version_name(load.version),
            "fastlane": load.is_fastlane,
            "latency_us": latencies.spread().map(spread::to_json),
            "late_us": late.map(spread::to_json),
            "held_back": punctuality.as_ref().map(|punctuality| punctuality.held_back),
            "lost": faults.lost,
            "doubled": faults.doubled,
            "out_of_order": faults.out_of_order,
            "unexpected": faults.unexpected,
            "refused": faults.refused,
        });
        with(said, costs.figures())
    }
}

/// Messages a second that were asked for.
fn rate(load: &Load) -> Option<u32> {
    match load.rate {
        Rate::Unlimited => None,
        Rate::Most(rate) | Rate::Open(rate) => Some(rate),
    }
}

/// What two objects say together.
pub(super) fn with(mut said: Value, more: Value) -> Value {
    if let (Value::Object(said), Value::Object(more)) = (&mut said, more) {
        said.extend(more);
    }
    said
}

/// To four digits after the point.
pub(super) fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { load, found: Found { costs, latencies, punctuality, faults } } = self;
        let (from, to) = (load.publishers(), load.subscribers());
        let (version, qos) = (version_name(load.version), load.qos.bits());
        let (name, window, bytes) = (load.name(), load.window, load.payload_bytes);
        let lane = if load.is_fastlane { ", $fastlane" } else { "" };
        write!(f, "{name}: {from} to {to}{}, ", load.role.to_text())?;
        match load.rate {
            Rate::Unlimited => write!(f, "window {window}, ")?,
            Rate::Most(rate) => write!(f, "window {window}, {rate} messages/s at most, ")?,
            Rate::Open(rate) => write!(f, "open loop, {rate} messages/s, ")?,
        }
        write!(f, "QoS {qos}, ")?;
        writeln!(f, "{bytes} bytes, MQTT {version}{lane}")?;
        costs.write(f, "delivered")?;
        if let Some(latency) = latencies.spread() {
            writeln!(f, "  latency     {}", spread::to_text(Some(latency)))?;
        }
        let late = punctuality.as_ref().and_then(|of| Some((of.late.spread()?, of.held_back)));
        if let Some((late, held_back)) = late {
            let (median, p99, max) = (us(&late.median), us(&late.p99), us(&late.max));
            writeln!(f, "  sent late   median {median}, p99 {p99}, max {max} us")?;
            if held_back > 0 {
                writeln!(
                    f,
                    "  held back   {held_back} messages, for which the broker was not ready"
                )?;
            }
        }
        if !faults.is_none() {
            let Faults { lost, doubled, out_of_order, unexpected, refused } = faults;
            writeln!(
                f,
                "  WRONG       {lost} lost, {doubled} doubled, {out_of_order} out of order, \
                 {unexpected} unexpected, {refused} refused"
            )?;
        }
        Ok(())
    }
}

/// Microseconds: whole ones, unless they are few.
fn us(nanoseconds: &u64) -> String {
    let us = *nanoseconds as f64 / 1e3;
    if us < 100.0 { format!("{us:.1}") } else { format!("{us:.0}") }
}
