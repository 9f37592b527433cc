//! LFP serves virtual machines' screens over UDP, straight from their framebuffers.
//!
//! Data flows one way: a module uses only what stands above it in this list. `docs/ARCHITECTURE.md` has the map.

pub use lfp_proto::{geometry, time, units};

pub mod limits;

pub mod ablation;

pub mod clock;

pub mod kernel;
pub mod pixel;

pub mod channel;

pub mod hypervisor;

pub mod scan;

pub mod heat;

pub mod context;

pub mod logic;

pub mod pipeline;

pub mod directory;

pub mod connection;
pub mod session;

pub mod server;

pub mod output;

pub mod config;

pub mod identity;

pub mod confine;

pub mod commands;
