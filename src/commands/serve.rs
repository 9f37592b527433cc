//! `lfp-server serve`.

use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;

use super::support::print;
use crate::ablation::{Part, Without};
use crate::config::{Config, ConfigError, parse_listen};
use crate::confine::{ConfineError, Places, RulesetStatus, allow_only, folder_of, forbid_other_calls};
use crate::connection::Secrets;
use crate::directory::Directory;
use crate::hypervisor::{self, Control, SourceId, SourceSpec};
use crate::identity::{Identity, IdentityError};
use crate::limits::SOCKETS_MAX;
use crate::output::{
    Facilities, Facility, Listen, Network, NetworkError, Statistics, StatisticsError, StopSignals, Waker,
    sockets_for,
};
use crate::pipeline::{PipelineError, PipelineHandle};
use crate::server::{self, Server};
use lfp_proto::identity::Secret;
use lfp_proto::seal::Cipher;

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
    /// Take sessions that are not encrypted, too: whoever is on the path can read their screens and type into them
    #[arg(long)]
    plain: bool,
    /// Where the server's key is kept; overrides the configuration's
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// How many sockets share the address, each with a thread; overrides the configuration's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=SOCKETS_MAX as i64))]
    sockets: Option<u16>,
    /// Keep what is counted, of the server and of each session, in this file: JSON, written anew every second; overrides the
    /// configuration's
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
    /// Once started, make only the system calls that serving takes (seccomp) and open only the files that it needs
    /// (Landlock): what a fault could do is little. Files: not with `qemu:` sources, which look into other processes
    #[arg(long)]
    confine: bool,
    /// Send nothing that does not give the exact pixels
    #[arg(long)]
    lossless: bool,
    /// Leave a technique or another part of the engines out, for benches to tell what it saves; may be repeated
    #[arg(long, value_name = "NAME", hide = true)]
    without: Vec<Part>,
    /// Do as where the kernel lacks something, for tests; may be repeated
    #[arg(long, value_name = "NAME", hide = true)]
    lacks: Vec<Facility>,
}

impl ServeArgs {
    fn without(&self) -> Without {
        let lossy = self.lossless.then_some(Part::Lossy);
        self.without.iter().copied().chain(lossy).collect()
    }

    fn facilities(&self) -> Facilities {
        self.lacks.iter().fold(Facilities::ALL, |all, lacks| all.without(*lacks))
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
    /// The statistics cannot be written.
    #[error("cannot start: {0}")]
    Statistics(#[from] StatisticsError),
    /// The system refused something that every server needs.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// The server's key can be neither read nor made.
    #[error("cannot start: {0}")]
    Identity(#[from] IdentityError),
    /// What it may do cannot be limited.
    #[error("cannot start: {0}")]
    Confine(#[from] ConfineError),
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
    let identity = Identity::open(config.state_dir.as_deref())?;
    if args.confine {
        confine_files(&config, &identity)?;
    }
    let mut stop = StopSignals::install()?;
    let waker = Waker::new()?;
    let wake = waker.clone();
    let control = Control::start(move || wake.wake())?;
    let sources = config.services.iter().flat_map(|service| &service.sources);
    let sources = (0..).map(SourceId).zip(sources);
    let opened = sources.map(|(id, source)| (id, hypervisor::open(source, id, &control))).collect();
    let wake = waker.clone();
    let pipeline = PipelineHandle::start(opened, args.without(), move || wake.wake())?;
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let secrets = Secrets { key: identity.key.clone(), random: Secret::new(random) };
    let server = Server::new(server_config(args, &config), &secrets);
    introduce(&identity, config.plain);
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    let sockets = config.sockets.map_or_else(|| sockets_for(cores()), usize::from);
    let listen = Listen { address: config.listen, sockets, facilities: args.facilities() };
    let mut network = Network::bind(listen, server, pipeline, waker, control)?;
    if let Some(file) = config.stats.clone() {
        network.report(Statistics::start(file)?);
    }
    if args.confine {
        forbid_other_calls()?;
    }
    announce(&config, network.local_addr()?)?;
    network.run(&mut stop)?;
    tracing::info!("every session is closed");
    Ok(())
}

/// Before any thread starts: those that are started later keep to it.
fn confine_files(config: &Config, identity: &Identity) -> Result<(), ConfineError> {
    let sources = config.services.iter().flat_map(|service| &service.sources);
    let Some(mut places) = Places::of_sources(sources) else {
        tracing::warn!("files are not confined: a qemu: source looks into another process");
        return Ok(());
    };
    places.make.extend(config.stats.iter().chain([&identity.path]).map(|file| folder_of(file)));
    match allow_only(&places)? {
        RulesetStatus::FullyEnforced => tracing::info!("files are confined"),
        RulesetStatus::PartiallyEnforced => tracing::info!("files are confined as far as this kernel can"),
        RulesetStatus::NotEnforced => tracing::warn!("files are not confined: this kernel has no Landlock"),
    }
    Ok(())
}

fn configuration(args: &ServeArgs) -> Result<Config, ConfigError> {
    let mut config = match (&args.config, &args.source, args.listen) {
        (Some(file), _, _) => Config::load(file)?,
        (None, Some(source), Some(listen)) => Config::of_source(source.clone(), listen, args.plain),
        _ => unreachable!("the command line demands a configuration, or a source and an address"),
    };
    config.plain |= args.plain;
    config.state_dir = args.state_dir.clone().or(config.state_dir);
    config.sockets = args.sockets.or(config.sockets);
    config.stats = args.stats.clone().or(config.stats);
    config.listen = args.listen.unwrap_or(config.listen);
    Ok(config)
}

fn server_config(args: &ServeArgs, config: &Config) -> server::Config {
    let mut directory = Directory::default();
    // In the order in which they were opened.
    let mut ids = (0..).map(SourceId);
    for service in &config.services {
        let ids = ids.by_ref().take(service.sources.len());
        directory.insert(&service.name, ids, service.rate_hz, service.input_policy());
        directory.scan(&service.name, service.scan);
    }
    if !config.list_services {
        directory.hide();
    }
    server::Config {
        directory,
        plain: config.plain,
        ciphers: Cipher::liked(has_aes()),
        sessions_max: usize::from(config.sessions_max),
        idle_timeout: config.idle_timeout(),
        without: args.without(),
    }
}

/// Whether the CPU has what makes AES-GCM fast.
fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("aes") && is_x86_feature_detected!("pclmulqdq");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Says by what clients know the server.
fn introduce(identity: &Identity, plain: bool) {
    let (fingerprint, file) = (identity.public().fingerprint(), identity.path.display());
    if identity.is_new {
        tracing::info!(%fingerprint, %file, "the server has a new key");
    } else {
        tracing::info!(%fingerprint, %file, "the server's key");
    }
    if plain {
        tracing::warn!("sessions that are not encrypted are taken, too");
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
