//! The command line, from arguments to ready values.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use client_lfp::Config;
use lexopt::prelude::*;
use lfp_proto::depth::Depth;
use lfp_proto::frame::{Attention, InputKind};
use lfp_proto::geometry::Size;
use lfp_proto::hello::ClientType;
use lfp_proto::identity::Fingerprint;
use lfp_proto::keys;
use lfp_proto::limits::{DATAGRAM_MAX, DATAGRAM_MIN, NAME_MAX, REFERENCES_MAX};
use lfp_proto::technique::{self, Technique};

use crate::cli::exit::Failure;

/// What the user asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
    /// Show a screen.
    Show(Box<Options>),
}

/// How to show a screen.
#[derive(Debug)]
pub(crate) struct Options {
    /// Host and port, not yet looked up.
    pub(crate) server: String,
    pub(crate) trust: Trust,
    pub(crate) config: Config,
    /// Bytes to ask the system for.
    pub(crate) receive_buffer: usize,
    pub(crate) actions: Vec<Action>,
    pub(crate) type_interval: Duration,
    /// How much of the screen the user sees.
    pub(crate) attention: Attention,
    /// End once the picture has stood still for so long.
    pub(crate) settle: Option<Duration>,
    /// End after so long.
    pub(crate) limit: Option<Duration>,
    /// Try for so long to have another session when one is lost.
    pub(crate) reconnect: Duration,
    pub(crate) png: Option<PathBuf>,
    /// Draw over the picture what is known of its cells.
    pub(crate) overlay: bool,
    pub(crate) mirror: Option<PathBuf>,
    pub(crate) capture: Option<PathBuf>,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    /// Show no screen, but what services there are.
    pub(crate) list: bool,
    /// Ask at the end what the server counts of the session.
    pub(crate) server_stats: bool,
}

/// Whom the user trusts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Trust {
    /// The path and everybody on it.
    Plain,
    /// A server with a key.
    Sealed {
        /// Its fingerprint; `None`: the key that it had before, or that it has the first time.
        server_key: Option<Fingerprint>,
        /// Where keys are kept; `None`: where the user's programs keep such things.
        state: Option<PathBuf>,
    },
}

/// Something to do with keyboard or mouse.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Keys pressed together and let go, as Linux codes.
    Chord(Vec<u16>),
    /// The pointer.
    Pointer(Vec<InputKind>),
    /// The screen is hidden for so long.
    Hide(Duration),
}

impl Action {
    /// How many input events it stands for.
    pub(crate) fn events(&self) -> usize {
        match self {
            Self::Chord(codes) => codes.len() * 2,
            Self::Pointer(events) => events.len(),
            Self::Hide(_) => 0,
        }
    }
}

/// Settle time if one is needed and none is given: carets mostly stand for 500 ms or more between two blinks, and the proof that
/// nothing has changed takes a round trip of that.
const SETTLE: Duration = Duration::from_millis(400);
/// How long a picture may take to settle if no limit is given.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// How long it is tried to have another session after one is lost, unless told otherwise: a server restarts in less.
const RECONNECT: Duration = Duration::from_secs(30);
/// Receive buffer that is asked for unless told otherwise.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

impl Command {
    /// Reads arguments, without the program's name.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Failure> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let config = Config { datagram_size: DATAGRAM_SIZE, ..Config::default() };
        let mut raw = Raw { config, ..Raw::default() };
        while let Some(argument) = parser.next().map_err(usage)? {
            match argument {
                Long("help") | Short('h') => return Ok(Self::Help),
                Long("version") | Short('V') => return Ok(Self::Version),
                Value(server) if raw.server.is_none() => raw.server = Some(server.string().map_err(usage)?),
                Long(name) => {
                    let name = name.to_owned();
                    raw.take(&name, &mut parser)?;
                }
                other => return Err(usage(other.unexpected())),
            }
        }
        raw.finish().map(|options| Self::Show(Box::new(options)))
    }
}

/// What Ethernet carries: the server finds out whether the path does.
const DATAGRAM_SIZE: u16 = 1_472;

#[derive(Default)]
struct Raw {
    server: Option<String>,
    plain: bool,
    server_key: Option<Fingerprint>,
    state: Option<PathBuf>,
    config: Config,
    receive_buffer: Option<usize>,
    actions: Vec<Action>,
    attention: Attention,
    type_interval: Option<Duration>,
    settle: Option<Duration>,
    limit: Option<Duration>,
    reconnect: Option<Duration>,
    png: Option<PathBuf>,
    overlay: bool,
    mirror: Option<PathBuf>,
    capture: Option<PathBuf>,
    json: bool,
    quiet: bool,
    list: bool,
    service_named: bool,
    server_stats: bool,
}

impl Raw {
    fn take(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<(), Failure> {
        match name {
            "plain" => self.plain = true,
            "json" => self.json = true,
            "quiet" => self.quiet = true,
            "list" => self.list = true,
            "server-stats" => self.server_stats = true,
            "overlay" => self.overlay = true,
            "png" => self.png = Some(parser.value().map_err(usage)?.into()),
            "capture" => self.capture = Some(parser.value().map_err(usage)?.into()),
            "mirror" => self.mirror = Some(parser.value().map_err(usage)?.into()),
            "state" => self.state = Some(parser.value().map_err(usage)?.into()),
            "hide" => self.actions.push(Action::Hide(millis(name, parser)?)),
            "service" | "place" | "client-type" | "profile" | "depth" | "display" | "attention" | "type"
            | "server-key" | "key" | "move" | "click" => {
                let value = parser.value().and_then(ValueExt::string).map_err(usage)?;
                self.take_text(name, &value)?;
            }
            "connect-timeout" => self.config.connect_timeout = seconds(name, parser, 0.1, 3600.0)?,
            "reconnect" => self.reconnect = Some(seconds(name, parser, 0.0, 1e7)?),
            "seconds" => self.limit = Some(seconds(name, parser, 0.0, 1e7)?),
            "settle" => self.settle = Some(millis(name, parser)?),
            "type-interval" => self.type_interval = Some(millis(name, parser)?),
            "datagram-size" => {
                let size = number(name, parser, DATAGRAM_MIN as u64, DATAGRAM_MAX as u64)?;
                self.config.datagram_size = size as u16;
            }
            "receive-buffer" => {
                self.receive_buffer = Some(number(name, parser, 4096, 1 << 30)? as usize);
            }
            "references" => {
                self.config.references = number(name, parser, 0, REFERENCES_MAX.into())? as u8;
            }
            "refresh" => self.config.refresh_hz = number(name, parser, 1, 255)? as u8,
            _ => return Err(Failure::Usage(format!("there is no option --{name}"))),
        }
        Ok(())
    }

    fn take_text(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        match name {
            "server-key" => {
                let fingerprint = value
                    .parse()
                    .map_err(|error| Failure::Usage(format!("--server-key {value}: {error}")))?;
                self.server_key = Some(fingerprint);
            }
            "service" => {
                self.config.service = short(name, value)?;
                self.service_named = true;
            }
            "place" => self.config.place = short(name, value)?,
            "client-type" => self.config.client_type = client_type(name, value)?,
            "profile" => profile(client_type(name, value)?, &mut self.config),
            "depth" => self.config.depth = depth(value)?,
            "display" => self.config.display_size = display(value)?,
            "attention" => self.attention = attention(value)?,
            "type" => self.actions.extend(typed(value)?),
            "key" => {
                let chord = keys::parse_chord(value)
                    .map_err(|error| Failure::Usage(format!("--key {value}: {error}")))?;
                self.actions.push(Action::Chord(chord));
            }
            _ => {
                let (x, y) = point(name, value)?;
                let mut events = vec![InputKind::MoveTo { x, y }];
                if name == "click" {
                    let button = lfp_proto::frame::Button::Left;
                    events.extend([true, false].map(|down| InputKind::Button { button, down }));
                }
                self.actions.push(Action::Pointer(events));
            }
        }
        Ok(())
    }

    /// Whether `--list` is all that is asked for.
    fn check_list(&self) -> Result<(), Failure> {
        let screen = self.png.is_some() || self.mirror.is_some() || self.overlay || self.settle.is_some();
        if self.list && (screen || self.server_stats || !self.actions.is_empty()) {
            return Err(Failure::Usage(
                "--list shows the services and no screen: leave out what is to be done with one".into(),
            ));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Options, Failure> {
        self.check_list()?;
        if self.list && !self.service_named {
            self.config.service.clear();
        }
        let server = self.server.ok_or_else(|| Failure::Usage("no server is named (ADDR:PORT)".into()))?;
        if !is_host_and_port(&server) {
            return Err(Failure::Usage(format!(
                "{server}: a host and a port from 1 to 65535 are needed, such as 192.0.2.7:5810 or [2001:db8::7]:5810"
            )));
        }
        if self.plain && (self.server_key.is_some() || self.state.is_some()) {
            return Err(Failure::Usage(
                "--plain knows no keys: leave --server-key and --state out, or --plain".into(),
            ));
        }
        // SPEC [LFP-3.2]: A side MUST NOT use plain protection unless its user has named it.
        let trust = match self.plain {
            true => Trust::Plain,
            false => Trust::Sealed { server_key: self.server_key, state: self.state },
        };
        if self.overlay && self.png.is_none() && self.mirror.is_none() {
            return Err(Failure::Usage(
                "--overlay draws over what --png or --mirror writes: name one".into(),
            ));
        }
        if self.attention == Attention::Hidden && !self.actions.is_empty() {
            return Err(Failure::Usage(
                "--attention hidden: nobody types on a screen that is not seen, and none of it comes; leave the input out, or \
                 hide the screen for a while by --hide"
                    .into(),
            ));
        }
        let wants_picture = self.png.is_some() || (self.json && !self.list) || !self.actions.is_empty();
        let implied = wants_picture && self.limit.is_none() && self.mirror.is_none();
        let settle = self.settle.or(implied.then_some(SETTLE));
        if self.attention == Attention::Hidden && settle.is_some() {
            return Err(Failure::Usage(
                "--attention hidden: no picture comes that could settle; say by --seconds N when to end"
                    .into(),
            ));
        }
        Ok(Options {
            server,
            trust,
            config: Config { notes: self.overlay, ..self.config },
            receive_buffer: self.receive_buffer.unwrap_or(RECEIVE_BUFFER),
            actions: self.actions,
            attention: self.attention,
            type_interval: self.type_interval.unwrap_or(Duration::from_millis(20)),
            limit: self.limit.or(settle.map(|_| SETTLE_LIMIT)),
            reconnect: self.reconnect.unwrap_or(RECONNECT),
            settle,
            png: self.png,
            overlay: self.overlay,
            mirror: self.mirror,
            capture: self.capture,
            json: self.json,
            quiet: self.quiet,
            list: self.list,
            server_stats: self.server_stats,
        })
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn usage(error: lexopt::Error) -> Failure {
    Failure::Usage(error.to_string())
}

fn number(name: &str, parser: &mut lexopt::Parser, least: u64, most: u64) -> Result<u64, Failure> {
    let value = parser.value().and_then(ValueExt::string).map_err(usage)?;
    let number = value.parse::<u64>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| {
        Failure::Usage(format!("--{name} {value}: a whole number from {least} to {most} is needed"))
    })
}

fn millis(name: &str, parser: &mut lexopt::Parser) -> Result<Duration, Failure> {
    number(name, parser, 0, 3_600_000).map(Duration::from_millis)
}

fn seconds(name: &str, parser: &mut lexopt::Parser, least: f64, most: f64) -> Result<Duration, Failure> {
    let value = parser.value().and_then(ValueExt::string).map_err(usage)?;
    let seconds = value.parse::<f64>().ok().filter(|seconds| (least..=most).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| Failure::Usage(format!("--{name} {value}: seconds from {least} to {most} are needed")))
}

fn short(name: &str, value: &str) -> Result<String, Failure> {
    if value.len() <= NAME_MAX && !value.chars().any(char::is_control) {
        return Ok(value.into());
    }
    Err(Failure::Usage(format!("--{name}: at most {NAME_MAX} bytes without control characters are needed")))
}

fn client_type(name: &str, value: &str) -> Result<ClientType, Failure> {
    Ok(match value {
        "desktop" => ClientType::Desktop,
        "thin-terminal" => ClientType::ThinTerminal,
        "phone" => ClientType::Phone,
        "television" => ClientType::Television,
        "headless" => ClientType::Headless,
        _ => {
            return Err(Failure::Usage(format!(
                "--{name} {value}: desktop, thin-terminal, phone, television or headless is needed"
            )));
        }
    })
}

/// What clients of a kind mostly are. The help text has the table.
fn profile(client_type: ClientType, config: &mut Config) {
    let size = |width, height| Size::new(width, height);
    let (display_size, depth, refresh_hz, references) = match client_type {
        ClientType::Desktop | ClientType::Headless => (None, Depth::Bits24, 60, REFERENCES_MAX),
        ClientType::ThinTerminal => (None, Depth::Bits16, 30, 1),
        ClientType::Phone => (size(960, 540), Depth::Bits24, 60, 1),
        ClientType::Television => (size(1920, 1080), Depth::Bits24, 50, REFERENCES_MAX),
    };
    // Decoding by the dictionary takes several times as long as anything else.
    let dear = if client_type == ClientType::ThinTerminal { Technique::Dictionary.bit() } else { 0 };
    let decoders = technique::decoders() & !dear;
    *config = Config {
        client_type,
        display_size,
        depth,
        refresh_hz,
        references,
        decoders,
        ..std::mem::take(config)
    };
}

fn depth(value: &str) -> Result<Depth, Failure> {
    let depth = value.parse().ok().and_then(Depth::from_bits);
    depth.ok_or_else(|| Failure::Usage(format!("--depth {value}: 8, 16, 24 or 32 is needed")))
}

fn display(value: &str) -> Result<Option<Size>, Failure> {
    if value == "any" {
        return Ok(None);
    }
    let sides = value.split_once('x').and_then(|(width, height)| width.parse().ok().zip(height.parse().ok()));
    let size = sides.and_then(|(width, height)| Size::new(width, height));
    size.map(Some).ok_or_else(|| {
        Failure::Usage(format!(
            "--display {value}: WIDTHxHEIGHT in pixels is needed, such as 1280x720, or any"
        ))
    })
}

fn attention(value: &str) -> Result<Attention, Failure> {
    Ok(match value {
        "in-view" => Attention::InView,
        "aside" => Attention::Aside,
        "hidden" => Attention::Hidden,
        _ => return Err(Failure::Usage(format!("--attention {value}: in-view, aside or hidden is needed"))),
    })
}

fn typed(text: &str) -> Result<Vec<Action>, Failure> {
    let chord = |c: char| {
        let (code, shift) = keys::type_char(c)
            .ok_or_else(|| Failure::Usage(format!("--type: a US keyboard has no key for {c:?}")))?;
        Ok(Action::Chord(if shift { vec![keys::KEY_LEFTSHIFT, code] } else { vec![code] }))
    };
    text.chars().map(chord).collect()
}

/// Whether `text` reads as `HOST:PORT`. Whether there is such a host is found out later.
fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).is_some();
    let is_host = !host.is_empty() && (is_v6 || !host.contains(':'));
    is_host && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse().is_ok_and(|port: u16| port > 0)
}

fn point(name: &str, value: &str) -> Result<(u16, u16), Failure> {
    let point = value.split_once(',').and_then(|(x, y)| x.trim().parse().ok().zip(y.trim().parse().ok()));
    point.ok_or_else(|| Failure::Usage(format!("--{name} {value}: a pixel is needed, such as 640,400")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        match Command::parse(line.split(' ').map(OsString::from)) {
            Ok(Command::Show(options)) => Ok(*options),
            Ok(other) => panic!("{other:?}"),
            Err(failure) => Err(failure.to_string()),
        }
    }

    #[test]
    fn actions_keep_their_order() {
        let options = parse("[::1]:4000 --type aB --plain --click 3,4 --key ctrl-alt-delete --service x")
            .expect("legal");
        let a = keys::type_char('a').expect("a key").0;
        let b = keys::type_char('b').expect("a key").0;
        assert_eq!(options.actions[0], Action::Chord(vec![a]));
        assert_eq!(options.actions[1], Action::Chord(vec![keys::KEY_LEFTSHIFT, b]));
        assert!(matches!(&options.actions[2], Action::Pointer(events) if events.len() == 3));
        assert!(matches!(&options.actions[3], Action::Chord(codes) if codes.len() == 3));
        assert_eq!((options.server.as_str(), options.config.service.as_str()), ("[::1]:4000", "x"));
        assert_eq!(options.settle, Some(SETTLE));
        let options = parse("h:1 --plain --attention aside --hide 1500 --key a").expect("legal");
        assert_eq!(options.attention, Attention::Aside);
        assert_eq!(options.actions[0], Action::Hide(Duration::from_millis(1500)));
    }

    #[test]
    fn when_to_end_follows_from_what_is_asked() {
        let ends = |line: &str| parse(line).map(|options| (options.settle, options.limit)).expect("legal");
        assert_eq!(ends("h:1 --plain"), (None, None));
        assert_eq!(ends("h:1 --plain --json"), (Some(SETTLE), Some(SETTLE_LIMIT)));
        assert_eq!(ends("h:1 --plain --json --mirror f"), (None, None));
        assert_eq!(ends("h:1 --list --json"), (None, None));
        assert_eq!(ends("h:1 --plain --png f --seconds 2"), (None, Some(Duration::from_secs(2))));
        let settle = (Some(Duration::from_millis(9)), Some(Duration::from_millis(1500)));
        assert_eq!(ends("h:1 --plain --settle=9 --seconds=1.5"), settle);
    }

    #[test]
    fn a_profile_is_what_the_options_behind_it_leave() {
        let config = |line: &str| parse(line).map(|options| options.config).expect("legal");
        let phone = config("h:1 --plain --depth 8 --profile phone --refresh 30");
        assert_eq!(
            (phone.client_type, phone.depth, phone.refresh_hz),
            (ClientType::Phone, Depth::Bits24, 30)
        );
        assert_eq!(phone.display_size, Size::new(960, 540));
        let terminal = config("h:1 --plain --service x --profile thin-terminal --display 640x480");
        assert_eq!((terminal.service.as_str(), terminal.depth), ("x", Depth::Bits16));
        assert_eq!((terminal.display_size, terminal.decoders >> 10 & 1), (Size::new(640, 480), 0));
        assert_eq!(config("h:1 --plain --profile desktop"), config("h:1 --plain"));
    }

    #[test]
    fn a_session_is_sealed_unless_plain_is_named() {
        let trust = |line: &str| parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).trust;
        assert_eq!(trust("h:1"), Trust::Sealed { server_key: None, state: None });
        assert_eq!(trust("h:1 --plain"), Trust::Plain);
        let named = trust("h:1 --server-key aaaa-aaaa-aaaa-aaaa-aaaa-aaab --state s");
        let server_key = "aaaaaaaaaaaaaaaaaaaaaaab".parse().ok();
        assert_eq!(named, Trust::Sealed { server_key, state: Some("s".into()) });
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, part) in [
            ("--plain", "ADDR:PORT"),
            ("h:1 --plain --state x", "--plain knows no keys"),
            ("h:1 --server-key abcd-efgh", "six groups of four"),
            ("h:1 --plain extra", "extra"),
            ("host --plain", "host: a host and a port"),
            (":5810 --plain", "192.0.2.7:5810"),
            ("h:0 --plain", "from 1 to 65535"),
            ("h:99999 --plain", "from 1 to 65535"),
            ("h:+1 --plain", "from 1 to 65535"),
            ("::1:5810 --plain", "[2001:db8::7]:5810"),
            ("h:1 --plain --nonsense", "--nonsense"),
            ("h:1 --plain --overlay", "--png or --mirror"),
            ("h:1 --list --png f", "--list shows the services"),
            ("h:1 --list --key a", "--list shows the services"),
            ("h:1 --plain --datagram-size 100", "from 1100 to 8900"),
            ("h:1 --plain --references 3", "from 0 to 2"),
            ("h:1 --plain --depth 15", "8, 16, 24 or 32"),
            ("h:1 --plain --display 1280x0", "1280x720"),
            ("h:1 --plain --profile toaster", "--profile toaster: desktop"),
            ("h:1 --plain --key ctrl-nothing", "nothing"),
            ("h:1 --plain --type é", "US keyboard"),
            ("h:1 --plain --click 3", "640,400"),
            ("h:1 --plain --seconds -1", "seconds"),
            ("h:1 --plain --seconds nan", "seconds"),
            ("h:1 --plain --attention hidden --seconds 1 --key a", "leave the input out"),
            ("h:1 --plain --attention hidden --png f", "--seconds N"),
            ("h:1 --plain --attention none", "in-view, aside or hidden"),
            ("h:1 --plain --hide soon", "--hide soon"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(part), "`{line}` gives: {error}");
        }
    }

    #[test]
    fn every_option_stands_in_the_help_text() {
        let source = include_str!("options.rs");
        for arm in source.lines().filter(|line| line.trim_start().starts_with('"') && line.contains("=>")) {
            for name in arm.split("=>").next().unwrap_or_default().split('|') {
                let name = name.trim().trim_matches('"');
                let stands = crate::cli::help::HELP.contains(name);
                assert!(stands, "{name} is not in the help text");
            }
        }
    }
}
