//! Every service with where it comes from, and what requests make of it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{Config, InputPolicy, Overrides, Service, Use, check_name};
use crate::directory;
use crate::hypervisor::{SourceId, SourceSpec};
use crate::limits::{CONTROL_FAULT_MAX, CONTROL_SOURCE_MAX, SOURCES_MAX};
use crate::server::Settings;

/// All services, those of the configuration and those that were attached, and the settings under which they are served.
#[derive(Debug)]
pub struct Catalogue {
    entries: BTreeMap<String, Entry>,
    /// The number of the next source: none is given twice.
    next_source: u32,
    /// The configuration, as the command line has it. Its services stand in the entries.
    config: Config,
    overrides: Overrides,
    /// What is wrong with the configuration.
    error: Option<String>,
}

/// One service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) service: Service,
    /// Its sources, in their order.
    pub(super) sources: Vec<SourceId>,
    pub(super) is_attached: bool,
}

/// A service that begins: what is to be opened for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
    /// What clients ask for.
    pub name: String,
    /// What they are shown.
    pub service: directory::Service,
    /// Its sources, by id.
    pub sources: Vec<(SourceId, SourceSpec)>,
}

/// Something to be done so that what is served is what the catalogue says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed {
    /// A service ends; its clients are told why.
    End {
        /// Its name.
        name: String,
        /// What they are told.
        why: String,
    },
    /// A service begins.
    Open(Opening),
    /// Settings change.
    Settle(Settings),
}

impl Catalogue {
    /// The services of `config`, which is as `overrides` have made it.
    #[must_use]
    pub fn new(config: Config, overrides: Overrides) -> Self {
        let mut catalogue = Self { entries: BTreeMap::new(), next_source: 0, config, overrides, error: None };
        for service in std::mem::take(&mut catalogue.config.services) {
            catalogue.insert(service.0, false);
        }
        catalogue
    }

    /// What has to be opened for the services that there are.
    pub fn openings(&self) -> impl Iterator<Item = Opening> + '_ {
        self.entries.values().map(Entry::opening)
    }

    /// What is set, without the services.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Takes note of what is wrong with the configuration; the first is what is said. Gives as much of `text` as is fit to be.
    pub fn complain(&mut self, text: &str) -> String {
        let text = cut(text, CONTROL_FAULT_MAX);
        self.error.get_or_insert_with(|| text.clone());
        text
    }

    /// What is wrong with the configuration, if something is.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Serves `source` as `name` from now on. What is attached like that already stays as it is.
    ///
    /// # Errors
    /// What is wrong with the request. Nothing has changed then.
    pub fn attach(&mut self, name: &str, source: &str, input: bool) -> Result<Vec<Deed>, String> {
        check_name(name).map_err(|fault| format!("the service's name {fault}"))?;
        if source.len() > CONTROL_SOURCE_MAX {
            return Err(format!("a source's name is at most {CONTROL_SOURCE_MAX} bytes long"));
        }
        let spec: SourceSpec = source.parse().map_err(|error| format!("source: {error}"))?;
        let input = if input { InputPolicy::Exclusive } else { InputPolicy::None };
        let service = Service::of_source(name.to_owned(), spec, input);
        let before = self.entries.get(name);
        match before {
            Some(entry) if !entry.is_attached => {
                return Err(format!("{name:?} is a service of the configuration; attach it by another name"));
            }
            Some(entry) if entry.service == service => return Ok(Vec::new()),
            _ => {}
        }
        let others = self.sources() - before.map_or(0, |entry| entry.sources.len());
        if others >= SOURCES_MAX {
            return Err(format!(
                "there are {SOURCES_MAX} sources, which are all that one server has; detach one"
            ));
        }
        self.check_numbers()?;
        let mut deeds = Vec::new();
        if self.entries.remove(name).is_some() {
            deeds.push(ended(name, "another source is attached by that name; connect again"));
        }
        deeds.push(Deed::Open(self.insert(service, true)));
        Ok(deeds)
    }

    /// Ends a service that was attached.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn detach(&mut self, name: &str) -> Result<Vec<Deed>, String> {
        match self.entries.get(name) {
            Some(entry) if entry.is_attached => {
                self.entries.remove(name);
                Ok(vec![ended(name, "it was detached")])
            }
            Some(_) => {
                Err(format!("{name:?} is a service of the configuration; configure the server without it"))
            }
            None => Err(format!("no service {name:?} is attached")),
        }
    }

    /// Takes over another configuration. Services that are in both, alike, stay as they are; so do those that were attached.
    ///
    /// # Errors
    /// What is wrong with it, or cannot change while the server runs. Nothing has changed then.
    pub fn configure(&mut self, config: Value) -> Result<Vec<Deed>, String> {
        let mut config = Config::of_value(config, Use::Controlled).map_err(|fault| fault.to_string())?;
        self.overrides.apply(&mut config);
        self.check_fixed(&config)?;
        self.check_numbers()?;
        let attached = || self.entries.values().filter(|entry| entry.is_attached);
        for (at, service) in config.services.iter().enumerate() {
            if attached().any(|entry| entry.service.name == service.name) {
                let name = &service.name;
                return Err(format!(
                    "services[{at}].name: {name:?} is attached; detach it, or choose another name"
                ));
            }
        }
        let attached: usize = attached().map(|entry| entry.sources.len()).sum();
        if config.sources() + attached > SOURCES_MAX {
            return Err(format!(
                "services: {attached} sources are attached, and all are at most {SOURCES_MAX}"
            ));
        }
        let wanted: BTreeMap<_, _> =
            std::mem::take(&mut config.services).into_iter().map(|it| (it.name.clone(), it.0)).collect();
        let mut deeds = vec![Deed::Settle(settings(&config))];
        let leaves =
            |entry: &Entry| !entry.is_attached && wanted.get(&entry.service.name) != Some(&entry.service);
        let ends: Vec<_> =
            self.entries.iter().filter(|(_, entry)| leaves(entry)).map(|(name, _)| name.clone()).collect();
        for name in ends {
            self.entries.remove(&name);
            let why = match wanted.contains_key(&name) {
                true => "it is configured otherwise from now on; connect again",
                false => "it is not in the server's configuration any more",
            };
            deeds.push(ended(&name, why));
        }
        for (name, service) in wanted {
            if !self.entries.contains_key(&name) {
                deeds.push(Deed::Open(self.insert(service, false)));
            }
        }
        let Config { listen, state_dir, sockets, stats, .. } = &self.config;
        let (listen, state_dir, sockets, stats) = (*listen, state_dir.clone(), *sockets, stats.clone());
        self.config = Config { listen, state_dir, sockets, stats, ..config };
        self.error = None;
        Ok(deeds)
    }

    /// A service could not be opened after all.
    pub fn forget(&mut self, name: &str) {
        self.entries.remove(name);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    fn sources(&self) -> usize {
        self.entries.values().map(|entry| entry.sources.len()).sum()
    }

    fn insert(&mut self, service: Service, is_attached: bool) -> Opening {
        let first = self.next_source;
        self.next_source += service.sources.len() as u32;
        let sources = (first..self.next_source).map(SourceId).collect();
        let name = service.name.clone();
        let entry = Entry { service, sources, is_attached };
        let opening = entry.opening();
        self.entries.insert(name, entry);
        opening
    }

    /// Whether there are numbers left for as many sources as a request may bring.
    fn check_numbers(&self) -> Result<(), String> {
        let left = (u32::MAX - self.next_source) as usize;
        let text = "this server has had more sources than it has numbers for; start it anew";
        if left > SOURCES_MAX { Ok(()) } else { Err(text.to_owned()) }
    }

    /// Whether `config` says of what cannot change what it is.
    fn check_fixed(&self, config: &Config) -> Result<(), String> {
        let differs = |field: &str, running: String| {
            Err(format!(
                "{field}: is {running} and cannot change while the server runs; leave it out, or start the server anew"
            ))
        };
        let was = &self.config;
        if config.listen.is_some() && config.listen != was.listen {
            return differs("listen", was.listen.map_or("chosen".to_owned(), |listen| listen.to_string()));
        }
        if config.sockets.is_some() && config.sockets != was.sockets {
            return differs(
                "sockets",
                was.sockets.map_or("chosen".to_owned(), |sockets| sockets.to_string()),
            );
        }
        for (field, wanted, running) in
            [("state_dir", &config.state_dir, &was.state_dir), ("stats", &config.stats, &was.stats)]
        {
            if wanted.is_some() && wanted != running {
                let running =
                    running.as_ref().map_or("not set".to_owned(), |path| path.display().to_string());
                return differs(field, running);
            }
        }
        Ok(())
    }
}

impl Entry {
    fn opening(&self) -> Opening {
        let name = self.service.name.clone();
        let sources = self.sources.iter().copied().zip(self.service.sources.iter().cloned()).collect();
        Opening { name, service: self.service.shown(&self.sources), sources }
    }
}

/// What of a configuration may change while a server runs.
#[must_use]
pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        plain: config.plain,
        sessions_max: usize::from(config.sessions_max),
        idle_timeout: config.idle_timeout(),
        list_services: config.list_services,
    }
}

/// The first `characters` of `text`.
pub(super) fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

fn ended(name: &str, why: &str) -> Deed {
    Deed::End { name: name.to_owned(), why: format!("the service has ended: {name}: {why}") }
}
