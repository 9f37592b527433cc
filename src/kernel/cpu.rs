//! Which vector instructions the kernels use: chosen once, and forced down by `LFP_CPU`.

use std::sync::OnceLock;

/// A set of instructions that kernels are written for, ascending.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Plain integers.
    Scalar,
    /// 128-bit vectors, which every x86-64 has.
    Sse2,
    /// 256-bit vectors.
    Avx2,
}

impl Level {
    /// Every level.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Sse2, Self::Avx2];

    /// The highest level that this CPU has and the environment variable `LFP_CPU` (`scalar`, `sse2`, `avx2`)
    /// permits. Asked once per process.
    #[must_use]
    pub fn chosen() -> Self {
        static CHOSEN: OnceLock<Level> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let wanted = std::env::var("LFP_CPU").unwrap_or_default();
            let cap = Self::ALL.into_iter().find(|level| level.name() == wanted);
            Self::detected().min(cap.unwrap_or(Self::Avx2))
        })
    }

    /// The highest level that this CPU has.
    #[must_use]
    pub fn detected() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx2") { Self::Avx2 } else { Self::Sse2 }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            Self::Scalar
        }
    }

    /// The name that `LFP_CPU` knows it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Sse2 => "sse2",
            Self::Avx2 => "avx2",
        }
    }
}
