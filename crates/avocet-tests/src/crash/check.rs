//! What one subscriber has got, and what is wrong with it. Knows no broker and no connection.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use super::{
    message::{Message, Number, Style},
    will,
};

/// A promise that was broken to a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A message that nobody has sent.
    Unknown { topic: String, text: String },
    /// A message with another QoS than that of message and subscription together.
    WrongQos { number: Number, qos: u8, right: u8 },
    /// A message that was promised once and came twice.
    Doubled { number: Number },
    /// A message whose successor on its topic, of the same QoS, came first.
    OutOfOrder { number: Number, after: u64 },
    /// A message with another expiry interval than what may be left of what it was sent with.
    WrongExpiry { number: Number, expiry: Option<u32>, sent: Option<u32> },
    /// A message that its publisher was told would arrive.
    Missing { numbers: Vec<Number>, count: usize },
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { topic, text } => {
                write!(formatter, "UNKNOWN: nobody sent `{text}` to {topic}")
            }
            Self::WrongQos { number, qos, right } => {
                write!(formatter, "WRONG QOS: {number} came at {qos}, not {right}")
            }
            Self::Doubled { number } => {
                write!(formatter, "DOUBLED: {number} of QoS 2 was delivered twice")
            }
            Self::OutOfOrder { number, after } => {
                write!(formatter, "OUT OF ORDER: {number} came first after its number {after}")
            }
            Self::WrongExpiry { number, expiry, sent } => {
                write!(formatter, "WRONG EXPIRY: {number} came with {expiry:?}, sent with {sent:?}")
            }
            Self::Missing { numbers, count } => {
                let shown: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                write!(formatter, "MISSING: {count} messages: {}", shown.join(", "))
            }
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "p{}/{}", self.publisher, self.sequence)
    }
}

/// How many missing messages are named.
const NAMED_MAX: usize = 5;

/// The messages that one subscriber has taken over.
#[derive(Debug)]
pub struct Deliveries {
    granted: u8,
    /// Of each publisher, the first message that is not settled, and how often each from there on
    /// was delivered.
    counts: Vec<(u64, Vec<u8>)>,
    /// The last first delivery of each publisher's topic and QoS.
    last: BTreeMap<(usize, u64, u8), u64>,
    /// Of each publisher the first message that was sent to the subscription. One before it may
    /// have passed us by, and come later, when its publisher sends it again.
    ordered_from: Vec<u64>,
    /// Nothing is promised to several about the order of what they get together.
    is_ordered: bool,
    pub delivered: u64,
    /// Deliveries of QoS 1 beyond the first, which are allowed.
    pub repeated: u64,
}

impl Deliveries {
    /// Nothing yet, of so many publishers, at most at the QoS that was granted.
    pub fn new(publishers: usize, granted: u8) -> Self {
        let counts = vec![(0, Vec::new()); publishers];
        let (last, ordered_from) = (BTreeMap::new(), vec![0; publishers]);
        Self { granted, counts, last, ordered_from, is_ordered: true, delivered: 0, repeated: 0 }
    }

    /// The same of several subscribers together.
    pub fn unordered(publishers: usize, granted: u8) -> Self {
        Self { is_ordered: false, ..Self::new(publishers, granted) }
    }

    /// There is a subscription from these messages on.
    pub fn begin_order(&mut self, from: &[u64]) {
        self.ordered_from = from.to_vec();
    }

    /// Which message this is, if it is one; `sent` are the messages that a publisher has sent.
    ///
    /// # Errors
    ///
    /// Nobody has sent such a message, or not at this QoS.
    pub fn recognise(
        &self,
        got: (&str, &[u8], u8),
        styles: &[Style],
        sent: impl Fn(usize) -> u64,
    ) -> Result<Message, Fault> {
        let (topic, payload, qos) = got;
        let number = Message::number_in(payload).filter(|it| it.publisher < styles.len());
        let message = number.map(|number| Message::of(number, styles[number.publisher]));
        let known = message.filter(|message| {
            let is_same = message.topic == topic && message.payload == payload;
            is_same && message.number.sequence < sent(message.number.publisher)
        });
        let Some(message) = known else {
            let text = String::from_utf8_lossy(&payload[..payload.len().min(40)]).into_owned();
            return Err(Fault::Unknown { topic: topic.to_owned(), text });
        };
        let right = message.qos.min(self.granted);
        if qos != right {
            return Err(Fault::WrongQos { number: message.number, qos, right });
        }
        Ok(message)
    }

    /// A message was taken over.
    ///
    /// # Errors
    ///
    /// It must not come again, or should have come before.
    pub fn take(&mut self, message: &Message) -> Result<(), Fault> {
        let Number { publisher, sequence } = message.number;
        self.delivered += 1;
        let (base, counts) = &mut self.counts[publisher];
        let index = sequence.checked_sub(*base).map(|index| usize::try_from(index).expect("few"));
        let before = match index {
            None => 1,
            Some(index) => {
                counts.resize(counts.len().max(index + 1), 0);
                let before = counts[index];
                counts[index] = before.saturating_add(1);
                before
            }
        };
        if before > 0 {
            self.repeated += 1;
            let once = message.qos.min(self.granted) == 2;
            return if once { Err(Fault::Doubled { number: message.number }) } else { Ok(()) };
        }
        // One of QoS 1 that has expired here may come when its publisher sends it again.
        let may_be_late = message.may_expire() && message.qos == 1;
        if !self.is_ordered
            || may_be_late
            || message.style == Style::Delayed
            || will::is_will(message.style)
            || sequence < self.ordered_from[publisher]
        {
            return Ok(());
        }
        let last = self.last.insert((publisher, message.branch, message.qos), sequence);
        match last {
            Some(after) if after > sequence => {
                Err(Fault::OutOfOrder { number: message.number, after })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a message has come.
    pub fn has(&self, number: Number) -> bool {
        let (base, counts) = &self.counts[number.publisher];
        number.sequence.checked_sub(*base).is_none_or(|index| {
            let index = usize::try_from(index).expect("few");
            counts.get(index).is_some_and(|count| *count > 0)
        })
    }

    /// Of the messages that are owed, those that have not come.
    pub fn missing(&self, owed: &[Number]) -> Option<Fault> {
        let missing: Vec<Number> =
            owed.iter().filter(|number| !self.has(**number)).copied().collect();
        let count = missing.len();
        let numbers = missing.into_iter().take(NAMED_MAX).collect();
        (count > 0).then_some(Fault::Missing { numbers, count })
    }

    /// Everything that was sent so far is where it belongs; `next` are the publishers' next
    /// messages. Of others than these, wills, some may still come.
    pub fn settle(&mut self, next: &[u64]) {
        for ((base, counts), next) in self.counts.iter_mut().zip(next) {
            *base = *next;
            counts.clear();
        }
    }
}
