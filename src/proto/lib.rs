//! The LFP wire protocol, as one sans-IO crate: no clock, no sockets, no threads, no `unsafe`.
//!
//! `SPEC.md` beside this file is the authority; the code quotes each MUST that it meets. Everything that
//! parses bytes from outside returns an error or a named refusal, never panics, and never allocates
//! beyond a bound of [`limits`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod aead;
pub mod check;
pub mod depth;
pub mod frame;
pub mod geometry;
pub mod greeting;
pub mod hello;
pub mod identity;
pub mod keys;
pub mod limits;
pub mod noise;
pub mod offer;
pub mod packet;
pub mod record;
pub mod seal;
pub mod shm;
pub mod stream;
pub mod tally;
pub mod technique;
pub mod time;
pub mod units;
pub mod window;
pub mod wire;
