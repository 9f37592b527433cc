//! What monitors, hosts, guests and kernels say, as bytes: the doors by which `tests/fuzz`, which stands outside this crate,
//! reaches the parsers behind sources. Nothing else uses them.

use super::{Surface, dispi, fbdev, ivshmem, procfs, qmp};

/// Lets a monitor say `bytes`, `step` at a time. Returns how many messages they held.
///
/// # Errors
/// Why they are not QMP.
pub fn monitor(bytes: &[u8], step: usize) -> Result<usize, String> {
    let (mut conversation, mut messages) = (qmp::Conversation::default(), 0);
    for piece in bytes.chunks(step.max(1)) {
        conversation.receive(piece, |_| messages += 1).map_err(|error| error.to_string())?;
    }
    Ok(messages)
}

/// Finds the display in what a monitor answers to `query-pci`, as JSON. Returns the commands that its registers are
/// read with.
#[must_use]
pub fn display(answer: &[u8]) -> Option<[String; 2]> {
    let display = dispi::find_display(&serde_json::from_slice(answer).ok()?).ok()??;
    let registers = display.registers?;
    Some([dispi::read_mode_command(registers), dispi::read_order_command(registers)])
}

/// The mode in what a monitor prints of a display's registers and byte order, for `vram_bytes` of video memory.
///
/// # Errors
/// Why there is none.
pub fn guest_mode(printed: &str, order: &str, is_vga: bool, vram_bytes: u64) -> Result<Surface, String> {
    let device = if is_vga { dispi::Device::Vga } else { dispi::Device::Bochs };
    let mode = dispi::Registers::parse(printed)
        .and_then(|registers| registers.surface(device, dispi::parse_order(order), vram_bytes));
    mode.map_err(|error| error.to_string())
}

/// The mode in what a framebuffer device says of itself (`fb_var_screeninfo`, `fb_fix_screeninfo`), `length` bytes of
/// which are mapped.
///
/// # Errors
/// Why there is none.
pub fn device_mode(var: &[u8; 160], fix: &[u8; 80], length: u64) -> Result<Surface, String> {
    fbdev::parse(var, fix, length).map_err(|error| error.to_string())
}

/// Lets the host's side say `bytes` over a guest port, `step` at a time. Returns how many lines were messages, each mode
/// that was believed with the bytes of video memory that it is in, and the text for people in the place of the last.
#[must_use]
pub fn guest_port(bytes: &[u8], step: usize) -> (usize, Vec<(Surface, u64)>, String) {
    ivshmem::overhear(bytes, step)
}

/// How many connected sockets with a path stand in what `/proc/net/unix` says.
#[must_use]
pub fn connected_sockets(table: &[u8]) -> usize {
    procfs::parse_connected(table).len()
}
