//! The clients of the benchmark. `bench/run` starts them, and reads one line of JSON from each.
//!
//! In: an address, and how much load to make. Out: times as a client measures them. The clients do
//! not know which server answers.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};

mod hold;
mod load;
mod peer;
mod visible;
mod watch;

use peer::Peer;

#[derive(Parser)]
#[command(version, about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send requests, each on a new connection
    Load {
        /// Where to connect to: host:port, or the path of a Unix socket
        peer: Peer,
        #[command(flatten)]
        request: load::RequestArgs,
        /// Number of requests
        #[arg(long)]
        requests: u64,
        /// Clients, each with one request after the other
        #[arg(long, default_value_t = 64)]
        clients: usize,
        /// Requests a second, each sent on time even if earlier ones are not answered; without it,
        /// as many as possible
        #[arg(long)]
        rate: Option<u32>,
    },
    /// Hold silent connections until standard input ends
    Hold {
        /// Where to connect to
        peer: SocketAddr,
        /// Connections
        #[arg(long)]
        connections: u32,
    },
    /// Watch the event stream
    Watch {
        /// Address of haproxy or the viewer
        peer: SocketAddr,
        /// Watchers
        #[arg(long)]
        watchers: u32,
        /// How long to watch, in seconds
        #[arg(long, value_parser = seconds)]
        seconds: Duration,
    },
    /// Measure how long after its answer a request is seen in the API, and how old it is in the
    /// event stream
    Visible {
        /// haproxy
        peer: SocketAddr,
        /// Clients that send meanwhile, each with one request after the other
        #[arg(long)]
        clients: usize,
        /// How long to measure, in seconds
        #[arg(long, value_parser = seconds)]
        seconds: Duration,
    },
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseFloatError> {
    text.parse().map(Duration::from_secs_f64)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let seen = match Args::parse().command {
        Command::Load {
            peer,
            request,
            requests,
            clients,
            rate,
        } => {
            let request = request.bytes();
            let seen = match rate {
                Some(rate) => load::at_rate(&peer, &request, requests, rate).await,
                None => load::by_clients(&peer, &request, requests, clients).await,
            };
            serde_json::to_value(seen.summary())?
        }
        Command::Hold { peer, connections } => {
            serde_json::to_value(hold::hold(peer, connections).await?)?
        }
        Command::Watch {
            peer,
            watchers,
            seconds,
        } => serde_json::to_value(watch::watch(peer, watchers, seconds).await?)?,
        Command::Visible {
            peer,
            clients,
            seconds,
        } => serde_json::to_value(visible::visible(peer, clients, seconds).await?)?,
    };
    println!("{seen}");
    Ok(())
}
