//! Services that come and go while the server runs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::directory::Service;
use crate::hypervisor::SourceId;
use crate::server::Server;
use crate::time::Instant;
use lfp_proto::frame::CloseReason;

/// What of a server's [`super::Config`] may change while it runs. What is said of sessions holds for those that begin
/// afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Whether sessions without encryption are taken, too.
    pub plain: bool,
    /// Most sessions at once.
    pub sessions_max: usize,
    /// Silence after which a session ends.
    pub idle_timeout: Duration,
    /// Whether clients are told of all services, or of their own alone.
    pub list_services: bool,
}

impl Server {
    /// Lets clients ask for `service` by `name` from now on. Ticks of its sources are taken from now on.
    ///
    /// # Panics
    /// If there is a service of that name: it has to be ended first, so that its sessions hear of it.
    pub fn open_service(&mut self, name: &str, service: Service) {
        assert!(self.config.directory.find(name).is_none(), "the service {name:?} is there already");
        let sources: Vec<_> = service.sources.iter().map(|shown| shown.source).collect();
        tracing::info!(service = name, sources = sources.len(), "service begins");
        sources.into_iter().for_each(|source| self.sources.add(source));
        self.config.directory.set(name, service);
    }

    /// Ends the service `name`, if there is one: its sessions are closed, and their clients told `why`, for people.
    /// What they hold down is released before [`super::Output::Retire`] lets go of its sources.
    pub fn end_service(&mut self, now: Instant, name: &str, why: &str) {
        let Some(service) = self.config.directory.remove(name) else { return };
        tracing::info!(service = name, "service ends");
        for key in self.roster.keys() {
            if self.roster.get(key).is_none_or(|session| session.terms().service != name) {
                continue;
            }
            if let Some(session) = self.roster.tell(key) {
                session.close(now, CloseReason::Ended, why.to_owned());
            }
            self.fetch_releases(now, key);
            self.sources.on_end(key);
        }
        self.rewatch();
        for shown in &service.sources {
            self.retire(shown.source);
        }
    }

    /// Takes over what may change while the server runs.
    pub fn settle(&mut self, settings: Settings) {
        let Settings { plain, sessions_max, idle_timeout, list_services } = settings;
        self.config.plain = plain;
        self.config.sessions_max = sessions_max;
        self.config.idle_timeout = idle_timeout;
        self.config.directory.list(list_services);
    }

    /// How many open sessions there are of each service that has any.
    #[must_use]
    pub fn watched(&self) -> BTreeMap<&str, usize> {
        let mut sessions = BTreeMap::new();
        for session in self.roster.iter().filter(|session| session.closing().is_none()) {
            *sessions.entry(session.terms().service.as_str()).or_default() += 1;
        }
        sessions
    }

    /// Sources of which something is known.
    #[must_use]
    pub fn known_sources(&self) -> usize {
        self.sources.len()
    }

    /// Has a source let go of, unless another service shows it too.
    fn retire(&mut self, source: SourceId) {
        let shows = |service: &Service| service.sources.iter().any(|shown| shown.source == source);
        if !self.config.directory.iter().any(|(_, service)| shows(service)) && self.sources.remove(source) {
            self.retired.push_back(source);
        }
    }
}
