//! Output: the UDP socket and the network thread's loop. Decides nothing: [`crate::server::Server`] does.

mod network;
mod outbox;
mod socket;
mod statistics;
mod wake;

pub use network::{Network, NetworkError};
pub use statistics::{Statistics, StatisticsError};
pub use wake::{StopSignals, Waker};
