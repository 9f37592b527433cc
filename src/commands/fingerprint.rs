//! `lfp-server fingerprint`.

use std::path::PathBuf;

use super::support::{CommandError, print};
use crate::config::Config;
use crate::identity::Identity;

/// Prints the fingerprint by which clients know this server; makes its key if there is none yet
#[derive(Debug, clap::Args)]
pub struct FingerprintArgs {
    /// The configuration whose `state_dir` has the key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the key is kept; overrides the configuration's
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Prints it.
///
/// # Errors
/// If the configuration is wrong, or the key can be neither read nor made.
pub fn run(args: &FingerprintArgs) -> Result<(), CommandError> {
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let configured = config.and_then(|config| config.state_dir);
    let identity = Identity::open(args.state_dir.as_deref().or(configured.as_deref()))?;
    let fingerprint = identity.public().fingerprint().to_string();
    let text = if args.json {
        let path = &identity.path;
        let (key, made) = (identity.public().to_string(), identity.is_new);
        serde_json::json!({"fingerprint": fingerprint, "key": key, "file": path, "made": made}).to_string()
    } else {
        fingerprint
    };
    print(&format!("{text}\n")).map_err(CommandError::Print)
}
