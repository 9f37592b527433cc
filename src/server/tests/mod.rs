//! Whole servers in virtual time.

mod client;
mod picture;
mod rate;
mod world;
