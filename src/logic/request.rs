//! What a session asks of the encoders, and what comes back. All values: no session waits on a worker.

use std::sync::Arc;

use crate::ablation::Without;
use crate::geometry::{CellRect, CellSet};
use crate::hypervisor::SourceId;
use crate::time::Instant;
use crate::units::Epoch;
use lfp_proto::record::Context;
use lfp_proto::technique::Technique;

/// Names a session within one server run; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionKey(pub u64);

/// What clients of one kind can use; encodes are shared inside a profile.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Profile {
    /// Techniques that the client decodes, as in Hello.
    pub decoders: u32,
    /// Most bytes of one record with its header.
    pub record_max: usize,
    /// What is not to be done for them.
    pub without: Without,
}

/// Put these cells into bytes, from the newest picture.
#[derive(Clone, Debug)]
pub struct EncodeRequest {
    /// Whose request.
    pub session: SessionKey,
    /// Which source.
    pub source: SourceId,
    /// The epoch that the cells belong to. Answered with no records if the source has left it.
    pub epoch: Epoch,
    /// What to encode, most urgent first in row-major order; never empty.
    pub cells: CellSet,
    /// For whom.
    pub profile: Profile,
    /// Stop once so many bytes of records have been made (at least one record is).
    pub budget_bytes: usize,
}

/// One record, ready to be put into a packet; shared between sessions of a profile.
#[derive(Clone, Debug)]
pub struct EncodedRecord {
    /// How.
    pub technique: Technique,
    /// What the region holds.
    pub context: Context,
    /// Which cells.
    pub cells: CellRect,
    /// The technique's bytes.
    pub payload: Arc<[u8]>,
}

/// The answer to an [`EncodeRequest`].
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Whose request it was.
    pub session: SessionKey,
    /// Which source.
    pub source: SourceId,
    /// The epoch of the request.
    pub epoch: Epoch,
    /// The number of the tick whose picture was encoded.
    pub tick: u64,
    /// When that tick was captured.
    pub captured: Instant,
    /// Records for some or all of the cells asked for, and for no others.
    pub records: Vec<EncodedRecord>,
    /// The cells asked for that no record holds, because the budget ran out or the epoch is over.
    pub left: CellSet,
}

/// Compute the CRC-32 of these cells' pixels, as DIGEST defines it, from the newest picture.
#[derive(Clone, Copy, Debug)]
pub struct DigestRequest {
    /// Whose request.
    pub session: SessionKey,
    /// Which source.
    pub source: SourceId,
    /// In which epoch.
    pub epoch: Epoch,
    /// Which cells; inside the grid.
    pub cells: CellRect,
    /// The client's id of the digest.
    pub id: u32,
}

/// The answer to a [`DigestRequest`].
#[derive(Clone, Copy, Debug)]
pub struct Digested {
    /// The request.
    pub request: DigestRequest,
    /// The number of the tick whose picture was summed.
    pub tick: u64,
    /// The checksum; `None` if the source has left the epoch.
    pub pixels: Option<u32>,
}

impl Encoded {
    /// The answer where there is no picture to encode.
    #[must_use]
    pub fn nothing(request: &EncodeRequest) -> Self {
        Self {
            session: request.session,
            source: request.source,
            epoch: request.epoch,
            tick: 0,
            captured: Instant::ZERO,
            records: Vec::new(),
            left: request.cells.clone(),
        }
    }
}

impl Digested {
    /// The answer where there is no picture to sum.
    #[must_use]
    pub const fn nothing(request: &DigestRequest) -> Self {
        Self { request: *request, tick: 0, pixels: None }
    }
}
