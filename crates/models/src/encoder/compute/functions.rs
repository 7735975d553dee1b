//! What stands between the products: non-linearities, softmax, layer normalisation.
//!
//! Plain loops over lanes of sixteen, which the compiler turns into vectors of whatever width it may use: each function
//! is compiled once for every sort of vector.

use super::cpu::{Cpu, Vectors};

/// Sums are kept in so many lanes, so that they don't wait for each other.
const LANES: usize = 16;

/// Makes `Cpu::$name` out of `$plain::<FUSED>`, compiled for each sort of vector. `FUSED` says whether the machine
/// multiplies and adds in one step; where it doesn't, `f32::mul_add` is a slow call.
macro_rules! for_each_cpu {
    ($(#[$doc:meta])* $name:ident = $plain:ident($($argument:ident: $type:ty),*)) => {
        impl Cpu {
            $(#[$doc])*
            pub(in crate::encoder) fn $name(self, $($argument: $type),*) {
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx512f,avx2,fma")]
                fn avx512($($argument: $type),*) {
                    $plain::<true>($($argument),*);
                }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) {
                    $plain::<true>($($argument),*);
                }
                match self.vectors() {
                    // SAFETY: a `Cpu` only has the vectors of this machine.
                    #[cfg(target_arch = "x86_64")]
                    Vectors::Avx512 => unsafe { avx512($($argument),*) },
                    // SAFETY: as above.
                    #[cfg(target_arch = "x86_64")]
                    Vectors::Avx2 => unsafe { avx2($($argument),*) },
                    Vectors::Portable => $plain::<{ cfg!(target_arch = "aarch64") }>($($argument),*),
                }
            }
        }
    };
}

for_each_cpu! {
    /// The Gaussian error linear unit of each number, by the error function.
    gelu = gelu(row: &mut [f32])
}
for_each_cpu! {
    /// The same by its approximation with a hyperbolic tangent.
    gelu_tanh = gelu_tanh(row: &mut [f32])
}
for_each_cpu! {
    /// What is above zero.
    relu = relu(row: &mut [f32])
}
for_each_cpu! {
    /// Makes numbers shares of one: the exponential of each over the sum of all.
    softmax = softmax(row: &mut [f32])
}
for_each_cpu! {
    /// Brings a row to mean 0 and variance 1, then scales and shifts each number of it.
    normalise = normalise(row: &mut [f32], gain: &[f32], shift: &[f32], epsilon: f32)
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// A polynomial, its highest coefficient first.
#[inline(always)]
fn polynomial<const FUSED: bool>(x: f32, coefficients: &[f32]) -> f32 {
    let (first, rest) = coefficients.split_first().unwrap_or((&0.0, &[]));
    rest.iter().fold(*first, |sum, coefficient| multiply_add::<FUSED>(sum, x, *coefficient))
}

#[inline(always)]
fn gelu<const FUSED: bool>(row: &mut [f32]) {
    for x in row {
        *x = 0.5 * *x * (1.0 + erf::<FUSED>(*x * std::f32::consts::FRAC_1_SQRT_2));
    }
}

#[inline(always)]
fn gelu_tanh<const FUSED: bool>(row: &mut [f32]) {
    for x in row {
        let inner = (2.0 / std::f32::consts::PI).sqrt() * (*x + 0.044_715 * *x * *x * *x);
        // tanh(y) = 1 - 2 / (exp(2y) + 1), which is exact at both ends.
        *x = 0.5 * *x * (2.0 - 2.0 / (exp::<FUSED>(2.0 * inner) + 1.0));
    }
}

#[inline(always)]
fn relu<const FUSED: bool>(row: &mut [f32]) {
    for x in row {
        *x = x.max(0.0);
    }
}

#[inline(always)]
fn softmax<const FUSED: bool>(row: &mut [f32]) {
    let largest = reduce(row, f32::NEG_INFINITY, |largest, x| if x > largest { x } else { largest });
    for x in &mut *row {
        *x = exp::<FUSED>(*x - largest);
    }
    let whole = reduce(row, 0.0, |sum, x| sum + x);
    let share = 1.0 / whole;
    for x in row {
        *x *= share;
    }
}

#[inline(always)]
fn normalise<const FUSED: bool>(row: &mut [f32], gain: &[f32], shift: &[f32], epsilon: f32) {
    let count = row.len() as f32;
    let mean = reduce(row, 0.0, |sum, x| sum + x) / count;
    for x in &mut *row {
        *x -= mean;
    }
    let variance = reduce_each(row, 0.0, |sum, x| multiply_add::<FUSED>(x, x, sum), |a, b| a + b) / count;
    let scale = 1.0 / (variance + epsilon).sqrt();
    for ((x, gain), shift) in row.iter_mut().zip(gain).zip(shift) {
        *x = multiply_add::<FUSED>(*x * scale, *gain, *shift);
    }
}

#[inline(always)]
fn reduce(row: &[f32], start: f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    reduce_each(row, start, &join, &join)
}

/// Folds a row lane by lane with `take`, then the lanes with `join`.
#[inline(always)]
fn reduce_each(
    row: &[f32],
    start: f32,
    take: impl Fn(f32, f32) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut lanes = [start; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = take(*lane, *x);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = take(*lane, *x);
    }
    lanes.into_iter().fold(start, join)
}

/// The exponential, within 2 units in the last place: a power of two by its bits, and what remains by a polynomial
/// (Cephes' `expf`). 0 below -87, which no caller can tell from the truth.
#[inline(always)]
fn exp<const FUSED: bool>(x: f32) -> f32 {
    /// Adding it leaves a float no room for a fraction, and the whole number in its lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let kept = x.clamp(-87.0, 88.0);
    let rounded = multiply_add::<FUSED>(kept, std::f32::consts::LOG2_E, ROUND);
    let whole = rounded - ROUND;
    // ln 2 in two parts, the first with few digits, so that nothing is lost.
    let rest = multiply_add::<FUSED>(whole, -0.693_359_4, kept);
    let rest = multiply_add::<FUSED>(whole, 2.121_944_4e-4, rest);
    let tail = polynomial::<FUSED>(
        rest,
        &[1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5],
    );
    let fraction = multiply_add::<FUSED>(tail * rest, rest, rest + 1.0);
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127).wrapping_shl(23));
    if x < -87.0 { 0.0 } else { fraction * power }
}

/// The error function, within 4 units in the last place: the rational approximation of Eigen and XLA.
#[inline(always)]
fn erf<const FUSED: bool>(x: f32) -> f32 {
    let kept = x.clamp(-4.0, 4.0);
    let square = kept * kept;
    let above = polynomial::<FUSED>(
        square,
        &[
            -2.726_142e-10,
            2.770_681_4e-8,
            -2.101_024e-6,
            -5.692_506_5e-5,
            -7.349_906_3e-4,
            -2.954_6e-3,
            -1.609_603_3e-2,
        ],
    );
    let below = polynomial::<FUSED>(
        square,
        &[-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_474e-2],
    );
    kept * above / below
}
