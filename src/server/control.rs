//! What clients may ask on streams for control: JSON, a line for each request, and one for its answer.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::directory::Service;
use crate::logic::SessionKey;
use crate::scan::TickState;
use crate::server::{Server, SessionStatus};
use crate::session::{CONTROL, Session};
use crate::time::Instant;
use lfp_proto::frame::{ResetReason, SurfaceState};
use lfp_proto::stream::Streams;
use lfp_proto::units::{ConnectionId, StreamId};

/// A request.
#[derive(Debug, Deserialize)]
struct Request {
    request: String,
}

impl Server {
    /// Has streams of a kind beside `control` taken: [`Server::take_stream`] gives them to whoever runs the server.
    pub fn take_kind(&mut self, kind: &'static str) {
        self.kinds.push(kind);
    }

    /// A stream of such a kind that the client of `connection` has opened; each once.
    pub fn take_stream(&mut self, connection: ConnectionId) -> Option<(StreamId, &'static str)> {
        let key = self.roster.find(connection)?;
        self.roster.get_mut(key)?.take_stream()
    }

    /// The streams of a session that is open. What is written to them goes out when [`Server::poll`] is called next.
    pub fn streams(&mut self, connection: ConnectionId) -> Option<&mut Streams> {
        let key = self.roster.find(connection)?;
        self.roster.tell(key).filter(|session| session.closing().is_none()).map(Session::streams_mut)
    }

    /// Something of a session's streams may have come, or gone.
    pub(super) fn serve_streams(&mut self, now: Instant, key: SessionKey) {
        let Some(session) = self.roster.get_mut(key) else { return };
        if !session.streams_mut().any_open() {
            return;
        }
        while let Some((stream, kind)) = session.streams_mut().accept() {
            if kind == CONTROL {
                session.converse(stream);
            } else if let Some(kind) = self.kinds.iter().find(|known| **known == kind) {
                session.keep_stream(stream, kind);
            } else {
                let text = "this server has no use for streams of that kind";
                session.streams_mut().reset(stream, ResetReason::UnknownKind, text);
            }
        }
        while let Some((stream, line)) = self.roster.get_mut(key).and_then(Session::next_request) {
            let answer = self.reply_to(now, key, &line).to_string();
            if let Some(session) = self.roster.get_mut(key) {
                session.answer(stream, &answer);
            }
        }
    }

    fn reply_to(&self, now: Instant, key: SessionKey, line: &[u8]) -> Value {
        let Some(session) = self.roster.get(key) else { return Value::Null };
        match serde_json::from_slice::<Request>(line) {
            Ok(Request { request }) if request == "directory" => self.list(session),
            Ok(Request { request }) if request == "session" => {
                json!({"session": SessionStatus::of(session).figures(now)})
            }
            Ok(Request { request }) => {
                let request: String = request.chars().take(40).collect();
                json!({"error": format!("there is no request {request:?}; there are: directory, session")})
            }
            Err(error) => {
                json!({"error": format!("a request is a line such as {{\"request\":\"directory\"}}: {error}")})
            }
        }
    }

    /// The services that a session may know of.
    fn list(&self, asking: &Session) -> Value {
        let mut sessions = BTreeMap::<&str, usize>::new();
        for session in self.roster.iter() {
            *sessions.entry(&session.terms().service).or_default() += 1;
        }
        let directory = &self.config.directory;
        let shown =
            directory.iter().filter(|(name, _)| directory.is_listed() || *name == asking.terms().service);
        let services = shown.map(|(name, service)| {
            let (state, size) = self.state_of_screen(service);
            json!({
                "name": name,
                "state": state.map(SurfaceState::name),
                "width": size.map(|size| size.0),
                "height": size.map(|size| size.1),
                "screens": service.sources.len(),
                "sessions": sessions.get(name).copied().unwrap_or_default(),
            })
        });
        json!({"directory": services.collect::<Vec<_>>()})
    }

    /// State and size in pixels of a service's first screen as it was last seen. A live one that nobody has watched was not.
    fn state_of_screen(&self, service: &Service) -> (Option<SurfaceState>, Option<(u16, u16)>) {
        let tick = service.sources.first().and_then(|shown| self.sources.newest(shown.source));
        match tick.map(|tick| &tick.state) {
            Some(TickState::Live { picture, .. }) => {
                (Some(SurfaceState::Live), Some((picture.size.width, picture.size.height)))
            }
            Some(TickState::Dark { state, .. }) => (Some(*state), None),
            None => (None, None),
        }
    }
}
