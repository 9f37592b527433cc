//! Whole servers in virtual time.

mod client;
mod picture;
mod world;
