//! Silent connections by port, with real sockets and a real memcached.

use forever200_responder::Config;
use forever200_ring::{ByPort, Store};
use forever200_testkit::{Memcached, client, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use running::Responder;

mod running;

const CONFIG: Config = Config {
    proxy_protocol: true,
    max_request_bytes: 65_536,
    max_connections: 100,
    has_history: false,
};

impl Responder {
    /// Connects to a port, and sends nothing.
    async fn connect(&self, port: u16, times: usize) -> anyhow::Result<()> {
        for _ in 0..times {
            let mut stream = TcpStream::connect(self.address).await?;
            let header = format!("PROXY TCP4 203.0.113.7 192.0.2.1 41000 {port}\r\n");
            stream.write_all(header.as_bytes()).await?;
            stream.shutdown().await?;
            assert_eq!(client::read_to_end(&mut stream).await?, b"");
        }
        Ok(())
    }
}

async fn until_counted(store: &Store, counts: &[(u16, u64)]) -> anyhow::Result<()> {
    let counts: ByPort = counts.iter().copied().collect();
    until(&format!("memcached has {counts:?}"), || async {
        let found = store.snapshot().await.ok()?.silent_ports;
        (found == counts).then_some(())
    })
    .await
}

#[tokio::test]
async fn all_responders_count_in_one_value_that_outlives_each_of_them() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let store = Store::new(memcached.address());
    let address = memcached.address();
    let (one, other) = tokio::try_join!(
        Responder::start(&address, CONFIG),
        Responder::start(&address, CONFIG)
    )?;
    tokio::try_join!(
        one.connect(22, 5),
        other.connect(22, 7),
        one.connect(23, 2),
        other.connect(25, 1)
    )?;
    until_counted(&store, &[(22, 12), (23, 2), (25, 1)]).await?;
    // The last counts of a responder that stops are not lost, and the next one adds to them.
    one.connect(23, 4).await?;
    one.stop().await?;
    until_counted(&store, &[(22, 12), (23, 6), (25, 1)]).await?;
    let next = Responder::start(&address, CONFIG).await?;
    next.connect(23, 1).await?;
    until_counted(&store, &[(22, 12), (23, 7), (25, 1)]).await?;
    assert_eq!(store.snapshot().await?.silent, 20);
    Ok(())
}

#[tokio::test]
async fn a_memcached_that_comes_back_empty_gets_the_ports_back() -> anyhow::Result<()> {
    let mut memcached = Memcached::start().await?;
    let store = Store::new(memcached.address());
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    responder.connect(22, 3).await?;
    until_counted(&store, &[(22, 3)]).await?;
    memcached.restart().await?;
    until_counted(&store, &[(22, 3)]).await?;
    responder.connect(23, 1).await?;
    until_counted(&store, &[(22, 3), (23, 1)]).await
}
