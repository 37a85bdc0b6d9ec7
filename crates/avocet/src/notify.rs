//! A word to whoever started the broker: systemd's `sd_notify`, a datagram to the socket that it
//! names. Without systemd nothing is said.

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use tracing::warn;

/// The broker serves.
pub(crate) const READY: &str = "READY=1";
/// It is about to end.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Says it, if somebody listens.
pub(crate) fn notify(state: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return };
    if let Err(error) = send(&socket, state) {
        warn!(%error, "Cannot tell systemd how the broker is doing; going on.");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_arrives_at_a_socket_with_and_without_a_file() {
        let name = format!("avocet-notify-{}", std::process::id());
        let path = env::temp_dir().join(&name);
        let at_path = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let without_file = UnixDatagram::bind_addr(&address).unwrap();
        let abstract_name = format!("@{name}");
        for (socket, said_to) in
            [(at_path, path.as_os_str()), (without_file, OsStr::new(&abstract_name))]
        {
            send(said_to, READY).unwrap();
            let mut word = [0; 64];
            let len = socket.recv(&mut word).unwrap();
            assert_eq!(&word[..len], READY.as_bytes());
        }
        std::fs::remove_file(&path).unwrap();
    }
}
