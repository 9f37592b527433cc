//! Files that other processes and hypervisors hand us: framebuffers that change while they are looked at, and traces.

use std::io::{Cursor, Write};
use std::sync::OnceLock;

use lfp::geometry::Size;
use lfp::hypervisor::trace::TraceWriter;
use lfp_proto::shm::{Mode, Painter};

use crate::mutate::{LIES, Rng, mutated};
use crate::script;

/// What a step of a script does to a file. The first two bytes say where, divided by [`PLACE_UNIT`] if it is no write.
pub(crate) mod deed {
    /// Writes the rest there.
    pub(crate) const WRITE: u8 = 0;
    /// Writes the rest there between the look at the mode and the sweep.
    pub(crate) const WRITE_LATE: u8 = 1;
    /// Makes the file so long.
    pub(crate) const RESIZE: u8 = 2;
    /// The same between the look at the mode and the sweep.
    pub(crate) const RESIZE_LATE: u8 = 3;
    /// Puts a new file in its place.
    pub(crate) const REPLACE: u8 = 4;
    /// How many there are.
    pub(crate) const COUNT: u8 = 5;
}

/// See [`deed`].
pub(crate) const PLACE_UNIT: u64 = 4;
const STEPS: usize = 12;

/// A `shm:` file of 48x32 pixels.
pub(crate) fn shm() -> Vec<u8> {
    let mut file = Vec::new();
    let mut write = |offset: u64, bytes: &[u8]| {
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        file.resize(file.len().max(end), 0);
        file[start..end].copy_from_slice(bytes);
        Ok::<_, std::convert::Infallible>(())
    };
    let mut painter = Painter::new();
    let mode = Mode::xrgb(Size::new(48, 32).expect("a legal size"));
    let Ok(()) = painter.create(&mut write);
    let Ok(()) = painter.set_mode(mode, &mut write);
    let Ok(()) = painter.end(&mut write);
    file
}

/// What is done to a `shm:` file: its fields are 4 bytes, or 8.
pub(crate) fn shm_script(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    const FIELDS: [u16; 16] = [0, 8, 12, 16, 24, 32, 36, 40, 44, 48, 52, 56, 64, 72, 128, 136];
    script(seeds, rng, |rng, place| {
        *place = FIELDS[rng.below(FIELDS.len())];
        let small = [0, 1, 2, 3, 16, 48, 64, 192, 4096, 4100, 16384][rng.below(11)] + rng.below(3) as u64;
        small.to_le_bytes()[..if *place >= 56 { 8 } else { 4 }].to_vec()
    })
}

/// What `Xvfb -screen 0 48x32x24 -fbdir` writes.
pub(crate) fn xwd() -> Vec<u8> {
    let mut words = [0_u32; 40];
    let said = [
        (0, 160),
        (1, 7),
        (2, 2),
        (3, 24),
        (4, 48),
        (5, 32),
        (8, 32),
        (11, 32),
        (12, 192),
        (14, 0x00ff_0000),
        (15, 0xff00),
        (16, 0xff),
        (19, 256),
    ];
    for (number, word) in said {
        words[number] = word;
    }
    let mut file: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    file.resize(160 + 256 * 12 + 192 * 32, 0x33);
    file
}

/// What is done to an XWD file: its fields are words.
pub(crate) fn xwd_script(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    script(seeds, rng, |rng, place| {
        *place = 4 * rng.below(20) as u16;
        let small = [0, 1, 2, 7, 16, 24, 32, 48, 100, 160, 192, 0xf800, 0x7e0, 0x1f][rng.below(14)];
        u32::to_be_bytes(small).to_vec()
    })
}

/// Twelve deeds, most of them writes of a field as `field` chooses it.
fn script(seeds: &[Vec<u8>], rng: &mut Rng, field: fn(&mut Rng, &mut u16) -> Vec<u8>) -> Vec<u8> {
    if rng.below(8) == 0 {
        return mutated(seeds, rng);
    }
    let mut script = Vec::new();
    for _ in 0..STEPS {
        let mut place = rng.below(8192) as u16;
        let mut bytes = Vec::new();
        let deed = match rng.below(24) {
            0 => deed::RESIZE,
            1 => deed::RESIZE_LATE,
            2 => deed::REPLACE,
            3 => {
                bytes.extend((0..rng.below(200)).map(|_| rng.byte()));
                deed::WRITE
            }
            4 | 5 => {
                field(rng, &mut place);
                bytes.extend(LIES[rng.below(LIES.len())]);
                deed::WRITE
            }
            number => {
                bytes = field(rng, &mut place);
                if number < 12 { deed::WRITE_LATE } else { deed::WRITE }
            }
        };
        let mut said = place.to_le_bytes().to_vec();
        said.extend(bytes);
        script::push(&mut script, rng.below(100) as u8, deed, &said);
    }
    script
}

/// Traces, good and evil.
pub(crate) fn traces() -> Vec<Vec<u8>> {
    let size = Size::new(BOMB_SIDE, BOMB_SIDE).expect("a legal size");
    let mut file = Cursor::new(Vec::new());
    let mut writer = TraceWriter::new(&mut file, "seed", size, 30, 1).expect("written");
    for frame in 0..3_u8 {
        let picture = vec![frame * 7; size.pixels() * 4];
        writer.add(u64::from(frame) * 33_333, &picture).expect("written");
    }
    writer.finish().expect("written");
    let bomb = trace(&Lies { frames: 1, ..Lies::default() }, &[(0, bomb().to_vec())]);
    vec![file.into_inner(), bomb]
}

/// Large enough for a compressed frame as long as [`bomb`] to be believed.
const BOMB_SIDE: u16 = 128;
const BOMB_BYTES: usize = 1 << 30;

/// A zstd frame of a few KiB that holds a GiB of zeros, and does not say so.
pub(crate) fn bomb() -> &'static [u8] {
    static BOMB: OnceLock<Vec<u8>> = OnceLock::new();
    BOMB.get_or_init(|| {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).expect("an encoder");
        let zeros = vec![0; 1 << 20];
        for _ in 0..BOMB_BYTES / zeros.len() {
            encoder.write_all(&zeros).expect("written");
        }
        encoder.finish().expect("written")
    })
}

/// What a trace's first line says.
struct Lies {
    width: u64,
    height: u64,
    frames: u64,
    fps: u64,
}

impl Default for Lies {
    fn default() -> Self {
        Self { width: BOMB_SIDE.into(), height: BOMB_SIDE.into(), frames: 2, fps: 30 }
    }
}

fn trace(lies: &Lies, frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let Lies { width, height, frames: count, fps } = lies;
    let mut file = format!(
        "{{\"magic\": \"LFPTRACE1\", \"width\": {width}, \"height\": {height}, \"pixel_format\": \"BGRX8888\", \
         \"fps\": {fps}, \"frames\": {count}}}\n"
    )
    .into_bytes();
    for (at_us, payload) in frames {
        file.extend(at_us.to_le_bytes());
        file.extend((payload.len() as u32).to_le_bytes());
        file.extend(payload);
    }
    file
}

/// A trace that lies in its numbers or its frames, or a mutated seed.
pub(crate) fn trace_file(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    if rng.below(2) == 0 {
        return mutated(seeds, rng);
    }
    let side = |rng: &mut Rng| match rng.below(8) {
        0 => rng.wild(),
        1 => 16_384,
        _ => 1 + rng.below(60) as u64,
    };
    let (width, height) = (side(rng), side(rng));
    let fps = if rng.below(4) == 0 { rng.wild() } else { 30 };
    let frames = (0..1 + rng.below(4)).map(|number| {
        let at_us = if rng.below(6) == 0 { rng.next() } else { number as u64 * 1_000 };
        let len = width.saturating_mul(height).saturating_mul(4).min(1 << 16) as usize;
        let len = if rng.below(6) == 0 { rng.below(1 << 16) } else { len };
        let payload = zstd::bulk::compress(&vec![number as u8; len], 1).expect("compressed");
        (at_us, if rng.below(16) == 0 { bomb().to_vec() } else { payload })
    });
    let frames: Vec<_> = frames.collect();
    let count = if rng.below(4) == 0 { rng.wild() } else { frames.len() as u64 };
    let mut file = trace(&Lies { width, height, frames: count, fps }, &frames);
    if rng.below(8) == 0 {
        file.truncate(rng.below(file.len()));
    }
    file
}
