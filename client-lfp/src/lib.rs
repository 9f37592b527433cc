//! The reference client of LFP, as a sans-IO core: no clock, no sockets, no threads.
//!
//! [`Client`] is driven by four verbs: [`Client::handle_datagram`] whenever a datagram comes,
//! [`Client::handle_timeout`] when the time of [`Client::poll_timeout`] has come, and after either (and after
//! [`Client::input`] and [`Client::close`]) [`Client::poll_transmit`] until it gives nothing more. What it shows is
//! [`Client::picture`]; [`Client::handle_shown`] tells it when its user sees that.
//!
//! Whatever a server says, the client shows at worst a wrong picture: it never panics, and never keeps more than
//! [`limits`] and the protocol's own limits say.

pub mod limits;
#[doc(hidden)]
pub mod machine;
#[doc(hidden)]
pub mod oracle;

mod apply;
mod arrivals;
mod attention;
mod cache;
mod client;
mod config;
mod digests;
mod echo;
mod framebuffer;
mod greeting;
mod handshake;
mod histogram;
mod input;
mod marks;
mod notes;
mod offer;
mod path;
mod reach;
mod reference;
mod security;
mod sent;
mod state;
mod stats;
mod streams;
mod surface;

pub use client::{Client, TicketGiven};
pub use config::Config;
pub use echo::{Echo, EchoStats};
pub use framebuffer::Picture;
pub use histogram::Histogram;
pub use notes::CellNote;
pub use offer::Kept;
pub use path::PathSeen;
pub use reach::Look;
pub use security::{Credentials, Expected, Security};
pub use state::State;
pub use stats::Stats;
pub use surface::SurfaceView;
