//! Changes of mode behind the kernel's back: QEMU's VGA takes them in the Bochs DISPI registers, 16 bits each
//! in the device's memory. They are written through BusyBox's `devmem`, so nothing is mapped here.

use std::fs;
use std::io;
use std::process::Command;

use crate::screen::Mode;

const XRES: usize = 1;
const YRES: usize = 2;
const BPP: usize = 3;
const ENABLE: usize = 4;
const Y_OFFSET: usize = 9;
/// Linear mode, linear framebuffer, keep what is in video memory.
const ENABLED: usize = 0x01 | 0x40 | 0x80;
/// Of the device's second memory range.
const REGISTERS_OFFSET: u64 = 0x500;

/// Switches to a mode that starts at video memory's first byte.
pub(crate) fn enter(width: usize, height: usize, depth: usize) -> io::Result<Mode> {
    let base = registers()?;
    for (register, value) in
        [(ENABLE, 0), (XRES, width), (YRES, height), (BPP, depth), (ENABLE, ENABLED), (Y_OFFSET, 0)]
    {
        write(base, register, value)?;
    }
    let stride_bytes = width * depth.div_ceil(8);
    Ok(Mode { width, height, depth, stride_bytes, offset_bytes: 0 })
}

/// Writes width, height and depth as they are, whatever they mean, as a guest may that lies. What is painted stays.
pub(crate) fn claim((width, height, depth): (u16, u16, u16)) -> io::Result<()> {
    let base = registers()?;
    for (register, value) in [(XRES, width), (YRES, height), (BPP, depth)] {
        write(base, register, value.into())?;
    }
    Ok(())
}

/// Shows video memory from row `row` on.
pub(crate) fn pan(mode: Mode, row: usize) -> io::Result<Mode> {
    write(registers()?, Y_OFFSET, row)?;
    Ok(Mode { offset_bytes: row * mode.stride_bytes, ..mode })
}

/// Leaves the linear mode: the screen shows nothing that has pixels in video memory.
pub(crate) fn leave() -> io::Result<()> {
    write(registers()?, ENABLE, 0)
}

fn write(base: u64, register: usize, value: usize) -> io::Result<()> {
    let address = format!("{:#x}", base + 2 * register as u64);
    let status =
        Command::new("/bin/busybox").args(["devmem", &address, "16", &value.to_string()]).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("devmem {address} failed"))) }
}

/// Where the registers of QEMU's VGA are in physical memory.
fn registers() -> io::Result<u64> {
    for device in fs::read_dir("/sys/bus/pci/devices")?.flatten() {
        let read = |name: &str| fs::read_to_string(device.path().join(name));
        if read("vendor")?.trim() == "0x1234" && read("device")?.trim() == "0x1111" {
            return third_range(&read("resource")?)
                .ok_or_else(|| io::Error::other("the VGA device has no register range"));
        }
    }
    Err(io::Error::other("no VGA device of QEMU's"))
}

/// The address of the registers from sysfs's `resource`: a line for each range, first and last address, flags.
fn third_range(resource: &str) -> Option<u64> {
    let start = resource.lines().nth(2)?.split(' ').next()?;
    let start = u64::from_str_radix(start.strip_prefix("0x")?, 16).ok()?;
    (start != 0).then_some(start + REGISTERS_OFFSET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registers_are_found_in_the_third_range() {
        let resource = "0x00000000fd000000 0x00000000fdffffff 0x0000000000042208\n\
                        0x0000000000000000 0x0000000000000000 0x0000000000000000\n\
                        0x00000000febd0000 0x00000000febd0fff 0x0000000000040200\n";
        assert_eq!(third_range(resource), Some(0xfebd_0500));
        assert_eq!(third_range("0x0 0x0 0x0\n"), None);
    }
}
