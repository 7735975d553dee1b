//! What is asked badly: each is refused in a sentence or answered, and the next one is answered.

use super::*;

/// What becomes of an order, with a good one behind it.
fn told(order: Order) -> Vec<Report> {
    let mut scheduler = Scheduler::new(Reckoning::new(100, 16), 10);
    let reports = run(&mut scheduler, vec![order, Order::Generate(generate(99, "good", 3))]);
    let good = |report: &Report| matches!(report, Report::Ended { id: 99, .. });
    assert!(reports.iter().any(good), "{reports:?}");
    let is_of_good = |report: &Report| match report {
        Report::Text { id, .. } | Report::Ended { id, .. } => *id == 99,
        _ => false,
    };
    reports.into_iter().filter(|report| !is_of_good(report)).collect()
}

#[test]
fn a_stop_string_that_never_comes_holds_nothing_back_at_the_end() {
    let stopped = Generate { stop: vec!["never".to_owned(), "\u{0}".to_owned()], ..generate(1, "text", 12) };
    let free = generate(1, "text", 12);
    assert_eq!(written(&told(Order::Generate(stopped)), 1), written(&told(Order::Generate(free)), 1));
}

#[test]
fn nothing_asked_for_is_nothing_written() {
    let reports = told(Order::Generate(generate(1, "text", 0)));
    assert_eq!(written(&reports, 1), (String::new(), Some((End::MostTokens, 0))));
}

#[test]
fn more_tokens_than_there_are_numbers_for_are_as_many_as_there_is_room_for() {
    let reports = told(Order::Generate(generate(1, "text", u32::MAX)));
    assert!(matches!(written(&reports, 1).1, Some((End::Context | End::Model, _))), "{reports:?}");
}

#[test]
fn numbers_of_sampling_that_mean_nothing_are_taken_somehow() {
    for temperature in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, f32::MIN_POSITIVE, f32::MAX] {
        for top_p in [f32::NAN, f32::INFINITY, -3.0, 0.0, 2.0] {
            let sampling = Sampling { temperature, top_p, seed: u64::MAX };
            let reports =
                told(Order::Generate(Generate { sampling, likeliest: 255, ..generate(1, "text", 4) }));
            let Some(Report::Ended { written, .. }) = reports.last() else { panic!("{reports:?}") };
            assert!(written.iter().all(|token| token.likeliest.len() == 20), "{sampling:?}");
        }
    }
}

#[test]
fn a_prompt_that_isnt_there_can_be_neither_scored_nor_gone_on_from() {
    let none = Refusal::Bad("there is no prompt 5".to_owned());
    let behind = Generate { prompt: Some(5), ..generate(1, "text", 4) };
    assert_eq!(told(Order::Generate(behind)), [Report::Refused { id: 1, why: none.clone() }]);
    assert_eq!(told(score(1, 5, "text")), [Report::Refused { id: 1, why: none }]);
}

#[test]
fn a_cancel_for_nothing_is_nothing() {
    assert_eq!(told(Order::Cancel(12)), []);
}
