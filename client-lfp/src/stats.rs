//! What a client counts.

use lfp_proto::frame::Refusal;
use lfp_proto::tally::Tallies;

use crate::echo::EchoStats;
use crate::histogram::Histogram;
use crate::limits::UDP_OVERHEAD;

/// What a client counts, from its beginning. Bytes are UDP payload plus [`UDP_OVERHEAD`] a datagram.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Bytes of all datagrams that came, whatever they held.
    pub bytes_down: u64,
    /// Bytes of all datagrams sent.
    pub bytes_up: u64,
    /// Datagrams that came.
    pub datagrams_down: u64,
    /// Datagrams sent.
    pub datagrams_up: u64,
    /// Bytes of the longest datagram that came, UDP payload.
    pub datagram_longest: u64,
    /// Datagrams dropped because they are no LFP, fail their checksum or hold something malformed.
    pub malformed: u64,
    /// Datagrams dropped because they belong to another connection or answer nothing that was asked.
    pub foreign: u64,
    /// Packets dropped because their number had come before, or is too old.
    pub duplicates: u64,
    /// Packets that came before the session was established or after it ended, and were dropped.
    pub untimely: u64,
    /// Packet numbers that were skipped and have not come, nor come too late.
    pub packets_lost: u64,
    /// Packets that were lost and recovered from a PARITY; not among [`Stats::packets_lost`].
    pub packets_recovered: u64,
    /// Records of which at least one cell was applied.
    pub records_applied: u64,
    /// Records that changed nothing since every cell of the screen, or the slot of the cache, had the same or newer content.
    pub records_superseded: u64,
    /// Records refused, by reason, in the order of [`Refusal::ALL`].
    pub records_refused: [u64; Refusal::ALL.len()],
    /// The records that came, whatever became of them, by technique and by context.
    pub came: Tallies,
    /// Cells applied.
    pub cells_applied: u64,
    /// Cells applied as a repair: the cell was in a refused record or in a digest that differed, or packets had been
    /// lost since its band of rows was last proven. A client cannot know which cells a lost packet held, so in motion,
    /// and while a picture is filled, this is an upper bound.
    pub cells_repaired: u64,
    /// Digests sent, repetitions included.
    pub digests_sent: u64,
    /// Digests that the server asked for.
    pub proofs_asked: u64,
    /// Digests that the server found exact.
    pub digests_exact: u64,
    /// Digests that the server found different.
    pub digests_differed: u64,
    /// References made, or made anew.
    pub holds: u64,
    /// Pictures put into the cache.
    pub stores: u64,
    /// Parts of offers sent, repetitions included.
    pub offers_sent: u64,
    /// Cells that were kept from a session before.
    pub cells_kept: u64,
    /// Surface epochs begun.
    pub epochs: u64,
    /// Input events given to the client.
    pub input_events: u64,
    /// Input events dropped by the client: too many waited, or one waited too long.
    pub input_dropped: u64,
    /// Input events that the server says it did not give to the guest.
    pub input_dropped_by_server: u64,
    /// INPUT frames sent.
    pub input_frames: u64,
    /// Marks that never became complete: overtaken by an epoch, or too many.
    pub marks_incomplete: u64,
    /// Age of the picture at each completed mark, in microseconds; off by at most [`Stats::clock_error_us`].
    pub staleness_us: Histogram,
    /// How long input took until its answer was shown.
    pub echo: EchoStats,
    /// Largest error of the clock offset: half the round trip of the exchange that set it, in microseconds.
    pub clock_error_us: u64,
}

impl Stats {
    /// Records refused for any reason.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.records_refused.iter().sum()
    }

    pub(crate) fn on_refusal(&mut self, reason: Refusal) {
        if let Some(at) = Refusal::ALL.iter().position(|known| *known == reason) {
            self.records_refused[at] += 1;
        }
    }

    pub(crate) fn on_received(&mut self, payload_len: usize) {
        self.datagrams_down += 1;
        self.bytes_down += (payload_len + UDP_OVERHEAD) as u64;
        self.datagram_longest = self.datagram_longest.max(payload_len as u64);
    }

    pub(crate) fn on_sent(&mut self, payload_len: usize) {
        self.datagrams_up += 1;
        self.bytes_up += (payload_len + UDP_OVERHEAD) as u64;
    }
}
