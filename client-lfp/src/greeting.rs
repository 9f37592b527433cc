//! Asking for a sealed session: which Noise message the next HELLO carries, and what an answer to it means.

use lfp_proto::greeting::{Decision, Greet, SealedAccept, SealedHello, Step, Wish};
use lfp_proto::hello::{Accept, Hello, Refuse, RefuseReason};
use lfp_proto::identity::{Entropy, PublicKey};
use lfp_proto::noise::Noise;
use lfp_proto::packet::View;
use lfp_proto::seal::Keys;
use lfp_proto::units::ConnectionId;
use lfp_proto::wire::Malformed;

use crate::handshake::Sealed;
use crate::limits::THIRDS_MAX;
use crate::security::{Credentials, Expected};

/// Where the handshake stands. Nothing of Noise is made before there is a cookie, or a ticket.
#[derive(Debug)]
enum Stage {
    /// Asks for a cookie.
    Ask,
    /// Has written the first message of IK.
    Ik { message: Vec<u8> },
    /// Has written the first message of XX.
    XxFirst { noise: Box<Noise>, message: Vec<u8> },
    /// Has written the third, for the server with this key.
    XxThird { message: Vec<u8>, keys: Keys, server: PublicKey },
}

/// A client that asks for a sealed session.
#[derive(Debug)]
pub(crate) struct Greeting {
    connection: ConnectionId,
    credentials: Credentials,
    entropy: Entropy,
    cookie: Vec<u8>,
    stage: Stage,
    /// How often the stage's message was sent.
    sent: u32,
    /// The handshake with the key that is known, and what came of it. It stays while that key is in doubt: who says that the
    /// server has another may lie.
    known: Option<(Box<Noise>, Option<Keys>)>,
    /// Somebody has said that the server has another key than the one that is known.
    in_doubt: bool,
}

/// What an answer means.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// There is more to say.
    Continue,
    /// The session exists. The wish was sent once, or more often: then its time says little of the path.
    Accepted { accept: Accept, sealed: Sealed, once: bool },
    /// There will be none.
    Refused(Refuse),
    /// The server is another than the one that is expected.
    Mismatch(PublicKey),
    /// It answers nothing that was asked.
    Foreign,
}

impl Greeting {
    pub(crate) fn new(connection: ConnectionId, mut credentials: Credentials) -> Self {
        let entropy = Entropy::new(credentials.seed.clone());
        let has_key = matches!(credentials.server, Expected::Key(_));
        let cookie = credentials.ticket.take().filter(|_| has_key).unwrap_or_default();
        Self {
            connection,
            credentials,
            entropy,
            cookie,
            stage: Stage::Ask,
            sent: 0,
            known: None,
            in_doubt: false,
        }
    }

    /// The next HELLO. `wish` is what the client asks for; it is written down once for each handshake.
    pub(crate) fn hello(&mut self, wish: &Hello) -> SealedHello {
        let lost = matches!(self.stage, Stage::XxThird { .. }) && self.sent >= THIRDS_MAX;
        if lost || matches!(self.stage, Stage::Ask) && !self.cookie.is_empty() {
            // What a server forgets between two messages is asked anew.
            self.begin(wish);
        }
        let (step, message) = match &mut self.stage {
            Stage::Ask => (Step::Ask, Vec::new()),
            Stage::Ik { message } => (Step::Ik, message.clone()),
            Stage::XxFirst { message, .. } => (Step::XxFirst, message.clone()),
            Stage::XxThird { message, .. } => (Step::XxThird, message.clone()),
        };
        self.sent += 1;
        SealedHello { cookie: self.cookie.clone(), client_time_us: wish.client_time_us, step, message }
    }

    /// Begins a handshake: with the key that is known, unless the server says that it has another.
    fn begin(&mut self, wish: &Hello) {
        let known = match &self.credentials.server {
            Expected::Key(key) if !self.in_doubt => Some(key),
            _ => None,
        };
        let ephemeral = self.entropy.draw();
        let mut noise = Noise::client(&self.credentials.own, known, self.connection, ephemeral);
        let is_ik = known.is_some();
        let payload = if is_ik { self.written(wish) } else { Vec::new() };
        let message = noise.write(&payload).unwrap_or_default();
        self.sent = 0;
        self.stage = match message.is_empty() {
            true => Stage::Ask,
            false if is_ik => {
                self.known = Some((Box::new(noise), None));
                Stage::Ik { message }
            }
            false => Stage::XxFirst { noise: Box::new(noise), message },
        };
    }

    /// The server has sent a cookie.
    pub(crate) fn on_cookie(&mut self, cookie: Vec<u8>) {
        self.cookie = cookie;
    }

    /// The server has sent its message of XX.
    // SPEC [LFP-4.11]: A client MUST end the handshake before it says who it is, and show its user both fingerprints, if the
    // server's key is not the one that it expects.
    pub(crate) fn on_greet(&mut self, wish: &Hello, greet: &Greet) -> Result<Outcome, Malformed> {
        let payload = self.written(wish);
        let Stage::XxFirst { noise, .. } = &mut self.stage else { return Ok(Outcome::Foreign) };
        noise.read(&greet.message)?;
        let Some(server) = noise.peer() else { return Err(Malformed::Field("key")) };
        if !self.credentials.server.is_met_by(&server) {
            return Ok(Outcome::Mismatch(server));
        }
        let message = noise.write(&payload)?;
        let Some(keys) = noise.keys() else { return Err(Malformed::Field("handshake")) };
        self.stage = Stage::XxThird { message, keys, server };
        self.sent = 0;
        Ok(Outcome::Continue)
    }

    /// The server has decided. Only what its keys seal is believed.
    pub(crate) fn on_accept(&mut self, view: &View<'_>) -> Result<Outcome, Malformed> {
        let answer = SealedAccept::parse(view.payload())?;
        let (keys, server) = match (&mut self.known, &self.stage) {
            (Some((noise, keys)), _) if !answer.message.is_empty() => {
                if keys.is_none() {
                    noise.read(&answer.message)?;
                    *keys = noise.keys();
                }
                (keys.clone(), noise.peer())
            }
            (_, Stage::XxThird { keys, server, .. }) => (Some(keys.clone()), Some(*server)),
            _ => return Ok(Outcome::Foreign),
        };
        let (Some(keys), Some(server)) = (keys, server) else { return Err(Malformed::Field("handshake")) };
        let decision = keys.open_verdict(view.header_bytes(), &answer.decision)?;
        Ok(match Decision::parse(&decision)? {
            Decision::Accepted { accept, cipher, token } => {
                let once = self.sent <= 1;
                Outcome::Accepted { accept, sealed: Sealed { keys, cipher, server, token }, once }
            }
            Decision::Refused(refuse) => Outcome::Refused(refuse),
        })
    }

    /// Somebody refuses in the clear, which anybody could. It is believed only that the server may have another key, and
    /// then the server has to show it.
    // SPEC [LFP-4.12]: A client MUST NOT take REFUSE in the clear for more than a reason to ask for the server's key, if its
    // connection is sealed.
    pub(crate) fn on_refuse(&mut self, wish: &Hello, refuse: &Refuse) -> Outcome {
        let may_be = refuse.reason == RefuseReason::WrongKey && matches!(self.stage, Stage::Ik { .. });
        if !may_be || self.in_doubt {
            return Outcome::Foreign;
        }
        self.in_doubt = true;
        self.begin(wish);
        Outcome::Continue
    }

    /// What the client asks for, as it travels inside a message.
    fn written(&self, hello: &Hello) -> Vec<u8> {
        let mut bytes = Vec::new();
        Wish { ciphers: self.credentials.ciphers, hello: hello.clone() }.emit(&mut bytes);
        bytes
    }

    /// Whom the client expects.
    pub(crate) const fn expected(&self) -> Expected {
        self.credentials.server
    }
}
