//! What a JPEG file would carry in front of its scan: the tables of ITU-T T.81, Annex K. Both sides have them, so that no
//! record need.

/// Luma quantisers at quality 50, row by row of the block (table K.1).
const LUMA: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17,
    22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78,
    87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];
/// Chroma quantisers at quality 50: the corner of the block that is not 99 (table K.2).
const CHROMA_CORNER: [[u8; 4]; 4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]];

/// Where in a block, row by row, each coefficient of a scan belongs.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The quantisers of luma and chroma at `quality`, 1 to 100, row by row of the block.
pub(super) fn quantisers(quality: u8) -> [[u8; 64]; 2] {
    let quality = u32::from(quality);
    let scale = if quality < 50 { 5_000 / quality } else { 200 - 2 * quality };
    let scaled = |base: u8| ((u32::from(base) * scale + 50) / 100).clamp(1, 255) as u8;
    let chroma = |at: usize| CHROMA_CORNER.get(at / 8).and_then(|row| row.get(at % 8)).copied().unwrap_or(99);
    [core::array::from_fn(|at| scaled(LUMA[at])), core::array::from_fn(|at| scaled(chroma(at)))]
}

/// Bits that a code is first looked up by.
const FAST: usize = 9;

/// One Huffman table, for both directions.
pub(super) struct Huffman {
    /// By the next nine bits: length << 8 and symbol; 0 if the code is longer.
    fast: [u16; 1 << FAST],
    /// By length: the first sixteen bits that no code of that length or less begins with.
    ends: [u32; 17],
    /// By length: its first code, and where its symbols begin.
    firsts: [(u32, usize); 17],
    symbols: &'static [u8],
    /// By symbol: its code and the code's length; 0 if there is none.
    #[cfg(feature = "encode")]
    pub(super) codes: [(u16, u8); 256],
}

impl Huffman {
    const fn new(counts: [u8; 16], symbols: &'static [u8]) -> Self {
        let mut table = Self {
            fast: [0; 1 << FAST],
            ends: [0; 17],
            firsts: [(0, 0); 17],
            symbols,
            #[cfg(feature = "encode")]
            codes: [(0, 0); 256],
        };
        let (mut code, mut at, mut len) = (0_u32, 0, 1);
        while len <= 16 {
            table.firsts[len] = (code, at);
            let end = at + counts[len - 1] as usize;
            while at < end {
                if len <= FAST {
                    let mut slot = (code << (FAST - len)) as usize;
                    while slot < ((code + 1) << (FAST - len)) as usize {
                        table.fast[slot] = (len as u16) << 8 | symbols[at] as u16;
                        slot += 1;
                    }
                }
                #[cfg(feature = "encode")]
                {
                    table.codes[symbols[at] as usize] = (code as u16, len as u8);
                }
                code += 1;
                at += 1;
            }
            table.ends[len] = code << (16 - len);
            code <<= 1;
            len += 1;
        }
        assert!(at == symbols.len());
        table
    }

    /// The symbol that sixteen bits begin with, and the length of its code.
    pub(super) fn look_up(&self, bits: u32) -> Option<(u8, u32)> {
        let found = self.fast[(bits >> (16 - FAST)) as usize & ((1 << FAST) - 1)];
        if found != 0 {
            return Some((found as u8, u32::from(found >> 8)));
        }
        let len = (FAST + 1..=16).find(|len| bits < self.ends[*len])?;
        let (first, at) = self.firsts[len];
        let symbol = self.symbols.get(at + ((bits >> (16 - len)) - first) as usize)?;
        Some((*symbol, len as u32))
    }
}

const DC_SYMBOLS: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/// DC of luma and chroma (tables K.3 and K.4).
pub(super) static DC: [Huffman; 2] = [
    Huffman::new([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], &DC_SYMBOLS),
    Huffman::new([0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], &DC_SYMBOLS),
];

/// AC of luma and chroma (tables K.5 and K.6).
pub(super) static AC: [Huffman; 2] = [
    Huffman::new(
        [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d],
        &[
            0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
            0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0,
            0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28,
            0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
            0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
            0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
            0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
            0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5,
            0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
            0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
            0xf9, 0xfa,
        ],
    ),
    Huffman::new(
        [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77],
        &[
            0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
            0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0,
            0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26,
            0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
            0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
            0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
            0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5,
            0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
            0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
            0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
            0xf9, 0xfa,
        ],
    ),
];
