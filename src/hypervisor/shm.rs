//! `shm:FILE`: a framebuffer that another process paints, as [`lfp_proto::shm`] lays it out.

use std::path::PathBuf;

use lfp_proto::frame::SurfaceState;
use lfp_proto::shm::{
    Damage, FIELDS_BYTES, HEADER_BYTES, HEARTBEAT_OFFSET, Header, HeaderError, MAGIC, PAINTER_SILENCE,
    SEQUENCE_OFFSET, State, damage_since,
};

use super::lookup::Kept;
use super::mapping::{Mapping, MappingError};
use super::{Reading, Source, SourceError, Surface, View};
use crate::geometry::CellSet;
use crate::limits::{CAPTURE_ATTEMPTS, CELL};
use crate::pixel::PixelFormat;
use crate::time::Instant;

#[cfg(test)]
mod tests;

/// A `shm:` source.
#[derive(Debug)]
pub struct ShmSource(Kept<Open>);

#[derive(Debug)]
struct Open {
    mapping: Mapping,
    /// The newest header that was read whole.
    header: Option<Header>,
    /// Sequence and heartbeat, and when they last moved.
    pulse: (u64, u64),
    heard: Instant,
    /// What the last sweep took, if the next can build on it.
    swept: Option<Swept>,
    /// Rows of cells that were painted since.
    painted: Vec<bool>,
}

/// A capture that is whole.
#[derive(Clone, Copy, Debug)]
struct Swept {
    surface: Surface,
    sequence: u64,
    /// Rectangles that the damage ring had seen.
    damage_count: u64,
}

impl ShmSource {
    /// The source at `path`; nothing is opened before the first view.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(Kept::new(path))
    }
}

impl Source for ShmSource {
    fn view(&mut self, now: Instant) -> View {
        let Self(kept) = self;
        if kept.open().is_some_and(|open| open.mapping.is_outgrown()) {
            kept.reopen();
        }
        kept.look(now, |file| match Mapping::of_file(file) {
            Ok(mapping) => Ok(Open::new(mapping, now)),
            // A painter that is just making it.
            Err(MappingError::Empty) => Err((SurfaceState::Connecting, "has no header yet".to_owned())),
            Err(error) => Err((SurfaceState::Faulty, error.to_string())),
        });
        let Some(open) = kept.open_mut() else { return kept.dark() };
        match open.view(now) {
            Ok(Ok(surface)) => View::Live(surface),
            Ok(Err((state, text))) => kept.dark_as(state, &text),
            Err(error) => kept.gone(&error.to_string()),
        }
    }

    fn restart(&mut self) {
        if let Some(open) = self.0.open_mut() {
            open.swept = None;
        }
    }

    fn release(&mut self) {
        self.0.reopen();
    }

    fn sweep(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        let Self(kept) = self;
        let Some(open) = kept.open_mut() else { return Err(kept.lost(None)) };
        open.capture(surface, shadow, changed).map_err(|error| kept.lost(Some(&error)))?
    }
}

impl Open {
    const fn new(mapping: Mapping, now: Instant) -> Self {
        Self { mapping, header: None, pulse: (0, 0), heard: now, swept: None, painted: Vec::new() }
    }

    /// The surface, or the state and text of a dark view.
    fn view(&mut self, now: Instant) -> Result<Result<Surface, (SurfaceState, String)>, MappingError> {
        let length = self.mapping.length()?;
        if length < HEADER_BYTES as u64 {
            return self.short(length);
        }
        match self.read_header()? {
            Ok(Some(header)) => self.header = Some(header),
            // Being painted just now: what was read before still says the mode, and the sweep finds out.
            Ok(None) => {}
            Err(HeaderError::NotShm) if self.mapping.sequence(0)? == 0 => {
                return Ok(Err((SurfaceState::Connecting, "has no header yet".to_owned())));
            }
            Err(error) => return Ok(Err((SurfaceState::Faulty, error.to_string()))),
        }
        if self.is_silent(now)? {
            let text = format!("has had no sign of life for {} ms; start its painter again", SILENCE_MS);
            return Ok(Err((SurfaceState::Gone, text)));
        }
        let Some(header) = self.header else {
            return Ok(Err((SurfaceState::Connecting, "is being painted for the first time".to_owned())));
        };
        Ok(match header.state {
            State::Empty => {
                Err((SurfaceState::NoFramebuffer, "has no picture: its painter shows none".to_owned()))
            }
            State::Closed => Err((SurfaceState::Gone, "was closed by its painter".to_owned())),
            State::Painting | State::Still => surface_of(&header, length),
        })
    }

    /// What a file is that has no room for a header: one that a painter is making, or another kind of file.
    fn short(&self, length: u64) -> Result<Result<Surface, (SurfaceState, String)>, MappingError> {
        let mut start = [0; MAGIC.len()];
        let start = &mut start[..MAGIC.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
        self.mapping.copy_out(0, start)?;
        let is_ours = MAGIC.starts_with(start) || start.iter().all(|byte| *byte == 0);
        Ok(Err(if is_ours {
            (SurfaceState::Connecting, "has no header yet".to_owned())
        } else {
            (SurfaceState::Faulty, HeaderError::NotShm.to_string())
        }))
    }

    fn is_silent(&mut self, now: Instant) -> Result<bool, MappingError> {
        let pulse = (self.mapping.sequence(SEQUENCE_OFFSET)?, self.mapping.sequence(HEARTBEAT_OFFSET)?);
        if pulse != self.pulse {
            (self.pulse, self.heard) = (pulse, now);
        }
        let is_to_beat = self.header.is_none_or(|header| header.state == State::Painting) || pulse.0 % 2 == 1;
        Ok(is_to_beat && now.saturating_since(self.heard) >= PAINTER_SILENCE)
    }

    /// The header, `None` if it was being painted all the time.
    fn read_header(&self) -> Result<Result<Option<Header>, HeaderError>, MappingError> {
        for _ in 0..CAPTURE_ATTEMPTS {
            let before = self.mapping.sequence(SEQUENCE_OFFSET)?;
            let mut fields = [0; FIELDS_BYTES];
            self.mapping.copy_out(0, &mut fields)?;
            if before % 2 == 0 && self.mapping.sequence(SEQUENCE_OFFSET)? == before {
                return Ok(Header::parse(&fields).map(Some));
            }
            std::hint::spin_loop();
        }
        Ok(Ok(None))
    }

    /// One untorn capture of what was painted since the last; the outer error means that the memory is gone.
    fn capture(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Result<Reading, SourceError>, MappingError> {
        let mut bytes = 0;
        let torn = Ok(Err(SourceError::Torn { attempts: CAPTURE_ATTEMPTS }));
        for _ in 0..CAPTURE_ATTEMPTS {
            let Ok(Some(header)) = self.read_header()? else { return torn };
            if surface_of(&header, self.mapping.length()?).as_ref() != Ok(surface) {
                // The mode has changed since it was viewed; the next view says to what.
                return torn;
            }
            let last = self.swept.filter(|swept| swept.surface == *surface);
            if last.is_some_and(|swept| swept.sequence == header.sequence) {
                return Ok(Ok(Reading { bytes, notified: true }));
            }
            let notified = self.mark_painted(surface, last)?;
            let mut next = 0;
            while let Some(first) = self.painted[next..].iter().position(|painted| *painted) {
                let start = next + first;
                let rows = self.painted[start..].iter().take_while(|painted| **painted).count();
                self.mapping.sweep_rows(surface, start..start + rows, shadow, changed)?;
                let height = usize::from(surface.size.height);
                bytes +=
                    (((start + rows) * SIDE).min(height) - start * SIDE) as u64 * surface.row_bytes() as u64;
                next = start + rows;
            }
            if self.mapping.sequence(SEQUENCE_OFFSET)? == header.sequence {
                let Header { sequence, damage_count, .. } = header;
                self.swept = Some(Swept { surface: *surface, sequence, damage_count });
                return Ok(Ok(Reading { bytes, notified }));
            }
        }
        torn
    }

    /// Fills in which rows of cells were painted since `last`: all of them, if the damage ring does not tell. Says
    /// whether it does.
    fn mark_painted(&mut self, surface: &Surface, last: Option<Swept>) -> Result<bool, MappingError> {
        self.painted.clear();
        self.painted.resize(usize::from(surface.size.grid().rows), last.is_none());
        let Some(last) = last else { return Ok(false) };
        let mut header = [0; HEADER_BYTES];
        self.mapping.copy_out(0, &mut header)?;
        let Some(damage) = damage_since(&header, last.damage_count) else {
            self.painted.fill(true);
            return Ok(false);
        };
        for Damage { rect, .. } in damage {
            let (first, end) = (usize::from(rect.y), usize::from(rect.y) + usize::from(rect.height));
            let rows = first / SIDE..end.div_ceil(SIDE).min(self.painted.len());
            self.painted.get_mut(rows).into_iter().flatten().for_each(|painted| *painted = true);
        }
        Ok(true)
    }
}

const SIDE: usize = CELL as usize;
const SILENCE_MS: u128 = PAINTER_SILENCE.as_millis();

/// The surface that a header with a picture claims, if it lies inside `length` bytes.
fn surface_of(header: &Header, length: u64) -> Result<Surface, (SurfaceState, String)> {
    let faulty = |text: String| (SurfaceState::Faulty, text);
    let format = PixelFormat::from_number(header.format)
        .ok_or_else(|| faulty(format!("has pixels of unknown format {}", header.format)))?;
    let (stride_bytes, offset_bytes) = (header.stride_bytes, header.offset_bytes);
    let surface = Surface { size: header.size, stride_bytes, format, offset_bytes };
    match surface.end_bytes() {
        Some(end) if end <= length => Ok(surface),
        end => Err(faulty(format!(
            "claims {}x{} {} pixels, {stride_bytes} bytes a row, from byte {offset_bytes} to {}, and has {length} bytes",
            header.size.width,
            header.size.height,
            format.name(),
            end.map_or("infinity".to_owned(), |end| end.to_string()),
        ))),
    }
}
