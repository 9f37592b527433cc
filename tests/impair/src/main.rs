//! `lfp-impair`: a UDP relay that is a bad network in both directions, for any number of clients.

mod clock;
mod control;
mod marked;
mod relay;

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use lfp_impair::{LinkSpec, parse_span};
use signal_hook::consts::{SIGINT, SIGTERM};

use relay::{Relay, RelayError};

/// Relays UDP datagrams through a bad network that a seed makes reproducible. Each client of the relay gets a
/// link of its own in each direction, unless they share one. Prints "listening on ADDR:PORT" when ready, and what the links did when
/// SIGINT or SIGTERM ends it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where clients send to; port 0 takes any that is free
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Where the server is
    #[arg(long, value_name = "ADDR:PORT")]
    to: SocketAddr,
    /// What is wrong with each direction: rtt, delay, jitter, loss, burst=ENTER/LEAVE[/LOSS], reorder, reorder-by,
    /// dup, corrupt, rate, queue, policer=RATE/BUCKET, ecn=BYTES|all|off, mtu=BYTES[@START+SPAN], blackout=START+SPAN, seed; for example
    /// rtt=100ms,loss=3%,dup=10%,reorder=5%,rate=20mbit,seed=1. With up: (to the server) or down: before it, of that
    /// direction alone: up:rate=1mbit,down:rate=20mbit. tests/README.md has the whole grammar
    #[arg(long, value_name = "SPEC", default_value = "")]
    link: LinkSpec,
    /// Have all clients share one link, with its bottleneck and its losses, instead of one each
    #[arg(long)]
    shared: bool,
    /// Drop everything for DURATION from START after the beginning on, such as 5s,10s; may be repeated
    #[arg(long, value_name = "START,DURATION", value_parser = parse_blackout)]
    blackout: Vec<(Duration, Duration)>,
    /// Take lines from standard input: "blackout 10s" begins one now, "link SPEC" changes what is wrong (the seed
    /// stays), "report" prints the counts so far as JSON
    #[arg(long)]
    control: bool,
    /// Print the counts as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lfp-impair: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), RelayError> {
    let (stop, on_signal) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        signal_hook::low_level::pipe::register(signal, on_signal.try_clone()?)?;
    }
    let mut relay = Relay::bind(arguments.listen, arguments.to, arguments.link, arguments.shared)?;
    let start = clock::now();
    for (after, span) in arguments.blackout {
        relay.blackout(start + after, span);
    }
    let mut out = std::io::stdout();
    writeln!(out, "listening on {}", relay.local_addr()?)?;
    out.flush()?;
    relay.run(&stop, arguments.control)?;
    let report = relay.report();
    let text = if arguments.json { report.json() } else { report.to_string() };
    writeln!(out, "{text}")?;
    Ok(())
}

fn parse_blackout(text: &str) -> Result<(Duration, Duration), String> {
    text.split_once(',')
        .and_then(|(start, span)| Some((parse_span(start)?, parse_span(span)?)))
        .ok_or_else(|| format!("{text:?} is not START,DURATION such as 5s,10s"))
}
