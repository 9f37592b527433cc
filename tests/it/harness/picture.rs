//! Pictures, and what to say when two differ.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

/// 24-bit pixels, rows top to bottom.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Red, green, blue.
    pub(crate) rgb: Vec<u8>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({}x{})", self.width, self.height)
    }
}

impl Picture {
    /// A picture of which `pixel` gives each pixel as 0x00RRGGBB.
    pub(crate) fn paint(width: usize, height: usize, pixel: impl Fn(usize, usize) -> u32) -> Self {
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                rgb.extend_from_slice(&pixel(x, y).to_be_bytes()[1..]);
            }
        }
        Self { width, height, rgb }
    }

    /// The pixels as 0x00RRGGBB.
    pub(crate) fn xrgb(&self) -> Vec<u32> {
        self.rgb.chunks_exact(3).map(|p| u32::from_be_bytes([0, p[0], p[1], p[2]])).collect()
    }

    /// Reads a binary PPM as QEMU writes it.
    pub(crate) fn from_ppm(bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        let mut rest = bytes;
        while fields.len() < 4 {
            let end = rest.iter().position(u8::is_ascii_whitespace).expect("a PPM header");
            fields.push(std::str::from_utf8(&rest[..end]).expect("a PPM header"));
            rest = &rest[end + 1..];
        }
        assert_eq!((fields[0], fields[3]), ("P6", "255"), "a PPM of 8-bit colours");
        let (width, height) = (fields[1].parse().expect("a width"), fields[2].parse().expect("a height"));
        assert_eq!(rest.len(), width * height * 3, "a PPM of its stated size");
        Self { width, height, rgb: rest.to_vec() }
    }

    /// Reads a PNG of 8-bit colours, with or without alpha.
    pub(crate) fn from_png(file: &Path) -> Self {
        let open = File::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut reader = png::Decoder::new(BufReader::new(open)).read_info().expect("a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("a PNG that fits memory")];
        let info = reader.next_frame(&mut bytes).expect("a whole PNG");
        assert_eq!(info.bit_depth, png::BitDepth::Eight);
        let channels = info.color_type.samples();
        assert!(channels == 3 || channels == 4, "a PNG of {:?}", info.color_type);
        let pixels = bytes[..info.buffer_size()].chunks_exact(channels);
        let rgb = pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        Self { width: info.width as usize, height: info.height as usize, rgb }
    }

    fn write_png(&self, file: &Path) {
        let out = BufWriter::new(File::create(file).expect("a file for a picture"));
        let mut encoder = png::Encoder::new(out, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.rgb)).expect("a PNG");
    }

    /// Whether it is all one colour.
    pub(crate) fn is_plain(&self) -> bool {
        self.rgb.chunks_exact(3).all(|pixel| pixel == &self.rgb[..3])
    }
}

/// Says that a client showed what it should.
///
/// # Panics
/// If a single pixel differs. Both pictures are then left in `target/it-failures` under `name`.
pub(crate) fn assert_same(name: &str, shown: &Picture, truth: &Picture) {
    if shown == truth {
        return;
    }
    let kept = keep(name, &[("shown", shown), ("truth", truth)]);
    assert_eq!((shown.width, shown.height), (truth.width, truth.height), "{name}: the sizes differ; {kept}");
    let differ = |at: &usize| shown.rgb[at * 3..at * 3 + 3] != truth.rgb[at * 3..at * 3 + 3];
    let places: Vec<(usize, usize)> = (0..shown.width * shown.height)
        .filter(differ)
        .map(|at| (at % shown.width, at / shown.width))
        .collect();
    let (x, y) = places[0];
    let at = (y * shown.width + x) * 3;
    panic!(
        "{name}: {} of {} pixels differ, the first at ({x}, {y}): {:02x?} instead of {:02x?}; columns {:?} to {:?}, \
         rows {y} to {}; {kept}",
        places.len(),
        shown.width * shown.height,
        &shown.rgb[at..at + 3],
        &truth.rgb[at..at + 3],
        places.iter().map(|place| place.0).min().unwrap_or_default(),
        places.iter().map(|place| place.0).max().unwrap_or_default(),
        places.last().map_or(0, |place| place.1),
    );
}

fn keep(name: &str, pictures: &[(&str, &Picture)]) -> String {
    let directory: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../it-failures");
    fs::create_dir_all(&directory).expect("a directory for pictures");
    for (role, picture) in pictures {
        picture.write_png(&directory.join(format!("{name}-{role}.png")));
    }
    format!("see {name}-*.png in {}", directory.display())
}
