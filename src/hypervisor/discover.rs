//! Finding the QEMU guests of this host, and how each can be served.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::procfs::{self, Memfd};
use super::{SourceSpec, qemu};
use crate::channel::CONTROL_PORT;
use crate::limits::SOURCES_MAX;

#[cfg(test)]
mod tests;

/// A QEMU process of this host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DiscoveredGuest {
    /// The process.
    pub pid: u32,
    /// What `-name` calls it.
    pub name: Option<String>,
    /// Its QMP sockets, in the order of its command line.
    pub monitors: Vec<DiscoveredMonitor>,
    /// Its video memory that can be mapped.
    pub framebuffers: Vec<DiscoveredFramebuffer>,
    /// The source that serves it, as [`SourceSpec`] writes it; `None` if it cannot be served as it runs.
    pub source: Option<String>,
    /// What is in the way, and what to do. May stand beside a source, if that may have to wait.
    pub problem: Option<String>,
    /// It has the port of an appliance's control channel: its monitor is for attaching guests to it.
    pub is_appliance: bool,
}

/// A QMP socket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DiscoveredMonitor {
    /// Where it is.
    pub path: PathBuf,
    /// Whether a client holds it now: it serves one at a time.
    pub is_held: bool,
}

/// Video memory of a guest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DiscoveredFramebuffer {
    /// QEMU's name for it, the PCI address first.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// Why processes cannot be listed.
#[derive(Debug, thiserror::Error)]
#[error("cannot list the processes of this host: {0}; is /proc mounted?")]
pub struct DiscoverError(#[from] std::io::Error);

/// The QEMU processes of this host, at most [`SOURCES_MAX`], by process number. Connects to none of them.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn discover() -> Result<Vec<DiscoveredGuest>, DiscoverError> {
    let held = procfs::connected_sockets().unwrap_or_default();
    let guests = procfs::processes()?.into_iter().filter_map(|pid| look_at(pid, &held));
    Ok(guests.take(SOURCES_MAX).collect())
}

/// The guests as a table for people, one line each and another for what is in the way.
#[must_use]
pub fn table(guests: &[DiscoveredGuest]) -> String {
    if guests.is_empty() {
        return "no QEMU process is running on this host (or none may be seen from here)\n".to_owned();
    }
    let mut out = String::new();
    let name = |guest: &DiscoveredGuest| guest.name.clone().unwrap_or_else(|| "-".to_owned());
    let width = guests.iter().map(|guest| name(guest).chars().count()).max().unwrap_or(0).max(4);
    let mut line = |pid: &dyn fmt::Display, name: &str, vram: &str, source: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{pid:>7}  {name:width$}  {vram:>8}  {source}");
    };
    line(&"PID", "NAME", "VRAM", "SOURCE");
    for guest in guests {
        let bytes: u64 = guest.framebuffers.iter().map(|framebuffer| framebuffer.bytes).sum();
        let vram = if bytes == 0 { "-".to_owned() } else { format!("{} MiB", bytes >> 20) };
        line(&guest.pid, &name(guest), &vram, guest.source.as_deref().unwrap_or("-"));
        if let Some(problem) = &guest.problem {
            line(&"", "", "", problem);
        }
    }
    out
}

/// What there is to say of process `pid`; `None` if it is no QEMU, or over.
fn look_at(pid: u32, held: &[PathBuf]) -> Option<DiscoveredGuest> {
    let arguments = procfs::arguments(pid).ok()?;
    if !is_qemu(procfs::program(pid).as_deref(), &arguments) || !procfs::is_alive(pid) {
        return None;
    }
    let line = CommandLine::parse(&arguments);
    let folder = procfs::folder(pid);
    let monitor = |path: &PathBuf| DiscoveredMonitor {
        is_held: held.contains(path),
        path: folder.as_ref().map_or_else(|| path.clone(), |folder| folder.join(path)),
    };
    let monitors: Vec<_> = line.monitors.iter().map(monitor).collect();
    let (framebuffers, missing) = match framebuffers(pid) {
        Ok(framebuffers) => (framebuffers, None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    // A socket that nobody holds is the better one.
    let chosen = monitors.iter().find(|monitor| !monitor.is_held).or(monitors.first());
    let problem = match chosen {
        _ if missing.is_some() => missing,
        None => Some(NO_MONITOR.to_owned()),
        Some(monitor) if monitor.is_held => {
            Some(format!("another client holds {}; {ADD_MONITOR}", monitor.path.display()))
        }
        Some(_) => None,
    };
    let source = chosen.filter(|_| !framebuffers.is_empty());
    let source = source.map(|monitor| SourceSpec::Qemu(monitor.path.clone()).to_string());
    let is_appliance = line.is_appliance;
    Some(DiscoveredGuest { pid, name: line.name, monitors, framebuffers, source, problem, is_appliance })
}

const NO_MONITOR: &str = "it has no QMP socket: start it with -qmp unix:PATH,server=on,wait=off";
const ADD_MONITOR: &str = "give it another -qmp unix:PATH,server=on,wait=off";
const NOT_SHARED: &str =
    "its video memory is private: start it with -machine TYPE,aux-ram-share=on (QEMU 9.2 or newer)";

/// The video memory of process `pid`, or why there is none.
fn framebuffers(pid: u32) -> Result<Vec<DiscoveredFramebuffer>, String> {
    let explain = |error| qemu::explain(pid, error).to_string();
    let memfds = procfs::memfds(pid).map_err(explain)?;
    let mut found = Vec::new();
    for memfd in memfds.into_iter().filter(|memfd| qemu::device_of(memfd).is_some()) {
        let bytes = length(&memfd).map_err(explain)?;
        found.push(DiscoveredFramebuffer { name: memfd.name, bytes });
    }
    if found.is_empty() { Err(NOT_SHARED.to_owned()) } else { Ok(found) }
}

fn length(memfd: &Memfd) -> std::io::Result<u64> {
    Ok(memfd.open()?.metadata()?.len())
}

fn is_qemu(program: Option<&Path>, arguments: &[String]) -> bool {
    let is_name = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("qemu-system") || name.starts_with("qemu-kvm")
    };
    program.map_or_else(|| arguments.first().is_some_and(|first| is_name(Path::new(first))), is_name)
}

/// What a QEMU command line says of its name and monitors.
#[derive(PartialEq, Eq, Debug, Default)]
struct CommandLine {
    name: Option<String>,
    /// As they are written: a relative path means QEMU's working folder.
    monitors: Vec<PathBuf>,
    /// It has a port of the name [`CONTROL_PORT`].
    is_appliance: bool,
}

impl CommandLine {
    fn parse(arguments: &[String]) -> Self {
        let mut line = Self::default();
        let mut sockets: Vec<(String, PathBuf)> = Vec::new();
        let mut channels = Vec::new();
        let mut words = arguments.iter().skip(1);
        while let Some(word) = words.next() {
            // Options may be written with one dash or two.
            let Some(option) = word.strip_prefix('-') else { continue };
            let option = option.strip_prefix('-').unwrap_or(option);
            if !matches!(option, "name" | "qmp" | "qmp-pretty" | "chardev" | "mon" | "device") {
                continue;
            }
            let Some(value) = words.next() else { break };
            let values = split_option(value);
            match option {
                "name" => line.name = field(&values, "guest").or_else(|| positional(&values)),
                "chardev" => sockets.extend(read_socket(&values)),
                "mon" if field(&values, "mode").as_deref() == Some("control") => {
                    channels.extend(field(&values, "chardev").or_else(|| positional(&values)));
                }
                "mon" => {}
                // libvirt writes devices as JSON.
                "device" => {
                    line.is_appliance |= value.contains("virtserialport") && value.contains(CONTROL_PORT);
                }
                _ => line.monitors.extend(read_monitor(&values)),
            }
        }
        // A channel may be defined after the monitor that uses it.
        for channel in channels {
            line.monitors.extend(sockets.iter().find(|(id, _)| *id == channel).map(|(_, path)| path.clone()));
        }
        line
    }
}

/// `key=value,key,...` in pairs; two commas are one in a value.
fn split_option(text: &str) -> Vec<(String, Option<String>)> {
    let mut words = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == ',' && rest.next_if_eq(&',').is_none() {
            words.push(String::new());
        } else if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let pair = |word: String| match word.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (word, None),
    };
    words.into_iter().map(pair).collect()
}

fn field(values: &[(String, Option<String>)], name: &str) -> Option<String> {
    values.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.clone())
}

/// The first word, if it has no key.
fn positional(values: &[(String, Option<String>)]) -> Option<String> {
    values.first().filter(|(word, value)| value.is_none() && !word.is_empty()).map(|(word, _)| word.clone())
}

/// `unix:PATH,server=on`: a socket on which QEMU listens, or with `server=off` connects, which is no use.
fn read_monitor(values: &[(String, Option<String>)]) -> Option<PathBuf> {
    let path = positional(values)?.strip_prefix("unix:")?.to_owned();
    listens(values).then(|| PathBuf::from(path))
}

/// `socket,id=ID,path=PATH,server=on`.
fn read_socket(values: &[(String, Option<String>)]) -> Option<(String, PathBuf)> {
    let is_socket = positional(values).as_deref() == Some("socket") && listens(values);
    let (id, path) = (field(values, "id")?, field(values, "path")?);
    is_socket.then(|| (id, PathBuf::from(path)))
}

fn listens(values: &[(String, Option<String>)]) -> bool {
    values
        .iter()
        .any(|(key, value)| key == "server" && !matches!(value.as_deref(), Some("off" | "no" | "false")))
}
