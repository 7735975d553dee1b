//! What the machine has: cores, instructions that the models are fast with, room on the disk.

use std::path::Path;

use super::Check;
use crate::output::words;

/// Below this a store and a few releases may not fit.
const LITTLE_SPACE: u64 = 1_000_000_000;
/// Below this the next write may fail.
const NO_SPACE: u64 = 50_000_000;

/// Looks at processor and disk.
pub fn checks(folder: &Path) -> Vec<Check> {
    vec![processor(), disk(folder)]
}

fn processor() -> Check {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let features = features();
    let found = format!("{}; {}", words::counted(threads, "thread"), features.join(", "));
    Check::ok("processor", found)
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    let all = [
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("avx512vnni", std::is_x86_feature_detected!("avx512vnni")),
        ("avx512bf16", std::is_x86_feature_detected!("avx512bf16")),
    ];
    let found: Vec<&str> = all.into_iter().filter(|(_, found)| *found).map(|(name, _)| name).collect();
    if found.is_empty() { vec!["no AVX2: models run slower"] } else { found }
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<&'static str> {
    vec![std::env::consts::ARCH]
}

fn disk(folder: &Path) -> Check {
    // A folder that is still to be made has the space of the one it will be made in.
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    match fs4::available_space(there) {
        Err(error) => Check::warn("disk", format!("the space left can't be found: {error}"), "look with df"),
        Ok(left) => {
            let found = format!("{} left", words::bytes(left));
            match left {
                0..NO_SPACE => Check::fail("disk", found, "make space: nothing more can be remembered soon"),
                NO_SPACE..LITTLE_SPACE => Check::warn("disk", found, "make space before you learn"),
                _ => Check::ok("disk", found),
            }
        }
    }
}
