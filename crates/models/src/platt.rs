//! Which probability does a model's own stand for? Fitted on rows the model has not seen.

/// Beyond these ends a probability's logarithm says more about the number than about the text.
pub(crate) const ENDS: (f64, f64) = (1e-6, 1.0 - 1e-6);
/// Newton's method on a convex function of two numbers.
const STEPS: usize = 30;
/// How strongly slope and offset are held to 1 and 0, in rows: few rows say little.
const PULL: f64 = 2.0;

/// Slope and offset from a model's log-odds to those that its answers have (Platt 1999), given what it said and whether it
/// was right.
pub(crate) fn fit(said: &[(f64, bool)]) -> (f64, f64) {
    let (mut slope, mut offset) = (1.0, 0.0);
    for _ in 0..STEPS {
        let (mut by_slope, mut by_offset) = (PULL * (slope - 1.0), PULL * offset);
        let (mut slopes, mut mixed, mut offsets) = (PULL, 0.0, PULL);
        for (log_odds, right) in said {
            let probability = sigmoid(slope * log_odds + offset);
            let error = probability - f64::from(u8::from(*right));
            let curvature = probability * (1.0 - probability);
            by_slope += error * log_odds;
            by_offset += error;
            slopes += curvature * log_odds * log_odds;
            mixed += curvature * log_odds;
            offsets += curvature;
        }
        let determinant = (slopes * offsets - mixed * mixed).max(1e-12);
        let step = (
            (offsets * by_slope - mixed * by_offset) / determinant,
            (slopes * by_offset - mixed * by_slope) / determinant,
        );
        slope -= step.0.clamp(-0.5, 0.5);
        offset -= step.1.clamp(-1.0, 1.0);
        if step.0.abs() + step.1.abs() < 1e-6 {
            break;
        }
    }
    // A surer model is never taken for a less sure one.
    (slope.max(0.0), offset)
}

/// The calibrated probability.
pub(crate) fn apply((slope, offset): (f64, f64), probability: f64) -> f64 {
    sigmoid(slope * log_odds(probability) + offset)
}

pub(crate) fn log_odds(probability: f64) -> f64 {
    let probability = probability.clamp(ENDS.0, ENDS.1);
    (probability / (1.0 - probability)).ln()
}

fn sigmoid(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_too_sure_is_believed_less_and_a_fair_one_as_it_is() {
        let said = |claimed: f64, right: usize| {
            (0..1000).map(move |row| (log_odds(claimed), row < right)).collect::<Vec<_>>()
        };
        let boastful = fit(&[said(0.99, 900), said(0.5, 500)].concat());
        assert!((apply(boastful, 0.99) - 0.9).abs() < 0.01, "{boastful:?}");
        let fair = fit(&[said(0.9, 900), said(0.5, 500), said(0.2, 200)].concat());
        assert!((apply(fair, 0.7) - 0.7).abs() < 0.01, "{fair:?}");
        assert_eq!(fit(&[]), (1.0, 0.0));
    }
}
