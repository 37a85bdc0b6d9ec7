//! Metrics as text: for Prometheus, and as a page of the reference. Both come from the table in
//! `avocet-broker`.

use std::fmt;

use avocet_broker::{Metric, MetricKind, MetricsSnapshot, Observer};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

/// What `Content-Type` says of [`Exposition::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of one broker, to be told again and again.
#[derive(Debug)]
pub(crate) struct Exposition {
    registry: Registry,
}

impl Exposition {
    pub(crate) fn new(observer: Observer) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Figures(observer)));
        Self { registry }
    }

    /// The metrics now, in OpenMetrics 1.0.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct Figures(Observer);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for metric in self.0.metrics().list() {
            encode(&metric, &mut encoder)?;
        }
        Ok(())
    }
}

fn encode(metric: &Metric, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let kind = match metric.kind {
        MetricKind::Counter => MetricType::Counter,
        MetricKind::Gauge => MetricType::Gauge,
    };
    let mut encoder = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
    for &(value, number) in &metric.numbers {
        match metric.label {
            Some(label) => tell(metric.kind, number, encoder.encode_family(&[(label, value)])?)?,
            None => return tell(metric.kind, number, encoder),
        }
    }
    Ok(())
}

fn tell(kind: MetricKind, number: u64, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
    match kind {
        MetricKind::Counter => ConstCounter::new(number).encode(encoder),
        MetricKind::Gauge => ConstGauge::new(number).encode(encoder),
    }
}

/// The page of the reference about the metrics, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for metric in MetricsSnapshot::default().list() {
        let Metric { name, help, kind, label, numbers } = metric;
        let (suffix, kind) = match kind {
            MetricKind::Counter => ("_total", "counter"),
            MetricKind::Gauge => ("", "gauge"),
        };
        let label = label.map_or_else(String::new, |label| {
            let values: Vec<_> = numbers.iter().map(|(value, _)| format!("`{value}`")).collect();
            format!("`{label}`: {}", values.join(", "))
        });
        page.push_str(&format!("| `{name}{suffix}` | {kind} | {help} | {label} |\n"));
    }
    page
}

const HEAD: &str = "\
# Metrics

Generated from the table in `crates/avocet-broker/src/metrics.rs` by `cargo xtask docs`.

`GET /metrics` at `http.bind` (by default `http://127.0.0.1:18083/metrics`) tells them in \
OpenMetrics 1.0, a format that Prometheus reads.
Counters begin at zero when the broker starts.
What a shard's turn has counted is added when its output is written, at the latest after half a \
second.

What the reasons of `avocet_messages_dropped_total` mean: [limits and drops](limits-and-drops.md).

| metric | kind | meaning | label |
|---|---|---|---|
";
