//! The Unix socket for a haproxy on the same machine. The responder creates it, or supervisord has
//! created it.

use std::fs::Permissions;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{self, UnixStream};
use std::path::Path;

use anyhow::{Context, bail};
use forever200_daemon::BACKLOG;
use tokio::net::{UnixListener, UnixSocket};

/// The path that means the socket on standard input, as in haproxy's `bind fd@0`. supervisord has
/// created that socket.
const INHERITED: &str = "fd@0";

/// Listens at `path`, or on standard input if `path` is `fd@0`.
///
/// # Errors
/// A process listens there already, the path cannot be used, or standard input is no Unix socket.
pub fn listen_unix(path: &Path) -> anyhow::Result<UnixListener> {
    if path == Path::new(INHERITED) {
        inherited().context("standard input is not a Unix socket")
    } else {
        bind_unix(path)
    }
}

/// Listens on standard input. The process that created the socket keeps it open when this process
/// dies, so clients wait in its queue for the next responder.
fn inherited() -> std::io::Result<UnixListener> {
    let listener = net::UnixListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    listener.local_addr()?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Listens on a path, for this user alone; replaces a socket on which no process listens any more.
///
/// Any program that can connect can forge a PROXY header. Until the mode of the socket is set, the
/// mode of the folder keeps other users out.
fn bind_unix(path: &Path) -> anyhow::Result<UnixListener> {
    if UnixStream::connect(path).is_ok() {
        bail!(
            "cannot listen on {}: another process does already",
            path.display()
        );
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()) => {
            std::fs::remove_file(path)
                .with_context(|| format!("cannot replace {}", path.display()))?;
        }
        _ => {}
    }
    let listen = || {
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        socket.listen(BACKLOG)
    };
    let listener = listen().with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))
        .with_context(|| format!("cannot restrict access to {}", path.display()))?;
    Ok(listener)
}
