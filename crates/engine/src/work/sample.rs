//! Which token comes next, and how likely was it?

use super::network::Token;
use crate::protocol::Sampling;

/// Numbers that are looked at at a time: each place of a chunk has its own greatest and its own sum, so that a processor can
/// do several at once.
const LANES: usize = 16;

/// The greatest logits, and what makes logits log-probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sum {
    first: f32,
    /// The greatest but for one, which may be as great.
    second: f32,
    log_sum: f32,
}

impl Sum {
    /// `None` where they are no numbers.
    fn of(logits: &[f32]) -> Option<Self> {
        let (first, second) = greatest(logits)?;
        // One sum in 32 bits for some hundreds of tokens, and one of those in 64: as exact as each of them is.
        let chunks = logits.chunks(512).map(|chunk| {
            let mut sums = [0.0_f32; LANES];
            for part in chunk.chunks(LANES) {
                for (sum, logit) in sums.iter_mut().zip(part) {
                    *sum += exp(logit - first);
                }
            }
            f64::from(sums.iter().sum::<f32>())
        });
        let log_sum = first + chunks.sum::<f64>().ln() as f32;
        log_sum.is_finite().then_some(Self { first, second, log_sum })
    }
}

/// The two greatest; `None` where one is no number, or none is finite.
fn greatest(logits: &[f32]) -> Option<(f32, f32)> {
    let [mut firsts, mut seconds] = [[f32::NEG_INFINITY; LANES]; 2];
    let mut strange = [false; LANES];
    for part in logits.chunks(LANES) {
        for (place, logit) in part.iter().enumerate() {
            let (first, logit) = (firsts[place], *logit);
            let lesser = if logit < first { logit } else { first };
            firsts[place] = if logit > first { logit } else { first };
            seconds[place] = if lesser > seconds[place] { lesser } else { seconds[place] };
            strange[place] |= logit.is_nan();
        }
    }
    let (mut first, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
    for logit in firsts.into_iter().chain(seconds) {
        if logit > first {
            (first, second) = (logit, first);
        } else if logit > second {
            second = logit;
        }
    }
    (first.is_finite() && !strange.contains(&true)).then_some((first, second))
}

/// The logarithm of the sum of the exponentials: what makes logits log-probabilities. `None` where it is no number.
pub fn log_sum(logits: &[f32]) -> Option<f32> {
    Sum::of(logits).map(|sum| sum.log_sum)
}

/// Where a number stands first.
fn first_place(logits: &[f32], wanted: f32) -> Option<usize> {
    const AT_ONCE: usize = 256;
    let has = |part: &[f32]| part.iter().fold(false, |found, logit| found | (*logit == wanted));
    let part = logits.chunks(AT_ONCE).position(has)?;
    let start = part * AT_ONCE;
    logits[start..].iter().position(|logit| *logit == wanted).map(|place| start + place)
}

/// e to a power that is not above 0, to the last two bits of a float. A vocabulary has up to 260,000 tokens, of each token
/// written: this is reckoned for several at a time, which the library's own is not. By the remainder of a multiple of ln 2, and
/// a polynomial for that (Cephes' `expf`).
fn exp(x: f32) -> f32 {
    // Below this it is nothing beside the greatest.
    let x = x.max(-87.0);
    // Adding and taking away 1.5 * 2^23 rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let twos = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let rest = (x - twos * 0.693_359_4) - twos * -2.121_944_4e-4;
    let mut sum = 1.987_569_1e-4;
    for part in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = sum * rest + part;
    }
    let fraction = sum * rest * rest + rest + 1.0;
    // The power of two goes where a float has its exponent: -126 to 0 of them.
    fraction * f32::from_bits(((twos as i32 + 127) as u32) << 23)
}

/// What may come next, in the model's own opinion.
#[derive(Clone, Copy)]
pub struct Outlook<'a> {
    logits: &'a [f32],
    sum: Sum,
}

impl<'a> Outlook<'a> {
    /// From a number for each token; `None` where they are no numbers.
    pub fn of(logits: &'a [f32]) -> Option<Self> {
        Some(Self { logits, sum: Sum::of(logits)? })
    }

    /// A token's log-probability, in nats. What the model rules out has the least that a number can be.
    pub fn log_probability(&self, token: Token) -> f32 {
        let logit = usize::try_from(token).ok().and_then(|token| self.logits.get(token));
        logit.map_or(f32::MIN, |logit| (logit - self.sum.log_sum).max(f32::MIN))
    }

    /// By how much it prefers the first token to the second, in nats.
    pub fn margin(&self) -> f32 {
        (self.sum.first - self.sum.second).min(f32::MAX)
    }

    /// The likeliest tokens with their log-probabilities, the likeliest first and the first of equals.
    pub fn likeliest(&self, count: usize) -> Vec<(Token, f32)> {
        if count == 0 {
            return Vec::new();
        }
        let order = |a: &usize, b: &usize| self.logits[*b].total_cmp(&self.logits[*a]).then(a.cmp(b));
        let mut places: Vec<usize> = (0..self.logits.len()).collect();
        if count < places.len() {
            places.select_nth_unstable_by(count, order);
            places.truncate(count);
        }
        places.sort_unstable_by(order);
        let tokens = places.into_iter().filter_map(|place| Token::try_from(place).ok());
        tokens.map(|token| (token, self.log_probability(token))).collect()
    }
}

/// Draws a token; one whose logit is negative infinity can't be. `None` where no token can be drawn.
pub fn draw(logits: &[f32], sampling: &Sampling, random: &mut fastrand::Rng) -> Option<Token> {
    let (most, _) = greatest(logits)?;
    // The first of equals.
    let likeliest = first_place(logits, most)?;
    if sampling.temperature <= 0.0 {
        return Token::try_from(likeliest).ok();
    }
    let weights: Vec<f32> = logits.iter().map(|logit| exp((logit - most) / sampling.temperature)).collect();
    let all: f64 = weights.chunks(512).map(|chunk| f64::from(chunk.iter().sum::<f32>())).sum();
    let top_p = f64::from(sampling.top_p.clamp(0.0, 1.0));
    // All tokens below this weight together have less than the share that is left out. What is ruled out has none.
    let least = if top_p < 1.0 { all * (1.0 - top_p) / logits.len() as f64 } else { 0.0 };
    let mut kept: Vec<(usize, f64)> = weights
        .iter()
        .zip(logits)
        .enumerate()
        .filter(|(_, (weight, logit))| **logit > f32::NEG_INFINITY && f64::from(**weight) >= least)
        .map(|(place, (weight, _))| (place, f64::from(*weight)))
        .collect();
    if top_p < 1.0 {
        kept.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut sum = 0.0;
        let enough = kept.iter().position(|(_, weight)| {
            sum += weight;
            sum >= top_p * all
        });
        kept.truncate(enough.map_or(kept.len(), |last| last + 1));
    }
    let mut left = random.f64() * kept.iter().map(|(_, weight)| weight).sum::<f64>();
    for (place, weight) in &kept {
        left -= weight;
        if left < 0.0 {
            return Token::try_from(*place).ok();
        }
    }
    Token::try_from(kept.last().map_or(likeliest, |(place, _)| *place)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_what_they_should_be_to_the_last_bits() {
        for step in 0..197_000 {
            let x = -(step as f32) * 4.4e-4;
            let (own, right) = (exp(x), f64::from(x).exp());
            assert!((f64::from(own) - right).abs() <= 2.5e-7 * right, "e^{x}: {own} beside {right}");
        }
        assert_eq!((exp(0.0), exp(f32::NEG_INFINITY)), (1.0, exp(-87.0)));
    }

    #[test]
    fn log_probabilities_sum_to_one_and_no_numbers_are_none() {
        let mut random = fastrand::Rng::with_seed(1);
        let logits: Vec<f32> = (0..50_000).map(|_| 40.0 * random.f32()).collect();
        let right = logits.iter().map(|logit| f64::from(*logit).exp()).sum::<f64>().ln();
        assert!((f64::from(log_sum(&logits).unwrap()) - right).abs() < 1e-5);
        for bad in [f32::NAN, f32::INFINITY] {
            assert_eq!(log_sum(&[0.0, bad, 1.0]), None);
        }
        assert_eq!(log_sum(&[f32::NEG_INFINITY; 3]), None);
        assert_eq!(log_sum(&[]), None);
        // What a mask rules out is nothing.
        assert!(log_sum(&[0.0, f32::NEG_INFINITY]).unwrap().abs() < 1e-6);
        assert_eq!(draw(&[1.0, 3.0, 3.0], &Sampling::GREEDY, &mut random), Some(1), "the first of equals");
        assert_eq!(draw(&[f32::NEG_INFINITY; 2], &Sampling::GREEDY, &mut random), None);
    }
}
