//! The memory that a guest's pixels are in, wherever it was found.

use std::sync::Arc;

use super::vram::Vram;
use crate::hypervisor::ivshmem::Bar;
use crate::hypervisor::mapping::{Mapping, MappingError};

/// Memory that can be mapped.
#[derive(Debug)]
pub(super) enum Memory {
    /// A file of the guest's QEMU process.
    Vram(Arc<Vram>),
    /// A device of this machine.
    Bar(Arc<Bar>),
}

impl Memory {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Vram(vram), Self::Vram(other)) => Arc::ptr_eq(vram, other),
            (Self::Bar(bar), Self::Bar(other)) => Arc::ptr_eq(bar, other),
            _ => false,
        }
    }

    pub(super) fn map(&self) -> Result<Mapping, MappingError> {
        match self {
            Self::Vram(vram) => Mapping::of_file(vram.file.try_clone()?),
            Self::Bar(bar) => bar.map(),
        }
    }

    /// Whether what was just read was that memory. A file stays what it is as long as it is mapped; a device may have been
    /// unplugged.
    pub(super) fn is_there(&self) -> bool {
        match self {
            Self::Vram(_) => true,
            Self::Bar(bar) => bar.is_there(),
        }
    }
}
