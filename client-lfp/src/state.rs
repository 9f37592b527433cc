//! Where a client stands.

use lfp_proto::frame::CloseReason;
use lfp_proto::hello::RefuseReason;
use lfp_proto::identity::{Fingerprint, PublicKey};

use crate::machine::Phase;

/// Where a client stands.
///
/// ```text
/// Connecting -> Established -> Closing -> Ended
///      |             |-> Closed, TimedOut, Unreachable
///      |-> Refused, WrongKey, NoAnswer, Closing (if a cookie was sent), Ended
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// Asks for a session.
    Connecting,
    /// Has one.
    Established,
    /// Has been told to end it, and tells the server.
    Closing,
    /// Has ended it.
    Ended,
    /// The server ended it.
    Closed {
        /// Why, for programs.
        reason: CloseReason,
        /// Why, for people; may be empty.
        text: String,
    },
    /// The server gave none.
    Refused {
        /// Why, for programs.
        reason: RefuseReason,
        /// Why and what to do, for people.
        text: String,
    },
    /// The server has another key than the one that is expected: it is another, or somebody pretends to be it.
    WrongKey {
        /// Of the key that is expected.
        expected: Option<Fingerprint>,
        /// The key that the server has.
        found: PublicKey,
    },
    /// Nobody answered within [`crate::Config::connect_timeout`].
    NoAnswer,
    /// The server fell silent for longer than its idle time-out.
    TimedOut,
    /// The server's host says that nobody listens there any more, and the server says nothing.
    Unreachable,
}

impl State {
    /// Whether nothing more will happen.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self.phase(), Phase::Closed)
    }

    /// The state as the specification has it.
    pub(crate) const fn phase(&self) -> Phase {
        match self {
            Self::Connecting => Phase::Asking,
            Self::Established => Phase::Open,
            Self::Closing => Phase::Closing,
            Self::Ended
            | Self::Closed { .. }
            | Self::Refused { .. }
            | Self::WrongKey { .. }
            | Self::NoAnswer
            | Self::TimedOut
            | Self::Unreachable => Phase::Closed,
        }
    }

    /// The name as it stands in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Ended => "ended",
            Self::Closed { .. } => "closed",
            Self::Refused { .. } => "refused",
            Self::WrongKey { .. } => "wrong-key",
            Self::NoAnswer => "no-answer",
            Self::TimedOut => "timed-out",
            Self::Unreachable => "unreachable",
        }
    }
}
