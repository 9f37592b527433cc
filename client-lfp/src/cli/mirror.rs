//! The screen in a shared-memory file, for viewers, tests and other servers.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client_lfp::{Client, Picture};
use lfp_proto::geometry::{CellRect, CellSet};
use lfp_proto::shm::{DAMAGE_SLOTS, HEARTBEAT_INTERVAL, MAGIC, Mode, Painter, may_take_over};
use lfp_proto::time::Instant;
use lfp_proto::units::Epoch;

use crate::cli::exit::Failure;
use crate::cli::overlay::Overlay;

/// Time between two updates: changes that come in many datagrams are written once.
const UPDATE_INTERVAL: Duration = Duration::from_millis(4);
/// The same where an overlay is drawn, which changes everywhere as time goes by.
const OVERLAY_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two signs of life; a good deal shorter than what readers are promised.
const BEAT_INTERVAL: Duration = Duration::from_millis(HEARTBEAT_INTERVAL.as_millis() as u64 * 3 / 4);
/// Rectangles of one update; beyond it, each row of cells gives one.
const RECTS_MAX: usize = DAMAGE_SLOTS / 2;

/// Keeps a file up to date with a client's picture.
#[derive(Debug)]
pub(crate) struct Mirror {
    path: PathBuf,
    file: File,
    painter: Painter,
    /// What the file shows.
    shown: Option<Epoch>,
    damage: CellSet,
    update_at: Instant,
    beat_at: Instant,
}

impl Mirror {
    /// Makes the file, or cuts an older mirror to nothing. Any other file stays as it is.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let create = || -> io::Result<(File, Painter)> {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
            let mut start = [0; MAGIC.len()];
            let length = file.metadata()?.len().min(start.len() as u64) as usize;
            let is_file = file.metadata()?.is_file();
            if is_file {
                file.read_exact_at(&mut start[..length], 0)?;
            }
            if !is_file || !may_take_over(&start[..length]) {
                return Err(io::Error::other(
                    "it exists and is no LFP mirror; name another file or remove it",
                ));
            }
            file.set_len(0)?;
            let mut painter = Painter::new();
            painter.create(&mut |offset, bytes: &[u8]| file.write_all_at(bytes, offset))?;
            Ok((file, painter))
        };
        let (file, painter) = create().map_err(|error| Failure::file(path, error))?;
        Ok(Self {
            path: path.into(),
            file,
            painter,
            shown: None,
            damage: CellSet::default(),
            update_at: Instant::ZERO,
            beat_at: Instant::ZERO,
        })
    }

    /// When [`Mirror::update`] is to be called next if nothing comes.
    pub(crate) fn due(&self) -> Instant {
        if self.damage.is_empty() { self.beat_at } else { self.beat_at.min(self.update_at) }
    }

    /// Brings the file up to date, if it is time: with the picture, drawn over if there is an overlay.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        client: &mut Client,
        overlay: Option<&mut Overlay>,
    ) -> Result<(), Failure> {
        client.take_damage(&mut self.damage);
        if now < self.update_at && now < self.beat_at {
            return Ok(());
        }
        let interval = if overlay.is_some() { OVERLAY_INTERVAL } else { UPDATE_INTERVAL };
        let picture = match overlay {
            Some(overlay) => {
                let picture = overlay.draw(client, now);
                if let Some(grid) = picture.map(|picture| picture.size.grid()) {
                    self.damage = CellSet::full(grid);
                }
                picture
            }
            None => client.picture(),
        };
        self.write(now, interval, picture).map_err(|error| Failure::file(&self.path, error))
    }

    fn write(&mut self, now: Instant, interval: Duration, picture: Option<Picture<'_>>) -> io::Result<()> {
        let file = &self.file;
        let write = &mut |offset, bytes: &[u8]| file.write_all_at(bytes, offset);
        let live = picture.filter(|picture| picture.live);
        match live {
            Some(picture) if self.shown != Some(picture.epoch) => {
                self.painter.set_mode(Mode::xrgb(picture.size), write)?;
            }
            Some(_) if !self.damage.is_empty() => self.painter.begin(write)?,
            None if self.shown.is_some() => {
                self.shown = None;
                self.damage.clear();
                self.painter.blank(write)?;
            }
            _ => {
                if now >= self.beat_at {
                    self.beat_at = now + BEAT_INTERVAL;
                    self.painter.beat(write)?;
                }
                return Ok(());
            }
        }
        if let Some(picture) = live {
            if self.damage.grid() == picture.size.grid() {
                for rect in rects(&self.damage, RECTS_MAX) {
                    self.painter.paint_xrgb(picture.size.clip(rect), picture.pixels, write)?;
                }
            }
            self.damage.clear();
            self.shown = Some(picture.epoch);
            self.painter.end(write)?;
        }
        self.update_at = now + interval;
        self.beat_at = now + BEAT_INTERVAL;
        Ok(())
    }

    /// Leaves the file, with its last picture if `keep`.
    pub(crate) fn finish(self, keep: bool) -> Result<(), Failure> {
        let Self { path, file, painter, .. } = self;
        painter
            .finish(keep, &mut |offset, bytes: &[u8]| file.write_all_at(bytes, offset))
            .map_err(|error| Failure::file(path, error))
    }
}

/// Rectangles that hold every cell of `cells`, and hardly more; if more than `most` would be needed, one for
/// each row.
fn rects(cells: &CellSet, most: usize) -> Vec<CellRect> {
    let columns = usize::from(cells.grid().columns.max(1));
    let mut rects: Vec<CellRect> = Vec::new();
    for index in cells.iter() {
        let (x, y) = ((index % columns) as u16, (index / columns) as u16);
        match rects.last_mut() {
            Some(last) if last.y == y && last.x + last.width == x => last.width += 1,
            _ => rects.push(CellRect { x, y, width: 1, height: 1 }),
        }
    }
    let mut merged: Vec<CellRect> = Vec::new();
    for rect in &rects {
        // A rectangle of the row above with the same columns grows down.
        let above = merged
            .iter_mut()
            .rev()
            .find(|above| above.y + above.height == rect.y && (above.x, above.width) == (rect.x, rect.width));
        match above {
            Some(above) => above.height += 1,
            None => merged.push(*rect),
        }
        if merged.len() > most {
            return rows(&rects);
        }
    }
    merged
}

/// For each row of cells, the span from its first to its last rectangle.
fn rows(rects: &[CellRect]) -> Vec<CellRect> {
    let mut rows: Vec<CellRect> = Vec::new();
    for rect in rects {
        match rows.last_mut() {
            Some(row) if row.y == rect.y => row.width = rect.x + rect.width - row.x,
            _ => rows.push(*rect),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use lfp_proto::geometry::Grid;

    use super::*;

    #[test]
    fn no_file_but_a_mirror_is_written_over() {
        let path = std::env::temp_dir().join(format!("client-lfp-mirror-{}", std::process::id()));
        std::fs::write(&path, b"precious").expect("a file");
        assert!(Mirror::create(&path).is_err());
        assert_eq!(std::fs::read(&path).expect("it is there"), b"precious");
        std::fs::remove_file(&path).expect("it is ours");
        Mirror::create(&path).expect("nothing is there");
        Mirror::create(&path).expect("a mirror is there");
        std::fs::remove_file(&path).expect("it is ours");
        assert!(Mirror::create(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn damage_becomes_few_rectangles_that_cover_it() {
        let grid = Grid { columns: 20, rows: 20 };
        let rect = |x, y, width, height| CellRect { x, y, width, height };
        let mut cells = CellSet::new(grid);
        for rect in [rect(2, 3, 5, 4), rect(9, 3, 2, 4), rect(0, 19, 20, 1)] {
            rect.indices(grid).for_each(|index| {
                cells.insert(index);
            });
        }
        assert_eq!(rects(&cells, 8), [rect(2, 3, 5, 4), rect(9, 3, 2, 4), rect(0, 19, 20, 1)]);
        let rough = rects(&cells, 2);
        assert_eq!(rough.len(), 5);
        assert_eq!(rough[0], rect(2, 3, 9, 1));
    }
}
