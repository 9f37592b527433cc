//! What the host's side and an appliance say to each other: JSON, one object on a line, over virtio ports.
//!
//! A *guest port* (`lfp.guest.NAME`) carries one guest's mode, state and events up, and input and permitted power down
//! ([`guest`]). The *control channel* (`lfp.control`) tells an appliance what to serve ([`control`]). Neither side
//! trusts the other with more than that: lines are bounded ([`Lines`]), unknown words are refused, and a line that is
//! not understood is answered with an error and changes nothing. `docs/APPLIANCE.md` has the tables.

pub mod control;
pub mod guest;
mod lines;

pub use lines::{LineError, Lines, line};

/// The version of both languages. A side that hears another one says so and goes no further.
pub const VERSION: u32 = 1;

/// The name of the virtio port of the control channel.
pub const CONTROL_PORT: &str = "lfp.control";

/// The name of the virtio port of the guest `name`.
#[must_use]
pub fn guest_port(name: &str) -> String {
    format!("lfp.guest.{name}")
}

/// Whether a guest may be called `name`: 1 to 32 of the letters, digits and `-_.` of ASCII, the first a letter or
/// digit. So a name is a file name, a part of a QMP id and of a port's name everywhere.
#[must_use]
pub fn is_guest_name(name: &str) -> bool {
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    begins_well && name.len() <= 32 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_everywhere() {
        for name in ["a", "vm-1", "Web.01_x", &"n".repeat(32)] {
            assert!(is_guest_name(name), "{name}");
        }
        for name in ["", ".", "..", "-x", "a/b", "a b", "a,b", "ü", "a\n", &"n".repeat(33)] {
            assert!(!is_guest_name(name), "{name}");
        }
    }
}
