//! Marks of congestion: what goes out may be marked, what came marked has less sent.

use crate::session::Session;
use crate::time::Instant;
use lfp_proto::frame::Ecn;
use lfp_proto::seal::Unclosed;

impl Session {
    /// The client tells how its packets came.
    pub(super) fn on_ecn(&mut self, now: Instant, counts: Ecn) {
        let marked = self.ecn.on_counts(counts, self.rate.may_have_waited());
        if marked > 0 {
            self.stats.packets_marked += marked;
            self.stats.marks_answered += u64::from(self.rate.on_marks(now));
            self.repace();
        }
    }

    /// Looks whether the path has been found to keep no marks.
    pub(super) fn follow_ecn(&mut self) {
        let failures = self.ecn.failures();
        if failures != self.stats.ecn_failures {
            tracing::debug!(connection = self.connection.0, "no ECN on this path: it does not keep it");
            self.stats.ecn_failures = failures;
        }
    }

    /// `packet` as it goes out: it may be marked while the path is not known to keep no marks.
    pub(super) fn offer(&mut self, packet: Unclosed) -> Unclosed {
        let offers = self.ecn.offers();
        self.ecn.on_sent();
        self.stats.packets_ect += u64::from(offers);
        packet.offering(offers)
    }
}
