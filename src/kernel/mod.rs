//! Hot loops over slices and integers, and nothing else.

pub mod detail;
