//! What the painters paint. Every picture is a function of the specification and the frame number alone.

use super::Painting;
use super::canvas::{Area, Canvas, blend};
use super::font::{ADVANCE, LINE};
use super::noise::{TEXTURE_SIDE, hash, line_of_words, texture};
use crate::hypervisor::SyntheticSpec;

const PAPER: u32 = 0xfa_fa_f5;
const INK: u32 = 0x20_22_28;
const TERMINAL: u32 = 0x10_14_18;
const PHOSPHOR: u32 = 0xb8_e0_b0;
const PROMPT: u32 = 0x6a_c8_ff;
const TITLE_HEIGHT: i32 = 18;
const BAR_HEIGHT: i32 = 24;
const MARGIN: i32 = 4;

const FRAMES: u64 = 1 << 40;

/// A painter at work.
#[derive(Debug)]
pub struct Scene {
    spec: SyntheticSpec,
    /// What never changes: drawn once.
    still: Canvas,
    canvas: Canvas,
    texture: Vec<u32>,
    frame: Option<u64>,
}

/// Where a painting's parts stand.
#[derive(Clone, Copy, Debug)]
struct Layout {
    terminal: Option<Area>,
    document: Option<Area>,
    video: Option<Area>,
    /// Size of the window that is dragged about.
    dragged: Option<(i32, i32)>,
}

impl Layout {
    fn new(painting: Painting, desk: Area) -> Self {
        let part = |x: i32, y: i32, width: i32, height: i32| {
            let of = |side: i32, percent: i32| side * percent / 100;
            Area::new(
                desk.x + of(desk.width, x),
                desk.y + of(desk.height, y),
                of(desk.width, width),
                of(desk.height, height),
            )
        };
        let none = Self { terminal: None, document: None, video: None, dragged: None };
        let window = (desk.width * 40 / 100, desk.height * 45 / 100);
        match painting {
            Painting::Typing => Self { terminal: Some(part(8, 8, 80, 84)), ..none },
            Painting::Scroll => Self { document: Some(part(10, 4, 80, 92)), ..none },
            Painting::WindowDrag => {
                Self { document: Some(part(4, 6, 50, 80)), dragged: Some(window), ..none }
            }
            Painting::Video => Self { video: Some(part(20, 15, 60, 66)), ..none },
            Painting::Storm => none,
            Painting::Idle => Self { terminal: Some(part(6, 10, 60, 60)), ..none },
            Painting::Mixed => Self {
                terminal: Some(part(2, 4, 46, 50)),
                document: Some(part(52, 4, 46, 50)),
                video: Some(part(30, 56, 40, 42)),
                dragged: Some((window.0 / 2, window.1 / 2)),
            },
        }
    }
}

impl Scene {
    /// A painter that has painted nothing yet.
    #[must_use]
    pub fn new(spec: SyntheticSpec) -> Self {
        let layout = Layout::new(spec.painting, desk(&Canvas::new(spec.size)));
        let mut scene = Self {
            spec,
            still: Canvas::new(spec.size),
            canvas: Canvas::new(spec.size),
            texture: if layout.video.or(layout.document).is_some() { texture(spec.seed) } else { Vec::new() },
            frame: None,
        };
        scene.draw_still(&layout);
        scene
    }

    /// The picture of frame `frame`: `0x00RRGGBB`, rows without padding. After 2^40 frames it starts over.
    pub fn paint(&mut self, frame: u64) -> &[u32] {
        let frame = frame % FRAMES;
        if self.frame != Some(frame) {
            self.frame = Some(frame);
            let Self { spec, still, canvas, texture, .. } = self;
            canvas.copy_from(still);
            let millis = frame * 1000 / u64::from(spec.fps);
            draw_moving(canvas, *spec, texture, frame, millis);
        }
        self.canvas.pixels()
    }

    fn draw_still(&mut self, layout: &Layout) {
        let (canvas, seed) = (&mut self.still, self.spec.seed);
        let area = canvas.area();
        let from = (hash(seed, 0, 0) & 0x3f_3f_3f) as u32 + 0x10_18_28;
        let to = (hash(seed, 0, 1) & 0x3f_3f_3f) as u32 + 0x40_58_70;
        canvas.paint(area, |x, y| blend(from, to, x + 2 * y, area.width + 2 * area.height));
        canvas.fill(Area::new(0, area.height - BAR_HEIGHT, area.width, BAR_HEIGHT), 0x1c_20_26);
        canvas.text(8, area.height - BAR_HEIGHT + 8, 1, 0xd0_d4_da, "LFP  files  terminal  web");
        if let Some(terminal) = layout.terminal {
            draw_window(canvas, terminal, "terminal", TERMINAL);
        }
        if let Some(document) = layout.document {
            draw_window(canvas, document, "a long page", PAPER);
        }
        if let Some(video) = layout.video {
            draw_window(canvas, video, "moving picture", 0);
        }
    }
}

/// The screen without the bar at its foot.
fn desk(canvas: &Canvas) -> Area {
    let area = canvas.area();
    Area::new(0, 0, area.width, (area.height - BAR_HEIGHT).max(0))
}

fn draw_moving(canvas: &mut Canvas, spec: SyntheticSpec, texture: &[u32], frame: u64, millis: u64) {
    if spec.painting == Painting::Storm {
        let area = canvas.area();
        canvas.paint(area, |x, y| (hash(spec.seed ^ frame << 20, x as u64, y as u64) & 0xff_ffff) as u32);
        return;
    }
    let desk = desk(canvas);
    let layout = Layout::new(spec.painting, desk);
    draw_clock(canvas, millis);
    if let Some(terminal) = layout.terminal {
        let typing_for = if spec.painting == Painting::Idle { 0 } else { millis };
        let typed_for = TYPED_BEFORE_MS + typing_for;
        draw_terminal(canvas, body(terminal), spec.seed, typed_for, millis);
    }
    if let Some(document) = layout.document {
        let scrolled = if spec.painting == Painting::WindowDrag { 0 } else { scrolled_by(millis) };
        draw_document(canvas, body(document), spec.seed, texture, scrolled);
    }
    if let Some(video) = layout.video {
        draw_video(canvas, body(video), spec.seed, texture, frame);
    }
    if let Some((width, height)) = layout.dragged {
        let x = desk.x + back_and_forth(millis / 4, i64::from(desk.width - width));
        let y = desk.y + back_and_forth(millis / 7, i64::from(desk.height - height));
        draw_dragged(canvas, Area::new(x, y, width, height), spec.seed);
    }
}

/// Steps from 0 to `limit` and back again, over and over.
fn back_and_forth(step: u64, limit: i64) -> i32 {
    let limit = limit.max(1) as u64;
    let place = step % (2 * limit);
    place.min(2 * limit - place) as i32
}

fn draw_window(canvas: &mut Canvas, window: Area, title: &str, colour: u32) {
    canvas.fill(window, 0x0c_0e_12);
    let inner = window.inset(1);
    let bar = Area::new(inner.x, inner.y, inner.width, TITLE_HEIGHT);
    canvas.paint(bar, |_, y| blend(0x5a_6a_80, 0x36_42_54, y, TITLE_HEIGHT));
    canvas.text(bar.x + 6, bar.y + 5, 1, 0xf4_f6_fa, title);
    canvas.fill(Area::new(bar.x + bar.width - 14, bar.y + 4, 10, 10), 0xd0_50_48);
    canvas.fill(body(window), colour);
}

/// What a window shows inside its frame.
fn body(window: Area) -> Area {
    let inner = window.inset(1);
    Area::new(inner.x, inner.y + TITLE_HEIGHT, inner.width, (inner.height - TITLE_HEIGHT).max(0))
}

fn draw_clock(canvas: &mut Canvas, millis: u64) {
    let seconds = millis / 1000;
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let area = canvas.area();
    canvas.text(area.width - 9 * ADVANCE, area.height - BAR_HEIGHT + 8, 1, 0xff_ff_ff, &text);
}

/// A command is typed, runs at once, and leaves its output: so many lines a command.
const LINES_PER_COMMAND: u64 = 7;
const KEYSTROKE_MS: u64 = 80;
const KEYSTROKES_PER_COMMAND: u64 = 40;
/// The terminal has been in use for so long when the first frame is painted.
const TYPED_BEFORE_MS: u64 = 10_000;
const BLINK_MS: u64 = 500;

fn draw_terminal(canvas: &mut Canvas, area: Area, seed: u64, typed_for_ms: u64, millis: u64) {
    let text = area.inset(MARGIN);
    let (columns, rows) = ((text.width / ADVANCE).max(0) as usize, (text.height / LINE).max(0) as u64);
    let keystrokes = typed_for_ms / KEYSTROKE_MS;
    let newest = keystrokes / KEYSTROKES_PER_COMMAND * LINES_PER_COMMAND;
    let first = (newest + 1).saturating_sub(rows);
    for line in first..=newest {
        let y = text.y + (line - first) as i32 * LINE;
        if line % LINES_PER_COMMAND != 0 {
            canvas.text(text.x, y, 1, PHOSPHOR, &line_of_words(seed, line, columns));
            continue;
        }
        let command = line_of_words(seed, line, columns.min(KEYSTROKES_PER_COMMAND as usize - 4));
        let typed =
            if line == newest { (keystrokes % KEYSTROKES_PER_COMMAND) as usize } else { command.len() };
        let typed = &command[..typed.min(command.len())];
        canvas.text(text.x, y, 1, PROMPT, "$");
        canvas.text(text.x + 2 * ADVANCE, y, 1, 0xff_ff_ff, typed);
        if line == newest && millis / BLINK_MS % 2 == 0 {
            let cursor = text.x + (2 + typed.len() as i32) * ADVANCE;
            canvas.fill(Area::new(cursor, y, ADVANCE, LINE - 1), PHOSPHOR);
        }
    }
}

/// Lines of a page from one photograph to the next, and lines that a photograph takes.
const LINES_PER_PHOTO: u64 = 36;
const PHOTO_LINES: i32 = 14;
const SCROLL_MS: u64 = 3_000;
const REST_MS: u64 = 1_000;
const SCROLL_PIXELS_PER_S: u64 = 240;

/// Pixels that the page has moved up: it moves for a while, rests for a while.
fn scrolled_by(millis: u64) -> u64 {
    let round = SCROLL_MS + REST_MS;
    let moved_ms = millis / round * SCROLL_MS + (millis % round).min(SCROLL_MS);
    moved_ms * SCROLL_PIXELS_PER_S / 1000
}

fn draw_document(canvas: &mut Canvas, area: Area, seed: u64, texture: &[u32], scrolled: u64) {
    let text = area.inset(MARGIN * 3);
    let columns = (text.width / ADVANCE).max(0) as usize;
    let first = scrolled / LINE as u64;
    let above = (scrolled % LINE as u64) as i32;
    let visible = (text.height / LINE + 2).max(0) as u64;
    canvas.clipped(area, |canvas| {
        // A photograph that began above the first line still reaches into the page.
        for line in first.saturating_sub(PHOTO_LINES as u64)..first + visible {
            let y = text.y + (line as i64 - first as i64) as i32 * LINE - above;
            match line % LINES_PER_PHOTO {
                0 => canvas.text(text.x, y, 2, 0x18_38_80, &line_of_words(seed, line, columns / 2)),
                1 => {}
                at if at == LINES_PER_PHOTO - PHOTO_LINES as u64 => {
                    let photo = Area::new(text.x, y, text.width * 2 / 3, (PHOTO_LINES - 1) * LINE);
                    let shift = hash(seed, line, 3);
                    canvas.paint(photo, |x, y| texel(texture, x as u64 + shift, y as u64 + (shift >> 20)));
                }
                at if at > LINES_PER_PHOTO - PHOTO_LINES as u64 => {}
                _ => canvas.text(text.x, y, 1, INK, &line_of_words(seed, line, columns)),
            }
        }
    });
}

fn texel(texture: &[u32], x: u64, y: u64) -> u32 {
    let wrap = TEXTURE_SIDE as u64 - 1;
    texture[((y & wrap) * TEXTURE_SIDE as u64 + (x & wrap)) as usize]
}

/// A landscape that the camera pans over, with a ball in front and the grain of film.
fn draw_video(canvas: &mut Canvas, area: Area, seed: u64, texture: &[u32], frame: u64) {
    let radius = (area.width.min(area.height) / 8).max(2);
    let ball_x = radius + back_and_forth(frame * 5, i64::from(area.width - 2 * radius));
    let ball_y = radius + back_and_forth(frame * 3, i64::from(area.height - 2 * radius));
    canvas.paint(area, |x, y| {
        let (dx, dy) = (x - ball_x, y - ball_y);
        let distance = dx * dx + dy * dy;
        let lit = if distance < radius * radius {
            blend(0xff_d0_60, 0x90_20_10, distance, radius * radius)
        } else {
            texel(texture, x as u64 + frame * 2, y as u64 + frame / 2)
        };
        // Two bits of grain in each channel.
        let grain = (hash(seed, frame, (y as u64) << 16 | x as u64) & 0x03_03_03) as u32;
        lit ^ grain
    });
}

fn draw_dragged(canvas: &mut Canvas, window: Area, seed: u64) {
    draw_window(canvas, window, "drag me", 0xec_ec_f2);
    let text = body(window).inset(MARGIN * 2);
    canvas.clipped(text, |canvas| {
        for line in 0..(text.height / LINE).max(0) {
            let words = line_of_words(seed ^ 0xd4a6, line as u64, (text.width / ADVANCE).max(0) as usize);
            canvas.text(text.x, text.y + line * LINE, 1, INK, &words);
        }
    });
}
