//! Services that come and go: what is served, and the thread of the control channel, which changes it.
//!
//! The [`Catalogue`] knows every service, and what a request makes of it; it does nothing. A `Conversation` is one side's words
//! as bytes, with what bounds them. The [`Keeper`]'s thread waits for the other side, opens sources, which may take its
//! time, and has the network thread do the rest. `docs/APPLIANCE.md` has the words.

mod catalogue;
mod conversation;
mod endpoint;
mod keeper;
mod status;
#[cfg(test)]
mod tests;

pub use catalogue::{Catalogue, Deed, Opening};
pub use conversation::Conversation;
pub use endpoint::{Endpoint, EndpointError};
pub use keeper::{Keeper, Premises};
