//! What each side remembers of the packets it sent and received.

mod receive;

pub use receive::{Arrival, ReceiveWindow};
