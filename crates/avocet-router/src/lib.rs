//! Who gets this topic.
//!
//! - [`filter`]: a subscription string taken apart: prefixes, share group, topic filter;
//! - [`subscriber`]: who subscribes, and on which terms;
//! - [`index`]: [`Router`], the concurrent index from topic filters to subscribers;
//! - [`destination`]: what a look-up answers: one [`Destination`] for each receiver;
//! - [`cache`]: [`RouteCache`], one thread's memory of the last answers;
//! - [`group`]: shared subscriptions, and which member gets the message;
//! - [`retained`]: [`RetainedIndex`], topics found by a filter, page by page;
//! - [`exclusive`]: who holds an `$exclusive/` subscription.
//!
//! This crate knows no session, only subscriber ids; no socket, no clock, and no dice: whoever
//! wants a random member hands the dice in. Two locks are never held at once.
#![warn(missing_docs)]

pub mod cache;
pub mod destination;
pub mod exclusive;
pub mod filter;
pub mod group;
pub mod index;
#[cfg(test)]
mod naive;
pub mod retained;
pub mod subscriber;

pub use cache::RouteCache;
pub use destination::{Destination, Destinations, Own, Position, Slice, Terms};
pub use exclusive::ExclusiveClaims;
pub use filter::{Filter, FilterError};
pub use group::{Choice, Group, Member, Strategy};
pub use index::{Config, Inserted, Overlap, Router, Stats};
pub use retained::{Cursor, Page, RetainedIndex};
pub use subscriber::{Entry, Subscriber, SubscriberId};
