//! Scan: finds what changed, keeps the picture, remembers when.

mod picture;
mod tick;

pub use picture::{CellRow, Picture, Tile};
pub use tick::{Delta, Tick, TickState};
