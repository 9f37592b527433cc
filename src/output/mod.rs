//! Output: the UDP sockets and the network thread's loop. Decides nothing: [`crate::server::Server`] does.

mod ecn;
mod facility;
mod network;
mod orders;
mod outbox;
mod port;
mod ports;
mod socket;
mod statistics;
mod wake;
mod whole;

pub use facility::{Facilities, Facility};
pub use network::{Listen, Network, NetworkError};
pub use orders::{Desk, Order, Orders, Report, orders};
pub use ports::{Ports, sockets_for};
pub use statistics::{ServicesBoard, Statistics, StatisticsError};
pub use wake::{StopSignals, Waker};
