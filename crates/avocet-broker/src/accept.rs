//! Connections taken from a listener, and handed to the shard with the fewest.

use std::{
    num::NonZeroU32,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use avocet_net::{Arrival, Listener};
use tokio::time;
use tracing::{debug, warn};

use crate::{
    broker::{Listening, Shared},
    metrics::Metrics,
    shard::{Arriving, ShardHandle},
};

/// After so long without a connection, a listener accepts as many at once as this time is worth.
const BURST: Duration = Duration::from_millis(100);

/// What a listener's acceptor needs.
pub(crate) struct Acceptor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shards: Arc<Vec<ShardHandle>>,
    pub(crate) listening: Arc<Listening>,
    pub(crate) pace: Option<Pace>,
}

impl Acceptor {
    /// Accepts for ever.
    pub(crate) async fn run(mut self, mut listener: Listener) {
        loop {
            if let Some(pace) = &mut self.pace {
                let wait = pace.wait(Instant::now());
                if !wait.is_zero() {
                    time::sleep(wait).await;
                }
            }
            match listener.accept().await {
                Ok(Arrival::Stream(stream)) => {
                    hand_over(&self.shared, &self.shards, &self.listening, stream).await;
                }
                Ok(Arrival::Failed { peer, error }) => {
                    let Self { shared, listening, .. } = &self;
                    Metrics::add(&shared.metrics.connections_accepted, 1);
                    shared.metrics.ended_by(error.layer.into());
                    debug!(listener = %listening.name, %peer, %error, "Ending a connection.");
                }
                Err(error) => {
                    let listener = &self.listening.name;
                    warn!(%listener, %error, "Cannot accept; trying again in 100 ms.");
                    time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Gives a stream to the shard with the fewest, unless the listener is full.
pub(crate) async fn hand_over(
    shared: &Shared,
    shards: &[ShardHandle],
    listening: &Arc<Listening>,
    stream: avocet_net::Accepted,
) {
    Metrics::add(&shared.metrics.connections_accepted, 1);
    if listening.connections.load(Ordering::Relaxed) >= listening.connections_max {
        Metrics::add(&shared.metrics.connections_refused, 1);
        debug!(listener = %listening.name, "Refused a connection: the listener is full.");
        return stream.refuse();
    }
    let load = |shard: &&ShardHandle| shard.load.load(Ordering::Relaxed);
    let alive = shards.iter().filter(|shard| shard.is_alive());
    let Some(shard) = alive.min_by_key(load) else { return stream.refuse() };
    listening.connections.fetch_add(1, Ordering::Relaxed);
    Metrics::add(&shared.metrics.connections, 1);
    if !shard.hand_over(Arriving { stream, listening: Arc::clone(listening) }).await {
        listening.connections.fetch_sub(1, Ordering::Relaxed);
        shared.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Spreads connections over time. Those that come faster wait in the system's queue.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    /// When the next one is due, had none come too early.
    due: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.get(), due: None }
    }

    /// How long to wait before the next connection.
    fn wait(&mut self, now: Instant) -> Duration {
        // A pause is made up for, but no more than a burst.
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let due = self.due.map_or(earliest, |due| due.max(earliest));
        self.due = Some(due + self.interval);
        due.saturating_duration_since(now)
    }
}

#[cfg(test)]
#[cfg(not(feature = "interleavings"))]
mod tests {
    use super::*;

    #[test]
    fn pace_lets_a_burst_through_and_then_one_after_the_other() {
        let start = Instant::now() + Duration::from_secs(1);
        let mut pace = Pace::new(NonZeroU32::new(50).unwrap());
        // A tenth of a second is worth five; the sixth is due at the very moment.
        let waits: Vec<u128> = (0..8).map(|_| pace.wait(start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 20, 40]);
        let much_later = start + Duration::from_secs(60);
        let waits: Vec<u128> = (0..7).map(|_| pace.wait(much_later).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 20]);
    }

    #[test]
    fn pace_keeps_to_its_rate_over_time() {
        let start = Instant::now() + Duration::from_secs(1);
        let (mut pace, mut now) = (Pace::new(NonZeroU32::new(1000).unwrap()), start);
        for _ in 0..5000 {
            now += pace.wait(now);
        }
        let took = now - start;
        assert!((4.8..=5.0).contains(&took.as_secs_f64()), "{took:?}");
    }
}
