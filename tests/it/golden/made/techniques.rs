//! The vectors of techniques.

use lfp_proto::depth::Depth;
use lfp_proto::geometry::{CellRect, PixelRect, Size};
use lfp_proto::technique::base::{Vector as Way, base_cells};
use lfp_proto::technique::cache::{Store, Stored, Use};
use lfp_proto::technique::{
    Scratch, Technique, bitmap, colour, copy, decode, dictionary, lossy, raw, scan, trixel,
};
use serde_json::json;

use super::super::{Vector, describe};

/// Rows of pixels that a person can check: few colours with hard edges, or a gradient.
fn picture(width: u16, height: u16, colours: u32) -> Vec<u32> {
    let (width, height) = (u32::from(width), u32::from(height));
    let pixel = |x: u32, y: u32| match colours {
        0 => (x * 5) << 16 | (y * 9) << 8 | (x + y),
        _ => (x / 3 + y) % colours * (0x00ff_ffff / colours),
    };
    (0..height).flat_map(|y| (0..width).map(move |x| pixel(x, y))).collect()
}

fn technique(name: &str, technique: Technique, size: (u16, u16), pixels: &[u32], bytes: Vec<u8>) -> Vector {
    let pixels = if pixels.is_empty() { json!(null) } else { describe::pixels(pixels, size.0) };
    let fields = json!({"technique": technique.name(), "width": size.0, "height": size.1, "pixels": pixels});
    Vector { name: name.to_owned(), fields, bytes }
}

pub(in crate::golden) fn techniques() -> Vec<Vector> {
    let mut encoder = bitmap::Encoder::default();
    let mut bitmap = |name: &str, size: (u16, u16), colours| {
        let pixels = picture(size.0, size.1, colours);
        let mut bytes = Vec::new();
        assert!(encoder.encode(&pixels, size.0.into(), 8_900, &mut bytes));
        technique(name, Technique::Bitmap, size, &pixels, bytes)
    };
    let mut all = vec![
        bitmap("bitmap, filtered, a gradient", (16, 16), 0),
        bitmap("bitmap, filtered, more colours than a palette holds, clipped", (47, 9), 0),
        bitmap("bitmap, palette of 1 bit, clipped cell", (13, 5), 2),
        bitmap("bitmap, palette of 2 bits", (16, 16), 4),
        bitmap("bitmap, palette of 4 bits, odd width", (21, 7), 11),
        bitmap("bitmap, palette of 8 bits", (32, 16), 20),
    ];
    let five = [0, 1, 2, 3, 4].map(|filter| [filter, 250, 3, 9, 1, 2, 255]).concat();
    let (len, mut stored) = (five.len() as u16, vec![bitmap::coding::FILTERED, 1]);
    stored.extend([len.to_le_bytes(), (!len).to_le_bytes()].concat());
    stored.extend(&five);
    let every_filter = [
        [0x0903fa, 0xff0201],
        [0x0903fa, 0x0805fb],
        [0x1206f4, 0x0707fc],
        [0x120674, 0x0b08b9],
        [0x1b096e, 0x110bba],
    ];
    all.push(technique(
        "bitmap, every filter type, stored",
        Technique::Bitmap,
        (2, 5),
        &every_filter.concat(),
        stored.clone(),
    ));
    stored.push(0);
    let flat = picture(16, 3, 1);
    let edge = picture(3, 2, 0);
    let mut bytes = Vec::new();
    raw::encode(Depth::Bits24, &edge, &mut bytes);
    all.extend([
        technique("bitmap, a byte behind the stream: refused", Technique::Bitmap, (2, 5), &[], stored),
        technique("raw, clipped cell", Technique::Raw, (3, 2), &edge, bytes.clone()),
        technique("raw, too short: refused", Technique::Raw, (3, 3), &[], bytes),
        technique(
            "colour",
            Technique::Colour,
            (16, 3),
            &flat,
            colour::encode(Depth::Bits24, &flat).expect("it has one colour"),
        ),
        technique("colour, too long: refused", Technique::Colour, (16, 3), &[], vec![1, 2, 3, 4]),
    ]);
    all.extend(trixels());
    all.extend(scans());
    all.extend(copies());
    all.extend(caches());
    all.extend(dictionaries());
    all.extend(lossies());
    all.extend(depths());
    all
}

/// The techniques that have something of their own in fewer bits than 24.
fn depths() -> Vec<Vector> {
    let mut all = Vec::new();
    for depth in [Depth::Bits16, Depth::Bits8] {
        let mut add = |name: &str, technique_of: Technique, size, pixels: &[u32], bytes| {
            let name = name.replacen(',', &format!(" of {} bits,", depth.bits()), 1);
            let mut vector = technique(&name, technique_of, size, pixels, bytes);
            vector.fields["depth"] = json!(depth.bits());
            all.push(vector);
        };
        let mut pixels = picture(5, 3, 0);
        depth.reduce_all(&mut pixels);
        let mut bytes = Vec::new();
        raw::encode(depth, &pixels, &mut bytes);
        add("raw, clipped", Technique::Raw, (5, 3), &pixels, bytes.clone());
        add("raw, a byte less: refused", Technique::Raw, (5, 3), &[], bytes[1..].to_vec());
        let one = colour::encode(depth, &pixels[..1]).expect("one colour");
        add("colour, one pixel", Technique::Colour, (1, 1), &pixels[..1], one);
        let mut bytes = Vec::new();
        let mut encoder = trixel::Encoder::default();
        encoder.depth = depth;
        assert_eq!(encoder.encode(&pixels, 5, 8_900, &mut bytes), 3);
        add("trixel, clipped", Technique::Trixel, (5, 3), &pixels, bytes);
        let mut bytes = Vec::new();
        assert_eq!(dictionary::Encoder::default().encode(&pixels, 5, None, 8_900, &mut bytes), 3);
        add("dictionary, clipped", Technique::Dictionary, (5, 3), &pixels, bytes);
        let mut bytes = Vec::new();
        assert_eq!(dictionary::Encoder::default().encode(&[0x40_0000; 15], 5, None, 8_900, &mut bytes), 3);
        add("dictionary, pixels of 24 bits: refused", Technique::Dictionary, (5, 3), &[], bytes);
        let form = lossy::Form { quality: 90, sampling: lossy::Sampling::Full };
        let (mut bytes, mut shown) = (Vec::new(), Vec::new());
        assert_eq!(lossy::encode(&picture(16, 16, 0), 16, form, 8_900, &mut bytes), 16);
        let area = PixelRect { x: 0, y: 0, width: 16, height: 16 };
        decode(Technique::Lossy, &bytes, area, None, &mut Scratch::new(depth), &mut shown)
            .expect("it is whole");
        add("lossy bitmap, a gradient", Technique::Lossy, (16, 16), &shown, bytes);
    }
    all
}

fn trixels() -> Vec<Vector> {
    let mut encoder = trixel::Encoder::default();
    let mut coded = |name: &str, size: (u16, u16), pixels: &[u32]| {
        let mut bytes = Vec::new();
        assert_eq!(encoder.encode(pixels, size.0.into(), 8_900, &mut bytes), usize::from(size.1));
        technique(name, Technique::Trixel, size, pixels, bytes)
    };
    let mut text = vec![0x00ff_fff0; 20 * 16];
    for (x, y, width, height) in [(3, 2, 2, 12), (5, 2, 7, 2), (5, 7, 4, 2), (14, 1, 1, 14)] {
        for y in y..y + height {
            text[y * 20 + x..][..width].fill(0x0010_2030);
            text[y * 20 + x + width] = 0x0080_9090;
        }
    }
    let every: Vec<u32> = (0..17 * 16).map(|at| (at % 256 * 0x0001_0103) & 0x00ff_ffff).collect();
    let mut all = vec![
        coded("trixel, a letter and a bar", (20, 16), &text),
        coded("trixel, stripes, clipped", (13, 5), &picture(13, 5, 4)),
        coded("trixel, as many colours as there may be", (17, 16), &every),
        coded("trixel, one pixel", (1, 1), &[0x0001_0203]),
    ];
    let refused =
        |name: &str, size, bytes: &[u8]| technique(name, Technique::Trixel, size, &[], bytes.to_vec());
    let one = all[3].bytes.clone();
    all.extend([
        refused("trixel, too few pixels: refused", (2, 1), &one),
        refused("trixel, a byte behind the last: refused", (1, 1), &[&one[..], &[0]].concat()),
        refused("trixel, a length without end: refused", (16, 16), &[0; 6]),
    ]);
    all
}

/// On a base of 3 x 2 cells, clipped to 40 x 20 pixels.
fn scans() -> Vec<Vector> {
    let size = Size::new(40, 20).expect("a legal size");
    let screen = picture(size.width, size.height, 3);
    let mut encoder = scan::Encoder::default();
    let mut coded = |name: &str, cells: CellRect, dx: i32, dy: i32, paint: &[(usize, u32)]| {
        let area = size.clip(cells);
        let way = Way { dx, dy };
        let source = way.inside(area, size).expect("it lies inside");
        let row = |y: u16| &screen[usize::from(y) * 40 + usize::from(source.x)..][..area.width.into()];
        let base = (source.y..source.y + source.height).flat_map(row).copied();
        let (mut pixels, mut bytes) = (base.clone().collect::<Vec<_>>(), Vec::new());
        let base = pixels.clone();
        paint.iter().for_each(|(at, colour)| pixels[*at] = *colour);
        assert!(encoder.encode(&pixels, &base, way, 8_900, &mut bytes));
        let base_cells = base_cells(Technique::PixelScan, &bytes, area, size).expect("it lies inside");
        let mut vector = technique(name, Technique::PixelScan, (area.width, area.height), &pixels, bytes);
        vector.fields["x"] = json!(area.x);
        vector.fields["y"] = json!(area.y);
        vector.fields["base"] = describe::pixels(&screen, size.width);
        vector.fields["base_cells"] = describe::cells(base_cells);
        vector
    };
    let rect = |x, y, width, height| CellRect { x, y, width, height };
    let caret: Vec<_> =
        (2..14).flat_map(|y| [(y * 16 + 5, 0x0010_2030), (y * 16 + 6, 0x0010_2030)]).collect();
    let dots = [(0, 0x00aa_0000), (1, 0x0000_bb00), (7, 0x0000_00cc), (31, 0x00aa_0000)];
    let mut all = vec![
        coded("pixel scan, a caret", rect(0, 0, 1, 1), 0, 0, &caret),
        coded("pixel scan, first and last pixel, clipped, moved", rect(1, 1, 2, 1), -5, -2, &dots),
        coded("pixel scan, the last pixel alone", rect(0, 0, 1, 1), 0, 0, &[(255, 0x0001_0203)]),
    ];
    let name = "pixel scan, a byte behind the last: refused".to_owned();
    let bytes = [&all[2].bytes[..], &[0]].concat();
    let mut long = Vector { name, fields: all[2].fields.clone(), bytes };
    long.fields["pixels"] = json!(null);
    all.push(long);
    all
}

/// On a base of 3 x 2 cells, clipped to 40 x 20 pixels.
fn copies() -> [Vector; 4] {
    let size = Size::new(40, 20).expect("a legal size");
    let base = picture(size.width, size.height, 0);
    let copied = |name: &str, cells: CellRect, dx: i32, dy: i32, refused: bool| {
        let area = size.clip(cells);
        let bytes = copy::encode(Way { dx, dy });
        let place = |x: u16, by: i32| usize::try_from(i32::from(x) + by).unwrap_or_default();
        let row = |y: u16| (place(y, dy), place(area.x, dx));
        let pixels: Vec<_> = (area.y..area.y + area.height)
            .filter(|_| !refused)
            .flat_map(|y| {
                let (y, x) = row(y);
                let start = y * usize::from(size.width) + x;
                base[start..start + usize::from(area.width)].to_vec()
            })
            .collect();
        let base_cells = match base_cells(Technique::Copy, &bytes, area, size) {
            Ok(cells) => describe::cells(cells),
            Err(_) => json!(null),
        };
        let mut vector = technique(name, Technique::Copy, (area.width, area.height), &pixels, bytes);
        vector.fields["x"] = json!(area.x);
        vector.fields["y"] = json!(area.y);
        vector.fields["base"] = describe::pixels(&base, size.width);
        vector.fields["base_cells"] = base_cells;
        vector
    };
    let rect = |x, y, width, height| CellRect { x, y, width, height };
    [
        copied("copy, from above", rect(0, 1, 1, 1), 0, -16, false),
        copied("copy, clipped, over its own cells", rect(1, 0, 2, 2), -5, 0, false),
        copied("copy, from all sides", rect(0, 0, 1, 1), 9, 3, false),
        copied("copy, from beyond the edge: refused", rect(0, 0, 1, 1), -1, 0, true),
    ]
}

/// Stores on a base of 3 x 2 cells, clipped to 40 x 20 pixels, and uses of such a picture.
fn caches() -> [Vector; 6] {
    let size = Size::new(40, 20).expect("a legal size");
    let base = picture(size.width, size.height, 0);
    let stored = |slot, generation| Stored { slot, generation };
    let vector = |name: &str, kind, cells: CellRect, (x, y): (u16, u16), bytes: Vec<u8>| {
        let area = size.clip(cells);
        let row = |y: u16| &base[usize::from(y) * 40 + usize::from(x)..][..area.width.into()];
        let pixels: Vec<_> = (y..y + area.height).flat_map(row).copied().collect();
        let refused = name.ends_with("refused");
        let pixels = if refused { &[][..] } else { &pixels };
        let base_cells = base_cells(kind, &bytes, area, size).map_or(json!(null), describe::cells);
        let mut vector = technique(name, kind, (area.width, area.height), pixels, bytes);
        vector.fields["x"] = json!(area.x);
        vector.fields["y"] = json!(area.y);
        vector.fields["base"] = describe::pixels(&base, size.width);
        vector.fields["base_cells"] = base_cells;
        vector
    };
    let store = |dx, dy, stored| Store { vector: Way { dx, dy }, stored }.payload();
    let used = |stored, x, y| Use { stored, x, y }.payload();
    let rect = |x, y, width, height| CellRect { x, y, width, height };
    let behind = |mut payload: Vec<u8>| {
        payload.push(0);
        payload
    };
    let (kept, use_) = (Technique::Store, Technique::Use);
    [
        vector("cache store, where it is", kept, rect(1, 0, 1, 1), (16, 0), store(0, 0, stored(0, 1))),
        vector("cache store, from aside", kept, rect(1, 0, 2, 1), (13, 2), store(-3, 2, stored(127, 300))),
        vector(
            "cache store, a byte more: refused",
            kept,
            rect(0, 0, 1, 1),
            (0, 0),
            behind(store(0, 0, stored(0, 1))),
        ),
        vector("cache use, all of the top left", use_, rect(0, 0, 1, 1), (0, 0), used(stored(0, 1), 0, 0)),
        vector("cache use, clipped", use_, rect(2, 1, 1, 1), (32, 16), used(stored(127, 70_000), 32, 16)),
        vector(
            "cache use, a byte more: refused",
            use_,
            rect(0, 0, 1, 1),
            (0, 0),
            behind(used(stored(5, 2), 0, 0)),
        ),
    ]
}

/// What a client shows is part of the vector: it is the same for all.
fn lossies() -> Vec<Vector> {
    use lossy::Sampling::{Full, Quarter};
    let coded = |quality, sampling, (width, height): (u16, u16), colours| {
        let (form, mut bytes) = (lossy::Form { quality, sampling }, Vec::new());
        let pixels = picture(width, height, colours);
        let rows = lossy::encode(&pixels, width.into(), form, 8_900, &mut bytes);
        assert_eq!(rows, usize::from(height));
        bytes
    };
    let shown = |name: &str, (width, height): (u16, u16), bytes: Vec<u8>| {
        let area = PixelRect { x: 0, y: 0, width, height };
        let mut pixels = Vec::new();
        if decode(Technique::Lossy, &bytes, area, None, &mut Scratch::default(), &mut pixels).is_err() {
            pixels.clear();
        }
        assert_eq!(pixels.is_empty(), name.ends_with("refused"), "{name}");
        technique(name, Technique::Lossy, (width, height), &pixels, bytes)
    };
    let whole = || coded(75, Quarter, (32, 16), 0);
    let cut = |bytes: &[u8]| bytes[..bytes.len() - 1].to_vec();
    vec![
        shown("lossy bitmap, quarter sampling", (32, 16), whole()),
        shown("lossy bitmap, full sampling", (16, 32), coded(75, Full, (16, 32), 0)),
        shown("lossy bitmap, hard edges at the best quality, clipped", (21, 7), coded(100, Full, (21, 7), 5)),
        shown("lossy bitmap, the worst quality, clipped", (9, 17), coded(1, Quarter, (9, 17), 5)),
        shown("lossy bitmap, a byte less: refused", (32, 16), cut(&whole())),
        shown("lossy bitmap, a byte behind the scan: refused", (32, 16), [whole(), vec![0xff]].concat()),
        shown("lossy bitmap, quality 0: refused", (32, 16), [vec![0x80], whole()[1..].to_vec()].concat()),
    ]
}

/// With and without a base of 3 x 4 cells, clipped to 40 x 60 pixels.
fn dictionaries() -> Vec<Vector> {
    let size = Size::new(40, 60).expect("a legal size");
    let screen = picture(size.width, size.height, 5);
    let mut encoder = dictionary::Encoder::default();
    let mut coded = |name: &str, cells: CellRect, vector: Option<Way>, pixels: &[u32]| {
        let area = size.clip(cells);
        let mut bytes = Vec::new();
        let base = vector.map(|way| {
            way.emit(&mut bytes);
            let source = way.inside(area, size).expect("it lies inside");
            let start = usize::from(source.y) * usize::from(size.width) + usize::from(source.x);
            dictionary::Base { pixels: &screen[start..], stride: size.width.into() }
        });
        let rows = encoder.encode(pixels, area.width.into(), base, 8_900, &mut bytes);
        assert_eq!(rows, usize::from(area.height));
        let base_cells = base_cells(Technique::Dictionary, &bytes, area, size).map(describe::cells);
        let mut made = technique(name, Technique::Dictionary, (area.width, area.height), pixels, bytes);
        if vector.is_some() {
            made.fields["x"] = json!(area.x);
            made.fields["y"] = json!(area.y);
            made.fields["base"] = describe::pixels(&screen, size.width);
            made.fields["base_cells"] = base_cells.expect("it lies inside");
        }
        made
    };
    let rect = |x, y, width, height| CellRect { x, y, width, height };
    let way = |dx, dy| Some(Way { dx, dy });
    let mut changed = picture(24, 16, 5);
    changed[40..200].iter_mut().step_by(7).for_each(|pixel| *pixel ^= 0x00ff_00ff);
    vec![
        coded("dictionary, few colours", rect(0, 0, 2, 1), None, &picture(32, 16, 3)),
        coded("dictionary, a gradient", rect(0, 0, 2, 2), None, &picture(32, 32, 0)),
        coded("dictionary, one colour, clipped", rect(1, 2, 2, 2), None, &[0x00ab_cdef; 24 * 28]),
        coded("dictionary, some pixels of the base", rect(1, 1, 2, 1), way(0, 0), &changed),
        coded("dictionary, base moved", rect(1, 1, 2, 1), way(-3, 5), &changed),
    ]
}
