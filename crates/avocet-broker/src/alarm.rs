//! Alarms: states of the node that somebody should look at before they become losses. Each is told
//! when it begins and when it is over, and can be asked for in between.

use std::time::SystemTime;

use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit};

use crate::broker::Shared;

/// Alarms at once. There are far fewer kinds; whatever sets them, the registry does not grow.
const ALARMS_MAX: usize = 64;
/// Percent of a bound at which its alarm begins, and below which it is over. The distance keeps an
/// alarm from coming and going with each message.
const HIGH_PERCENT: u64 = 80;
const LOW_PERCENT: u64 = 60;
const STORE_FAILED: &str = "store_failed";

/// A state of the node that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Its name, as in `$SYS/brokers/NODE/alarms/ID/alert`.
    pub id: Box<str>,
    /// What is the matter, for people: how it was when the alarm was last told to begin.
    pub message: Box<str>,
    /// When it began.
    pub since: SystemTime,
}

/// What has changed about an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Begun(Alarm),
    Over(Alarm),
}

/// The alarms there are now.
#[derive(Debug, Default)]
pub(crate) struct Alarms(Mutex<Vec<Alarm>>);

impl Alarms {
    /// Begins an alarm. `None` if it has begun before, or there are too many.
    pub(crate) fn set(&self, id: &str, message: String) -> Option<Change> {
        let mut alarms = self.0.lock();
        if alarms.len() >= ALARMS_MAX || alarms.iter().any(|alarm| *alarm.id == *id) {
            return None;
        }
        let alarm = Alarm { id: id.into(), message: message.into(), since: SystemTime::now() };
        alarms.push(alarm.clone());
        Some(Change::Begun(alarm))
    }

    /// [`set`](Self::set), and tells it again if something else is the matter now.
    fn set_anew(&self, id: &str, message: String) -> Option<Change> {
        {
            let mut alarms = self.0.lock();
            if let Some(alarm) = alarms.iter_mut().find(|alarm| *alarm.id == *id) {
                let is_other = *alarm.message != *message;
                alarm.message = message.into();
                return is_other.then(|| Change::Begun(alarm.clone()));
            }
        }
        self.set(id, message)
    }

    /// Ends an alarm. `None` if there is none of this name.
    pub(crate) fn clear(&self, id: &str) -> Option<Change> {
        let mut alarms = self.0.lock();
        let index = alarms.iter().position(|alarm| *alarm.id == *id)?;
        Some(Change::Over(alarms.remove(index)))
    }

    /// All of them, the oldest first.
    pub(crate) fn active(&self) -> Vec<Alarm> {
        self.0.lock().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// Something bounded that the node may run out of.
struct Supply {
    id: &'static str,
    used: u64,
    max: u64,
    message: String,
}

impl Supply {
    fn percent(&self) -> u64 {
        // Nothing can run out of what there is none of.
        self.used.saturating_mul(100).checked_div(self.max).unwrap_or(0)
    }

    fn check(self, alarms: &Alarms) -> Option<Change> {
        match self.percent() {
            HIGH_PERCENT.. => alarms.set(self.id, self.message),
            0..LOW_PERCENT => alarms.clear(self.id),
            LOW_PERCENT..HIGH_PERCENT => None,
        }
    }
}

/// Looks at what may run out. Costs the same however many sessions there are.
pub(crate) fn check(shared: &Shared) -> Vec<Change> {
    let supplies = [queues(shared), descriptors(shared)];
    let changes = supplies.into_iter().filter_map(|supply| supply.check(&shared.alarms));
    changes.chain(store(shared)).collect()
}

fn store(shared: &Shared) -> Option<Change> {
    let keeper = shared.keeper.as_ref()?;
    // Asked first: what is said of a disk that is well again by then is not of the cleaner.
    let is_failing = keeper.store().is_failing();
    match keeper.store().failure() {
        // It says itself what it cannot do beside storing.
        Some(failure) if !is_failing => shared.alarms.set_anew(STORE_FAILED, failure),
        Some(failure) => {
            let message = format!(
                "nothing can be stored: {failure}; messages of QoS 1 and 2 that would have to be \
                 are refused until it can"
            );
            shared.alarms.set_anew(STORE_FAILED, message)
        }
        None => shared.alarms.clear(STORE_FAILED),
    }
}

fn queues(shared: &Shared) -> Supply {
    let (used, max) = (shared.limits.budget.used(), shared.limits.budget.bytes_max());
    let message = format!(
        "{used} bytes wait in sessions or are under way to clients, and \
         session.max_node_queue_bytes is {max}; beyond it messages are dropped"
    );
    Supply { id: "high_queue_usage", used, max, message }
}

fn descriptors(shared: &Shared) -> Supply {
    let used = shared.metrics.connections_now();
    // Asked each time: it can be changed while the process runs. `None`: there is no bound.
    let max = getrlimit(Resource::Nofile).current.unwrap_or(0);
    let message = format!(
        "there are {used} connections, and the system allows the process {max} open files; \
         beyond it nobody can connect"
    );
    Supply { id: "high_descriptor_usage", used, max, message }
}

#[cfg(test)]
#[cfg(not(feature = "interleavings"))]
mod tests;
