//! `forever200-fleet`: one page over many machines.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use async_nats::Client;
use clap::{Parser, Subcommand};
use forever200_daemon::{
    HistoryFolder, LogArgs, RequestBytesArgs, Switch, host_port, parse, shutdown_signal,
    start_logging,
};
use forever200_fleet::check;
use forever200_fleet::collect::{Collector, Settings};
use forever200_fleet::connection::{self, KeyArgs};
use forever200_fleet::enroll::Enrolment;
use forever200_fleet::patience::Patience;
use forever200_fleet::publish::Publisher;
use forever200_fleet::sensor::{HUB_INBOX, Sensor};
use forever200_fleet::stream::{self, StreamArgs};

/// Sends what one forever200 recorded to a page over many, and collects it there.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    site: SiteArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Which part of a fleet this machine is.
#[derive(clap::Args, Clone, Debug)]
struct SiteArgs {
    /// Addresses of the NATS servers that this sensor sends to, `tls://host:port`, several between
    /// commas
    #[arg(long, value_name = "ADDRESSES", env = "FOREVER200_HUB", global = true)]
    send_to: Option<String>,
    /// Name of this sensor, 1 to 40 of a-z, 0-9 and -
    #[arg(long, value_name = "NAME", env = "FOREVER200_SENSOR", global = true)]
    sensor: Option<Sensor>,
    /// Addresses of the NATS servers that this hub collects from
    #[arg(
        long,
        value_name = "ADDRESSES",
        env = "FOREVER200_FLEET",
        global = true
    )]
    collect_from: Option<String>,
    /// Folder of the viewer's history
    #[arg(
        long,
        value_name = "FOLDER",
        env = "FOREVER200_HISTORY",
        default_value = "off",
        global = true
    )]
    history: HistoryFolder,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// At a sensor: follow the history and send what is new
    Publish(MemcachedArgs),
    /// At a hub: collect what sensors send
    Collect(CollectArgs),
    /// Tell what works and what does not, up to the first thing that is wrong; exit with 0 if
    /// nothing is wrong
    Check,
    /// At a hub: delete the messages of a sensor from the stream. Requests that hubs already have
    /// stay
    Purge {
        /// The sensor's name
        name: Sensor,
    },
    /// Make a key for a sensor or a hub: print the entry for the servers' list, and the secret half
    /// for that machine
    Enroll {
        /// The sensor's name
        #[arg(required_unless_present = "for_hub")]
        name: Option<Sensor>,
        /// For a hub, which may read and write everything
        #[arg(long = "hub", id = "for_hub", conflicts_with = "name")]
        for_hub: bool,
    },
}

#[derive(clap::Args, Debug)]
struct MemcachedArgs {
    /// Address of this machine's memcached, host:port
    #[arg(long, value_name = "ADDRESS", env = "FOREVER200_MEMCACHED", default_value = "127.0.0.1:11211", value_parser = host_port)]
    memcached: String,
}

#[derive(clap::Args, Debug)]
struct CollectArgs {
    #[command(flatten)]
    ring: MemcachedArgs,
    #[command(flatten)]
    kept: RequestBytesArgs,
    /// Whether sensors are told how many of them saw a kind of request
    #[arg(
        long,
        value_name = "SWITCH",
        env = "FOREVER200_FLEET_SEEN_BY",
        default_value = "off"
    )]
    seen_by: Switch,
    #[command(flatten)]
    stream: StreamArgs,
}

impl CollectArgs {
    fn settings(self, history: PathBuf) -> Settings {
        Settings {
            stream: self.stream,
            history,
            memcached: self.ring.memcached,
            most_request_bytes: self.kept.max_request_bytes as usize,
            tells_seen_by: self.seen_by == Switch::On,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args: Args = parse();
    start_logging(&args.log);
    let shutdown = shutdown_signal()?;
    tokio::select! {
        result = run(args) => result,
        () = shutdown => Ok(()),
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        command, site, key, ..
    } = args;
    match command {
        Command::Publish(args) => {
            let (sensor, folder) = (site.name()?, site.folder()?);
            // Checked here, because `connected` would try again for ever.
            site.servers_to_send_to()?;
            let client = connected(|| site.connect_as_sensor(&key, &sensor)).await;
            let publisher = Publisher::new(sensor, &folder, client, args.memcached);
            match publisher.run().await {}
        }
        Command::Collect(args) => {
            let folder = site.folder()?;
            site.servers_to_collect_from()?;
            let collector = Collector::new(args.settings(folder));
            let connect = || connected(|| site.connect_as_hub(&key));
            match collector.run(connect).await {}
        }
        Command::Check => check(&site, &key).await,
        Command::Purge { name } => {
            let client = site.connect_as_hub(&key).await?;
            let deleted = stream::purge(client, &name).await?;
            println!("{deleted} messages of {name} were deleted from the stream");
            Ok(())
        }
        Command::Enroll { name, .. } => {
            let enrolment = match name {
                Some(sensor) => Enrolment::of_sensor(&sensor)?,
                None => Enrolment::of_hub()?,
            };
            print!("{enrolment}");
            Ok(())
        }
    }
}

/// Connects, and tries again until it succeeds: servers that are away are no reason to exit.
async fn connected<F: Future<Output = anyhow::Result<Client>>>(connect: impl Fn() -> F) -> Client {
    let mut patience = Patience::new("no connection");
    loop {
        match connect().await {
            Ok(client) => return client,
            Err(error) => patience.wait(&error, Duration::ZERO).await,
        }
    }
}

async fn check(site: &SiteArgs, key: &KeyArgs) -> anyhow::Result<()> {
    if site.send_to.is_some() {
        let sensor = site.name()?;
        println!("name: {sensor}");
        let client = site.connect_as_sensor(key, &sensor).await?;
        println!("connection: the server knows this key");
        check::sensor(&client, &sensor, &site.folder()?).await?;
    }
    if site.collect_from.is_some() {
        let client = site.connect_as_hub(key).await?;
        println!("connection: the server knows this key");
        check::hub(client).await?;
    }
    if site.send_to.is_none() && site.collect_from.is_none() {
        println!(
            "neither FOREVER200_HUB nor FOREVER200_FLEET is set: this machine is not part of a fleet"
        );
    }
    Ok(())
}

impl SiteArgs {
    fn name(&self) -> anyhow::Result<Sensor> {
        self.sensor
            .clone()
            .context("FOREVER200_SENSOR names no sensor")
    }

    fn folder(&self) -> anyhow::Result<PathBuf> {
        self.history.0.clone().context(
            "FOREVER200_HISTORY is off: requests are sent from the history, and collected into it",
        )
    }

    fn servers_to_send_to(&self) -> anyhow::Result<&str> {
        self.send_to
            .as_deref()
            .context("FOREVER200_HUB names no server")
    }

    fn servers_to_collect_from(&self) -> anyhow::Result<&str> {
        self.collect_from
            .as_deref()
            .context("FOREVER200_FLEET names no server")
    }

    async fn connect_as_sensor(&self, key: &KeyArgs, sensor: &Sensor) -> anyhow::Result<Client> {
        connection::connect(key, self.servers_to_send_to()?, &sensor.inbox()).await
    }

    async fn connect_as_hub(&self, key: &KeyArgs) -> anyhow::Result<Client> {
        connection::connect(key, self.servers_to_collect_from()?, HUB_INBOX).await
    }
}
