//! The screen as a PNG file.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use client_lfp::Picture;

use crate::cli::exit::Failure;

/// Writes `picture` to `path`, row by row: there is never a second copy of it in memory.
pub(crate) fn write(path: &Path, picture: Option<Picture<'_>>) -> Result<(), Failure> {
    let picture =
        picture.ok_or_else(|| Failure::NotSettled("there has been no picture to write".to_string()))?;
    let file = File::create(path).map_err(|error| Failure::file(path, error))?;
    write_to(BufWriter::new(file), &picture).map_err(|error| Failure::file(path, error))
}

fn write_to(mut file: BufWriter<File>, picture: &Picture<'_>) -> Result<(), png::EncodingError> {
    let (width, height) = (picture.size.width, picture.size.height);
    let mut encoder = png::Encoder::new(&mut file, u32::from(width), u32::from(height));
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    let mut stream = writer.stream_writer()?;
    let mut bytes = Vec::with_capacity(usize::from(width) * 3);
    for row in picture.pixels.chunks(usize::from(width)) {
        bytes.clear();
        for pixel in row {
            let [blue, green, red, _] = picture.depth.colour(*pixel).to_le_bytes();
            bytes.extend([red, green, blue]);
        }
        stream.write_all(&bytes)?;
    }
    stream.finish()?;
    writer.finish()?;
    file.flush()?;
    Ok(())
}
