//! How what a client showed compares with what was painted: the picture's quality, and how long each change took.
//!
//! A cell that a frame changes is a *version* of it. A version is shown once the client's pixels of the cell are exactly
//! its; where they are nobody's, lossy, once they resemble it no less than what the client showed before, but for half of
//! what coding blurs: a change that is smaller is shown by either. It is superseded once a newer one is shown. A frame is *updated* when each of its versions is shown or superseded, and *shown* if none
//! was superseded.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use client_lfp::Picture;
use lfp_proto::geometry::{CellRect, CellSet, Size};

/// Quality of a picture without any fault.
pub(crate) const EXACT_DB: f64 = 60.0;

/// One cell's pixels, four bytes each.
type Pixels = Rc<[u8]>;

/// A change that the client does not show yet.
struct Version {
    frame: usize,
    pixels: Pixels,
}

/// What became of a frame that changed something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    painted_us: u64,
    /// Versions that are neither shown nor superseded.
    open: usize,
    superseded: bool,
    /// When `open` became 0.
    updated_us: Option<u64>,
}

impl Frame {
    /// Time from its painting until all of it was shown or superseded, in microseconds.
    pub(crate) fn update_us(&self) -> Option<u64> {
        self.updated_us.map(|at| at.saturating_sub(self.painted_us))
    }

    /// Whether every cell of it has been seen.
    pub(crate) fn is_shown(&self) -> bool {
        self.updated_us.is_some() && !self.superseded
    }
}

/// What a frame replaced.
struct PaintedOver {
    at_us: u64,
    cells: Vec<(usize, Vec<u8>)>,
}

/// Frames of which is known what they replaced: more than are painted in the time after which they are judged.
const PAINTED_OVER_MAX: usize = 16;

/// Source and client side by side, as time goes on.
pub(crate) struct Score {
    size: Size,
    /// What the client was last seen to show of each cell: a version, or before the first the picture at the start.
    shown: Vec<Pixels>,
    waiting: Vec<VecDeque<Version>>,
    /// What the last frames painted over: cells and their pixels before, newest last; at most [`PAINTED_OVER_MAX`].
    painted_over: VecDeque<PaintedOver>,
    /// Squared error of each cell, over red, green and blue.
    errors: Vec<u64>,
    error: u64,
    pub(crate) frames: Vec<Frame>,
    /// The newest frame's picture.
    newest: Vec<u8>,
    cell: Vec<u8>,
}

impl Score {
    /// From the first frame on, which the client shows: a picture of `size`, four bytes a pixel.
    pub(crate) fn new(size: Size, picture: &[u8]) -> Self {
        let cells = size.grid().cells();
        let shown = (0..cells).map(|index| Rc::from(source_cell(picture, size, index))).collect();
        Self {
            size,
            shown,
            waiting: (0..cells).map(|_| VecDeque::new()).collect(),
            painted_over: VecDeque::new(),
            newest: picture.to_vec(),
            errors: vec![0; cells],
            error: 0,
            frames: Vec::new(),
            cell: Vec::new(),
        }
    }

    /// A frame was painted that changed some cells; `picture` is what it made of it all.
    pub(crate) fn on_frame(&mut self, at_us: u64, changed: &CellSet, picture: &[u8], client: Picture<'_>) {
        if changed.is_empty() {
            return;
        }
        let number = self.frames.len();
        let open = changed.len();
        let before = changed.iter().map(|index| (index, source_cell(&self.newest, self.size, index)));
        self.painted_over.push_back(PaintedOver { at_us, cells: before.collect() });
        if self.painted_over.len() > PAINTED_OVER_MAX {
            self.painted_over.pop_front();
        }
        self.newest.copy_from_slice(picture);
        self.frames.push(Frame { painted_us: at_us, open, superseded: false, updated_us: None });
        for index in changed.iter() {
            let pixels: Pixels = Rc::from(source_cell(picture, self.size, index));
            self.waiting[index].push_back(Version { frame: number, pixels });
            // The client may show it already: content that comes back before its absence was sent.
            self.compare(at_us, index, client, true);
        }
    }

    /// The client changed these cells.
    pub(crate) fn on_shown(&mut self, at_us: u64, cells: &CellSet, client: Picture<'_>) {
        for index in cells.iter() {
            self.compare(at_us, index, client, false);
        }
    }

    /// The client's picture beside the newest that was painted, in dB.
    pub(crate) fn psnr_db(&self) -> f64 {
        self.decibels(self.error)
    }

    /// The client's picture in dB, each cell beside that of the pictures since `since_us` which it is most like: what
    /// is left is the fault of the coding, and of cells that are older than that.
    pub(crate) fn psnr_since_db(&self, since_us: u64, client: Picture<'_>) -> f64 {
        let mut least = BTreeMap::new();
        let mut cell = Vec::new();
        // From the newest back, the pixels before each frame that is younger than `since_us`.
        for over in self.painted_over.iter().rev().take_while(|over| over.at_us > since_us) {
            for (index, pixels) in &over.cells {
                client_cell(client, *index, &mut cell);
                let before = difference(&cell, pixels);
                let error = least.entry(*index).or_insert(self.errors[*index]);
                *error = before.min(*error);
            }
        }
        let saved: u64 = least.iter().map(|(index, least)| self.errors[*index] - least).sum();
        self.decibels(self.error - saved)
    }

    fn decibels(&self, error: u64) -> f64 {
        if error == 0 {
            return EXACT_DB;
        }
        let mean = error as f64 / (self.size.pixels() * 3) as f64;
        (10.0 * (255.0 * 255.0 / mean).log10()).min(EXACT_DB)
    }

    /// Whether the client shows the newest picture, pixel for pixel.
    pub(crate) const fn is_exact(&self) -> bool {
        self.error == 0
    }

    fn compare(&mut self, at_us: u64, index: usize, client: Picture<'_>, painted: bool) {
        let mut cell = std::mem::take(&mut self.cell);
        client_cell(client, index, &mut cell);
        let error = difference(&cell, &source_cell(&self.newest, self.size, index));
        self.error = self.error - self.errors[index] + error;
        self.errors[index] = error;
        let waiting = &self.waiting[index];
        let exact = waiting.iter().rposition(|version| version.pixels[..] == cell[..]);
        // A lossy cell was not sent for a version that came after it.
        let best = exact.or_else(|| if painted { None } else { self.resembled(index, &cell) });
        self.cell = cell;
        if let Some(best) = best {
            self.resolve(at_us, index, best);
        }
    }

    /// The version of a cell that `pixels`, which are none's, resemble most, unless that is what was shown before.
    fn resembled(&self, index: usize, pixels: &[u8]) -> Option<usize> {
        if self.shown[index][..] == *pixels {
            return None;
        }
        let before = difference(pixels, &self.shown[index]);
        let versions = self.waiting[index].iter().enumerate();
        let errors = versions.map(|(at, version)| (difference(pixels, &version.pixels), at));
        // Of equals the newest.
        let best = errors.min_by_key(|(error, at)| (*error, usize::MAX - at));
        best.filter(|(error, _)| *error <= before + before / 2).map(|(_, at)| at)
    }

    /// The waiting version at `best` is shown, and those before it are superseded.
    fn resolve(&mut self, at_us: u64, index: usize, best: usize) {
        for (at, version) in self.waiting[index].drain(..=best).enumerate() {
            let frame = &mut self.frames[version.frame];
            frame.superseded |= at < best;
            frame.open -= 1;
            if frame.open == 0 {
                frame.updated_us = Some(at_us);
            }
            self.shown[index] = version.pixels;
        }
    }
}

fn cell_of(size: Size, index: usize) -> CellRect {
    let columns = usize::from(size.grid().columns);
    CellRect { x: (index % columns) as u16, y: (index / columns) as u16, width: 1, height: 1 }
}

/// The bytes of a cell's pixels.
fn source_cell(picture: &[u8], size: Size, index: usize) -> Vec<u8> {
    let area = size.clip(cell_of(size, index));
    let mut bytes = Vec::with_capacity(area.pixels() * 4);
    for y in area.y..area.y + area.height {
        let start = (usize::from(y) * usize::from(size.width) + usize::from(area.x)) * 4;
        bytes.extend_from_slice(&picture[start..start + usize::from(area.width) * 4]);
    }
    bytes
}

fn client_cell(picture: Picture<'_>, index: usize, bytes: &mut Vec<u8>) {
    let area = picture.size.clip(cell_of(picture.size, index));
    bytes.clear();
    for y in area.y..area.y + area.height {
        let start = usize::from(y) * usize::from(picture.size.width) + usize::from(area.x);
        let row = &picture.pixels[start..start + usize::from(area.width)];
        bytes.extend(row.iter().flat_map(|pixel| pixel.to_le_bytes()));
    }
}

/// Sum of squared differences.
fn difference(one: &[u8], other: &[u8]) -> u64 {
    one.iter().zip(other).map(|(one, other)| u64::from(one.abs_diff(*other)).pow(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lfp_proto::depth::Depth;
    use lfp_proto::units::Epoch;

    const SIZE: Size = Size { width: 32, height: 16 };

    fn bytes(colours: [u8; 2]) -> Vec<u8> {
        pixels(colours).iter().flat_map(|pixel| pixel.to_le_bytes()).collect()
    }

    fn pixels(colours: [u8; 2]) -> Vec<u32> {
        let at = |index: usize| u32::from(colours[usize::from(index % 32 >= 16)]);
        (0..SIZE.pixels()).map(at).collect()
    }

    fn picture(pixels: &[u32]) -> Picture<'_> {
        Picture { size: SIZE, pixels, depth: Depth::Bits24, contents: &[1, 1], epoch: Epoch(1), live: true }
    }

    /// Paints frames of two cells at 10, 20, ... ms and has the client show colours at given times.
    fn play(colours: &[[u8; 2]], shows: &[(u64, [u8; 2])]) -> Score {
        let mut score = Score::new(SIZE, &bytes(colours[0]));
        let mut client = pixels(colours[0]);
        let mut shows = shows.iter().peekable();
        for (at, pair) in (1..).zip(colours.windows(2)) {
            while let Some((when, colours)) = shows.next_if(|(when, _)| *when < at * 10_000) {
                client = pixels(*colours);
                score.on_shown(*when, &CellSet::full(SIZE.grid()), picture(&client));
            }
            let mut changed = CellSet::new(SIZE.grid());
            (0..2).filter(|index| pair[0][*index] != pair[1][*index]).for_each(|index| {
                changed.insert(index);
            });
            score.on_frame(at * 10_000, &changed, &bytes(pair[1]), picture(&client));
        }
        for (when, colours) in shows {
            client = pixels(*colours);
            score.on_shown(*when, &CellSet::full(SIZE.grid()), picture(&client));
        }
        score
    }

    fn told(score: &Score) -> Vec<(Option<u64>, bool)> {
        score.frames.iter().map(|frame| (frame.update_us(), frame.is_shown())).collect()
    }

    #[test]
    fn a_frame_is_updated_when_its_last_cell_is() {
        let score = play(&[[0, 0], [9, 9]], &[(12_000, [9, 0]), (15_000, [9, 9])]);
        assert_eq!(told(&score), [(Some(5_000), true)]);
        assert!(score.is_exact() && score.psnr_db() == EXACT_DB);
    }

    #[test]
    fn what_is_overtaken_is_updated_and_not_shown() {
        let score = play(&[[0, 0], [9, 9], [9, 7]], &[(12_000, [9, 0]), (26_000, [9, 7])]);
        assert_eq!(told(&score), [(Some(16_000), false), (Some(6_000), true)]);
    }

    #[test]
    fn content_that_comes_back_is_shown_at_once() {
        let score = play(&[[0, 0], [9, 0], [0, 0]], &[]);
        assert_eq!(told(&score), [(Some(10_000), false), (Some(0), true)]);
    }

    #[test]
    fn lossy_pixels_count_for_what_they_resemble() {
        let shows = [(11_000, [2, 0]), (14_000, [98, 0]), (16_000, [100, 0])];
        let score = play(&[[0, 0], [100, 0]], &shows);
        assert_eq!(told(&score), [(Some(4_000), true)]);
        let score = play(&[[0, 0], [100, 0]], &shows[..2]);
        assert!(!score.is_exact());
        // 16 of 32 columns are 2 off in one channel of three.
        assert!((score.psnr_db() - 10.0 * (255.0_f64 * 255.0 * 6.0 / 4.0).log10()).abs() < 1e-9);
    }

    #[test]
    fn a_picture_of_a_moment_ago_is_told_from_a_wrong_one() {
        let score = play(&[[0, 0], [9, 0], [9, 9], [7, 9]], &[(25_000, [9, 0])]);
        let client = pixels([9, 0]);
        assert!(score.psnr_db() < EXACT_DB);
        assert_eq!(score.psnr_since_db(10_000, picture(&client)), EXACT_DB);
        // Cell by cell: one of the second picture, one of the third.
        let torn = pixels([7, 0]);
        let mut score = play(&[[0, 0], [9, 0], [9, 9], [7, 9]], &[(25_000, [9, 0])]);
        score.on_shown(35_000, &CellSet::full(SIZE.grid()), picture(&torn));
        assert!(score.psnr_db() < EXACT_DB && score.psnr_since_db(10_000, picture(&torn)) == EXACT_DB);
        // It was painted over at 20 ms.
        let score = play(&[[0, 0], [9, 0], [9, 9], [7, 9]], &[(25_000, [9, 0])]);
        assert!(score.psnr_since_db(20_000, picture(&client)) < EXACT_DB);
    }

    #[test]
    fn what_never_came_stays_open() {
        let score = play(&[[0, 0], [9, 0]], &[]);
        assert_eq!(told(&score), [(None, false)]);
        assert!(!score.is_exact());
    }
}
