use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use super::*;
use crate::{Keepalive, Peer, UnixOptions};

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("net-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> Place {
        Place::Unix(UnixOptions { path: self.0.join("s"), mode: 0o620, backlog: 10 })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[tokio::test]
async fn unix_socket_has_its_rights_and_goes_with_its_listener() {
    let folder = Folder::new();
    let mut listener = Listener::bind(&folder.socket(), None).unwrap();
    let path = folder.0.join("s");
    assert_eq!(listener.address().path(), Some(&*path));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o620);
    let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let socket = listener.accept().await.unwrap().stream().unwrap().into_socket();
    assert_eq!(socket.peer(), Peer::Local);
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn unix_socket_takes_the_place_of_a_dead_one_and_of_nothing_else() {
    let folder = Folder::new();
    let path = folder.0.join("s");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the system leaves the file");
    let listener = Listener::bind(&folder.socket(), None).unwrap();
    let in_use = Listener::bind(&folder.socket(), None).unwrap_err();
    assert_eq!(in_use.kind(), io::ErrorKind::AddrInUse);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "a file of somebody's").unwrap();
    let a_file = Listener::bind(&folder.socket(), None).unwrap_err();
    assert_eq!(a_file.kind(), io::ErrorKind::AlreadyExists);
    drop(listener);
    assert_eq!(fs::read_to_string(&path).unwrap(), "a file of somebody's");
}

#[tokio::test]
async fn accepted_streams_have_the_options_of_their_listener() {
    let keepalive =
        Keepalive { idle: Duration::from_secs(77), interval: Duration::from_secs(11), count: 5 };
    let options = TcpOptions {
        send_buffer: Some(20_000),
        receive_buffer: Some(30_000),
        keepalive: Some(keepalive),
        ..TcpOptions::at("localhost:0")
    };
    let mut listener = Listener::bind(&Place::Tcp(options), None).unwrap();
    let address = listener.address().ip().unwrap();
    let client = std::net::TcpStream::connect(address).unwrap();
    let stream = listener.accept().await.unwrap().stream().unwrap().into_tcp().unwrap();
    assert_eq!(stream.peer_addr().unwrap(), client.local_addr().unwrap());
    assert!(stream.nodelay().unwrap());
    let socket = SockRef::from(&stream);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), keepalive.idle);
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), keepalive.interval);
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), keepalive.count);
    // The system doubles what is asked for.
    assert_eq!(socket.send_buffer_size().unwrap(), 40_000);
    assert_eq!(socket.recv_buffer_size().unwrap(), 60_000);
}
