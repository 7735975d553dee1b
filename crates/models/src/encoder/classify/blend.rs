//! How do the head over the encoder and the linear model speak with one voice? Each label's logit is a weighted sum of
//! what both say of it, with four weights in all, fitted on rows that neither had seen: too few to learn them by heart.

use serde::{Deserialize, Serialize};

use super::super::finetune::Objective;
use super::lbfgs::{Limits, minimise};

/// The weights of a label's logit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blend {
    /// Of the head's output.
    pub head: f32,
    /// Of the linear model's log-probability (of its log-odds, where labels stand for themselves).
    pub linear: f32,
    /// Of the distance to the nearest training rows: for the label out of scope alone.
    pub distance: f32,
    /// Added: for the label out of scope alone, or for every label where they stand for themselves.
    pub offset: f32,
}

/// What is known of one text.
#[derive(Clone, Copy)]
pub struct Voices<'a> {
    /// The head's outputs, one a label.
    pub outputs: &'a [f32],
    /// The linear model's log-probabilities, one a label.
    pub linear: &'a [f32],
    /// One less the similarity to the nearest training rows in scope, 0 to 2.
    pub distance: f32,
}

/// How labels relate, and which one means "none of the others".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scheme {
    /// How labels relate.
    pub objective: Objective,
    /// The label that means "none of the others".
    pub out_of_scope: Option<u32>,
}

/// Pull towards the start, for a row: decides where rows say nothing.
const RIDGE: f32 = 1e-3;
/// A log-probability below this says no more than this.
const LEAST_LOG: f32 = -15.0;
/// What a unit of distance counts for where no row out of scope shows it.
const DISTANCE_UNSHOWN: f32 = 10.0;

impl Blend {
    /// Both voices as they are.
    const START: Self = Self { head: 1.0, linear: 0.5, distance: 0.0, offset: 0.0 };

    /// Fitted on rows that neither the head nor the linear model had seen: the right labels are likeliest under it. Where
    /// a label means "none of the others", it is then raised or lowered until it takes the share `in_scope_loss` of the
    /// right answers from the others: nobody knows how many texts out of scope will come, so their share among the rows
    /// says nothing.
    pub fn fit(scheme: Scheme, rows: &[(Voices<'_>, &[u32], f32)], in_scope_loss: f32) -> Self {
        let shown = |(_, targets, _): &(Voices<'_>, &[u32], f32)| {
            scheme.out_of_scope.is_some_and(|label| *targets == [label])
        };
        let is_shown = rows.iter().any(shown);
        let unshown = scheme.out_of_scope.is_some() && !is_shown;
        let start = Self { distance: if unshown { DISTANCE_UNSHOWN } else { 0.0 }, ..Self::START };
        let free = [true, true, is_shown, is_shown || scheme.objective == Objective::SeveralLabels];
        let mut blend = start.likeliest(scheme, rows, free);
        if let Some(label) = scheme.out_of_scope {
            blend.offset += blend.room(scheme, rows, label, in_scope_loss);
        }
        blend
    }

    /// Each label's logit.
    pub fn logits(&self, scheme: Scheme, voices: Voices<'_>, logits: &mut Vec<f32>) {
        logits.clear();
        for label in 0..voices.outputs.len() {
            let terms = terms(scheme, voices, label);
            logits.push(terms.iter().zip(self.weights()).map(|(term, weight)| term * weight).sum());
        }
    }

    fn likeliest(self, scheme: Scheme, rows: &[(Voices<'_>, &[u32], f32)], free: [bool; 4]) -> Self {
        let total: f32 = rows.iter().map(|(.., weight)| weight).sum();
        if total <= 0.0 {
            return self;
        }
        let start = self.weights();
        let value = |at: &[f32], gradient: &mut Vec<f32>| -> f64 {
            let blend = Self::of(at);
            let mut logits = Vec::new();
            gradient.clear();
            gradient.extend((0..4).map(|term| RIDGE * (at[term] - start[term])));
            let mut value: f64 =
                (0..4).map(|term| f64::from(RIDGE / 2.0 * (at[term] - start[term]).powi(2))).sum();
            for (voices, targets, weight) in rows {
                blend.logits(scheme, *voices, &mut logits);
                value += scheme.objective.of_row(&mut logits, targets, weight / total);
                for (label, to_logit) in logits.iter().enumerate() {
                    let terms = terms(scheme, *voices, label);
                    gradient.iter_mut().zip(terms).for_each(|(g, term)| *g += to_logit * term);
                }
            }
            gradient.iter_mut().zip(free).filter(|(_, free)| !free).for_each(|(g, _)| *g = 0.0);
            value
        };
        let limits = Limits { steps: 60, tolerance: 1e-6 };
        minimise(start.to_vec(), limits, &|| true, &value).map_or(self, |found| Self::of(&found))
    }

    /// By how much the label out of scope can be raised so that it takes just this share of the right answers.
    fn room(
        &self,
        scheme: Scheme,
        rows: &[(Voices<'_>, &[u32], f32)],
        out_of_scope: u32,
        in_scope_loss: f32,
    ) -> f32 {
        let mut logits = Vec::new();
        let mut leads = Vec::new();
        for (voices, targets, _) in rows {
            self.logits(scheme, *voices, &mut logits);
            let outside = std::mem::replace(&mut logits[out_of_scope as usize], f32::NEG_INFINITY);
            let best = likeliest(&logits);
            if *targets == [best as u32] {
                leads.push(logits[best] - outside);
            }
        }
        leads.sort_by(f32::total_cmp);
        leads.get((f64::from(in_scope_loss) * leads.len() as f64) as usize).copied().unwrap_or(0.0)
    }

    fn weights(&self) -> [f32; 4] {
        [self.head, self.linear, self.distance, self.offset]
    }

    fn of(weights: &[f32]) -> Self {
        Self { head: weights[0], linear: weights[1], distance: weights[2], offset: weights[3] }
    }
}

/// What a label's logit is summed from.
fn terms(scheme: Scheme, voices: Voices<'_>, label: usize) -> [f32; 4] {
    let log = voices.linear[label].max(LEAST_LOG);
    match scheme.objective {
        Objective::OneLabel => {
            let outside = f32::from(scheme.out_of_scope == Some(label as u32));
            [voices.outputs[label], log, outside * voices.distance, outside]
        }
        Objective::SeveralLabels => {
            let against = (-log.exp()).ln_1p().max(LEAST_LOG);
            [voices.outputs[label], log - against, 0.0, 1.0]
        }
    }
}

/// The first index of the largest number.
pub fn likeliest(numbers: &[f32]) -> usize {
    (1..numbers.len()).fold(0, |best, at| if numbers[at] > numbers[best] { at } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Scheme = Scheme { objective: Objective::OneLabel, out_of_scope: None };

    /// Rows of three labels on which one voice is right and the other says nothing.
    fn fit(right_is_linear: bool) -> Blend {
        let rows: Vec<(Vec<f32>, Vec<f32>, Vec<u32>)> = (0..60_u32)
            .map(|row| {
                let said = if row % 10 == 0 { (row + 1) % 3 } else { row % 3 };
                let right: Vec<f32> = (0..3).map(|label| if label == said { 0.0 } else { -3.0 }).collect();
                let empty = vec![-1.1; 3];
                let (outputs, linear) = if right_is_linear { (empty, right) } else { (right, empty) };
                (outputs, linear, vec![row % 3])
            })
            .collect();
        let rows: Vec<(Voices<'_>, &[u32], f32)> = rows
            .iter()
            .map(|(outputs, linear, target)| {
                (Voices { outputs, linear, distance: 0.0 }, target.as_slice(), 1.0)
            })
            .collect();
        Blend::fit(ONE, &rows, 0.0)
    }

    #[test]
    fn a_voice_that_is_right_nine_times_in_ten_is_made_to_say_so() {
        // Of three labels, one that leads by 2.89 has nine tenths.
        for blend in [fit(true).linear, fit(false).head] {
            assert!((3.0 * blend - 2.89).abs() < 0.1, "{blend}");
        }
    }

    #[test]
    fn out_of_scope_takes_just_the_share_of_right_answers_that_may_be_given_up() {
        let scheme = Scheme { out_of_scope: Some(2), ..ONE };
        let outputs: Vec<[f32; 3]> = (0..100).map(|row| [1.0 + row as f32 / 100.0, 0.0, 0.0]).collect();
        let linear = [-1.1; 3];
        let rows: Vec<(Voices<'_>, &[u32], f32)> = outputs
            .iter()
            .map(|outputs| (Voices { outputs, linear: &linear, distance: 0.3 }, &[0_u32][..], 1.0))
            .collect();
        let blend = Blend::fit(scheme, &rows, 0.1);
        let refused = outputs.iter().filter(|outputs| {
            let mut logits = Vec::new();
            blend.logits(
                scheme,
                Voices { outputs: &outputs[..], linear: &linear, distance: 0.3 },
                &mut logits,
            );
            likeliest(&logits) == 2
        });
        let refused = refused.count();
        assert!((9..=11).contains(&refused), "{refused} of 100 refused");
    }

    #[test]
    fn without_rows_both_voices_are_taken_as_they_are() {
        assert_eq!(Blend::fit(ONE, &[], 0.0), Blend::START);
    }
}
