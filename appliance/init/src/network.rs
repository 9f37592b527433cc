//! The appliance's address: by DHCP, or as the configuration says. BusyBox sets it: `udhcpc` and `ip` do what would
//! take system calls of our own.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use nix::ifaddrs::getifaddrs;

use crate::config::Network;

const BUSYBOX: &str = "/bin/busybox";
/// This program, which `udhcpc` calls with what it was told.
const SCRIPT: &str = "/init";
/// Between two attempts where DHCP ended by itself, or no card was there.
const RETRY: Duration = Duration::from_secs(2);

/// Keeps an address.
#[derive(Debug)]
pub(crate) struct Link {
    network: Network,
    card: Option<String>,
    client: Option<Child>,
    /// How it went last time.
    outcome: Option<Result<(), String>>,
    /// It was said that there is no card.
    is_missing: bool,
    due: Duration,
}

impl Link {
    /// Begins with `network`.
    pub(crate) fn new(network: Network) -> Self {
        let _ = ip(&["link", "set", "lo", "up"]);
        Self { network, card: None, client: None, outcome: None, is_missing: false, due: Duration::ZERO }
    }

    /// Does what is due at `now`. Gives what to tell people.
    pub(crate) fn poll(&mut self, now: Duration) -> Option<String> {
        let ended = self.client.as_mut().is_some_and(|client| !matches!(client.try_wait(), Ok(None)));
        if ended {
            self.client = None;
        }
        let is_set = self.network != Network::Dhcp && self.outcome == Some(Ok(()));
        if self.client.is_some() || is_set || now < self.due {
            return None;
        }
        self.due = now + RETRY;
        let Some(card) = self.card.clone().or_else(first_card) else {
            let is_first = !std::mem::replace(&mut self.is_missing, true);
            return is_first.then(|| "network: there is no card: nobody reaches this appliance".to_owned());
        };
        let outcome = self.configure(&card);
        // What fails is tried again and again, and said once.
        let is_news = self.outcome.as_ref() != Some(&outcome);
        let words = outcome.as_ref().err().cloned().unwrap_or_else(|| self.network.describe());
        self.outcome = Some(outcome);
        self.card = Some(card.clone());
        is_news.then(|| format!("network: {card}: {words}"))
    }

    fn configure(&mut self, card: &str) -> Result<(), String> {
        ip(&["link", "set", card, "up"])?;
        match &self.network {
            Network::Dhcp => {
                // In the foreground, asks every second until it is answered, and lets go of its address in the end.
                let words =
                    ["udhcpc", "-f", "-R", "-S", "-t", "5", "-T", "1", "-A", "2", "-s", SCRIPT, "-i", card];
                let mut command = Command::new(BUSYBOX);
                command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                self.client = Some(command.spawn().map_err(|error| format!("udhcpc: {error}"))?);
                Ok(())
            }
            Network::Static { address: (address, prefix), gateway } => {
                ip(&["address", "replace", &format!("{address}/{prefix}"), "dev", card])?;
                match gateway {
                    Some(gateway) => route(card, &gateway.to_string()),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Network {
    fn describe(&self) -> String {
        match self {
            Self::Dhcp => "address by DHCP".to_owned(),
            Self::Static { address: (address, prefix), .. } => format!("address {address}/{prefix}"),
        }
    }
}

/// What `udhcpc` calls for: sets or takes back the address that its environment names.
pub(crate) fn on_lease(event: &str) -> ExitCode {
    let word = |name: &str| std::env::var(name).unwrap_or_default();
    let card = word("interface");
    let result = match event {
        "bound" | "renew" => {
            let address = format!("{}/{}", word("ip"), word("mask"));
            ip(&["address", "replace", &address, "broadcast", "+", "dev", &card]).and_then(|()| {
                match word("router").split_ascii_whitespace().next() {
                    Some(router) => route(&card, router),
                    None => Ok(()),
                }
            })
        }
        "deconfig" => ip(&["-4", "address", "flush", "dev", &card]),
        _ => Ok(()),
    };
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn route(card: &str, gateway: &str) -> Result<(), String> {
    let family = if gateway.contains(':') { "-6" } else { "-4" };
    ip(&[family, "route", "replace", "default", "via", gateway, "dev", card])
}

fn ip(words: &[&str]) -> Result<(), String> {
    let mut command = Command::new(BUSYBOX);
    let output = command.arg("ip").args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {}", words.join(" "), said.lines().next().unwrap_or("failed")))
}

/// The first network card by name: what has a device behind it.
fn first_card() -> Option<String> {
    let folder = Path::new("/sys/class/net");
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let cards = names.filter(|name| folder.join(name).join("device").exists());
    cards.min().map(|name| name.to_string_lossy().into_owned())
}

/// The addresses at which clients may find this machine: those of IPv4 first, none that is good on this link alone.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let mut found = Vec::new();
    for interface in getifaddrs().into_iter().flatten() {
        let Some(address) = interface.address else { continue };
        if let Some(v4) = address.as_sockaddr_in() {
            found.push(IpAddr::V4(v4.ip()));
        } else if let Some(v6) = address.as_sockaddr_in6() {
            found.push(IpAddr::V6(v6.ip()));
        }
    }
    found.retain(|address| match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    });
    found.sort_unstable();
    found
}
