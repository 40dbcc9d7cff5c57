//! Listens on one address, also where another program has the same port on all addresses.
//!
//! In: an address of this machine. Out: a listener. Where haproxy listens on a port of all
//! addresses (`:8080`), the viewer can still listen on 127.0.0.1:8080. The kernel gives a
//! connection to the socket that is bound to the exact address, if both sockets have
//! `SO_REUSEPORT` (socket(7)) and belong to one user. haproxy sets this option. A second program
//! at the same address is refused as usual.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Most connections that wait to be accepted; the kernel allows 4,096 (`net.core.somaxconn`).
///
/// [`TcpListener::bind`] asks for 128. When 400 visitors come back at once, the kernel drops all
/// above 128, and each of these visitors tries again after a second.
pub const BACKLOG: u32 = 4096;
/// The state of a listening socket in /proc/net/tcp: proc(5).
const LISTENS: &str = "0A";

/// Returns a listener on an address.
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
    // A restarted program need not wait until the kernel forgets the connections of the old one.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shares)?;
    socket.bind(address)?;
    // Set after `bind`, so that a second program finds the address in use. Not set on all
    // addresses, where nothing would distinguish the two programs.
    socket.set_reuseport(!address.ip().is_unspecified())?;
    socket.listen(BACKLOG)
}

/// Tells whether a program listens at exactly this address. Returns true as well for an address
/// that means all addresses, and where the list of sockets cannot be read.
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

/// Writes an address as the kernel lists it: words of 32 bits in the machine's byte order, and the
/// port.
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

    /// Listens on a port of all addresses, as haproxy does.
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
        // It gets them after a restart, too.
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
