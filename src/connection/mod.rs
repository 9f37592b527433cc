//! Connection: how a datagram from anywhere becomes a session, and how an address proves itself.
//!
//! Nothing here remembers an address. A cookie carries all that the server needs to know again.

mod admission;
mod cookie;
pub mod machine;

pub use admission::{Admission, Policy, Turned};
pub use cookie::{Cookies, Proof};
