//! Ways: where in a client's reference the base of each cell best lies, so that cells of one way can share records.

use crate::geometry::{CellRect, CellSet, PixelRect};
use crate::logic::base::Base;
use crate::scan::Picture;
use lfp_proto::technique::base::Vector;

/// Of how many rows one is compared.
const SAMPLE_STEP: u16 = 4;
/// Of 16 sampled pixels so many have to be the base's that no other way is looked at.
const CLEARLY: usize = 15;

/// Wanted cells whose base lies in one direction.
#[derive(Debug)]
pub(super) struct Class {
    /// From a cell to its base; `None`: it has none.
    pub(super) vector: Option<Vector>,
    pub(super) cells: CellSet,
}

/// Divides `wanted` by the way to the base that shows most of each cell's pixels: none, or one of `vectors`. Classes without
/// cells are left out.
pub(super) fn divide(base: &Base, picture: &Picture, wanted: &CellSet, vectors: &[Vector]) -> Vec<Class> {
    let class = |vector| Class { vector, cells: CellSet::new(wanted.grid()) };
    let mut classes: Vec<_> = [None, Some(Vector::default())].into_iter().map(class).collect();
    classes.extend(vectors.iter().map(|vector| class(Some(*vector))));
    let columns = usize::from(wanted.grid().columns);
    let (mut new, mut old) = (Vec::new(), Vec::new());
    for index in wanted.iter() {
        let cell = CellRect { x: (index % columns) as u16, y: (index / columns) as u16, width: 1, height: 1 };
        let area = picture.size.clip(cell);
        let rows = || (area.y..area.y + area.height).step_by(usize::from(SAMPLE_STEP));
        new.clear();
        rows().for_each(|y| picture.read_row(PixelRect { y, height: 1, ..area }, &mut new));
        let (mut best, mut best_score) = (0, 0);
        for (at, class) in classes.iter().enumerate().skip(1) {
            let Some(vector) = class.vector else { continue };
            let Some(source) = vector.inside(area, picture.size) else { continue };
            if !base.trusts(source.cells_touched()) {
                continue;
            }
            old.clear();
            rows().for_each(|y| {
                let y = source.y + (y - area.y);
                base.picture.read_row(PixelRect { y, height: 1, ..source }, &mut old);
            });
            let score = 1 + new.iter().zip(&old).filter(|(new, old)| new == old).count();
            if score > best_score {
                (best, best_score) = (at, score);
            }
            if score * 16 >= new.len() * CLEARLY {
                break;
            }
        }
        classes[best].cells.insert(index);
    }
    classes.retain(|class| !class.cells.is_empty());
    classes
}

/// Whether all of the base that lies at `vector` from `cells` is trusted.
pub(super) fn leads(base: &Base, picture: &Picture, cells: CellRect, vector: Vector) -> bool {
    let source = vector.inside(picture.size.clip(cells), picture.size);
    source.is_some_and(|source| base.trusts(source.cells_touched()))
}
