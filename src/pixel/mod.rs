//! Pixels: as sources store them, and as clients' displays show them.

mod fit;
mod format;
mod shrink;

pub use fit::{Bounds, Fit};
pub use format::{PixelFormat, convert_row};
pub use shrink::Shrink;
