//! What the words of the command line do.

pub mod inspect;
pub mod play;
pub mod record;
mod support;
