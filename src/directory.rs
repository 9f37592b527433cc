//! The directory: names of services in, sources out. Knows no sessions.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::hypervisor::SourceId;
use crate::scan::Strategy;

/// Who may send keys, buttons and motion to a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputPolicy {
    /// One session at a time, whoever was first until it rests.
    #[default]
    Exclusive,
    /// Nobody: clients look.
    None,
}

impl InputPolicy {
    /// Its word in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::None => "none",
        }
    }
}

/// What kind of service it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Tier {
    /// A guest's screen.
    #[default]
    Desktop,
}

/// One source of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceSource {
    /// Which source.
    pub source: SourceId,
    /// Fastest scan per second.
    pub rate_hz: u32,
    /// How it is scanned.
    pub scan: Strategy,
    /// Who may type.
    pub input: InputPolicy,
}

/// A named thing that a client may ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// What kind it is.
    pub tier: Tier,
    /// Its sources, in the order of the session's surfaces; at least one, at most
    /// [`crate::limits::SURFACES_MAX`].
    pub sources: Vec<ServiceSource>,
}

/// All services of a server.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Directory {
    services: BTreeMap<String, Service>,
    /// A client is told of no service but its own.
    hidden: bool,
}

/// No screen at all: for who has only something to ask.
pub static NO_SERVICE: Service = Service { tier: Tier::Desktop, sources: Vec::new() };

impl Directory {
    /// Adds the service `name`, a desktop of `sources`. A service of that name is replaced.
    pub fn insert(
        &mut self,
        name: &str,
        sources: impl IntoIterator<Item = SourceId>,
        rate_hz: u32,
        input: InputPolicy,
    ) {
        let sources = sources.into_iter().map(|source| ServiceSource {
            source,
            rate_hz,
            scan: Strategy::default(),
            input,
        });
        let sources = sources.collect();
        self.services.insert(name.to_owned(), Service { tier: Tier::Desktop, sources });
    }

    /// Adds the service `name`. One of that name is replaced.
    pub fn set(&mut self, name: &str, service: Service) {
        self.services.insert(name.to_owned(), service);
    }

    /// Takes the service `name` out.
    pub fn remove(&mut self, name: &str) -> Option<Service> {
        self.services.remove(name)
    }

    /// The sources of the service `name`, if there is one, are scanned by `strategy`.
    pub fn scan(&mut self, name: &str, strategy: Strategy) {
        let service = self.services.get_mut(name);
        service
            .into_iter()
            .flat_map(|service| &mut service.sources)
            .for_each(|source| source.scan = strategy);
    }

    /// Whether clients are told of all services from now on, or of their own alone.
    pub const fn list(&mut self, all: bool) {
        self.hidden = !all;
    }

    /// Whether clients are told of all services.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        !self.hidden
    }

    /// The service `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Service> {
        self.services.get(name)
    }

    /// Every service with its name, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Service)> {
        self.services.iter().map(|(name, service)| (name.as_str(), service))
    }
}
