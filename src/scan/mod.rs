//! Scan: finds what changed, keeps the picture, remembers when.

mod classic;
mod contexts;
#[cfg(test)]
pub(crate) mod fake;
mod fitted;
mod live;
mod mode;
mod picture;
mod scanner;
#[cfg(test)]
mod tests;
mod tick;
mod time_array;
pub mod trough;

pub use classic::Refiner;
pub use contexts::{CellContext, Class, Contexts, Move, Region, Trend, Vector};
pub use fitted::Fittings;
pub use mode::{Mode, Strategy};
pub use picture::{CellRow, Picture, Tile};
pub use scanner::{ScanCounters, Scanner};
pub use tick::{Delta, Tick, TickState};
pub use time_array::{Entry, TimeArray};
