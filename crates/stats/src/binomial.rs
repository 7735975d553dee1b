//! How likely is so small a number of bad rows, if the risk were as large as allowed?
//!
//! Every certificate rests on [`cdf`], so it is computed without an approximation whose error grows with
//! `n`: one probability in log space by Loader's saddle-point form, the rest by summing outwards from the
//! largest term until terms no longer count. Cost is about the square root of `n`.
//!
//! Source: Loader, "Fast and accurate computation of binomial probabilities" (2000).

use std::f64::consts::TAU;

/// Natural logarithm of P(X <= `k`) for X ~ Binomial(`n`, `p`); relative error of the probability about 1e-13.
///
/// `p` outside [0, 1] is read as the nearest end; an undefined `p` gives 0, the probability 1 of no evidence.
pub fn ln_cdf(k: u64, n: u64, p: f64) -> f64 {
    if k >= n || p.is_nan() || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return f64::NEG_INFINITY;
    }
    if (k as f64) < mode(n, p) { ln_lower_tail(k, n, p) } else { (-ln_upper_tail(k + 1, n, p).exp()).ln_1p() }
}

/// P(X <= `k`) for X ~ Binomial(`n`, `p`). See [`ln_cdf`] for how it is computed.
pub fn cdf(k: u64, n: u64, p: f64) -> f64 {
    ln_cdf(k, n, p).exp()
}

/// P(X >= `k`) for X ~ Binomial(`n`, `p`), without the cancellation of `1 - cdf(k - 1)`.
pub fn upper_tail(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if k > n || p.is_nan() || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return 1.0;
    }
    if (k as f64) > mode(n, p) { ln_upper_tail(k, n, p).exp() } else { -ln_lower_tail(k - 1, n, p).exp_m1() }
}

/// P(X = `k`) for X ~ Binomial(`n`, `p`), `p` in [0, 1].
pub fn probability(k: u64, n: u64, p: f64) -> f64 {
    match () {
        () if k > n => 0.0,
        () if p <= 0.0 => f64::from(u8::from(k == 0)),
        () if p >= 1.0 => f64::from(u8::from(k == n)),
        () => ln_probability(k, n, p).exp(),
    }
}

/// Exact one-sided p-value of "the risk is above `alpha`" after `bad` bad rows among `n`.
///
/// With no rows it is 1: nothing seen proves nothing.
pub fn p_value(bad: u64, n: u64, alpha: f64) -> f64 {
    cdf(bad, n, alpha)
}

/// Most bad rows among `n` that still prove a risk of at most `alpha` at level `delta`.
///
/// `None` where even no bad row would not prove it: `n` is below [`least_n_with_zero_bad`].
pub fn kmax(n: u64, alpha: f64, delta: f64) -> Option<u64> {
    let passes = |k: u64| cdf(k, n, alpha) <= delta;
    if !passes(0) {
        return None;
    }
    let (mut passing, mut failing) = (0, n);
    while failing - passing > 1 {
        let middle = passing + (failing - passing) / 2;
        if passes(middle) {
            passing = middle;
        } else {
            failing = middle;
        }
    }
    Some(passing)
}

/// Fewest rows that prove a risk of at most `alpha` at level `delta` when none of them is bad.
///
/// `None` where no number does (`alpha` or `delta` not above 0) or a `u64` cannot hold it.
pub fn least_n_with_zero_bad(alpha: f64, delta: f64) -> Option<u64> {
    if !(alpha > 0.0 && delta > 0.0) {
        return None;
    }
    if alpha >= 1.0 || delta >= 1.0 {
        return Some(u64::from(delta < 1.0));
    }
    // The quotient may be off by one in its last digit: settle it with the very comparison `kmax` makes.
    let guess = (delta.ln() / (-alpha).ln_1p()).ceil();
    if guess >= 1e15 {
        return None;
    }
    let guess = guess as u64;
    (guess.saturating_sub(1)..=guess + 1).find(|&n| cdf(0, n, alpha) <= delta)
}

fn mode(n: u64, p: f64) -> f64 {
    ((n as f64 + 1.0) * p).floor()
}

/// `k` below the mode, so that terms fall as we go down from it.
fn ln_lower_tail(k: u64, n: u64, p: f64) -> f64 {
    let odds_against = (1.0 - p) / p;
    let (mut term, mut sum) = (1.0, 1.0);
    for i in (1..=k).rev() {
        term *= i as f64 / (n - i + 1) as f64 * odds_against;
        sum += term;
        if term < sum * f64::EPSILON * 0.01 {
            break;
        }
    }
    ln_probability(k, n, p) + f64::ln(sum)
}

/// `k` above the mode, so that terms fall as we go up from it.
fn ln_upper_tail(k: u64, n: u64, p: f64) -> f64 {
    let odds = p / (1.0 - p);
    let (mut term, mut sum) = (1.0, 1.0);
    for i in k..n {
        term *= (n - i) as f64 / (i + 1) as f64 * odds;
        sum += term;
        if term < sum * f64::EPSILON * 0.01 {
            break;
        }
    }
    ln_probability(k, n, p) + f64::ln(sum)
}

/// Loader's saddle-point form; `p` strictly between 0 and 1, `k <= n`.
fn ln_probability(k: u64, n: u64, p: f64) -> f64 {
    let (x, total) = (k as f64, n as f64);
    if k == 0 {
        return total * (-p).ln_1p();
    }
    if k == n {
        return total * p.ln();
    }
    stirling_error(n)
        - stirling_error(k)
        - stirling_error(n - k)
        - deviance(x, total * p)
        - deviance(total - x, total * (1.0 - p))
        + 0.5 * (total / (TAU * x * (total - x))).ln()
}

/// ln(n!) less Stirling's formula for it.
fn stirling_error(n: u64) -> f64 {
    let x = n as f64;
    if n < 16 {
        let ln_factorial: f64 = (2..=n).map(|i| (i as f64).ln()).sum();
        return ln_factorial - (0.5 * (TAU * x).ln() + x * x.ln() - x);
    }
    let square = x * x;
    (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
        / x
}

/// x ln(x / mean) + mean - x, by its series where the two are close and the plain form would cancel.
fn deviance(x: f64, mean: f64) -> f64 {
    let difference = x - mean;
    if difference.abs() >= 0.1 * (x + mean) {
        return x * (x / mean).ln() - difference;
    }
    let ratio = difference / (x + mean);
    let mut sum = difference * ratio;
    let mut term = 2.0 * x * ratio;
    for odd in (3..).step_by(2) {
        term *= ratio * ratio;
        let next = sum + term / f64::from(odd);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The table of the guarantee, section 3, at delta = 0.05.
    #[test]
    fn the_table_of_the_guarantee_holds_in_every_cell() {
        let sizes = [100, 200, 300, 500, 1000, 2000, 5000];
        let table = [
            (0.10, [Some(4), Some(12), Some(21), Some(38), Some(84), Some(177), Some(464)], 29),
            (0.05, [Some(1), Some(4), Some(8), Some(16), Some(38), Some(83), Some(224)], 59),
            (0.02, [None, Some(0), Some(1), Some(4), Some(12), Some(29), Some(83)], 149),
            (0.01, [None, None, Some(0), Some(1), Some(4), Some(12), Some(38)], 299),
        ];
        for (alpha, cells, least) in table {
            for (n, expected) in sizes.into_iter().zip(cells) {
                assert_eq!(kmax(n, alpha, 0.05), expected, "alpha {alpha}, n {n}");
            }
            assert_eq!(least_n_with_zero_bad(alpha, 0.05), Some(least), "alpha {alpha}");
        }
    }

    /// Summed term by term from factorials, in the largest size where that is still exact.
    #[test]
    fn it_agrees_with_the_sum_written_out() {
        for (n, p) in [(20_u64, 0.05), (20, 0.5), (60, 0.01), (60, 0.93)] {
            let mut sum = 0.0;
            let mut choose = 1.0;
            for k in 0..n {
                sum += choose * f64::powi(p, k as i32) * f64::powi(1.0 - p, (n - k) as i32);
                choose = choose * (n - k) as f64 / (k + 1) as f64;
                assert!((cdf(k, n, p) - sum).abs() < 1e-12, "k {k} n {n} p {p}");
                assert!((upper_tail(k + 1, n, p) - (1.0 - sum)).abs() < 1e-12, "k {k} n {n} p {p}");
            }
        }
    }

    #[test]
    fn a_million_rows_stay_exact_far_into_the_tail() {
        // 1 - p to the n-th power is known without any summing.
        assert!((ln_cdf(0, 1_000_000, 0.05) - 1e6 * (-0.05_f64).ln_1p()).abs() < 1e-6);
        // Around the mean the distribution is normal to three digits; at the median it is one half.
        assert!((cdf(50_000, 1_000_000, 0.05) - 0.5).abs() < 2e-3);
        assert!((cdf(50_000, 1_000_000, 0.05) + upper_tail(50_001, 1_000_000, 0.05) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_seen_proves_nothing() {
        assert_eq!(p_value(0, 0, 0.05), 1.0);
        assert_eq!(kmax(0, 0.05, 0.05), None);
        assert_eq!(kmax(100, 0.0, 0.05), None);
        assert_eq!(p_value(3, 10, f64::NAN), 1.0);
        assert_eq!(least_n_with_zero_bad(0.0, 0.05), None);
        assert_eq!(least_n_with_zero_bad(f64::NAN, 0.05), None);
    }

    proptest! {
        #[test]
        fn more_bad_rows_never_prove_more(n in 1_u64..5_000, share in 0.0..1.0_f64, p in 0.0..1.0_f64) {
            let k = (share * n as f64) as u64;
            prop_assert!(cdf(k, n, p) <= cdf(k + 1, n, p) + 1e-12);
            prop_assert!((0.0..=1.0).contains(&cdf(k, n, p)));
        }

        #[test]
        fn kmax_is_the_last_that_passes(n in 1_u64..5_000, alpha in 0.001..0.5_f64, delta in 0.0001..0.3_f64) {
            match kmax(n, alpha, delta) {
                None => prop_assert!(cdf(0, n, alpha) > delta),
                Some(k) => {
                    prop_assert!(cdf(k, n, alpha) <= delta);
                    prop_assert!(cdf(k + 1, n, alpha) > delta);
                }
            }
        }
    }
}
