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
use crate::hypervisor::SourceSpec;
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
    /// UDP address and port to listen on.
    #[serde(deserialize_with = "listen")]
    pub listen: SocketAddr,
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
    /// What clients may ask for: at least one, with at most [`SOURCES_MAX`] sources in all.
    pub services: Vec<Object<Service>>,
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

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    text(deserializer, parse_listen)
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, |name| {
        if !(1..=NAME_MAX).contains(&name.len()) {
            return Err(format!("must be 1 to {NAME_MAX} bytes long, and has {}", name.len()));
        }
        // SPEC [LFP-2.3]: A receiver MUST refuse a text that is not UTF-8 or holds a control character.
        match name.chars().find(|c| c.is_control()) {
            Some(control) => Err(format!("must hold no control character such as {control:?}")),
            None => Ok(name.to_owned()),
        }
    })
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
        let Fault { place, field, text } = &self.fault;
        write!(f, "{}: ", self.file.display())?;
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
    pub fn of_source(source: SourceSpec, listen: SocketAddr, plain: bool) -> Self {
        let name = DEFAULT_SERVICE.to_owned();
        let (sources, scan, input) = (vec![source], Strategy::default(), InputPolicy::default());
        let service = Object(Service { name, sources, rate_hz: default_rate(), scan, input });
        Self {
            listen,
            plain,
            state_dir: None,
            sockets: None,
            stats: None,
            sessions_max: default_sessions(),
            idle_timeout_s: default_idle(),
            list_services: default_list(),
            services: vec![service],
        }
    }

    /// Reads and checks `file`.
    ///
    /// # Errors
    /// If the file cannot be read, is not JSON, or holds a field that is not allowed.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = read(file)?;
        Self::parse(&text).map_err(|fault| ConfigError { file: file.to_owned(), fault })
    }

    /// Parses and checks `text`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let config: Self = from_text(text)?;
        config.check()?;
        Ok(config)
    }

    /// How long a session may be silent.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.idle_timeout_s))
    }

    /// What no field shows by itself.
    fn check(&self) -> Result<(), Fault> {
        let fault = |field: String, text: String| Err(Fault { place: None, field, text });
        let sources: usize = self.services.iter().map(|service| service.sources.len()).sum();
        if !(1..=SOURCES_MAX).contains(&sources) {
            return fault("services".to_owned(), format!("must hold 1 to {SOURCES_MAX} sources in all"));
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
mod tests {
    use super::*;

    const MINIMAL: &str =
        r#"{"listen": "127.0.0.1:5810", "services": [{"name": "a", "source": "synthetic:typing"}]}"#;

    #[test]
    fn defaults_stand_where_nothing_is_said() {
        let config = Config::parse(MINIMAL).unwrap();
        assert!(!config.plain);
        assert_eq!((config.sessions_max, config.sockets), (64, None));
        assert_eq!(config.idle_timeout(), IDLE_TIMEOUT);
        assert_eq!(config.services[0].rate_hz, 60);
        assert_eq!(config.services[0].input, InputPolicy::Exclusive);
        assert_eq!(config.services[0].scan, Strategy::Auto);
    }

    #[test]
    fn an_error_names_the_field_and_what_is_wrong() {
        let service = |rest: &str| {
            format!(
                r#"{{"listen": "127.0.0.1:1", "services": [{{"name": "a", "source": "synthetic:idle"}}, {rest}]}}"#
            )
        };
        let long = format!(r#"{{"name": "{}", "source": "synthetic:idle"}}"#, "x".repeat(65));
        for (text, has_place, field, part) in [
            ("{", true, "", "EOF while parsing an object"),
            ("[]", true, "", "expected an object"),
            ("3", true, "", "expected an object"),
            ("{\n  \"listen\": 5810\n}", true, "listen", "invalid type: integer `5810`"),
            (r#"{"listen": "nowhere", "services": []}"#, true, "listen", "such as 127.0.0.1:5810"),
            (
                r#"{"listen": "127.0.0.1:1", "sockets": 0, "services": []}"#,
                true,
                "sockets",
                "1 to 16 are allowed",
            ),
            (r#"{"listen": "127.0.0.1:1"}"#, true, "services", "missing field `services`"),
            (r#"{"listen": "127.0.0.1:1", "services": []}"#, false, "services", "1 to 256"),
            (r#"{"listen": "127.0.0.1:1", "servics": []}"#, true, "servics", "unknown field"),
            (r#"{"listen": "127.0.0.1:1", "services": [[]]}"#, true, "services[0]", "an object"),
            (&service(r#"{"name": "b"}"#), true, "services[1].source", "missing field `source`"),
            (&service(r#"{"name": "b", "source": "#), true, "services[1].source", "expected"),
            (&service(r#"{"name": "b", "source": "quemu:/x"}"#), true, "services[1].source", "quemu"),
            (&service(r#"{"name": "b", "source": ["shm:/x", "shn:/y"]}"#), true, "services[1].source", "shn"),
            (&service(r#"{"name": "b", "source": []}"#), true, "services[1].source", "1 to 8"),
            (
                &service(r#"{"name": "a", "source": "synthetic:idle"}"#),
                false,
                "services[1].name",
                "services[0]",
            ),
            (
                &service(r#"{"name": "", "source": "synthetic:idle"}"#),
                true,
                "services[1].name",
                "1 to 64 bytes",
            ),
            (&service(&long), true, "services[1].name", "and has 65"),
            (
                &service(r#"{"name": "a\nb", "source": "synthetic:idle"}"#),
                true,
                "services[1].name",
                r"control character such as '\n'",
            ),
            (
                &service(r#"{"name": "b", "source": "synthetic:idle", "rate_hz": 0}"#),
                true,
                "services[1].rate_hz",
                "1 to 240",
            ),
            (
                &service(r#"{"name": "b", "source": "synthetic:idle", "rate_hz": -1}"#),
                true,
                "services[1].rate_hz",
                "is -1; whole numbers from 1 to 240 are allowed",
            ),
            (
                &service(r#"{"name": "b", "source": "synthetic:idle", "scan": 3}"#),
                true,
                "services[1].scan",
                r#"is 3; "auto", "sweep" and "probe" are allowed"#,
            ),
            (
                &service(r#"{"name": "b", "source": "synthetic:idle", "scan": "seldom"}"#),
                true,
                "services[1].scan",
                r#"is "seldom"; "auto", "sweep" and "probe" are allowed"#,
            ),
            (
                &service(r#"{"name": "b", "source": "synthetic:idle", "input": "all"}"#),
                true,
                "services[1].input",
                "exclusive",
            ),
            (&format!("{MINIMAL} x"), true, "", "trailing characters"),
        ] {
            let fault = Config::parse(text).unwrap_err();
            assert_eq!(
                (fault.place.is_some(), fault.field.as_str()),
                (has_place, field),
                "{text}: {}",
                fault.text
            );
            assert!(fault.text.contains(part), "{text}: {:?} does not say {part:?}", fault.text);
        }
        let fault = Config::parse("{\n  \"listen\": 5810\n}").unwrap_err();
        assert_eq!(fault.place.map(|(line, _)| line), Some(2));
        let (file, place) = (PathBuf::from("x.json"), Some((2, 3)));
        let fault = Fault { place, field: "services[0].name".to_owned(), text: "is wrong".to_owned() };
        let shown = ConfigError { file, fault }.to_string();
        assert_eq!(shown, "x.json: line 2, column 3: services[0].name: is wrong");
    }

    #[test]
    fn a_service_may_have_several_sources() {
        let text = MINIMAL.replace(r#""synthetic:typing""#, r#"["synthetic:typing", "shm:/x"]"#);
        let sources: Vec<_> =
            Config::parse(&text).unwrap().services[0].sources.iter().map(ToString::to_string).collect();
        assert_eq!(sources, ["synthetic:typing?seed=1&size=1280x800&fps=30", "shm:/x"]);
    }
}
