//! A broker that does one thing wrong, and what is said of it.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use avocet_mqtt::{ProtocolVersion, QoS};

use super::{checker::Faults, *};
use crate::{
    bench::{
        load::Rate,
        processes::Role,
        shape::Shape,
        source::Sources,
        wire::{self, Frame, kind},
    },
    client::stream::Target,
};

/// What the broker does wrong.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    LosesOne,
    DoublesOne,
    DoublesOneWithDup,
    SwapsTwo,
    AcknowledgesTwice,
    /// It keeps no sessions, and nothing for who is away.
    ForgetsSessions,
}

/// The number of the message with which it goes wrong.
const MARKED: u64 = 10;

fn faults(wrong: Wrong) -> Faults {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let broker = Arc::new(Broker { wrong, state: Mutex::default() });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (broker, stream) = (Arc::clone(&broker), stream.unwrap());
            std::thread::spawn(move || broker.serve(&stream));
        }
    });
    let load = Load {
        shape: Shape::Pair,
        count: 1,
        target: Target::tcp("127.0.0.1", port),
        username: None,
        password: None,
        pid: None,
        window: 4,
        rate: Rate::Unlimited,
        payload_bytes: 16,
        qos: QoS::AtLeastOnce,
        version: ProtocolVersion::V3_1_1,
        is_fastlane: false,
        is_lasting: false,
        warm_up: Duration::ZERO,
        until: Until::Delivered(30),
        patience: Duration::from_secs(1),
        sources: Sources::default(),
        role: Role::Alone,
        is_json: false,
    };
    let every = if wrong == Wrong::ForgetsSessions { 20 } else { 1_000_000 };
    let found = measure(&load, Cuts { every, publishers_too: false }).unwrap();
    assert_eq!(found.is_good(), wrong == Wrong::Nothing);
    found.findings.faults
}

/// Just enough of a broker for one pair at QoS 1.
struct Broker {
    wrong: Wrong,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashSet<Vec<u8>>,
    subscriber: Option<TcpStream>,
    published: u64,
    kept_back: Vec<u8>,
}

impl Broker {
    fn serve(&self, mut stream: &TcpStream) {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..count]);
            while let Some(frame) = wire::frame(&bytes).unwrap() {
                let answer = self.handle(&frame, &bytes[..frame.len], stream);
                let len = frame.len;
                bytes.drain(..len);
                // The client may have gone.
                stream.write_all(&answer).ok();
            }
        }
    }

    fn handle(&self, frame: &Frame<'_>, bytes: &[u8], stream: &TcpStream) -> Vec<u8> {
        let mut state = self.state.lock().unwrap();
        match frame.kind() {
            1 => {
                let is_known = !state.sessions.insert(frame.body[12..].to_vec());
                let is_present = is_known && self.wrong != Wrong::ForgetsSessions;
                vec![2 << 4, 2, u8::from(is_present), 0]
            }
            8 => {
                state.subscriber = Some(stream.try_clone().unwrap());
                vec![9 << 4, 3, frame.body[0], frame.body[1], 1]
            }
            12 => vec![kind::PINGRESP << 4, 0],
            kind::PUBLISH => {
                state.forward(self.wrong, bytes);
                let id = wire::published(frame, false).unwrap().packet_id.unwrap();
                let times = 1 + usize::from(state.is_at_mark(self.wrong, Wrong::AcknowledgesTwice));
                wire::acknowledgement(kind::PUBACK, id).repeat(times)
            }
            _ => Vec::new(),
        }
    }
}

impl State {
    fn is_at_mark(&self, wrong: Wrong, expected: Wrong) -> bool {
        wrong == expected && self.published == MARKED
    }

    fn forward(&mut self, wrong: Wrong, bytes: &[u8]) {
        self.published += 1;
        let mut bytes = bytes.to_vec();
        if self.is_at_mark(wrong, Wrong::LosesOne) {
            return;
        }
        if self.is_at_mark(wrong, Wrong::SwapsTwo) {
            self.kept_back = bytes;
            return;
        }
        if self.is_at_mark(wrong, Wrong::DoublesOne) {
            bytes = bytes.repeat(2);
        }
        if self.is_at_mark(wrong, Wrong::DoublesOneWithDup) {
            let len = bytes.len();
            bytes = bytes.repeat(2);
            bytes[len] |= 0b1000;
        }
        bytes.append(&mut self.kept_back);
        if let Some(mut subscriber) = self.subscriber.as_ref() {
            subscriber.write_all(&bytes).ok();
        }
    }
}

#[test]
fn broker_that_does_nothing_wrong_is_good() {
    assert_eq!(faults(Wrong::Nothing), Faults::default());
}

#[test]
fn lost_message_is_found() {
    assert_eq!(faults(Wrong::LosesOne), Faults { lost: 1, ..Faults::default() });
}

#[test]
fn doubled_message_is_found_with_dup_and_without() {
    let without = Faults { doubled_without_dup: 1, ..Faults::default() };
    assert_eq!(faults(Wrong::DoublesOne), without);
    assert_eq!(faults(Wrong::DoublesOneWithDup), Faults { doubled: 1, ..Faults::default() });
}

#[test]
fn overtaken_message_is_found() {
    assert_eq!(faults(Wrong::SwapsTwo), Faults { out_of_order: 1, ..Faults::default() });
}

#[test]
fn second_acknowledgement_is_found() {
    assert_eq!(faults(Wrong::AcknowledgesTwice), Faults { unexpected: 1, ..Faults::default() });
}

#[test]
fn forgotten_session_is_found() {
    assert_eq!(faults(Wrong::ForgetsSessions).sessions_missing, 1);
}
