//! Packets of a server, taken apart and held to what the standard says of each of them: flags,
//! lengths, reason codes, which property may stand where. A test that receives anything thereby
//! checks its form.

use crate::Version;

/// A packet that came from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub bytes: Vec<u8>,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Connack(Connack),
    Publish(Message),
    Puback(Ack),
    Pubrec(Ack),
    Pubrel(Ack),
    Pubcomp(Ack),
    Suback(Codes),
    Unsuback(Codes),
    Pingresp,
    Disconnect(Ending),
    Auth(Ending),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connack {
    pub session_present: bool,
    pub code: u8,
    pub properties: Values,
}

/// A PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub id: Option<u16>,
    pub retain: bool,
    pub dup: bool,
    pub properties: Values,
}

impl Message {
    /// The packet id of a message that has to have one.
    #[track_caller]
    pub fn packet_id(&self) -> u16 {
        self.id.unwrap_or_else(|| panic!("a message at QoS 0 has no packet id: {self:?}"))
    }

    /// The payload, as far as it is text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    pub id: u16,
    pub code: u8,
    pub properties: Values,
}

/// SUBACK, UNSUBACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes {
    pub id: u16,
    pub codes: Vec<u8>,
    pub properties: Values,
}

/// DISCONNECT, AUTH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub code: u8,
    pub properties: Values,
}

/// The properties of a packet in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(pub Vec<(u8, Value)>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Number(u32),
    Text(String),
    Binary(Vec<u8>),
    Pair(String, String),
}

impl Values {
    /// The one number with this identifier.
    pub fn number(&self, id: u8) -> Option<u32> {
        self.numbers(id).first().copied()
    }

    /// All numbers with this identifier (Subscription Identifiers come in several), sorted.
    pub fn numbers(&self, id: u8) -> Vec<u32> {
        let matching = self.0.iter().filter(|(key, _)| *key == id);
        let mut numbers: Vec<u32> = matching
            .filter_map(|(_, value)| if let Value::Number(n) = value { Some(*n) } else { None })
            .collect();
        numbers.sort_unstable();
        numbers
    }

    pub fn text(&self, id: u8) -> Option<&str> {
        let mut matching = self.0.iter().filter(|(key, _)| *key == id);
        matching.find_map(|(_, value)| if let Value::Text(t) = value { Some(&**t) } else { None })
    }

    pub fn binary(&self, id: u8) -> Option<&[u8]> {
        let mut matching = self.0.iter().filter(|(key, _)| *key == id);
        matching.find_map(|(_, value)| if let Value::Binary(b) = value { Some(&**b) } else { None })
    }

    /// User Properties in their order.
    pub fn user(&self) -> Vec<(&str, &str)> {
        let pairs = self.0.iter().filter_map(|(_, value)| match value {
            Value::Pair(name, value) => Some((name.as_str(), value.as_str())),
            Value::Number(_) | Value::Text(_) | Value::Binary(_) => None,
        });
        pairs.collect()
    }

    pub fn has(&self, id: u8) -> bool {
        self.0.iter().any(|(key, _)| *key == id)
    }
}

impl Received {
    /// Takes one whole packet apart; panics where a server broke the standard.
    #[track_caller]
    pub fn parse(version: Version, bytes: &[u8]) -> Self {
        let first = bytes[0];
        let header = 1 + bytes[1..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
        let mut body = Body { rest: &bytes[header..], version, packet: bytes };
        let flags = first & 0x0f;
        let name = first >> 4;
        let reserved = if name == 6 { 2 } else { 0 };
        assert!(name == 3 || flags == reserved, "wrong flags: {}", hex(bytes));
        let kind = match name {
            2 => Kind::Connack(body.connack()),
            3 => Kind::Publish(body.publish(flags)),
            4 => Kind::Puback(body.ack(&PUBACK)),
            5 => Kind::Pubrec(body.ack(&PUBACK)),
            6 => Kind::Pubrel(body.ack(&PUBREL)),
            7 => Kind::Pubcomp(body.ack(&PUBREL)),
            9 => Kind::Suback(body.codes(&SUBACK, &SUBACK_311)),
            11 => Kind::Unsuback(body.codes(&UNSUBACK, &[])),
            13 => Kind::Pingresp,
            14 if version.has_properties() => Kind::Disconnect(body.ending(&DISCONNECT)),
            15 if version.has_properties() => Kind::Auth(body.ending(&AUTH)),
            _ => panic!("a server of MQTT {version} does not send {}", hex(bytes)),
        };
        assert!(body.rest.is_empty(), "surplus bytes in {}: {}", hex(bytes), hex(body.rest));
        Self { bytes: bytes.to_vec(), kind }
    }
}

/// Reason codes a server may send, and properties beside User Property, for a kind of packet.
struct Rules {
    codes: &'static [u8],
    properties: &'static [u8],
}

const CONNACK: Rules = Rules {
    codes: &[
        0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95,
        0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
    ],
    properties: &[
        0x11, 0x21, 0x24, 0x25, 0x27, 0x12, 0x22, 0x1f, 0x28, 0x29, 0x2a, 0x13, 0x1a, 0x1c, 0x15,
        0x16,
    ],
};
const PUBACK: Rules =
    Rules { codes: &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99], properties: &[0x1f] };
const PUBREL: Rules = Rules { codes: &[0x00, 0x92], properties: &[0x1f] };
const SUBACK: Rules = Rules {
    codes: &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2],
    properties: &[0x1f],
};
const SUBACK_311: [u8; 4] = [0x00, 0x01, 0x02, 0x80];
const UNSUBACK: Rules =
    Rules { codes: &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91], properties: &[0x1f] };
/// Those of the table that a server sends; Session Expiry Interval (0x11) is for clients only.
const DISCONNECT: Rules = Rules {
    codes: &[
        0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95,
        0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
    ],
    properties: &[0x1f, 0x1c],
};
const AUTH: Rules = Rules { codes: &[0x00, 0x18], properties: &[0x15, 0x16, 0x1f] };
const PUBLISH_PROPERTIES: [u8; 7] = [0x01, 0x02, 0x23, 0x08, 0x09, 0x0b, 0x03];

/// What is left of a packet behind its fixed header.
struct Body<'a> {
    rest: &'a [u8],
    version: Version,
    packet: &'a [u8],
}

impl Body<'_> {
    fn connack(&mut self) -> Connack {
        let flags = self.byte();
        assert!(flags <= 1, "reserved acknowledge flags: {}", hex(self.packet));
        let code = self.byte();
        let properties = self.properties(CONNACK.properties);
        if self.version.has_properties() {
            assert!(CONNACK.codes.contains(&code), "no code of CONNACK: {}", hex(self.packet));
        } else {
            assert!(code <= 5, "no return code of CONNACK: {}", hex(self.packet));
        }
        assert!(code == 0 || flags == 0, "refused with a session: {}", hex(self.packet));
        Connack { session_present: flags == 1, code, properties }
    }

    fn publish(&mut self, flags: u8) -> Message {
        let (dup, qos, retain) = (flags & 8 != 0, flags >> 1 & 3, flags & 1 != 0);
        assert!(qos < 3, "QoS 3: {}", hex(self.packet));
        assert!(qos > 0 || !dup, "DUP at QoS 0: {}", hex(self.packet));
        let topic = self.text();
        assert!(!topic.contains(['#', '+']), "wildcards in a topic: {topic}");
        let id = (qos > 0).then(|| self.two());
        assert_ne!(id, Some(0), "packet id 0: {}", hex(self.packet));
        let properties = self.properties(&PUBLISH_PROPERTIES);
        let payload = std::mem::take(&mut self.rest).to_vec();
        Message { topic, payload, qos, id, retain, dup, properties }
    }

    fn ack(&mut self, rules: &Rules) -> Ack {
        let id = self.two();
        let short = self.rest.is_empty() || !self.version.has_properties();
        let code = if short { 0 } else { self.code(rules) };
        Ack { id, code, properties: self.optional_properties(rules) }
    }

    fn codes(&mut self, rules: &Rules, before_5: &[u8]) -> Codes {
        let id = self.two();
        let properties = self.properties(rules.properties);
        let codes = std::mem::take(&mut self.rest).to_vec();
        let allowed = if self.version.has_properties() { rules.codes } else { before_5 };
        let known = codes.iter().all(|code| allowed.contains(code));
        assert!(known, "no code of this packet: {}", hex(self.packet));
        Codes { id, codes, properties }
    }

    fn ending(&mut self, rules: &Rules) -> Ending {
        let code = if self.rest.is_empty() { 0 } else { self.code(rules) };
        Ending { code, properties: self.optional_properties(rules) }
    }

    fn code(&mut self, rules: &Rules) -> u8 {
        let code = self.byte();
        assert!(rules.codes.contains(&code), "no code of this packet: {}", hex(self.packet));
        code
    }

    /// Properties of a packet that may end before them.
    fn optional_properties(&mut self, rules: &Rules) -> Values {
        if self.rest.is_empty() { Values::default() } else { self.properties(rules.properties) }
    }

    fn properties(&mut self, allowed: &[u8]) -> Values {
        let mut values = Values::default();
        if !self.version.has_properties() {
            return values;
        }
        let length = self.variable() as usize;
        assert!(length <= self.rest.len(), "properties longer than {}", hex(self.packet));
        let end = self.rest.len() - length;
        while self.rest.len() > end {
            let id = self.byte();
            let known = id == 0x26 || allowed.contains(&id);
            assert!(known, "property {id:#04x} has no place in {}", hex(self.packet));
            let repeated = values.has(id) && id != 0x26 && id != 0x0b;
            assert!(!repeated, "property {id:#04x} twice in {}", hex(self.packet));
            let value = self.value(id);
            values.0.push((id, value));
        }
        assert_eq!(self.rest.len(), end, "a property runs over: {}", hex(self.packet));
        values
    }

    fn value(&mut self, id: u8) -> Value {
        match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => {
                let value = self.byte();
                assert!(value <= 1, "property {id:#04x} is {value}: {}", hex(self.packet));
                Value::Number(value.into())
            }
            0x13 | 0x21 | 0x22 | 0x23 => Value::Number(self.two().into()),
            0x02 | 0x11 | 0x18 | 0x27 => {
                Value::Number(u32::from(self.two()) << 16 | u32::from(self.two()))
            }
            0x0b => Value::Number(self.variable()),
            0x09 | 0x16 => Value::Binary(self.counted().to_vec()),
            0x26 => Value::Pair(self.text(), self.text()),
            _ => Value::Text(self.text()),
        }
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn two(&mut self) -> u16 {
        let bytes = self.take(2);
        u16::from_be_bytes([bytes[0], bytes[1]])
    }

    fn variable(&mut self) -> u32 {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte();
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                assert!(byte > 0 || shift == 0, "a length too long: {}", hex(self.packet));
                return value;
            }
        }
        panic!("a length of five bytes: {}", hex(self.packet));
    }

    fn counted(&mut self) -> &[u8] {
        let length = self.two();
        self.take(length.into())
    }

    fn text(&mut self) -> String {
        let packet = self.packet;
        let text = String::from_utf8(self.counted().to_vec());
        let text = text.unwrap_or_else(|_| panic!("not UTF-8: {}", hex(packet)));
        assert!(!text.contains('\0'), "U+0000 in a string: {}", hex(packet));
        text
    }

    fn take(&mut self, count: usize) -> &[u8] {
        assert!(count <= self.rest.len(), "cut short: {}", hex(self.packet));
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        taken
    }
}

/// Bytes as a reader of the standard writes them; long packets are cut.
pub fn hex(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
    let more =
        if bytes.len() > 64 { format!(" (and {} more)", bytes.len() - 64) } else { String::new() };
    shown.join(" ") + &more
}
