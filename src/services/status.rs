//! How services stand, in the words of the control channel.

use std::collections::BTreeMap;

use super::catalogue::{Catalogue, cut};
use crate::channel::control::{FromAppliance, ServiceStatus, Status};
use crate::channel::line;
use crate::hypervisor::{SourceId, View};
use crate::limits::{CHANNEL_LINE_MAX, CONTROL_SOURCE_MAX};
use crate::output::Report;
use lfp_proto::frame::SurfaceState;
use serde_json::{Value, json};

/// Its state before a source was looked at for the first time.
const WAITING: &str = "waiting";

/// Every service of `catalogue`, by name, as `report` has it.
pub(super) fn statuses(catalogue: &Catalogue, report: &Report) -> BTreeMap<String, ServiceStatus> {
    let views: BTreeMap<SourceId, Option<&View>> =
        report.views.iter().map(|(id, view)| (*id, view.as_ref())).collect();
    let status = |(name, entry): (&str, &super::catalogue::Entry)| {
        let first = entry.sources.first().and_then(|id| views.get(id).copied().flatten());
        let (state, text) = in_words(first);
        // A configuration may name longer ones than the channel carries.
        let source = entry.service.sources.first().map(ToString::to_string).unwrap_or_default();
        let source = cut(&source, CONTROL_SOURCE_MAX);
        let sessions = report.watched.get(name).copied().unwrap_or_default();
        let (service, is_attached) = (name.to_owned(), entry.is_attached);
        (service.clone(), ServiceStatus { service, source, state, text, sessions, is_attached })
    };
    catalogue.iter().map(status).collect()
}

fn in_words(view: Option<&View>) -> (String, String) {
    match view {
        Some(View::Live(surface)) => {
            let (width, height) = (surface.size.width, surface.size.height);
            let text = format!("{width}x{height} {}", surface.format.name());
            (SurfaceState::Live.name().to_owned(), text)
        }
        Some(View::Dark { state, text }) => (state.name().to_owned(), text.clone()),
        None => (WAITING.to_owned(), "it was not looked at yet".to_owned()),
    }
}

/// What stands of services in the file of statistics, which counts sessions itself.
pub(super) fn figures<'a>(statuses: impl Iterator<Item = &'a ServiceStatus>) -> Value {
    let figures = |status: &ServiceStatus| {
        let ServiceStatus { service, source, state, text, is_attached, .. } = status;
        json!({"service": service, "source": source, "state": state, "text": text, "is_attached": is_attached})
    };
    statuses.map(figures).collect()
}

/// The answer to a request for the status, which fits a line: services that do not are left out, and counted.
pub(super) fn answer(id: u64, mut status: Status) -> FromAppliance {
    loop {
        let message = FromAppliance::Status { id, status };
        let length = line(&message).len();
        let FromAppliance::Status { status: said, .. } = &message else { unreachable!("it was made above") };
        let services = said.services.len();
        if length <= CHANNEL_LINE_MAX || services == 0 {
            return message;
        }
        // Each takes about as much as the others; where that is wrong, the next turn is shorter.
        let fit = (services * CHANNEL_LINE_MAX / length).min(services - 1);
        let FromAppliance::Status { status: said, .. } = message else { unreachable!("it was made above") };
        status = said;
        status.services.truncate(fit);
        status.services_left_out += services - fit;
    }
}

/// Resident memory of this process in bytes; 0 where the kernel does not say.
pub(super) fn memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
