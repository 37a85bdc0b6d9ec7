//! Clients that were away come back and take what waits for them.

use std::{
    fmt,
    num::NonZeroU16,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use avocet_mqtt::ProtocolVersion;
use serde_json::{Value, json};

use super::{
    lane::{Arrival, Faults, Lane},
    link::{Link, Poller},
    load::{Load, Meter},
    outcome::{Costs, with},
    publisher::stamp,
    setup, store,
    wire::{self, Frame, Malformed, kind},
};

/// How long to wait for anything before looking at the time again.
const WAIT: Duration = Duration::from_millis(50);

/// What was taken.
#[derive(Debug)]
pub(super) struct Fetched {
    costs: Costs,
    faults: Faults,
}

/// A client with what it has of each publisher.
struct Taker {
    link: Link,
    lanes: Vec<Lane>,
}

/// Has all of them take `count` messages, each at once acknowledged.
pub(super) fn run(
    load: &Load,
    receive_maximum: Option<NonZeroU16>,
    count: u64,
) -> anyhow::Result<Fetched> {
    let mut poller = Poller::new()?;
    let start = Meter::read(load, 0)?;
    let mut takers = Vec::new();
    for index in 0..load.subscribers() {
        let taker = come(load, receive_maximum, index)?;
        poller.add(taker.link.socket(), index.into())?;
        takers.push(taker);
    }
    let (mut scratch, mut ready, mut heard_at) = (Vec::new(), Vec::new(), Instant::now());
    let (mut faults, mut taken) = (Faults::default(), 0);
    // With CONNACK there may have come more.
    for (number, taker) in takers.iter_mut().enumerate() {
        taken += taker.read(load, &mut scratch, &mut faults)?;
        taker.link.flush(&poller, number as u64)?;
    }
    let wanted = count * u64::from(load.subscribers());
    while taken < wanted && heard_at.elapsed() < load.patience {
        poller.wait(Some(WAIT), &mut ready)?;
        for event in &ready {
            heard_at = Instant::now();
            let taker = &mut takers[event.number as usize];
            if event.readable {
                taken += taker.read(load, &mut scratch, &mut faults)?;
            }
            taker.link.flush(&poller, event.number).context("the broker closed the connection")?;
        }
    }
    let costs = start.costs_until(&Meter::read(load, taken)?);
    faults.lost = wanted - taken.min(wanted);
    Ok(Fetched { costs, faults })
}

fn come(load: &Load, receive_maximum: Option<NonZeroU16>, index: u32) -> anyhow::Result<Taker> {
    let mut connect = setup::connect_lasting(load, &store::client_id(index));
    if load.version == ProtocolVersion::V5 {
        connect.receive_maximum = receive_maximum;
    }
    let (connection, connack) = setup::dial(load, index, connect)?;
    if !connack.session_present && load.version != ProtocolVersion::V3_1 {
        bail!("the broker has no session of {}", store::client_id(index));
    }
    let (socket, layers, rest) = connection.into_parts();
    let lanes = (0..load.publishers()).map(|_| Lane::default()).collect();
    Ok(Taker { link: Link::new(socket, layers, rest)?, lanes })
}

impl Taker {
    /// Takes what has come; how many messages that were not there before.
    fn read(
        &mut self,
        load: &Load,
        scratch: &mut Vec<u8>,
        faults: &mut Faults,
    ) -> anyhow::Result<u64> {
        let total = self.link.read(scratch).context("the broker closed the connection")?;
        let malformed = |_| anyhow!("the broker sent something malformed");
        let (mut at, mut taken) = (0, 0);
        while let Some(frame) = wire::frame(&scratch[at..total]).map_err(malformed)? {
            match frame.kind() {
                kind::PUBLISH => taken += self.take(load, &frame, faults).map_err(malformed)?,
                kind::PUBREL => {
                    let (packet_id, _) = wire::acknowledged(&frame).map_err(malformed)?;
                    self.answer(kind::PUBCOMP, packet_id);
                }
                kind::DISCONNECT => bail!(setup::farewell(load.version, &scratch[at..total])),
                _ => {}
            }
            at += frame.len;
        }
        self.link.keep(&scratch[at..total]);
        Ok(taken)
    }

    fn take(
        &mut self,
        load: &Load,
        frame: &Frame<'_>,
        faults: &mut Faults,
    ) -> Result<u64, Malformed> {
        let published = wire::published(frame, load.version == ProtocolVersion::V5)?;
        if let Some(packet_id) = published.packet_id {
            self.answer(if frame.qos() == 1 { kind::PUBACK } else { kind::PUBREC }, packet_id);
        }
        let stamp = stamp(published.payload);
        let lane = stamp.and_then(|(publisher, _)| self.lanes.get_mut(publisher));
        let Some((lane, (_, sequence))) = lane.zip(stamp) else {
            faults.unexpected += 1;
            return Ok(0);
        };
        match lane.handle_arrival(sequence) {
            Arrival::InOrder | Arrival::AfterGap => {}
            Arrival::Late => faults.out_of_order += 1,
            Arrival::Doubled => {
                faults.doubled += 1;
                return Ok(0);
            }
        }
        Ok(1)
    }

    fn answer(&mut self, kind: u8, packet_id: [u8; 2]) {
        self.link.out().extend_from_slice(&wire::acknowledgement(kind, packet_id));
    }
}

impl Fetched {
    /// Whether every message came once and in order.
    pub(super) fn is_good(&self) -> bool {
        self.faults.is_none()
    }

    pub(super) fn to_json(&self) -> Value {
        let Self { costs, faults } = self;
        let said = json!({
            "lost": faults.lost,
            "doubled": faults.doubled,
            "out_of_order": faults.out_of_order,
            "unexpected": faults.unexpected,
        });
        with(said, costs.figures())
    }
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { costs, faults } = self;
        costs.write(f, "taken")?;
        if !faults.is_none() {
            let Faults { lost, doubled, out_of_order, unexpected, .. } = faults;
            writeln!(
                f,
                "  WRONG       {lost} lost, {doubled} doubled, {out_of_order} out of order, \
                 {unexpected} unexpected"
            )?;
        }
        Ok(())
    }
}
