//! What is made small: how surprised the head is by the right labels.

use super::activation::exp;

/// How labels relate to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// Each text has one label: cross-entropy of a softmax.
    OneLabel,
    /// Each label stands for itself: the sum of their logistic losses.
    SeveralLabels,
}

impl Objective {
    /// Whether the outputs, taken by themselves, name the right labels.
    pub fn is_right(self, outputs: &[f32], targets: &[u32]) -> bool {
        match self {
            Self::OneLabel => {
                let best = (1..outputs.len())
                    .fold(0, |best, at| if outputs[at] > outputs[best] { at } else { best });
                targets == [best as u32]
            }
            Self::SeveralLabels => {
                (0..).zip(outputs).all(|(label, x)| (*x > 0.0) == targets.contains(&label))
            }
        }
    }

    /// The weighted loss of one row, in nats; its gradient takes the place of the outputs.
    pub fn of_row(self, outputs: &mut [f32], targets: &[u32], weight: f32) -> f64 {
        match self {
            Self::OneLabel => one_label(outputs, targets, weight),
            Self::SeveralLabels => several_labels(outputs, targets, weight),
        }
    }
}

fn one_label(outputs: &mut [f32], targets: &[u32], weight: f32) -> f64 {
    let Some(target) = targets.first().map(|target| *target as usize) else {
        outputs.fill(0.0);
        return 0.0;
    };
    let most = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let lead = most - outputs[target];
    outputs.iter_mut().for_each(|x| *x = exp(*x - most));
    let sum = outputs.iter().sum::<f32>();
    outputs.iter_mut().for_each(|x| *x *= weight / sum);
    outputs[target] -= weight;
    f64::from(weight) * f64::from(sum.ln() + lead)
}

fn several_labels(outputs: &mut [f32], targets: &[u32], weight: f32) -> f64 {
    let mut loss = 0.0;
    for (label, output) in (0..).zip(outputs) {
        let carried = f32::from(targets.contains(&label));
        // ln(1 + e^x) - carried x, without overflow.
        loss += f64::from(output.max(0.0) + exp(-output.abs()).ln_1p() - carried * *output);
        let probability =
            if *output >= 0.0 { (1.0 + exp(-*output)).recip() } else { exp(*output) / (1.0 + exp(*output)) };
        *output = weight * (probability - carried);
    }
    f64::from(weight) * loss
}
