//! A session from CONNECT on: sequences of packets, good and bad ones, and of what else happens to
//! it. Whatever comes, what it sends are packets of the client's version and size; no packet
//! identifier is used for two messages at once; a message of QoS 2 is handed on once and sent once;
//! answers come in the order of the messages; its queue and the node's budget keep their bounds.
//!
//! - `step`: what can happen;
//! - `wire`: what the session sends, held against what it may;
//! - `broker`: the session's other side, that does what a broker does.

mod broker;
mod step;
mod wire;

use arbitrary::{Arbitrary, Unstructured};

use self::{
    broker::Broker,
    step::{Setting, Step},
};

const STEPS_MAX: usize = 400;

/// A setting and steps, as `arbitrary` makes them of bytes.
pub fn run(data: &[u8]) {
    let Some((setting, steps)) = read(data) else { return };
    let mut broker = Broker::new(&setting);
    for step in steps {
        broker.take(step);
    }
    broker.finish();
}

/// What an input stands for, a line for each step.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let Some((setting, steps)) = read(data) else { return String::new() };
    steps.fold(format!("{setting:?}\n"), |text, step| text + &format!("{step:?}\n"))
}

fn read(data: &[u8]) -> Option<(Setting, impl Iterator<Item = Step<'_>>)> {
    let mut input = Unstructured::new(data);
    let setting = Setting::arbitrary(&mut input).ok()?;
    let steps =
        std::iter::from_fn(
            move || {
                if input.is_empty() { None } else { Step::arbitrary(&mut input).ok() }
            },
        );
    Some((setting, steps.take(STEPS_MAX)))
}
