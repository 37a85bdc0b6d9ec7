//! How clients come in and leave.

use std::time::Duration;

use anyhow::bail;
use avocet_mqtt::{Codec, Packet, ReasonCode};

use super::{
    Crowd, Plan, Rest, WAIT,
    member::{Member, Standing},
};
use crate::bench::{arrivals::Arrivals, bar::Bar, cpu};

/// Clients that have sent DISCONNECT and wait for the broker to close.
const LEAVING_MAX: usize = 1024;

/// Clients that begin before it is seen who was let in: the latency of one is to hold little of
/// the time that we take to begin others.
const BEGUN_MAX: u64 = 8;

/// With no success at all, so many failures are enough.
const HOPELESS: u64 = 64;

const DISCONNECT: [u8; 2] = [0xE0, 0];

impl Crowd {
    /// Connects clients as the plan says, and waits until it is known what became of each.
    pub(in crate::bench) fn gather(
        &mut self,
        plan: &Plan,
        bar: &mut Bar,
    ) -> anyhow::Result<Arrivals> {
        self.is_kept = plan.is_kept;
        self.concurrency = plan.concurrency;
        self.arrivals = Arrivals::new();
        let (own, start) = (cpu::own(), self.tick());
        self.arrived_at = start;
        let mut begun = 0;
        loop {
            let now = self.tick();
            let wanted = plan.count.min(plan.tempo.due(now - start));
            let some = wanted.min(begun + BEGUN_MAX);
            while begun < some && self.has_room() {
                self.begin(self.serial);
                self.serial += 1;
                begun += 1;
            }
            bar.show("connecting", begun, plan.count);
            if begun == plan.count && self.opening == 0 && self.leaving == 0 {
                break;
            }
            if self.is_hopeless() {
                let kinds = self.arrivals.failures.keys().cloned().collect::<Vec<_>>();
                bail!(
                    "none of {} clients could connect: {}",
                    self.arrivals.failed(),
                    kinds.join("; ")
                );
            }
            let wait = match plan.tempo.wait(begun, now - start) {
                _ if begun < wanted && self.has_room() => Duration::ZERO,
                Some(wait) if begun >= wanted => wait,
                Some(_) | None => WAIT,
            };
            self.turn(wait, &mut Rest)?;
        }
        let seconds = (self.arrived_at - start).max(1) as f64 / 1e9;
        self.arrivals.rate = self.arrivals.connected as f64 / seconds;
        self.arrivals.own = cpu::own() - own;
        // What is counted from now on has ended that should have stayed.
        Ok(std::mem::replace(&mut self.arrivals, Arrivals::new()))
    }

    /// Whether another may begin.
    fn has_room(&self) -> bool {
        self.opening < self.concurrency && self.leaving < LEAVING_MAX && !self.is_hopeless()
    }

    fn is_hopeless(&self) -> bool {
        self.arrivals.connected == 0 && self.arrivals.failed() >= HOPELESS
    }

    /// The same, where nothing goes on without all of them.
    pub(in crate::bench) fn gather_all(&mut self, count: u64, bar: &mut Bar) -> anyhow::Result<()> {
        let arrivals = self.gather(&Plan::all(count), bar)?;
        match arrivals.failures.first_key_value() {
            None => Ok(()),
            Some((kind, _)) => {
                bail!("{} of {count} clients could not connect: {kind}", arrivals.failed())
            }
        }
    }

    /// Says goodbye to the broker for everyone who is in, and waits until it has closed their
    /// connections: who measures next finds it without them.
    pub(in crate::bench) fn leave(&mut self) -> anyhow::Result<()> {
        self.tick();
        for index in self.inside().collect::<Vec<_>>() {
            self.disconnect(index);
        }
        while self.leaving > 0 {
            self.turn(WAIT, &mut Rest)?;
        }
        Ok(())
    }

    fn begin(&mut self, serial: u64) {
        // On this machine connecting is done while it begins.
        let begun_at = self.tick();
        let mut link = match self.dialer.dial(serial) {
            Ok(link) => link,
            Err(error) => {
                let kind = self.dialer.explain(&error);
                return self.arrivals.fail(kind);
            }
        };
        let mut standing = Standing::Opening;
        if link.is_open() {
            self.dialer.introduce(serial, link.out());
            standing = Standing::Asking;
        }
        let index = self.free.pop().unwrap_or(self.members.len());
        if let Err(error) = self.poller.add(link.socket(), index as u64) {
            self.free.extend((index < self.members.len()).then_some(index));
            return self.arrivals.fail(error.to_string());
        }
        let member = Member { link: Some(link), serial, standing, begun_at, sent_at: begun_at };
        if index == self.members.len() {
            self.members.push(member);
        } else {
            self.members[index] = member;
        }
        self.opening += 1;
        // On this machine it is connected already; else it is written once it is.
        self.queue(index);
        self.deadlines.push_back((begun_at + self.patience, index, serial));
    }

    /// Sends CONNECT once the layers are open.
    pub(super) fn ask(&mut self, index: usize) {
        let member = &mut self.members[index];
        if let Some(link) = member.link.as_mut().filter(|link| link.is_open()) {
            self.dialer.introduce(member.serial, link.out());
            member.standing = Standing::Asking;
            self.queue(index);
        }
    }

    pub(super) fn handle_connack(&mut self, index: usize, bytes: &[u8]) -> Result<(), String> {
        let decoded = Codec::with_version(self.dialer.version(), u32::MAX).decode(bytes);
        let Ok(Some((Packet::Connack(connack), _))) = decoded else {
            return Err("CONNECT was answered with something else".to_owned());
        };
        if connack.reason != ReasonCode::Success {
            return Err(format!("refused: {}", connack.reason));
        }
        if let Some(maximum) = connack.receive_maximum {
            self.receive_maximum = self.receive_maximum.min(maximum.get());
        }
        let now = self.tick();
        let member = &mut self.members[index];
        member.standing = Standing::In;
        self.arrivals.latencies.add(now - member.begun_at);
        self.arrivals.connected += 1;
        self.arrived_at = now;
        self.opening -= 1;
        if !self.is_kept {
            self.disconnect(index);
        } else if let Some(period) = self.ping_period {
            self.pings.push_back((now + period, index, member.serial));
        }
        Ok(())
    }

    fn disconnect(&mut self, index: usize) {
        let member = &mut self.members[index];
        member.standing = Standing::Leaving;
        self.leaving += 1;
        self.deadlines.push_back((self.now + self.patience, index, member.serial));
        if let Some(link) = &mut member.link {
            link.out().extend_from_slice(&DISCONNECT);
            link.say_goodbye();
        }
        self.queue(index);
    }
}
