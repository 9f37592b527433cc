//! Context: what has moved in a picture, what hangs together, and what it is.
//!
//! Cells that changed lately are joined into regions (by adjacency, activity and contrast), and a grammar says what
//! each is. Costs what the cells cost that changed in the last second.

mod cell;
mod engine;
mod groups;
mod look;
pub mod motion;
mod rules;
#[cfg(test)]
mod tests;
mod video;
mod watcher;

pub use crate::scan::{CellContext, Contexts, Region};
pub use engine::Engine;
pub use look::{LOOKS, Look, is_flat, look};
pub use rules::{RULES, Rule, Shape, judge};
pub use watcher::Watcher;
