//! `lfp-server check-config FILE`.

use std::path::PathBuf;

use super::support::{CommandError, print};
use crate::config::Config;

/// Checks a configuration file and says what it would serve
#[derive(Debug, clap::Args)]
pub struct CheckConfigArgs {
    /// The configuration, JSON; docs/CONFIGURATION.md has its fields
    file: PathBuf,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Prints what the configuration would do.
///
/// # Errors
/// If it is not one, or standard output cannot be written.
pub fn run(args: &CheckConfigArgs) -> Result<(), CommandError> {
    let loaded = Config::load(&args.file);
    if args.json {
        let report = match &loaded {
            Ok(config) => serde_json::json!({"ok": true, "services": config.services.len()}),
            Err(error) => serde_json::json!({
                "ok": false, "file": error.file, "field": error.fault.field, "fault": error.fault.text,
                "line": error.fault.place.map(|(line, _)| line),
                "column": error.fault.place.map(|(_, column)| column),
            }),
        };
        print(&format!("{report}\n")).map_err(CommandError::Print)?;
    }
    let config = loaded?;
    if !args.json {
        print(&summary(args, &config)).map_err(CommandError::Print)?;
    }
    Ok(())
}

fn summary(args: &CheckConfigArgs, config: &Config) -> String {
    let plain = if config.plain { "sealed and plain sessions" } else { "sealed sessions" };
    let listen = config.listen.map(|listen| listen.to_string()).unwrap_or_default();
    let mut text = format!("{}: good; listens on {listen}, takes {plain}\n", args.file.display());
    for service in &config.services {
        let sources: Vec<_> = service.sources.iter().map(ToString::to_string).collect();
        let (name, sources) = (&service.name, sources.join(", "));
        let (rate, scan, input) = (service.rate_hz, service.scan.name(), service.input_policy().name());
        text.push_str(&format!("  {name}: {sources}, at most {rate} Hz, scan {scan}, input {input}\n"));
    }
    text
}
