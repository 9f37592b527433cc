//! What the host's side is told of guests and appliances: JSON, checked as a whole before anything starts.
//! `docs/APPLIANCE.md` has the table of fields.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::channel::guest::Power;
use crate::channel::is_guest_name;
use crate::config::{ConfigError, Fault, from_text, read};
use crate::limits::{HOST_GUESTS_MAX, HOST_PORTS_MAX};

/// Guests, what may be done to them, and appliances whose ports are always open.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostConfig {
    /// Guests by name.
    #[serde(default)]
    pub guests: Vec<GuestConfig>,
    /// Whether other QEMU processes of this host are found, and followed by a monitor that nobody holds.
    #[serde(default)]
    pub discover: bool,
    /// Appliances that connect to their ports by themselves.
    #[serde(default)]
    pub appliances: Vec<ApplianceConfig>,
}

/// A guest, and what appliances may do to it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestConfig {
    /// As [`is_guest_name`] has it.
    pub name: String,
    /// Its QMP socket, which nobody else uses; `None`: the one that is found.
    #[serde(default)]
    pub qmp: Option<PathBuf>,
    /// Whether appliances may type, one at a time. Default: yes.
    #[serde(default = "yes")]
    pub input: bool,
    /// What appliances may do to its power. Default: nothing.
    #[serde(default)]
    pub power: Vec<Power>,
}

impl GuestConfig {
    /// What holds for a guest that nothing is said of.
    #[must_use]
    pub fn of(name: String, qmp: Option<PathBuf>) -> Self {
        Self { name, qmp, input: true, power: Vec::new() }
    }
}

/// An appliance whose ports are open whether something was attached or not.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplianceConfig {
    /// As [`is_guest_name`] has it.
    pub name: String,
    /// The guests whose ports it has.
    pub guests: Vec<String>,
}

const fn yes() -> bool {
    true
}

impl HostConfig {
    /// Reads and checks `file`.
    ///
    /// # Errors
    /// If the file cannot be read, is not JSON, or holds a field that is not allowed.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = read(file)?;
        Self::parse(&text).map_err(|fault| ConfigError { file: file.to_owned(), fault })
    }

    /// Parses and checks `text`.
    ///
    /// # Errors
    /// As [`HostConfig::load`].
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let config: Self = from_text(text)?;
        config.check().map_err(|(field, text)| Fault { place: None, field, text })?;
        Ok(config)
    }

    /// The field that is wrong, and how.
    fn check(&self) -> Result<(), (String, String)> {
        let mut names = BTreeSet::new();
        for (at, guest) in self.guests.iter().enumerate() {
            let field = format!("guests[{at}].name");
            check_name(&field, &guest.name)?;
            if !names.insert(&guest.name) {
                return Err((field, format!("{:?} is another guest's name already", guest.name)));
            }
        }
        if self.guests.len() > HOST_GUESTS_MAX {
            return Err(("guests".to_owned(), format!("must be at most {HOST_GUESTS_MAX}")));
        }
        let mut ports = BTreeSet::new();
        for (at, appliance) in self.appliances.iter().enumerate() {
            check_name(&format!("appliances[{at}].name"), &appliance.name)?;
            for (other, guest) in appliance.guests.iter().enumerate() {
                let field = format!("appliances[{at}].guests[{other}]");
                check_name(&field, guest)?;
                if !ports.insert((&appliance.name, guest)) {
                    return Err((field, format!("{:?} has that port already", appliance.name)));
                }
            }
        }
        if ports.len() > HOST_PORTS_MAX {
            return Err(("appliances".to_owned(), format!("must have at most {HOST_PORTS_MAX} ports")));
        }
        Ok(())
    }
}

fn check_name(field: &str, name: &str) -> Result<(), (String, String)> {
    if is_guest_name(name) { Ok(()) } else { Err((field.to_owned(), bad_name(name))) }
}

/// Why nothing may have this name.
pub(super) fn bad_name(name: &str) -> String {
    format!(
        "{name:?} is no name: 1 to 32 letters, digits, `-`, `_` and `.` are allowed, a letter or digit first"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_let_type_and_nothing_more() {
        let text = r#"{"guests": [{"name": "web", "qmp": "/run/web.qmp"}, {"name": "db", "input": false, "power": ["reset"]}]}"#;
        let config = HostConfig::parse(text).expect("understood");
        assert!(!config.discover);
        assert_eq!(config.guests[0], GuestConfig::of("web".to_owned(), Some("/run/web.qmp".into())));
        assert_eq!((config.guests[1].input, &config.guests[1].power[..]), (false, &[Power::Reset][..]));
    }

    #[test]
    fn an_error_names_the_field() {
        for (text, field) in [
            (r#"{"guests": [{"name": "a b"}]}"#, "guests[0].name"),
            (r#"{"guests": [{"name": "a"}, {"name": "a"}]}"#, "guests[1].name"),
            (r#"{"guests": [{"name": "a", "power": ["migrate"]}]}"#, "guests[0].power[0]"),
            (r#"{"guests": [{"name": "a", "qpm": "x"}]}"#, "guests[0].qpm"),
            (r#"{"appliances": [{"name": "s", "guests": ["a", "a"]}]}"#, "appliances[0].guests[1]"),
            (r#"{"appliances": [{"name": "../s", "guests": []}]}"#, "appliances[0].name"),
        ] {
            assert_eq!(HostConfig::parse(text).unwrap_err().field, field, "{text}");
        }
    }
}
