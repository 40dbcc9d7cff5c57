//! `forever200-viewer`: the page at /home.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use forever200_daemon::{LogArgs, host_port, parse, raise_file_limit, shutdown_signal, start_logging};
use forever200_ring::Store;
use forever200_viewer::{health, run};
use tokio::net::TcpListener;

/// Shows the last 101 requests at /home.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", env = "FOREVER200_VIEWER_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Address of memcached, host:port
    #[arg(long, value_name = "ADDRESS", env = "FOREVER200_MEMCACHED", default_value = "127.0.0.1:11211", value_parser = host_port)]
    memcached: String,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask haproxy for /home/health, and exit with 0 when it answers 200
    Health {
        /// Address that haproxy binds
        #[arg(long, value_name = "ADDRESS", env = "FOREVER200_BIND", default_value = ":8000")]
        bind: String,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let args: Args = parse();
    match args.command {
        Some(Command::Health { bind }) => Ok(match health::check(&bind) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("unhealthy: {error:#}");
                ExitCode::FAILURE
            }
        }),
        None => serve(args).map(|()| ExitCode::SUCCESS),
    }
}

#[tokio::main]
async fn serve(args: Args) -> anyhow::Result<()> {
    start_logging(&args.log);
    raise_file_limit();
    let shutdown = shutdown_signal()?;
    let listener = TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    run(listener, Store::new(args.memcached), shutdown).await
}
