//! Tail probabilities and quantiles of the normal, chi-square and Kolmogorov distributions.
//!
//! Sources: Abramowitz & Stegun 6.1.41, 6.5; Press et al., "Numerical Recipes", 6.2, 6.14.12.

/// P(Z <= `z`) for a standard normal Z.
pub fn normal_cdf(z: f64) -> f64 {
    let tail = 0.5 * gamma_upper(0.5, 0.5 * z * z);
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// z with P(Z <= z) = `probability`; infinite at 0 and 1, NaN outside [0, 1].
pub fn normal_quantile(probability: f64) -> f64 {
    if !(0.0..=1.0).contains(&probability) {
        return f64::NAN;
    }
    if probability == 0.0 || probability == 1.0 {
        return if probability == 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    // Solved in the lower tail, where `normal_cdf` keeps its relative precision: a start good to three digits
    // (Abramowitz & Stegun 26.2.23), then two of Halley's steps, each of which triples the digits.
    let tail = probability.min(1.0 - probability);
    let t = (-2.0 * tail.ln()).sqrt();
    let start = (2.515_517 + t * (0.802_853 + t * 0.010_328))
        / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)))
        - t;
    let halley = |z: f64| {
        let density = (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
        let newton = (normal_cdf(z) - tail) / density;
        if newton.is_finite() { z - newton / (1.0 + 0.5 * z * newton) } else { z }
    };
    let z = halley(halley(start));
    if probability < 0.5 { z } else { -z }
}

/// P(X > `x`) for X chi-square with `degrees` of freedom; 1 where `x` is not above 0.
pub fn chi_square_tail(x: f64, degrees: f64) -> f64 {
    if x > 0.0 { gamma_upper(0.5 * degrees, 0.5 * x) } else { 1.0 }
}

/// x with P(X <= x) = `probability` for X chi-square with `degrees` > 0 of freedom, `probability` in [0, 1).
pub fn chi_square_quantile(probability: f64, degrees: f64) -> f64 {
    let tail = 1.0 - probability;
    let mut high = degrees.max(1.0);
    while chi_square_tail(high, degrees) > tail && high < 1e300 {
        high *= 2.0;
    }
    bisect(0.0, high, |x| chi_square_tail(x, degrees) > tail)
}

/// P(K > `x`) for the limiting distribution of the Kolmogorov-Smirnov statistic; 1 where `x` is not above 0.
pub fn kolmogorov_tail(x: f64) -> f64 {
    if x.is_nan() || x < 0.04 {
        return 1.0;
    }
    if x < 1.18 {
        // The alternating series converges slowly here; the theta-function form of it does not.
        let y = (-std::f64::consts::PI.powi(2) / (8.0 * x * x)).exp();
        let sum = y + y.powi(9) + y.powi(25) + y.powi(49);
        return (1.0 - (std::f64::consts::TAU.sqrt() / x) * sum).clamp(0.0, 1.0);
    }
    let y = (-2.0 * x * x).exp();
    (2.0 * (y - y.powi(4) + y.powi(9))).clamp(0.0, 1.0)
}

/// The point in [`low`, `high`] where `below` turns from true to false.
pub(crate) fn bisect(mut low: f64, mut high: f64, below: impl Fn(f64) -> bool) -> f64 {
    // A double has 53 bits: more halvings than this change nothing.
    for _ in 0..90 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Upper regularised incomplete gamma function Q(a, x), a > 0, x >= 0.
fn gamma_upper(a: f64, x: f64) -> f64 {
    if x.is_nan() {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 1.0;
    }
    if x == f64::INFINITY {
        return 0.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 { 1.0 - front * lower_series(a, x) } else { front * upper_fraction(a, x) }
}

fn lower_series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0 / a, 1.0 / a, a);
    while term > sum * f64::EPSILON * 0.1 {
        k += 1.0;
        term *= x / k;
        sum += term;
    }
    sum
}

/// Lentz's method on the continued fraction.
fn upper_fraction(a: f64, x: f64) -> f64 {
    let mut b = x + 1.0 - a;
    let mut c = 1e300;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for i in 1..10_000 {
        let i = f64::from(i);
        let numerator = -i * (i - a);
        b += 2.0;
        d = 1.0 / (numerator * d + b);
        c = b + numerator / c;
        let factor = c * d;
        fraction *= factor;
        if (factor - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// ln of the gamma function for x > 0: shifted above 10, where Stirling's series is exact to double precision.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 1.0);
    while x < 10.0 {
        shift *= x;
        x += 1.0;
    }
    let square = x * x;
    let series = (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
        / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - f64::ln(shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }

    /// Abramowitz & Stegun, tables 26.1 and 26.8; Smirnov (1948) for the last.
    #[test]
    fn they_agree_with_printed_tables() {
        close(normal_cdf(1.0), 0.841_344_746_068_543, 1e-13);
        close(normal_cdf(-6.0), 9.865_876_450_377e-10, 1e-20);
        close(normal_quantile(0.975), 1.959_963_984_540_054, 1e-12);
        close(normal_quantile(0.05), -1.644_853_626_951_473, 1e-12);
        close(normal_quantile(1e-9), -5.997_807_015_007_687, 1e-12);
        close(normal_quantile(0.5), 0.0, 1e-15);
        close(chi_square_quantile(0.95, 1.0), 3.841_458_820_694_124, 1e-10);
        close(chi_square_quantile(0.95, 9.0), 16.918_977_604_620_45, 1e-9);
        close(chi_square_quantile(0.99, 100.0), 135.806_723_170_71, 1e-8);
        close(kolmogorov_tail(1.358_1), 0.05, 1e-4);
        close(kolmogorov_tail(0.5), 0.963_945_243_618, 1e-9);
        close(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln(), 1e-13);
    }

    #[test]
    fn the_ends_are_defined() {
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
        assert!(normal_quantile(f64::NAN).is_nan());
        assert_eq!(chi_square_tail(0.0, 3.0), 1.0);
        assert_eq!(kolmogorov_tail(0.0), 1.0);
        close(kolmogorov_tail(1.18 - 1e-12), kolmogorov_tail(1.18), 1e-9);
    }
}
