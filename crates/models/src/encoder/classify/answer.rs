//! From what head, linear model and neighbours say to an answer, with what the confidence head reads.

use sprat_task::{Answer, Features, Label, Prediction, Score};

use super::super::finetune::Objective;
use super::blend::{Blend, Scheme, Voices, likeliest};
use super::neighbours::Near;
use crate::linear::Signals;

/// Raised whenever the features below, or the scores behind them, change.
pub const SCORER_VERSION: u32 = 1;

/// What the confidence head reads.
pub const FEATURES: [&str; 10] = [
    "log_odds",
    "margin",
    "entropy",
    "head_log_odds",
    "linear_log_odds",
    "best_output",
    "similarity",
    "agreement",
    "unknown_words",
    "log_words",
];

/// How many alternatives a prediction lists.
const ALTERNATIVES: usize = 5;

/// How answers are made of what is said.
pub struct Answering<'a> {
    /// The labels, in the order of every output.
    pub labels: &'a [Label],
    /// How they relate.
    pub scheme: Scheme,
    /// Whether a text without a label would be wrong.
    pub at_least_one: bool,
    /// What each voice weighs.
    pub blend: Blend,
}

/// What is known of one text.
pub struct Known<'a> {
    /// The head's outputs, one a label.
    pub outputs: &'a [f32],
    /// The linear model's log-probabilities, one a label.
    pub linear: &'a [f32],
    /// How well the linear model knows the words.
    pub signals: Signals,
    /// What the nearest training rows say.
    pub near: &'a Near,
}

impl<'a> Known<'a> {
    /// As the blend hears it.
    pub fn voices(&self) -> Voices<'a> {
        Voices { outputs: self.outputs, linear: self.linear, distance: 1.0 - self.near.similarity }
    }
}

impl Answering<'_> {
    /// The answer to one text.
    pub fn answer(&self, known: &Known<'_>) -> Prediction {
        let mut logits = Vec::new();
        self.blend.logits(self.scheme, known.voices(), &mut logits);
        match self.scheme.objective {
            Objective::OneLabel => self.one_label(known, &logits),
            Objective::SeveralLabels => self.several_labels(known, &logits),
        }
    }

    fn one_label(&self, known: &Known<'_>, logits: &[f32]) -> Prediction {
        let probabilities = softmax(logits);
        let chosen = likeliest(&probabilities);
        let of = |probabilities: &[f32]| log_odds(probabilities.get(chosen).copied().unwrap_or(0.0));
        let second = (0..probabilities.len()).filter(|label| *label != chosen);
        let second = second.map(|label| probabilities[label]).fold(0.0, f32::max);
        let linear: Vec<f32> = known.linear.iter().map(|log| log.exp()).collect();
        let features = [
            of(&probabilities),
            probabilities[chosen] - second,
            probabilities.iter().map(|p| surprise(*p)).sum(),
            of(&softmax(known.outputs)),
            of(&linear),
            known.outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            known.near.similarity,
            known.near.agreement(|label| label as usize == chosen),
            known.signals.unknown_words,
            (known.signals.words as f32).ln_1p(),
        ];
        Prediction {
            answer: Answer::Label(self.labels[chosen].clone()),
            score: Score(probabilities[chosen]),
            features: Features(features.to_vec()),
            alternatives: self.alternatives(&probabilities),
        }
    }

    fn several_labels(&self, known: &Known<'_>, logits: &[f32]) -> Prediction {
        let probabilities: Vec<f32> = logits.iter().map(|logit| sigmoid(*logit)).collect();
        let mut given: Vec<bool> = probabilities.iter().map(|p| *p > 0.5).collect();
        if self.at_least_one && !given.contains(&true) {
            given[likeliest(&probabilities)] = true;
        }
        let of_set = |probability: &dyn Fn(usize) -> f32| -> f32 {
            let all = given.iter().enumerate();
            all.map(|(label, given)| if *given { probability(label) } else { 1.0 - probability(label) })
                .product()
        };
        let whole = of_set(&|label| probabilities[label]);
        let labels = probabilities.len() as f32;
        let entropy: f32 = probabilities.iter().map(|p| surprise(*p) + surprise(1.0 - p)).sum();
        let features = [
            log_odds(whole),
            probabilities.iter().map(|p| (p - 0.5).abs()).fold(1.0, f32::min),
            entropy / labels,
            log_odds(of_set(&|label| sigmoid(known.outputs[label]))),
            log_odds(of_set(&|label| known.linear[label].exp())),
            known.outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            known.near.similarity,
            known.near.agreement(|label| given.get(label as usize) == Some(&true)),
            known.signals.unknown_words,
            (known.signals.words as f32).ln_1p(),
        ];
        let chosen = self.labels.iter().zip(&given).filter(|(_, given)| **given);
        Prediction {
            answer: Answer::labels(chosen.map(|(label, _)| label.clone())),
            score: Score(whole),
            features: Features(features.to_vec()),
            alternatives: self.alternatives(&probabilities),
        }
    }

    /// The likeliest labels, each with its log-probability.
    fn alternatives(&self, probabilities: &[f32]) -> Vec<(Label, Score)> {
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
        let best = order.into_iter().take(ALTERNATIVES);
        best.map(|label| (self.labels[label].clone(), Score(probabilities[label].max(1e-30).ln()))).collect()
    }
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shares: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f32 = shares.iter().sum();
    shares.into_iter().map(|share| share / sum).collect()
}

fn sigmoid(x: f32) -> f32 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

fn log_odds(probability: f32) -> f32 {
    // Beyond these ends a float's logarithm says more about the float than about the text.
    let probability = probability.clamp(1e-6, 1.0 - 1e-6);
    (probability / (1.0 - probability)).ln()
}

fn surprise(probability: f32) -> f32 {
    if probability > 0.0 { -probability * probability.ln() } else { 0.0 }
}
