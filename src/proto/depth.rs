//! How many bits a client's pixels have, and which colours these stand for.
//!
//! Techniques and digests work on pixels of the client's own depth, held in `u32`s: the numbers that `SPEC.md` section 2
//! calls B, G and R, in the low, the middle and the high byte of `0x00RRGGBB`. At 24 bits these are the colour. Nothing is
//! dithered: what a pixel becomes depends on its colour alone, so that a cell which did not change does not change, what
//! moved by any distance is a copy, and text stays sharp.

/// A depth: what a pixel's numbers are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Depth {
    /// 8 bits: B is a number of the [`palette`], G and R are 0.
    Bits8,
    /// 16 bits: 5 of red, 6 of green, 5 of blue.
    Bits16,
    /// 24 bits, for clients of 24 and 32: 8 of each.
    #[default]
    Bits24,
}

/// Colours of the palette that are no greys beyond the cube's: 6 x 6 x 6.
const CUBE: u32 = 216;
/// Between two levels of the cube.
const CUBE_STEP: u32 = 51;
/// Largest sum of a colour's channels.
const SUM_MAX: usize = 3 * 255;
/// For each sum of channels the palette's grey beyond the cube that is nearest; of two the darker.
static GREYS: [u8; SUM_MAX + 1] = nearest_greys();

impl Depth {
    /// Every depth.
    pub const ALL: [Self; 3] = [Self::Bits8, Self::Bits16, Self::Bits24];

    /// The depth of a display that states so many bits per pixel; `None` if there is none.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            8 => Some(Self::Bits8),
            16 => Some(Self::Bits16),
            24 | 32 => Some(Self::Bits24),
            _ => None,
        }
    }

    /// Bits that a pixel takes.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Bits8 => 8,
            Self::Bits16 => 16,
            Self::Bits24 => 24,
        }
    }

    /// Bytes that a pixel takes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.bits() as usize / 8
    }

    /// The pixel that stands for a colour (`0x00RRGGBB`; the high byte is ignored).
    #[must_use]
    pub fn reduce(self, colour: u32) -> u32 {
        match self {
            Self::Bits8 => to_palette(colour),
            Self::Bits16 => to_16(colour),
            Self::Bits24 => colour & 0x00ff_ffff,
        }
    }

    /// [`Depth::reduce`] on each of `pixels`.
    pub fn reduce_all(self, pixels: &mut [u32]) {
        match self {
            Self::Bits8 => pixels.iter_mut().for_each(|pixel| *pixel = to_palette(*pixel)),
            Self::Bits16 => pixels.iter_mut().for_each(|pixel| *pixel = to_16(*pixel)),
            Self::Bits24 => {}
        }
    }

    /// The colour (`0x00RRGGBB`) that a pixel of this depth stands for. Channels of 5 and 6 bits are widened by repeating
    /// their high bits.
    #[must_use]
    pub const fn colour(self, pixel: u32) -> u32 {
        match self {
            Self::Bits8 => palette(pixel as u8),
            Self::Bits16 => {
                let (red, green, blue) = (pixel >> 16 & 0x1f, pixel >> 8 & 0x3f, pixel & 0x1f);
                (red << 3 | red >> 2) << 16 | (green << 2 | green >> 4) << 8 | blue << 3 | blue >> 2
            }
            Self::Bits24 => pixel & 0x00ff_ffff,
        }
    }

    /// Whether each of `pixels` is one of this depth.
    #[must_use]
    pub fn has_all(self, pixels: &[u32]) -> bool {
        let mask = match self {
            Self::Bits8 => 0x0000_00ff,
            Self::Bits16 => 0x001f_3f1f,
            Self::Bits24 => 0x00ff_ffff,
        };
        pixels.iter().fold(0, |all, pixel| all | pixel) & !mask == 0
    }

    /// A pixel's bits in one number below 2^[`Depth::bits`]: red above green above blue.
    #[must_use]
    pub const fn pack(self, pixel: u32) -> u32 {
        match self {
            Self::Bits16 => pixel >> 16 << 11 | (pixel >> 8 & 0x3f) << 5 | pixel & 0x1f,
            Self::Bits8 | Self::Bits24 => pixel,
        }
    }

    /// The pixel that [`Depth::pack`] gave.
    #[must_use]
    pub const fn unpack(self, packed: u32) -> u32 {
        match self {
            Self::Bits16 => (packed >> 11 & 0x1f) << 16 | (packed >> 5 & 0x3f) << 8 | packed & 0x1f,
            Self::Bits8 | Self::Bits24 => packed,
        }
    }
}

/// The colour (`0x00RRGGBB`) with a number of the palette: 6 x 6 x 6 colours with channels of 0, 51 to 255, and 40 greys
/// between them.
#[must_use]
pub const fn palette(number: u8) -> u32 {
    let number = number as u32;
    if number >= CUBE {
        return grey(number) * 0x0001_0101;
    }
    let [red, green, blue] = [number / 36, number / 6 % 6, number % 6];
    (red << 16 | green << 8 | blue) * CUBE_STEP
}

/// The level of a grey beyond the cube.
const fn grey(number: u32) -> u32 {
    ((number - CUBE + 1) * 510 + 41) / 82
}

const fn nearest_greys() -> [u8; SUM_MAX + 1] {
    let mut greys = [0; SUM_MAX + 1];
    let (mut sum, mut number) = (0, CUBE);
    while sum <= SUM_MAX {
        // The next is nearer once the mean lies beyond the middle between the two.
        while number < 255 && 2 * sum as u32 > 3 * (grey(number) + grey(number + 1)) {
            number += 1;
        }
        greys[sum] = number as u8;
        sum += 1;
    }
    greys
}

/// The nearest colour of the palette by the sum of the channels' squared differences; of several the smallest number.
fn to_palette(colour: u32) -> u32 {
    let (red, green, blue) = (colour >> 16 & 0xff, colour >> 8 & 0xff, colour & 0xff);
    let distance = |levels: [u32; 3]| {
        let [r, g, b] = levels;
        red.abs_diff(r).pow(2) + green.abs_diff(g).pow(2) + blue.abs_diff(b).pow(2)
    };
    // No channel lies in the middle between two levels of the cube.
    let [r, g, b] = [red, green, blue].map(|channel| (channel + CUBE_STEP / 2) / CUBE_STEP);
    let number = u32::from(GREYS[(red + green + blue) as usize]);
    let is_in_cube = distance([r, g, b].map(|level| level * CUBE_STEP)) <= distance([grey(number); 3]);
    if is_in_cube { r * 36 + g * 6 + b } else { number }
}

/// The nearest level of each channel's.
const fn to_16(colour: u32) -> u32 {
    let (red, green, blue) = (colour >> 16 & 0xff, colour >> 8 & 0xff, colour & 0xff);
    let [red, green, blue] = [(red * 31 + 127) / 255, (green * 63 + 127) / 255, (blue * 31 + 127) / 255];
    red << 16 | green << 8 | blue
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Colours all over the cube, with steps of channels that share no factor with any level.
    fn colours() -> impl Iterator<Item = u32> {
        let channel = || (0..256_u32).step_by(7).chain([255, 26, 25, 128]);
        channel().flat_map(move |red| {
            channel().flat_map(move |green| channel().map(move |blue| red << 16 | green << 8 | blue))
        })
    }

    fn channels(colour: u32) -> [i32; 3] {
        [16, 8, 0].map(|shift| (colour >> shift & 0xff) as i32)
    }

    fn distance(a: u32, b: u32) -> i32 {
        channels(a).iter().zip(channels(b)).map(|(a, b)| (a - b).pow(2)).sum()
    }

    #[test]
    fn the_palette_entry_is_the_first_of_the_nearest() {
        for colour in colours().chain((0..256).map(|level| level * 0x01_0101)) {
            let nearest = (0..=255_u8).min_by_key(|number| distance(palette(*number), colour));
            assert_eq!(Some(Depth::Bits8.reduce(colour)), nearest.map(u32::from), "{colour:06x}");
        }
    }

    #[test]
    fn the_palette_has_256_colours_of_which_46_are_greys() {
        let mut colours: alloc::vec::Vec<u32> = (0..=255).map(palette).collect();
        let greys =
            colours.iter().filter(|colour| channels(**colour).iter().all(|c| *c == channels(**colour)[0]));
        assert_eq!(greys.count(), 46);
        assert_eq!(
            (colours[0], colours[215], colours[216], colours[255]),
            (0, 0xff_ffff, 0x06_0606, 0xf9_f9f9)
        );
        colours.sort_unstable();
        colours.dedup();
        assert_eq!(colours.len(), 256);
    }

    #[test]
    fn channels_of_16_bits_take_the_nearest_level() {
        for colour in colours() {
            let pixel = Depth::Bits16.reduce(colour);
            for (shift, max) in [(16, 31_i32), (8, 63), (0, 31)] {
                let (channel, level) = ((colour >> shift & 0xff) as i32, (pixel >> shift & 0xff) as i32);
                assert!((level * 255 - channel * max).abs() * 2 <= 255, "{colour:06x} becomes {pixel:06x}");
            }
        }
    }

    #[test]
    fn what_a_pixel_shows_becomes_that_pixel_again() {
        for packed in 0..=u32::from(u16::MAX) {
            let pixel = Depth::Bits16.unpack(packed);
            assert_eq!(
                (Depth::Bits16.pack(pixel), Depth::Bits16.reduce(Depth::Bits16.colour(pixel))),
                (packed, pixel)
            );
        }
        for number in 0..=255 {
            assert_eq!(Depth::Bits8.reduce(Depth::Bits8.colour(number)), number);
        }
        for depth in Depth::ALL {
            assert_eq!(
                (depth.colour(depth.reduce(0)), depth.colour(depth.reduce(0xff_ffff))),
                (0, 0xff_ffff)
            );
            assert_eq!(Depth::from_bits(depth.bits() as u8), Some(depth));
        }
        assert_eq!(
            (Depth::from_bits(32), Depth::from_bits(15), Depth::from_bits(0)),
            (Some(Depth::Bits24), None, None)
        );
    }

    #[test]
    fn pixels_of_another_depth_are_told() {
        assert!(Depth::Bits8.has_all(&[0, 255]) && !Depth::Bits8.has_all(&[0, 256]));
        assert!(Depth::Bits16.has_all(&[0x1f_3f1f]) && !Depth::Bits16.has_all(&[0x20_0000]));
        assert!(!Depth::Bits16.has_all(&[0x40_00]) && !Depth::Bits16.has_all(&[0x20]));
    }
}
