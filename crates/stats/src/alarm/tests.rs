use super::*;

/// The history of the guarantee's table: r0 5%, 1,000 audits at 3.5%.
fn slip_to(risk_after: f64) -> Slip {
    Slip { baseline: 0.05, audits_before: 1_000, risk_before: 0.035, risk_after, slices: 1 }
}

/// Audits until a threshold is reached, while the risk stays as it is; `most` where that never happens.
fn run_length(random: &mut Random, baseline: f64, risk: f64, threshold: f64, most: u64) -> u64 {
    let mut alarm = Alarm::new(baseline).expect("a baseline");
    let reached = |_: &u64| {
        alarm.observe(random.chance(risk));
        alarm.evidence() >= threshold
    };
    (1..=most).find(reached).unwrap_or(most)
}

#[test]
fn the_formulas_are_the_guarantees() {
    let mut alarm = Alarm::new(0.05).expect("a baseline");
    alarm.observe(true);
    // (0 + 1) x p / r0, and p / r0 is the multiple itself.
    assert!((alarm.evidence() - (1.3 + 1.6 + 2.0 + 3.0 + 5.0) / 5.0).abs() < 1e-12);
    alarm.observe(false);
    let expected =
        MULTIPLES.map(|multiple| (multiple + 1.0) * (1.0 - multiple * 0.05) / 0.95).iter().sum::<f64>() / 5.0;
    assert!((alarm.evidence() - expected).abs() < 1e-12);
    assert_eq!((alarm.audits(), alarm.bad()), (2, 1));
}

#[test]
fn medians_to_the_alarm_are_within_a_fifth_of_the_guarantee() {
    for (risk, expected) in [(0.075, 693.0), (0.10, 259.0), (0.15, 83.0)] {
        let median = median_audits_to_alarm(slip_to(risk)).expect("a baseline").expect("it fires") as f64;
        assert!((median / expected - 1.0).abs() < 0.2, "to {risk}: {median}, not {expected}");
    }
}

#[test]
fn false_alarms_are_as_rare_as_stated() {
    let mut random = Random::new(6);
    for (risk, most) in [(0.035, 0.003), (0.05, 0.034)] {
        let runs = 3_000;
        let fired = (0..runs)
            .filter(|_| run_length(&mut random, 0.05, risk, ALARM_AT, 1_501) <= 1_500)
            .count() as f64;
        let error = (most * (1.0 - most) / f64::from(runs)).sqrt();
        assert!(fired / f64::from(runs) <= most + 3.0 * error, "{fired} of {runs} at {risk}");
    }
}

/// Run lengths to the warning, whose threshold is lower, so that no run has to be cut off.
#[test]
fn the_mean_run_length_at_the_baseline_is_at_least_the_threshold() {
    let mut random = Random::new(7);
    let lengths: Vec<f64> =
        (0..400).map(|_| run_length(&mut random, 0.05, 0.05, WARN_AT, u64::MAX) as f64).collect();
    let mean = lengths.iter().sum::<f64>() / 400.0;
    let deviation = (lengths.iter().map(|length| (length - mean).powi(2)).sum::<f64>() / 399.0).sqrt();
    assert!(mean >= WARN_AT - 3.0 * deviation / 20.0, "mean {mean}, deviation {deviation}");
}

#[test]
fn the_mean_run_length_to_an_alarm_is_at_least_its_threshold() {
    let mut random = Random::new(8);
    let lengths: Vec<f64> =
        (0..400).map(|_| run_length(&mut random, 0.05, 0.05, ALARM_AT, u64::MAX) as f64).collect();
    let mean = lengths.iter().sum::<f64>() / 400.0;
    let deviation = (lengths.iter().map(|length| (length - mean).powi(2)).sum::<f64>() / 399.0).sqrt();
    assert!(mean >= ALARM_AT - 3.0 * deviation / 20.0, "mean {mean}, deviation {deviation}");
}

/// The large model is right 60% of the time, the small one 97%: they disagree often, and that is in order.
#[test]
fn a_large_model_that_is_often_wrong_does_not_alarm_a_small_one_that_is_right() {
    let disagreement = 0.6 * 0.03 + 0.4 * 0.97;
    let mut random = Random::new(9);
    let mut fired = 0;
    for _ in 0..300 {
        let differing = (0..200).filter(|_| random.chance(disagreement)).count() as u64;
        let baseline = agreement_baseline(differing, 200);
        fired += u32::from(run_length(&mut random, baseline, disagreement, ALARM_AT, 3_001) <= 3_000);
    }
    assert!(fired <= 6, "{fired} of 300 histories alarmed");
}

#[test]
fn a_baseline_near_its_cap_stays_finite_and_fires() {
    let baseline = agreement_baseline(195, 200);
    assert!(baseline > 0.98 && baseline < 1.0);
    for baseline in [baseline, 0.9] {
        let mut alarm = Alarm::new(baseline).expect("a baseline");
        let fired = (1..5_000).find(|_| {
            alarm.observe(true);
            assert!(alarm.evidence().is_finite());
            alarm.level(1) == AlarmLevel::Alarm
        });
        assert!(fired.is_some(), "baseline {baseline}");
    }
    let mut alarm = Alarm::new(0.01).expect("a baseline");
    (0..100_000).for_each(|_| alarm.observe(true));
    assert!(alarm.evidence().is_finite());
}

#[test]
fn more_slices_raise_the_thresholds() {
    let mut alarm = Alarm::new(0.05).expect("a baseline");
    let mut levels = Vec::new();
    for _ in 0..12 {
        alarm.observe(true);
        levels.push((alarm.level(1), alarm.level(10)));
    }
    assert!(levels.contains(&(AlarmLevel::Warning, AlarmLevel::Quiet)), "{levels:?}");
    assert!(levels.contains(&(AlarmLevel::Alarm, AlarmLevel::Warning)), "{levels:?}");
    assert_eq!(thresholds(0), thresholds(1));
}

#[test]
fn stored_state_carries_on_where_it_was() {
    let mut alarm = Alarm::new(0.05).expect("a baseline");
    (0..20).for_each(|audit| alarm.observe(audit % 7 == 0));
    let json = serde_json::to_string(&alarm).expect("finite numbers");
    let mut back: Alarm = serde_json::from_str(&json).expect("what was written");
    alarm.observe(true);
    back.observe(true);
    assert!((alarm.evidence() / back.evidence() - 1.0).abs() < 1e-12);
}

#[test]
fn what_makes_no_sense_is_refused_or_unseen() {
    for baseline in [0.0, 1.0, -0.1, f64::NAN] {
        assert!(Alarm::new(baseline).is_err());
    }
    assert_eq!(median_audits_to_alarm(Slip { audits_before: 0, ..slip_to(0.01) }), Ok(None));
    assert_eq!(days_for_audits(259, 30.0).map(f64::round), Some(9.0));
    assert_eq!(days_for_audits(259, 0.0), None);
    assert_eq!([0.0, 1_000.0, 10_000.0, 1e6].map(audit_rate), [0.10, 0.10, 0.03, 0.01]);
}
