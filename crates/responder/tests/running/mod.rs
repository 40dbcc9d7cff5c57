//! A responder in the process of a test.

use std::net::SocketAddr;

use forever200_responder::{Config, Listeners, run};
use forever200_ring::Store;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A responder that runs until it is stopped.
pub(crate) struct Responder {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Responder {
    pub(crate) async fn start(memcached: &str, config: Config) -> anyhow::Result<Self> {
        let tcp = TcpListener::bind("127.0.0.1:0").await?;
        let address = tcp.local_addr()?;
        let listeners = Listeners { tcp, unix: None };
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            let _ = stopped.await;
        };
        let store = Store::new(memcached);
        Ok(Self {
            address,
            stop,
            running: tokio::spawn(run(listeners, config, store, stopped)),
        })
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        self.running.await?
    }
}
