//! The table of metrics: a row of `metrics!` is a counter, its number in the snapshot, and how it
//! is told to others, with the doc comment as help.

use std::sync::atomic::{AtomicU64, Ordering};

use avocet_mqtt::ReasonCode;
use avocet_session::DropReason;

use super::{ACKNOWLEDGEMENTS, ENDS, End, KINDS, PACKETS};

/// A metric as it is told to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Begins with `avocet_`. In the text that Prometheus reads, `_total` follows for a counter.
    pub name: &'static str,
    /// What it counts, in a sentence.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: MetricKind,
    /// The name of what tells its numbers apart, if there are several.
    pub label: Option<&'static str>,
    /// Its numbers, each with the label's value, which is empty without a label.
    pub numbers: Vec<(&'static str, u64)>,
}

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Grows from zero at the start of the process.
    Counter,
    /// How much there is at the moment.
    Gauge,
}

/// What tells the numbers of one metric apart. Numbers whose value is empty cannot occur.
pub(super) struct Label<const N: usize> {
    name: &'static str,
    pub(super) values: [&'static str; N],
}

pub(super) const PACKETS_RECEIVED: Label<KINDS> = packets(true, false);
pub(super) const PACKETS_SENT: Label<KINDS> = packets(false, true);
pub(super) const MISSED: Label<KINDS> = acknowledgements();
pub(super) const QOS: Label<3> = Label { name: "qos", values: ["0", "1", "2"] };
pub(super) const REASON: Label<{ DropReason::ALL.len() }> = reasons();

pub(super) const ENDED: Label<ENDS> = ends();

const fn ends() -> Label<ENDS> {
    let mut values = [""; ENDS];
    let mut byte: u8 = 0x80;
    while byte < u8::MAX {
        if let Some(reason) = ReasonCode::from_byte(byte) {
            values[byte as usize] = reason.text();
        }
        byte += 1;
    }
    values[End::ClientLeft as usize] = "client left";
    values[End::Lost as usize] = "connection lost";
    values[End::NoConnect as usize] = "no CONNECT in time";
    values[End::BadProxyHeader as usize] = "bad PROXY header";
    values[End::TlsFailed as usize] = "TLS failed";
    values[End::WebSocketFailed as usize] = "WebSocket failed";
    values[End::QuicFailed as usize] = "QUIC failed";
    Label { name: "reason", values }
}

const fn packets(received: bool, sent: bool) -> Label<KINDS> {
    let mut values = [""; KINDS];
    let mut row = 0;
    while row < PACKETS.len() {
        let (kind, name, is_received, is_sent) = PACKETS[row];
        if (received && is_received) || (sent && is_sent) {
            values[kind] = name;
        }
        row += 1;
    }
    Label { name: "type", values }
}

const fn acknowledgements() -> Label<KINDS> {
    let mut label = packets(true, true);
    let mut kind = 0;
    while kind < KINDS {
        if kind < *ACKNOWLEDGEMENTS.start() || kind > *ACKNOWLEDGEMENTS.end() {
            label.values[kind] = "";
        }
        kind += 1;
    }
    label
}

const fn reasons() -> Label<{ DropReason::ALL.len() }> {
    let mut values = [""; DropReason::ALL.len()];
    let mut row = 0;
    while row < values.len() {
        values[row] = DropReason::ALL[row].label();
        row += 1;
    }
    Label { name: "reason", values }
}

/// Declares [`Metrics`](super::Metrics), [`MetricsSnapshot`](super::MetricsSnapshot), and the
/// metrics as others are told of them. What is `counted` gets an atomic; what somebody else knows
/// is `looked_up` when it is asked for.
macro_rules! metrics {
    (
        counted {
            $(
                $(#[doc = $doc:literal])+
                $vis:vis $name:ident: $kind:ident $(by $label:ident)?,
            )+
        }
        looked_up {
            $(
                $(#[doc = $found_doc:literal])+
                $found:ident: $found_kind:ident $(by $found_label:ident)? = $look:expr,
            )+
        }
    ) => {
        /// Counters of the whole node.
        #[derive(Debug)]
        pub(crate) struct Metrics {
            $( $vis $name: $crate::metrics::table::numbers!(AtomicU64 $(, $label)?), )+
        }

        /// The metrics at one moment.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct MetricsSnapshot {
            $(
                $(#[doc = $doc])+
                pub $name: $crate::metrics::table::numbers!(u64 $(, $label)?),
            )+
            $(
                $(#[doc = $found_doc])+
                pub $found: $crate::metrics::table::numbers!(u64 $(, $found_label)?),
            )+
        }

        impl Default for Metrics {
            fn default() -> Self {
                use $crate::metrics::table::Zero;
                Self { $( $name: Zero::zero(), )+ }
            }
        }

        impl Default for MetricsSnapshot {
            fn default() -> Self {
                use $crate::metrics::table::Zero;
                Self { $( $name: Zero::zero(), )+ $( $found: Zero::zero(), )+ }
            }
        }

        impl MetricsSnapshot {
            /// The metrics now. Costs the same however many sessions there are.
            pub(crate) fn take(shared: &Shared) -> Self {
                use $crate::metrics::table::Load;
                // The closures' argument has its type from here.
                fn look<N>(seen: &Seen<'_>, look: impl Fn(&Seen<'_>) -> N) -> N {
                    look(seen)
                }
                let seen = Seen::of(shared);
                Self {
                    $( $name: shared.metrics.$name.load_now(), )+
                    $( $found: look(&seen, $look), )+
                }
            }

            /// All of them, as others are told.
            #[must_use]
            pub fn list(&self) -> Vec<Metric> {
                vec![
                    $( $crate::metrics::table::metric!(
                        self, $name, $kind, concat!($($doc),+) $(, $label)?
                    ), )+
                    $( $crate::metrics::table::metric!(
                        self, $found, $found_kind, concat!($($found_doc),+) $(, $found_label)?
                    ), )+
                ]
            }
        }
    };
}

/// One number, or one for each value of a label.
macro_rules! numbers {
    ($number:ty) => {
        $number
    };
    ($number:ty, $label:ident) => {
        [$number; $label.values.len()]
    };
}

macro_rules! metric {
    ($snapshot:ident, $name:ident, $kind:ident, $doc:expr $(, $label:ident)?) => {
        Metric {
            name: concat!("avocet_", stringify!($name)),
            help: $doc.trim_ascii(),
            kind: MetricKind::$kind,
            label: None $(.or(Some($label.name())))?,
            numbers: $crate::metrics::table::tell!($snapshot.$name $(, $label)?),
        }
    };
}

macro_rules! tell {
    ($number:expr) => {
        vec![("", $number)]
    };
    ($numbers:expr, $label:ident) => {
        $label.tell(&$numbers)
    };
}

pub(super) use {metric, metrics, numbers, tell};

impl<const N: usize> Label<N> {
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// The numbers that can occur, each with its value.
    pub(super) fn tell(&self, numbers: &[u64; N]) -> Vec<(&'static str, u64)> {
        let all = self.values.into_iter().zip(*numbers);
        all.filter(|(value, _)| !value.is_empty()).collect()
    }
}

/// Where counting begins; `Default` is not for arrays of this length.
pub(super) trait Zero {
    fn zero() -> Self;
}

impl Zero for u64 {
    fn zero() -> Self {
        0
    }
}

impl Zero for AtomicU64 {
    fn zero() -> Self {
        Self::new(0)
    }
}

impl<T: Zero, const N: usize> Zero for [T; N] {
    fn zero() -> Self {
        std::array::from_fn(|_| T::zero())
    }
}

/// Counters become plain numbers.
pub(super) trait Load {
    type Numbers;

    fn load_now(&self) -> Self::Numbers;
}

impl Load for AtomicU64 {
    type Numbers = u64;

    fn load_now(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }
}

impl<const N: usize> Load for [AtomicU64; N] {
    type Numbers = [u64; N];

    fn load_now(&self) -> [u64; N] {
        self.each_ref().map(AtomicU64::load_now)
    }
}
