//! The one syntax in which sources are named, on command lines and in configurations.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::geometry::Size;
use crate::hypervisor::ivshmem::{self, Guide, IvshmemSpec};
use crate::hypervisor::synthetic::Painting;
use crate::limits::{SCAN_RATE_MAX_HZ, SURFACE_PIXELS_MAX, SURFACE_SIDE_MAX};

/// Names a source and how it is reached.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SourceSpec {
    /// `qemu:SOCKET`: the VRAM of the QEMU whose QMP socket this is.
    Qemu(PathBuf),
    /// `trace:FILE[?loop=1]`: a recorded desktop, played in real time.
    Trace {
        /// The recording.
        path: PathBuf,
        /// Starts over at its end, instead of holding the last picture.
        repeat: bool,
    },
    /// `synthetic:NAME[?seed=N&size=WxH&fps=N]`: a painter of ours.
    Synthetic(SyntheticSpec),
    /// `shm:FILE`: a file that another process paints, see [`lfp_proto::shm`].
    Shm(PathBuf),
    /// `fbdev:DEVICE`: a framebuffer device of this machine.
    Fbdev(PathBuf),
    /// `xwd:FILE`: the framebuffer file of `Xvfb -fbdir`.
    Xwd(PathBuf),
    /// `ivshmem:PCI-ADDRESS?guest=NAME|port=PATH|mode=...`: memory that another VM shares with this one.
    Ivshmem(IvshmemSpec),
}

impl SourceSpec {
    /// Whether keys and buttons can be given to what it shows.
    #[must_use]
    pub const fn takes_input(&self) -> bool {
        match self {
            Self::Qemu(_) => true,
            Self::Ivshmem(spec) => !matches!(spec.guide, Guide::Fixed(_)),
            _ => false,
        }
    }
}

/// What a `synthetic:` source paints.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SyntheticSpec {
    /// Which painter.
    pub painting: Painting,
    /// Decides all that is left to chance; the same seed paints the same.
    pub seed: u64,
    /// Width and height in pixels.
    pub size: Size,
    /// Frames per second, 1 to [`SCAN_RATE_MAX_HZ`].
    pub fps: u32,
}

impl SyntheticSpec {
    /// This painting at its defaults: seed 1, 1280x800, 30 frames a second.
    #[must_use]
    pub const fn new(painting: Painting) -> Self {
        Self { painting, seed: 1, size: Size { width: 1280, height: 800 }, fps: 30 }
    }
}

/// Why a text names no source. Every message ends in what would.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpecError {
    /// There is no `kind:` that we know.
    #[error("`{0}` names no source; the forms are {FORMS}")]
    Kind(String),
    /// There is nothing behind the colon.
    #[error("`{0}` says no {1}; the forms are {FORMS}")]
    Empty(String, &'static str),
    /// There is no such painter.
    #[error("there is no synthetic source `{0}`; there are {names}", names = Painting::NAMES.join(", "))]
    Painting(String),
    /// An option that the kind of source does not have.
    #[error("a {kind} source has no option `{option}`; it has {known}")]
    Option {
        /// The kind.
        kind: &'static str,
        /// What was asked for.
        option: String,
        /// What there is.
        known: &'static str,
    },
    /// An option with a value that it cannot have.
    #[error("option `{option}` cannot be `{value}`; it is {allowed}")]
    Value {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
}

/// Every form, for messages and help.
pub const FORMS: &str = "qemu:QMP-SOCKET, trace:FILE[?loop=1], synthetic:NAME[?seed=N&size=WxH&fps=N], \
                         shm:FILE, fbdev:DEVICE, xwd:FILE, \
                         ivshmem:PCI-ADDRESS?guest=NAME|port=PATH|mode=WxH:FORMAT[:STRIDE[:OFFSET]]";

impl FromStr for SourceSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (kind, rest) = text.split_once(':').ok_or_else(|| SpecError::Kind(text.to_owned()))?;
        let path = |what| {
            if rest.is_empty() {
                Err(SpecError::Empty(text.to_owned(), what))
            } else {
                Ok(PathBuf::from(rest))
            }
        };
        match kind {
            "qemu" => path("QMP socket").map(Self::Qemu),
            "shm" => path("file").map(Self::Shm),
            "fbdev" => path("device").map(Self::Fbdev),
            "xwd" => path("file").map(Self::Xwd),
            "trace" => parse_trace(text, rest),
            "synthetic" => parse_synthetic(text, rest).map(Self::Synthetic),
            "ivshmem" => ivshmem::parse(text, rest).map(Self::Ivshmem),
            _ => Err(SpecError::Kind(text.to_owned())),
        }
    }
}

fn parse_trace(text: &str, rest: &str) -> Result<SourceSpec, SpecError> {
    let (file, options) = split_options(rest);
    if file.is_empty() {
        return Err(SpecError::Empty(text.to_owned(), "file"));
    }
    let mut repeat = false;
    for (option, value) in options {
        match (option, value) {
            ("loop", "0") => repeat = false,
            ("loop", "1") => repeat = true,
            ("loop", _) => return Err(value_error("loop", value, "0 or 1")),
            _ => return Err(SpecError::Option { kind: "trace", option: option.to_owned(), known: "loop" }),
        }
    }
    Ok(SourceSpec::Trace { path: PathBuf::from(file), repeat })
}

fn parse_synthetic(text: &str, rest: &str) -> Result<SyntheticSpec, SpecError> {
    let (name, options) = split_options(rest);
    if name.is_empty() {
        return Err(SpecError::Empty(text.to_owned(), "painter"));
    }
    let painting = Painting::from_name(name).ok_or_else(|| SpecError::Painting(name.to_owned()))?;
    let mut spec = SyntheticSpec::new(painting);
    for (option, value) in options {
        match option {
            "seed" => {
                spec.seed = value.parse().map_err(|_| value_error("seed", value, "a whole number"))?;
            }
            "size" => {
                let size = parse_size(value);
                spec.size = size.ok_or_else(|| value_error("size", value, SIZE_ALLOWED))?;
            }
            "fps" => {
                spec.fps = value
                    .parse()
                    .ok()
                    .filter(|fps| (1..=SCAN_RATE_MAX_HZ).contains(fps))
                    .ok_or_else(|| value_error("fps", value, FPS_ALLOWED))?;
            }
            _ => {
                let known = "seed, size, fps";
                return Err(SpecError::Option { kind: "synthetic", option: option.to_owned(), known });
            }
        }
    }
    Ok(spec)
}

const SIZE_ALLOWED: &str = "WIDTHxHEIGHT in pixels, each 1 to 16384, together at most 37748736";
const FPS_ALLOWED: &str = "1 to 240 frames a second";
const _: () =
    assert!(SCAN_RATE_MAX_HZ == 240 && SURFACE_SIDE_MAX == 16_384 && SURFACE_PIXELS_MAX == 37_748_736);

pub(super) fn parse_size(text: &str) -> Option<Size> {
    let (width, height) = text.split_once('x')?;
    Size::new(width.parse().ok()?, height.parse().ok()?)
}

pub(super) fn value_error(option: &'static str, value: &str, allowed: &'static str) -> SpecError {
    SpecError::Value { option, value: value.to_owned(), allowed }
}

/// What stands before the last `?`, and the `key=value` pairs behind it.
pub(super) fn split_options(text: &str) -> (&str, impl Iterator<Item = (&str, &str)>) {
    let (head, options) = text.rsplit_once('?').unwrap_or((text, ""));
    let pairs = options.split('&').filter(|pair| !pair.is_empty());
    (head, pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))))
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Qemu(path) => write!(f, "qemu:{}", path.display()),
            Self::Trace { path, repeat } => {
                let path = path.display().to_string();
                // A name with a question mark in it needs another behind it.
                let options = match repeat {
                    true => "?loop=1",
                    false if path.contains('?') => "?loop=0",
                    false => "",
                };
                write!(f, "trace:{path}{options}")
            }
            Self::Synthetic(spec) => {
                let Size { width, height } = spec.size;
                write!(
                    f,
                    "synthetic:{}?seed={}&size={width}x{height}&fps={}",
                    spec.painting.name(),
                    spec.seed,
                    spec.fps
                )
            }
            Self::Shm(path) => write!(f, "shm:{}", path.display()),
            Self::Fbdev(path) => write!(f, "fbdev:{}", path.display()),
            Self::Xwd(path) => write!(f, "xwd:{}", path.display()),
            Self::Ivshmem(spec) => spec.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SourceSpec, SpecError> {
        text.parse()
    }

    #[test]
    fn every_form_comes_back_as_it_was() {
        for text in [
            "qemu:/run/vm1.qmp",
            "trace:a b.lfptrace",
            "trace:/t/x.lfptrace?loop=1",
            "trace:what now?.lfptrace?loop=0",
            "synthetic:typing?seed=7&size=640x480&fps=60",
            "shm:/dev/shm/a:b",
            "fbdev:/dev/fb0",
            "xwd:/tmp/Xvfb_screen0",
            "ivshmem:0000:00:07.0?guest=web-1",
            "ivshmem:0000:00:07.0?port=/dev/vport1p2",
            "ivshmem:0000:00:07.0?guest=web&port=/run/a=b.sock",
            "ivshmem:0000:00:07.0?mode=640x480:rgb565:1300:4096",
        ] {
            assert_eq!(parse(text).map(|spec| spec.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn defaults_are_filled_in() {
        let spec = parse("synthetic:mixed").expect("a source");
        assert_eq!(spec.to_string(), "synthetic:mixed?seed=1&size=1280x800&fps=30");
        let spec = parse("ivshmem:07:00.0?mode=640x480:rgb888").expect("a source");
        assert_eq!(spec.to_string(), "ivshmem:0000:07:00.0?mode=640x480:rgb888:1920:0");
        for name in Painting::NAMES {
            assert!(parse(&format!("synthetic:{name}")).is_ok(), "{name}");
        }
    }

    #[test]
    fn errors_say_what_would_be_right() {
        for (text, part) in [
            ("", "the forms are qemu:QMP-SOCKET"),
            ("vnc:host", "`vnc:host` names no source"),
            ("/dev/fb0", "fbdev:DEVICE"),
            ("qemu:", "says no QMP socket"),
            ("trace:?loop=1", "says no file"),
            ("trace:x?lop=1", "no option `lop`; it has loop"),
            ("trace:x?loop=yes", "cannot be `yes`; it is 0 or 1"),
            ("synthetic:", "says no painter"),
            ("synthetic:rain", "there are typing, "),
            ("synthetic:idle?size=0x5", "cannot be `0x5`; it is WIDTHxHEIGHT"),
            ("synthetic:idle?size=16384x16384", "together at most 37748736"),
            ("synthetic:idle?fps=0", "it is 1 to 240"),
            ("synthetic:idle?seed", "cannot be ``"),
            ("ivshmem:", "says no PCI address"),
            ("ivshmem:0000:00:07.0", "says no guest, port or mode"),
            ("ivshmem:/dev/mem?guest=a", "a PCI address such as 0000:00:07.0"),
            ("ivshmem:00:07.0?guest=../a", "it is a guest's name"),
            ("ivshmem:00:07.0?port=", "the path of a virtio port"),
            ("ivshmem:00:07.0?mode=640x480", "it is WIDTHxHEIGHT:FORMAT"),
            ("ivshmem:00:07.0?mode=640x480:rgb565:1279", "such as 1280x800:xrgb8888"),
            ("ivshmem:00:07.0?guest=a&mode=640x480:rgb565", "for memory that no port says the mode of"),
            ("ivshmem:00:07.0?vm=a", "it has guest, port, mode"),
        ] {
            let message = parse(text).expect_err(text).to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
