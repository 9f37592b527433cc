//! Motion: which parts of a picture are parts of an older one, moved.
//!
//! Anchors (places that are recognised wherever they go) of the changed cells in both pictures vote on vectors; the
//! vectors with most votes are then tried on every changed cell, and a cell counts as moved only if each of its
//! pixels is the one that the vector says. So the search may miss a motion, and never invents one.

mod search;
#[cfg(test)]
mod tests;
mod verify;
mod votes;

pub use search::Search;

pub use crate::scan::{Move, Vector};
