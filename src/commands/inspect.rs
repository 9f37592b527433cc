//! `lfp-server inspect SOURCE`: what the adapter of a source sees; `--all`: which guests of this host can be sources.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lfp_proto::frame::SurfaceState;
use serde_json::{Value, json};

pub use super::support::EXIT_DARK;
use super::support::{CommandError, open, parse_seconds, print};
use crate::clock;
use crate::geometry::{CellSet, Size};
use crate::hypervisor::discover::{discover, table};
use crate::hypervisor::ivshmem::{self, Served, Survey};
use crate::hypervisor::{Reading, Root, Source, SourceError, SourceSpec, Surface, View};
use crate::limits::SOURCES_MAX;
use crate::pixel::convert_row;
use crate::scan::Mode;

/// Shows what the server sees of a source: its mode, its state, how long a sweep takes, how fast each way to map a
/// device is; or lists the QEMU guests and ivshmem devices of this machine
#[derive(Debug, clap::Args)]
#[command(override_usage = "lfp-server inspect SOURCE [--png FILE] [--json] [--wait SECONDS]\n       \
                            lfp-server inspect --all [--json]")]
pub struct InspectArgs {
    /// Which source: qemu:QMP-SOCKET, trace:FILE[?loop=1], synthetic:NAME[?seed=N&size=WxH&fps=N], shm:FILE,
    /// fbdev:DEVICE, xwd:FILE, ivshmem:PCI-ADDRESS?guest=NAME
    #[arg(required_unless_present = "all")]
    pub source: Option<SourceSpec>,
    /// List the QEMU processes and ivshmem devices of this machine, the sources that they can be served as, and what is
    /// in the way
    #[arg(long, conflicts_with = "source")]
    pub all: bool,
    /// Statistics of the server of this machine, which say whose device it serves; an appliance's are there
    #[arg(long, value_name = "FILE", default_value = "/run/lfp/stats.json", requires = "all")]
    pub stats: PathBuf,
    /// Write the picture to this file
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    pub png: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// How long to wait for a picture, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = parse_seconds)]
    pub wait: Duration,
}

/// Prints what the source shows, or which guests there are. The exit code is [`EXIT_DARK`] if that is nothing.
///
/// # Errors
/// If the source cannot be reached or read, the picture cannot be written, or processes cannot be listed.
pub fn run(args: &InspectArgs) -> Result<ExitCode, CommandError> {
    let Some(spec) = &args.source else { return list(args) };
    let mut source = open(spec)?;
    let mut report = match look(source.as_mut(), spec, args.wait)? {
        Ok(seen) => {
            if let Some(path) = &args.png {
                write_png(path, &seen.surface, &seen.shadow)?;
            }
            Report { state: SurfaceState::Live, text: String::new(), seen: Some(seen), survey: None }
        }
        Err((state, text)) => Report { state, text, seen: None, survey: None },
    };
    report.survey = survey(spec);
    let printed = if args.json { report.json(spec).to_string() } else { report.text(spec) };
    print(&format!("{printed}\n")).map_err(CommandError::Print)?;
    Ok(if report.seen.is_some() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DARK) })
}

fn list(args: &InspectArgs) -> Result<ExitCode, CommandError> {
    let guests = discover()?;
    let devices = ivshmem::devices(&Root::chosen(), &served(&args.stats));
    let printed = if args.json {
        let all = guests.iter().map(|guest| json!(guest)).chain(devices.iter().map(|device| json!(device)));
        format!("{}\n", Value::from_iter(all))
    } else {
        match (guests.is_empty(), devices.is_empty()) {
            (_, true) => table(&guests),
            (true, false) => ivshmem::table(&devices),
            (false, false) => format!("{}\n{}", table(&guests), ivshmem::table(&devices)),
        }
    };
    print(&printed).map_err(CommandError::Print)?;
    let sources = guests.iter().map(|guest| &guest.source).chain(devices.iter().map(|device| &device.source));
    let can_serve = sources.flatten().next().is_some();
    Ok(if can_serve { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DARK) })
}

/// The devices that a server serves whose statistics are in `file`; none if there is no such file.
fn served(file: &Path) -> Vec<Served> {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(STATISTICS_READ_MAX).read_to_string(&mut text));
    let statistics: Value = read.ok().and_then(|_| serde_json::from_str(&text).ok()).unwrap_or_default();
    let served = |service: &Value| {
        let Ok(SourceSpec::Ivshmem(source)) = service["source"].as_str()?.parse() else { return None };
        Some(Served { service: service["service"].as_str()?.to_owned(), source })
    };
    statistics["services"].as_array().into_iter().flatten().filter_map(served).take(SOURCES_MAX).collect()
}

/// Thousands of sessions take less.
const STATISTICS_READ_MAX: u64 = 256 << 20;

struct Report {
    state: SurfaceState,
    text: String,
    seen: Option<Seen>,
    /// Of a device: how fast each way to map it is.
    survey: Option<Survey>,
}

/// What the device of an `ivshmem:` source has, if it is there.
fn survey(spec: &SourceSpec) -> Option<Survey> {
    let SourceSpec::Ivshmem(spec) = spec else { return None };
    ivshmem::survey(&Root::chosen(), spec.address).ok()
}

/// A picture, and how it was got.
struct Seen {
    surface: Surface,
    shadow: Vec<u8>,
    /// The capture of the whole picture, and the fastest of the sweeps behind it, in microseconds.
    first_us: u64,
    again_us: u64,
    /// What the last sweep read.
    reading: Reading,
    /// Captures that were given up because they were torn.
    torn: u32,
}

const SWEEPS: u32 = 5;

/// Waits for a picture and captures it; otherwise what the source said last.
fn look(
    source: &mut dyn Source,
    spec: &SourceSpec,
    wait: Duration,
) -> Result<Result<Seen, (SurfaceState, String)>, CommandError> {
    let deadline = clock::now() + wait;
    loop {
        let now = clock::now();
        match source.view(now) {
            View::Live(surface) => match capture(source, surface) {
                Ok(seen) => return Ok(Ok(seen)),
                // A torn capture is taken again, and the next view says what became of lost memory.
                Err(_) if now < deadline => {}
                Err(error) => return Err(CommandError::Unread { source_spec: spec.clone(), error }),
            },
            View::Dark { state, text } if now >= deadline => return Ok(Err((state, text))),
            View::Dark { .. } => {}
        }
        clock::wait_until((now + RETRY_INTERVAL).min(deadline));
    }
}

const RETRY_INTERVAL: Duration = Duration::from_millis(5);

fn capture(source: &mut dyn Source, surface: Surface) -> Result<Seen, SourceError> {
    let mut shadow = vec![0; surface.shadow_bytes()];
    let mut changed = CellSet::new(surface.size.grid());
    let mut torn = 0;
    let mut reading = Reading::default();
    let mut sweep = |torn: &mut u32| {
        let start = clock::now();
        match source.sweep(&surface, &mut shadow, &mut changed) {
            Ok(taken) => {
                reading = taken;
                Ok(Some(crate::time::micros(clock::now().saturating_since(start))))
            }
            Err(SourceError::Torn { .. }) => {
                *torn += 1;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    };
    let first = sweep(&mut torn)?;
    let mut again = None;
    for _ in 0..SWEEPS {
        again = again.into_iter().chain(sweep(&mut torn)?).min();
    }
    match (first, again) {
        (Some(first_us), Some(again_us)) => Ok(Seen { surface, shadow, first_us, again_us, reading, torn }),
        _ => Err(SourceError::Torn { attempts: torn }),
    }
}

impl Seen {
    /// How a server would scan the source while something happens.
    const fn mode(&self) -> Mode {
        if self.reading.notified { Mode::Notified } else { Mode::Sweep }
    }
}

impl Report {
    fn json(&self, spec: &SourceSpec) -> Value {
        let mut object = json!({
            "source": spec.to_string(), "state": self.state.name(), "text": self.text,
        });
        if let Some(seen) = &self.seen {
            let surface = &seen.surface;
            let fields = [
                ("width", json!(surface.size.width)),
                ("height", json!(surface.size.height)),
                ("pixel_format", json!(surface.format.name())),
                ("stride_bytes", json!(surface.stride_bytes)),
                ("offset_bytes", json!(surface.offset_bytes)),
                ("first_sweep_us", json!(seen.first_us)),
                ("next_sweep_us", json!(seen.again_us)),
                ("mode", json!(seen.mode().name())),
                ("next_sweep_bytes", json!(seen.reading.bytes)),
                ("torn_captures", json!(seen.torn)),
            ];
            for (name, value) in fields {
                object[name] = value;
            }
        }
        if let Some(survey) = &self.survey {
            object["ways"] = survey.json();
        }
        object
    }

    /// What there is to say to people.
    fn text(&self, spec: &SourceSpec) -> String {
        let mut text = self.picture_text(spec);
        for line in self.survey.iter().flat_map(Survey::lines) {
            text.push_str("\n  read    ");
            text.push_str(&line);
        }
        text
    }

    fn picture_text(&self, spec: &SourceSpec) -> String {
        let Some(seen @ Seen { surface, first_us, again_us, torn, .. }) = &self.seen else {
            return format!("{spec}: {}; {}", self.state.name(), self.text);
        };
        let Size { width, height } = surface.size;
        let grid = surface.size.grid();
        format!(
            "{spec}: live\n  size    {width}x{height} pixels, {}x{} cells\n  format  {}, {} bytes a pixel\n  \
             layout  {} bytes a row, first pixel at byte {}\n  sweep   first {first_us} us, next {again_us} us, \
             {torn} torn\n  mode    {}: the next read {} bytes",
            grid.columns,
            grid.rows,
            surface.format.name(),
            surface.format.bytes(),
            surface.stride_bytes,
            surface.offset_bytes,
            seen.mode().name(),
            seen.reading.bytes,
        )
    }
}

/// Writes a captured picture as 8-bit RGB.
fn write_png(path: &Path, surface: &Surface, shadow: &[u8]) -> Result<(), CommandError> {
    let failed = |error: std::io::Error| CommandError::Write { path: path.to_owned(), error };
    let mut pixels = vec![0; usize::from(surface.size.width)];
    let mut rgb = Vec::with_capacity(surface.size.pixels() * 3);
    for row in shadow.chunks_exact(surface.row_bytes()) {
        convert_row(surface.format, row, &mut pixels);
        rgb.extend(pixels.iter().flat_map(|pixel| {
            let [_, red, green, blue] = pixel.to_be_bytes();
            [red, green, blue]
        }));
    }
    let file = std::io::BufWriter::new(File::create(path).map_err(failed)?);
    let (width, height) = (u32::from(surface.size.width), u32::from(surface.size.height));
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&rgb)?;
        writer.finish()
    });
    written.map_err(|error| failed(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(3);

    #[test]
    fn a_picture_is_reported_and_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.png");
        let spec = "synthetic:typing?size=200x100".parse().expect("a source");
        let mut source = open(&spec).expect("opened");
        let seen =
            look(source.as_mut(), &spec, WAIT).expect("looked").map_err(|dark| dark.1).expect("a picture");
        write_png(&path, &seen.surface, &seen.shadow).expect("written");
        let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&path).expect("a file")));
        let mut reader = decoder.read_info().expect("a PNG");
        let mut rgb = vec![0; reader.output_buffer_size().expect("a size")];
        reader.next_frame(&mut rgb).expect("a picture");
        let expected = seen.shadow.chunks_exact(4).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]);
        assert!(rgb.iter().copied().eq(expected));

        let report =
            Report { state: SurfaceState::Live, text: String::new(), seen: Some(seen), survey: None };
        let json = report.json(&spec);
        assert_eq!((json["width"].as_u64(), json["pixel_format"].as_str()), (Some(200), Some("xrgb8888")));
        assert_eq!((json["mode"].as_str(), json["next_sweep_bytes"].as_u64()), (Some("sweep"), Some(80_000)));
        let text = report.text(&spec);
        assert!(text.contains("200x100 pixels, 13x7 cells") && text.contains("read 80000 bytes"), "{text}");
    }

    #[test]
    fn what_is_dark_is_said() {
        let spec = "shm:/nowhere/at/all".parse().expect("a source");
        let mut source = open(&spec).expect("opened");
        let (state, text) =
            look(source.as_mut(), &spec, Duration::from_millis(20)).expect("looked").err().expect("dark");
        assert_eq!((state, text.as_str()), (SurfaceState::Gone, "/nowhere/at/all does not exist"));
    }
}
