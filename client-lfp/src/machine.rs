//! What a client does with what comes, as section 4 of the specification has it in its table; a test
//! (`tests/it/house.rs`) compares the two.

/// Where a client stands: what [`crate::State`] says, without the reasons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Asks for a session.
    Asking,
    /// Has one.
    Open,
    /// Ends it.
    Closing,
    /// It is over.
    Closed,
}

/// What happens to a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Event {
    /// It is time to ask again.
    Timer,
    /// The server asks for the proof of the address.
    Challenge,
    /// The server has shown its key, which is the one expected.
    Greet,
    /// The server has shown another key.
    Mismatch,
    /// The server says yes.
    Accept,
    /// The server says no.
    Refuse,
    /// Nobody has answered for too long.
    GivesUp,
    /// A packet.
    Data,
    /// A packet with CLOSE in it.
    Close,
    /// The server proves that it does not know the connection any more.
    Reset,
    /// Nothing has come for too long.
    Idle,
    /// The server's host refuses, again and again, and nothing else comes.
    Unreachable,
    /// The user has had enough, and the server may have made a session.
    UserEnds,
    /// The same, before the server can have made one.
    UserEndsEarly,
    /// The last CLOSE is sent.
    Said,
}

/// What is done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Asks.
    Hello,
    /// Asks at once, with the cookie.
    HelloAtOnce,
    /// Asks at once, with the next message.
    MessageAtOnce,
    /// Shows the cookie in a packet.
    Path,
    /// Begins to send packets.
    Begin,
    /// Tells the user.
    Tell,
    /// Acts on the packet.
    Act,
    /// Sends CLOSE, a few times.
    Close,
    /// Nothing.
    Nothing,
}

/// What `event` makes of `phase`, and what is done; `None`: it does not happen there, or is ignored.
#[must_use]
pub const fn step(phase: Phase, event: Event) -> Option<(Phase, Deed)> {
    Some(match (phase, event) {
        (Phase::Asking, Event::Timer) => (Phase::Asking, Deed::Hello),
        (Phase::Asking, Event::Challenge) => (Phase::Asking, Deed::HelloAtOnce),
        (Phase::Asking, Event::Greet) => (Phase::Asking, Deed::MessageAtOnce),
        (Phase::Asking, Event::Accept) => (Phase::Open, Deed::Begin),
        (Phase::Open, Event::Challenge) => (Phase::Open, Deed::Path),
        (Phase::Asking, Event::Refuse | Event::Mismatch | Event::GivesUp) => (Phase::Closed, Deed::Tell),
        (Phase::Asking, Event::UserEndsEarly) => (Phase::Closed, Deed::Nothing),
        (Phase::Asking | Phase::Open, Event::UserEnds) => (Phase::Closing, Deed::Close),
        (Phase::Open | Phase::Closing, Event::Data) => (phase, Deed::Act),
        (Phase::Open, Event::Close | Event::Reset | Event::Idle | Event::Unreachable) => {
            (Phase::Closed, Deed::Tell)
        }
        (Phase::Closing, Event::Close | Event::Reset | Event::Said) => (Phase::Closed, Deed::Nothing),
        _ => return None,
    })
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Asking, Self::Open, Self::Closing, Self::Closed];

    /// As the specification calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asking => "asking",
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Timer,
        Self::Challenge,
        Self::Greet,
        Self::Mismatch,
        Self::Accept,
        Self::Refuse,
        Self::GivesUp,
        Self::Data,
        Self::Close,
        Self::Reset,
        Self::Idle,
        Self::Unreachable,
        Self::UserEnds,
        Self::UserEndsEarly,
        Self::Said,
    ];

    /// As the specification calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timer => "start, timer",
            Self::Challenge => "CHALLENGE",
            Self::Greet => "GREET",
            Self::Mismatch => "GREET with another key",
            Self::Accept => "ACCEPT",
            Self::Refuse => "REFUSE",
            Self::GivesUp => "gives up",
            Self::Data => "DATA",
            Self::Close => "CLOSE",
            Self::Reset => "RESET",
            Self::Idle => "idle time-out",
            Self::Unreachable => "host refuses",
            Self::UserEnds => "user ends",
            Self::UserEndsEarly => "user ends, no cookie sent or no keys",
            Self::Said => "last CLOSE sent",
        }
    }
}

impl Deed {
    /// As the specification calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "sends HELLO with the cookie that it has",
            Self::HelloAtOnce => "keeps the cookie, sends HELLO at once",
            Self::MessageAtOnce => "sends HELLO with the next message at once",
            Self::Path => "if it is sealed, sends PATH",
            Self::Begin => "sends what it has",
            Self::Tell => "tells the user",
            Self::Act => "sections 5 to 13",
            Self::Close => "sends CLOSE",
            Self::Nothing => "nothing",
        }
    }
}
