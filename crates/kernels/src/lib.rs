//! Which of llama.cpp's kernels does this processor run fastest? They are built for several sorts of processors
//! (`build.rs` says how), and one set is chosen before a model is loaded.
//!
//! | question | file |
//! |---|---|
//! | Which sets are there, and which can this processor run? | `lib.rs` |
//! | How do several sets get into one binary? | `build.rs` |

use std::fmt;
use std::sync::OnceLock;

use llama_cpp_sys_2 as sys;

/// A set of kernels. There is no way to make one that this processor can't run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernels(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// Those that llama.cpp is built with anyway.
    Common,
    #[cfg(kernels = "avx_vnni")]
    AvxVnni,
    #[cfg(kernels = "avx512_vnni")]
    Avx512Vnni,
    #[cfg(kernels = "amx")]
    Amx,
}

impl Kernels {
    /// All that this processor can run, the fastest first. The last are those that every binary has.
    pub fn here() -> Vec<Self> {
        let mut here = Vec::new();
        #[cfg(kernels = "amx")]
        if has_avx512_vnni() && has_bf16() && has_amx() {
            here.push(Self(Set::Amx));
        }
        #[cfg(kernels = "avx512_vnni")]
        if has_avx512_vnni() {
            here.push(Self(Set::Avx512Vnni));
        }
        #[cfg(kernels = "avx_vnni")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni") {
            here.push(Self(Set::AvxVnni));
        }
        here.push(Self(Set::Common));
        here
    }

    /// What the processor's makers call what they need.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Common => "avx2",
            #[cfg(not(target_arch = "x86_64"))]
            Set::Common => "common",
            #[cfg(kernels = "avx_vnni")]
            Set::AvxVnni => "avx_vnni",
            #[cfg(kernels = "avx512_vnni")]
            Set::Avx512Vnni => "avx512_vnni",
            #[cfg(kernels = "amx")]
            Set::Amx => "amx",
        }
    }

    /// Lets llama.cpp compute with them from now on: to be called before it does anything else. Says which are used: the
    /// first call of a process decides.
    pub fn choose(self) -> Self {
        static CHOSEN: OnceLock<Kernels> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            if let Some(entry) = self.entry() {
                // SAFETY: nobody else uses llama.cpp's list of backends before this is done. What takes the place of its own
                // backend was built from the same source, and this processor can run it.
                unsafe {
                    let own = sys::ggml_backend_reg_by_name(c"CPU".as_ptr());
                    if !own.is_null() {
                        sys::ggml_backend_unload(own);
                    }
                    sys::ggml_backend_register(entry());
                }
            }
            self
        })
    }

    fn entry(self) -> Option<unsafe extern "C" fn() -> sys::ggml_backend_reg_t> {
        match self.0 {
            Set::Common => None,
            #[cfg(kernels = "avx_vnni")]
            Set::AvxVnni => Some(entries::sprat_kernels_avx_vnni),
            #[cfg(kernels = "avx512_vnni")]
            Set::Avx512Vnni => Some(entries::sprat_kernels_avx512_vnni),
            #[cfg(kernels = "amx")]
            Set::Amx => Some(entries::sprat_kernels_amx),
        }
    }
}

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Ice Lake, Cascade Lake, Zen 4, and newer ones.
#[cfg(any(kernels = "avx512_vnni", kernels = "amx"))]
fn has_avx512_vnni() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

#[cfg(kernels = "amx")]
fn has_bf16() -> bool {
    is_x86_feature_detected!("avx512vbmi") && is_x86_feature_detected!("avx512bf16")
}

/// Whether there are tiles, and the system keeps them when it switches between threads (XCR0, bits 17 and 18; Intel's manual,
/// volume 1, 13.3). Whether this process may use them llama.cpp asks itself.
#[cfg(kernels = "amx")]
fn has_amx() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
    const TILES: u32 = 0b11 << 24;
    const KEPT: u64 = 0b11 << 17;
    #[target_feature(enable = "xsave")]
    fn kept() -> u64 {
        // SAFETY: register 0 is there wherever the instruction is.
        unsafe { _xgetbv(0) }
    }
    let has_tiles = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & TILES == TILES;
    // SAFETY: the processor and the system know the instruction: AVX would not be found without it.
    has_tiles && is_x86_feature_detected!("avx") && unsafe { kept() } & KEPT == KEPT
}

mod entries {
    #[allow(unused_imports, reason = "where there are no sets but the common one")]
    use super::sys::ggml_backend_reg_t;

    unsafe extern "C" {
        #[cfg(kernels = "avx_vnni")]
        pub fn sprat_kernels_avx_vnni() -> ggml_backend_reg_t;
        #[cfg(kernels = "avx512_vnni")]
        pub fn sprat_kernels_avx512_vnni() -> ggml_backend_reg_t;
        #[cfg(kernels = "amx")]
        pub fn sprat_kernels_amx() -> ggml_backend_reg_t;
    }
}
