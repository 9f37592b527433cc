//! What a server has done so far.

use std::net::SocketAddr;

use serde::Serialize;

use crate::session::{PathQuality, Session, SessionStats};
use crate::time::Instant;
use crate::units::ConnectionId;
use lfp_proto::stream::StreamStats;
use lfp_proto::wire::Malformed;

/// Counters of a server. Each name ends in its unit where it is not a plain number of what it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ServerStats {
    /// Datagrams that came.
    pub datagrams_in: u64,
    /// Bytes of those, UDP payload.
    pub bytes_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Bytes of those.
    pub bytes_out: u64,
    /// Datagrams of another version.
    pub dropped_version: u64,
    /// Datagrams whose checksum or tag did not match.
    pub dropped_checksum: u64,
    /// Datagrams that were no datagrams of this protocol, or of a kind that only servers send.
    pub dropped_malformed: u64,
    /// DATA for a connection that is not known.
    pub dropped_unknown: u64,
    /// DATA for a session from an address that is not its client's.
    pub dropped_address: u64,
    /// HELLO that was shorter than a client must make it.
    pub dropped_short: u64,
    /// HELLO of a connection that has ended.
    pub dropped_ended: u64,
    /// HELLO of a handshake that the server has forgotten, cannot afford, or has done already.
    pub dropped_handshakes: u64,
    /// Answers that were not sent because too many waited.
    pub dropped_replies: u64,
    /// HELLO answered with CHALLENGE.
    pub challenges: u64,
    /// Those of them that had a cookie that was not the server's.
    pub cookies_forged: u64,
    /// Those of them that had a cookie which was too old.
    pub cookies_expired: u64,
    /// HELLO answered with GREET.
    pub greets: u64,
    /// Handshakes that could not be read: to another key, or forged.
    pub handshakes_failed: u64,
    /// Tickets that were taken in a cookie's place.
    pub tickets_redeemed: u64,
    /// CHALLENGE sent to where a packet of a sealed session came from.
    pub path_challenges: u64,
    /// HELLO answered with REFUSE.
    pub refusals: u64,
    /// HELLO answered with ACCEPT.
    pub accepts: u64,
    /// Sessions begun.
    pub sessions_begun: u64,
    /// Those of them that are sealed.
    pub sessions_sealed: u64,
    /// Sessions over.
    pub sessions_ended: u64,
    /// Times that a session moved to another address.
    pub sessions_moved: u64,
    /// CLOSE sent for connections that are not known.
    pub unknown_closed: u64,
    /// Times that a session had nothing to do though its time had come: a timer of its is wrong.
    pub restless: u64,
    /// What the sessions that are over had done.
    pub ended: SessionTotals,
}

/// What several sessions did together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SessionTotals {
    /// Packets that counted as lost.
    pub packets_lost: u64,
    /// Packets that were lost, and recovered by clients from what covers them.
    pub packets_recovered: u64,
    /// Packets that came with a mark of congestion (CE), as clients have counted them.
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
    /// Records refused.
    pub records_refused: u64,
    /// Records sent that build on a reference.
    pub records_based: u64,
    /// Records dropped unsent because what they built on had moved on, or was lost.
    pub records_unbased: u64,
    /// Cells that changed and were again what the client had, so that nothing was sent.
    pub cells_kept: u64,
    /// Cells that clients had from sessions before, and kept.
    pub cells_returned: u64,
    /// Cells that were not exact, came to rest, and were wanted again for that.
    pub cells_refined: u64,
    /// References made, or made anew.
    pub holds: u64,
    /// Times that records began to build on what is still on its way, or ceased to.
    pub base_turns: u64,
    /// Digests that differed.
    pub digests_differing: u64,
    /// Input events given to guests.
    pub inputs_applied: u64,
    /// Packets sent to find out whether longer ones pass.
    pub length_probes: u64,
    /// Times that packets became longer.
    pub length_raises: u64,
    /// Times that packets became shorter because long ones were lost.
    pub length_doubts: u64,
    /// Of these, those in which no long one passed afterwards either.
    pub black_holes: u64,
    /// Input events that pixels answered, as clients were told.
    pub events_echoed: u64,
    /// What that took from their arrival to the sending of the pixels, in microseconds, added up.
    pub echo_us: u64,
}

impl SessionTotals {
    pub(super) fn add(&mut self, stats: &SessionStats) {
        self.packets_lost += stats.packets_lost;
        self.packets_recovered += stats.packets_recovered;
        self.packets_marked += stats.packets_marked;
        self.marks_answered += stats.marks_answered;
        self.packets_ect += stats.packets_ect;
        self.ecn_failures += stats.ecn_failures;
        self.parities_sent += stats.parities_sent;
        self.cells_repaired += stats.cells_repaired;
        self.records_refused += stats.refused();
        self.records_based += stats.records_based;
        self.records_unbased += stats.records_unbased;
        self.cells_kept += stats.cells_kept;
        self.cells_returned += stats.cells_returned;
        self.cells_refined += stats.cells_refined;
        self.holds += stats.holds;
        self.base_turns += stats.base_turns;
        self.digests_differing += stats.digests_differing;
        self.inputs_applied += stats.inputs_applied;
        self.length_probes += stats.length_probes;
        self.length_raises += stats.length_raises;
        self.length_doubts += stats.length_doubts;
        self.black_holes += stats.black_holes;
        self.events_echoed += stats.events_echoed;
        self.echo_us += stats.echo_us;
    }
}

impl ServerStats {
    pub(super) fn on_bad(&mut self, malformed: Malformed) {
        match malformed {
            Malformed::Field("version") => self.dropped_version += 1,
            Malformed::Checksum => self.dropped_checksum += 1,
            _ => self.dropped_malformed += 1,
        }
    }
}

/// One session as a status command shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionStatus {
    /// Its connection id.
    pub connection: ConnectionId,
    /// Where its client is.
    pub address: SocketAddr,
    /// The service.
    pub service: String,
    /// Where the client stands, in its words.
    pub place: String,
    /// When it began.
    pub began_at: Instant,
    /// What its path does.
    pub path: PathQuality,
    /// The longest datagram that the path is known to carry: UDP payload in bytes.
    pub datagram_bytes: usize,
    /// Bytes sent and neither acked nor lost.
    pub in_flight_bytes: u64,
    /// Bytes of records that are encoded and wait for the pacer.
    pub queued_bytes: usize,
    /// Most bytes that it sends back to back.
    pub quantum_bytes: u64,
    /// Cells that the client is not known to show as they are.
    pub open_cells: usize,
    /// Bytes of memory that it takes.
    pub memory_bytes: usize,
    /// Of these, those of pictures that its client's cache holds too.
    pub cache_bytes: usize,
    /// What was done so far.
    pub stats: SessionStats,
    /// What was done with its streams so far.
    pub streams: StreamStats,
}

impl SessionStatus {
    pub(super) fn of(session: &Session) -> Self {
        Self {
            connection: session.connection(),
            address: session.address(),
            service: session.terms().service.clone(),
            place: session.terms().place.clone(),
            began_at: session.began_at(),
            path: session.quality(),
            datagram_bytes: session.datagram(),
            in_flight_bytes: session.in_flight_bytes(),
            queued_bytes: session.queued_bytes(),
            quantum_bytes: session.quantum(),
            open_cells: session.open_cells(),
            memory_bytes: session.memory_bytes(),
            cache_bytes: session.cache_bytes(),
            stats: *session.stats(),
            streams: *session.stream_stats(),
        }
    }
}
