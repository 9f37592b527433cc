//! A 5x8 pixel font, drawn by hand in `font.txt`: sixteen glyphs a row, from space to `~`.

/// Columns of a glyph.
pub(crate) const WIDTH: usize = 5;
/// Rows of a glyph; the last one is for descenders.
pub(crate) const HEIGHT: usize = 8;

const SHEET: &str = include_str!("font.txt");
const GLYPHS_PER_ROW: usize = 16;

/// The glyphs of the printable ASCII characters.
pub(crate) struct Font {
    /// Row `r` of glyph `g` is `rows[g][r]`; bit `WIDTH - 1` is its leftmost pixel.
    rows: Vec<[u8; HEIGHT]>,
}

impl Font {
    /// Reads the sheet.
    pub(crate) fn new() -> Self {
        let mut rows = vec![[0; HEIGHT]; usize::from(b'~' - b' ') + 1];
        for (index, line) in SHEET.lines().enumerate() {
            for (column, pixel) in line.bytes().enumerate() {
                let glyph = index / HEIGHT * GLYPHS_PER_ROW + column / (WIDTH + 1);
                let bit = column % (WIDTH + 1);
                if pixel == b'#' && bit < WIDTH {
                    rows[glyph][index % HEIGHT] |= 1 << (WIDTH - 1 - bit);
                }
            }
        }
        Self { rows }
    }

    /// The rows of a character; of `?` for one that the sheet lacks.
    pub(crate) fn glyph(&self, character: char) -> &[u8; HEIGHT] {
        let index = match character {
            ' '..='~' => character as usize - ' ' as usize,
            _ => '?' as usize - ' ' as usize,
        };
        &self.rows[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_character_has_its_own_shape() {
        let font = Font::new();
        for a in '!'..='~' {
            assert_ne!(font.glyph(a), font.glyph(' '), "{a} is blank");
            for b in ' '..a {
                assert_ne!(font.glyph(a), font.glyph(b), "{a} looks like {b}");
            }
        }
    }

    #[test]
    fn characters_that_the_sheet_lacks_become_question_marks() {
        assert_eq!(Font::new().glyph('ß'), Font::new().glyph('?'));
    }
}
