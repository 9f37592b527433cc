//! What a server does with what comes for a connection, as section 4 of the specification has it in its table; a test
//! (`tests/it/house.rs`) compares the two.

/// Where a connection id stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// Nothing is known of it.
    None,
    /// It has a session.
    Open,
    /// Its session is being closed by this side.
    Closing,
    /// Its session is over, which is remembered while its cookies are good.
    Ended,
}

/// What happens to a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Event {
    /// HELLO whose cookie is absent, old or forged.
    Unproven,
    /// HELLO with a valid cookie.
    Hello,
    /// HELLO with a valid cookie, which carries the first message of three.
    First,
    /// The same, but it asks for what it cannot have.
    Refused,
    /// A packet.
    Data,
    /// A packet with CLOSE in it.
    Close,
    /// Nothing has come for too long.
    Idle,
    /// The service that its client asked for ends.
    Ends,
    /// The server ends.
    Shutdown,
    /// The last CLOSE is sent.
    Said,
    /// Cookies of its time are good no more.
    Forgotten,
}

/// What is done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Asks for the proof of the address.
    Challenge,
    /// Shows its key.
    Greet,
    /// Says no.
    Refuse,
    /// Makes a session, unless it has to be refused.
    Begin,
    /// Follows the client to its address, and says yes again.
    Accept,
    /// Nothing.
    Ignore,
    /// Acts on the packet.
    Act,
    /// Says again that the session is closed.
    CloseAgain,
    /// Says that there is no such session.
    CloseUnknown,
    /// Ends the session without a word.
    Release,
    /// Begins to close the session.
    Close,
}

/// What `event` makes of `state`, and what is done; `None`: it does not happen there.
#[must_use]
pub const fn step(state: State, event: Event) -> Option<(State, Deed)> {
    Some(match (state, event) {
        (_, Event::Unproven) => (state, Deed::Challenge),
        (State::None, Event::Hello) => (State::Open, Deed::Begin),
        (State::None, Event::First) => (State::None, Deed::Greet),
        (State::None, Event::Refused) => (State::None, Deed::Refuse),
        (State::None | State::Ended, Event::Data) => (state, Deed::CloseUnknown),
        (State::Open, Event::Hello) => (State::Open, Deed::Accept),
        (State::Open, Event::Data) => (State::Open, Deed::Act),
        (State::Open, Event::Close) => (State::Ended, Deed::Release),
        (State::Open, Event::Idle | Event::Ends | Event::Shutdown) => (State::Closing, Deed::Close),
        (State::Open, Event::First) => (State::Open, Deed::Ignore),
        (State::Closing | State::Ended, Event::Hello | Event::First) => (state, Deed::Ignore),
        (State::Closing, Event::Data) => (State::Closing, Deed::CloseAgain),
        (State::Closing, Event::Close | Event::Said) => (State::Ended, Deed::Ignore),
        (State::Ended, Event::Forgotten) => (State::None, Deed::Ignore),
        _ => return None,
    })
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Open, Self::Closing, Self::Ended];

    /// As the specification calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Ended => "ended",
        }
    }
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Unproven,
        Self::Hello,
        Self::First,
        Self::Refused,
        Self::Data,
        Self::Close,
        Self::Idle,
        Self::Ends,
        Self::Shutdown,
        Self::Said,
        Self::Forgotten,
    ];

    /// As the specification calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unproven => "HELLO without valid cookie",
            Self::Hello => "HELLO with valid cookie",
            Self::First => "HELLO with valid cookie, first of XX",
            Self::Refused => "HELLO with valid cookie, refused",
            Self::Data => "DATA",
            Self::Close => "CLOSE",
            Self::Idle => "idle time-out",
            Self::Ends => "its service ends",
            Self::Shutdown => "shutdown",
            Self::Said => "last CLOSE sent",
            Self::Forgotten => "10 s after the end",
        }
    }
}

impl Deed {
    /// As the specification calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Challenge => "sends CHALLENGE",
            Self::Greet => "sends GREET",
            Self::Refuse => "sends REFUSE",
            Self::Begin => "sends ACCEPT, then DATA",
            Self::Accept => "in the clear takes its address; sends ACCEPT",
            Self::Ignore => "nothing",
            Self::Act => "sections 5 to 13",
            Self::CloseAgain => "may send CLOSE again",
            Self::CloseUnknown => "sends CLOSE, reason unknown, or RESET (section 14)",
            Self::Release => "releases keys and buttons",
            Self::Close => "releases keys and buttons, sends CLOSE",
        }
    }
}
