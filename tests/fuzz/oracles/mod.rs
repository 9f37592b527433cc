//! What must hold of every input, one function a target. It says whether the input was taken.

pub(crate) mod proto;
pub(crate) mod window;
