//! The PROXY header: in pieces it says the same, what follows it comes through as it is, and an
//! endless header is not waited for.

use std::net::SocketAddr;

use avocet_net::{Layers, Wrapping};

use crate::pieces::{Pieces, lengths};

/// Bytes of the longest header that is taken, of either version.
const HEADER_BYTES_MAX: usize = 16 + 4096;

/// Four bytes for the lengths of the pieces, then the stream.
pub fn run(data: &[u8]) {
    let Some((lengths, stream)) = lengths(data) else { return };
    let whole = receive(std::iter::once(stream));
    let pieces = receive(Pieces::of(stream, lengths));
    assert_eq!(whole, pieces, "in pieces it says something else");
    if !whole.is_failed && !whole.is_over {
        assert!(stream.len() < HEADER_BYTES_MAX, "{} bytes are no header yet", stream.len());
    }
    if whole.is_over {
        assert!(stream.ends_with(&whole.plain));
    } else {
        assert!(whole.plain.is_empty());
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    is_over: bool,
    is_failed: bool,
    peer: Option<SocketAddr>,
    plain: Vec<u8>,
}

fn receive<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let wrapping = Wrapping { proxy_protocol: true, ..Wrapping::default() };
    let mut layers = Layers::accept(&wrapping).expect("one layer");
    let (mut plain, mut raw) = (Vec::new(), Vec::new());
    let mut is_failed = false;
    for piece in pieces {
        if layers.receive(&mut piece.to_vec(), &mut plain, &mut raw).is_err() {
            is_failed = true;
            break;
        }
    }
    assert!(raw.is_empty(), "nothing is answered to a PROXY header");
    Outcome { is_over: layers.is_gone(), is_failed, peer: layers.peer(), plain }
}
