//! The protocol versions and the loop over them.

use std::fmt;

/// A protocol version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V31,
    V311,
    V5,
}

impl Version {
    pub const ALL: [Self; 3] = [Self::V31, Self::V311, Self::V5];

    /// Protocol Name and Protocol Level, as CONNECT carries them.
    pub fn name_and_level(self) -> (&'static str, u8) {
        match self {
            Self::V31 => ("MQIsdp", 3),
            Self::V311 => ("MQTT", 4),
            Self::V5 => ("MQTT", 5),
        }
    }

    /// What mosquitto_pub and mosquitto_sub call it.
    pub fn mosquitto(self) -> &'static str {
        match self {
            Self::V31 => "mqttv31",
            Self::V311 => "mqttv311",
            Self::V5 => "mqttv5",
        }
    }

    pub fn has_properties(self) -> bool {
        self == Self::V5
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V31 => "3.1",
            Self::V311 => "3.1.1",
            Self::V5 => "5.0",
        })
    }
}

/// Runs a scenario for each version; the last one named in a failing test's output is at fault.
pub fn each_version(scenario: impl Fn(Version)) {
    for version in Version::ALL {
        #[expect(clippy::print_stderr, reason = "shown by the test runner when the test fails")]
        {
            eprintln!("--- MQTT {version}");
        }
        scenario(version);
    }
}
