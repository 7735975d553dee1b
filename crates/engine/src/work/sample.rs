//! Which token comes next, and how likely was it?

use super::network::Token;
use crate::protocol::Sampling;

/// The logarithm of the sum of the exponentials: what makes logits log-probabilities. `None` where it is no number.
pub fn log_sum(logits: &[f32]) -> Option<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - most).exp())).sum();
    let log_sum = most + sum.ln() as f32;
    log_sum.is_finite().then_some(log_sum)
}

/// What may come next, in the model's own opinion.
#[derive(Clone, Copy)]
pub struct Outlook<'a> {
    logits: &'a [f32],
    log_sum: f32,
}

impl<'a> Outlook<'a> {
    /// From a number for each token; `None` where they are no numbers.
    pub fn of(logits: &'a [f32]) -> Option<Self> {
        Some(Self { logits, log_sum: log_sum(logits)? })
    }

    /// A token's log-probability, in nats. What the model rules out has the least that a number can be.
    pub fn log_probability(&self, token: Token) -> f32 {
        let logit = usize::try_from(token).ok().and_then(|token| self.logits.get(token));
        logit.map_or(f32::MIN, |logit| (logit - self.log_sum).max(f32::MIN))
    }

    /// By how much it prefers the first token to the second, in nats.
    pub fn margin(&self) -> f32 {
        let (mut first, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        for logit in self.logits {
            if *logit > first {
                (first, second) = (*logit, first);
            } else if *logit > second {
                second = *logit;
            }
        }
        (first - second).min(f32::MAX)
    }

    /// The likeliest tokens with their log-probabilities, the likeliest first and the first of equals.
    pub fn likeliest(&self, count: usize) -> Vec<(Token, f32)> {
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
    let likeliest = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]).then(b.cmp(a)))?;
    let most = logits[likeliest];
    if !most.is_finite() {
        return None;
    }
    if sampling.temperature <= 0.0 {
        return Token::try_from(likeliest).ok();
    }
    let weight = |place: usize| f64::from((logits[place] - most) / sampling.temperature).exp();
    let all: f64 = (0..logits.len()).map(weight).sum();
    let top_p = f64::from(sampling.top_p.clamp(0.0, 1.0));
    // All tokens below this weight together have less than the share that is left out.
    let least = if top_p < 1.0 { all * (1.0 - top_p) / logits.len() as f64 } else { 0.0 };
    let mut kept: Vec<(usize, f64)> = (0..logits.len())
        .map(|place| (place, weight(place)))
        .filter(|(_, weight)| *weight > 0.0 && *weight >= least)
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
