//! `lfp-server serve`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::num::NonZero;
use std::path::PathBuf;

use super::support::print;
use crate::ablation::{Part, Without};
use crate::config::{Config, ConfigError, Overrides, Use, parse_listen};
use crate::confine::{ConfineError, Places, RulesetStatus, allow_only, folder_of, forbid_other_calls};
use crate::connection::Secrets;
use crate::directory::Directory;
use crate::hypervisor::{self, Control, SourceSpec};
use crate::identity::{Identity, IdentityError};
use crate::limits::SOCKETS_MAX;
use crate::output::{
    Facilities, Facility, Listen, Network, NetworkError, ServicesBoard, Statistics, StatisticsError,
    StopSignals, Waker, orders, sockets_for,
};
use crate::pipeline::{PipelineError, PipelineHandle};
use crate::server::{self, Server};
use crate::services::{Catalogue, Endpoint, EndpointError, Keeper, Opening, Premises};
use lfp_proto::identity::Secret;
use lfp_proto::seal::Cipher;

/// Serves screens to clients until Ctrl-C
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["config", "source", "control"])))]
pub struct ServeArgs {
    /// What to serve, and how; docs/CONFIGURATION.md has the fields
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve this one source as the service `default`
    #[arg(long, value_name = "SOURCE", requires = "listen", conflicts_with = "config")]
    source: Option<SourceSpec>,
    /// Be told what to serve by the host's side, beside the configuration or without one: over a virtio port (`port:NAME`, such
    /// as port:lfp.control, or its device), or else a Unix socket that is made there. docs/APPLIANCE.md has the words. A wrong
    /// configuration is then said there, and the server runs without its services
    #[arg(long, value_name = "PATH")]
    control: Option<Endpoint>,
    /// What is wrong with the configuration in whose place this one stands, as who starts the server has found out: said on the
    /// control channel
    #[arg(long, value_name = "TEXT", requires = "control", hide = true)]
    fault: Option<String>,
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
    fn overrides(&self) -> Overrides {
        Overrides {
            plain: self.plain,
            listen: self.listen,
            state_dir: self.state_dir.clone(),
            sockets: self.sockets,
            stats: self.stats.clone(),
        }
    }

    fn without(&self) -> Without {
        let lossy = self.lossless.then_some(Part::Lossy);
        self.without.iter().copied().chain(lossy).collect()
    }

    fn facilities(&self) -> Facilities {
        self.lacks.iter().fold(Facilities::ALL, |all, lacks| all.without(*lacks))
    }
}

/// The port of a server of which nothing says on which it listens.
const DEFAULT_PORT: u16 = 5810;

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
    /// The control channel cannot be had.
    #[error("cannot start: {0}")]
    Control(#[from] EndpointError),
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
    let mut catalogue = catalogue(args)?;
    let openings: Vec<_> = catalogue.openings().collect();
    let config = catalogue.config().clone();
    let identity = Identity::open(config.state_dir.as_deref())?;
    if args.confine {
        confine_files(args, &config, &openings, &identity)?;
    }
    let mut stop = StopSignals::install()?;
    let waker = Waker::new()?;
    let wake = waker.clone();
    let control = Control::start(move || wake.wake())?;
    let sources = openings.iter().flat_map(|opening| &opening.sources);
    let opened = sources.map(|(id, source)| (*id, hypervisor::open(source, *id, &control))).collect();
    let wake = waker.clone();
    let pipeline = PipelineHandle::start(opened, args.without(), move || wake.wake())?;
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let secrets = Secrets { key: identity.key.clone(), random: Secret::new(random) };
    let server = Server::new(server_config(args, &config, &openings), &secrets);
    introduce(&identity, config.plain);
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    let sockets = config.sockets.map_or_else(|| sockets_for(cores()), usize::from);
    let address = config.listen.unwrap_or_else(default_listen);
    let listen = Listen { address, sockets, facilities: args.facilities() };
    let (orders, desk) = orders(waker.clone())?;
    // It waits for the network thread, so it has to go after what that owns, however this ends.
    let keeper;
    let mut network = Network::bind(listen, server, pipeline, waker, control.clone())?;
    if let Some(file) = config.stats {
        match Statistics::start(file) {
            Ok(statistics) => network.report(statistics),
            // Of what the command line says the user hears at once.
            Err(error) if args.control.is_none() || args.stats.is_some() => return Err(error.into()),
            Err(error) => complain(&mut catalogue, &error.to_string()),
        }
    }
    let address = network.local_addr()?;
    let started = args.control.as_ref().map(|endpoint| {
        let board = ServicesBoard::default();
        network.attend(desk, board.clone());
        let (fingerprint, listen) = (identity.public().fingerprint().to_string(), address.to_string());
        Keeper::start(endpoint, Premises { catalogue, orders, control, fingerprint, listen, board })
    });
    keeper = started.transpose()?;
    if args.confine {
        forbid_other_calls()?;
    }
    announce(&openings, address)?;
    network.run(&mut stop)?;
    drop(keeper);
    tracing::info!("every session is closed");
    Ok(())
}

/// Before any thread starts: those that are started later keep to it.
fn confine_files(
    args: &ServeArgs,
    config: &Config,
    openings: &[Opening],
    identity: &Identity,
) -> Result<(), ConfineError> {
    let sources = openings.iter().flat_map(|opening| &opening.sources).map(|(_, source)| source);
    let Some(mut places) = Places::of_sources(sources) else {
        tracing::warn!("files are not confined: a qemu: source looks into another process");
        return Ok(());
    };
    places.make.extend(config.stats.iter().chain([&identity.path]).map(|file| folder_of(file)));
    if let Some(Endpoint::At(socket)) = &args.control {
        places.make.push(folder_of(socket));
    }
    match allow_only(&places)? {
        RulesetStatus::FullyEnforced => tracing::info!("files are confined"),
        RulesetStatus::PartiallyEnforced => tracing::info!("files are confined as far as this kernel can"),
        RulesetStatus::NotEnforced => tracing::warn!("files are not confined: this kernel has no Landlock"),
    }
    Ok(())
}

/// What is served at first. Where there is a control channel, what is wrong with the configuration is said there, and what it
/// does not say is what serves best.
fn catalogue(args: &ServeArgs) -> Result<Catalogue, ConfigError> {
    let overrides = args.overrides();
    let mut error = None;
    let mut config = match (&args.config, &args.source) {
        (Some(file), _) if args.control.is_some() => match Config::load_for(file, Use::Controlled) {
            Ok(config) => config,
            Err(_) if !file.exists() => {
                tracing::info!(file = %file.display(), "there is no configuration");
                Config::nothing()
            }
            Err(fault) => {
                error = Some(fault.to_string());
                Config::nothing()
            }
        },
        (Some(file), _) => Config::load(file)?,
        (None, Some(source)) => Config::of_source(source.clone(), args.listen),
        (None, None) => Config::nothing(),
    };
    overrides.apply(&mut config);
    if args.control.is_some() {
        if let (Some(listen), None) = (config.listen, args.listen) {
            // An appliance that is told of an address that it does not have must be there to be told of another.
            if let Err(fault) = UdpSocket::bind(listen) {
                error = error.or(Some(format!("listen: cannot listen on UDP {listen}: {fault}")));
                config.listen = None;
            }
        }
        config.listen = config.listen.or_else(|| Some(default_listen()));
    }
    let mut catalogue = Catalogue::new(config, overrides);
    if let Some(text) = &args.fault {
        // Who found that has said so already.
        let _ = catalogue.complain(text);
    }
    if let Some(text) = error {
        complain(&mut catalogue, &text);
    }
    Ok(catalogue)
}

/// Something is wrong with the configuration, with which it goes on.
fn complain(catalogue: &mut Catalogue, text: &str) {
    let text = catalogue.complain(text);
    tracing::error!(text, "the configuration is wrong; the control channel can change it");
}

/// Every address of this machine: of both families, where one socket serves both.
fn default_listen() -> SocketAddr {
    let apart = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only");
    let address = match apart.as_deref().map(str::trim) {
        Ok("0") => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::from(Ipv4Addr::UNSPECIFIED),
    };
    (address, DEFAULT_PORT).into()
}

fn server_config(args: &ServeArgs, config: &Config, openings: &[Opening]) -> server::Config {
    let mut directory = Directory::default();
    for Opening { name, service, .. } in openings {
        directory.set(name, service.clone());
    }
    directory.list(config.list_services);
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
fn announce(openings: &[Opening], listen: SocketAddr) -> io::Result<()> {
    for opening in openings {
        for (_, source) in &opening.sources {
            tracing::info!(service = opening.name, %source, "serving");
        }
    }
    print(&format!("listening on {listen}\n"))
}
