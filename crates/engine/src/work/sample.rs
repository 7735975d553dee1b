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

/// Draws a token, with its log-probability under the model itself, in nats. `None` where the logits are no numbers.
pub fn draw(logits: &[f32], sampling: &Sampling, random: &mut fastrand::Rng) -> Option<(Token, f32)> {
    let log_sum = log_sum(logits)?;
    let told = |place: usize| Some((Token::try_from(place).ok()?, logits[place] - log_sum));
    let likeliest = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]).then(b.cmp(a)))?;
    if sampling.temperature <= 0.0 {
        return told(likeliest);
    }
    let most = logits[likeliest];
    let weight = |place: usize| f64::from((logits[place] - most) / sampling.temperature).exp();
    let all: f64 = (0..logits.len()).map(weight).sum();
    let top_p = f64::from(sampling.top_p.clamp(0.0, 1.0));
    // All tokens below this weight together have less than the share that is left out.
    let least = if top_p < 1.0 { all * (1.0 - top_p) / logits.len() as f64 } else { 0.0 };
    let mut kept: Vec<(usize, f64)> = (0..logits.len())
        .map(|place| (place, weight(place)))
        .filter(|(_, weight)| *weight >= least)
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
            return told(*place);
        }
    }
    told(kept.last().map_or(likeliest, |(place, _)| *place))
}
