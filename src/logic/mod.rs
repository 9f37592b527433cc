//! Logic: chooses regions and techniques, and encodes on request.

mod base;
mod cache;
mod choice;
mod copies;
mod encoder;
mod record;
mod region;
mod request;
mod slots;
#[cfg(test)]
mod tests;
mod ways;

pub use base::{Base, BaseUse};
pub use cache::CacheCounters;
pub use choice::Learnt;
pub use encoder::{Encoder, EncoderCounters};
pub use request::{
    DigestRequest, Digested, EncodeRequest, Encoded, EncodedRecord, Lossy, OfferSums, Profile, SessionKey,
    Sum,
};
pub use slots::{Entry, Slots};
