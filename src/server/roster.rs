//! The sessions of a server, and whose turn it is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use crate::limits::{COOKIE_LIFETIME, ENDED_MAX};
use crate::logic::SessionKey;
use crate::session::Session;
use crate::time::Instant;
use crate::units::ConnectionId;

/// All sessions. Those that may have something to do take turns, one step each; the others are woken by time.
#[derive(Debug, Default)]
pub(super) struct Roster {
    sessions: BTreeMap<SessionKey, Entry>,
    connections: BTreeMap<ConnectionId, SessionKey>,
    ready: VecDeque<SessionKey>,
    deadlines: BTreeSet<(Instant, SessionKey)>,
    /// Connections that have ended, and until when they stay so; in the order of their ends.
    ended: VecDeque<(Instant, ConnectionId)>,
    last_key: u64,
}

#[derive(Debug)]
struct Entry {
    session: Session,
    is_ready: bool,
    deadline: Option<Instant>,
}

impl Roster {
    /// Sessions, closing ones included.
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// A key that no session had.
    pub(super) const fn next_key(&mut self) -> SessionKey {
        self.last_key += 1;
        SessionKey(self.last_key)
    }

    /// Takes a new session in.
    pub(super) fn insert(&mut self, session: Session) {
        let key = session.key();
        self.connections.insert(session.connection(), key);
        self.sessions.insert(key, Entry { session, is_ready: false, deadline: None });
        self.wake(key);
    }

    /// Takes a session out. Its connection stays known as ended for as long as its cookies are good.
    pub(super) fn remove(&mut self, now: Instant, key: SessionKey) -> Option<Session> {
        let entry = self.sessions.remove(&key)?;
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline, key));
        }
        self.connections.remove(&entry.session.connection());
        if self.ended.len() == ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back((now + COOKIE_LIFETIME, entry.session.connection()));
        Some(entry.session)
    }

    /// Whether a connection has ended lately.
    pub(super) fn has_ended(&mut self, now: Instant, connection: ConnectionId) -> bool {
        while self.ended.front().is_some_and(|(until, _)| *until < now) {
            self.ended.pop_front();
        }
        self.ended.iter().any(|(_, ended)| *ended == connection)
    }

    /// The session of a connection.
    pub(super) fn find(&self, connection: ConnectionId) -> Option<SessionKey> {
        self.connections.get(&connection).copied()
    }

    pub(super) fn get(&self, key: SessionKey) -> Option<&Session> {
        self.sessions.get(&key).map(|entry| &entry.session)
    }

    /// A session to tell something; it gets a turn afterwards.
    pub(super) fn tell(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.wake(key);
        self.sessions.get_mut(&key).map(|entry| &mut entry.session)
    }

    /// The session whose client is at an address, to be told something.
    pub(super) fn tell_at(&mut self, address: SocketAddr) -> Option<&mut Session> {
        let key = self.iter().find(|session| session.address() == address)?.key();
        self.tell(key)
    }

    /// A session, without giving it a turn.
    pub(super) fn get_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.sessions.get_mut(&key).map(|entry| &mut entry.session)
    }

    /// The keys of all sessions.
    pub(super) fn keys(&self) -> Vec<SessionKey> {
        self.sessions.keys().copied().collect()
    }

    /// All sessions.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values().map(|entry| &entry.session)
    }

    /// The session whose turn it is, of those that may have something to do at `now`.
    pub(super) fn next_turn(&mut self, now: Instant) -> Option<SessionKey> {
        while let Some(&(_, key)) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now) {
            self.wake(key);
        }
        let key = self.ready.pop_front()?;
        if let Some(entry) = self.sessions.get_mut(&key) {
            entry.is_ready = false;
        }
        Some(key)
    }

    /// A session whose turn it was has nothing more to do before its deadline. Says whether that is over already: then one of
    /// its timers is wrong, and must not keep everybody awake.
    pub(super) fn rest(&mut self, now: Instant, key: SessionKey) -> bool {
        let Some(entry) = self.sessions.get_mut(&key).filter(|entry| !entry.is_ready) else { return false };
        let deadline = entry.session.deadline();
        let restless = deadline.is_some_and(|at| at <= now);
        let deadline = if restless { Some(now + SHORTEST_REST) } else { deadline };
        if let Some(old) = std::mem::replace(&mut entry.deadline, deadline) {
            self.deadlines.remove(&(old, key));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, key));
        }
        restless
    }

    /// When the next session must get a turn.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Gives a session a turn, after everybody who has one already.
    pub(super) fn wake(&mut self, key: SessionKey) {
        let Some(entry) = self.sessions.get_mut(&key) else { return };
        if let Some(deadline) = entry.deadline.take() {
            self.deadlines.remove(&(deadline, key));
        }
        if !entry.is_ready {
            entry.is_ready = true;
            self.ready.push_back(key);
        }
    }
}

/// Rest of a session that has nothing to do though its deadline is over.
const SHORTEST_REST: std::time::Duration = std::time::Duration::from_millis(1);
