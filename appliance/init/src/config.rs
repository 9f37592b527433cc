//! The appliance's configuration: where it is found, and how it is divided between this program and the server.
//! `docs/APPLIANCE.md` has the table of fields.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;

use nix::mount::{MntFlags, umount2};
use serde_json::{Map, Value, json};

use crate::disks;
use crate::modules::Modules;

/// Longest configuration, in bytes: as much as the server reads.
const BYTES_MAX: u64 = 1 << 20;
/// Longest text of what is wrong with one, in characters: it may quote as much of it.
const FAULT_MAX: usize = 1_000;
/// Where a configuration's disk is mounted while it is read.
const MOUNT: &str = "/run/lfp-config";
/// Where QEMU's `-fw_cfg name=opt/lfp/config.json,file=FILE` comes out.
const FW_CFG: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/lfp/config.json/raw";
/// Where clients are heard unless the configuration says otherwise: by IPv6, and by IPv4 too.
const LISTEN: &str = "[::]:5810";

/// What an appliance is to do.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Config {
    pub(crate) network: Network,
    /// The server's own configuration, with what it must have.
    pub(crate) server: Value,
}

/// How the appliance gets its address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Network {
    /// Asks by DHCP, on the first network card.
    #[default]
    Dhcp,
    /// Is told.
    Static {
        /// With the length of the network's prefix.
        address: (IpAddr, u8),
        gateway: Option<IpAddr>,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self { network: Network::Dhcp, server: json!({"listen": LISTEN, "services": []}) }
    }
}

/// A configuration, where it was found, and what is wrong with it. Wrong or absent, the default stands in its place.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Found {
    pub(crate) config: Config,
    pub(crate) origin: Option<&'static str>,
    pub(crate) error: Option<String>,
}

/// Looks for the configuration: what the hypervisor hands over by `fw_cfg` goes before a disk.
pub(crate) fn find(modules: &mut Modules) -> Found {
    if Path::new(FW_CFG).exists() {
        return Found::of("fw_cfg", read(Path::new(FW_CFG)));
    }
    match disks::find(disks::CONFIG_LABEL) {
        Some(disk) => Found::of("config drive", read_disk(&disk, modules)),
        None => Found::default(),
    }
}

impl Found {
    fn of(origin: &'static str, text: Result<String, String>) -> Self {
        let parsed = text.and_then(|text| Config::parse(&text));
        let (config, error) = match parsed {
            Ok(config) => (config, None),
            Err(error) => {
                let fault = format!("configuration ({origin}): {error}");
                (Config::default(), Some(fault.chars().take(FAULT_MAX).collect()))
            }
        };
        Self { config, origin: Some(origin), error }
    }
}

fn read_disk(disk: &disks::Disk, modules: &mut Modules) -> Result<String, String> {
    std::fs::create_dir_all(MOUNT).map_err(|error| format!("{MOUNT}: {error}"))?;
    disk.mount_to_read(MOUNT, modules)?;
    let text = read(&Path::new(MOUNT).join("config.json"));
    let _ = umount2(MOUNT, MntFlags::MNT_DETACH);
    text
}

fn read(file: &Path) -> Result<String, String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = if name == "raw" { "config.json".to_owned() } else { name };
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("{name} cannot be read: {error}"))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("{name} is longer than {BYTES_MAX} bytes, which are all that is read"));
    }
    String::from_utf8(bytes).map_err(|_| format!("{name} is no text in UTF-8"))
}

impl Config {
    /// Reads `text`. Of the server's part only the form is checked: the server does the rest.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let Value::Object(mut fields) = value else {
            return Err("must be an object, {\"network\": ..., \"server\": ...}".to_owned());
        };
        let network = fields.remove("network").map_or(Ok(Network::Dhcp), |value| Network::parse(&value))?;
        let server = match fields.remove("server") {
            None => Map::new(),
            Some(Value::Object(server)) => server,
            Some(_) => return Err("server: must be an object, as docs/CONFIGURATION.md has it".to_owned()),
        };
        if let Some(name) = fields.keys().next() {
            return Err(format!("{name:?} is no field; \"network\" and \"server\" are"));
        }
        let Value::Object(mut all) = Self::default().server else { unreachable!("the default is an object") };
        all.extend(server);
        Ok(Self { network, server: Value::Object(all) })
    }

    /// The port on which the server listens.
    pub(crate) fn port(&self) -> &str {
        let listen = self.server["listen"].as_str().unwrap_or(LISTEN);
        listen.rsplit_once(':').map_or("5810", |(_, port)| port)
    }
}

impl Network {
    fn parse(value: &Value) -> Result<Self, String> {
        if value == "dhcp" {
            return Ok(Self::Dhcp);
        }
        let Value::Object(fields) = value else {
            return Err("network: must be \"dhcp\" or {\"address\": \"10.0.2.15/24\", ...}".to_owned());
        };
        if let Some(name) = fields.keys().find(|name| !["address", "gateway"].contains(&name.as_str())) {
            return Err(format!("network: {name:?} is no field; \"address\" and \"gateway\" are"));
        }
        let address = fields.get("address").and_then(Value::as_str).and_then(parse_address);
        let Some(address) = address else {
            return Err(
                "network.address: must be an address and the length of its network's prefix, such as \
                        \"10.0.2.15/24\""
                    .to_owned(),
            );
        };
        let gateway = match fields.get("gateway") {
            None => None,
            Some(value) => match value.as_str().and_then(|text| text.parse::<IpAddr>().ok()) {
                Some(gateway) if gateway.is_ipv4() == address.0.is_ipv4() => Some(gateway),
                _ => return Err(format!("network.gateway: {value} is no address of the same kind")),
            },
        };
        Ok(Self::Static { address, gateway })
    }
}

fn parse_address(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let prefix = prefix.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    (1..=longest).contains(&prefix).then_some((address, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_go_where_they_belong() {
        let text = r#"{"network": {"address": "10.0.2.20/24", "gateway": "10.0.2.2"},
                       "server": {"services": [{"name": "a", "source": "synthetic:idle"}], "sessions_max": 5}}"#;
        let config = Config::parse(text).unwrap();
        let address = ("10.0.2.20".parse().unwrap(), 24);
        assert_eq!(config.network, Network::Static { address, gateway: Some("10.0.2.2".parse().unwrap()) });
        assert_eq!(config.server["sessions_max"], 5);
        assert_eq!(config.server["listen"], LISTEN);
        assert_eq!(config.port(), "5810");
        assert_eq!(Config::parse("{}").unwrap(), Config::default());
        let other = Config::parse(r#"{"network": "dhcp", "server": {"listen": "0.0.0.0:7"}}"#).unwrap();
        assert_eq!((other.network.clone(), other.port()), (Network::Dhcp, "7"));
    }

    #[test]
    fn an_error_says_what_is_wrong() {
        for (text, word) in [
            ("", "EOF"),
            ("[]", "must be an object"),
            (r#"{"servr": {}}"#, "\"servr\" is no field"),
            (r#"{"server": []}"#, "server: must be"),
            (r#"{"network": 5}"#, "network: must be"),
            (r#"{"network": {}}"#, "network.address"),
            (r#"{"network": {"address": "10.0.2.15"}}"#, "network.address"),
            (r#"{"network": {"address": "10.0.2.15/33"}}"#, "network.address"),
            (r#"{"network": {"address": "10.0.2.15/24", "dns": []}}"#, "\"dns\" is no field"),
            (r#"{"network": {"address": "10.0.2.15/24", "gateway": "::1"}}"#, "network.gateway"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_a_configuration_is_said() {
        let folder = std::env::temp_dir().join(format!("lfp-init-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("config.json");
        let said = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            Found::of("config drive", read(&file)).error
        };
        assert_eq!(said(b"{}"), None);
        assert!(said(&[0xff; 9]).unwrap().ends_with("config.json is no text in UTF-8"));
        assert_eq!(said(&vec![b' '; BYTES_MAX as usize - 2]).map(|error| error.contains("EOF")), Some(true));
        assert!(said(&vec![b' '; BYTES_MAX as usize + 1]).unwrap().contains("longer than 1048576 bytes"));
        let quoted = format!("{{\"{}\": 1}}", "x".repeat(500_000));
        assert_eq!(said(quoted.as_bytes()).map(|error| error.len()), Some(FAULT_MAX));
        assert!(read(&folder).unwrap_err().contains("cannot be read"), "a folder");
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(read(&file).unwrap_err().contains("cannot be read"), "nothing");
    }

    #[test]
    fn a_wrong_one_leaves_the_default_and_the_error() {
        let found = Found::of("fw_cfg", Ok("{".to_owned()));
        assert_eq!(found.config, Config::default());
        assert!(found.error.unwrap().starts_with("configuration (fw_cfg): "));
    }
}
