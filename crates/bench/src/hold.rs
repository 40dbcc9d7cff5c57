//! Connections on which nothing is sent.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use serde::Serialize;
use tokio::net::{TcpSocket, TcpStream};

/// Address of the first connection; each further one has the next. haproxy does not give so many
/// connections to one address.
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 60, 0, 1);

#[derive(Serialize)]
pub(crate) struct Held {
    connections: usize,
}

/// Opens connections, prints `holding`, and holds them until standard input ends.
pub(crate) async fn hold(peer: SocketAddr, connections: u32) -> anyhow::Result<Held> {
    let mut held = Vec::new();
    for number in 0..connections {
        held.push(
            connect_from(number, peer)
                .await
                .with_context(|| format!("connection {number}"))?,
        );
    }
    println!("holding");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(Held {
        connections: held.len(),
    })
}

/// Connects from an address that depends on `number`.
pub(crate) async fn connect_from(number: u32, peer: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::from_bits(FIRST_SOURCE.to_bits() + number), 0).into())?;
    socket.connect(peer).await
}
