//! The Unix socket for a haproxy on the same machine: one of our own making, or one that
//! supervisord made.

use std::fs::Permissions;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{self, UnixStream};
use std::path::Path;

use anyhow::{Context, bail};
use forever200_daemon::BACKLOG;
use tokio::net::{UnixListener, UnixSocket};

/// What stands for the socket that supervisord has made, as in haproxy's `bind fd@0`.
const INHERITED: &str = "fd@0";

/// Listens at `path`, or on standard input where that is `fd@0`.
///
/// # Errors
/// Somebody listens there already, the path cannot be used, or standard input is not a Unix socket.
pub fn listen_unix(path: &Path) -> anyhow::Result<UnixListener> {
    if path == Path::new(INHERITED) {
        inherited().context("standard input is not a Unix socket")
    } else {
        bind_unix(path)
    }
}

/// Listens on standard input. Whoever made the socket holds it when this process dies, and clients
/// wait in its queue for the next one.
fn inherited() -> std::io::Result<UnixListener> {
    let listener = net::UnixListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    listener.local_addr()?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Listens on a path, for this user alone; replaces a socket that nobody listens on any more.
///
/// Who can connect can forge a PROXY header. Until the mode is set, that of the folder keeps others
/// out.
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
