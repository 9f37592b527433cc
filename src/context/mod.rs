//! Context: what the cells of a picture hold, and what has become of them.

mod look;
pub mod motion;

pub use look::examine;
