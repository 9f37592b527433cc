//! `--list`: the services of a server.

use serde_json::{Value, json};

use crate::cli::clock::Clock;
use crate::cli::exit::Failure;
use crate::cli::options::Options;
use crate::cli::run::Run;
use crate::cli::{ask, print};

/// Prints the services that the server tells of.
pub(crate) fn list(options: &Options, clock: Clock) -> Result<(), Failure> {
    let answered = Run::new(options, clock)?.directory();
    if options.json {
        let (services, failure) = match &answered {
            Ok(services) => (services.clone(), None),
            Err(failure) => (Value::Null, Some(failure.to_string())),
        };
        let report = json!({"error": failure, "services": services});
        return answered.and(print(&format!("{report}\n")));
    }
    print(&ask::table(&answered?))
}
