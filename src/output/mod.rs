//! Output: the UDP sockets and the network thread's loop. Decides nothing: [`crate::server::Server`] does.

mod ecn;
mod facility;
mod network;
mod outbox;
mod port;
mod ports;
mod socket;
mod statistics;
mod wake;
mod whole;

pub use facility::{Facilities, Facility};
pub use network::{Listen, Network, NetworkError};
pub use ports::{Ports, sockets_for};
pub use statistics::{Statistics, StatisticsError};
pub use wake::{StopSignals, Waker};
