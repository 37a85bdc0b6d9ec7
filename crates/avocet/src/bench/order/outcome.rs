//! What was found, for people and for scripts.

use std::fmt;

use serde_json::{Value, json};

use super::{
    checker::{Faults, Findings},
    engine::Cut,
};
use crate::bench::{
    load::Load,
    outcome::{Costs, version_name, with},
    shared::{Shared, number},
};

#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) load: Load,
    pub(super) every: u64,
    pub(super) found: Found,
}

/// What one process has found, or all together.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) costs: Costs,
    pub(super) cut: Cut,
    pub(super) findings: Findings,
}

impl Found {
    /// Whether nothing happened that is not allowed, and messages came.
    pub(super) fn is_good(&self) -> bool {
        self.findings.faults.is_none() && self.costs.delivered > 0
    }
}

impl Outcome {
    pub(super) fn to_json(&self) -> Value {
        let Self { load, every, found: Found { costs, cut, findings } } = self;
        let said = json!({
            "scenario": "order",
            "processes": load.role.processes(),
            "publishers": load.publishers(),
            "subscribers": load.subscribers(),
            "window": load.window,
            "payload_bytes": load.payload_bytes,
            "qos": load.qos.bits(),
            "mqtt": version_name(load.version),
            "every": every,
            "publishers_cut": cut.publishers,
            "subscribers_cut": cut.subscribers,
            "redelivered": findings.redelivered,
            "published_again": findings.published_again,
        });
        with(with_faults(said, &findings.faults), costs.figures())
    }
}

/// Adds what was wrong, each kind under its name.
fn with_faults(said: Value, faults: &Faults) -> Value {
    let counts = json!({
        "lost": faults.lost,
        "doubled": faults.doubled,
        "doubled_without_dup": faults.doubled_without_dup,
        "out_of_order": faults.out_of_order,
        "sessions_missing": faults.sessions_missing,
        "sessions_unexpected": faults.sessions_unexpected,
        "unacknowledged": faults.unacknowledged,
        "unexpected": faults.unexpected,
        "refused": faults.refused,
    });
    with(said, counts)
}

impl Shared for Found {
    fn to_json(&self) -> Value {
        let Findings { redelivered, published_again, faults } = self.findings;
        let said = json!({
            "costs": self.costs.to_json(),
            "cut": [self.cut.publishers, self.cut.subscribers],
            "allowed": [redelivered, published_again],
        });
        with_faults(said, &faults)
    }

    fn from_json(value: &Value) -> Option<Self> {
        let count = |name| number(value, name);
        let pair = |name| {
            let pair = value.get(name)?;
            Some((pair.get(0)?.as_u64()?, pair.get(1)?.as_u64()?))
        };
        let (publishers, subscribers) = pair("cut")?;
        let (redelivered, published_again) = pair("allowed")?;
        let faults = Faults {
            lost: count("lost")?,
            doubled: count("doubled")?,
            doubled_without_dup: count("doubled_without_dup")?,
            out_of_order: count("out_of_order")?,
            sessions_missing: count("sessions_missing")?,
            sessions_unexpected: count("sessions_unexpected")?,
            unacknowledged: count("unacknowledged")?,
            unexpected: count("unexpected")?,
            refused: count("refused")?,
        };
        Some(Self {
            costs: Costs::from_json(value.get("costs")?)?,
            cut: Cut { publishers, subscribers },
            findings: Findings { redelivered, published_again, faults },
        })
    }

    /// All that was counted is added.
    fn merged(found: &[Self]) -> Self {
        let costs: Vec<Costs> = found.iter().map(|one| one.costs).collect();
        let (mut cut, mut findings) = (Cut::default(), Findings::default());
        for one in found {
            cut.publishers += one.cut.publishers;
            cut.subscribers += one.cut.subscribers;
            findings.add(&one.findings);
        }
        Self { costs: Costs::merged(&costs), cut, findings }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { load, every, found: Found { costs, cut, findings } } = self;
        let (from, to, window) = (load.publishers(), load.subscribers(), load.window);
        let (version, qos, bytes) =
            (version_name(load.version), load.qos.bits(), load.payload_bytes);
        let processes = load.role.to_text();
        write!(f, "order: {from} to {to}{processes}, window {window}, ")?;
        write!(f, "QoS {qos}, {bytes} bytes, ")?;
        writeln!(f, "MQTT {version}, cut every {every}")?;
        let (delivered, seconds) = (costs.delivered, costs.elapsed.as_secs_f64());
        let rate = costs.rate();
        writeln!(f, "  delivered   {delivered} in {seconds:.2} s, {rate:.0} messages/s")?;
        if let Some(us) = costs.broker_us() {
            writeln!(f, "  broker      {us:.3} us of processor time for a message")?;
        }
        let Cut { publishers, subscribers } = cut;
        writeln!(f, "  cut off     {publishers} publishers, {subscribers} subscribers")?;
        let Findings { redelivered, published_again, faults } = findings;
        writeln!(
            f,
            "  allowed     {redelivered} sent again with DUP, {published_again} that were \
             published again"
        )?;
        if faults.is_none() { Ok(()) } else { faults.fmt(f) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, doubled, doubled_without_dup, out_of_order, .. } = self;
        let Self { sessions_missing, sessions_unexpected, unacknowledged, .. } = self;
        let Self { unexpected, refused, .. } = self;
        writeln!(
            f,
            "  WRONG       {lost} lost, {doubled} doubled, {doubled_without_dup} doubled without \
             DUP, {out_of_order} out of order,"
        )?;
        writeln!(
            f,
            "              {sessions_missing} sessions missing, {sessions_unexpected} sessions \
             unexpected,"
        )?;
        writeln!(
            f,
            "              {unacknowledged} never acknowledged, {unexpected} unexpected, \
             {refused} refused"
        )
    }
}

#[cfg(test)]
mod tests;
