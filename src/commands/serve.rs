//! `lfp-server serve`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::support::print;
use crate::ablation::{Part, Without};
use crate::config::{Config, ConfigError, parse_listen};
use crate::directory::Directory;
use crate::hypervisor::{self, Control, SourceId, SourceSpec};
use crate::output::{Network, NetworkError, StopSignals, Waker};
use crate::pipeline::{PipelineError, PipelineHandle};
use crate::server::{self, Server};

/// Serves screens to clients until Ctrl-C
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["config", "source"])))]
pub struct ServeArgs {
    /// What to serve, and how; docs/CONFIGURATION.md has the fields
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve this one source as the service `default`
    #[arg(long, value_name = "SOURCE", requires = "listen")]
    source: Option<SourceSpec>,
    /// UDP address to listen on; overrides the configuration's
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_listen)]
    listen: Option<SocketAddr>,
    /// Take sessions that are not encrypted (this version has no others)
    #[arg(long)]
    plain: bool,
    /// Send nothing that does not give the exact pixels
    #[arg(long)]
    lossless: bool,
    /// Leave a technique or another part of the engines out, for benches to tell what it saves; may be repeated
    #[arg(long, value_name = "NAME", hide = true)]
    without: Vec<Part>,
}

impl ServeArgs {
    fn without(&self) -> Without {
        let lossy = self.lossless.then_some(Part::Lossy);
        self.without.iter().copied().chain(lossy).collect()
    }
}

/// Why serving could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The network thread failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The pipeline could not start.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The system refused something that every server needs.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// The system has no randomness.
    #[error("cannot start: no random bytes from the system: {0}")]
    Random(#[from] getrandom::Error),
}

/// Serves until a signal comes.
///
/// # Errors
/// If the configuration is wrong, the address cannot be listened on, or the socket fails.
pub fn run(args: &ServeArgs) -> Result<(), ServeError> {
    let config = configuration(args)?;
    if !config.plain {
        tracing::warn!(
            "every client will be refused: this version has only plain sessions; name --plain to take them"
        );
    }
    let mut stop = StopSignals::install()?;
    let control = Control::start()?;
    let sources = config.services.iter().flat_map(|service| &service.sources);
    let sources = (0..).map(SourceId).zip(sources);
    let opened = sources.map(|(id, source)| (id, hypervisor::open(source, id, &control))).collect();
    let waker = Waker::new()?;
    let wake = waker.clone();
    let pipeline = PipelineHandle::start(opened, args.without(), move || wake.wake())?;
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let server = Server::new(server_config(args, &config), random);
    let network = Network::bind(config.listen, server, pipeline, waker, control)?;
    announce(&config, network.local_addr()?)?;
    network.run(&mut stop)?;
    tracing::info!("every session is closed");
    Ok(())
}

fn configuration(args: &ServeArgs) -> Result<Config, ConfigError> {
    let mut config = match (&args.config, &args.source, args.listen) {
        (Some(file), _, _) => Config::load(file)?,
        (None, Some(source), Some(listen)) => Config::of_source(source.clone(), listen, args.plain),
        _ => unreachable!("the command line demands a configuration, or a source and an address"),
    };
    config.plain |= args.plain;
    config.listen = args.listen.unwrap_or(config.listen);
    Ok(config)
}

fn server_config(args: &ServeArgs, config: &Config) -> server::Config {
    let mut directory = Directory::default();
    // In the order in which they were opened.
    let mut ids = (0..).map(SourceId);
    for service in &config.services {
        let ids = ids.by_ref().take(service.sources.len());
        directory.insert(&service.name, ids, service.rate_hz, service.input);
    }
    server::Config {
        directory,
        plain: config.plain,
        sessions_max: usize::from(config.sessions_max),
        idle_timeout: config.idle_timeout(),
        without: args.without(),
    }
}

/// Standard output gets one line that programs can wait for; it ends in the address.
fn announce(config: &Config, listen: SocketAddr) -> io::Result<()> {
    for service in &config.services {
        for source in &service.sources {
            tracing::info!(service = service.name, %source, "serving");
        }
    }
    print(&format!("listening on {listen}\n"))
}
