//! Frames of a WebSocket (RFC 6455, section 5). Payloads of messages are passed on as they come,
//! whatever the frames they stand in; only control frames, of up to 125 bytes, are held.

use super::{
    error,
    mask::{Masks, append_masked},
};
use crate::layers::{Incoming, LayerError};

/// The codes of Close (section 7.4.1) that we send.
pub(super) const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
const NOT_TAKEN: u16 = 1003;
const NOT_UTF8: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// Bytes of the payload of a control frame.
const CONTROL_BYTES_MAX: usize = 125;
/// Bytes of the longest head: length in eight bytes, and a mask.
const HEAD_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The frames of both directions.
#[derive(Debug)]
pub(super) struct Frames {
    /// The client's side: the masks of what it sends. The server has none, and wants to see some.
    masks: Option<Box<Masks>>,
    frame_bytes_max: u64,
    /// The head of a frame, as far as it has come.
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: u8,
    /// What is left of the payload of the frame whose head is whole.
    remaining: u64,
    /// The mask of the next bytes of that payload.
    mask: [u8; 4],
    /// What has come of the payload of a control frame.
    control: Vec<u8>,
    /// A message has begun, and its last frame has not.
    in_message: bool,
    /// A Close was sent: nothing may follow.
    closed: bool,
    /// A Close has come.
    ended: bool,
}

impl Frames {
    /// Those of a server.
    pub(super) fn of_server(frame_bytes_max: u64) -> Self {
        Self {
            masks: None,
            frame_bytes_max,
            head: [0; HEAD_BYTES_MAX],
            head_bytes: 0,
            remaining: 0,
            mask: [0; 4],
            control: Vec::new(),
            in_message: false,
            closed: false,
            ended: false,
        }
    }

    /// Those of a client.
    pub(super) fn of_client(frame_bytes_max: u64) -> Self {
        Self { masks: Some(Box::new(Masks::new())), ..Self::of_server(frame_bytes_max) }
    }

    /// Takes frames in any pieces.
    ///
    /// # Errors
    ///
    /// They are not as they should be; `raw` has got a Close that says so.
    pub(super) fn receive(
        &mut self,
        mut bytes: &[u8],
        plain: &mut Vec<u8>,
        raw: &mut Vec<u8>,
    ) -> Result<Incoming, LayerError> {
        while !bytes.is_empty() && !self.ended {
            // [MQTT3-6.0.0-2] [MQTT5-6.0.0-2]
            let result = if self.head_is_whole() {
                self.take_payload(&mut bytes, plain, raw)
            } else {
                self.take_head(&mut bytes, raw)
            };
            if let Err(Fault { code, detail }) = result {
                self.close(code, raw);
                return Err(error(detail));
            }
        }
        Ok(if self.ended { Incoming::End } else { Incoming::More })
    }

    /// Appends `plain` as one message in one frame. [MQTT3-6.0.0-1] [MQTT5-6.0.0-1]
    ///
    /// # Errors
    ///
    /// A Close was sent.
    pub(super) fn seal(&mut self, plain: &[u8], raw: &mut Vec<u8>) -> Result<(), LayerError> {
        if self.closed {
            return Err(error("it has been closed"));
        }
        self.send(BINARY, plain, raw)
    }

    /// Appends a Close, unless one was sent.
    pub(super) fn close(&mut self, code: u16, raw: &mut Vec<u8>) {
        if !self.closed {
            // Without randomness nothing more can be said, and that is the end as well.
            drop(self.send(CLOSE, &code.to_be_bytes(), raw));
            self.closed = true;
        }
    }

    fn send(&mut self, opcode: u8, payload: &[u8], raw: &mut Vec<u8>) -> Result<(), LayerError> {
        let mask = self.masks.as_mut().map(|masks| masks.next()).transpose()?;
        let masked = if mask.is_some() { MASKED } else { 0 };
        raw.reserve(payload.len() + HEAD_BYTES_MAX);
        raw.push(FIN | opcode);
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(bytes @ 0..=125), _) => raw.push(masked | bytes),
            (_, Ok(bytes)) => {
                raw.push(masked | 126);
                raw.extend_from_slice(&bytes.to_be_bytes());
            }
            (_, Err(_)) => {
                raw.push(masked | 127);
                raw.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        match mask {
            None => raw.extend_from_slice(payload),
            Some(mask) => {
                raw.extend_from_slice(&mask);
                append_masked(raw, payload, mask);
            }
        }
        Ok(())
    }

    /// Takes what is missing of a head; looks at its first two bytes as soon as they are there.
    fn take_head(&mut self, bytes: &mut &[u8], raw: &mut Vec<u8>) -> Result<(), Fault> {
        let has = usize::from(self.head_bytes);
        let taken = bytes.len().min(self.head_wanted() - has);
        let (now, later) = bytes.split_at(taken);
        self.head[has..has + taken].copy_from_slice(now);
        *bytes = later;
        self.head_bytes += u8::try_from(taken).unwrap_or(0);
        if has < 2 && self.head_bytes == 2 {
            self.check_start()?;
        }
        if self.head_is_whole() {
            self.begin_payload(raw)?;
        }
        Ok(())
    }

    /// Bytes of the head, as far as that is known.
    fn head_wanted(&self) -> usize {
        if self.head_bytes < 2 {
            return 2;
        }
        let length = match self.head[1] & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.head[1] & MASKED == 0 { 0 } else { 4 }
    }

    fn head_is_whole(&self) -> bool {
        self.head_bytes >= 2 && usize::from(self.head_bytes) == self.head_wanted()
    }

    fn opcode(&self) -> u8 {
        self.head[0] & 0x0f
    }

    fn is_final(&self) -> bool {
        self.head[0] & FIN != 0
    }

    fn check_start(&self) -> Result<(), Fault> {
        let [first, second, ..] = self.head;
        if first & 0x70 != 0 {
            return Err(Fault::protocol("a reserved bit is set"));
        }
        match (self.masks.is_none(), second & MASKED != 0) {
            (true, false) => return Err(Fault::protocol("a frame of a client is not masked")),
            (false, true) => return Err(Fault::protocol("a frame of a server is masked")),
            (true, true) | (false, false) => {}
        }
        match self.opcode() {
            CONTINUATION if self.in_message => Ok(()),
            CONTINUATION => Err(Fault::protocol("a continuation of no message")),
            TEXT | BINARY if self.in_message => Err(Fault::protocol("a message within another")),
            // [MQTT3-6.0.0-1] [MQTT5-6.0.0-1]
            TEXT => Err(Fault { code: NOT_TAKEN, detail: "a text frame" }),
            BINARY => Ok(()),
            CLOSE | PING | PONG if !self.is_final() => {
                Err(Fault::protocol("a control frame in pieces"))
            }
            CLOSE | PING | PONG if usize::from(second & !MASKED) > CONTROL_BYTES_MAX => {
                Err(Fault::protocol("a control frame of more than 125 bytes"))
            }
            CLOSE | PING | PONG => Ok(()),
            _ => Err(Fault::protocol("an unknown opcode")),
        }
    }

    fn begin_payload(&mut self, raw: &mut Vec<u8>) -> Result<(), Fault> {
        let rest = &self.head[2..usize::from(self.head_bytes)];
        let (bytes, mask) = match (self.head[1] & !MASKED, rest) {
            (126, &[a, b, ref mask @ ..]) => (u64::from(u16::from_be_bytes([a, b])), mask),
            (127, &[a, b, c, d, e, f, g, h, ref mask @ ..]) => {
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]), mask)
            }
            (bytes, mask) => (u64::from(bytes), mask),
        };
        let is_control = self.opcode() >= CLOSE;
        if bytes > self.frame_bytes_max && !is_control {
            return Err(Fault { code: TOO_BIG, detail: "a frame is too long" });
        }
        self.remaining = bytes;
        self.mask = mask.first_chunk().copied().unwrap_or_default();
        if !is_control {
            self.in_message = !self.is_final();
        }
        if bytes == 0 { self.end_frame(raw) } else { Ok(()) }
    }

    fn take_payload(
        &mut self,
        bytes: &mut &[u8],
        plain: &mut Vec<u8>,
        raw: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let taken = usize::try_from(self.remaining).map_or(bytes.len(), |n| n.min(bytes.len()));
        let (now, later) = bytes.split_at(taken);
        *bytes = later;
        // Where a packet ends is not for a frame to say. [MQTT3-6.0.0-2] [MQTT5-6.0.0-2]
        let to = if self.opcode() >= CLOSE { &mut self.control } else { plain };
        if self.masks.is_some() {
            to.extend_from_slice(now);
        } else {
            append_masked(to, now, self.mask);
            self.mask.rotate_left(taken % 4);
        }
        self.remaining -= taken as u64;
        if self.remaining == 0 { self.end_frame(raw) } else { Ok(()) }
    }

    fn end_frame(&mut self, raw: &mut Vec<u8>) -> Result<(), Fault> {
        self.head_bytes = 0;
        let payload = std::mem::take(&mut self.control);
        match self.opcode() {
            PING if !self.closed => {
                self.send(PONG, &payload, raw).map_err(|_| Fault::protocol("no randomness"))
            }
            CLOSE => {
                self.ended = true;
                let code = check_close(&payload)?;
                if !self.closed {
                    self.closed = true;
                    // The code goes back, the reason does not.
                    drop(self.send(CLOSE, code, raw));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The code of a Close as it stands there, or nothing (sections 5.5.1 and 7.4).
fn check_close(payload: &[u8]) -> Result<&[u8], Fault> {
    let Some((code, reason)) = payload.split_at_checked(2) else {
        let is_empty = payload.is_empty();
        return if is_empty { Ok(&[]) } else { Err(Fault::protocol("half a code in a Close")) };
    };
    let number = code.iter().fold(0, |number, byte| number << 8 | u16::from(*byte));
    if !matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Fault::protocol("a code of a Close that is not to be sent"));
    }
    match str::from_utf8(reason) {
        Ok(_) => Ok(code),
        Err(_) => Err(Fault { code: NOT_UTF8, detail: "the reason of a Close is not UTF-8" }),
    }
}

/// What is wrong with a frame.
#[derive(Debug)]
struct Fault {
    code: u16,
    detail: &'static str,
}

impl Fault {
    fn protocol(detail: &'static str) -> Self {
        Self { code: PROTOCOL_ERROR, detail }
    }
}

#[cfg(test)]
mod tests;
