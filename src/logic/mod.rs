//! Logic: chooses regions and techniques, and encodes on request.

mod request;

pub use request::{DigestRequest, Digested, EncodeRequest, Encoded, EncodedRecord, Profile, SessionKey};
