//! Videos that are followed: where each one's whole picture is, also where parts of it rest.

use std::time::Duration;

use crate::geometry::{CellRect, Grid};
use crate::heat::{around, common};
use crate::limits::VIDEOS_MAX;
use crate::time::{Instant, micros};

/// Rest after which a video is over.
const REST: Duration = Duration::from_secs(2);
/// Rest that is a pause; and time for which what goes on after one is taken to be where it was, because its edges are
/// known by how often they change.
const PAUSE: Duration = Duration::from_millis(500);
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
/// Percent of a video's cells, and of each outermost line of them, that go on for as long as it is there: where a window
/// has gone, there is something else.
const ALIVE_PERCENT: usize = 50;

/// What is known of cells, by column and row.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    /// It changes all the time, now too.
    pub(super) busy: &'a dyn Fn(u16, u16) -> bool,
    /// It changed lately.
    pub(super) changed: &'a dyn Fn(u16, u16) -> bool,
    /// It changed just now.
    pub(super) fresh: &'a dyn Fn(u16, u16) -> bool,
    /// It looks like a picture of any kind.
    pub(super) picture: &'a dyn Fn(u16, u16) -> bool,
    /// It looks like a photograph.
    pub(super) photo: &'a dyn Fn(u16, u16) -> bool,
    /// It may be of the picture that a video is part of.
    pub(super) alike: &'a dyn Fn(u16, u16) -> bool,
}

impl Sight<'_> {
    /// Whether a cell goes on as a video does: it changes, or may be its picture at rest.
    fn is_alive(self, x: u16, y: u16) -> bool {
        (self.fresh)(x, y) || (self.photo)(x, y)
    }

    /// Whether a video is still there: most of it goes on, or all of it has come to rest as a picture.
    fn is_there(self, core: CellRect) -> bool {
        let moves = rows(core).any(|(x, y)| (self.fresh)(x, y));
        is_enough(core, ALIVE_PERCENT, &|x, y| self.is_alive(x, y))
            || !moves && is_enough(core, ALIVE_PERCENT, self.picture)
    }

    /// `cells` without the outermost lines that are no longer the video's.
    fn trim(self, mut cells: CellRect) -> CellRect {
        let is_over = |line: CellRect| !is_enough(line, ALIVE_PERCENT, &|x, y| self.is_alive(x, y));
        if is_over(cells) {
            return cells;
        }
        while is_over(CellRect { width: 1, ..cells }) {
            (cells.x, cells.width) = (cells.x + 1, cells.width - 1);
        }
        while is_over(CellRect { x: cells.x + cells.width - 1, width: 1, ..cells }) {
            cells.width -= 1;
        }
        while is_over(CellRect { height: 1, ..cells }) {
            (cells.y, cells.height) = (cells.y + 1, cells.height - 1);
        }
        while is_over(CellRect { y: cells.y + cells.height - 1, height: 1, ..cells }) {
            cells.height -= 1;
        }
        cells
    }
}

/// A video.
#[derive(Clone, Copy, Debug)]
pub(super) struct Video {
    /// The whole picture.
    pub(super) cells: CellRect,
    pub(super) first: Instant,
    pub(super) last: Instant,
    /// When it moved last, and when it went on after a pause.
    moved: Instant,
    resumed: Option<Instant>,
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
                self.0.push(Video {
                    cells,
                    first: now,
                    last: now,
                    moved: now,
                    resumed: None,
                    core: cells,
                    before: cells,
                    renewed: now,
                });
            }
            None => {}
        }
    }

    /// Lets those go that are over, and finds the boundary of the others.
    pub(super) fn settle(&mut self, grid: Grid, now: Instant, sight: Sight<'_>) {
        self.0.retain(|video| {
            now.saturating_since(video.last) <= REST && sight.is_there(around(video.core, video.before))
        });
        for video in &mut self.0 {
            // What changes beside a video is the video's edge, of which there may be a few pixels in a cell: one more
            // cell on each side, and no further.
            let core = sight.trim(around(video.core, video.before));
            if rows(core).any(|(x, y)| (sight.fresh)(x, y)) {
                if now.saturating_since(video.moved) > PAUSE {
                    video.resumed = Some(now);
                }
                video.moved = now;
            }
            let is_new = |at: Instant| now.saturating_since(at) <= PAUSE;
            if video.resumed.is_some_and(is_new) && common(core, video.cells) == core.cells() {
                continue;
            }
            let core = spread(core, grid, BUSY_PERCENT, sight.busy);
            let core = reach(core, grid, CHANGED_PERCENT, sight.changed);
            video.cells = boundary(core, grid, sight.alike);
        }
    }
}

/// Whether two rectangles have half of the smaller one in common.
fn shares(a: CellRect, b: CellRect) -> bool {
    common(a, b) * 2 >= a.cells().min(b.cells()).max(1)
}

/// The rectangle around `core` that is part of the same picture: each side reaches on for as long as the next line of
/// cells looks like it. `core` itself if that leads too far, or to no edge: what the video stands on looks like it too.
fn boundary(core: CellRect, grid: Grid, alike: &dyn Fn(u16, u16) -> bool) -> CellRect {
    let cells = spread(core, grid, ALIKE_PERCENT, alike);
    let ends = reach(cells, grid, BEYOND_PERCENT, alike) == cells;
    if ends { cells } else { core }
}

/// `core`, and on each side as many lines of cells as `is_part` says so of `percent` of them; `core` itself if that is
/// more than a video's picture can be.
fn spread(core: CellRect, grid: Grid, percent: usize, is_part: &dyn Fn(u16, u16) -> bool) -> CellRect {
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
fn reach(mut cells: CellRect, grid: Grid, percent: usize, is_part: &dyn Fn(u16, u16) -> bool) -> CellRect {
    if cells.x > 0 && is_enough(CellRect { x: cells.x - 1, width: 1, ..cells }, percent, is_part) {
        (cells.x, cells.width) = (cells.x - 1, cells.width + 1);
    }
    let right = cells.x + cells.width;
    if right < grid.columns && is_enough(CellRect { x: right, width: 1, ..cells }, percent, is_part) {
        cells.width += 1;
    }
    if cells.y > 0 && is_enough(CellRect { y: cells.y - 1, height: 1, ..cells }, percent, is_part) {
        (cells.y, cells.height) = (cells.y - 1, cells.height + 1);
    }
    let below = cells.y + cells.height;
    if below < grid.rows && is_enough(CellRect { y: below, height: 1, ..cells }, percent, is_part) {
        cells.height += 1;
    }
    cells
}

/// Whether `is_part` says so of `percent` of `cells`.
fn is_enough(cells: CellRect, percent: usize, is_part: &dyn Fn(u16, u16) -> bool) -> bool {
    rows(cells).filter(|(x, y)| is_part(*x, *y)).count() * 100 >= cells.cells() * percent
}

/// Column and row of each of `cells`, row by row.
fn rows(cells: CellRect) -> impl Iterator<Item = (u16, u16)> {
    let rows = cells.y..cells.y + cells.height;
    rows.flat_map(move |y| (cells.x..cells.x + cells.width).map(move |x| (x, y)))
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

    /// Nothing moves; what `picture` says is of one.
    fn still(picture: &dyn Fn(u16, u16) -> bool) -> Sight<'_> {
        let never: &dyn Fn(u16, u16) -> bool = &|_, _| false;
        Sight { busy: never, changed: never, fresh: never, picture, photo: picture, alike: picture }
    }

    fn cells(videos: &Videos) -> Vec<CellRect> {
        videos.iter().map(|video| video.cells).collect()
    }

    #[test]
    fn a_face_that_speaks_in_a_still_picture_gives_the_whole_picture() {
        let mut videos = Videos::default();
        videos.note(CellRect { x: 15, y: 8, width: 10, height: 8 }, at(0));
        videos.settle(grid(), at(0), still(&in_window));
        assert_eq!(cells(&videos), [WINDOW]);
        videos.note(CellRect { x: 16, y: 9, width: 4, height: 4 }, at(500));
        videos.settle(grid(), at(1_500), still(&in_window));
        let video = videos.iter().next().expect("it goes on");
        assert_eq!((video.cells, video.age_ms()), (WINDOW, 500));
        videos.settle(grid(), at(2_501), still(&in_window));
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
        let everywhere = Sight { alike: &|_, _| false, ..still(&|_, _| true) };
        videos.settle(grid(), at(8_000), everywhere);
        assert_eq!(cells(&videos).iter().map(|video| video.x).collect::<Vec<_>>(), [18]);
    }

    #[test]
    fn a_window_that_leaves_writing_behind_is_gone_from_there_at_once() {
        let mut videos = Videos::default();
        videos.note(WINDOW, at(0));
        videos.note(CellRect { x: 14, y: 8, ..WINDOW }, at(100));
        videos.settle(grid(), at(100), still(&|x, y| (14..34).contains(&x) && (8..20).contains(&y)));
        assert_eq!(cells(&videos), [CellRect { x: 14, y: 8, ..WINDOW }]);
        videos.settle(grid(), at(200), still(&|_, _| false));
        assert_eq!(cells(&videos), [], "it has been closed");
    }
}
