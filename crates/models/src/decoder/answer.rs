//! From the labels' likelihoods to an answer, with what the confidence head reads.

use sprat_engine::protocol::Scored;
use sprat_task::{Answer, Features, Label, Prediction, Score};

/// Raised whenever the features below, or the scores behind them, change.
pub const SCORER_VERSION: u32 = 1;

/// What the confidence head reads.
pub const FEATURES: [&str; 5] = ["log_odds", "margin", "entropy", "log_likelihood_per_token", "log_tokens"];

/// How many alternatives a prediction lists.
const ALTERNATIVES: usize = 5;

/// Each label's log-likelihood a token: long labels are not worse for being long.
pub fn per_token(scored: &Scored) -> Vec<f32> {
    scored
        .log_likelihoods
        .iter()
        .zip(&scored.tokens)
        .map(|(sum, tokens)| sum / (*tokens).max(1) as f32)
        .collect()
}

/// The answer to one text. `means`: what each label scores on the average, which says more about the label than about any
/// text and is taken away (batch calibration, Zhou et al. 2023).
pub fn answer(labels: &[Label], means: &[f32], scored: &Scored) -> Prediction {
    let raw = per_token(scored);
    let probabilities = probabilities(&raw, means);
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
    let (best, second) = (order[0], order.get(1));
    let margin = probabilities[best] - second.map_or(0.0, |second| probabilities[*second]);
    let entropy: f32 = probabilities.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
    let clamped = probabilities[best].clamp(1e-6, 1.0 - 1e-6);
    let features =
        vec![(clamped / (1.0 - clamped)).ln(), margin, entropy, raw[best], (scored.read as f32).ln_1p()];
    let alternatives = order
        .iter()
        .take(ALTERNATIVES)
        .map(|label| (labels[*label].clone(), Score(probabilities[*label].max(1e-30).ln())));
    Prediction {
        answer: Answer::Label(labels[best].clone()),
        score: Score(probabilities[best]),
        features: Features(features),
        alternatives: alternatives.collect(),
    }
}

/// How likely each label is, by its log-likelihood a token and what it scores on the average.
pub fn probabilities(per_token: &[f32], means: &[f32]) -> Vec<f32> {
    let logits: Vec<f32> = per_token.iter().zip(means).map(|(score, mean)| score - mean).collect();
    softmax(&logits)
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shares: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f32 = shares.iter().sum();
    shares.into_iter().map(|share| share / sum).collect()
}
