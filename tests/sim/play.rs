//! What guests show while figures are taken: four small plays, each frame a function of its number alone, and a storm.

use std::time::Duration;

use lfp::geometry::Size;

use crate::guest::Screen;

/// Pixels of every play's screen.
pub(crate) const SIZE: Size = Size { width: 320, height: 256 };

/// A play. The first frame is number 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Play {
    /// A user types: a glyph and a caret, eight times a second.
    Typing,
    /// A page of writing moves up by three pixels in every frame.
    Scroll,
    /// A film of 176 x 144 pixels on a desktop.
    Video,
    /// A window is dragged over writing and a picture.
    Drag,
    /// Noise everywhere, ten times a second: more than any link of the tables carries.
    Storm,
}

impl Play {
    /// Those whose updates are timed.
    pub(crate) const TIMED: [Self; 4] = [Self::Typing, Self::Scroll, Self::Video, Self::Drag];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Typing => "typing",
            Self::Scroll => "scroll",
            Self::Video => "video",
            Self::Drag => "drag",
            Self::Storm => "storm",
        }
    }

    /// Between two frames.
    pub(crate) const fn interval(self) -> Duration {
        match self {
            Self::Typing => Duration::from_micros(125_000),
            Self::Storm => Duration::from_micros(100_000),
            Self::Scroll | Self::Video | Self::Drag => Duration::from_micros(33_333),
        }
    }

    /// How many frames a row of a table takes: enough for a 99th percentile.
    pub(crate) const fn frames(self) -> u32 {
        match self {
            Self::Typing => 400,
            Self::Storm => 300,
            Self::Scroll | Self::Video | Self::Drag => 300,
        }
    }

    /// Paints frame `number` over the one before, or over anything if it is the first.
    pub(crate) fn paint(self, number: u32, screen: &mut Screen) {
        let Size { width, height } = SIZE;
        let at = |x: u16, y: u16| self.pixel(number, u32::from(x), u32::from(y));
        match self {
            _ if number == 0 => screen.draw((0, 0, width, height), at),
            Self::Typing => {
                let (column, row) = typed(number);
                screen.draw((column * GLYPH.0, row * GLYPH.1, GLYPH.0 * 2, GLYPH.1), at);
                let (column, row) = typed(number - 1);
                screen.draw((column * GLYPH.0, row * GLYPH.1, GLYPH.0 * 2, GLYPH.1), at);
            }
            Self::Scroll => screen.draw((PAGE.0, PAGE.1, PAGE.2, PAGE.3), at),
            Self::Video => screen.draw((FILM.0, FILM.1, FILM.2, FILM.3), at),
            Self::Drag => {
                screen.draw((0, 0, width, SPOT.1), at);
                screen.draw((0, SPOT.1, SPOT.0, SPOT.3), at);
            }
            Self::Storm => screen.draw((0, 0, width, height), at),
        }
    }

    /// Between two keys that are pressed while it plays, none of them in its last seconds.
    pub(crate) const fn key_interval(self) -> Duration {
        match self {
            Self::Typing => Duration::from_millis(990),
            Self::Scroll | Self::Video | Self::Drag | Self::Storm => Duration::from_millis(310),
        }
    }

    /// The colour of a pixel in frame `number`.
    fn pixel(self, number: u32, x: u32, y: u32) -> u32 {
        match self {
            Self::Typing => {
                let (column, row) = typed(number);
                let (at_column, at_row) = ((x / u32::from(GLYPH.0)) as u16, (y / u32::from(GLYPH.1)) as u16);
                let is_caret = (at_column, at_row) == (column, row);
                let is_done = (at_row, at_column) < (row, column);
                match (is_caret, is_done) {
                    (true, _) => INK,
                    (false, true) => writing(x, y),
                    (false, false) => PAPER,
                }
            }
            Self::Scroll if within(PAGE, x, y) => writing(x, y + 3 * number),
            Self::Video if within(FILM, x, y) => film(number, x, y),
            Self::Drag => {
                let window = window(number);
                if !within(window, x, y) {
                    return backdrop(x, y);
                }
                let (inner_x, inner_y) = (x - u32::from(window.0), y - u32::from(window.1));
                if inner_y < 14 { 0x0033_5577 } else { writing(inner_x, inner_y) }
            }
            Self::Storm => (hash(number, x, y) >> 8) as u32 & 0x00ff_ffff,
            Self::Scroll | Self::Video => backdrop(x, y),
        }
    }
}

const GLYPH: (u16, u16) = (8, 12);
const PAPER: u32 = 0x00fa_fafa;
const INK: u32 = 0x0010_1010;
const PAGE: Area = (24, 16, 272, 224);
const FILM: Area = (72, 56, 176, 144);
/// A cell in a corner, which answers keys.
const SPOT: Area = (304, 240, 16, 16);

/// Left, top, width, height.
type Area = (u16, u16, u16, u16);

fn within(area: Area, x: u32, y: u32) -> bool {
    let (left, top, width, height) = area;
    (u32::from(left)..u32::from(left + width)).contains(&x)
        && (u32::from(top)..u32::from(top + height)).contains(&y)
}

/// Where glyph `number` goes, by column and row. A full page is written over from the top.
const fn typed(number: u32) -> (u16, u16) {
    let (columns, rows) = ((SIZE.width / GLYPH.0 - 1) as u32, (SIZE.height / GLYPH.1) as u32);
    ((number % columns) as u16, (number / columns % rows) as u16)
}

/// Where the window is in frame `number`: back and forth on a slope.
const fn window(number: u32) -> Area {
    (swing(number * 5, 190), swing(number * 2, 150), 120, 96)
}

/// Paints the answer to key `number`.
pub(crate) fn spot(number: u32, screen: &mut Screen) {
    screen.draw(SPOT, |_, _| 0x0020_4060 + number % 64 * 0x0002_0203);
}

/// Up to `most`, and back to 0.
const fn swing(now: u32, most: u32) -> u16 {
    let at = now % (2 * most);
    (if at < most { at } else { 2 * most - at }) as u16
}

/// A page of writing: glyphs of a small alphabet, with spaces.
fn writing(x: u32, y: u32) -> u32 {
    let (column, row) = (x / u32::from(GLYPH.0), y / u32::from(GLYPH.1));
    let (in_x, in_y) = (x % u32::from(GLYPH.0), y % u32::from(GLYPH.1));
    let letter = hash(1, column, row) % 48;
    let is_space = letter < 8 || column > 18 + (hash(2, row, 0) % 16) as u32;
    if is_space || in_x > 5 || !(2..11).contains(&in_y) || hash(letter as u32 + 3, in_x, in_y / 2) & 1 == 0 {
        return PAPER;
    }
    INK
}

/// What lies behind windows: writing on the left, a soft picture on the right.
fn backdrop(x: u32, y: u32) -> u32 {
    if x < 160 {
        return writing(x, y + 1_000);
    }
    (60 + wave(x * 3 + y)) << 16 | (50 + wave(x + y * 4)) << 8 | (80 + wave(x * 2 + y * 2))
}

/// Waves that wander, and a little grain.
fn film(number: u32, x: u32, y: u32) -> u32 {
    let grain = hash(number, x, y) as u32 % 4;
    let channel = |low: u32, a: u32, b: u32| low + wave(x * a + y * b + number * 5 * (a + b)) + grain;
    channel(60, 7, 3) << 16 | channel(50, 4, 9) << 8 | channel(70, 5, 5)
}

fn wave(at: u32) -> u32 {
    (at / 4 % 256).abs_diff(128)
}

/// Three numbers mixed until nothing of them is left.
fn hash(one: u32, two: u32, three: u32) -> u64 {
    let mut z = u64::from(one) << 42 ^ u64::from(two) << 21 ^ u64::from(three);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
