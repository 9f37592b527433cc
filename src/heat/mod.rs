//! Heat: how often and how recently each cell changed, what it looks like, and where input makes a change likely.
//!
//! Costs what the changed cells cost; a tick that changes nothing costs nothing, since what cools does so by
//! arithmetic when it is asked for.

mod beat;
mod changes;
mod engine;
mod pyramid;
mod spots;

pub use crate::scan::{Class, Trend};
pub use changes::{Change, Changes};
pub(crate) use changes::{around, common};
pub use engine::Heat;
pub use pyramid::Pyramid;
pub use spots::Hint;
