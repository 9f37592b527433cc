//! `/dev/fb0`: what mode it is in, and how pixels get there. Only `write`, so that no memory is mapped.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use crate::canvas::{Canvas, Colour, Rect};

/// A linear mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mode {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// 15 (555), 16 (565), 24 (packed) or 32.
    pub(crate) depth: usize,
    pub(crate) stride_bytes: usize,
    /// Where the first pixel stands, in bytes from the start of video memory.
    pub(crate) offset_bytes: usize,
}

impl Mode {
    /// Bytes of one pixel.
    pub(crate) const fn pixel_bytes(&self) -> usize {
        self.depth.div_ceil(8)
    }
}

/// The screen.
pub(crate) struct Screen {
    device: File,
    mode: Mode,
    bytes: Vec<u8>,
}

impl Screen {
    /// Opens the framebuffer in the mode that the kernel gave it.
    pub(crate) fn open() -> io::Result<Self> {
        let device = OpenOptions::new().write(true).open("/dev/fb0")?;
        let size = attribute("virtual_size")?;
        let (width, height) = size.split_once(',').ok_or(io::ErrorKind::InvalidData)?;
        let mode = Mode {
            width: number(width)?,
            height: number(height)?,
            depth: number(&attribute("bits_per_pixel")?)?,
            stride_bytes: number(&attribute("stride")?)?,
            offset_bytes: 0,
        };
        Ok(Self { device, mode, bytes: Vec::new() })
    }

    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    /// Paints as `mode` says from now on.
    pub(crate) const fn follow(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// Puts a rectangle of the picture, which has the mode's size, on the screen.
    pub(crate) fn present(&mut self, canvas: &Canvas, rect: Rect) -> io::Result<()> {
        // Rows that follow each other without padding go in one piece: Linux 6.1's DRM drivers lose a write of
        // exactly one whole row.
        let whole = rect.width * self.mode.pixel_bytes() == self.mode.stride_bytes;
        self.bytes.clear();
        for y in rect.y..rect.y + rect.height {
            for &pixel in canvas.row(rect, y) {
                put_pixel(&mut self.bytes, self.mode.depth, pixel);
            }
            if !whole || y + 1 == rect.y + rect.height {
                let first = if whole { rect.y } else { y };
                let at = first * self.mode.stride_bytes + rect.x * self.mode.pixel_bytes();
                self.device.write_all_at(&self.bytes, (self.mode.offset_bytes + at) as u64)?;
                self.bytes.clear();
            }
        }
        Ok(())
    }
}

fn put_pixel(line: &mut Vec<u8>, depth: usize, pixel: Colour) {
    let [blue, green, red, _] = pixel.to_le_bytes();
    let (r, g, b) = (u16::from(red), u16::from(green), u16::from(blue));
    match depth {
        15 => line.extend_from_slice(&((r >> 3) << 10 | (g >> 3) << 5 | b >> 3).to_le_bytes()),
        16 => line.extend_from_slice(&((r >> 3) << 11 | (g >> 2) << 5 | b >> 3).to_le_bytes()),
        24 => line.extend_from_slice(&[blue, green, red]),
        _ => line.extend_from_slice(&[blue, green, red, 0]),
    }
}

fn attribute(name: &str) -> io::Result<String> {
    Ok(fs::read_to_string(format!("/sys/class/graphics/fb0/{name}"))?.trim().to_owned())
}

fn number(text: &str) -> io::Result<usize> {
    text.parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_take_the_form_of_each_depth() {
        let form = |depth| {
            let mut line = Vec::new();
            put_pixel(&mut line, depth, 0x00ff_8408);
            line
        };
        assert_eq!(form(32), [0x08, 0x84, 0xff, 0]);
        assert_eq!(form(24), [0x08, 0x84, 0xff]);
        assert_eq!(form(16), 0xfc21_u16.to_le_bytes());
        assert_eq!(form(15), 0x7e01_u16.to_le_bytes());
    }
}
