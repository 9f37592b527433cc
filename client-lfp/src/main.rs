//! The reference client of LFP, for the command line.
fn main() {}
