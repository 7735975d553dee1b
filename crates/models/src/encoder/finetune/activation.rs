//! What stands between the two products of a feed-forward part, with its derivative.

use super::super::Activation;

/// `1 / sqrt(2)`.
const ROOT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// `1 / sqrt(2 pi)`.
const DENSITY_AT_ZERO: f32 = 0.398_942_3;

/// `sqrt(2 / pi)`, and the share of the cube beside it.
const TANH: (f32, f32) = (0.797_884_6, 0.044_715);

/// Fills `out` with the activation, and leaves its derivative where its argument stood: that is all the way back needs.
pub fn forward(activation: Activation, argument: &mut [f32], out: &mut [f32]) {
    match activation {
        Activation::Gelu => each(argument, out, gelu),
        Activation::GeluTanh => each(argument, out, gelu_tanh),
        Activation::Relu => each(argument, out, |x| if x > 0.0 { (x, 1.0) } else { (0.0, 0.0) }),
    }
}

#[inline(always)]
fn each(argument: &mut [f32], out: &mut [f32], of: impl Fn(f32) -> (f32, f32)) {
    argument.iter_mut().zip(out).for_each(|(x, out)| (*out, *x) = of(*x));
}

/// `x` times the normal distribution's share below `x`, and the derivative.
#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    let density = exp(-0.5 * x * x);
    let below = share_below(x, density);
    (x * below, below + x * DENSITY_AT_ZERO * density)
}

/// The same with a hyperbolic tangent in place of the normal distribution.
#[inline(always)]
fn gelu_tanh(x: f32) -> (f32, f32) {
    let (scale, cube) = TANH;
    // tanh(y) = 1 - 2 / (e^2y + 1)
    let tanh = 1.0 - 2.0 / (exp((2.0 * scale * (x + cube * x * x * x)).min(80.0)) + 1.0);
    let slope = scale * (1.0 + 3.0 * cube * x * x);
    (0.5 * x * (1.0 + tanh), 0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * slope)
}

/// The normal distribution's share below `x`, by Abramowitz & Stegun 7.1.26 (absolute error below 1.5e-7).
/// `density` is `exp(-x^2 / 2)`.
#[inline(always)]
fn share_below(x: f32, density: f32) -> f32 {
    let z = x.abs() * ROOT_HALF;
    let t = (1.0 + 0.327_591_1 * z).recip();
    let series =
        t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    let tail = 0.5 * series * density;
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// `e^x` for any `x` up to 88, without a branch or a call, so that a loop over it is compiled to wide registers
/// (relative error below 2e-7; below -87 the result is 0 or as good as).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.max(-87.0);
    // 2^23 * 1.5 rounds to the nearest whole number in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    // ln 2 in two parts, so that nothing is lost where the power is large.
    let rest = x - power * 0.693_359_4 + power * 2.121_944_4e-4;
    // Cephes' polynomial.
    let series = 1.987_569_1e-4;
    let series = series * rest + 1.398_199_9e-3;
    let series = series * rest + 8.333_452e-3;
    let series = series * rest + 4.166_579_6e-2;
    let series = series * rest + 0.166_666_65;
    let series = series * rest + 0.5;
    let series = series * rest * rest + rest + 1.0;
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32).wrapping_add(127);
    series * f32::from_bits((exponent << 23) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e_to_the_x_is_right_to_the_last_digits_of_a_float() {
        for step in -8_600..8_800 {
            let x = step as f32 / 100.0;
            let right = f64::from(x).exp();
            let found = f64::from(exp(x));
            assert!((found / right - 1.0).abs() < 4e-7, "{x}: {found} for {right}");
        }
        assert!(exp(-1e9) < 1e-37);
    }

    #[test]
    fn the_activation_and_its_derivative_have_their_known_values() {
        // From the normal distribution's table.
        for (x, value, slope) in [
            (0.0, 0.0, 0.5),
            (1.0, 0.841_345, 1.083_316),
            (-1.0, -0.158_655, -0.083_316),
            (3.0, 2.995_95, 1.011_945),
        ] {
            let (mut argument, mut out) = ([x], [f32::NAN]);
            forward(Activation::Gelu, &mut argument, &mut out);
            assert!(
                (out[0] - value).abs() < 1e-5 && (argument[0] - slope).abs() < 1e-5,
                "{x}: {out:?} {argument:?}"
            );
            let (mut argument, mut out) = ([x], [f32::NAN]);
            forward(Activation::GeluTanh, &mut argument, &mut out);
            assert!(
                (out[0] - value).abs() < 1e-3 && (argument[0] - slope).abs() < 2e-3,
                "{x}: {out:?} {argument:?}"
            );
        }
    }
}
