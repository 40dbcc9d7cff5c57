//! `forever200-responder`: answers `HTTP/1.1 200 Ok` to everything.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use forever200_daemon::{
    HistoryFolder, LogArgs, RESPONDER_LISTEN, RequestBytesArgs, Switch, host_port, listen, parse,
    raise_file_limit, shutdown_signal, start_logging,
};
use forever200_responder::{Config, Listeners, listen_unix, run};
use forever200_ring::Store;

/// Answers `HTTP/1.1 200 Ok` to every request and keeps the last 101 of them in memcached.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Address to listen on
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "FOREVER200_RESPONDER_LISTEN",
        default_value = RESPONDER_LISTEN
    )]
    listen: SocketAddr,
    /// Unix socket to listen on as well; `fd@0` is the socket on standard input
    #[arg(long, value_name = "PATH", env = "FOREVER200_RESPONDER_SOCKET")]
    socket: Option<PathBuf>,
    /// Whether every connection begins with a PROXY protocol header, as haproxy sends it
    #[arg(
        long,
        value_name = "SWITCH",
        env = "FOREVER200_PROXY_PROTOCOL",
        default_value = "off"
    )]
    proxy_protocol: Switch,
    /// Address of memcached, host:port
    #[arg(long, value_name = "ADDRESS", env = "FOREVER200_MEMCACHED", default_value = "127.0.0.1:11211", value_parser = host_port)]
    memcached: String,
    #[command(flatten)]
    kept: RequestBytesArgs,
    /// Most connections at a time; further ones wait
    #[arg(long, value_name = "NUMBER", env = "FOREVER200_MAX_CONNECTIONS", default_value_t = 8000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// Folder of the viewer's history, or `off`. With a history, the responder waits a while until
    /// the viewer has put its numbers into an empty memcached
    #[arg(
        long,
        value_name = "FOLDER",
        env = "FOREVER200_HISTORY",
        default_value = "off"
    )]
    history: HistoryFolder,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs on one thread, which answers more requests than haproxy brings on four cores. haproxy needs
/// twice as much CPU for each request, so only a machine with many cores needs a second responder.
/// Tasks that wake each other across threads cost more (bench/README.md).
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args: Args = parse();
    start_logging(&args.log);
    raise_file_limit();
    let shutdown = shutdown_signal()?;
    let listeners = Listeners {
        tcp: listen(args.listen).with_context(|| format!("cannot listen on {}", args.listen))?,
        unix: args.socket.as_deref().map(listen_unix).transpose()?,
    };
    let config = Config {
        proxy_protocol: args.proxy_protocol == Switch::On,
        max_request_bytes: args.kept.max_request_bytes as usize,
        max_connections: args.max_connections as usize,
        has_history: args.history.0.is_some(),
    };
    // Runs as a task, because each wake-up of the runtime's first future costs a system call.
    tokio::spawn(run(listeners, config, Store::new(args.memcached), shutdown)).await?
}
