//! `lfp-server`: serves virtual machines' screens over UDP.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lfp::commands::{CommandError, check_config, explain, fingerprint, host, inspect, play, record, serve};
use tracing_subscriber::EnvFilter;

/// Serves virtual machines' screens over UDP, straight from their framebuffers: no agent in the guest
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    /// What to log on standard error, such as `debug` or `lfp::session=trace`
    #[arg(long, global = true, env = "LFP_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// Log as JSON, one object on a line
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it failed; standard error says why
  2  wrong usage
  3  inspect, record, play --once: the source showed no picture; inspect --all: no guest can be served";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Inspect(inspect::InspectArgs),
    Explain(explain::ExplainArgs),
    Record(record::RecordArgs),
    Play(play::PlayArgs),
    CheckConfig(check_config::CheckConfigArgs),
    Fingerprint(fingerprint::FingerprintArgs),
    Host(host::HostArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = start_log(&cli) {
        eprintln!("lfp-server: --log {:?}: {error}", cli.log);
        return ExitCode::from(2);
    }
    let outcome = match &cli.command {
        Command::Serve(args) => serve::run(args)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| (error.to_string(), ExitCode::FAILURE)),
        Command::Inspect(args) => inspect::run(args).map_err(told),
        Command::Explain(args) => explain::run(args).map_err(told),
        Command::Record(args) => record::run(args).map_err(told),
        Command::Play(args) => play::run(args).map_err(told),
        Command::Fingerprint(args) => fingerprint::run(args).map(|()| ExitCode::SUCCESS).map_err(told),
        Command::Host(args) => host::run(args).map(|()| ExitCode::SUCCESS).map_err(told),
        Command::CheckConfig(args) => check_config::run(args).map(|()| ExitCode::SUCCESS).map_err(told),
    };
    outcome.unwrap_or_else(|(text, code)| {
        eprintln!("lfp-server: {text}");
        code
    })
}

#[allow(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn told(error: CommandError) -> (String, ExitCode) {
    (error.to_string(), error.code())
}

fn start_log(cli: &Cli) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::builder().parse(&cli.log)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if cli.log_json {
        log.json().init();
    } else {
        log.with_ansi(std::io::stderr().is_terminal()).with_target(false).init();
    }
    Ok(())
}
