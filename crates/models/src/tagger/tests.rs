use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sprat_task::model::TrainError;
use sprat_task::{
    Answer, Attempt, Context, Fitted, Input, LabelledRow, Source, Task, Trainer, Training, read_task,
};

use super::{Config, OpenError, TaggerModel, TaggerTrainer};

fn task(extra: &str) -> Task {
    let text = format!(
        "kind = \"extract\"\n\
         [[fields]]\nname = \"dish\"\ntype = \"text\"\nrequired = true\n\
         [[fields]]\nname = \"count\"\ntype = \"number\"\n{extra}\
         [[fields]]\nname = \"size\"\ntype = \"enum\"\nvalues = [\"small\", \"large\"]\nsynonyms = {{ big = \"large\" }}\n"
    );
    read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).expect("valid")
}

const DISHES: [&str; 6] =
    ["pad thai", "green curry", "fish soup", "spring rolls", "fried rice", "mango salad"];

fn rows(task: &Task) -> Vec<LabelledRow> {
    let row = |number: usize| {
        let (dish, count) = (DISHES[number % 6], 2 + number % 7);
        let (said, size) = [("small", "small"), ("large", "large"), ("big", "large")][number % 3];
        let (text, fields) = match number % 4 {
            0 => (
                format!("I want {count} {said} {dish} please"),
                json!({"dish": dish, "count": count, "size": size}),
            ),
            1 => (format!("Bring me a {said} {dish}"), json!({"dish": dish, "size": size})),
            2 => (
                format!("{count} times {dish} for table {}", 10 + number % 11),
                json!({"dish": dish, "count": count}),
            ),
            _ => (format!("just {dish} thanks"), json!({"dish": dish})),
        };
        let Value::Object(said) = fields else { unreachable!("an object") };
        let record = task.record(&said, &text).expect("a record");
        LabelledRow::gold(text, Answer::Fields(record))
    };
    (0..160).map(row).collect()
}

fn fit(task: &Task, rows: &[LabelledRow], threads: usize, folder: &Path) -> Result<Fitted, TrainError> {
    let folds: Vec<u32> = (0..rows.len() as u32).map(|row| (row / 12) % 5).collect();
    let training = Training { seed: 7, threads, kept: None, progress: &|_| ControlFlow::Continue(()) };
    TaggerTrainer::new("tagger".into(), Config::default()).fit(&training, task, rows, &folds, folder)
}

fn ask(fitted: &Fitted, task: &Task, text: &str) -> Attempt {
    let cx = Context::until(Instant::now() + Duration::from_secs(9), "r");
    let attempts = futures::executor::block_on(fitted.model.predict(&cx, task, &[Input::new(text)]));
    attempts.into_iter().next().expect("an attempt")
}

fn said(attempt: &Attempt) -> Option<String> {
    attempt.prediction().map(|prediction| prediction.answer.to_line())
}

#[test]
fn a_trained_rung_fills_a_typed_record_and_says_how_sure_it_is_of_each_field() {
    let (task, folder) = (task(""), tempfile::tempdir().expect("a folder"));
    let fitted = fit(&task, &rows(&task), 2, folder.path()).expect("it trains");
    let attempt = ask(&fitted, &task, "I want 3 BIG fish soup please");
    assert_eq!(said(&attempt).as_deref(), Some(r#"{"dish":"fish soup","count":3,"size":"large"}"#));
    let prediction = attempt.prediction().expect("an answer");
    assert!(task.admits(&prediction.answer));
    assert_eq!(prediction.features.0.len(), fitted.model.feature_names().len());
    assert!(prediction.features.0.iter().all(|feature| feature.is_finite()));
    let fields: Vec<&str> = prediction.alternatives.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["dish", "count", "size"]);
    assert!(prediction.alternatives.iter().all(|(_, confidence)| confidence.0 > 0.8), "{prediction:?}");
    assert_eq!(
        said(&ask(&fitted, &task, "4 times tom yum for table 9")).as_deref(),
        Some(r#"{"dish":"tom yum","count":4}"#),
        "a value that no row had, and the number that stands where counts stand"
    );
    let right = fitted.out_of_fold.iter().zip(rows(&task)).filter(|(attempt, row)| {
        let prediction = attempt.as_ref().and_then(Attempt::prediction);
        prediction.map(|prediction| &prediction.answer) == row.gold.as_ref()
    });
    assert!(right.count() > 150);
}

#[test]
fn without_a_required_field_it_abstains_and_any_text_is_taken() {
    let (task, folder) = (task(""), tempfile::tempdir().expect("a folder"));
    let fitted = fit(&task, &rows(&task), 1, folder.path()).expect("it trains");
    for text in ["", " \n", "?!", "\u{0}\u{fffd}", &"a ".repeat(30_000)] {
        let attempt = ask(&fitted, &task, text);
        assert!(attempt.result.is_ok(), "{text:?}");
        if text.len() < 10 {
            assert_eq!(attempt.prediction(), None, "{text:?}");
        }
    }
}

#[test]
fn a_value_that_its_pattern_does_not_match_is_never_given() {
    let extra = "[[fields]]\nname = \"code\"\ntype = \"text\"\npattern = '[A-Z]{2}-\\d{3}'\n";
    let (task, folder) = (task(extra), tempfile::tempdir().expect("a folder"));
    let taught: Vec<LabelledRow> = (100..200)
        .map(|number| {
            let text = format!("{} with code AB-{number} now", DISHES[number % 6]);
            let fields = json!({"dish": DISHES[number % 6], "code": format!("AB-{number}")});
            let record = task.record(fields.as_object().expect("an object"), &text).expect("a record");
            LabelledRow::gold(text, Answer::Fields(record))
        })
        .collect();
    let fitted = fit(&task, &taught, 1, folder.path()).expect("it trains");
    for (text, code) in [
        ("pad thai with code XY-777 now", Some("XY-777")),
        ("pad thai with code XY-7 now", None),
        ("pad thai with code nothing now", None),
    ] {
        let attempt = ask(&fitted, &task, text);
        let Some(Answer::Fields(record)) = attempt.prediction().map(|prediction| prediction.answer.clone())
        else {
            panic!("{text}: {attempt:?}")
        };
        assert_eq!(record.get("code").and_then(Value::as_str), code, "{text}");
    }
}

#[test]
fn the_same_rows_give_the_same_file_on_any_number_of_threads() {
    let task = task("");
    let bytes = |threads: usize| {
        let folder = tempfile::tempdir().expect("a folder");
        let fitted = fit(&task, &rows(&task), threads, folder.path()).expect("it trains");
        std::fs::read(folder.path().join(fitted.file)).expect("the file")
    };
    assert!(bytes(1) == bytes(2));
}

#[test]
fn a_damaged_file_is_told_from_a_strange_one_and_an_older_one() {
    let (task, folder) = (task(""), tempfile::tempdir().expect("a folder"));
    let fitted = fit(&task, &rows(&task), 1, folder.path()).expect("it trains");
    let whole = std::fs::read(folder.path().join(fitted.file)).expect("the file");
    assert!(TaggerModel::from_bytes(&whole).is_ok_and(|model| model.to_bytes() == whole));
    let changed = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        TaggerModel::from_bytes(&bytes).expect_err("changed")
    };
    assert!(matches!(changed(0), OpenError::NotAModel));
    assert!(matches!(changed(8), OpenError::Version { found: 0 }));
    for at in [12, 16, 24, 60, whole.len() / 2, whole.len() - 1] {
        assert!(matches!(changed(at), OpenError::Damaged), "{at}");
    }
    for end in [8, 55, 56, 100, whole.len() - 1] {
        assert!(
            matches!(TaggerModel::from_bytes(&whole[..end]).expect_err("cut"), OpenError::Damaged),
            "{end}"
        );
    }
}

#[test]
fn a_model_trained_for_other_fields_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let fitted = fit(&task(""), &rows(&task("")), 1, folder.path()).expect("it trains");
    let other = task("[[fields]]\nname = \"note\"\ntype = \"text\"\n");
    let opened =
        TaggerTrainer::new("tagger".into(), Config::default()).open(&other, &folder.path().join(fitted.file));
    assert!(opened.err().is_some_and(|error| error.to_string().contains("trained for other fields")));
}

#[test]
fn rows_whose_values_stand_nowhere_teach_nothing_and_are_still_asked_about() {
    let (task, folder) = (task(""), tempfile::tempdir().expect("a folder"));
    let mut rows = rows(&task);
    let strange =
        task.record(json!({"dish": "something else"}).as_object().expect("an object"), "").expect("a record");
    for row in rows.iter_mut().take(40) {
        row.gold = Some(Answer::Fields(strange.clone()));
    }
    let fitted = fit(&task, &rows, 1, folder.path()).expect("it trains");
    assert_eq!(fitted.out_of_fold.len(), rows.len());
    assert_eq!(
        said(&ask(&fitted, &task, "just fried rice thanks")).as_deref(),
        Some(r#"{"dish":"fried rice"}"#)
    );
    rows.iter_mut().for_each(|row| row.gold = Some(Answer::Fields(strange.clone())));
    let nothing = fit(&task, &rows, 1, folder.path()).err().expect("nothing to learn");
    assert!(nothing.to_string().contains("nothing to learn"), "{nothing}");
}

#[test]
fn of_several_places_the_one_that_other_rows_teach_is_learned() {
    let task = read_task(
        "t",
        &Source::new("t.toml", "kind = \"extract\"\n[[fields]]\nname = \"total\"\ntype = \"number\"\n"),
        |_| Err(String::new()),
    )
    .expect("valid");
    let folder = tempfile::tempdir().expect("a folder");
    let taught: Vec<LabelledRow> = (0..120)
        .map(|number| {
            // In one row of three nobody can know which of two equal numbers is the total.
            let (price, total) = if number % 3 == 0 { (number, number) } else { (number, number * 2 + 1) };
            let text = format!("item {price} total {total} thanks");
            let record = task
                .record(json!({"total": total}).as_object().expect("an object"), &text)
                .expect("a record");
            LabelledRow::gold(text, Answer::Fields(record))
        })
        .collect();
    let fitted = fit(&task, &taught, 1, folder.path()).expect("it trains");
    assert_eq!(said(&ask(&fitted, &task, "item 500 total 700 thanks")).as_deref(), Some(r#"{"total":700}"#));
}
