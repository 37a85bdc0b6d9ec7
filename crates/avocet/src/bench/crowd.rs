//! Many clients on one thread: they connect without waiting for each other, are kept alive, and
//! what they receive is handed to the scenario.

mod entrance;
mod member;
mod plan;

use std::{
    collections::VecDeque,
    io,
    time::{Duration, Instant},
};

use anyhow::bail;

use self::member::{Member, Standing};
pub(super) use self::plan::Plan;
use super::{
    arrivals::Arrivals,
    dial::Dialer,
    link::{Link, Poller, Ready},
    wire::{self, Frame, Malformed, kind},
};

/// How long to wait for anything before looking at the time again.
const WAIT: Duration = Duration::from_millis(50);

/// How often a member is looked at, as a part of the keep alive. One that has said something in the
/// last third of it is left alone, so that four fifths of the keep alive are never exceeded.
const PING_PERIOD: f64 = 0.6;

pub(super) const PINGREQ: [u8; 2] = [0xC0, 0];

/// What a scenario does with what its clients receive.
pub(super) trait Scenario {
    /// A packet came to `member`; what is appended to `out` is sent.
    fn handle_frame(
        &mut self,
        member: usize,
        frame: &Frame<'_>,
        out: &mut Vec<u8>,
        now: u64,
    ) -> Result<(), Malformed>;
}

/// Nothing that comes is of interest.
#[derive(Debug)]
pub(super) struct Rest;

impl Scenario for Rest {
    fn handle_frame(
        &mut self,
        _: usize,
        _: &Frame<'_>,
        _: &mut Vec<u8>,
        _: u64,
    ) -> Result<(), Malformed> {
        Ok(())
    }
}

pub(super) struct Crowd {
    dialer: Dialer,
    poller: Poller,
    members: Vec<Member>,
    free: Vec<usize>,
    queued: Vec<usize>,
    ready: Vec<Ready>,
    scratch: Vec<u8>,
    /// Nanoseconds from the epoch, as of the last look.
    epoch: Instant,
    now: u64,
    patience: u64,
    /// When to lose patience with a member that opens or leaves, and when to see whether one has
    /// to send PINGREQ: time, member and its serial number, in the order of time.
    deadlines: VecDeque<(u64, usize, u64)>,
    pings: VecDeque<(u64, usize, u64)>,
    ping_period: Option<u64>,
    /// The number of the next client.
    serial: u64,
    is_kept: bool,
    concurrency: usize,
    opening: usize,
    leaving: usize,
    arrivals: Arrivals,
    arrived_at: u64,
    receive_maximum: u16,
    /// Whether there was something to be heard where [`Self::listen_to`] listens.
    is_called: bool,
}

/// The number of what is listened to, among the members.
const CALL: u64 = u64::MAX;

impl Crowd {
    pub(super) fn new(dialer: Dialer, patience: Duration) -> io::Result<Self> {
        let keep_alive = Duration::from_secs(dialer.keep_alive().into());
        let ping_period = keep_alive.mul_f64(PING_PERIOD);
        Ok(Self {
            dialer,
            poller: Poller::new()?,
            members: Vec::new(),
            free: Vec::new(),
            queued: Vec::new(),
            ready: Vec::new(),
            scratch: Vec::new(),
            epoch: Instant::now(),
            now: 0,
            patience: patience.as_nanos() as u64,
            deadlines: VecDeque::new(),
            pings: VecDeque::new(),
            ping_period: (!ping_period.is_zero()).then_some(ping_period.as_nanos() as u64),
            serial: 0,
            is_kept: true,
            concurrency: 1,
            opening: 0,
            leaving: 0,
            arrivals: Arrivals::new(),
            arrived_at: 0,
            receive_maximum: u16::MAX,
            is_called: false,
        })
    }

    /// Nanoseconds from the beginning.
    pub(super) fn tick(&mut self) -> u64 {
        self.now = self.epoch.elapsed().as_nanos() as u64;
        self.now
    }

    /// Those that were let in and have not left.
    pub(super) fn inside(&self) -> impl Iterator<Item = usize> {
        let members = self.members.iter().enumerate();
        members.filter(|(_, member)| member.standing == Standing::In).map(|(index, _)| index)
    }

    /// How many clients have ended that should have stayed, if they did at all.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self.arrivals.failures.first_key_value() {
            None => Ok(()),
            Some((kind, _)) => bail!("{} connections ended: {kind}", self.arrivals.failed()),
        }
    }

    /// Adds those that have ended since they were let in.
    pub(super) fn note_ended(&self, arrivals: &mut Arrivals) {
        arrivals.merge(&self.arrivals);
    }

    /// Whether the broker's end of a connection is on this machine, too.
    pub(super) fn is_local(&self) -> bool {
        self.dialer.is_local()
    }

    /// Messages of QoS 1 and 2 that the broker takes from one client before it has acknowledged.
    pub(super) fn receive_maximum(&self) -> u16 {
        self.receive_maximum
    }

    /// From now on [`Self::take_call`] says whether something came by `pipe`, its end included.
    pub(super) fn listen_to(&self, pipe: &impl std::os::fd::AsFd) -> io::Result<()> {
        self.poller.add(pipe, CALL)
    }

    pub(super) fn take_call(&mut self) -> bool {
        std::mem::take(&mut self.is_called)
    }

    /// Where to append what a member is to send with the next turn.
    pub(super) fn out(&mut self, member: usize) -> Option<&mut Vec<u8>> {
        self.queue(member);
        self.members[member].sent_at = self.now;
        self.members[member].link.as_mut().map(Link::out)
    }

    /// Bytes that a member could not yet write.
    pub(super) fn waiting_bytes(&self, member: usize) -> usize {
        self.members[member].link.as_ref().map_or(0, Link::waiting_bytes)
    }

    /// Sends what is to be sent, waits for something to arrive and deals with all of it.
    pub(super) fn turn(
        &mut self,
        wait: Duration,
        scenario: &mut impl Scenario,
    ) -> anyhow::Result<()> {
        self.flush();
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.wait(Some(wait.min(WAIT)), &mut ready)?;
        self.tick();
        for event in &ready {
            if event.number == CALL {
                self.is_called = true;
                continue;
            }
            let index = event.number as usize;
            let handled = self.handle_ready(index, *event, scenario);
            if let Err(error) = handled {
                self.end(index, Some(error));
            }
        }
        self.ready = ready;
        self.look_at_deadlines();
        self.ping();
        self.flush();
        Ok(())
    }

    fn handle_ready(
        &mut self,
        index: usize,
        event: Ready,
        scenario: &mut impl Scenario,
    ) -> Result<(), String> {
        // It may have ended since the events were taken.
        let Some(link) = self.members.get_mut(index).and_then(|member| member.link.as_mut()) else {
            return Ok(());
        };
        if event.writable {
            // There is always something to say first, so that this tells whether we are connected.
            let flushed = link.flush(&self.poller, index as u64);
            flushed.map_err(|error| self.dialer.explain(&error))?;
        }
        if event.readable { self.read(index, scenario) } else { Ok(()) }
    }

    fn read(&mut self, index: usize, scenario: &mut impl Scenario) -> Result<(), String> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = self.read_into(index, &mut scratch, scenario);
        self.scratch = scratch;
        result
    }

    fn read_into(
        &mut self,
        index: usize,
        scratch: &mut Vec<u8>,
        scenario: &mut impl Scenario,
    ) -> Result<(), String> {
        let Some(link) = &mut self.members[index].link else { return Ok(()) };
        let total = link.read(scratch).map_err(|error| self.dialer.explain(&error))?;
        if self.members[index].standing == Standing::Opening {
            self.ask(index);
        }
        let (mut at, malformed) = (0, |_| "something malformed came".to_owned());
        while let Some(frame) = wire::frame(&scratch[at..total]).map_err(malformed)? {
            let bytes = &scratch[at..at + frame.len];
            at += frame.len;
            let member = &mut self.members[index];
            match member.standing {
                Standing::Asking => self.handle_connack(index, bytes)?,
                Standing::In if frame.kind() == kind::DISCONNECT => {
                    return Err("the broker disconnects".to_owned());
                }
                Standing::In => {
                    let Some(link) = &mut member.link else { return Ok(()) };
                    let out = link.out();
                    let before = out.len();
                    scenario.handle_frame(index, &frame, out, self.now).map_err(malformed)?;
                    if out.len() > before {
                        member.sent_at = self.now;
                        self.queue(index);
                    }
                }
                Standing::Opening | Standing::Leaving | Standing::Gone => {}
            }
        }
        let Some(link) = &mut self.members[index].link else { return Ok(()) };
        link.keep(&scratch[at..total]);
        if link.has_answer() {
            self.queue(index);
        }
        Ok(())
    }

    fn queue(&mut self, index: usize) {
        let link = self.members[index].link.as_mut();
        if let Some(link) = link.filter(|link| !link.is_queued) {
            link.is_queued = true;
            self.queued.push(index);
        }
    }

    fn flush(&mut self) {
        let mut queued = std::mem::take(&mut self.queued);
        for index in queued.drain(..) {
            let Some(link) = &mut self.members[index].link else { continue };
            link.is_queued = false;
            if let Err(error) = link.flush(&self.poller, index as u64) {
                let kind = self.dialer.explain(&error);
                self.end(index, Some(kind));
            }
        }
        self.queued = queued;
    }

    /// A connection is over; the end of one that leaves is no failure.
    fn end(&mut self, index: usize, kind: Option<String>) {
        let member = &mut self.members[index];
        let standing = std::mem::replace(&mut member.standing, Standing::Gone);
        member.link = None;
        match standing {
            Standing::Gone => return,
            Standing::Leaving => self.leaving -= 1,
            Standing::Opening | Standing::Asking => self.opening -= 1,
            Standing::In => {}
        }
        self.free.push(index);
        if let (Some(kind), true) = (kind, standing != Standing::Leaving) {
            self.arrivals.fail(kind);
        }
    }

    fn look_at_deadlines(&mut self) {
        while let Some((_, index, serial)) = self.deadlines.pop_front_if(|(at, ..)| *at <= self.now)
        {
            let member = &self.members[index];
            if member.serial == serial && member.is_awaited() {
                let patience = Duration::from_nanos(self.patience);
                self.end(index, Some(format!("no answer in {patience:?}")));
            }
        }
    }

    fn ping(&mut self) {
        let Some(period) = self.ping_period else { return };
        while let Some((_, index, serial)) = self.pings.pop_front_if(|(at, ..)| *at <= self.now) {
            let member = &self.members[index];
            if member.serial != serial || member.standing != Standing::In {
                continue;
            }
            if member.sent_at + period / 3 <= self.now
                && let Some(out) = self.out(index)
            {
                out.extend_from_slice(&PINGREQ);
            }
            self.pings.push_back((self.now + period, index, serial));
        }
    }
}
