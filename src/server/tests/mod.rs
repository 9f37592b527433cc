//! Whole servers in virtual time.

mod attention;
mod client;
mod digests;
mod flow;
mod handshake;
mod input;
mod lifecycle;
mod lossy;
mod picture;
mod world;
