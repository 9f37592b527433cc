//! `lfp-server check-config FILE`.

use std::path::PathBuf;

use crate::config::{Config, ConfigError};

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
/// If it is not one.
pub fn run(args: &CheckConfigArgs) -> Result<(), ConfigError> {
    let loaded = Config::load(&args.file);
    if args.json {
        let report = match &loaded {
            Ok(config) => serde_json::json!({"ok": true, "services": config.services.len()}),
            Err(error) => serde_json::json!({
                "ok": false, "file": error.file, "field": error.field, "fault": error.fault,
            }),
        };
        println!("{report}");
    }
    let config = loaded?;
    if !args.json {
        let plain = if config.plain { "plain sessions allowed" } else { "plain sessions refused" };
        println!("{}: good; listens on {}, {plain}", args.file.display(), config.listen);
        for service in &config.services {
            println!("  {}: {}, at most {} Hz", service.name, service.source, service.rate_hz);
        }
    }
    Ok(())
}
