//! The ivshmem devices of this machine, and how each can be served.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::bar::{Bandwidth, Survey, Trial, is_ivshmem, survey};
use super::spec::{Guide, IvshmemSpec};
use crate::channel::{guest_port, is_guest_name};
use crate::hypervisor::sysfs::{PciFunction, Root};
use crate::limits::SOURCES_MAX;

/// A device of this machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Listed {
    /// Where it sits, such as `0000:00:07.0`.
    pub device: String,
    /// Bytes of its memory, if it has any.
    pub bytes: Option<u64>,
    /// Bytes per second that the fastest way to map it reads.
    pub bytes_per_s: Option<u64>,
    /// The name of that way.
    pub way: Option<&'static str>,
    /// The service that a running server has made of it, if it says so.
    pub service: Option<String>,
    /// The source that serves it; `None` if there is no way, or no telling which guest's it is.
    pub source: Option<String>,
    /// What is in the way, and what to do.
    pub problem: Option<String>,
}

/// A device that a running server serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Served {
    /// What clients ask for.
    pub service: String,
    /// The source that it was attached as.
    pub source: IvshmemSpec,
}

/// The ivshmem devices, at most [`SOURCES_MAX`], by address. A guest's port can be opened once, so whose a device is
/// says the server that has it, in `served`; where that leaves one device and one port, they belong together.
#[must_use]
pub fn devices(root: &Root, served: &[Served]) -> Vec<Listed> {
    let lead = guest_port("");
    let ports = root.ports();
    let guest = |name: &str| name.strip_prefix(&lead).filter(|name| is_guest_name(name)).map(str::to_owned);
    let guests: Vec<String> = ports.iter().filter_map(|port| guest(&port.name)).collect();
    let functions = root.pci_functions().into_iter().filter(|address| is_ivshmem(root, *address));
    let functions: Vec<_> = functions.take(SOURCES_MAX).collect();
    let server_of = |address: &PciFunction| served.iter().find(|one| one.source.address == *address);
    let is_taken = |guest: &&String| {
        served.iter().any(|one| matches!(&one.source.guide, Guide::Guest(taken) if taken == *guest))
    };
    let free: Vec<&String> = guests.iter().filter(|guest| !is_taken(guest)).collect();
    let alone =
        functions.iter().filter(|address| server_of(address).is_none()).count() == 1 && free.len() == 1;
    let list = |address: &PciFunction| {
        let mut listed = Listed {
            device: format!("{address}"),
            bytes: None,
            bytes_per_s: None,
            way: None,
            service: server_of(address).map(|one| one.service.clone()),
            source: server_of(address).map(|one| one.source.to_string()),
            problem: None,
        };
        let survey = match survey(root, *address) {
            Ok(survey) => survey,
            Err(error) => return Listed { problem: Some(error.to_string()), ..listed },
        };
        listed.bytes = Some(survey.bytes);
        let Some(way) = survey.fastest() else {
            let reasons: Vec<_> = survey.trials.iter().map(describe).collect();
            return Listed { problem: Some(reasons.join("; ")), ..listed };
        };
        let rate =
            survey.trials.iter().find(|trial| trial.way == way).and_then(|trial| trial.outcome.clone().ok());
        (listed.way, listed.bytes_per_s) = (Some(way.name()), rate);
        if listed.source.is_some() {
            return listed;
        }
        match free.as_slice() {
            [] => listed.problem = Some(NO_PORT.to_owned()),
            [guest, ..] if alone => {
                let spec = IvshmemSpec { address: *address, guide: Guide::Guest((*guest).clone()) };
                listed.source = Some(spec.to_string());
            }
            free => {
                let names: Vec<&str> = free.iter().map(|guest| guest.as_str()).collect();
                listed.problem = Some(format!("say whose it is with ?guest=, one of {}", names.join(", ")));
            }
        }
        listed
    };
    functions.iter().map(list).collect()
}

const NO_PORT: &str = "no port says its mode: attach it with lfp-server host, or say ?mode=WxH:FORMAT";

/// A trial in words.
fn describe(Trial { way, outcome }: &Trial) -> String {
    match outcome {
        Ok(rate) => format!("{} {}", way.name(), Bandwidth(*rate)),
        Err(reason) => format!("{} {reason}", way.name()),
    }
}

impl Survey {
    /// A list of the ways to map it, each with its `bytes_per_s` or why there is no figure, and whether it is taken.
    #[must_use]
    pub fn json(&self) -> Value {
        let taken = self.fastest();
        let object = |Trial { way, outcome }: &Trial| {
            json!({
                "way": way.name(),
                "bytes_per_s": outcome.as_ref().ok(),
                "problem": outcome.as_ref().err(),
                "is_taken": taken == Some(*way),
            })
        };
        self.trials.iter().map(object).collect()
    }

    /// In words, a line for each way to map it; the one to take is marked.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let taken = self.fastest();
        let line = |trial: &Trial| {
            let mark: &str = if taken == Some(trial.way) { ", taken" } else { "" };
            format!("{}{mark}", describe(trial))
        };
        self.trials.iter().map(line).collect()
    }
}

/// The devices as a table for people, one line each and another for what is in the way.
#[must_use]
pub fn table(listed: &[Listed]) -> String {
    let mut out = String::new();
    let dash = || "-".to_owned();
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "{:12}  {:>8}  {:>10}  {:15}  {:16}  SOURCE",
        "DEVICE", "MEMORY", "READ", "WAY", "SERVED AS"
    );
    for one in listed {
        let bytes = one.bytes.map_or_else(dash, |bytes| format!("{} MiB", bytes >> 20));
        let rate = one.bytes_per_s.map_or_else(dash, |rate| Bandwidth(rate).to_string());
        let (way, source) = (one.way.unwrap_or("-"), one.source.as_deref().unwrap_or("-"));
        let service = one.service.as_deref().unwrap_or("-");
        let _ = writeln!(out, "{:12}  {bytes:>8}  {rate:>10}  {way:15}  {service:16}  {source}", one.device);
        if let Some(problem) = &one.problem {
            let _ = writeln!(out, "{:12}  {problem}", "");
        }
    }
    out
}
