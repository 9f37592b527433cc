//! `trace:FILE`: plays a recording in real time.

use std::fs::{File, Metadata};
use std::io::BufReader;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use lfp_proto::frame::SurfaceState;

use super::{TraceError, TraceReader};
use crate::geometry::CellSet;
use crate::hypervisor::lookup::Lookup;
use crate::hypervisor::{Reading, Source, SourceError, Span, Surface, View, private};
use crate::limits::TRACE_FRAMES_PER_VIEW;
use crate::pixel::PixelFormat;
use crate::time::Instant;

/// A `trace:` source. It plays while its pixels are read: where the last view was followed by no scan, time has stood
/// still since, and a view that comes later than [`TRACE_FRAMES_PER_VIEW`] frames goes on from there. At its end it holds
/// the last picture or starts over.
#[derive(Debug)]
pub struct TraceSource {
    lookup: Lookup,
    repeat: bool,
    player: Option<Player>,
    dark: View,
    /// Length, change time and inode of a file that turned out to be broken: not tried again until it is another.
    broken: Option<[i64; 4]>,
}

#[derive(Debug)]
struct Player {
    reader: TraceReader<BufReader<File>>,
    surface: Surface,
    /// When the recording would have begun.
    origin: Instant,
    /// When the picture shown was recorded, in microseconds since then.
    shown_us: u64,
    /// When it was viewed last, and whether its pixels were read since.
    viewed: Instant,
    is_read: bool,
}

impl TraceSource {
    /// The recording at `path`; nothing is opened before the first view.
    #[must_use]
    pub fn new(path: PathBuf, repeat: bool) -> Self {
        let lookup = Lookup::new(path);
        let dark = lookup.dark(SurfaceState::Connecting, "has not been looked at yet");
        Self { lookup, repeat, player: None, dark, broken: None }
    }

    fn look(&mut self, now: Instant) {
        if self.player.is_some() || !self.lookup.is_due(now) {
            return;
        }
        let opened = self.lookup.open().and_then(|file| Ok((fingerprint(&file.metadata()?), file)));
        let (fingerprint, file) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.broken = None;
                self.dark = self.lookup.dark_unopened(&error);
                return;
            }
        };
        if self.broken == Some(fingerprint) {
            return;
        }
        self.broken = None;
        match Player::new(file, now) {
            Ok(player) => self.player = Some(player),
            Err(error) => {
                self.broken = Some(fingerprint);
                self.dark = self.lookup.dark(SurfaceState::Faulty, &error.to_string());
            }
        }
    }
}

impl Source for TraceSource {
    fn view(&mut self, now: Instant) -> View {
        self.look(now);
        let Some(player) = &mut self.player else { return self.dark.clone() };
        match player.play(now, self.repeat) {
            Ok(()) => View::Live(player.surface),
            Err(error) => {
                self.player = None;
                self.broken = std::fs::metadata(self.lookup.path()).ok().as_ref().map(fingerprint);
                self.dark = self.lookup.dark(SurfaceState::Faulty, &error.to_string());
                self.dark.clone()
            }
        }
    }

    fn sweep(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        match &mut self.player {
            Some(player) if player.surface == *surface => {
                player.is_read = true;
                Ok(private::sweep(surface, player.reader.picture(), shadow, changed))
            }
            _ => Err(SourceError::Lost("no view was live".to_owned())),
        }
    }

    fn probe(
        &mut self,
        surface: &Surface,
        spans: &[Span],
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        match &mut self.player {
            Some(player) if player.surface == *surface => {
                player.is_read = true;
                Ok(private::probe(surface, spans, player.reader.picture(), shadow, changed))
            }
            _ => Err(SourceError::Lost("no view was live".to_owned())),
        }
    }
}

impl Player {
    fn new(file: File, now: Instant) -> Result<Self, TraceError> {
        let mut reader = TraceReader::new(BufReader::with_capacity(256 * 1024, file))?;
        let shown_us = reader.next_at_us().unwrap_or(0);
        let origin = now - Duration::from_micros(shown_us);
        reader.advance()?;
        let size = reader.size();
        let stride_bytes = u32::from(size.width) * 4;
        let surface = Surface { size, stride_bytes, format: PixelFormat::Xrgb8888, offset_bytes: 0 };
        Ok(Self { reader, surface, origin, shown_us, viewed: now, is_read: true })
    }

    fn play(&mut self, now: Instant, repeat: bool) -> Result<(), TraceError> {
        let passed = now.saturating_since(std::mem::replace(&mut self.viewed, now));
        if !std::mem::replace(&mut self.is_read, false) {
            self.origin = self.origin + passed;
        }
        for _ in 0..TRACE_FRAMES_PER_VIEW {
            match self.reader.next_at_us() {
                Some(at) if self.due(at) <= now => {
                    self.reader.advance()?;
                    self.shown_us = at;
                }
                None if repeat && self.has_ended(now) => {
                    self.reader.rewind()?;
                    self.origin = now - Duration::from_micros(self.reader.next_at_us().unwrap_or(0));
                }
                _ => return Ok(()),
            }
        }
        // More was missed than one view makes up for: go on from here.
        if let Some(at) = self.reader.next_at_us().filter(|&at| self.due(at) < now) {
            self.origin = now - Duration::from_micros(at);
        }
        Ok(())
    }

    /// Whether the last picture has been shown for as long as the others.
    fn has_ended(&self, now: Instant) -> bool {
        let frame_us = 1_000_000 / u64::from(self.reader.header().fps.max(1));
        self.due(self.shown_us.saturating_add(frame_us)) <= now
    }

    fn due(&self, at_us: u64) -> Instant {
        self.origin + Duration::from_micros(at_us)
    }
}

fn fingerprint(metadata: &Metadata) -> [i64; 4] {
    [metadata.size() as i64, metadata.mtime(), metadata.mtime_nsec(), metadata.ino() as i64]
}

#[cfg(test)]
impl TraceSource {
    /// Frames played so far.
    pub(super) fn frames_played(&self) -> Option<u64> {
        self.player.as_ref().map(|player| player.reader.frame())
    }
}
