//! Listening on an address whose port somebody has on all addresses.
//!
//! In: an address of this machine. Out: a listener. Where haproxy listens on a port of all
//! addresses (`:8080`), the viewer's 127.0.0.1:8080 can still be its own: the kernel gives a
//! connection to whoever listens on its very address, if both have said that they share
//! (`SO_REUSEPORT`, socket(7)) and are of one user. haproxy says so. A second program at the same
//! address is refused as ever.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted; the kernel allows 4,096 (`net.core.somaxconn`).
///
/// [`TcpListener::bind`] asks for 128. When 400 visitors come back at once, it drops what is above
/// that, and each of them tries again after a second.
pub const BACKLOG: u32 = 4096;
/// A socket that listens, in proc(5)'s list of them.
const LISTENS: &str = "0A";

/// Listens on an address.
///
/// # Errors
/// The address is in use, or not of this machine.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match bind(address, false) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && !is_taken(address) => {
            bind(address, true)
        }
        bound => bound,
    }
}

fn bind(address: SocketAddr, shares: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // So that a restarted program need not wait for the connections of the last to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shares)?;
    socket.bind(address)?;
    // Only now, so that a second program finds the address in use. On all addresses, nothing would
    // tell the two apart.
    socket.set_reuseport(!address.ip().is_unspecified())?;
    socket.listen(BACKLOG)
}

/// Tells whether somebody listens at this very address, or on all addresses where that is meant;
/// where nobody can tell, it is.
fn is_taken(address: SocketAddr) -> bool {
    let list = if address.is_ipv4() {
        "/proc/net/tcp"
    } else {
        "/proc/net/tcp6"
    };
    let Ok(sockets) = std::fs::read_to_string(list) else {
        return true;
    };
    let own = as_in_proc(address);
    address.ip().is_unspecified()
        || sockets.lines().any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            fields.next() == Some(&own) && fields.nth(1) == Some(LISTENS)
        })
}

/// Writes an address as the kernel lists it: in words of 32 bits, each as this machine has numbers,
/// and the port.
fn as_in_proc(address: SocketAddr) -> String {
    let octets = match address {
        SocketAddr::V4(it) => it.ip().octets().to_vec(),
        SocketAddr::V6(it) => it.ip().octets().to_vec(),
    };
    let (words, _) = octets.as_chunks::<4>();
    let mut address_words = String::new();
    for word in words {
        address_words += &format!("{:08X}", u32::from_ne_bytes(*word));
    }
    format!("{address_words}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use tokio::net::TcpStream;

    use super::*;

    /// Takes a port of all addresses, as haproxy does.
    fn of_all(port: u16) -> TcpListener {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.set_reuseport(true).unwrap();
        socket.bind((Ipv4Addr::UNSPECIFIED, port).into()).unwrap();
        socket.listen(8).unwrap()
    }

    async fn gets_its_own(own: &TcpListener, all: &TcpListener) {
        let address = own.local_addr().unwrap();
        let to_own = TcpStream::connect(address).await.unwrap();
        let elsewhere = (Ipv4Addr::new(127, 0, 0, 9), address.port());
        let to_all = TcpStream::connect(elsewhere).await.unwrap();
        let (_, came) = own.accept().await.unwrap();
        assert_eq!(came, to_own.local_addr().unwrap());
        let (_, came) = all.accept().await.unwrap();
        assert_eq!(came, to_all.local_addr().unwrap());
    }

    #[tokio::test]
    async fn an_address_is_ones_own_beside_a_port_of_all_addresses() {
        let own = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = own.local_addr().unwrap();
        let all = of_all(address.port());
        gets_its_own(&own, &all).await;
        // The same after a restart.
        drop(own);
        let own = listen(address).unwrap();
        gets_its_own(&own, &all).await;
    }

    #[tokio::test]
    async fn a_second_program_at_the_same_address_is_refused() {
        for ip in [
            Ipv4Addr::LOCALHOST.into(),
            Ipv4Addr::UNSPECIFIED.into(),
            std::net::IpAddr::from(Ipv6Addr::LOCALHOST),
        ] {
            let first = listen((ip, 0).into()).unwrap();
            let error = listen(first.local_addr().unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{ip}");
            drop(first);
        }
        let all = of_all(0);
        let address = (Ipv4Addr::LOCALHOST, all.local_addr().unwrap().port()).into();
        let first = listen(address).unwrap();
        let error = listen(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        drop(first);
        let error = listen((Ipv4Addr::UNSPECIFIED, address.port()).into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}
