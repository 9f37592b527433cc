//! Pixels into a scan.

use alloc::vec::Vec;

use super::bits::Writer;
use super::tables::{AC, DC, ZIGZAG, quantisers};
use super::transform::{FORWARD_BITS, forward, parts};
use super::{Form, Sampling};
use crate::limits::CELL;

const SIDE: usize = CELL as usize;
/// Largest first coefficient and largest other one that the tables have codes for.
const DC_MAX: i32 = 1023;
const AC_MAX: i32 = 1023;
/// Mean error of a channel's chroma, in 256ths, beyond which quarter sampling would be seen.
const SHARP: u64 = 10 * 256;

/// Appends the payload of `pixels`, rows of `width` without padding, or of as many rows of cells from the top as take at
/// most `max` bytes. Returns how many rows of pixels that are: 0 if not even one row of cells fits, and then nothing is
/// appended.
pub fn encode(pixels: &[u32], width: usize, form: Form, max: usize, out: &mut Vec<u8>) -> usize {
    let height = pixels.len() / width.max(1);
    let start = out.len();
    out.push(form.to_wire());
    let mut scan = Scan { writer: Writer::default(), steps: steps(form.quality), before: [0; 3] };
    let mut done = 0;
    while done < height {
        let (writer, len) = (scan.writer, out.len());
        for y in (done..done + SIDE).step_by(form.sampling.side()) {
            for x in (0..width.next_multiple_of(SIDE)).step_by(form.sampling.side()) {
                scan.unit(pixels, width, x, y, form.sampling, out);
                if out.len() - start + usize::from(scan.writer.is_within_byte()) > max {
                    // What is coded of this row goes.
                    out.truncate(if done > 0 { len } else { start });
                    if done > 0 {
                        writer.finish(out);
                    }
                    return done;
                }
            }
        }
        done = (done + SIDE).min(height);
    }
    scan.writer.finish(out);
    done
}

/// The sampling that `pixels`, rows of `width` without padding, need: full if averaging chroma over two by two pixels
/// would be seen, as with coloured writing.
#[must_use]
pub fn sampling(pixels: &[u32], width: usize) -> Sampling {
    let (mut error, mut quads) = (0_u64, 0_u64);
    // Every other pair of rows says enough.
    for rows in pixels.chunks_exact(2 * width.max(1)).step_by(2) {
        let (top, bottom) = rows.split_at(width);
        for (top, bottom) in top.chunks_exact(2).zip(bottom.chunks_exact(2)) {
            let quad = [parts(top[0]), parts(top[1]), parts(bottom[0]), parts(bottom[1])];
            for channel in 1..3 {
                let values = quad.map(|parts| parts[channel]);
                let mean = values.iter().sum::<i32>() >> 2;
                let off = values.iter().map(|value| value.abs_diff(mean)).sum::<u32>() / 4;
                error += u64::from(off);
            }
            quads += 1;
        }
    }
    if error > 2 * quads * SHARP { Sampling::Full } else { Sampling::Quarter }
}

/// How to divide by a quantiser: half of it, and what to multiply by.
type Step = (u32, u32);

/// Bits by which [`Step`] scales.
const STEP_BITS: u32 = 21;

/// By table and place.
fn steps(quality: u8) -> [[Step; 64]; 2] {
    quantisers(quality).map(|table| {
        table.map(|quantiser| {
            let scaled = u32::from(quantiser) << FORWARD_BITS;
            (scaled / 2, (1 << STEP_BITS) / scaled + 1)
        })
    })
}

/// A scan under way.
struct Scan {
    writer: Writer,
    steps: [[Step; 64]; 2],
    /// The first coefficient of the block before, of luma, blue and red.
    before: [i32; 3],
}

impl Scan {
    /// Appends the unit at (`x`, `y`). Pixels beyond the rectangle repeat its edge.
    fn unit(
        &mut self,
        pixels: &[u32],
        width: usize,
        x: usize,
        y: usize,
        sampling: Sampling,
        out: &mut Vec<u8>,
    ) {
        let last = pixels.len() / width - 1;
        let side = sampling.side();
        let mut blocks = [[0; 64]; 6];
        let lumas = sampling.luma_blocks();
        for row in 0..side {
            let line = &pixels[(y + row).min(last) * width..][..width];
            for column in 0..side {
                let [luma, blue, red] = parts(line[(x + column).min(width - 1)]);
                blocks[row / 8 * 2 + column / 8][row % 8 * 8 + column % 8] = ((luma + 128) >> 8) - 128;
                let chroma = row * 8 / side * 8 + column * 8 / side;
                blocks[lumas][chroma] += blue;
                blocks[lumas + 1][chroma] += red;
            }
        }
        // Sums of 256ths over one pixel or four.
        let shift = if side == 8 { 8 } else { 10 };
        for block in &mut blocks[lumas..lumas + 2] {
            block.iter_mut().for_each(|sum| *sum = (*sum + (1 << (shift - 1))) >> shift);
        }
        for (at, block) in blocks[..lumas + 2].iter_mut().enumerate() {
            self.block((at + 1).saturating_sub(lumas), block, out);
        }
    }

    /// Appends a block of samples less 128, of luma (0), blue or red.
    fn block(&mut self, component: usize, block: &mut [i32; 64], out: &mut Vec<u8>) {
        let table = component.min(1);
        forward(block);
        for (value, (half, factor)) in block.iter_mut().zip(self.steps[table]) {
            let size = (u64::from(value.unsigned_abs() + half) * u64::from(factor)) >> STEP_BITS;
            *value = size as i32 * value.signum();
        }
        let first = block[0].clamp(-DC_MAX - 1, DC_MAX);
        let (size, bits) = magnitude(first - self.before[component]);
        self.before[component] = first;
        self.put(DC[table].codes[size as usize], bits, size, out);
        let mut zeros = 0;
        for place in &ZIGZAG[1..] {
            let value = block[usize::from(*place)].clamp(-AC_MAX, AC_MAX);
            if value == 0 {
                zeros += 1;
                continue;
            }
            while zeros > 15 {
                self.put(AC[table].codes[0xf0], 0, 0, out);
                zeros -= 16;
            }
            let (size, bits) = magnitude(value);
            self.put(AC[table].codes[zeros << 4 | size as usize], bits, size, out);
            zeros = 0;
        }
        if zeros > 0 {
            self.put(AC[table].codes[0], 0, 0, out);
        }
    }

    /// Appends a code and `size` bits behind it.
    fn put(&mut self, (code, len): (u16, u8), bits: u32, size: u32, out: &mut Vec<u8>) {
        debug_assert!(len > 0);
        self.writer.put(u32::from(code) << size | bits, u32::from(len) + size, out);
    }
}

/// How many bits a value takes, and which: of a negative one those of what is one less.
const fn magnitude(value: i32) -> (u32, u32) {
    let size = 32 - value.unsigned_abs().leading_zeros();
    let bits = if value < 0 { value - 1 + (1 << size) } else { value };
    (size, bits as u32)
}
