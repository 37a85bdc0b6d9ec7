//! Messages by the clock: the schedule of a run and the timer that wakes for it. In an open loop a
//! message is sent when it is due, whether or not those before it have arrived, and its time counts
//! from when it was due; so a stall shows in every message that it kept waiting.

use std::{
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::{
    latency::Latencies,
    link::{Link, Poller},
    load::{Load, Rate},
    publisher::Publisher,
    schedule::Schedule,
};

/// The number of the timer among those of links.
pub(super) const TIMER: u64 = u64::MAX;

/// What may wait for a socket before messages that are due are held back.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// Times are nanoseconds since the epoch of the engine.
pub(super) struct Pace {
    schedule: Schedule,
    timer: OwnedFd,
    epoch: Instant,
    /// When the first message is due.
    start: u64,
    armed_for: u64,
    open: Option<Open>,
}

/// What is known of an open loop.
#[derive(Debug)]
struct Open {
    /// What is due earlier is not measured.
    measured_from: u64,
    late: Latencies,
    held_back: u64,
    /// When the messages were due that this turn has sent.
    sent: Vec<u64>,
}

/// How well an open loop was kept.
#[derive(Clone, Debug)]
pub(super) struct Punctuality {
    /// How long after they were due messages were handed to the system.
    pub(super) late: Latencies,
    /// Messages that waited for the broker: it did not read, or its Receive Maximum was reached.
    pub(super) held_back: u64,
}

impl Pace {
    /// `None` if the load has no rate.
    pub(super) fn open(load: &Load, epoch: Instant, poller: &Poller) -> io::Result<Option<Self>> {
        let (rate, is_open_loop) = match load.rate {
            Rate::Unlimited => return Ok(None),
            Rate::Most(rate) => (rate, false),
            Rate::Open(rate) => (rate, true),
        };
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        poller.add(&timer, TIMER)?;
        let open =
            Open { measured_from: 0, late: Latencies::new(), held_back: 0, sent: Vec::new() };
        Ok(Some(Self {
            schedule: Schedule::new(rate, load.publishers()),
            timer,
            epoch,
            start: 0,
            armed_for: u64::MAX,
            open: is_open_loop.then_some(open),
        }))
    }

    pub(super) fn start(&mut self, now: u64) {
        self.start = now;
    }

    #[inline]
    pub(super) fn is_open_loop(&self) -> bool {
        self.open.is_some()
    }

    /// When a publisher's message is due.
    #[inline]
    pub(super) fn due_at(&self, publisher: usize, sequence: u64) -> u64 {
        self.start + self.schedule.due_at(publisher, sequence)
    }

    /// The publisher of the next message, if that is due.
    #[inline]
    pub(super) fn take(&mut self, now: u64) -> Option<usize> {
        self.schedule.take(now.saturating_sub(self.start))
    }

    /// How many messages were due.
    pub(super) fn taken(&self) -> u64 {
        self.schedule.taken()
    }

    /// Sees to it that the poller wakes when the next message is due, and not before.
    pub(super) fn arm(&mut self) -> io::Result<()> {
        let due_at = self.start + self.schedule.next_due_at();
        if due_at != self.armed_for {
            self.armed_for = due_at;
            let delay = Duration::from_nanos(due_at).saturating_sub(self.epoch.elapsed());
            // Zero would disarm it.
            self.set(delay.max(Duration::from_nanos(1)))?;
        }
        Ok(())
    }

    /// Nothing more is due.
    pub(super) fn disarm(&self) -> io::Result<()> {
        self.set(Duration::ZERO)
    }

    fn set(&self, delay: Duration) -> io::Result<()> {
        let spec = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: delay.as_secs().cast_signed(),
                tv_nsec: delay.subsec_nanos().into(),
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    /// What is due earlier is not measured.
    pub(super) fn measure_from(&mut self, now: u64) {
        if let Some(open) = &mut self.open {
            open.measured_from = now;
            open.held_back = 0;
            open.late.clear();
        }
    }

    /// Whether a message that was due then is measured.
    #[inline]
    pub(super) fn is_measured(&self, due_at: u64) -> bool {
        self.open.as_ref().is_none_or(|open| due_at >= open.measured_from)
    }

    /// Appends what is due, of a publisher in an open loop; whether there was anything.
    pub(super) fn fill(
        &mut self,
        index: usize,
        publisher: &mut Publisher,
        link: &mut Link,
        now: u64,
    ) -> bool {
        let Some(open) = &mut self.open else { return false };
        let before = publisher.window.sent();
        while publisher.may_send() && link.waiting_bytes() < WAITING_BYTES_MAX {
            let due_at = self.start + self.schedule.due_at(index, publisher.window.sent());
            if publisher.window.sent() >= publisher.held_until {
                open.sent.push(due_at);
            } else if due_at >= open.measured_from {
                open.held_back += 1;
            }
            publisher.send(now, link.out());
        }
        publisher.held_until = publisher.allowed;
        publisher.window.sent() > before
    }

    /// All that [`Self::fill`] appended in this turn was given to the system by now.
    pub(super) fn note_written(&mut self, now: u64) {
        if let Some(open) = &mut self.open {
            for due_at in open.sent.drain(..).filter(|due_at| *due_at >= open.measured_from) {
                open.late.add(now.saturating_sub(due_at));
            }
        }
    }

    pub(super) fn punctuality(&self) -> Option<Punctuality> {
        let open = self.open.as_ref()?;
        Some(Punctuality { late: open.late.clone(), held_back: open.held_back })
    }
}
