//! What is said to an appliance's monitor to give it a guest: commands as values, and what its answers mean.

use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::channel::guest_port;

/// A command of a monitor.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) arguments: Value,
}

impl Command {
    /// The line that a person would give.
    pub(super) fn line(&self) -> Value {
        json!({ "execute": self.name, "arguments": self.arguments })
    }
}

/// How the names of memories begin.
const MEMORY: &str = "lfp-mem-";

/// The number of the next memory: no two have the same, nor those of two processes that follow one another.
static NEXT_MEMORY: LazyLock<AtomicU64> =
    LazyLock::new(|| AtomicU64::new(u64::from(std::process::id()) << 16));

/// What a guest's things are called in an appliance's QEMU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ids {
    guest: String,
    /// The memory's object: another name each time. QEMU keeps what was removed for a moment, and ends if a memory of the same
    /// name comes to the same place meanwhile.
    pub(super) memory: String,
    /// The device with it.
    pub(super) vram: String,
    /// The port, and its channel.
    pub(super) port: String,
}

impl Ids {
    pub(super) fn of(guest: &str) -> Self {
        Self {
            guest: guest.to_owned(),
            memory: format!("{MEMORY}{}-{guest}", NEXT_MEMORY.fetch_add(1, Ordering::Relaxed)),
            vram: format!("lfp-vram-{guest}"),
            port: format!("lfp-port-{guest}"),
        }
    }

    /// Whether the object called `name` is this guest's memory, from whatever time.
    pub(super) fn is_memory(&self, name: &str) -> bool {
        let numbered = name.strip_prefix(MEMORY).and_then(|rest| rest.split_once('-'));
        numbered.is_some_and(|(number, guest)| number.parse::<u64>().is_ok() && guest == self.guest)
    }

    /// The guest's memory, read-only. A path that QEMU can open.
    pub(super) fn add_memory(&self, path: &Path, bytes: u64) -> Command {
        let arguments = json!({
            "qom-type": "memory-backend-file", "id": self.memory, "mem-path": path.display().to_string(),
            "size": bytes, "share": true, "readonly": true,
        });
        Command { name: "object-add", arguments }
    }

    /// The device with it, on this bus.
    pub(super) fn add_vram(&self, bus: &str) -> Command {
        let arguments =
            json!({ "driver": "ivshmem-plain", "id": self.vram, "memdev": self.memory, "bus": bus });
        Command { name: "device_add", arguments }
    }

    /// The channel to the port's socket. It connects again by itself when the host's side comes back.
    pub(super) fn add_channel(&self, socket: &Path, has_milliseconds: bool) -> Command {
        let (again, value) = if has_milliseconds { ("reconnect-ms", 1_000) } else { ("reconnect", 1) };
        let mut data = json!({
            "addr": { "type": "unix", "data": { "path": socket.display().to_string() } },
            "server": false,
        });
        data[again] = json!(value);
        let arguments = json!({ "id": self.port, "backend": { "type": "socket", "data": data } });
        Command { name: "chardev-add", arguments }
    }

    /// The port.
    pub(super) fn add_port(&self, guest: &str) -> Command {
        let arguments = json!({
            "driver": "virtserialport", "id": self.port, "chardev": self.port, "name": guest_port(guest),
        });
        Command { name: "device_add", arguments }
    }
}

const HOST_BRIDGE_PC: (u64, u64) = (0x8086, 0x1237);
const CLASS_BRIDGE: u64 = 0x0604;

/// Every device in the answer to `query-pci`, with those behind bridges.
fn devices(pci: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    let mut rest: Vec<&Value> = pci.as_array().into_iter().flatten().collect();
    while let Some(bus) = rest.pop() {
        for device in bus["devices"].as_array().into_iter().flatten() {
            rest.extend(device.get("pci_bridge"));
            found.push(device);
        }
    }
    found
}

/// Where the device called `id` sits, as the appliance's system names it; `None` while its bus has no number.
pub(super) fn find_device(pci: &Value, id: &str) -> Option<String> {
    let device = devices(pci).into_iter().find(|device| device["qdev_id"] == id)?;
    let part = |name: &str| device[name].as_u64().filter(|part| *part < 256);
    let (bus, slot, function) = (part("bus")?, part("slot")?, part("function")?);
    Some(format!("0000:{bus:02x}:{slot:02x}.{function:x}"))
}

/// Whether the machine takes devices on `pci.0` while it runs: `-machine pc` does.
pub(super) fn is_pc(pci: &Value) -> bool {
    let is_it = |device: &&Value| {
        let (vendor, product) = HOST_BRIDGE_PC;
        device["id"]["vendor"] == vendor && device["id"]["device"] == product
    };
    devices(pci).iter().any(is_it)
}

/// Bridges that have a name and nothing behind them: root ports that may take a device.
pub(super) fn empty_bridges(pci: &Value) -> Vec<String> {
    let is_empty = |device: &&Value| {
        let behind = device["pci_bridge"]["devices"].as_array();
        device["class_info"]["class"] == CLASS_BRIDGE && behind.is_none_or(Vec::is_empty)
    };
    let bridges = devices(pci).into_iter().filter(is_empty);
    let mut names: Vec<_> = bridges.filter_map(|bridge| bridge["qdev_id"].as_str()).collect();
    names.sort_unstable();
    names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// What to do when no bus takes the memory.
pub(super) fn no_bus(bytes: u64) -> String {
    // The next power of two, so that other regions of the port fit as well.
    let reserve = (bytes >> 20).max(1) * 2;
    format!(
        "the appliance has no free root port for {} MiB of video memory: start it with -device \
         pcie-root-port,id=NAME,chassis=N,slot=N,pref64-reserve={reserve}M for each guest, or use -machine pc",
        bytes >> 20
    )
}

/// The path of the unix socket on which QEMU listens, from what `query-chardev` says of a channel.
pub(super) fn listening_path(filename: &str) -> Option<&str> {
    let rest = filename.strip_prefix("disconnected:").unwrap_or(filename);
    let (path, _) = rest.strip_prefix("unix:")?.split_once(",server")?;
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_free_root_ports_are_found() {
        let port = |id: &str, devices: Value| {
            json!({ "bus": 0, "slot": 2, "function": 0, "qdev_id": id, "class_info": { "class": 0x604 },
                    "id": { "vendor": 6966, "device": 12 }, "pci_bridge": { "bus": {}, "devices": devices } })
        };
        let vram = json!({ "bus": 4, "slot": 0, "function": 0, "qdev_id": "lfp-vram-web",
                           "class_info": { "class": 0x500 }, "id": { "vendor": 6900, "device": 4368 } });
        let mut unset = port("rp3", json!([]));
        unset["pci_bridge"] = json!({ "bus": {} });
        let q35 = json!([{ "bus": 0, "devices": [port("rp2", json!([])), port("rp1", json!([vram])), unset, port("", json!([]))] }]);
        assert_eq!(find_device(&q35, "lfp-vram-web").as_deref(), Some("0000:04:00.0"));
        assert_eq!(find_device(&q35, "lfp-vram-db"), None);
        assert_eq!(empty_bridges(&q35), ["rp2", "rp3"]);
        assert!(!is_pc(&q35));
        let pc =
            json!([{ "bus": 0, "devices": [{ "id": { "vendor": 32902, "device": 4663 }, "qdev_id": "" }] }]);
        assert!(is_pc(&pc));
        for nonsense in
            [json!(3), json!([{ "devices": 7 }]), json!([{ "devices": [{ "qdev_id": "x", "bus": 4096 }] }])]
        {
            assert_eq!(find_device(&nonsense, "x"), None);
            assert!(empty_bridges(&nonsense).is_empty() && !is_pc(&nonsense));
        }
    }

    #[test]
    fn each_memory_has_a_name_of_its_own() {
        let (web, again, other) = (Ids::of("web"), Ids::of("web"), Ids::of("my-web"));
        assert_ne!(web.memory, again.memory);
        assert!(web.is_memory(&again.memory) && again.is_memory(&web.memory));
        assert!(!web.is_memory(&other.memory) && !other.is_memory(&web.memory));
        assert!(
            !web.is_memory("lfp-mem-web") && !web.is_memory("lfp-mem-my-web") && !web.is_memory(&web.vram)
        );
    }

    #[test]
    fn channels_say_where_they_listen() {
        assert_eq!(listening_path("disconnected:unix:/run/c.sock,server=on"), Some("/run/c.sock"));
        assert_eq!(listening_path("unix:c.sock,server=on"), Some("c.sock"));
        assert_eq!(listening_path("disconnected:unix:/run/c.sock"), None, "it connects");
        assert_eq!(listening_path("pty:/dev/pts/3"), None);
    }
}
