//! Which kernels does this processor run, and on how many threads?

use sprat_kernels::Kernels;

/// Names a set of kernels to compute with, instead of the fastest: to compare them, or to go round one that misbehaves.
pub const CHOICE: &str = "SPRAT_KERNELS";

/// Lets llama.cpp compute with the fastest kernels that this processor runs, or with those that [`CHOICE`] names. To be called
/// before anything else of llama.cpp's.
///
/// # Errors
/// In a sentence: the processor can't run any, or not those.
pub fn choose_kernels() -> Result<Kernels, String> {
    check()?;
    named(&std::env::var(CHOICE).unwrap_or_default()).map(Kernels::choose)
}

/// The kernels of that name; those that are fastest here, where it is empty.
pub(super) fn named(wanted: &str) -> Result<Kernels, String> {
    let here = Kernels::here();
    let found = here.iter().find(|kernels| wanted.is_empty() || kernels.name() == wanted);
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = here.iter().map(|kernels| kernels.name()).collect();
        format!(
            "{CHOICE} asks for kernels `{wanted}`, and this processor runs {}: name one of these, or unset it for the fastest",
            names.join(", ")
        )
    })
}

/// As many threads as declared, else as the machine has.
pub fn threads(declared: u32) -> u32 {
    match declared {
        0 => std::thread::available_parallelism().map_or(1, |threads| threads.get() as u32),
        declared => declared.min(512),
    }
}

/// All kernels are built for AVX2 and what came with it: on an older processor the first of them would end the process.
fn check() -> Result<(), String> {
    #[cfg(target_arch = "x86_64")]
    {
        let needed = [
            ("AVX2", is_x86_feature_detected!("avx2")),
            ("FMA", is_x86_feature_detected!("fma")),
            ("F16C", is_x86_feature_detected!("f16c")),
            ("BMI2", is_x86_feature_detected!("bmi2")),
        ];
        let lacking: Vec<&str> = needed.iter().filter(|(_, has)| !has).map(|(name, _)| *name).collect();
        if !lacking.is_empty() {
            return Err(format!("this processor lacks {}, which decoders are built for", lacking.join(", ")));
        }
    }
    Ok(())
}
