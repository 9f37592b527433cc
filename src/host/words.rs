//! What the commands of `lfp-server host` say to the process that runs, and hear from it: JSON, one object on a line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::channel::control::ServiceStatus;
use crate::channel::guest::Mode;

/// What is asked for: one line, and the answer is one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// Gives a guest to an appliance.
    Attach(Attach),
    /// Takes it away.
    Detach {
        /// The appliance's QMP socket, or the name that the host gave it.
        appliance: PathBuf,
        /// The guest's name.
        guest: String,
    },
    /// Asks how everything is.
    Status {},
}

/// A guest for an appliance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// The appliance's QMP socket.
    pub appliance: PathBuf,
    /// The guest's name.
    pub guest: String,
    /// The name that clients ask for; `None`: the guest's.
    pub service: Option<String>,
    /// The host's end of the appliance's control channel; `None`: the one that its QEMU has.
    pub control: Option<PathBuf>,
    /// The bus for the guest's memory; `None`: one that is free.
    pub bus: Option<String>,
    /// Whether clients may type.
    pub input: bool,
    /// Only the commands are asked for.
    pub dry_run: bool,
}

/// What is answered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// The guest is attached, and the appliance serves it.
    Attached(Attached),
    /// It is not any more.
    Detached {
        /// The appliance's name.
        appliance: String,
        /// The guest's.
        guest: String,
    },
    /// The commands that attaching would give, in order.
    Commands(Vec<Value>),
    /// How everything is.
    Status(HostStatus),
    /// It was not done.
    Error {
        /// Why, and what to do.
        text: String,
    },
}

/// A guest that an appliance serves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attached {
    /// The appliance's name.
    pub appliance: String,
    /// The guest's.
    pub guest: String,
    /// As the appliance serves it.
    pub source: String,
    /// What it shows there.
    pub service: ServiceStatus,
}

/// How the host's side is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HostStatus {
    /// Of the program.
    pub program: String,
    /// Every guest, by name.
    pub guests: Vec<GuestStatus>,
    /// Every appliance that has a port, by name.
    pub appliances: Vec<ApplianceStatus>,
}

/// How a guest is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GuestStatus {
    /// Its name.
    pub guest: String,
    /// Its QMP socket.
    pub qmp: PathBuf,
    /// It was found, not named.
    pub is_discovered: bool,
    /// `live`, `connecting`, `no-framebuffer`, `gone` or `faulty`.
    pub state: String,
    /// Why it shows nothing; empty if it does.
    pub text: String,
    /// The mode that it shows.
    pub mode: Option<Mode>,
    /// Bytes of video memory that can be attached; 0 if there are none.
    pub vram_bytes: u64,
    /// The appliance that types.
    pub typed_by: Option<String>,
}

/// How an appliance is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ApplianceStatus {
    /// Its name.
    pub appliance: String,
    /// Its QMP socket, if something is attached.
    pub qmp: Option<PathBuf>,
    /// Its monitor answers.
    pub is_reached: bool,
    /// Its control channel is connected.
    pub is_controlled: bool,
    /// What it has.
    pub guests: Vec<AttachmentStatus>,
}

/// How a guest of an appliance is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AttachmentStatus {
    /// The guest's name.
    pub guest: String,
    /// It was attached; else the port alone is there.
    pub is_attached: bool,
    /// The address of its memory in the appliance.
    pub pci: Option<String>,
    /// What is in the way, if something is; it is tried again.
    pub fault: Option<String>,
    /// What the appliance says of the service.
    pub service: Option<ServiceStatus>,
    /// How its port fares.
    pub port: PortStatus,
}

/// How a port fares.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PortStatus {
    /// The socket.
    pub path: PathBuf,
    /// The appliance's QEMU holds it.
    pub is_connected: bool,
    /// The appliance has said hello.
    pub is_greeted: bool,
    /// Somebody watches.
    pub is_watched: bool,
    /// Inputs that were passed on.
    pub inputs: u64,
    /// Lines that were refused.
    pub refused: u64,
}
