//! What pixels look like, whatever is happening to them.

use crate::geometry::CellRect;
use crate::kernel::features::{Features, PAIRS};
use crate::scan::Picture;
use lfp_proto::record::Context;

/// A look of a cell.
#[derive(Debug)]
pub struct Look {
    /// What it is called.
    pub context: Context,
    /// Whether a cell with these figures looks like it.
    pub test: fn(&Features) -> bool,
    /// Why.
    pub reason: &'static str,
}

const HALF: u8 = (PAIRS / 2) as u8;
const THIRD: u8 = (PAIRS / 3) as u8;
const EIGHTH: u8 = (PAIRS / 8) as u8;

/// The looks; a cell has the first one whose test it meets.
pub const LOOKS: [Look; 8] = [
    Look { context: Context::Flat, test: |cell| cell.colours == 1, reason: "one colour is flat" },
    Look {
        context: Context::Text,
        test: |cell| cell.hard >= PAIRS_OF_A_GLYPH && cell.same >= THIRD && cell.contrast >= 60,
        reason: "ink on paper: hard edges, and more paper than edges",
    },
    Look {
        context: Context::Noise,
        test: |cell| cell.colours >= 48 && cell.hard >= THIRD && cell.same < EIGHTH,
        reason: "every pixel is far from its neighbours, and hardly a colour comes twice",
    },
    Look {
        context: Context::Gradient,
        test: |cell| {
            cell.hard == 0
                && cell.same >= THIRD
                && cell.same.saturating_add(cell.soft) >= PAIRS_ALL_BUT_FEW
                && cell.colours >= 3
        },
        reason: "nothing but small steps between stretches of one colour",
    },
    Look {
        context: Context::Photo,
        test: |cell| cell.colours >= 12 && cell.same < HALF,
        reason: "many colours, and most pixels differ from their neighbours",
    },
    Look {
        context: Context::Photo,
        test: |cell| cell.colours >= 24 && cell.soft >= THIRD,
        reason: "many colours, a little apart: a picture's quieter part",
    },
    Look {
        context: Context::Text,
        test: |cell| cell.hard >= PAIRS_OF_A_GLYPH / 2 && cell.same >= HALF,
        reason: "the end of a line of writing, or faint writing",
    },
    Look { context: Context::Interface, test: |_| true, reason: "a few colours and little on them" },
];

/// Pairs that one small letter puts far apart; of the cell's pairs in parts of [`PAIRS`].
const PAIRS_OF_A_GLYPH: u8 = 12;
const PAIRS_ALL_BUT_FEW: u8 = (PAIRS - PAIRS / 16) as u8;

/// What a cell with these figures looks like.
#[must_use]
pub fn look(features: &Features) -> Context {
    LOOKS.iter().find(|look| (look.test)(features)).map_or(Context::Unknown, |look| look.context)
}

/// Whether the region `cells` of `picture` has one colour.
///
/// # Panics
/// If `cells` is empty or does not lie inside the picture's grid.
#[must_use]
pub fn is_flat(picture: &Picture, cells: CellRect) -> bool {
    let colour = picture.tile(cells.x, cells.y)[0];
    let columns = usize::from(cells.x)..usize::from(cells.x + cells.width);
    picture.cell_rows(cells).all(|row| {
        row.detail[columns.clone()].iter().all(|detail| *detail == 0)
            && row.tiles[columns.clone()].iter().all(|tile| tile[0] == colour)
    })
}

/// Whether something is made of many colours that flow into each other.
#[must_use]
pub(super) const fn is_picture(look: Context) -> bool {
    matches!(look, Context::Photo | Context::Gradient | Context::Noise)
}
