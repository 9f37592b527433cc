//! What must hold of every input, one function a target.

use lfp_proto::wire::Malformed;

pub(crate) mod channels;
pub(crate) mod client;
pub(crate) mod files;
pub(crate) mod proto;
pub(crate) mod server;
pub(crate) mod streams;
pub(crate) mod texts;
pub(crate) mod window;

/// What is wrong, in few words.
const fn why(malformed: Malformed) -> &'static str {
    match malformed {
        Malformed::Truncated => "truncated",
        Malformed::Varint => "varint",
        Malformed::Field(name) => name,
        Malformed::Trailing => "trailing",
        Malformed::Checksum => "checksum",
    }
}
