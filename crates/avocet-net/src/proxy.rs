//! The PROXY header (HAProxy's `proxy-protocol.txt`), versions 1 and 2: who is at the other end of
//! a stream that a load balancer passes on. Our own code, since the crate `ppp` (2.3) takes headers
//! of up to 64 KiB, refuses `LOCAL` with a short block, and checks no checksum.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of the longest header of version 1, its end of line with it (section 2.1).
const V1_BYTES_MAX: usize = 107;
/// What a header of version 2 begins with (section 2.2).
const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of version 2 before the block whose length they tell.
const V2_HEAD_BYTES: usize = 16;
/// Bytes of the longest block of version 2 that we take; addresses are up to 216 of them.
const V2_BLOCK_BYTES_MAX: usize = 4096;
/// The type of the TLV that is a checksum over the header (section 2.2.3).
const TLV_CRC32C: u8 = 3;

/// A header that has not come as a whole.
#[derive(Debug, Default)]
pub(crate) struct ProxyHeader {
    held: Vec<u8>,
}

/// What a whole header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proxied {
    /// How many of the last bytes that were handed in belong to the header.
    pub(crate) used: usize,
    /// The client, if the header tells.
    pub(crate) peer: Option<SocketAddr>,
}

impl ProxyHeader {
    /// Takes bytes; `None` as long as the header is not whole.
    ///
    /// # Errors
    ///
    /// They cannot be the beginning of a header, whatever follows.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<Option<Proxied>, String> {
        if self.held.is_empty() {
            let header = parse(bytes)?;
            if header.is_none() {
                self.held.extend_from_slice(bytes);
            }
            return Ok(header);
        }
        let before = self.held.len();
        // More than the longest header need not be copied to see where it ends.
        let room = (V2_HEAD_BYTES + V2_BLOCK_BYTES_MAX).saturating_sub(before);
        self.held.extend_from_slice(&bytes[..room.min(bytes.len())]);
        let header = parse(&self.held)?;
        Ok(header.map(|header| {
            self.held = Vec::new();
            Proxied { used: header.used - before, ..header }
        }))
    }
}

fn parse(bytes: &[u8]) -> Result<Option<Proxied>, String> {
    if starts_alike(bytes, &V2_SIGNATURE) {
        return if bytes.len() < V2_SIGNATURE.len() { Ok(None) } else { parse_v2(bytes) };
    }
    if starts_alike(bytes, b"PROXY ") {
        return if bytes.len() < 6 { Ok(None) } else { parse_v1(bytes) };
    }
    Err("the stream does not begin with one".to_owned())
}

/// Whether one of the two begins with the other.
fn starts_alike(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(byte, expected)| byte == expected)
}

fn parse_v1(bytes: &[u8]) -> Result<Option<Proxied>, String> {
    let window = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let protocol = &window[6..];
    if ![b"TCP4 ".as_slice(), b"TCP6 ", b"UNKNOWN"].iter().any(|name| starts_alike(protocol, name))
    {
        return Err("version 1 is for TCP4, TCP6 and UNKNOWN".to_owned());
    }
    // What stands behind it is to be passed over, whatever it is (section 2.1).
    let is_unknown = protocol.starts_with(b"UNKNOWN");
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        if window.len() == V1_BYTES_MAX {
            return Err(format!("version 1 is longer than {V1_BYTES_MAX} bytes"));
        }
        let is_odd = |byte: &&u8| **byte != b'\r' && !(32..127).contains(*byte);
        return match window.iter().find(is_odd).filter(|_| !is_unknown) {
            Some(_) => Err("version 1 is one line of printable characters".to_owned()),
            None => Ok(None),
        };
    };
    let used = end + 2;
    if is_unknown && matches!(window[13..end].first(), None | Some(b' ')) {
        return Ok(Some(Proxied { used, peer: None }));
    }
    let line =
        str::from_utf8(&window[..end]).map_err(|_| "version 1 is not in ASCII".to_owned())?;
    let mut words = line.split(' ').skip(1);
    let peer = match words.next() {
        Some("TCP4") => tcp_peer::<Ipv4Addr>(words),
        Some("TCP6") => tcp_peer::<Ipv6Addr>(words),
        Some(_) | None => None,
    };
    match peer {
        Some(peer) => Ok(Some(Proxied { used, peer: Some(peer) })),
        None => Err("version 1 is PROXY, TCP4 or TCP6, two addresses and two ports".to_owned()),
    }
}

/// Source address, destination address, source port, destination port, and nothing more.
fn tcp_peer<'a, A: std::str::FromStr + Into<IpAddr>>(
    words: impl Iterator<Item = &'a str>,
) -> Option<SocketAddr> {
    let words: Vec<_> = words.take(5).collect();
    let [source, destination, source_port, destination_port] = words[..] else { return None };
    let source: A = source.parse().ok()?;
    destination.parse::<A>().ok()?;
    let source_port = port(source_port)?;
    port(destination_port)?;
    Some(SocketAddr::new(source.into(), source_port))
}

/// A port in decimal digits without leading zeros (section 2.1).
fn port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let short = word == "0" || !word.starts_with('0');
    if plain && short { word.parse().ok() } else { None }
}

fn parse_v2(bytes: &[u8]) -> Result<Option<Proxied>, String> {
    if let Some(&command) = bytes.get(12)
        && !matches!(command, 0x20 | 0x21)
    {
        return Err(format!("version and command are 0x{command:02x}, not 0x20 or 0x21"));
    }
    if let Some(&family) = bytes.get(13)
        && !matches!(family, 0x00..=0x02 | 0x10..=0x12 | 0x20..=0x22 | 0x30..=0x32)
    {
        return Err(format!("address family and protocol are 0x{family:02x}, which is none"));
    }
    let Some(&[command, family, high, low]) = bytes.get(12..V2_HEAD_BYTES) else { return Ok(None) };
    let block_bytes = usize::from(u16::from_be_bytes([high, low]));
    if block_bytes > V2_BLOCK_BYTES_MAX {
        return Err(format!(
            "version 2 is of {block_bytes} bytes, more than {V2_BLOCK_BYTES_MAX} are not taken"
        ));
    }
    let used = V2_HEAD_BYTES + block_bytes;
    // `LOCAL` comes from the balancer itself: whatever stands in the block is to be passed over.
    // So it is with a family that is not told.
    let is_local = command == 0x20 || family >> 4 == 0;
    let address_bytes = match family >> 4 {
        _ if is_local => 0,
        1 => 12,
        2 => 36,
        _ => 216,
    };
    if block_bytes < address_bytes {
        return Err(format!("version 2 is of {block_bytes} bytes, its addresses alone of more"));
    }
    let Some(header) = bytes.get(..used) else { return Ok(None) };
    if is_local {
        return Ok(Some(Proxied { used, peer: None }));
    }
    check_tlvs(header, V2_HEAD_BYTES + address_bytes)?;
    Ok(Some(Proxied { used, peer: v2_peer(family, &header[V2_HEAD_BYTES..]) }))
}

/// The source of a TCP connection. A receiver that does not serve the others takes them for
/// `UNSPEC` (section 2.2).
fn v2_peer(family: u8, block: &[u8]) -> Option<SocketAddr> {
    let port = |at: usize| Some(u16::from_be_bytes(*block.get(at..)?.first_chunk()?));
    match family {
        0x11 => {
            let source: [u8; 4] = *block.first_chunk()?;
            Some(SocketAddr::new(source.into(), port(8)?))
        }
        0x21 => {
            let source: [u8; 16] = *block.first_chunk()?;
            Some(SocketAddr::new(source.into(), port(32)?))
        }
        _ => None,
    }
}

/// Passes over the TLVs behind the addresses, and compares the checksum if one of them is it.
fn check_tlvs(header: &[u8], mut at: usize) -> Result<(), String> {
    while let Some(rest) = header.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(&[kind, high, low]) = rest.first_chunk() else {
            return Err("a TLV is cut off".to_owned());
        };
        let value_at = at + 3;
        at = value_at + usize::from(u16::from_be_bytes([high, low]));
        let Some(value) = header.get(value_at..at) else {
            return Err("a TLV is longer than the header".to_owned());
        };
        if kind == TLV_CRC32C {
            let expected: Option<[u8; 4]> = value.try_into().ok();
            let blank = header[..value_at].iter().chain(&[0; 4]).chain(&header[at..]);
            if expected != Some(crc32c(blank).to_be_bytes()) {
                return Err("the checksum is another".to_owned());
            }
        }
    }
    Ok(())
}

/// CRC-32C (RFC 3309, appendix A), a bit at a time: there is one short header for each stream.
fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    let register = bytes.fold(u32::MAX, |register, byte| {
        (0..8).fold(register ^ u32::from(*byte), |register, _| {
            (register >> 1) ^ (if register & 1 == 1 { 0x82f6_3b78 } else { 0 })
        })
    });
    !register
}

#[cfg(test)]
mod tests;
