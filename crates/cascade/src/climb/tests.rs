use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use futures::future::BoxFuture;
use sprat_stats::calibration::{Calibrator, Temperature};
use sprat_task::{Features, Money, Score, Source, Usage, read_task};

use super::*;

/// Answers with the text's first letter as the label and the number behind it as the confidence: `a0.9`.
struct Speaks {
    id: ModelId,
    asked: AtomicUsize,
    cost: i64,
    mood: Mood,
}

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Fails,
    Panics,
    Forgets,
    Invents,
    Abstains,
}

impl Speaks {
    fn new(id: &str, cost: i64, mood: Mood) -> Arc<Self> {
        Arc::new(Self { id: id.into(), asked: AtomicUsize::new(0), cost, mood })
    }
}

impl Model for Speaks {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn predict<'a>(
        &'a self,
        _: &'a Context,
        _: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        Box::pin(async move {
            self.asked.fetch_add(inputs.len(), Ordering::SeqCst);
            assert!(self.mood != Mood::Panics, "the model falls over");
            let usage = Usage { tokens: None, cost: Some(Money::from_micro(self.cost)) };
            let attempts = inputs.iter().map(|input| {
                let (label, number) = input.text.split_at(1);
                let score: f32 = number.parse().unwrap_or(f32::NAN);
                let label = if self.mood == Mood::Invents { "invented" } else { label };
                let prediction = Prediction {
                    answer: Answer::label(label),
                    score: Score(score),
                    features: Features::default(),
                    // Ten others share the rest, so that the largest probability is the number in the text.
                    alternatives: std::iter::once(score)
                        .chain(std::iter::repeat_n((1.0 - score) / 10.0, 10))
                        .map(|probability| ("any".into(), Score(probability.ln())))
                        .collect(),
                };
                let result = match self.mood {
                    Mood::Fails => Err(ModelError::Timeout),
                    Mood::Abstains => Ok(None),
                    _ => Ok(Some(prediction)),
                };
                Attempt { usage, latency: Duration::from_micros(7), result }
            });
            if self.mood == Mood::Forgets { attempts.skip(1).collect() } else { attempts.collect() }
        })
    }
}

fn task() -> Task {
    let text = "kind = \"classify\"\nlabels = [\"a\", \"b\"]";
    read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).expect("valid")
}

fn rung(model: &Arc<Speaks>, threshold: Threshold) -> Rung {
    Rung { model: model.clone(), calibrator: Calibrator::Temperature(Temperature::ONE), threshold }
}

fn climb(ladder: &Ladder, texts: &[&str], reach: Reach) -> Vec<Climbed> {
    let cx = Context::until(Instant::now() + Duration::from_secs(60), "r");
    let inputs: Vec<Input> = texts.iter().map(|text| Input::new(*text)).collect();
    block_on(ladder.climb(&cx, &task(), &inputs, reach))
}

fn words(climbed: &Climbed) -> Vec<&'static str> {
    climbed.steps.iter().map(|step| step.outcome.word()).collect()
}

#[test]
fn an_unsure_rung_defers_to_the_next_and_is_charged_all_the_same() {
    let (small, middle, large) = (
        Speaks::new("s", 1, Mood::Well),
        Speaks::new("m", 10, Mood::Well),
        Speaks::new("l", 100, Mood::Well),
    );
    let rungs = vec![rung(&small, Threshold::Above(0.9)), rung(&middle, Threshold::Above(0.5))];
    let ladder = Ladder::new(rungs, LadderEnd::Remote(large.clone()));
    let climbs = climb(&ladder, &["a0.95", "b0.7", "a0.1"], Reach::Whole);
    assert_eq!(words(&climbs[0]), ["accepted"]);
    assert_eq!(words(&climbs[1]), ["deferred", "accepted"]);
    assert_eq!(words(&climbs[2]), ["deferred", "deferred", "last"]);
    assert_eq!(climbs.iter().map(|c| c.end).collect::<Vec<_>>(), [End::Small, End::Small, End::Large]);
    let costs: Vec<i64> = climbs.iter().map(|c| crate::Spent::of(&c.steps).known.micro()).collect();
    assert_eq!(costs, [1, 11, 111]);
    assert_eq!(
        (
            small.asked.load(Ordering::SeqCst),
            middle.asked.load(Ordering::SeqCst),
            large.asked.load(Ordering::SeqCst)
        ),
        (3, 2, 1)
    );
}

#[test]
fn whatever_goes_wrong_below_the_large_model_answers() {
    for mood in [Mood::Fails, Mood::Panics, Mood::Forgets, Mood::Invents, Mood::Abstains] {
        let (small, large) = (Speaks::new("s", 1, mood), Speaks::new("l", 100, Mood::Well));
        let ladder = Ladder::new(vec![rung(&small, Threshold::Above(0.0))], LadderEnd::Remote(large));
        for climbed in climb(&ladder, &["a0.9", "b0.9"], Reach::Whole) {
            assert_eq!(climbed.end, End::Large);
            assert_eq!(climbed.steps.len(), 2, "the failure is a recorded step");
            assert!(!climbed.steps[0].outcome.answered());
        }
    }
}

#[test]
fn a_rung_that_may_not_answer_is_not_asked_while_serving_but_is_in_shadow() {
    let (small, large) = (Speaks::new("s", 1, Mood::Well), Speaks::new("l", 100, Mood::Well));
    let ladder = Ladder::new(vec![rung(&small, Threshold::Above(0.1))], LadderEnd::Remote(large))
        .answering_nothing_small();
    assert!(!ladder.answers_something_small());
    assert_eq!(words(&climb(&ladder, &["a0.9"], Reach::Whole)[0]), ["last"]);
    assert_eq!(small.asked.load(Ordering::SeqCst), 0);
    let shadow = &climb(&ladder, &["a0.9"], Reach::SmallOnly)[0];
    assert_eq!((words(shadow), shadow.end, &shadow.answer), (vec!["deferred"], End::Stopped, &None));
    assert!(shadow.own.is_some());
}

#[test]
fn the_ends_without_a_model_say_so() {
    for (last, end) in [(LadderEnd::People, End::People), (LadderEnd::NoAnswer, End::NoAnswer)] {
        let small = Speaks::new("s", 1, Mood::Well);
        let ladder = Ladder::new(vec![rung(&small, Threshold::Above(0.5))], last);
        let climbed = &climb(&ladder, &["a0.2"], Reach::Whole)[0];
        assert_eq!((climbed.end, &climbed.answer), (end, &None));
        assert!(climbed.own.is_some(), "what it would have said is still known");
    }
}

#[test]
fn a_large_model_that_fails_leaves_the_request_without_an_answer_and_says_why() {
    let (small, large) = (Speaks::new("s", 1, Mood::Well), Speaks::new("l", 100, Mood::Fails));
    let ladder = Ladder::new(vec![rung(&small, Threshold::Above(0.5))], LadderEnd::Remote(large));
    let climbed = &climb(&ladder, &["a0.2"], Reach::Whole)[0];
    assert_eq!((climbed.end, &climbed.answer), (End::Failed, &None));
    assert_eq!(climbed.steps[1].outcome, Outcome::Failed(ModelError::Timeout));
}

#[test]
fn large_only_asks_no_small_model() {
    let (small, large) = (Speaks::new("s", 1, Mood::Well), Speaks::new("l", 100, Mood::Well));
    let ladder = Ladder::new(vec![rung(&small, Threshold::Above(0.0))], LadderEnd::Remote(large));
    assert_eq!(words(&climb(&ladder, &["a0.9"], Reach::LargeOnly)[0]), ["last"]);
    assert_eq!(small.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_score_that_is_not_a_number_is_never_confident() {
    let (small, large) = (Speaks::new("s", 1, Mood::Well), Speaks::new("l", 100, Mood::Well));
    let ladder = Ladder::new(vec![rung(&small, Threshold::Above(0.0))], LadderEnd::Remote(large));
    assert_eq!(words(&climb(&ladder, &["anot-a-number"], Reach::Whole)[0]), ["deferred", "last"]);
}

#[test]
fn who_asks_to_stop_is_told_of_what_was_answered_and_nothing_more_is_asked() {
    let (small, large) = (Speaks::new("s", 1, Mood::Well), Speaks::new("l", 100, Mood::Well));
    let ladder = Ladder::new(vec![rung(&small, Threshold::Above(0.9))], LadderEnd::Remote(large.clone()));
    let cx = Context::until(Instant::now() + Duration::from_secs(60), "r");
    let inputs: Vec<Input> = ["a0.1", "b0.95", "a0.2", "b0.3"].map(Input::new).into();
    let stop = CancellationToken::new();
    let told = std::sync::Mutex::new(Vec::new());
    let tell = |part: Vec<(usize, Climbed)>| {
        if part.iter().any(|(_, climbed)| climbed.end == End::Large) {
            stop.cancel();
        }
        told.lock().unwrap().extend(part.into_iter().map(|(row, _)| row));
    };
    block_on(ladder.climb_telling(
        &cx,
        &task(),
        &inputs,
        Reach::Whole,
        Pace { at_once: 1, stop: &stop },
        &tell,
    ));
    assert_eq!(large.asked.load(Ordering::SeqCst), told.lock().unwrap().len() - 1);
    assert!(told.into_inner().unwrap().len() < inputs.len());
}

#[test]
fn telling_of_climbs_as_they_end_tells_what_a_climb_gives_each_once_and_the_small_answers_first() {
    let told_of = |at_once: usize, texts: &[&str], reach: Reach| {
        let (small, large) = (Speaks::new("s", 1, Mood::Well), Speaks::new("l", 100, Mood::Well));
        let ladder = Ladder::new(vec![rung(&small, Threshold::Above(0.9))], LadderEnd::Remote(large));
        let cx = Context::until(Instant::now() + Duration::from_secs(60), "r");
        let inputs: Vec<Input> = texts.iter().map(|text| Input::new(*text)).collect();
        let told = std::sync::Mutex::new(Vec::new());
        let tell = |part| told.lock().unwrap().push(part);
        let stop = CancellationToken::new();
        let pace = Pace { at_once, stop: &stop };
        block_on(ladder.climb_telling(&cx, &task(), &inputs, reach, pace, &tell));
        (told.into_inner().unwrap(), climb(&ladder, texts, reach))
    };
    let texts = ["a0.1", "b0.95", "a0.2", "b0.3", "a0.99"];
    for reach in [Reach::Whole, Reach::LargeOnly, Reach::SmallOnly] {
        for at_once in [0, 1, 2, 100] {
            let (parts, whole) = told_of(at_once, &texts, reach);
            let mut all: Vec<(usize, Climbed)> = parts.into_iter().flatten().collect();
            all.sort_by_key(|(row, _)| *row);
            let expected: Vec<(usize, Climbed)> = whole.into_iter().enumerate().collect();
            assert_eq!(all, expected, "{reach:?}, {at_once} at once");
        }
    }
    let (parts, _) = told_of(2, &texts, Reach::Whole);
    assert!(parts.iter().all(|part| part.len() <= 2), "{parts:?}");
    assert!(parts[0].iter().all(|(_, climbed)| climbed.end == End::Small));
    assert!(told_of(2, &[], Reach::Whole).0.is_empty(), "nothing to tell of nothing");
}

proptest::proptest! {
    #[test]
    fn raising_a_threshold_never_accepts_more(scores in proptest::collection::vec(0.0_f32..1.0, 1..20), low in 0.0_f64..1.0, more in 0.0_f64..1.0) {
        let texts: Vec<String> = scores.iter().map(|score| format!("a{score}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let accepted = |threshold: f64| {
            let small = Speaks::new("s", 1, Mood::Well);
            let ladder = Ladder::new(vec![rung(&small, Threshold::Above(threshold))], LadderEnd::NoAnswer);
            climb(&ladder, &texts, Reach::Whole).iter().filter(|c| c.end == End::Small).count()
        };
        proptest::prop_assert!(accepted(low + more) <= accepted(low));
    }
}

#[test]
fn what_the_audits_took_away_goes_straight_to_the_large_model_and_the_small_answer_is_kept_beside_it() {
    let (small, middle, large) = (
        Speaks::new("s", 1, Mood::Well),
        Speaks::new("m", 10, Mood::Well),
        Speaks::new("l", 100, Mood::Well),
    );
    let rungs = vec![rung(&small, Threshold::Above(0.5)), rung(&middle, Threshold::Above(0.5))];
    let mut ladder = Ladder::new(rungs, LadderEnd::Remote(large));
    ladder.held_back = vec![crate::HeldBack { slice: Slice::Label("a".into()), share: 0.0 }];
    let climbs = climb(&ladder, &["a0.9", "b0.9"], Reach::Whole);
    assert_eq!(words(&climbs[0]), ["held back", "last"], "the rung between is not asked");
    assert_eq!((climbs[0].end, &climbs[0].held_back), (End::Large, &Some(Slice::Label("a".into()))));
    assert_eq!(climbs[0].own.as_ref().map(|(_, own, _)| &own.answer), Some(&Answer::label("a")));
    assert_eq!((words(&climbs[1]), climbs[1].end), (vec!["accepted"], End::Small));
    let watched = climb(&ladder, &["a0.9"], Reach::SmallOnly);
    assert_eq!(watched[0].end, End::Small, "what it would say by itself is not changed");
}

#[test]
fn the_end_falls_back_in_order_and_every_attempt_is_a_step_of_its_own() {
    let large = |id: &str, cost, mood| Speaks::new(id, cost, mood) as Arc<dyn Model>;
    let end = |models: Vec<Arc<dyn Model>>| Ladder::new(Vec::new(), LadderEnd::Remotes(models));
    let ladder = end(vec![
        large("first", 100, Mood::Fails),
        large("second", 10, Mood::Panics),
        large("third", 1, Mood::Well),
    ]);
    for climbed in climb(&ladder, &["a1", "b1"], Reach::Whole) {
        assert_eq!(words(&climbed), ["failed", "failed", "last"]);
        assert_eq!((climbed.end, climbed.answered_by), (End::Large, Some("third".into())));
        let costs: Vec<_> = climbed.steps.iter().map(|step| step.usage.cost.map(Money::micro)).collect();
        assert_eq!(costs, [Some(100), Some(0), Some(1)]);
    }
    let ladder = end(vec![large("first", 100, Mood::Fails), large("second", 10, Mood::Fails)]);
    let climbed = &climb(&ladder, &["a1"], Reach::Whole)[0];
    assert_eq!(
        (words(climbed), climbed.end, climbed.answered_by.as_ref()),
        (vec!["failed", "failed"], End::Failed, None)
    );
    let ladder = end(vec![large("first", 100, Mood::Invents), large("second", 10, Mood::Well)]);
    assert_eq!(words(&climb(&ladder, &["a1"], Reach::Whole)[0]), ["failed"], "a bad answer is an answer");
}
