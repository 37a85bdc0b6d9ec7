//! Unix sockets: files that come and go with their listener.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Type};
use tokio::net::UnixListener;

use crate::{Accepted, UnixOptions};

/// A bound Unix socket. Its file goes when it does.
#[derive(Debug)]
pub(super) struct BoundUnix {
    socket: UnixListener,
    path: PathBuf,
    /// Device and number of the file.
    file: (u64, u64),
}

impl BoundUnix {
    /// Binds and listens. A file that a broker left which is no more is replaced.
    pub(super) fn bind(options: &UnixOptions) -> io::Result<Self> {
        remove_left_over(&options.path)?;
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        // The file comes into being with no more than these rights, and gets all of them then.
        let mode = Mode::from_raw_mode(options.mode);
        fchmod(&socket, mode)?;
        socket.bind(&SockAddr::unix(&options.path)?)?;
        fs::set_permissions(&options.path, fs::Permissions::from_mode(options.mode))?;
        let file = identity(&options.path)?;
        socket.listen(options.backlog.into())?;
        let socket = UnixListener::from_std(socket.into())?;
        Ok(Self { socket, path: options.path.clone(), file })
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        Ok(Accepted::from(self.socket.accept().await?.0.into_std()?))
    }
}

impl Drop for BoundUnix {
    fn drop(&mut self) {
        // Somebody else may have put another in its place.
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            fs::remove_file(&self.path).ok();
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Removes a socket that nobody listens at. Anything else that is there stays.
fn remove_left_over(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => {}
        Ok(_) => {
            return Err(io::Error::new(
                ErrorKind::AlreadyExists,
                "the file is there, and no socket",
            ));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    // A listener whose queue is full would have us wait: it is in use.
    let look = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match look.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        Ok(()) | Err(_) => Err(ErrorKind::AddrInUse.into()),
    }
}
