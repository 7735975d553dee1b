//! What do scores mean? From one score a head to a probability a label, and the signals that go with it.

/// What the confidence head reads: how sure the model sounds, and how well it knows the words. None of them is
/// a confidence yet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Signals {
    /// Probability of the likeliest label; of several labels, of the set chosen.
    pub max_probability: f32,
    /// Probability of the likeliest label less that of the second; of several labels, the smallest distance of a
    /// label's probability from its threshold.
    pub margin: f32,
    /// Entropy of the labels in nats; of several labels, the mean over labels.
    pub entropy: f32,
    /// Score of the best label on its own, against all the rest: below 0, no label claims the text.
    pub best_score: f32,
    /// Log-odds of the likeliest other label against "out of scope"; `None` where no label means that. The best
    /// single sign that a text is out of scope.
    pub in_scope: Option<f32>,
    /// Share of the words that training never saw, 0 to 1; 1 for a text without words.
    pub unknown_words: f32,
    /// Number of words.
    pub words: u32,
}

/// How scores become probabilities.
#[derive(Clone, Copy)]
pub(super) struct Meaning<'a> {
    pub(super) several: bool,
    /// Whether a text without a label would be wrong.
    pub(super) at_least_one: bool,
    pub(super) out_of_scope: Option<u32>,
    /// Slope and offset of each head, interleaved.
    pub(super) calibration: &'a [f32],
    /// Least probability that gives the label, where a text may carry several.
    pub(super) thresholds: &'a [f32],
}

impl Meaning<'_> {
    /// Fills `log_probabilities`, one for each label, and gives the signals that come from scores.
    pub(super) fn interpret(&self, scores: &[f32], log_probabilities: &mut Vec<f32>) -> Signals {
        let logits =
            scores.iter().zip(self.calibration.chunks_exact(2)).map(|(score, c)| c[0] * score + c[1]);
        log_probabilities.clear();
        if self.several {
            log_probabilities.extend(logits.map(log_sigmoid));
            return Signals { best_score: largest(scores), ..self.several(log_probabilities) };
        }
        log_probabilities.extend(logits);
        let best_score = match scores {
            [] => 0.0,
            [score] => score.abs(),
            _ => largest(scores),
        };
        match log_probabilities[..] {
            [] => log_probabilities.push(0.0),
            // Two labels share one head, which asks for the second.
            [logit] => {
                log_probabilities[0] = log_sigmoid(-logit);
                log_probabilities.push(log_sigmoid(logit));
            }
            _ => {
                let normaliser = log_sum_exp(log_probabilities);
                log_probabilities.iter_mut().for_each(|logit| *logit -= normaliser);
            }
        }
        let in_scope = self.out_of_scope.map(|label| lead_over(label as usize, log_probabilities));
        Signals { best_score, in_scope, ..one_of(log_probabilities) }
    }

    /// The labels a text is given: the likeliest one, or every one that reaches its threshold (none, where a text may
    /// carry none).
    pub(super) fn choose(&self, log_probabilities: &[f32]) -> Vec<u32> {
        if !self.several {
            return vec![likeliest(log_probabilities) as u32];
        }
        let likeliest = self.at_least_one.then(|| likeliest(log_probabilities));
        let reached = log_probabilities.iter().zip(self.thresholds).enumerate();
        let mut chosen: Vec<u32> =
            reached.filter(|(_, (log, least))| log.exp() >= **least).map(|(label, _)| label as u32).collect();
        if chosen.is_empty() {
            chosen.extend(likeliest.map(|label| label as u32));
        }
        chosen
    }

    fn several(&self, log_probabilities: &[f32]) -> Signals {
        let mut signals = Signals { max_probability: 1.0, margin: 1.0, ..Signals::default() };
        let chosen = self.choose(log_probabilities);
        for (label, (log, least)) in (0..).zip(log_probabilities.iter().zip(self.thresholds)) {
            let probability = log.exp();
            let given = chosen.binary_search(&label).is_ok();
            signals.max_probability *= if given { probability } else { 1.0 - probability };
            signals.margin = signals.margin.min((probability - least).abs());
            signals.entropy += surprise(probability) + surprise(1.0 - probability);
        }
        signals.entropy /= log_probabilities.len().max(1) as f32;
        signals
    }
}

/// By how much the likeliest other label is likelier than this one; 0 where there is no other.
fn lead_over(label: usize, log_probabilities: &[f32]) -> f32 {
    let others = log_probabilities.iter().enumerate().filter(|(other, _)| *other != label);
    let best = others.map(|(_, log)| *log).reduce(f32::max);
    best.map_or(0.0, |best| best - log_probabilities[label])
}

fn one_of(log_probabilities: &[f32]) -> Signals {
    let (mut first, mut second, mut entropy) = (0.0_f32, 0.0_f32, 0.0);
    for &log in log_probabilities {
        let probability = log.exp();
        // A probability of zero has a logarithm too small to multiply.
        entropy -= if probability > 0.0 { probability * log } else { 0.0 };
        second = second.max(probability.min(first));
        first = first.max(probability);
    }
    Signals { max_probability: first, margin: first - second, entropy, ..Signals::default() }
}

/// The first index of the largest number.
pub(super) fn likeliest(numbers: &[f32]) -> usize {
    (1..numbers.len()).fold(0, |best, at| if numbers[at] > numbers[best] { at } else { best })
}

/// `ln(sum(e^x))` without overflow.
pub(super) fn log_sum_exp(logits: &[f32]) -> f32 {
    let most = largest(logits);
    most + logits.iter().map(|logit| (logit - most).exp()).sum::<f32>().ln()
}

/// `ln(1 / (1 + e^-x))` without overflow.
pub(super) fn log_sigmoid(x: f32) -> f32 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

fn surprise(probability: f32) -> f32 {
    if probability > 0.0 { -probability * probability.ln() } else { 0.0 }
}
