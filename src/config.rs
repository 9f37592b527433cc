//! The server's configuration: JSON, every field checked before anything starts. `docs/CONFIGURATION.md` has
//! the table of fields.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

pub use crate::directory::InputPolicy;
use crate::hypervisor::SourceSpec;
use crate::limits::{CONFIG_BYTES_MAX, IDLE_TIMEOUT, NAME_MAX, SCAN_RATE_MAX_HZ, SESSIONS_MAX, SOURCES_MAX};

/// Name of the service when one source is given on the command line.
pub const DEFAULT_SERVICE: &str = "default";

/// What `lfp-server serve` is to do.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// UDP address and port to listen on.
    pub listen: SocketAddr,
    /// Whether sessions without encryption are taken. Default: false.
    #[serde(default)]
    pub plain: bool,
    /// Most sessions at once, 1 to 4096.
    #[serde(default = "default_sessions")]
    pub sessions_max: u16,
    /// Silence after which a session ends, in seconds, 15 to 86,400.
    #[serde(default = "default_idle")]
    pub idle_timeout_s: u32,
    /// What clients may ask for: 1 to [`SOURCES_MAX`].
    pub services: Vec<Service>,
}

/// One named desktop.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The name that a client asks for, 1 to [`NAME_MAX`] bytes.
    pub name: String,
    /// Where its pixels come from.
    #[serde(deserialize_with = "source")]
    pub source: SourceSpec,
    /// Fastest scan in hertz, 1 to [`SCAN_RATE_MAX_HZ`]; a client's refresh may lower it.
    #[serde(default = "default_rate")]
    pub rate_hz: u32,
    /// Who may type.
    #[serde(default)]
    pub input: InputPolicy,
}

const IDLE_TIMEOUT_S: std::ops::RangeInclusive<u32> = 15..=86_400;
const SESSIONS: std::ops::RangeInclusive<u16> = 1..=4_096;
const RATE_DEFAULT_HZ: u32 = 60;

fn default_sessions() -> u16 {
    SESSIONS_MAX as u16
}

fn default_idle() -> u32 {
    IDLE_TIMEOUT.as_secs() as u32
}

fn default_rate() -> u32 {
    RATE_DEFAULT_HZ
}

fn source<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SourceSpec, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// What is wrong with a configuration: the file, the path to the field, and the fault.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// The path to the field, such as `services[1].source`; empty for the file as a whole.
    pub field: String,
    /// What is wrong and what is allowed.
    pub fault: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.fault)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// The configuration that `serve --source SOURCE --listen ADDR:PORT` stands for.
    #[must_use]
    pub fn of_source(source: SourceSpec, listen: SocketAddr, plain: bool) -> Self {
        let name = DEFAULT_SERVICE.to_owned();
        let service = Service { name, source, rate_hz: default_rate(), input: InputPolicy::default() };
        Self {
            listen,
            plain,
            sessions_max: default_sessions(),
            idle_timeout_s: default_idle(),
            services: vec![service],
        }
    }

    /// Reads and checks `file`.
    ///
    /// # Errors
    /// If the file cannot be read, is not JSON, or holds a field that is not allowed.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let fault = |fault: String| ConfigError { file: file.to_owned(), field: String::new(), fault };
        let length =
            std::fs::metadata(file).map_err(|error| fault(format!("cannot be read: {error}")))?.len();
        if length > CONFIG_BYTES_MAX {
            return Err(fault(format!("is {length} bytes long; at most {CONFIG_BYTES_MAX} are read")));
        }
        let text =
            std::fs::read_to_string(file).map_err(|error| fault(format!("cannot be read: {error}")))?;
        Self::parse(&text).map_err(|(field, fault)| ConfigError { file: file.to_owned(), field, fault })
    }

    /// Parses and checks `text`; an error is the path to the field and the fault.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let mut json = serde_json::Deserializer::from_str(text);
        let config: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            // `.` is the whole, `?` what broke off before it had a name.
            (
                if matches!(path.as_str(), "." | "?") { String::new() } else { path },
                error.into_inner().to_string(),
            )
        })?;
        json.end().map_err(|error| (String::new(), error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// How long a session may be silent.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.idle_timeout_s))
    }

    fn check(&self) -> Result<(), (String, String)> {
        in_range("sessions_max", &self.sessions_max, &SESSIONS)?;
        in_range("idle_timeout_s", &self.idle_timeout_s, &IDLE_TIMEOUT_S)?;
        in_range("services", &self.services.len(), &(1..=SOURCES_MAX))
            .map_err(|(field, _)| (field, format!("must hold 1 to {SOURCES_MAX} services")))?;
        let mut names = BTreeMap::new();
        for (at, service) in self.services.iter().enumerate() {
            let field = |name: &str| format!("services[{at}].{name}");
            if !(1..=NAME_MAX).contains(&service.name.len()) {
                return Err((field("name"), format!("must be 1 to {NAME_MAX} bytes long")));
            }
            if let Some(other) = names.insert(&service.name, at) {
                return Err((
                    field("name"),
                    format!("{:?} is services[{other}]'s name already", service.name),
                ));
            }
            in_range(&field("rate_hz"), &service.rate_hz, &(1..=SCAN_RATE_MAX_HZ))?;
        }
        Ok(())
    }
}

fn in_range<T: PartialOrd + fmt::Display>(
    field: &str,
    value: &T,
    range: &std::ops::RangeInclusive<T>,
) -> Result<(), (String, String)> {
    if range.contains(value) {
        return Ok(());
    }
    Err((field.to_owned(), format!("is {value}; {} to {} are allowed", range.start(), range.end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str =
        r#"{"listen": "127.0.0.1:5810", "services": [{"name": "a", "source": "synthetic:typing"}]}"#;

    #[test]
    fn defaults_stand_where_nothing_is_said() {
        let config = Config::parse(MINIMAL).unwrap();
        assert!(!config.plain);
        assert_eq!(config.sessions_max, 64);
        assert_eq!(config.idle_timeout(), IDLE_TIMEOUT);
        assert_eq!(config.services[0].rate_hz, 60);
        assert_eq!(config.services[0].input, InputPolicy::Exclusive);
    }

    #[test]
    fn an_error_names_the_field_and_what_is_wrong() {
        let service = |rest: &str| {
            format!(
                r#"{{"listen": "127.0.0.1:1", "services": [{{"name": "a", "source": "synthetic:idle"}}, {rest}]}}"#
            )
        };
        for (text, field, part) in [
            ("{", "", "EOF"),
            ("[]", "", "expected struct Config"),
            ("3", "", "invalid type"),
            (r#"{"listen": "nowhere", "services": []}"#, "listen", "socket address"),
            (r#"{"listen": "127.0.0.1:1", "services": []}"#, "services", "1 to 256"),
            (r#"{"listen": "127.0.0.1:1", "servics": []}"#, "servics", "unknown field"),
            (&service(r#"{"name": "b"}"#), "services[1]", "missing field `source`"),
            (&service(r#"{"name": "b", "source": "quemu:/x"}"#), "services[1].source", "quemu"),
            (&service(r#"{"name": "a", "source": "synthetic:idle"}"#), "services[1].name", "services[0]"),
            (&service(r#"{"name": "", "source": "synthetic:idle"}"#), "services[1].name", "1 to 64 bytes"),
            (
                &service(r#"{"name": "b", "source": "synthetic:idle", "rate_hz": 0}"#),
                "services[1].rate_hz",
                "1 to 240",
            ),
            (
                &service(r#"{"name": "b", "source": "synthetic:idle", "input": "all"}"#),
                "services[1].input",
                "exclusive",
            ),
            (&format!("{MINIMAL} x"), "", "trailing characters"),
        ] {
            let (at, fault) = Config::parse(text).unwrap_err();
            assert_eq!(at, field, "{text}: {fault}");
            assert!(fault.contains(part), "{text}: {fault:?} does not say {part:?}");
        }
    }
}
