//! How much memory has a GPU, and how quickly does it read it? By their makers' data sheets, to plan with.

/// When the table was last looked at.
pub const AS_OF: &str = "2026-11-21";

/// A GPU, as its maker describes it.
#[derive(Clone, Copy, Debug)]
pub struct Gpu {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Gigabytes (of a thousand million bytes) of memory.
    pub memory_gb: u64,
    /// Thousand million bytes that it reads a second.
    pub gb_per_second: u64,
}

/// Share of its memory that a model may take: drivers and displays take theirs.
pub const SHARE: f64 = 0.9;

const fn gpu(name: &'static str, memory_gb: u64, gb_per_second: u64) -> Gpu {
    Gpu { name, memory_gb, gb_per_second }
}

/// Those that are known.
pub const ALL: [Gpu; 26] = [
    gpu("t4", 16, 320),
    gpu("l4", 24, 300),
    gpu("a10", 24, 600),
    gpu("l40s", 48, 864),
    gpu("a100-40gb", 40, 1_555),
    gpu("a100-80gb", 80, 2_039),
    gpu("h100-pcie", 80, 2_000),
    gpu("h100", 80, 3_350),
    gpu("h200", 141, 4_800),
    gpu("mi300x", 192, 5_300),
    gpu("rtx-3060", 12, 360),
    gpu("rtx-3090", 24, 936),
    gpu("rtx-4060", 8, 272),
    gpu("rtx-4060-ti-16gb", 16, 288),
    gpu("rtx-4070", 12, 504),
    gpu("rtx-4080", 16, 717),
    gpu("rtx-4090", 24, 1_008),
    gpu("rtx-5080", 16, 960),
    gpu("rtx-5090", 32, 1_792),
    gpu("rtx-a6000", 48, 768),
    gpu("rx-7900-xtx", 24, 960),
    gpu("apple-m1-8gb", 8, 68),
    gpu("apple-m2-16gb", 16, 100),
    gpu("apple-m3-pro-18gb", 18, 150),
    gpu("apple-m4-16gb", 16, 120),
    gpu("apple-m4-pro-24gb", 24, 273),
];
