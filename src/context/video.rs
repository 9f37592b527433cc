//! Videos that are followed: where each one's whole picture is, also where parts of it rest.

use std::time::Duration;

use crate::geometry::{CellRect, Grid};
use crate::heat::{around, common};
use crate::limits::VIDEOS_MAX;
use crate::time::{Instant, micros};

/// Rest after which a video is over.
const REST: Duration = Duration::from_secs(2);
/// What moved in this time and the one before it is the core: long enough for a face that speaks now and then, short
/// enough to follow a window that is moved.
const CORE: Duration = Duration::from_secs(2);
/// The whole picture is at most so many times its core: a photograph beyond that is what the video stands on.
const GROWTH_MAX: usize = 4;
/// Of the next line of cells along a side, percent that must change all the time for the picture to reach there, that
/// must have changed lately, and that must look as if they belonged to it if they rest.
const BUSY_PERCENT: usize = 60;
const CHANGED_PERCENT: usize = 25;
const ALIKE_PERCENT: usize = 80;
/// Percent of the line beyond that may still look so: where a picture ends, it ends at once.
const BEYOND_PERCENT: usize = 25;

/// A video.
#[derive(Clone, Copy, Debug)]
pub(super) struct Video {
    /// The whole picture.
    pub(super) cells: CellRect,
    pub(super) first: Instant,
    pub(super) last: Instant,
    /// What moved since `renewed`, and in the time before that.
    core: CellRect,
    before: CellRect,
    renewed: Instant,
}

impl Video {
    /// How long it has been playing, in milliseconds.
    pub(super) fn age_ms(&self) -> u32 {
        u32::try_from(micros(self.last.saturating_since(self.first)) / 1_000).unwrap_or(u32::MAX)
    }
}

/// The videos of one source.
#[derive(Debug)]
pub(super) struct Videos(Vec<Video>);

impl Default for Videos {
    fn default() -> Self {
        Self(Vec::with_capacity(VIDEOS_MAX))
    }
}

impl Videos {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Video> {
        self.0.iter()
    }

    /// Notes that `cells` move like a video.
    pub(super) fn note(&mut self, cells: CellRect, now: Instant) {
        let known = self.0.iter().position(|video| shares(video.cells, cells));
        match known {
            Some(place) => {
                let video = &mut self.0[place];
                if now.saturating_since(video.renewed) > CORE {
                    (video.before, video.core, video.renewed) = (video.core, cells, now);
                }
                video.core = around(video.core, cells);
                video.last = now;
            }
            None if self.0.len() < VIDEOS_MAX => {
                self.0.push(Video { cells, first: now, last: now, core: cells, before: cells, renewed: now });
            }
            None => {}
        }
    }

    /// Lets those go that are over, and finds the boundary of the others: `busy` says of a column and a row whether that
    /// cell changes all the time, `changed` whether it changed lately, `alike` whether it may be of a picture.
    pub(super) fn settle(
        &mut self,
        grid: Grid,
        now: Instant,
        busy: impl Fn(u16, u16) -> bool,
        changed: impl Fn(u16, u16) -> bool,
        alike: impl Fn(u16, u16) -> bool,
    ) {
        self.0.retain(|video| now.saturating_since(video.last) <= REST);
        for video in &mut self.0 {
            // What changes beside a video is the video's edge, of which there may be a few pixels in a cell: one more
            // cell on each side, and no further.
            let core = spread(around(video.core, video.before), grid, BUSY_PERCENT, &busy);
            let core = reach(core, grid, CHANGED_PERCENT, &changed);
            video.cells = boundary(core, grid, &alike);
        }
    }
}

/// Whether two rectangles have half of the smaller one in common.
fn shares(a: CellRect, b: CellRect) -> bool {
    common(a, b) * 2 >= a.cells().min(b.cells()).max(1)
}

/// The rectangle around `core` that is part of the same picture: each side reaches on for as long as the next line of
/// cells looks like it. `core` itself if that leads too far, or to no edge: what the video stands on looks like it too.
fn boundary(core: CellRect, grid: Grid, alike: &impl Fn(u16, u16) -> bool) -> CellRect {
    let cells = spread(core, grid, ALIKE_PERCENT, alike);
    let ends = reach(cells, grid, BEYOND_PERCENT, alike) == cells;
    if ends { cells } else { core }
}

/// `core`, and on each side as many lines of cells as `is_part` says so of `percent` of them; `core` itself if that is
/// more than a video's picture can be.
fn spread(core: CellRect, grid: Grid, percent: usize, is_part: &impl Fn(u16, u16) -> bool) -> CellRect {
    let mut cells = core;
    loop {
        let further = reach(cells, grid, percent, is_part);
        if further == cells {
            return cells;
        }
        cells = further;
        if cells.cells() > GROWTH_MAX * core.cells() {
            return core;
        }
    }
}

/// `cells`, and on each side the next line of cells if `is_part` says so of `percent` of them.
fn reach(mut cells: CellRect, grid: Grid, percent: usize, is_part: &impl Fn(u16, u16) -> bool) -> CellRect {
    let enough = |parts: usize, all: u16| parts * 100 >= usize::from(all) * percent;
    let column = |cells: CellRect, x: u16| {
        enough((cells.y..cells.y + cells.height).filter(|y| is_part(x, *y)).count(), cells.height)
    };
    let row = |cells: CellRect, y: u16| {
        enough((cells.x..cells.x + cells.width).filter(|x| is_part(*x, y)).count(), cells.width)
    };
    if cells.x > 0 && column(cells, cells.x - 1) {
        (cells.x, cells.width) = (cells.x - 1, cells.width + 1);
    }
    if cells.x + cells.width < grid.columns && column(cells, cells.x + cells.width) {
        cells.width += 1;
    }
    if cells.y > 0 && row(cells, cells.y - 1) {
        (cells.y, cells.height) = (cells.y - 1, cells.height + 1);
    }
    if cells.y + cells.height < grid.rows && row(cells, cells.y + cells.height) {
        cells.height += 1;
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    const WINDOW: CellRect = CellRect { x: 10, y: 6, width: 20, height: 12 };

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    fn grid() -> Grid {
        Size { width: 1280, height: 720 }.grid()
    }

    fn in_window(x: u16, y: u16) -> bool {
        (10..30).contains(&x) && (6..18).contains(&y)
    }

    #[test]
    fn a_face_that_speaks_in_a_still_picture_gives_the_whole_picture() {
        let mut videos = Videos::default();
        videos.note(CellRect { x: 15, y: 8, width: 10, height: 8 }, at(0));
        videos.settle(grid(), at(0), |_, _| false, |_, _| false, in_window);
        assert_eq!(videos.iter().map(|video| video.cells).collect::<Vec<_>>(), [WINDOW]);
        videos.note(CellRect { x: 16, y: 9, width: 4, height: 4 }, at(500));
        videos.settle(grid(), at(1_500), |_, _| false, |_, _| false, in_window);
        let video = videos.iter().next().expect("it goes on");
        assert_eq!((video.cells, video.age_ms()), (WINDOW, 500));
        videos.settle(grid(), at(2_501), |_, _| false, |_, _| false, in_window);
        assert_eq!(videos.iter().count(), 0);
    }

    #[test]
    fn a_photograph_under_the_window_is_not_the_video() {
        let core = CellRect { x: 15, y: 8, width: 10, height: 8 };
        assert_eq!(boundary(core, grid(), &|_, _| true), core);
    }

    #[test]
    fn a_window_that_moved_leaves_its_old_place() {
        let mut videos = Videos::default();
        for step in 0..80_u16 {
            let x = 10 + step.min(8);
            videos.note(CellRect { x, ..WINDOW }, at(u64::from(step) * 100));
        }
        videos.settle(grid(), at(8_000), |_, _| false, |_, _| false, |_, _| false);
        assert_eq!(videos.iter().map(|video| video.cells.x).collect::<Vec<_>>(), [18]);
    }
}
