//! The Bochs display interface (DISPI), with which guests set the mode of QEMU's VGA and bochs-display: where its
//! registers are, and what they say.
//!
//! The register layout and meaning follow QEMU's docs/specs/standard-vga.rst, hw/display/vga.c (`vbe_fixup_regs`)
//! and hw/display/bochs-display.c. All of it is written by the guest, so nothing of it is trusted.

use std::fmt;

use serde_json::Value;

use super::Surface;
use crate::geometry::Size;
use crate::pixel::PixelFormat;

#[cfg(test)]
mod tests;

/// A display device on a guest's PCI bus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Display {
    pub(super) address: PciAddress,
    /// Whether it is the primary VGA device (class 0x0300), else another display (0x0380).
    pub(super) is_vga: bool,
    /// Whether a virtio-gpu driver may take it over.
    pub(super) is_virtio: bool,
    /// Bytes of video memory: the size of BAR 0.
    pub(super) vram_bytes: u64,
    /// Where the guest sees the registers: BAR 2. `None` while no firmware or system has placed it.
    pub(super) registers: Option<u64>,
}

/// Where a PCI device sits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct PciAddress {
    pub(super) bus: u8,
    pub(super) slot: u8,
    pub(super) function: u8,
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus, self.slot, self.function)
    }
}

const CLASS_VGA: u64 = 0x0300;
const CLASS_DISPLAY_OTHER: u64 = 0x0380;
const VENDOR_VIRTIO: u64 = 0x1af4;

/// The display whose memory is the guest's screen, in the answer to `query-pci`: the first VGA device, else the
/// first other display. Only those with DISPI registers count; `None` if there is none.
pub(super) fn find_display(pci: &Value) -> Result<Option<Display>, NoDevices> {
    let mut displays = Vec::new();
    let mut rest: Vec<&Value> = pci.as_array().ok_or(NoDevices)?.iter().collect();
    while let Some(bus) = rest.pop() {
        for device in bus["devices"].as_array().into_iter().flatten() {
            rest.extend(device.get("pci_bridge"));
            let class = device["class_info"]["class"].as_u64().ok_or(NoDevices)?;
            if class == CLASS_VGA || class == CLASS_DISPLAY_OTHER {
                displays.extend(read_display(device, class == CLASS_VGA)?);
            }
        }
    }
    Ok(displays.into_iter().min_by_key(|display| (!display.is_vga, display.address)))
}

/// The answer to `query-pci` is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("describes the guest's PCI devices in a way that cannot be")]
pub(super) struct NoDevices;

fn read_display(device: &Value, is_vga: bool) -> Result<Option<Display>, NoDevices> {
    let part = |name: &str| device[name].as_u64().and_then(|part| u8::try_from(part).ok()).ok_or(NoDevices);
    let address = PciAddress { bus: part("bus")?, slot: part("slot")?, function: part("function")? };
    let regions = device["regions"].as_array().ok_or(NoDevices)?;
    let bar = |number| {
        let is_it = |region: &&Value| region["bar"].as_u64() == Some(number) && region["type"] == "memory";
        regions.iter().find(is_it)
    };
    let (Some(vram), Some(registers)) = (bar(0), bar(2)) else { return Ok(None) };
    Ok(Some(Display {
        address,
        is_vga,
        is_virtio: device["id"]["vendor"] == VENDOR_VIRTIO,
        vram_bytes: vram["size"].as_u64().ok_or(NoDevices)?,
        // QEMU says -1 while it has no address.
        registers: registers["address"].as_u64().filter(|address| *address != 0),
    }))
}

/// The monitor command that reads the registers.
pub(super) fn read_mode_command(registers: u64) -> String {
    format!("xp /{REGISTERS}hx {:#x}", registers.saturating_add(DISPI_OFFSET))
}

/// The monitor command that reads in which order the framebuffer's bytes stand.
pub(super) fn read_order_command(registers: u64) -> String {
    format!("xp /2wx {:#x}", registers.saturating_add(QEXT_OFFSET))
}

const REGISTERS: usize = 11;
const DISPI_OFFSET: u64 = 0x500;
const QEXT_OFFSET: u64 = 0x600;
const BIG_ENDIAN: u32 = 0xbebe_bebe;

/// The registers as they were read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Registers {
    id: u16,
    xres: u16,
    yres: u16,
    bpp: u16,
    enable: u16,
    virt_width: u16,
    x_offset: u16,
    y_offset: u16,
}

/// Which device interprets the registers: they differ in small ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Device {
    /// `VGA`, `secondary-vga`.
    Vga,
    /// `virtio-vga` until a virtio-gpu driver takes it over: a VGA.
    VirtioVga,
    /// `bochs-display`.
    Bochs,
}

/// What registers say when they say no linear mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum NoMode {
    /// They are not where they should be.
    #[error("the display's registers cannot be read: the guest is starting, or has moved its display")]
    NotDispi,
    /// They tell capabilities for a moment: what was read before holds.
    #[error("the guest asks its display what it can do")]
    Transient,
    /// Text mode, or one of VGA's own.
    #[error(
        "the guest is in text mode or a legacy VGA mode, which has no linear framebuffer; switch it to a \
             graphics mode, as with the kernel parameter vga=0x344 or a DRM driver"
    )]
    Legacy,
    /// The same of a display that virtio-gpu drivers take over, which the registers do not tell apart.
    #[error(
        "no linear framebuffer: the guest is in text mode, or its virtio-gpu driver has taken the display over; \
             for the latter use -device VGA or bochs-display, or keep the driver from loading"
    )]
    TakenOver,
    /// Colours through a palette that cannot be read.
    #[error("the guest uses {0} bits per pixel, colours through a palette; switch it to 15, 16, 24 or 32")]
    Palette(u16),
    /// A depth that there is not.
    #[error("the guest claims {0} bits per pixel, which its display has not")]
    Depth(u16),
    /// A size that no surface may have.
    #[error("the guest claims a screen of {0}x{1} pixels")]
    Size(u16, u16),
    /// Rows beyond the memory.
    #[error("the guest claims pixels up to byte {end}, and has {bytes} bytes of video memory")]
    Beyond { end: u64, bytes: u64 },
}

impl Registers {
    /// Reads what `xp` printed for [`read_mode_command`].
    pub(super) fn parse(printed: &str) -> Result<Self, NoMode> {
        let words = parse_words::<REGISTERS>(printed).ok_or(NoMode::NotDispi)?;
        let [id, xres, yres, bpp, enable, _bank, virt_width, _virt_height, x_offset, y_offset, _] =
            words.map(|word| word as u16);
        // 0xb0c0 to 0xb0c5 so far.
        if words.iter().any(|word| *word > 0xffff) || id & 0xfff0 != 0xb0c0 {
            return Err(NoMode::NotDispi);
        }
        Ok(Self { id, xres, yres, bpp, enable, virt_width, x_offset, y_offset })
    }

    /// The mode, if it is a linear one that fits into `vram_bytes`.
    pub(super) fn surface(
        &self,
        device: Device,
        big_endian: bool,
        vram_bytes: u64,
    ) -> Result<Surface, NoMode> {
        if self.enable & GET_CAPABILITIES != 0 {
            return Err(NoMode::Transient);
        }
        if self.enable & ENABLED == 0 || self.xres == 0 || self.yres == 0 {
            return Err(if device == Device::VirtioVga { NoMode::TakenOver } else { NoMode::Legacy });
        }
        let format = self.format(device, big_endian)?;
        let size = Size::new(self.xres, self.yres).ok_or(NoMode::Size(self.xres, self.yres))?;
        let pixel_bytes = format.bytes() as u32;
        let stride_bytes = u32::from(self.virt_width.max(self.xres)) * pixel_bytes;
        let offset = u64::from(self.x_offset) * u64::from(pixel_bytes)
            + u64::from(self.y_offset) * u64::from(stride_bytes);
        // VGA counts the start of the picture in words of four bytes.
        let offset_bytes = if device == Device::Bochs { offset } else { offset & !3 };
        let surface = Surface { size, stride_bytes, format, offset_bytes };
        let end = surface.end_bytes().unwrap_or(u64::MAX);
        if end > vram_bytes { Err(NoMode::Beyond { end, bytes: vram_bytes }) } else { Ok(surface) }
    }

    fn format(&self, device: Device, big_endian: bool) -> Result<PixelFormat, NoMode> {
        let is_bochs = device == Device::Bochs;
        Ok(match (self.bpp, is_bochs, big_endian) {
            (32, _, false) => PixelFormat::Xrgb8888,
            (32, _, true) => PixelFormat::Xrgb8888Be,
            (16, true, _) | (16, false, false) => PixelFormat::Rgb565,
            (16, false, true) => PixelFormat::Rgb565Be,
            (24, false, false) => PixelFormat::Rgb888,
            (24, false, true) => PixelFormat::Bgr888,
            (15, false, false) => PixelFormat::Xrgb1555,
            (15, false, true) => PixelFormat::Xrgb1555Be,
            (4 | 8, ..) => return Err(NoMode::Palette(self.bpp)),
            (depth, ..) => return Err(NoMode::Depth(depth)),
        })
    }
}

const ENABLED: u16 = 0x01;
const GET_CAPABILITIES: u16 = 0x02;

/// Whether the framebuffer is big endian, from what `xp` printed for [`read_order_command`]. Old or foreign
/// devices without that register are little endian.
pub(super) fn parse_order(printed: &str) -> bool {
    parse_words::<2>(printed).is_some_and(|[_, order]| order == BIG_ENDIAN)
}

/// The `COUNT` hexadecimal numbers that the monitor's `xp` printed, behind an address on each line.
fn parse_words<const COUNT: usize>(printed: &str) -> Option<[u32; COUNT]> {
    let mut words = [0; COUNT];
    let mut count = 0;
    for line in printed.lines() {
        let (_address, values) = line.split_once(':')?;
        for value in values.split_ascii_whitespace() {
            *words.get_mut(count)? = u32::from_str_radix(value.strip_prefix("0x")?, 16).ok()?;
            count += 1;
        }
    }
    (count == COUNT).then_some(words)
}
