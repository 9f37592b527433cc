//! What a session has done so far.

use serde::Serialize;

use crate::logic::EncodedRecord;
use lfp_proto::frame::Refusal;
use lfp_proto::tally::Tallies;
use lfp_proto::technique::Technique;

/// Counters of one session. Each name ends in its unit where it is not a plain number of what it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SessionStats {
    /// Datagrams sent.
    pub datagrams_down: u64,
    /// Bytes sent, UDP payload.
    pub bytes_down: u64,
    /// Datagrams of this session that came and were well formed.
    pub datagrams_up: u64,
    /// Bytes of those.
    pub bytes_up: u64,
    /// Packets that came once more.
    pub datagrams_known: u64,
    /// Packets dropped because a frame of theirs was malformed, or acked what was never sent.
    pub datagrams_malformed: u64,
    /// Encode requests made.
    pub encodes_requested: u64,
    /// Encode requests that were not answered in time, and made again.
    pub encodes_lost: u64,
    /// Records that came back.
    pub records_encoded: u64,
    /// Records sent.
    pub records_sent: u64,
    /// The records sent, by technique and by context.
    #[serde(skip)]
    pub sent: Tallies,
    /// Records dropped unsent because they had waited too long.
    pub records_expired: u64,
    /// Records dropped unsent because what they built on had moved on, or was lost.
    pub records_unbased: u64,
    /// Records sent that build on a reference.
    pub records_based: u64,
    /// Cells that changed and were again what the client had, so that nothing was sent.
    pub cells_kept: u64,
    /// Cells that the client had from a session before this one, and kept.
    pub cells_returned: u64,
    /// Cells that were not exact, came to rest, and were wanted again for that.
    pub cells_refined: u64,
    /// Pictures sent to the client's cache, by name.
    pub stores: u64,
    /// Records sent that use one.
    pub uses: u64,
    /// References made, or made anew.
    pub holds: u64,
    /// Times that records began to build on what is still on its way, or ceased to.
    pub base_turns: u64,
    /// Records refused by the client, by [`Refusal`] in the order of its number.
    #[serde(skip)]
    pub records_refused: [u64; Refusal::ALL.len()],
    /// Packets that counted as lost.
    pub packets_lost: u64,
    /// Packets that counted as lost and came after all.
    pub packets_late: u64,
    /// Packets that were lost, and recovered by the client from what covers them.
    pub packets_recovered: u64,
    /// Packets that came with a mark of congestion (CE), as the client has counted them.
    pub packets_marked: u64,
    /// Times that less was sent for that.
    pub marks_answered: u64,
    /// Packets sent that may be marked (ECT(0)).
    pub packets_ect: u64,
    /// Paths on which these marks were found to mean nothing.
    pub ecn_failures: u64,
    /// Packets sent that cover others.
    pub parities_sent: u64,
    /// Cells wanted again because a record of theirs was lost or refused.
    pub cells_repaired: u64,
    /// Bytes of records sent that were, by their share of cells, sent because what was sent before was lost or refused.
    pub bytes_repaired: u64,
    /// Records said again before they were known to be lost.
    pub records_repeated: u64,
    /// Bytes of those.
    pub bytes_repeated: u64,
    /// Probes of a client that had been silent for too long.
    pub probes: u64,
    /// Epochs begun.
    pub epochs: u64,
    /// Marks sent.
    pub marks_sent: u64,
    /// Digests that the client was asked for.
    pub proofs_asked: u64,
    /// Digests answered with exact.
    pub digests_exact: u64,
    /// Digests answered with unsettled.
    pub digests_unsettled: u64,
    /// Digests that differed.
    pub digests_differing: u64,
    /// Digests ignored because too many waited.
    pub digests_ignored: u64,
    /// Input events given to the guest.
    pub inputs_applied: u64,
    /// Input events, of those that the screen is expected to answer, that a hypervisor has accepted.
    pub events_accepted: u64,
    /// Those of them that pixels answered, as the client was told.
    pub events_echoed: u64,
    /// What that took from their arrival to the sending of the pixels, in microseconds, added up.
    pub echo_us: u64,
    /// Input events not given to the guest.
    pub inputs_dropped: u64,
    /// Keys and buttons released in the client's place.
    pub inputs_released: u64,
    /// Times that the session moved to another address.
    pub moves: u64,
    /// Packets sent to find out whether longer ones pass.
    pub length_probes: u64,
    /// Times that packets became longer.
    pub length_raises: u64,
    /// Times that packets became shorter because long ones were lost.
    pub length_doubts: u64,
    /// Of these, those in which no long one passed afterwards either.
    pub black_holes: u64,
}

impl SessionStats {
    /// A record of so many bytes was sent.
    pub(super) fn on_record(&mut self, record: &EncodedRecord, len: usize) {
        self.records_sent += 1;
        self.records_based += u64::from(record.base.is_some());
        self.stores += u64::from(record.technique == Technique::Store);
        self.uses += u64::from(record.technique == Technique::Use);
        self.sent.add(record.technique as u8, record.context as u8, record.cells.cells(), len);
    }

    /// Records refused, whatever the reason.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.records_refused.iter().sum()
    }
}
