//! The messages of the crash harness. Each is made of its publisher and its number alone, so that
//! whoever receives one knows every byte of it.

use super::dice::Dice;

/// Topics of one publisher.
pub const TOPICS: u64 = 3;

/// Bytes of the longest payload, about.
const PADDING_BYTES_MAX: u64 = 2048;

/// Seconds that no round lasts, and seconds that are over soon.
const EXPIRY_LATE: u32 = 10_000;
const EXPIRY_SOON: u32 = 1;

/// What a publisher sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// At this QoS.
    Plain(u8),
    /// At QoS 1 and 2 by turns.
    Mixed,
    /// At QoS 2, due a second later, in no order.
    Delayed,
    /// At QoS 1, retained, below `kept/`.
    Retained,
    /// At QoS 1 and 2 by turns; some expire soon, some late.
    Expiring,
    /// The will of a subscriber, at this QoS, in no order.
    Will(u8),
}

/// Which message: its publisher, and its place among the publisher's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number {
    pub publisher: usize,
    pub sequence: u64,
}

/// A message as it reaches a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub number: Number,
    /// Which of the publisher's topics.
    pub branch: u64,
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub style: Style,
    /// In seconds, as it is sent.
    pub expiry: Option<u32>,
}

impl Message {
    /// The message of this number.
    pub fn of(number: Number, style: Style) -> Self {
        let mut dice = Dice::new(number.sequence, number.publisher as u64 + 1);
        let branch = dice.below(TOPICS);
        let qos = match style {
            Style::Plain(qos) | Style::Will(qos) => qos,
            Style::Mixed | Style::Expiring => 1 + u8::from(dice.percent(50)),
            Style::Delayed => 2,
            Style::Retained => 1,
        };
        let root = if style == Style::Retained { "kept" } else { "crash" };
        let topic = format!("{root}/p{}/{branch}", number.publisher);
        let mut payload = format!("{} {} ", number.publisher, number.sequence).into_bytes();
        // Most are small.
        let bound = if dice.percent(20) { PADDING_BYTES_MAX } else { 64 };
        let letter = b'a' + u8::try_from(dice.below(26)).expect("a letter of 26");
        let padding = usize::try_from(dice.below(bound)).expect("two KiB");
        payload.resize(payload.len() + padding, letter);
        let expiry = match dice.below(4) {
            _ if style != Style::Expiring => None,
            0 => Some(EXPIRY_SOON),
            1 => Some(EXPIRY_LATE),
            _ => None,
        };
        Self { number, branch, topic, payload, qos, style, expiry }
    }

    /// The topic that its publisher names.
    pub fn published_topic(&self) -> String {
        match self.style {
            Style::Delayed => format!("$delayed/1/{}", self.topic),
            Style::Plain(_) | Style::Mixed | Style::Retained | Style::Expiring | Style::Will(_) => {
                self.topic.clone()
            }
        }
    }

    /// Whether it may be dropped because its time is over.
    pub fn may_expire(&self) -> bool {
        self.expiry == Some(EXPIRY_SOON)
    }

    /// Which message a payload says that it is.
    pub fn number_in(payload: &[u8]) -> Option<Number> {
        let mut words = payload.splitn(3, |byte| *byte == b' ');
        let mut word = || std::str::from_utf8(words.next()?).ok();
        Some(Number { publisher: word()?.parse().ok()?, sequence: word()?.parse().ok()? })
    }
}
