//! What a packet carried: the information to repair if it is lost, and to rely on once it is acked.

use crate::geometry::CellRect;
use crate::units::{ContentNumber, Epoch, SurfaceId};
use lfp_proto::frame::DigestReply;
use lfp_proto::stream::Carried;
use lfp_proto::technique::cache::Stored;

// SPEC [LFP-10.1]: A server MUST remember which cells at which content each packet in flight carried,
/// One thing that a packet carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Item {
    /// A record that paints. The n-th record of a packet, of both kinds, is the one with index n.
    Pixels {
        /// Of which surface.
        surface: SurfaceId,
        /// In which epoch.
        epoch: Epoch,
        /// Which cells.
        cells: CellRect,
        /// At which content.
        content: ContentNumber,
        /// What it builds on, if that is a reference.
        on: Option<BuiltOn>,
        /// It paints what a slot of the cache holds.
        used: Option<Stored>,
    },
    /// A record that stores something in the cache.
    Store {
        /// Of which surface.
        surface: SurfaceId,
        /// In which epoch.
        epoch: Epoch,
        /// As what.
        stored: Stored,
    },
    /// HOLD.
    Hold {
        /// Of which surface.
        surface: SurfaceId,
        /// In which epoch.
        epoch: Epoch,
        /// Which reference.
        slot: u8,
        /// Up to which content.
        through: ContentNumber,
    },
    /// SURFACE.
    Surface {
        /// Of which surface.
        surface: SurfaceId,
        /// Which epoch.
        epoch: Epoch,
    },
    /// MARK.
    Mark {
        /// Of which surface.
        surface: SurfaceId,
        /// In which epoch.
        epoch: Epoch,
        /// Of which tick.
        tick: u64,
    },
    /// PROVE.
    Prove,
    /// KEEP.
    Keep {
        /// Of which surface.
        surface: SurfaceId,
        /// In which epoch.
        epoch: Epoch,
        /// Of which part.
        part: u8,
    },
    /// DIGEST_REPLY.
    Verdict(DigestReply),
    /// PARITY.
    Parity,
    /// INPUT_ACK.
    InputAck,
    /// ECHO.
    Echo {
        /// Of which surface.
        surface: SurfaceId,
        /// In which epoch.
        epoch: Epoch,
        /// The number of the first event that it names.
        first: u64,
    },
    /// TICKET.
    Ticket,
    /// STREAM, STREAM_CREDIT or STREAM_RESET.
    Stream(Carried),
}

/// What of a reference a record builds on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BuiltOn {
    /// Which cells.
    pub(super) cells: CellRect,
    /// The newest content that they may have there.
    pub(super) through: ContentNumber,
}
