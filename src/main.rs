//! `lfp-server`: serves virtual machines' screens over UDP.

fn main() {}
