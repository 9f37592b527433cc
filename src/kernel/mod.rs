//! Hot loops over slices and integers, and nothing else.

pub mod anchors;
pub mod compare;
pub mod cpu;
pub mod detail;
pub mod dispatch;
pub mod features;
pub mod join;
pub mod pack;
