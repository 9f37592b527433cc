//! What each side remembers of the packets it sent and received, and how fast it may send.

mod ecn;
mod kept;
mod length;
mod loss;
mod losses;
mod pacer;
mod parity;
mod rate;
mod receive;
mod rtt;
mod send;
mod way;

pub use ecn::{Codepoint, EcnPath, EcnSeen};
pub use length::{LengthCounts, PacketLength};
pub use loss::LossThresholds;
pub use pacer::Pacer;
pub use parity::{ParityGroup, ParityKeeper};
pub use rate::{Phase, RateController, Stamp};
pub use receive::{Arrival, ReceiveWindow};
pub use rtt::Rtt;
pub use send::{AckSummary, Fate, NeverSent, Newest, SendWindow, Sent};
pub use way::{Reception, Transit};
