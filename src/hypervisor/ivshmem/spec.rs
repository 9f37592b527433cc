//! How an `ivshmem:` source is named.

use std::fmt;
use std::path::PathBuf;

use crate::channel::is_guest_name;
use crate::geometry::Size;
use crate::hypervisor::Surface;
use crate::hypervisor::spec::{SpecError, parse_size, split_options, value_error};
use crate::hypervisor::sysfs::PciFunction;
use crate::pixel::PixelFormat;

/// `ivshmem:PCI-ADDRESS?...`: memory that another VM shares with this one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct IvshmemSpec {
    /// Where the device sits; [`crate::channel::guest::Mode::pci`] may say otherwise later.
    pub address: PciFunction,
    /// Who says what it holds.
    pub guide: Guide,
}

/// Who says which mode the memory is in.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Guide {
    /// The host's side, over the virtio port of the guest of this name.
    Guest(String),
    /// The host's side, over a port's device or a Unix socket. With a name, the other side must speak for that guest.
    Port {
        /// Where.
        path: PathBuf,
        /// For whom.
        guest: Option<String>,
    },
    /// Nobody: it is always this one.
    Fixed(Surface),
}

const ADDRESS_ALLOWED: &str = "a PCI address such as 0000:00:07.0";
const GUEST_ALLOWED: &str = "a guest's name: 1 to 32 letters, digits and -_. of ASCII, the first no sign";
const MODE_ALLOWED: &str = "WIDTHxHEIGHT:FORMAT[:STRIDE[:OFFSET]], such as 1280x800:xrgb8888";

pub(in crate::hypervisor) fn parse(text: &str, rest: &str) -> Result<IvshmemSpec, SpecError> {
    let (address, options) = split_options(rest);
    if address.is_empty() {
        return Err(SpecError::Empty(text.to_owned(), "PCI address"));
    }
    let address = address.parse().map_err(|_| value_error("PCI-ADDRESS", address, ADDRESS_ALLOWED))?;
    let (mut guest, mut path, mut mode) = (None, None, None);
    for (option, value) in options {
        match option {
            "guest" => {
                let name = Some(value.to_owned()).filter(|name| is_guest_name(name));
                guest = Some(name.ok_or_else(|| value_error("guest", value, GUEST_ALLOWED))?);
            }
            "port" if value.is_empty() => {
                return Err(value_error("port", value, "the path of a virtio port or of a Unix socket"));
            }
            "port" => path = Some(PathBuf::from(value)),
            "mode" => mode = Some(parse_mode(value).ok_or_else(|| value_error("mode", value, MODE_ALLOWED))?),
            _ => {
                let known = "guest, port, mode";
                return Err(SpecError::Option { kind: "ivshmem", option: option.to_owned(), known });
            }
        }
    }
    let guide = match (guest, path, mode) {
        (None, None, Some(surface)) => Guide::Fixed(surface),
        (guest, Some(path), None) => Guide::Port { path, guest },
        (Some(guest), None, None) => Guide::Guest(guest),
        (None, None, None) => return Err(SpecError::Empty(text.to_owned(), "guest, port or mode")),
        (.., Some(_)) => {
            return Err(value_error(
                "mode",
                "beside guest or port",
                "for memory that no port says the mode of",
            ));
        }
    };
    Ok(IvshmemSpec { address, guide })
}

fn parse_mode(text: &str) -> Option<Surface> {
    let mut parts = text.split(':');
    let size = parse_size(parts.next()?)?;
    let name = parts.next()?;
    let format = PixelFormat::ALL.into_iter().find(|format| format.name() == name)?;
    let row_bytes = u32::from(size.width) * format.bytes() as u32;
    let stride_bytes = parts.next().map_or(Some(row_bytes), |stride| stride.parse().ok())?;
    let offset_bytes = parts.next().map_or(Some(0), |offset| offset.parse().ok())?;
    let surface = Surface { size, stride_bytes, format, offset_bytes };
    (parts.next().is_none() && surface.end_bytes().is_some()).then_some(surface)
}

impl fmt::Display for IvshmemSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ivshmem:{}", self.address)?;
        match &self.guide {
            Guide::Guest(guest) => write!(f, "?guest={guest}"),
            Guide::Port { path, guest: None } => write!(f, "?port={}", path.display()),
            Guide::Port { path, guest: Some(guest) } => write!(f, "?guest={guest}&port={}", path.display()),
            Guide::Fixed(surface) => {
                let Surface { size: Size { width, height }, stride_bytes, format, offset_bytes } = surface;
                write!(f, "?mode={width}x{height}:{}:{stride_bytes}:{offset_bytes}", format.name())
            }
        }
    }
}
