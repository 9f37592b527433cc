//! What a session asks of the encoders, and what comes back. All values: no session waits on a worker.

use std::sync::Arc;

use crate::ablation::Without;
use crate::geometry::{CellRect, CellSet};
use crate::hypervisor::SourceId;
use crate::logic::base::{Base, BaseUse};
use crate::logic::choice::Learnt;
use crate::logic::slots::Slots;
use crate::pixel::Fit;
use crate::scan::Picture;
use crate::time::Instant;
use crate::units::Epoch;
use lfp_proto::offer::OfferKey;
use lfp_proto::record::{Base as WireBase, Context, Record};
use lfp_proto::technique::base::Vector;
use lfp_proto::technique::{Technique, decoders};

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
    /// How they show the source.
    pub fit: Fit,
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
    /// What records may build on.
    pub base: Option<Arc<Base>>,
    /// Look first for what is in the base already, here or elsewhere: so many cells are asked for that it can be seen.
    pub motion: bool,
    /// Vectors along which much was found to have moved, for cells that are no copies.
    pub ways: Vec<Vector>,
    /// How the rules that choose techniques have turned out in the session.
    pub learnt: Learnt,
    /// The cells, asked for or not, that the client shows as they are in the base: nothing need be sent for those that
    /// have the same pixels again.
    pub kept: CellSet,
    /// What may be sent so that it is not exact, and how well.
    pub lossy: Lossy,
    /// What the client's cache holds, if it has one: looked through when it is looked for motion.
    pub slots: Option<Arc<Slots>>,
}

impl EncodeRequest {
    /// A request by a client that decodes everything, shows a source as it is, has nothing yet, and takes records of at most
    /// `record_max` bytes; what is told otherwise is told by what is made of it.
    #[must_use]
    pub fn bare(source: SourceId, epoch: Epoch, cells: CellSet, record_max: usize) -> Self {
        let profile =
            Profile { decoders: decoders(), record_max, without: Without::NOTHING, fit: Fit::NATIVE };
        Self {
            session: SessionKey(0),
            source,
            epoch,
            cells,
            profile,
            budget_bytes: usize::MAX,
            base: None,
            motion: false,
            kept: CellSet::default(),
            lossy: Lossy::default(),
            slots: None,
            ways: Vec::new(),
            learnt: Learnt::default(),
        }
    }
}

/// Cells that move too fast to be worth their exact pixels; the default is none.
#[derive(Clone, Debug, Default)]
pub struct Lossy {
    /// The cells, asked for or not: others that lie between them are not blurred for their sake.
    pub cells: CellSet,
    /// 1 to 100, as in [`lfp_proto::technique::lossy`].
    pub quality: u8,
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
    /// What it is decoded against.
    pub base: Option<BaseUse>,
}

impl EncodedRecord {
    /// The record as it goes into the packet that sends it first, on `base`.
    #[must_use]
    pub fn wire(&self, base: WireBase) -> Record<'_> {
        Record { base, ..Record::new(self.technique, self.context, self.cells, &self.payload) }
    }

    /// Bytes that it takes in a packet.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        let check = |used: BaseUse| WireBase::Reference { slot: used.slot, check: 0 };
        self.wire(self.base.map_or(WireBase::None, check)).encoded_len()
    }
}

/// The answer to an [`EncodeRequest`].
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Whose request it was.
    pub session: SessionKey,
    /// Which source.
    pub source: SourceId,
    /// How the client shows it.
    pub fit: Fit,
    /// The epoch of the request.
    pub epoch: Epoch,
    /// The number of the tick whose picture was encoded.
    pub tick: u64,
    /// When that tick was captured.
    pub captured: Instant,
    /// That picture, if there was one.
    pub picture: Option<Arc<Picture>>,
    /// Records for some or all of the cells asked for. A record may bring others with it, as they are in the picture.
    pub records: Vec<EncodedRecord>,
    /// What of the base is worth a slot of the cache before it is painted over.
    pub stores: Vec<BaseUse>,
    /// The request's [`EncodeRequest::ways`], and those found.
    pub ways: Vec<Vector>,
    /// The request's [`EncodeRequest::learnt`], and what was learnt since.
    pub learnt: Learnt,
    /// The cells asked for that are kept, and have the pixels of the base: there is nothing to send.
    pub same: CellSet,
    /// The cells asked for that no record holds, because the budget ran out or the epoch is over.
    pub left: CellSet,
}

/// What to compute of some cells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sum {
    /// The CRC-32 of their pixels, as DIGEST defines it.
    Proof {
        /// The client's id of the digest.
        id: u32,
    },
    /// The digests of a part of the picture, as OFFER defines them; the cells are around all of it.
    Offer {
        /// Which part.
        part: u8,
        /// The key of the session's offers.
        key: OfferKey,
    },
}

/// Compute something of these cells' pixels from the newest picture.
#[derive(Clone, Debug)]
pub struct DigestRequest {
    /// Whose request.
    pub session: SessionKey,
    /// Which source.
    pub source: SourceId,
    /// How the client shows it.
    pub fit: Fit,
    /// In which epoch.
    pub epoch: Epoch,
    /// Which cells; inside the grid.
    pub cells: CellRect,
    /// What of them.
    pub sum: Sum,
}

/// The answer to a [`DigestRequest`].
#[derive(Clone, Debug)]
pub struct Digested {
    /// The request.
    pub request: DigestRequest,
    /// The number of the tick whose picture was summed.
    pub tick: u64,
    /// The checksum, if it was asked for; `None` if the source has left the epoch.
    pub pixels: Option<u32>,
    /// The digests, if they were asked for; `None` if the source has left the epoch.
    pub offered: Option<OfferSums>,
}

/// What the plots of a part are.
#[derive(Clone, Debug)]
pub struct OfferSums {
    /// Their digests, in order.
    pub digests: Vec<u64>,
    /// The picture that was summed up.
    pub picture: Arc<Picture>,
}

impl Encoded {
    /// The answer where there is no picture to encode.
    #[must_use]
    pub fn nothing(request: &EncodeRequest) -> Self {
        Self {
            session: request.session,
            source: request.source,
            fit: request.profile.fit,
            epoch: request.epoch,
            tick: 0,
            captured: Instant::ZERO,
            picture: None,
            records: Vec::new(),
            stores: Vec::new(),
            ways: request.ways.clone(),
            learnt: request.learnt,
            same: CellSet::new(request.cells.grid()),
            left: request.cells.clone(),
        }
    }
}

impl Digested {
    /// The answer where there is no picture to sum.
    #[must_use]
    pub fn nothing(request: &DigestRequest) -> Self {
        Self { request: request.clone(), tick: 0, pixels: None, offered: None }
    }
}
