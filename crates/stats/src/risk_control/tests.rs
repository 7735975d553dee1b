use super::*;
use crate::binomial;
use crate::random::Random;
use proptest::prelude::*;

/// Rows of one rung with distinct confidences, the first `bad` of them (the least confident) bad.
fn sorted_rows(rows: usize, bad: usize) -> Sample {
    Sample::of_one_rung((0..rows).map(|row| (Some((row + 1) as f64 / (rows + 1) as f64), row < bad)))
}

fn status(risk: Risk, tuning: &Sample, fresh: &Sample) -> Status {
    let promise = Promise::new(0.05, risk);
    certify(&promise, &Costs::of_coverage(fresh.rungs()), tuning, fresh).expect("valid input").status
}

fn selective(fresh: &Sample) -> Status {
    status(Risk::Selective, fresh, fresh)
}

fn joint(fresh: &Sample) -> Status {
    status(Risk::Joint, &Sample::new(1), fresh)
}

fn deployed(status: Status) -> Candidate {
    match status {
        Status::Certified(certified) => certified.deployed,
        other => panic!("not certified: {other:?}"),
    }
}

#[test]
fn all_right_is_certified_for_everything() {
    for found in [selective(&sorted_rows(400, 0)), joint(&sorted_rows(400, 0))] {
        let found = deployed(found);
        assert_eq!((found.accepted, found.bad, found.coverage), (400, 0, 1.0));
        assert_eq!(found.configuration.thresholds, [Some(0.0)]);
        assert!(found.bound <= 0.05 && found.selective_error.lower == 0.0);
    }
}

#[test]
fn all_wrong_is_infeasible_or_refused() {
    assert!(
        matches!(selective(&sorted_rows(400, 400)), Status::Infeasible(Infeasible::RiskTooHigh { risk_at_least }) if risk_at_least > 0.5)
    );
    // Joint error can't exceed coverage: alone it would certify a small, entirely wrong corner.
    let Status::RefusedWhenAnswered { candidate, max_error_when_answered } = joint(&sorted_rows(400, 400))
    else {
        panic!("not refused");
    };
    assert!(candidate.bound <= 0.05 && candidate.bad == candidate.accepted);
    assert_eq!(max_error_when_answered, 0.10);
}

#[test]
fn a_handful_of_rows_is_underpowered_and_says_how_many_more() {
    for rows in [1, 10, 40] {
        for found in [selective(&sorted_rows(rows, 0)), joint(&sorted_rows(rows, 0))] {
            let Status::Underpowered { more_labels: Some(more) } = found else { panic!("{found:?}") };
            assert!((20..800).contains(&more), "{more} more than {rows}");
        }
    }
    let none = status(Risk::Selective, &sorted_rows(300, 0), &Sample::new(1));
    assert!(matches!(none, Status::Underpowered { more_labels: Some(1..) }), "{none:?}");
    assert!(matches!(joint(&Sample::new(1)), Status::Underpowered { more_labels: Some(1..) }));
}

#[test]
fn so_many_more_labels_do_certify_most_of_the_time() {
    let mut random = Random::new(1);
    let mut draw =
        |rows: usize| Sample::of_one_rung((0..rows).map(|_| (Some(random.uniform()), random.chance(0.03))));
    let (mut asked, mut certified) = (0, 0);
    for _ in 0..200 {
        let (tuning, fresh) = (draw(1_000), draw(300));
        if let Status::Underpowered { more_labels: Some(more) } = status(Risk::Selective, &tuning, &fresh) {
            asked += 1;
            let promise = Promise { look: 2, ..Promise::new(0.05, Risk::Selective) };
            let grown = draw(300 + more as usize);
            let result = certify(&promise, &Costs::of_coverage(1), &tuning, &grown).expect("valid input");
            certified += u32::from(result.certified().is_some());
        }
    }
    assert!(asked > 100, "asked {asked} times");
    assert!(certified * 100 > asked * 60, "certified {certified} of {asked}");
}

#[test]
fn one_tied_confidence_escalates_or_covers_whole() {
    // Everything tied: only "all of it" can be accepted.
    let tied = |bad: usize| Sample::of_one_rung((0..400).map(|row| (Some(0.7), row < bad)));
    assert_eq!(deployed(selective(&tied(4))).accepted, 400);
    assert_eq!(deployed(joint(&tied(4))).accepted, 400);
    assert!(matches!(selective(&tied(100)), Status::Infeasible(Infeasible::RiskTooHigh { .. })));
    assert_eq!(joint(&tied(100)), Status::Infeasible(Infeasible::NothingToAccept));
    // A tie at the threshold itself is not accepted.
    assert!(!RungAnswer::new(Some(0.7), false).is_accepted(Some(0.7)));
}

#[test]
fn undefined_and_missing_confidences_are_never_accepted() {
    let undefined = [Some(f64::NAN), None, Some(0.0), Some(-1.0)];
    let mixed = |row: usize| if row < 400 { Some(0.5 + row as f64 / 1_000.0) } else { undefined[row % 4] };
    let sample = Sample::of_one_rung((0..500).map(|row| (mixed(row), row >= 400)));
    for found in [selective(&sample), joint(&sample)] {
        let found = deployed(found);
        assert_eq!((found.accepted, found.bad), (400, 0));
    }
    let nothing = Sample::of_one_rung((0..500).map(|row| (undefined[row % 4], false)));
    assert_eq!(selective(&nothing), Status::Infeasible(Infeasible::NothingToAccept));
    assert_eq!(joint(&nothing), Status::Infeasible(Infeasible::NothingToAccept));
    assert_eq!(selective_of_no_rungs(), Status::Infeasible(Infeasible::NothingToAccept));
}

fn selective_of_no_rungs() -> Status {
    let mut sample = Sample::new(0);
    sample.push(&[]).expect("no answers");
    selective(&sample)
}

#[test]
fn infinite_confidences_do_no_harm() {
    let sample = Sample::of_one_rung(
        (0..400).map(|row| (Some(if row % 2 == 0 { f64::INFINITY } else { 0.5 }), false)),
    );
    assert_eq!(deployed(selective(&sample)).accepted, 400);
    assert_eq!(deployed(joint(&sample)).accepted, 400);
}

#[test]
fn a_certificate_that_does_not_save_is_uneconomic() {
    let rows = sorted_rows(400, 0);
    let promise = Promise::new(0.05, Risk::Selective);
    let check = |costs: Costs| certify(&promise, &costs, &rows, &rows).expect("valid input").status;
    let cheap = Costs::of_coverage(1);
    assert!(matches!(check(Costs { rungs: vec![0.5], ..cheap.clone() }), Status::Certified(_)));
    for dear in [
        Costs { rungs: vec![1.0], ..cheap.clone() },
        Costs { audit_rate: 0.1, audit: 10.0, ..cheap.clone() },
        Costs { large: 0.0, ..cheap.clone() },
    ] {
        let Status::Uneconomic { best, all_large_cost } = check(dear) else { panic!("not uneconomic") };
        assert!(best.expected_cost >= all_large_cost && best.bound <= 0.05);
    }
}

#[test]
fn a_price_on_mistakes_raises_the_threshold() {
    // The least confident fifth is bad 15% of the time: within the promise, but not worth it at this price.
    let rows = Sample::of_one_rung(
        (0..1_000).map(|row| (Some((row + 1) as f64 / 1_001.0), row < 200 && row % 7 == 0)),
    );
    let costs = |mistake: f64| Costs { mistake, ..Costs::of_coverage(1) };
    for risk in [Risk::Selective, Risk::Joint] {
        let promise = Promise { max_error: 0.1, max_error_when_answered: 0.2, ..Promise::new(0.1, risk) };
        let accepted = |mistake: f64| {
            deployed(certify(&promise, &costs(mistake), &rows, &rows).expect("valid input").status).accepted
        };
        assert_eq!(accepted(0.0), 1_000, "{risk:?}");
        assert!((795..=805).contains(&accepted(20.0)), "{risk:?}: {}", accepted(20.0));
    }
}

#[test]
fn joint_thresholds_let_through_exactly_as_many_bad_rows_as_the_test_allows() {
    let mut random = Random::new(3);
    let rows = Sample::of_one_rung((0..500).map(|_| {
        let confidence = random.uniform();
        (Some(confidence), random.chance(0.3 * (1.0 - confidence)))
    }));
    let promise = Promise { max_error_when_answered: 0.2, ..Promise::new(0.05, Risk::Joint) };
    let result = certify(&promise, &Costs::of_coverage(1), &rows, &rows).expect("valid input");
    let delta = delta_of_look(0.05, 1);
    assert_eq!(Some(deployed(result.status.clone()).bad), binomial::kmax(500, 0.05, delta));
    assert!(result.tested.windows(2).all(|pair| pair[0].accepted < pair[1].accepted));
    assert!(result.tested.iter().all(|tested| tested.passed == (tested.p_value <= delta)));
}

/// Two rungs: the first knows the first half of the rows, the second everything.
fn two_rungs(rows: usize) -> Sample {
    let mut sample = Sample::new(2);
    for row in 0..rows {
        let easy = row % 2 == 0;
        let place = row as f64 / rows as f64;
        let first = RungAnswer::new(Some(if easy { 0.6 + 0.3 * place } else { 0.1 + 0.3 * place }), !easy);
        let second = RungAnswer::new(Some(0.5 + 0.4 * place), false);
        sample.push(&[first, second]).expect("two answers");
    }
    sample
}

#[test]
fn a_ladder_uses_each_rung_for_what_it_knows() {
    let rows = two_rungs(800);
    let costs = Costs { rungs: vec![0.01, 0.2], ..Costs::of_coverage(2) };
    for risk in [Risk::Selective, Risk::Joint] {
        let result = certify(&Promise::new(0.05, risk), &costs, &rows, &rows).expect("valid input");
        let found = deployed(result.status);
        assert!(found.accepted_by_rung[0] > 300 && found.accepted_by_rung[1] > 300, "{risk:?} {found:?}");
        assert!(found.coverage > 0.95 && found.expected_cost < 0.2, "{risk:?} {found:?}");
        assert!(result.tested.len() <= 50);
    }
}

#[test]
fn a_rung_that_costs_more_than_it_saves_is_left_out() {
    let rows = two_rungs(800);
    // The first rung answers half of what the second would answer for 0.2: worth 0.1 a request, not 0.15.
    let costs = Costs { rungs: vec![0.15, 0.2], ..Costs::of_coverage(2) };
    let found = deployed(
        certify(&Promise::new(0.05, Risk::Selective), &costs, &rows, &rows).expect("valid input").status,
    );
    assert_eq!(found.configuration.thresholds[0], None);
    assert_eq!(found.accepted_by_rung[0], 0);
    assert!(found.coverage > 0.95);
}

/// 800 rows, all right but in slice 7, where every fifth is bad; 50 ms per answer, 500 ms in the last tenth.
fn sliced_rows() -> Sample {
    let mut sample = Sample::new(1);
    for row in 0..800 {
        let in_slice = row % 4 == 0;
        let answer = RungAnswer {
            confidence: Some(1.0 - row as f64 / 1_000.0),
            bad: in_slice && row % 20 == 0,
            latency_ms: if row >= 720 { 500.0 } else { 50.0 },
        };
        let slices: &[u16] = if in_slice { &[7] } else { &[] };
        sample.push_in_slices(&[answer], slices).expect("one answer");
    }
    sample
}

#[test]
fn a_constraint_that_is_not_proven_stops_the_certificate() {
    let rows = sliced_rows();
    let accepted = |risk: Risk, constraints: Vec<Constraint>| {
        let promise = Promise { constraints, max_error_when_answered: 0.5, ..Promise::new(0.1, risk) };
        let result = certify(&promise, &Costs::of_coverage(1), &rows, &rows).expect("valid input");
        result.certified().map(|certified| certified.deployed.accepted)
    };
    for risk in [Risk::Selective, Risk::Joint] {
        assert_eq!(accepted(risk, vec![]), Some(800), "{risk:?}");
        assert_eq!(
            accepted(risk, vec![Constraint::Slice { slice: 7, max_error: 0.35 }]),
            Some(800),
            "{risk:?}"
        );
        assert_eq!(accepted(Risk::Selective, vec![Constraint::Slice { slice: 7, max_error: 0.1 }]), None);
        // Nobody is in slice 8: nothing is proven about it.
        assert_eq!(accepted(risk, vec![Constraint::Slice { slice: 8, max_error: 0.1 }]), None, "{risk:?}");
        let slow = accepted(risk, vec![Constraint::Latency { limit_ms: 100.0, share: 0.05 }]);
        assert!(slow.is_some_and(|accepted| (700..760).contains(&accepted)), "{risk:?}: {slow:?}");
    }
}

/// 1,000 rows, confidence falling, none bad; every tenth belongs to category 3, and is left out of the answer where its
/// number is `missed_from` or more.
fn rows_of_a_category(missed_from: usize) -> Sample {
    let mut sample = Sample::new(1);
    for row in 0..1_000_usize {
        let positive = Positive { category: 3, missed: vec![row >= missed_from] };
        let positives = row.is_multiple_of(10).then_some(positive).into_iter().collect();
        let answer = RungAnswer::new(Some(1.0 - row as f64 / 1_000.0), false);
        sample.push_positive(&[answer], &[], positives).expect("one answer");
    }
    sample
}

#[test]
fn a_category_s_positives_count_whether_they_are_answered_or_not() {
    let accepted = |category: u16, max_missed: f64, missed_from: usize| {
        let constraints = vec![Constraint::Recall { category, max_missed }];
        let promise = Promise { constraints, ..Promise::new(0.2, Risk::Selective) };
        let rows = rows_of_a_category(missed_from);
        let result = certify(&promise, &Costs::of_coverage(1), &rows, &rows).expect("valid input");
        result.certified().map(|certified| certified.deployed.accepted)
    };
    assert_eq!(accepted(3, 0.1, 1_000), Some(1_000), "nothing is missed");
    // Of 100 positives, 3 or 4 may be missed at 10%: those of about 40 rows beyond the 500th.
    let some = accepted(3, 0.1, 500).expect("certified");
    assert!((500..=560).contains(&some), "{some}");
    assert_eq!(accepted(3, 0.02, 1_000), None, "100 positives prove nothing at 2%");
    assert_eq!(accepted(4, 0.1, 1_000), None, "a category without positives is proved nothing");
}

#[test]
fn looks_spend_their_delta_and_no_more() {
    let spent: f64 = (1..100_000).map(|look| delta_of_look(0.05, look)).sum();
    assert!(spent < 0.05 && spent > 0.049_99);
    for (look, share) in [(1, 0.608), (2, 0.152), (3, 0.068)] {
        assert!((delta_of_look(1.0, look) - share).abs() < 5e-4);
    }
    assert!(!is_look_offered(1_000, 1_299) && is_look_offered(1_000, 1_300));
    assert!(is_look_offered(0, 1) && !is_look_offered(0, 0));
    // A later look of the same sample proves less.
    let rows = sorted_rows(100, 0);
    let at = |look: u32| {
        let promise = Promise { look, ..Promise::new(0.05, Risk::Selective) };
        certify(&promise, &Costs::of_coverage(1), &rows, &rows).expect("valid input")
    };
    assert!(at(1).certified().is_some());
    assert!(at(20).certified().is_none());
    assert_eq!(at(20).delta_spent, delta_of_look(1.0 - 0.95, 20));
}

#[test]
fn levels_carry_upward_and_sum_to_delta() {
    for starts in [Starts::Even, Starts::Focused] {
        let promise = Promise { starts, ..Promise::new(0.05, Risk::Selective) };
        let rows = sorted_rows(1_000, 0);
        let result = certify(&promise, &Costs::of_coverage(1), &rows, &rows).expect("valid input");
        let levels: Vec<f64> = result.tested.iter().filter_map(|tested| tested.level).collect();
        assert!(levels.is_sorted(), "{starts:?}: {levels:?}");
        let last = levels.last().copied().expect("levels");
        assert!(
            (last - promise.delta()).abs() < 1e-12,
            "everything passed, so that all of delta has arrived"
        );
    }
}

#[test]
fn the_chain_from_agreement_to_gold_holds() {
    let chain = chain_bound((1_900, 2_000), (20, 2_000), 0.05);
    assert!((chain.large_accuracy_at_least - 0.9395).abs() < 1e-3, "{chain:?}");
    assert!((chain.disagreement_at_most - 0.0154).abs() < 1e-3, "{chain:?}");
    let difference = chain.large_accuracy_at_least - chain.disagreement_at_most;
    assert_eq!(chain.cascade_accuracy_at_least, difference);
    assert_eq!(chain_bound((0, 0), (0, 0), 0.05).cascade_accuracy_at_least, 0.0);
}

#[test]
fn what_can_t_be_meant_is_refused() {
    let rows = sorted_rows(100, 0);
    let costs = Costs::of_coverage(1);
    let good = Promise::new(0.05, Risk::Selective);
    let refused = |promise: Promise, costs: &Costs, tuning: &Sample| {
        certify(&promise, costs, tuning, &rows).expect_err("must be refused").to_string()
    };
    for (promise, said) in [
        (
            Promise { max_error: 0.0, ..good.clone() },
            "max_error is 0; it must be between 0 and 1, ends excluded",
        ),
        (
            Promise { confidence: 1.0, ..good.clone() },
            "confidence is 1; it must be between 0 and 1, ends excluded",
        ),
        (Promise { look: 0, ..good.clone() }, "look is 0; it must be above 0"),
        (
            Promise { max_error_when_answered: f64::NAN, ..good.clone() },
            "max_error_when_answered is NaN; it must be above 0",
        ),
    ] {
        assert_eq!(refused(promise, &costs, &rows), said);
    }
    assert!(refused(good.clone(), &Costs { mistake: f64::NAN, ..costs.clone() }, &rows).contains("mistake"));
    assert!(refused(good.clone(), &Costs::of_coverage(2), &rows).contains("must agree"));
    assert!(refused(good.clone(), &costs, &Sample::new(1)).contains("empty"));
    let mut sample = Sample::new(2);
    let short = sample.push(&[RungAnswer::new(None, true)]).expect_err("must be refused");
    assert_eq!(short.to_string(), "row 0 has 1 answers; the ladder has 2 rungs");
}

#[test]
fn a_certification_survives_being_stored() {
    let rows = sorted_rows(400, 4);
    for risk in [Risk::Selective, Risk::Joint] {
        let result =
            certify(&Promise::new(0.05, risk), &Costs::of_coverage(1), &rows, &rows).expect("valid input");
        let json = serde_json::to_string(&result).expect("finite numbers");
        let back: Certification = serde_json::from_str(&json).expect("what was written");
        assert_eq!(
            back.certified().map(|c| c.deployed.accepted),
            result.certified().map(|c| c.deployed.accepted)
        );
    }
}

fn any_answer() -> impl Strategy<Value = RungAnswer> {
    let confidence = prop_oneof![
        8 => (0..20_u8).prop_map(|step| Some(f64::from(step) / 19.0)),
        1 => Just(None),
        1 => Just(Some(f64::NAN)),
    ];
    (confidence, any::<bool>()).prop_map(|(confidence, bad)| RungAnswer::new(confidence, bad))
}

fn any_sample(rungs: usize) -> impl Strategy<Value = Sample> {
    prop::collection::vec(prop::collection::vec(any_answer(), rungs), 0..120).prop_map(move |rows| {
        let mut sample = Sample::new(rungs);
        rows.iter().for_each(|row| sample.push(row).expect("as many answers as rungs"));
        sample
    })
}

proptest! {
    #[test]
    fn raising_a_threshold_never_accepts_more(sample in any_sample(1), low in 0.0..1.0_f64, rise in 0.0..1.0_f64) {
        let costs = Costs { rungs: vec![0.1], large: 1.0, audit_rate: 0.1, audit: 1.0, mistake: 2.0 };
        let count = |threshold: f64| {
            let configuration = Configuration { thresholds: vec![Some(threshold)] };
            tally(&configuration, &sample, &costs, Risk::Joint, &[])
        };
        let (lower, higher) = (count(low), count(low + rise));
        prop_assert!(higher.accepted <= lower.accepted);
        prop_assert!(higher.bad <= lower.bad);
        // Counting through the ranking gives the same.
        let ranked = ranked::Ranked::new(&sample, &costs).tally(low);
        prop_assert!((ranked.cost - lower.cost).abs() < 1e-9);
        prop_assert_eq!(Tally { cost: lower.cost, ..ranked }, lower);
    }

    #[test]
    fn the_grid_of_a_ladder_counts_as_going_through_the_rows_does(sample in any_sample(3)) {
        prop_assume!(!sample.is_empty());
        let costs = Costs { rungs: vec![0.1, 0.2, 0.4], large: 1.0, audit_rate: 0.1, audit: 1.0, mistake: 2.0 };
        let thresholds = [vec![0.8, 0.3], vec![0.5], vec![0.9, 0.4, 0.0]];
        let grid = grid::every_combination(&sample, &costs, &thresholds);
        prop_assert_eq!(grid.len(), 3 * 2 * 4);
        for drafted in grid {
            let counted = tally(&drafted.configuration, &sample, &costs, Risk::Joint, &[]);
            prop_assert_eq!((drafted.accepted, drafted.bad), (counted.accepted, counted.bad));
            prop_assert!((drafted.cost - counted.cost).abs() < 1e-9);
        }
    }

    #[test]
    fn whatever_the_rows_there_is_a_clear_status(
        tuning in any_sample(2),
        fresh in any_sample(2),
        is_joint in any::<bool>(),
        max_error in 0.01..0.6_f64,
    ) {
        let risk = if is_joint { Risk::Joint } else { Risk::Selective };
        let costs = Costs { rungs: vec![0.1, 0.3], ..Costs::of_coverage(2) };
        match certify(&Promise::new(max_error, risk), &costs, &tuning, &fresh) {
            Err(error) => prop_assert_eq!(error, RiskControlError::NoTuningRows),
            Ok(result) => if let Some(certified) = result.certified() {
                prop_assert!(certified.deployed.bound <= max_error + 1e-9);
                prop_assert!(certified.deployed.expected_cost < certified.all_large_cost);
            },
        }
    }

    #[test]
    fn one_rung_always_gives_a_clear_status(sample in any_sample(1), is_joint in any::<bool>(), max_error in 0.01..0.6_f64) {
        let risk = if is_joint { Risk::Joint } else { Risk::Selective };
        let result = certify(&Promise::new(max_error, risk), &Costs::of_coverage(1), &sample, &sample);
        prop_assert!(result.is_ok() || sample.is_empty());
    }
}
