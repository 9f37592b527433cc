//! Reading and writing the integers and byte strings that everything on the wire is made of.
//!
//! Fixed-width integers are little endian. A *varint* is unsigned LEB128: seven bits a byte, least
//! significant group first, high bit set on all but the last byte, in the fewest bytes.

use alloc::vec::Vec;
use core::fmt;

/// Why bytes are not what they should be. The whole datagram is dropped and counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The bytes end inside a field.
    Truncated,
    /// A varint is longer than it needs to be, or than 64 bits.
    Varint,
    /// A field holds a value that the specification does not allow there; names the field.
    Field(&'static str),
    /// Bytes are left over behind the last field.
    Trailing,
    /// The checksum or tag does not match.
    Checksum,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("ends inside a field"),
            Self::Varint => f.write_str("holds a varint that is not in its shortest form"),
            Self::Field(name) => write!(f, "holds a value that is not allowed in field {name}"),
            Self::Trailing => f.write_str("has bytes behind its last field"),
            Self::Checksum => f.write_str("fails its checksum"),
        }
    }
}

impl core::error::Error for Malformed {}

/// Takes fields off the front of a byte slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not yet taken.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What is left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A 16-bit integer.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// A 32-bit integer.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// A 64-bit integer.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A varint of at most 64 bits.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        // SPEC [LFP-2.1]: A receiver MUST refuse a varint that is not in its shortest form or does not fit 64 bits.
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let group = u64::from(byte & 0x7f);
            if (shift == 63 && group > 1) || (shift > 0 && byte == 0) {
                return Err(Malformed::Varint);
            }
            value |= group << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Varint)
    }

    /// A varint that is at most `max`; `field` names it in the error.
    pub fn varint_max(&mut self, max: u64, field: &'static str) -> Result<u64, Malformed> {
        let value = self.varint()?;
        if value <= max { Ok(value) } else { Err(Malformed::Field(field)) }
    }

    /// A varint that fits 16 bits.
    pub fn varint_u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        self.varint_max(u64::from(u16::MAX), field).map(|value| value as u16)
    }

    /// A varint that fits 32 bits.
    pub fn varint_u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        self.varint_max(u64::from(u32::MAX), field).map(|value| value as u32)
    }

    /// A byte string with its length as a varint of at most `max`.
    pub fn prefixed(&mut self, max: usize, field: &'static str) -> Result<&'a [u8], Malformed> {
        // SPEC [LFP-2.2]: A receiver MUST check every length and count against what is left
        let len = self.varint_max(max as u64, field)?;
        self.bytes(len as usize)
    }

    /// A UTF-8 text of at most `max` bytes without control characters, its length first as a varint.
    pub fn text(&mut self, max: usize, field: &'static str) -> Result<&'a str, Malformed> {
        let text = core::str::from_utf8(self.prefixed(max, field)?).map_err(|_| Malformed::Field(field))?;
        // SPEC [LFP-2.3]: A receiver MUST refuse a text that is not UTF-8 or holds a control character.
        if text.chars().any(char::is_control) { Err(Malformed::Field(field)) } else { Ok(text) }
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }
}

/// Appends fields to a byte vector.
pub trait Put {
    /// One byte.
    fn put_u8(&mut self, value: u8);
    /// A 16-bit integer.
    fn put_u16(&mut self, value: u16);
    /// A 32-bit integer.
    fn put_u32(&mut self, value: u32);
    /// A 64-bit integer.
    fn put_u64(&mut self, value: u64);
    /// A varint.
    fn put_varint(&mut self, value: u64);
    /// A byte string, its length first as a varint.
    fn put_prefixed(&mut self, bytes: &[u8]);
    /// As much of a text as fits `max` bytes, each control character as a space, its length first as a varint.
    fn put_text(&mut self, text: &str, max: usize);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn put_prefixed(&mut self, bytes: &[u8]) {
        self.put_varint(bytes.len() as u64);
        self.extend_from_slice(bytes);
    }

    fn put_text(&mut self, text: &str, max: usize) {
        let legal = || text.chars().map(|char| if char.is_control() { ' ' } else { char });
        let mut len = 0;
        let mut kept = 0;
        for char in legal() {
            if len + char.len_utf8() > max {
                break;
            }
            len += char.len_utf8();
            kept += 1;
        }
        self.put_varint(len as u64);
        for char in legal().take(kept) {
            self.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// Bytes that [`Put::put_varint`] appends for `value`.
#[must_use]
pub const fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}
