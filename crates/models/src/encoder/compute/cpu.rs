//! Which vectors does this machine have?

use std::sync::LazyLock;

/// The widest vectors that may be used. There is no way to make one for a machine that doesn't have them: everything
/// that is `unsafe` for that reason alone leans on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::encoder) struct Cpu(Vectors);

/// Sorts of vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vectors {
    /// 16 numbers, 32 registers (AVX-512 F).
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 8 numbers, 16 registers, with fused multiply-add (AVX2 and FMA).
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Whatever the compiler makes of plain loops.
    Portable,
}

static HERE: LazyLock<Vec<Cpu>> = LazyLock::new(|| {
    let mut here = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        if avx2 && is_x86_feature_detected!("avx512f") {
            here.push(Cpu(Vectors::Avx512));
        }
        if avx2 {
            here.push(Cpu(Vectors::Avx2));
        }
    }
    here.push(Cpu(Vectors::Portable));
    here
});

impl Cpu {
    /// The widest that this machine has.
    pub(in crate::encoder) fn detect() -> Self {
        Self::all_here()[0]
    }

    /// All that this machine has, the widest first.
    pub(in crate::encoder) fn all_here() -> &'static [Self] {
        &HERE
    }

    /// Whether it multiplies pairs of bfloat16 (AVX-512 BF16).
    pub(super) fn has_pairs(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            self.0 == Vectors::Avx512 && is_x86_feature_detected!("avx512bf16")
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            false
        }
    }

    pub(super) fn vectors(self) -> Vectors {
        self.0
    }
}
