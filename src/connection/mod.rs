//! Connection: how a datagram from anywhere becomes a session, and how an address proves itself.
//!
//! Cookies carry all that the server needs to know an address again. Nothing is remembered of one that has shown none; of those
//! that have, the door keeps a bounded number of handshakes for a bounded time.

mod admission;
pub mod aead;
mod cookie;
mod door;
pub mod machine;
mod ticket;

pub use admission::{Admission, Policy, Turned};
pub use cookie::{Cookies, Proof};
pub use door::{Door, Secrets, Visitor};
pub use ticket::{Ticket, Tickets};
