//! The server's configuration: JSON, every field checked before anything starts. `docs/CONFIGURATION.md` has
//! the table of fields.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::ops::{Deref, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

pub use crate::directory::InputPolicy;
use crate::directory::{self, ServiceSource, Tier};
use crate::hypervisor::{SourceId, SourceSpec};
use crate::limits::{
    CONFIG_BYTES_MAX, IDLE_TIMEOUT, NAME_MAX, SCAN_RATE_MAX_HZ, SESSIONS_MAX, SOCKETS_MAX, SOURCES_MAX,
    SURFACES_MAX,
};
use crate::scan::Strategy;

/// Name of the service when one source is given on the command line.
pub const DEFAULT_SERVICE: &str = "default";

/// What `lfp-server serve` is to do.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// UDP address and port to listen on; `None` only where a control channel is there to say what else is missing.
    #[serde(default, deserialize_with = "listen")]
    pub listen: Option<SocketAddr>,
    /// Whether sessions without encryption are taken, too. Default: false.
    #[serde(default)]
    pub plain: bool,
    /// Where the server's key is kept; `None`: where [`crate::identity`] says.
    #[serde(default)]
    pub state_dir: Option<PathBuf>,
    /// How many sockets share the address, each with a thread, 1 to [`SOCKETS_MAX`]; `None`: as the cores allow.
    #[serde(default, deserialize_with = "sockets")]
    pub sockets: Option<u16>,
    /// The file that what is counted is kept in; `None`: nowhere.
    #[serde(default)]
    pub stats: Option<PathBuf>,
    /// Most sessions at once, 1 to 4096.
    #[serde(default = "default_sessions", deserialize_with = "sessions")]
    pub sessions_max: u16,
    /// Silence after which a session ends, in seconds, 15 to 86,400.
    #[serde(default = "default_idle", deserialize_with = "idle")]
    pub idle_timeout_s: u32,
    /// Whether a client is told of all services, or of its own alone. Default: true.
    #[serde(default = "default_list")]
    pub list_services: bool,
    /// What clients may ask for: at least one unless there is a control channel, with at most [`SOURCES_MAX`] sources in all.
    pub services: Vec<Object<Service>>,
}

/// What a configuration is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// It is all that a server is told.
    Alone,
    /// A control channel tells it more: the address may be left out, and there need be no services.
    Controlled,
}

/// What the command line says in place of the configuration, or beside it.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Sessions without encryption are taken, whatever the configuration says.
    pub plain: bool,
    /// As [`Config::listen`].
    pub listen: Option<SocketAddr>,
    /// As [`Config::state_dir`].
    pub state_dir: Option<PathBuf>,
    /// As [`Config::sockets`].
    pub sockets: Option<u16>,
    /// As [`Config::stats`].
    pub stats: Option<PathBuf>,
}

impl Overrides {
    /// Makes `config` what both say together.
    pub fn apply(&self, config: &mut Config) {
        config.plain |= self.plain;
        config.listen = self.listen.or(config.listen);
        config.state_dir = self.state_dir.clone().or(config.state_dir.take());
        config.sockets = self.sockets.or(config.sockets);
        config.stats = self.stats.clone().or(config.stats.take());
    }
}

/// One named desktop.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The name that a client asks for, 1 to [`NAME_MAX`] bytes without control characters.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// Where its pixels come from: 1 to [`SURFACES_MAX`], in the order of a client's displays. One may stand as text.
    #[serde(rename = "source", deserialize_with = "sources")]
    pub sources: Vec<SourceSpec>,
    /// Fastest scan in hertz, 1 to [`SCAN_RATE_MAX_HZ`]; a client's refresh may lower it.
    #[serde(default = "default_rate", deserialize_with = "rate")]
    pub rate_hz: u32,
    /// How the sources are scanned that do not say themselves what changed.
    #[serde(default, deserialize_with = "strategy")]
    pub scan: Strategy,
    /// Who may type.
    #[serde(default, deserialize_with = "input")]
    pub input: InputPolicy,
}

impl Service {
    /// The service that shows this source, and is otherwise as one is of which nothing more is said.
    #[must_use]
    pub fn of_source(name: String, source: SourceSpec, input: InputPolicy) -> Self {
        Self { name, sources: vec![source], rate_hz: default_rate(), scan: Strategy::default(), input }
    }

    /// What clients are shown by these sources, opened in their order.
    #[must_use]
    pub fn shown(&self, sources: &[SourceId]) -> directory::Service {
        let shown = |source: &SourceId| ServiceSource {
            source: *source,
            rate_hz: self.rate_hz,
            scan: self.scan,
            input: self.input_policy(),
        };
        directory::Service { tier: Tier::Desktop, sources: sources.iter().map(shown).collect() }
    }

    /// Who may type: nobody, where none of the sources could take it.
    #[must_use]
    pub fn input_policy(&self) -> InputPolicy {
        if self.sources.iter().any(SourceSpec::takes_input) { self.input } else { InputPolicy::None }
    }
}

const IDLE_TIMEOUT_S: RangeInclusive<u32> = 15..=86_400;
const SESSIONS: RangeInclusive<u16> = 1..=4_096;
const RATE_DEFAULT_HZ: u32 = 60;

const fn default_list() -> bool {
    true
}

fn default_sessions() -> u16 {
    SESSIONS_MAX as u16
}

fn default_idle() -> u32 {
    IDLE_TIMEOUT.as_secs() as u32
}

fn default_rate() -> u32 {
    RATE_DEFAULT_HZ
}

/// A text that `parse` understands.
fn text<'de, D: Deserializer<'de>, T, E: fmt::Display>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// An address and a port, from a configuration or the command line.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is no address and port, such as 127.0.0.1:5810, 0.0.0.0:5810 or [::1]:5810")
    })
}

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    text(deserializer, parse_listen).map(Some)
}

/// Whether a service may be called `name`.
///
/// # Errors
/// What is wrong with it, to be read after what it is the name of.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if !(1..=NAME_MAX).contains(&name.len()) {
        return Err(format!("must be 1 to {NAME_MAX} bytes long, and has {}", name.len()));
    }
    // SPEC [LFP-2.3]: A receiver MUST refuse a text that is not UTF-8 or holds a control character.
    match name.chars().find(|c| c.is_control()) {
        Some(control) => Err(format!("must hold no control character such as {control:?}")),
        None => Ok(()),
    }
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, |name| check_name(name).map(|()| name.to_owned()))
}

fn sources<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SourceSpec>, D::Error> {
    struct OneOrMore;
    impl<'de> Visitor<'de> for OneOrMore {
        type Value = Vec<SourceSpec>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a source such as \"qemu:/run/vm1.qmp\", or a list of them")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse().map(|source| vec![source]).map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut sources = Vec::new();
            while let Some(text) = list.next_element::<String>()? {
                sources.push(text.parse().map_err(serde::de::Error::custom)?);
            }
            if (1..=SURFACES_MAX).contains(&sources.len()) {
                return Ok(sources);
            }
            Err(serde::de::Error::custom(format!("must name 1 to {SURFACES_MAX} sources")))
        }
    }
    deserializer.deserialize_any(OneOrMore)
}

/// A number of `range`.
fn within<'de, D: Deserializer<'de>, T>(deserializer: D, range: &RangeInclusive<T>) -> Result<T, D::Error>
where
    T: DeserializeOwned + PartialOrd + fmt::Display,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    let number = T::deserialize(&value).ok().filter(|number| range.contains(number));
    let (least, most) = (range.start(), range.end());
    number.ok_or_else(|| {
        serde::de::Error::custom(format!("is {value}; whole numbers from {least} to {most} are allowed"))
    })
}

/// One of a few words, which `allowed` lists.
fn word<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
    allowed: &str,
) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    T::deserialize(&value).map_err(|_| serde::de::Error::custom(format!("is {value}; {allowed} are allowed")))
}

fn strategy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Strategy, D::Error> {
    word(deserializer, "\"auto\", \"sweep\" and \"probe\"")
}

fn input<'de, D: Deserializer<'de>>(deserializer: D) -> Result<InputPolicy, D::Error> {
    word(deserializer, "\"exclusive\" and \"none\"")
}

fn sessions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    within(deserializer, &SESSIONS)
}

fn sockets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    within(deserializer, &(1..=SOCKETS_MAX as u16)).map(Some)
}

fn idle<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    within(deserializer, &IDLE_TIMEOUT_S)
}

fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    within(deserializer, &(1..=SCAN_RATE_MAX_HZ))
}

/// A `T` that is written as a JSON object. What serde derives for a struct would take a list of its fields as well,
/// and speak of lists to who wrote one by mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object<T>(pub T);

impl<T> Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object, {\"field\": value, ...}")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields))
            }
        }
        deserializer.deserialize_any(Fields(PhantomData)).map(Self)
    }
}

/// What is wrong with a configuration: the file, where, the path to the field, and the fault.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// The fault in it.
    pub fault: Fault,
}

/// What is wrong with a configuration's text.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Fault {
    /// Line and column, from 1, where the parser found out; `None` for what no single place shows.
    pub place: Option<(usize, usize)>,
    /// The path to the field, such as `services[1].source`; empty for the file as a whole.
    pub field: String,
    /// What is wrong and what is allowed.
    pub text: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, field, text } = self;
        if let Some((line, column)) = place {
            write!(f, "line {line}, column {column}: ")?;
        }
        if !field.is_empty() {
            write!(f, "{field}: ")?;
        }
        f.write_str(text)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// The configuration that `serve --source SOURCE --listen ADDR:PORT` stands for.
    #[must_use]
    pub fn of_source(source: SourceSpec, listen: Option<SocketAddr>) -> Self {
        let service = Service::of_source(DEFAULT_SERVICE.to_owned(), source, InputPolicy::default());
        Self { listen, services: vec![Object(service)], ..Self::nothing() }
    }

    /// The configuration that says nothing, for a server that is told what to serve by and by.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            listen: None,
            plain: false,
            state_dir: None,
            sockets: None,
            stats: None,
            sessions_max: default_sessions(),
            idle_timeout_s: default_idle(),
            list_services: default_list(),
            services: Vec::new(),
        }
    }

    /// Reads and checks `file`.
    ///
    /// # Errors
    /// If the file cannot be read, is not JSON, or holds a field that is not allowed.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::load_for(file, Use::Alone)
    }

    /// Reads and checks `file`, for this use of it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_for(file: &Path, purpose: Use) -> Result<Self, ConfigError> {
        let text = read(file)?;
        Self::parse_for(&text, purpose).map_err(|fault| ConfigError { file: file.to_owned(), fault })
    }

    /// Parses and checks `text`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str) -> Result<Self, Fault> {
        Self::parse_for(text, Use::Alone)
    }

    /// Takes over and checks a configuration that has come as a part of something else.
    ///
    /// # Errors
    /// As [`Config::load`]; no fault has a place.
    pub fn of_value(value: serde_json::Value, purpose: Use) -> Result<Self, Fault> {
        let Object(config): Object<Self> = serde_path_to_error::deserialize(value)
            .map_err(|error| Fault::of(&error.path().to_string(), error.inner()))?;
        config.check(purpose)?;
        Ok(config)
    }

    /// How many sources all services have.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.services.iter().map(|service| service.sources.len()).sum()
    }

    fn parse_for(text: &str, purpose: Use) -> Result<Self, Fault> {
        let config: Self = from_text(text)?;
        config.check(purpose)?;
        Ok(config)
    }

    /// How long a session may be silent.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.idle_timeout_s))
    }

    /// What no field shows by itself.
    fn check(&self, purpose: Use) -> Result<(), Fault> {
        let fault = |field: String, text: String| Err(Fault { place: None, field, text });
        let fewest = usize::from(purpose == Use::Alone);
        if purpose == Use::Alone && self.listen.is_none() {
            return fault("listen".to_owned(), "missing field `listen`".to_owned());
        }
        if !(fewest..=SOURCES_MAX).contains(&self.sources()) {
            let text = format!("must hold {fewest} to {SOURCES_MAX} sources in all");
            return fault("services".to_owned(), text);
        }
        let mut names = BTreeMap::new();
        for (at, service) in self.services.iter().enumerate() {
            if let Some(other) = names.insert(&service.name, at) {
                let text = format!("{:?} is services[{other}]'s name already", service.name);
                return fault(format!("services[{at}].name"), text);
            }
        }
        Ok(())
    }
}

/// What `file` holds, up to [`CONFIG_BYTES_MAX`].
pub(crate) fn read(file: &Path) -> Result<String, ConfigError> {
    let wrong = |fault| ConfigError { file: file.to_owned(), fault };
    let unread = |text: String| wrong(Fault { text, ..Fault::default() });
    let mut text = String::new();
    // What it says of its length is not to be relied on: a device has none.
    std::fs::File::open(file)
        .and_then(|file| file.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| unread(format!("cannot be read: {error}")))?;
    if text.len() as u64 > CONFIG_BYTES_MAX {
        return Err(unread(format!("is longer than {CONFIG_BYTES_MAX} bytes, which are all that is read")));
    }
    Ok(text)
}

/// Parses JSON whose top is an object.
pub(crate) fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    let mut json = serde_json::Deserializer::from_str(text);
    let Object(config): Object<T> = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| Fault::of(&error.path().to_string(), error.inner()))?;
    json.end().map_err(|error| Fault::of("", &error))?;
    Ok(config)
}

impl Fault {
    /// What the parser found at `path`.
    fn of(path: &str, error: &serde_json::Error) -> Self {
        let place = (error.line() > 0).then(|| (error.line(), error.column()));
        let mut text = error.to_string();
        if let Some((line, column)) = place {
            // It stands before the field instead.
            let behind = format!(" at line {line} column {column}");
            text.truncate(text.strip_suffix(&behind).unwrap_or(&text).len());
        }
        // `.` is the whole, `?` what broke off before it had a name.
        let mut parts: Vec<_> = path.split('.').filter(|part| !matches!(*part, "" | "?")).collect();
        // The path of what is missing ends at where it is missing from.
        parts.extend(text.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')));
        Self { place, field: parts.join("."), text }
    }
}

#[cfg(test)]
mod tests;
