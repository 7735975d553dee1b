use super::*;
use crate::random::Random;
use crate::reliability::{Judged, expected_calibration_error};

const CLASSES: usize = 4;

/// Logits whose softmax at temperature 1 are the true class probabilities, and a label drawn from them.
fn honest_rows(random: &mut Random, rows: usize) -> (Vec<Vec<f64>>, Vec<usize>) {
    let draw = |random: &mut Random| -> (Vec<f64>, usize) {
        let logits: Vec<f64> = (0..CLASSES).map(|_| 6.0 * random.uniform()).collect();
        let mut left = random.uniform();
        let probabilities = softmax(&logits, 1.0);
        let label = probabilities.iter().position(|probability| {
            left -= probability;
            left < 0.0
        });
        (logits, label.unwrap_or(0))
    };
    (0..rows).map(|_| draw(random)).unzip()
}

fn is_right(logits: &[f64], label: usize) -> bool {
    logits.iter().all(|logit| *logit <= logits[label])
}

/// Scores in [0, 1] that are right with probability score squared: boastful.
fn boastful_scores(random: &mut Random, rows: usize) -> (Vec<f64>, Vec<bool>) {
    let draw = |random: &mut Random| {
        let score = random.uniform();
        (score, random.chance(score * score))
    };
    (0..rows).map(|_| draw(random)).unzip()
}

fn calibration_error(calibrator: &Calibrator, scores: &[f64], right: &[bool]) -> f64 {
    let confidence = |score: f64| calibrator.confidence(Signals { score, ..Signals::default() });
    let judged: Vec<Judged> =
        scores.iter().map(|score| confidence(*score)).zip(right.iter().copied()).collect();
    expected_calibration_error(&judged, 15)
}

#[test]
fn temperature_undoes_a_boast() {
    let mut random = Random::new(1);
    let (mut logits, labels) = honest_rows(&mut random, 4_000);
    logits.iter_mut().flatten().for_each(|logit| *logit *= 3.0);
    let temperature = Temperature::fit(&logits, &labels).expect("rows");
    assert!((temperature.value() - 3.0).abs() < 0.2, "{}", temperature.value());
    let judged: Vec<Judged> = logits
        .iter()
        .zip(&labels)
        .map(|(row, label)| (temperature.confidence(row), is_right(row, *label)))
        .collect();
    assert!(expected_calibration_error(&judged, 15) < 0.03);
}

#[test]
fn a_slope_and_offset_per_class_undo_a_bias_that_temperature_cannot() {
    let mut random = Random::new(2);
    let (mut logits, labels) = honest_rows(&mut random, 4_000);
    logits.iter_mut().for_each(|row| row[1] += 2.0);
    let loss = |probabilities: &dyn Fn(&[f64]) -> Vec<f64>| -> f64 {
        logits.iter().zip(&labels).map(|(row, label)| -probabilities(row)[*label].ln()).sum::<f64>() / 4_000.0
    };
    let temperature = Temperature::fit(&logits, &labels).expect("rows");
    let affine = ClassAffine::fit(&logits, &labels).expect("rows");
    let truth = loss(&|row| softmax(&[row[0], row[1] - 2.0, row[2], row[3]], 1.0));
    assert!(loss(&|row| temperature.apply(row)) > truth + 0.1);
    assert!(loss(&|row| affine.apply(row)) < truth + 0.005);
}

#[test]
fn curves_over_a_score_undo_a_boast() {
    let mut random = Random::new(3);
    let (scores, right) = boastful_scores(&mut random, 5_000);
    let (fresh_scores, fresh_right) = boastful_scores(&mut random, 5_000);
    let fitted = [
        Calibrator::Beta(BetaCalibration::fit(&scores, &right).expect("rows")),
        Calibrator::Platt(Platt::fit(&scores, &right).expect("rows")),
        Calibrator::Isotonic(Isotonic::fit(&scores, &right).expect("rows")),
    ];
    for calibrator in fitted {
        let error = calibration_error(&calibrator, &fresh_scores, &fresh_right);
        assert!(error < 0.05, "{calibrator:?}: {error}");
    }
}

#[test]
fn the_beta_curve_leaves_calibrated_probabilities_alone_and_never_falls() {
    let mut random = Random::new(4);
    let draw = |random: &mut Random| {
        let score = random.uniform();
        (score, random.chance(score))
    };
    let (scores, right): (Vec<f64>, Vec<bool>) = (0..5_000).map(|_| draw(&mut random)).unzip();
    let beta = BetaCalibration::fit(&scores, &right).expect("rows");
    for tenth in 1..10 {
        let score = f64::from(tenth) / 10.0;
        assert!((beta.confidence(score) - score).abs() < 0.03, "{score} became {}", beta.confidence(score));
    }
    let upside_down: Vec<bool> = right.iter().map(|right| !right).collect();
    let flat = BetaCalibration::fit(&scores, &upside_down).expect("rows");
    assert!(flat.confidence(0.9) >= flat.confidence(0.1));
}

#[test]
fn the_head_finds_the_feature_that_tells() {
    let mut random = Random::new(5);
    let draw = |random: &mut Random| {
        let features = [random.uniform(), 1_000.0 * random.uniform(), 7.0];
        let right = random.chance(1.0 / (1.0 + (4.0 - 8.0 * features[0]).exp()));
        (features, right)
    };
    let (features, right): (Vec<[f64; 3]>, Vec<bool>) = (0..4_000).map(|_| draw(&mut random)).unzip();
    let head = RightHead::fit(&features, &right, RightHead::DEFAULT_L2).expect("rows");
    assert!((head.confidence(&[0.75, 500.0, 7.0]) - 0.88).abs() < 0.03);
    assert!((head.confidence(&[0.25, 500.0, 7.0]) - 0.12).abs() < 0.03);
    assert!(head.weights()[1].abs() < 0.15 && head.weights()[2].abs() < 1e-6, "{:?}", head.weights());
    // A constant feature that changes after all, or one far outside what was seen, must not decide.
    assert!((head.confidence(&[0.75, 500.0, 1e30]) - 0.88).abs() < 0.03);
    assert!((head.confidence(&[0.75, 1e30, 7.0]) - 0.88).abs() < 0.1);
}

#[test]
fn what_is_not_finite_gets_confidence_zero() {
    let logits = [vec![1.0, 0.0], vec![0.0, 2.0], vec![3.0, 0.0]];
    let temperature = Temperature::fit(&logits, &[0, 1, 0]).expect("rows");
    let scores = [0.2, 0.7, 0.9];
    let right = [false, true, true];
    let head = |width: usize| {
        let rows: Vec<Vec<f64>> = scores.iter().map(|score| vec![*score; width]).collect();
        RightHead::fit(&rows, &right, 1.0).expect("rows")
    };
    let calibrators = [
        Calibrator::Temperature(temperature),
        Calibrator::ClassAffine(ClassAffine::fit(&logits, &[0, 1, 0]).expect("rows")),
        Calibrator::Platt(Platt::fit(&scores, &right).expect("rows")),
        Calibrator::Beta(BetaCalibration::fit(&scores, &right).expect("rows")),
        Calibrator::Head(head(1)),
        Calibrator::TemperedHead { temperature, head: head(4) },
        Calibrator::Isotonic(Isotonic::fit(&scores, &right).expect("rows")),
    ];
    for calibrator in calibrators {
        let sound = Signals { score: 0.8, logits: &[1.0, 0.0], features: &[0.8], ..Signals::default() };
        let confidence = calibrator.confidence(sound);
        assert!(confidence > 0.0 && confidence <= 1.0, "{calibrator:?} gives {confidence}");
        for broken in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let signals =
                Signals { score: broken, logits: &[broken, 0.0], features: &[broken], ..Signals::default() };
            assert_eq!(calibrator.confidence(signals), 0.0, "{calibrator:?} on {broken}");
        }
        let json = serde_json::to_string(&calibrator).expect("finite numbers");
        let back: Calibrator = serde_json::from_str(&json).expect("what was written");
        assert!((back.confidence(sound) - confidence).abs() < 1e-12, "{json}");
    }
    let nothing = Signals::default();
    assert_eq!(Calibrator::Temperature(temperature).confidence(nothing), 0.0);
    assert_eq!(Calibrator::Head(head(1)).confidence(nothing), 0.0);
}

#[test]
fn one_class_and_separable_rows_still_fit() {
    let scores: Vec<f64> = (0..100).map(f64::from).collect();
    let all_right = Platt::fit(&scores, &[true; 100]).expect("rows");
    assert!(all_right.confidence(50.0) > 0.95);
    let none_right = Platt::fit(&scores, &[false; 100]).expect("rows");
    assert!(none_right.confidence(50.0) < 0.05);
    let separable: Vec<bool> = (0..100).map(|row| row >= 50).collect();
    let split = Platt::fit(&scores, &separable).expect("rows");
    assert!(split.confidence(90.0) > 0.9 && split.confidence(10.0) < 0.1);
    assert!(split.confidence(99.0) < 1.0);
    let same = RightHead::fit(&[[1.0]; 10], &[true; 10], 1.0).expect("rows");
    assert!(same.confidence(&[1.0]) > 0.8);
}

#[test]
fn rows_that_are_not_finite_are_left_out_of_the_fit() {
    let clean = Platt::fit(&[0.1, 0.4, 0.9], &[false, true, true]).expect("rows");
    let dirty = Platt::fit(&[0.1, f64::NAN, 0.4, 0.9], &[false, false, true, true]).expect("rows");
    assert_eq!(clean, dirty);
}

#[test]
fn what_can_t_be_fitted_says_why() {
    let no_rows: [Vec<f64>; 0] = [];
    assert_eq!(Temperature::fit(&no_rows, &[]), Err(FitError::NoRows { given: 0 }));
    assert_eq!(Platt::fit(&[f64::NAN], &[true]), Err(FitError::NoRows { given: 1 }));
    assert_eq!(Platt::fit(&[0.5], &[]), Err(FitError::LengthsDiffer { inputs: 1, outcomes: 0 }));
    let ragged = RightHead::fit(&[vec![1.0, 2.0], vec![1.0]], &[true, false], 1.0);
    assert_eq!(ragged, Err(FitError::RaggedRow { row: 1, found: 1, expected: 2 }));
    let beyond = Temperature::fit(&[[0.0, 1.0]], &[2]);
    assert_eq!(beyond, Err(FitError::NoSuchClass { row: 0, label: 2, classes: 2 }));
}

#[test]
fn isotonic_pools_what_falls() {
    let isotonic = Isotonic::fit(&[1.0, 2.0, 3.0, 4.0], &[false, true, false, true]).expect("rows");
    let shown: Vec<f64> = [0.0, 1.0, 2.0, 3.5, 4.0].iter().map(|score| isotonic.confidence(*score)).collect();
    assert_eq!(shown, [0.0, 0.0, 0.5, 0.5, 1.0]);
    let tied = Isotonic::fit(&[1.0, 1.0, 1.0, 1.0], &[true, false, true, true]).expect("rows");
    assert_eq!(tied.confidence(1.0), 0.75);
}

#[test]
fn rejecting_finds_what_is_out_of_scope_and_keeps_the_floor() {
    let row = |score, out_of_scope, right| ScopeRow { score, out_of_scope, right };
    let rows = [
        row(0.9, false, true),
        row(0.8, false, true),
        row(0.7, true, false),
        row(0.6, false, true),
        row(0.5, true, false),
        row(0.4, false, false),
        row(f64::NAN, true, false),
    ];
    let strict = RejectThreshold::fit(&rows, 0.75).expect("rows in scope");
    assert_eq!(
        strict,
        RejectThreshold { score: 0.5, in_scope_accuracy: 0.75, out_of_scope_recall: 2.0 / 3.0 }
    );
    assert!(strict.rejects(0.5) && !strict.rejects(0.6) && strict.rejects(f64::NAN));
    assert_eq!(RejectThreshold::fit(&rows, 0.5).expect("rows in scope").out_of_scope_recall, 1.0);
    // A floor that the labels themselves do not reach: reject nothing.
    assert_eq!(RejectThreshold::fit(&rows, 0.9).expect("rows in scope").score, f64::MIN);
    assert!(RejectThreshold::fit(&rows[2..3], 0.9).is_err());
}
