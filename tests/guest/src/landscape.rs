//! What the guest's screen shows behind its terminal: a lake at dusk, and on it two boats.

use crate::canvas::{Canvas, Colour, Rect, hash, mix};

const SKY: [(f32, Colour); 5] =
    [(0.0, 0x0b_1030), (0.30, 0x2a_2258), (0.55, 0x7a_3f78), (0.80, 0xe0_7a5f), (1.0, 0xff_d08a)];
/// Base height, height of the waves (both in screen heights), colour at the crest, colour at the foot.
const RANGES: [(f32, f32, Colour, Colour); 3] = [
    (0.50, 0.16, 0x6b_4a80, 0xb8_6a80),
    (0.56, 0.11, 0x44_3468, 0x70_4a74),
    (0.60, 0.06, 0x22_2048, 0x34_2c55),
];
const SHORE: f32 = 0.62;
const SUN: (f32, f32) = (0.70, 0.50);

/// Paints all that stands still.
pub(crate) fn paint(canvas: &mut Canvas) {
    sky(canvas);
    for (index, range) in RANGES.iter().enumerate() {
        mountains(canvas, index as u32, *range);
    }
    lake(canvas);
    for index in 0..26 {
        pine(canvas, index);
    }
}

/// The rectangle that [`boats`] paints in.
pub(crate) fn boats_area(canvas: &Canvas) -> Rect {
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    Rect {
        x: (width * 0.34) as usize,
        y: (height * 0.67) as usize,
        width: (width * 0.32) as usize,
        height: (height * 0.11) as usize,
    }
}

/// Paints the boats as they stand at frame `frame`; the caller has restored what was behind them.
pub(crate) fn boats(canvas: &mut Canvas, frame: u32) {
    let area = boats_area(canvas);
    let size = area.height as f32 * 0.55;
    for (index, speed) in [(0_u32, 0.0021_f32), (1, -0.0013)] {
        let phase = (0.25 + 0.5 * index as f32 + frame as f32 * speed).rem_euclid(1.0);
        let x = area.x as f32 + size * 0.7 + phase * (area.width as f32 - size * 1.4);
        let bob = (frame as f32 * 0.07 + index as f32 * 2.0).sin() * size * 0.03;
        let y = area.y as f32 + area.height as f32 * (0.66 + 0.22 * index as f32) + bob;
        boat(canvas, (x, y), size * (0.8 + 0.2 * index as f32), speed.signum());
    }
}

fn boat(canvas: &mut Canvas, (x, y): (f32, f32), size: f32, heading: f32) {
    let rows = (size * 0.9) as i32;
    for row in 0..rows {
        // The sail widens from the mast's top; the jib is two thirds of it, on the other side.
        let down = row as f32 / rows as f32;
        let line = y as i32 - rows - (size * 0.06) as i32 + row;
        span(canvas, line, x, x + heading * down * size * 0.42, 0xff_f4e0);
        span(canvas, line, x - heading * 2.0 - heading * down * size * 0.26, x - heading * 2.0, 0xff_c9a0);
        span(canvas, line, x - 1.0, x, 0x3a_2a30);
    }
    for row in 0..(size * 0.15) as i32 {
        let half = size * 0.46 - row as f32 * 1.4;
        span(canvas, y as i32 + row, x - half, x + half, if row < 2 { 0xc8_5a4a } else { 0x5a_2e38 });
    }
}

/// One row of a shape, with soft ends.
fn span(canvas: &mut Canvas, y: i32, a: f32, b: f32, colour: Colour) {
    let (left, right) = (a.min(b), a.max(b));
    for x in left.floor() as i32..=right.ceil() as i32 {
        let cover = (right - x as f32).min(1.0).min(x as f32 + 1.0 - left);
        canvas.blend(x, y, colour, cover);
    }
}

fn sky_colour(down: f32) -> Colour {
    let next = SKY.iter().position(|(at, _)| *at >= down).unwrap_or(SKY.len() - 1).max(1);
    let ((from, a), (to, b)) = (SKY[next - 1], SKY[next]);
    mix(a, b, (down - from) / (to - from))
}

fn sky(canvas: &mut Canvas) {
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    let horizon = height * SHORE;
    let (sun_x, sun_y, sun_radius) = (width * SUN.0, height * SUN.1, height * 0.075);
    for y in 0..canvas.height {
        let colour = sky_colour((y as f32 / horizon).min(1.0));
        for x in 0..canvas.width {
            let distance = (x as f32 - sun_x).hypot((y as f32 - sun_y) * 1.05);
            let glow = (1.0 - distance / (height * 0.55)).max(0.0);
            let lit = mix(colour, 0xff_c070, glow * glow * 0.75);
            canvas.set(x, y, mix(lit, 0xff_f2c8, (sun_radius - distance) / 1.5));
        }
    }
    for index in 0..260_u32 {
        let x = hash(index, 1) % canvas.width as u32;
        let down = (hash(index, 2) % 1000) as f32 / 1000.0;
        let y = (down * down * horizon * 0.75) as i32;
        let light = (1.0 - down) * (0.25 + (hash(index, 3) % 100) as f32 / 130.0);
        canvas.blend(x as i32, y, 0xff_fff0, light);
        if hash(index, 4) % 9 == 0 {
            for (dx, dy) in [(1, 0), (-1, 0), (0, 1), (0, -1)] {
                canvas.blend(x as i32 + dx, y + dy, 0xff_fff0, light * 0.35);
            }
        }
    }
}

/// Height of a ridge at `x` (0 to 1): octaves of smooth noise.
fn ridge(seed: u32, x: f32) -> f32 {
    let mut sum = 0.0;
    let (mut frequency, mut weight) = (3.0 + seed as f32 * 1.5, 0.5);
    for octave in 0..6 {
        let at = x * frequency;
        let (cell, part) = (at.floor(), at - at.floor());
        let noise = |cell: f32| (hash(cell as u32 + 7, seed * 16 + octave) % 1024) as f32 / 1023.0;
        let eased = part * part * (3.0 - 2.0 * part);
        sum += weight * (noise(cell) + (noise(cell + 1.0) - noise(cell)) * eased);
        frequency *= 2.1;
        weight *= 0.5;
    }
    sum
}

fn mountains(canvas: &mut Canvas, seed: u32, (base, rise, crest, foot): (f32, f32, Colour, Colour)) {
    let height = canvas.height as f32;
    for x in 0..canvas.width {
        let top = height * (base + rise * 0.45) - ridge(seed, x as f32 / canvas.width as f32) * rise * height;
        for y in top.floor().max(0.0) as usize..(height * SHORE) as usize {
            let down = (y as f32 - top) / (height * SHORE - top);
            // A little grain, so that a slope is not one smooth ramp.
            let grain = (hash(x as u32 / 2, y as u32 + seed * 4096) % 100) as f32 / 100.0 * 0.06;
            let slope = mix(mix(crest, foot, down), 0x10_1020, grain);
            canvas.blend(x as i32, y as i32, slope, y as f32 + 1.0 - top);
        }
    }
}

fn lake(canvas: &mut Canvas) {
    let shore = (canvas.height as f32 * SHORE) as usize;
    let deep = canvas.height - shore;
    let sun_x = canvas.width as f32 * SUN.0;
    for y in shore..canvas.height {
        let away = (y - shore) as f32 / deep as f32;
        let mirrored = shore.saturating_sub(((y - shore) as f32 * 1.35) as usize + 1);
        for x in 0..canvas.width {
            let wave = (y as f32 * (1.9 - away) + (x as f32 * 0.013 + away * 9.0).sin() * 3.0).sin();
            let sway = (wave * (1.0 + away * 5.0)) as isize;
            let seen = canvas.at(x.saturating_add_signed(sway), mirrored);
            let water = mix(seen, 0x10_1838, 0.28 + away * 0.42 + wave * 0.04);
            let path = (x as f32 - sun_x).abs() / (canvas.width as f32 * (0.02 + away * 0.06));
            let sparkle = (1.0 - path).max(0.0) * wave.max(0.0) * (1.0 - away * 0.7);
            canvas.set(x, y, mix(water, 0xff_dca0, sparkle * 0.8));
        }
    }
}

fn pine(canvas: &mut Canvas, index: u32) {
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    let side = if index % 2 == 0 { 0.0 } else { 1.0 };
    let inward = (hash(index, 21) % 1000) as f32 / 1000.0;
    let x = width * (side + (1.0 - 2.0 * side) * inward * inward * 0.22);
    let tall = height * (0.10 + (hash(index, 22) % 100) as f32 / 100.0 * 0.16) * (1.0 - inward * 0.5);
    let foot = height * (1.02 - inward * 0.03);
    for row in 0..tall as i32 {
        let down = row as f32 / tall;
        let tier = (down * 6.0).fract();
        let half = tall * 0.20 * (down * 0.75 + tier * 0.25);
        span(canvas, (foot - tall) as i32 + row, x - half, x + half, mix(0x12_1a2c, 0x08_0c18, down));
    }
}
