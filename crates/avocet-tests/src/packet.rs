//! Packets of a client, put together by hand. What is built is well-formed unless its caller
//! asks for something else; every part is a field or a byte string that a test can replace.

use crate::Version;

/// A packet: first byte, Remaining Length, the rest.
pub fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend(variable(body.len()));
    bytes.extend(body);
    bytes
}

/// A Variable Byte Integer.
pub fn variable(value: usize) -> Vec<u8> {
    let mut rest = value;
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(rest % 128).expect("a remainder of 128 is a byte");
        rest /= 128;
        bytes.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            return bytes;
        }
    }
}

/// Bytes with their two-byte length in front; a string is one of these.
pub fn counted(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let length = u16::try_from(bytes.len()).expect("a string has at most 65535 bytes");
    [&length.to_be_bytes(), bytes].concat()
}

/// The properties of a packet of 5.0.
#[derive(Clone, Debug, Default)]
pub struct Properties(Vec<u8>);

impl Properties {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn byte(mut self, id: u8, value: u8) -> Self {
        self.0.extend([id, value]);
        self
    }

    #[must_use]
    pub fn two(mut self, id: u8, value: u16) -> Self {
        self.0.push(id);
        self.0.extend(value.to_be_bytes());
        self
    }

    #[must_use]
    pub fn four(mut self, id: u8, value: u32) -> Self {
        self.0.push(id);
        self.0.extend(value.to_be_bytes());
        self
    }

    #[must_use]
    pub fn variable(mut self, id: u8, value: usize) -> Self {
        self.0.push(id);
        self.0.extend(variable(value));
        self
    }

    /// A string or binary data.
    #[must_use]
    pub fn counted(mut self, id: u8, value: impl AsRef<[u8]>) -> Self {
        self.0.push(id);
        self.0.extend(counted(value));
        self
    }

    /// A User Property.
    #[must_use]
    pub fn user(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.0.push(0x26);
        self.0.extend(counted(name));
        self.0.extend(counted(value));
        self
    }

    /// Property Length and properties for 5.0, nothing for older versions.
    fn encode(&self, version: Version) -> Vec<u8> {
        if version.has_properties() { self.bytes() } else { Vec::new() }
    }

    /// Property Length and properties.
    pub fn bytes(&self) -> Vec<u8> {
        [variable(self.0.len()), self.0.clone()].concat()
    }
}

/// A CONNECT.
#[derive(Clone, Debug)]
pub struct Connect {
    pub version: Version,
    pub client_id: Vec<u8>,
    pub clean: bool,
    pub keep_alive: u16,
    pub properties: Properties,
    pub will: Option<Will>,
    pub user_name: Option<Vec<u8>>,
    pub password: Option<Vec<u8>>,
    /// Bits that are turned over in the Connect Flags, for packets that break the rules.
    pub wrong_flags: u8,
}

impl Connect {
    /// A clean start without keep alive.
    pub fn new(version: Version, client_id: impl AsRef<[u8]>) -> Self {
        Self {
            version,
            client_id: client_id.as_ref().to_vec(),
            clean: true,
            keep_alive: 0,
            properties: Properties::new(),
            will: None,
            user_name: None,
            password: None,
            wrong_flags: 0,
        }
    }

    /// Resumes the session and keeps it: for 5.0 that wants an expiry, here the longest.
    pub fn resume(version: Version, client_id: impl AsRef<[u8]>) -> Self {
        let mut connect = Self::new(version, client_id);
        connect.clean = false;
        connect.properties = Properties::new().four(0x11, u32::MAX);
        connect
    }

    #[must_use]
    pub fn properties(mut self, properties: Properties) -> Self {
        self.properties = properties;
        self
    }

    #[must_use]
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    #[must_use]
    pub fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    #[must_use]
    pub fn user_name(mut self, name: impl AsRef<[u8]>) -> Self {
        self.user_name = Some(name.as_ref().to_vec());
        self
    }

    #[must_use]
    pub fn password(mut self, password: impl AsRef<[u8]>) -> Self {
        self.password = Some(password.as_ref().to_vec());
        self
    }

    #[must_use]
    pub fn wrong_flags(mut self, bits: u8) -> Self {
        self.wrong_flags = bits;
        self
    }

    pub fn flags(&self) -> u8 {
        let will =
            self.will.as_ref().map_or(0, |will| 0x04 | will.qos << 3 | u8::from(will.retain) << 5);
        let name = u8::from(self.user_name.is_some()) << 7;
        let password = u8::from(self.password.is_some()) << 6;
        (name | password | will | u8::from(self.clean) << 1) ^ self.wrong_flags
    }

    pub fn bytes(&self) -> Vec<u8> {
        let (name, level) = self.version.name_and_level();
        self.bytes_as(name, level)
    }

    /// With a Protocol Name and Protocol Level of the caller's choice.
    pub fn bytes_as(&self, name: &str, level: u8) -> Vec<u8> {
        let mut body = counted(name);
        body.extend([level, self.flags()]);
        body.extend(self.keep_alive.to_be_bytes());
        body.extend(self.properties.encode(self.version));
        body.extend(counted(&self.client_id));
        if let Some(will) = &self.will {
            body.extend(will.properties.encode(self.version));
            body.extend(counted(&will.topic));
            body.extend(counted(&will.payload));
        }
        body.extend(self.user_name.iter().chain(&self.password).flat_map(counted));
        frame(0x10, &body)
    }
}

/// The will in a CONNECT.
#[derive(Clone, Debug)]
pub struct Will {
    pub topic: Vec<u8>,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
    pub properties: Properties,
}

impl Will {
    pub fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        Self {
            topic: topic.as_ref().to_vec(),
            payload: payload.as_ref().to_vec(),
            qos: 0,
            retain: false,
            properties: Properties::new(),
        }
    }

    #[must_use]
    pub fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    #[must_use]
    pub fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    #[must_use]
    pub fn properties(mut self, properties: Properties) -> Self {
        self.properties = properties;
        self
    }
}

/// A PUBLISH of a client.
#[derive(Clone, Debug)]
pub struct Publish {
    pub topic: Vec<u8>,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub id: u16,
    pub retain: bool,
    pub dup: bool,
    pub properties: Properties,
}

impl Publish {
    /// At QoS 0.
    pub fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        Self {
            topic: topic.as_ref().to_vec(),
            payload: payload.as_ref().to_vec(),
            qos: 0,
            id: 0,
            retain: false,
            dup: false,
            properties: Properties::new(),
        }
    }

    #[must_use]
    pub fn qos(mut self, qos: u8, id: u16) -> Self {
        self.qos = qos;
        self.id = id;
        self
    }

    #[must_use]
    pub fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    #[must_use]
    pub fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    #[must_use]
    pub fn properties(mut self, properties: Properties) -> Self {
        self.properties = properties;
        self
    }

    pub fn bytes(&self, version: Version) -> Vec<u8> {
        let mut body = counted(&self.topic);
        if self.qos > 0 {
            body.extend(self.id.to_be_bytes());
        }
        body.extend(self.properties.encode(version));
        body.extend(&self.payload);
        let flags = u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        frame(0x30 | flags, &body)
    }
}

/// A SUBSCRIBE; the number beside a filter is its byte of options.
pub fn subscribe(version: Version, id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    subscribe_with(version, id, &Properties::new(), filters)
}

/// A SUBSCRIBE with properties.
pub fn subscribe_with(
    version: Version,
    id: u16,
    properties: &Properties,
    filters: &[(&str, u8)],
) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(properties.encode(version));
    for (filter, options) in filters {
        body.extend(counted(filter));
        body.push(*options);
    }
    frame(0x82, &body)
}

/// An UNSUBSCRIBE.
pub fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(Properties::new().encode(version));
    body.extend(filters.iter().flat_map(counted));
    frame(0xa2, &body)
}

pub fn puback(id: u16) -> Vec<u8> {
    frame(0x40, &id.to_be_bytes())
}

pub fn pubrec(id: u16) -> Vec<u8> {
    frame(0x50, &id.to_be_bytes())
}

pub fn pubrel(id: u16) -> Vec<u8> {
    frame(0x62, &id.to_be_bytes())
}

pub fn pubcomp(id: u16) -> Vec<u8> {
    frame(0x70, &id.to_be_bytes())
}

/// An acknowledgement with a reason code, as 5.0 has it; `first` is its first byte.
pub fn ack_with_code(first: u8, id: u16, code: u8) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    frame(first, &[high, low, code])
}

pub fn pingreq() -> Vec<u8> {
    frame(0xc0, &[])
}

pub fn disconnect() -> Vec<u8> {
    frame(0xe0, &[])
}

/// A DISCONNECT of 5.0 with a reason code and properties.
pub fn disconnect_with(code: u8, properties: &Properties) -> Vec<u8> {
    frame(0xe0, &[vec![code], properties.bytes()].concat())
}

/// An AUTH of 5.0.
pub fn auth(code: u8, properties: &Properties) -> Vec<u8> {
    frame(0xf0, &[vec![code], properties.bytes()].concat())
}
