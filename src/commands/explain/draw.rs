//! What the engines see, drawn over what the source shows.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use super::super::support::{CommandError, Frame};
use crate::geometry::{CellRect, Size};
use crate::hypervisor::synthetic::{Area, Canvas};
use crate::limits::CELL;
use crate::scan::{Class, Tick};
use lfp_proto::record::Context;

const LEGEND_HEIGHT: u16 = 24;

const fn heat_colour(class: Class) -> u32 {
    match class {
        Class::Cold => 0x10_20_60,
        Class::Cool => 0x20_80_e0,
        Class::Warm => 0xf0_b0_00,
        Class::Hot => 0xff_20_00,
    }
}

/// Writes `SSSSSS-contexts.png` and `SSSSSS-heat.png` (milliseconds) to `folder`.
pub(super) fn draw(folder: &Path, at_ms: u64, tick: &Tick, frame: &Frame) -> Result<(), CommandError> {
    let contexts = &tick.contexts;
    let mut canvas = tinted(frame, |index| {
        let cell = contexts.cell(index);
        let share = if cell.context == cell.look { 3 } else { 6 };
        (cell.context.colour(), share)
    });
    for region in contexts.regions() {
        let vector =
            region.vector.map_or(String::new(), |vector| format!(" {:+} {:+}", vector.dx, vector.dy));
        let label = format!("{} {}{vector}", region.context.name(), region.rate_hz);
        outline(&mut canvas, frame.size, region.cells, region.context.colour(), &label);
    }
    let legend: Vec<_> = Context::ALL.iter().map(|one| (one.colour(), one.name())).collect();
    save(&folder.join(format!("{at_ms:06}-contexts.png")), canvas, frame.size, &legend)?;
    let heat = tinted(frame, |index| {
        let class = contexts.cell(index).class;
        (heat_colour(class), if class == Class::Cold { 4 } else { 9 })
    });
    let classes = [Class::Cold, Class::Cool, Class::Warm, Class::Hot];
    let names = ["cold: no change in the last second", "cool: 1-2", "warm: 3-7", "hot: 8 and more"];
    let legend: Vec<_> = classes.into_iter().map(heat_colour).zip(names).collect();
    save(&folder.join(format!("{at_ms:06}-heat.png")), heat, frame.size, &legend)
}

/// The picture, each cell mixed with so many sixteenths of a colour, and room for a legend below.
fn tinted(frame: &Frame, tint: impl Fn(usize) -> (u32, u32)) -> Canvas {
    let size = Size { width: frame.size.width, height: frame.size.height + LEGEND_HEIGHT };
    let mut canvas = Canvas::new(size);
    let (width, grid) = (usize::from(frame.size.width), frame.size.grid());
    let picture = Area::new(0, 0, frame.size.width.into(), frame.size.height.into());
    canvas.paint(picture, |x, y| {
        let index = grid.index(x as u16 / CELL, y as u16 / CELL);
        let (colour, share) = tint(index);
        mix(frame.pixels[y as usize * width + x as usize], colour, share)
    });
    canvas
}

fn mix(pixel: u32, colour: u32, share: u32) -> u32 {
    let channel = |shift: u32| {
        let (pixel, colour) = (pixel >> shift & 0xff, colour >> shift & 0xff);
        ((pixel * (16 - share) + colour * share) / 16) << shift
    };
    channel(16) | channel(8) | channel(0)
}

fn outline(canvas: &mut Canvas, size: Size, cells: CellRect, colour: u32, label: &str) {
    let area = size.clip(cells);
    let (x, y, width, height) = (area.x.into(), area.y.into(), i32::from(area.width), i32::from(area.height));
    for side in [
        Area::new(x, y, width, 2),
        Area::new(x, y + height - 2, width, 2),
        Area::new(x, y, 2, height),
        Area::new(x + width - 2, y, 2, height),
    ] {
        canvas.fill(side, colour);
    }
    if width >= 48 && height >= 16 {
        canvas.fill(Area::new(x, y, 6 * label.len() as i32 + 6, 12), colour);
        canvas.text(x + 3, y + 2, 1, 0, label);
    }
}

fn save(path: &Path, mut canvas: Canvas, size: Size, legend: &[(u32, &str)]) -> Result<(), CommandError> {
    let top = i32::from(size.height);
    canvas.fill(Area::new(0, top, size.width.into(), LEGEND_HEIGHT.into()), 0x18_18_18);
    let mut x = 6;
    for (colour, name) in legend {
        canvas.fill(Area::new(x, top + 7, 10, 10), *colour);
        canvas.text(x + 14, top + 8, 1, 0xff_ff_ff, name);
        x += 14 + 6 * name.len() as i32 + 12;
    }
    let bytes: Vec<u8> = canvas
        .pixels()
        .iter()
        .flat_map(|pixel| [(pixel >> 16) as u8, (pixel >> 8) as u8, *pixel as u8])
        .collect();
    let failed = |error: std::io::Error| CommandError::Write { path: path.to_owned(), error };
    let file = BufWriter::new(File::create(path).map_err(failed)?);
    let mut encoder = png::Encoder::new(file, size.width.into(), u32::from(size.height + LEGEND_HEIGHT));
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&bytes));
    written.map_err(|error| failed(std::io::Error::other(error)))
}
