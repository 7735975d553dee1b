//! 64-bit hashes that are the same on every machine, to count distinct texts without keeping them.

/// FNV-1a, then the finaliser of SplitMix64, so that every bit of a short text moves every bit of the hash.
/// Never 0: that number means "none".
pub(super) fn hash(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    scatter(fnv).max(1)
}

/// A number that looks random, the same for the same number.
pub(super) fn scatter(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
