//! The tiny encoder learns a task, answers it after it was saved, and fails where anything under it has changed.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sprat_task::model::Progress;
use sprat_task::{
    Answer, Context, Fitted, Input, Label, LabelledRow, Prediction, Source, Task, TrainError, Trainer,
    Training, read_task,
};
use tempfile::TempDir;

use super::super::{Precision, tiny};
use super::{Config, EncoderTrainer, FineTune, Place};

fn task(extra: &str) -> Task {
    let text = format!("kind = \"classify\"\nlabels = [\"refund\", \"lost\", \"other\"]\n{extra}");
    read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).expect("valid")
}

fn rows(number: usize, several: bool) -> Vec<LabelledRow> {
    let kinds = [("refund", "refund"), ("where is my lost card", "lost"), ("the the the", "other")];
    (0..number)
        .map(|row| {
            let (text, label) = kinds[row % 3];
            let letter = char::from(b'a' + (row % 26) as u8);
            let answer = if several { Answer::labels([Label::from(label)]) } else { Answer::label(label) };
            LabelledRow::gold(format!("{letter} {text} {row}"), answer)
        })
        .collect()
}

/// A base model in a folder, and a place for what is learned.
struct Bench {
    base: TempDir,
    out: TempDir,
    config: Config,
}

impl Bench {
    fn new(fine_tune: FineTune) -> Self {
        let base = tempfile::tempdir().expect("a folder");
        tiny::write(base.path(), 7).expect("writable");
        let config = Config { fine_tune, epochs: Some(2), ..Config::default() };
        Self { base, out: tempfile::tempdir().expect("a folder"), config }
    }

    fn trainer(&self) -> EncoderTrainer {
        EncoderTrainer::new("encoder".into(), Place::Folder(self.base.path().to_owned()), self.config.clone())
    }

    fn fit_on(
        &self,
        task: &Task,
        rows: &[LabelledRow],
        kept: Option<&Path>,
        progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
    ) -> Result<Fitted, TrainError> {
        self.fit_with(&Training { seed: 3, threads: 2, kept, progress }, task, rows)
    }

    fn fit_with(
        &self,
        training: &Training<'_>,
        task: &Task,
        rows: &[LabelledRow],
    ) -> Result<Fitted, TrainError> {
        let folds: Vec<u32> = (0..rows.len() as u32).map(|row| (row / 3) % 3).collect();
        self.trainer().fit(training, task, rows, &folds, self.out.path())
    }

    fn fit(&self, task: &Task, rows: &[LabelledRow]) -> Fitted {
        self.fit_on(task, rows, None, &|_| ControlFlow::Continue(())).expect("it trains")
    }

    fn reopened(&self, task: &Task, fitted: &Fitted) -> Result<(), String> {
        let opened = self.trainer().open(task, &self.out.path().join(&fitted.file));
        opened.map(drop).map_err(|error| error.to_string())
    }
}

fn soon() -> Context {
    Context::until(Instant::now() + Duration::from_secs(30), "r")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

fn ask(fitted: &Fitted, task: &Task, text: &str) -> Prediction {
    let cx = soon();
    let attempts = runtime().block_on(fitted.model.predict(&cx, task, &[Input::new(text)]));
    attempts[0].prediction().cloned().expect("an answer")
}

fn share_right(fitted: &Fitted, rows: &[LabelledRow]) -> f64 {
    let held_out =
        fitted.out_of_fold.iter().zip(rows).filter_map(|(attempt, row)| Some((attempt.as_ref()?, row)));
    let judged: Vec<bool> = held_out
        .map(|(attempt, row)| attempt.prediction().map(|prediction| &prediction.answer) == row.target())
        .collect();
    judged.iter().filter(|right| **right).count() as f64 / judged.len() as f64
}

#[test]
fn a_frozen_encoder_answers_every_row_out_of_fold_and_new_ones_with_finite_features() {
    let (bench, task, rows) = (Bench::new(FineTune::Never), task(""), rows(60, false));
    let fitted = bench.fit(&task, &rows);
    assert!(fitted.out_of_fold.iter().all(Option::is_some));
    assert!(share_right(&fitted, &rows) > 0.9);
    for text in ["z refund 7919", "", "💥"] {
        let prediction = ask(&fitted, &task, text);
        assert_eq!(prediction.features.0.len(), fitted.model.feature_names().len());
        assert!(prediction.features.0.iter().all(|feature| feature.is_finite()), "{text}: {prediction:?}");
    }
    assert_eq!(ask(&fitted, &task, "z refund 7919").answer, Answer::label("refund"));
    assert_eq!(ask(&fitted, &task, "z where is my lost card 7919").answer, Answer::label("lost"));
}

#[test]
fn a_fine_tuned_encoder_speaks_only_of_rows_that_it_had_not_seen_and_tells_how_it_went() {
    let (bench, task, rows) = (Bench::new(FineTune::Always), task(""), rows(60, false));
    let fitted = bench.fit(&task, &rows);
    assert_eq!(fitted.out_of_fold.iter().filter(|attempt| attempt.is_some()).count(), 21);
    assert!(share_right(&fitted, &rows) > 0.9);
    let told = fitted.told.as_ref().expect("there was a choice");
    assert_eq!(told.passes.len(), 2);
    assert!(told.passes.iter().all(|pass| pass.loss.is_finite() && pass.held_out_loss.is_some()));
    let names: Vec<&str> =
        told.tried.iter().filter(|tried| tried.chosen).map(|tried| tried.name.as_str()).collect();
    assert_eq!(names, ["the same, with the linear model"]);
    assert!(told.tried.iter().all(|tried| tried.rows == 21), "all are judged by the same rows");
    assert_eq!(ask(&fitted, &task, "z refund 7919").answer, Answer::label("refund"));
}

#[test]
fn pairs_of_few_rows_are_judged_on_every_row_by_an_encoder_that_had_not_seen_it() {
    let (bench, task, rows) = (Bench::new(FineTune::Contrastive), task(""), rows(60, false));
    let fitted = bench.fit(&task, &rows);
    assert!(fitted.out_of_fold.iter().all(Option::is_some));
    assert!(share_right(&fitted, &rows) > 0.9);
    let told = fitted.told.as_ref().expect("there was a choice");
    assert_eq!((told.pair_passes.len(), told.passes.len()), (2, 0));
    let names: Vec<&str> = told.tried.iter().map(|tried| tried.name.as_str()).collect();
    assert_eq!(names[3..], ["the encoder fine-tuned by pairs", "the same, with the linear model"]);
    assert!(told.tried[4].chosen && told.tried.iter().all(|tried| tried.rows == 60));
    assert_eq!(ask(&fitted, &task, "z where is my lost card 7919").answer, Answer::label("lost"));
}

/// What is tried by itself of so many rows, of so many labels.
#[track_caller]
fn check_tried(number: usize, labels: usize, expected: &[&str]) {
    let names: Vec<String> = (0..labels).map(|label| format!("l{label}")).collect();
    let listed: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let text = format!("kind = \"classify\"\nlabels = [{}]\n", listed.join(", "));
    let task = read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).expect("valid");
    let letter = |at: usize| char::from(b'a' + (at % 13) as u8);
    let row = |row: usize| {
        let label = row % labels;
        let text = format!("{} {} card {row}", letter(label), letter(label / 13));
        LabelledRow::gold(text, Answer::label(names[label].as_str()))
    };
    let rows: Vec<LabelledRow> = (0..number).map(row).collect();
    let told = Bench::new(FineTune::Auto).fit(&task, &rows).told.expect("something was tried");
    let ways: Vec<&str> = told.tried.iter().skip(1).step_by(2).map(|tried| tried.name.as_str()).collect();
    assert_eq!(ways, expected, "{number} rows of {labels} labels");
    assert_eq!(told.tried.iter().filter(|tried| tried.chosen).count(), 1);
}

#[test]
fn pairs_are_tried_where_labels_are_few_and_labels_where_rows_are_enough() {
    let (came, pairs, labels) = (
        "the head over the encoder as it came",
        "the encoder fine-tuned by pairs",
        "the encoder fine-tuned by labels",
    );
    check_tried(30, 3, &[came]);
    check_tried(60, 3, &[came, pairs]);
    check_tried(210, 3, &[came, labels]);
    check_tried(210, 15, &[came, pairs, labels]);
}

#[test]
fn what_training_brought_is_counted_on_the_same_rows() {
    let (bench, task, rows) = (Bench::new(FineTune::Contrastive), task(""), rows(60, false));
    let told = bench.fit(&task, &rows).told.expect("there was a choice");
    let over: Vec<&str> = told.gains.iter().map(|gain| gain.over.as_str()).collect();
    assert_eq!(over, ["the head over the encoder as it came", "the linear model alone"]);
    for (gain, before) in told.gains.iter().zip([2, 0]) {
        let difference = told.tried[4].accuracy - told.tried[before].accuracy;
        let counted = (gain.only_it as f64 - gain.only_other as f64) / gain.rows as f64;
        assert!((difference - counted).abs() < 1e-9, "{gain:?} {difference}");
    }
}

#[test]
fn the_training_rows_nearest_to_a_text_are_those_that_say_the_same() {
    let (task, rows) = (task(""), rows(260, false));
    for fine_tune in [FineTune::Never, FineTune::Always] {
        let fitted = Bench::new(fine_tune).fit(&task, &rows);
        for row in [0, 100, 259] {
            let nearest = runtime().block_on(fitted.model.nearest(&soon(), &rows[row].input, 3));
            let nearest = nearest.expect("it keeps them");
            assert_eq!((nearest.among, nearest.rows.len()), (rows.len(), 3));
            assert!(nearest.rows.windows(2).all(|pair| pair[0].similarity >= pair[1].similarity));
            // Numbers are words that the tiny encoder doesn't know: rows that differ in nothing else are the same to it.
            let words = |row: usize| rows[row].input.text.trim_end_matches(char::is_numeric);
            let first = nearest.rows[0];
            assert_eq!(words(first.row), words(row));
            assert!(first.similarity > 0.999, "{fine_tune:?}: {first:?}");
        }
    }
}

#[test]
fn several_labels_a_row_are_learned_and_answered_as_a_set() {
    for fine_tune in [FineTune::Never, FineTune::Contrastive, FineTune::Always] {
        let (bench, task, rows) = (Bench::new(fine_tune), task("multi = true"), rows(60, true));
        let fitted = bench.fit(&task, &rows);
        assert_eq!(ask(&fitted, &task, "z refund 7919").answer, Answer::labels(["refund".into()]));
    }
}

#[test]
fn what_is_out_of_scope_is_told_by_its_distance_too() {
    for fine_tune in [FineTune::Never, FineTune::Contrastive] {
        let (bench, task, rows) = (Bench::new(fine_tune), task("out_of_scope = \"other\""), rows(60, false));
        let fitted = bench.fit(&task, &rows);
        assert_eq!(ask(&fitted, &task, "z the the the 7919").answer, Answer::label("other"));
        assert_eq!(ask(&fitted, &task, "z refund 7919").answer, Answer::label("refund"));
    }
}

#[test]
fn the_same_rows_and_seed_give_the_same_file_on_any_number_of_threads() {
    let (task, rows) = (task(""), rows(60, false));
    for fine_tune in [FineTune::Always, FineTune::Contrastive] {
        let file = |threads| {
            let bench = Bench::new(fine_tune);
            let progress = &|_| ControlFlow::Continue(());
            let fitted = bench.fit_with(&Training { seed: 3, threads, kept: None, progress }, &task, &rows);
            std::fs::read(bench.out.path().join(fitted.expect("it trains").file)).expect("it is there")
        };
        assert!(file(1) == file(3), "{fine_tune:?}");
    }
}

#[test]
fn a_base_model_that_has_changed_is_named_and_nothing_is_opened() {
    for fine_tune in [FineTune::Never, FineTune::Always] {
        let (bench, task, rows) = (Bench::new(fine_tune), task(""), rows(30, false));
        let fitted = bench.fit(&task, &rows);
        assert_eq!(bench.reopened(&task, &fitted), Ok(()));
        tiny::write(bench.base.path(), 8).expect("writable");
        let why = bench.reopened(&task, &fitted).expect_err("another model");
        assert!(why.contains("model.safetensors") && why.contains("learn again"), "{why}");
        std::fs::remove_file(bench.base.path().join("tokenizer.json")).expect("it was there");
        let why = bench.reopened(&task, &fitted).expect_err("half a model");
        assert!(why.contains("tokenizer.json"), "{why}");
    }
}

#[test]
fn a_damaged_file_or_other_labels_are_refused() {
    let (bench, task, rows) = (Bench::new(FineTune::Never), task(""), rows(30, false));
    let fitted = bench.fit(&task, &rows);
    let others =
        read_task("t", &Source::new("t.toml", "kind = \"classify\"\nlabels = [\"a\", \"b\"]"), |_| {
            Err(String::new())
        });
    let why = bench.reopened(&others.expect("valid"), &fitted).expect_err("other labels");
    assert!(why.contains("other labels"), "{why}");
    let path = bench.out.path().join(&fitted.file);
    let bytes = std::fs::read(&path).expect("it is there");
    for cut in [0, 7, 300, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).expect("writable");
        let why = bench.reopened(&task, &fitted).expect_err("cut off");
        assert!(why.contains("train the model again"), "{why}");
    }
}

#[test]
fn somebody_who_asks_to_stop_is_obeyed_and_the_next_run_goes_on_to_the_same_file() {
    // By pairs, that is in the second of four trainings of four steps each.
    for (fine_tune, steps_done) in [(FineTune::Always, 3), (FineTune::Contrastive, 6)] {
        let (bench, task, rows) = (Bench::new(fine_tune), task(""), rows(60, false));
        let kept = tempfile::tempdir().expect("a folder");
        let steps = AtomicU32::new(0);
        let count =
            |progress: Progress| progress.loss.map_or(0, |_| steps.fetch_add(1, Ordering::Relaxed) + 1);
        let stop = |progress| match count(progress) == steps_done {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let stopped = bench.fit_on(&task, &rows, Some(kept.path()), &stop);
        assert!(matches!(stopped, Err(TrainError::Cancelled)), "{fine_tune:?}");
        let file = |bench: &Bench, kept| {
            steps.store(0, Ordering::Relaxed);
            let go_on = |progress| {
                count(progress);
                ControlFlow::Continue(())
            };
            let fitted = bench.fit_on(&task, &rows, kept, &go_on).expect("it trains");
            let bytes = std::fs::read(bench.out.path().join(fitted.file)).expect("it is there");
            (bytes, steps.load(Ordering::Relaxed))
        };
        let (resumed, steps_resumed) = file(&bench, Some(kept.path()));
        let (whole, steps_whole) = file(&Bench::new(fine_tune), None);
        assert!(resumed == whole, "{fine_tune:?}");
        assert_eq!(steps_whole - steps_resumed, steps_done, "{fine_tune:?}: what was done is not done again");
    }
}

#[test]
fn progress_climbs_from_stage_to_stage_and_never_falls() {
    for fine_tune in [FineTune::Never, FineTune::Contrastive, FineTune::Always] {
        let (bench, task, rows) = (Bench::new(fine_tune), task(""), rows(60, false));
        let seen = std::sync::Mutex::new(Vec::new());
        let note = |progress: Progress| {
            seen.lock().expect("nobody panicked").push(progress.done);
            ControlFlow::Continue(())
        };
        bench.fit_on(&task, &rows, None, &note).expect("it trains");
        let seen = seen.into_inner().expect("nobody panicked");
        assert!(seen.windows(2).all(|pair| pair[0] <= pair[1]) && seen.iter().all(|done| *done <= 1.0));
        assert!(seen.last().is_some_and(|done| *done > 0.8), "{fine_tune:?}: {seen:?}");
    }
}

#[test]
fn rows_that_cant_be_learned_from_are_refused_in_words() {
    let (bench, task) = (Bench::new(FineTune::Never), task(""));
    let training = Training { seed: 3, threads: 1, kept: None, progress: &|_| ControlFlow::Continue(()) };
    let refused = bench.trainer().fit(&training, &task, &rows(9, false), &[0; 9], bench.out.path());
    assert!(matches!(refused, Err(TrainError::Rows(why)) if why.contains("one fold")));
    let missing =
        EncoderTrainer::new("e".into(), Place::Missing("fetch it first".to_owned()), Config::default());
    let refused =
        missing.fit(&training, &task, &rows(9, false), &[0, 1, 2, 0, 1, 2, 0, 1, 2], bench.out.path());
    assert!(matches!(refused, Err(TrainError::Artifact(why)) if why == "fetch it first"));
}

#[test]
fn what_is_trained_computes_what_is_served() {
    use super::super::finetune::{Batch, Layout, Network, Tape};
    use super::super::{Checkpoint, Encoder};
    let folder = tempfile::tempdir().expect("a folder");
    tiny::write(folder.path(), 7).expect("writable");
    let checkpoint = Checkpoint::open(folder.path()).expect("a model");
    let layout = Layout::new(&checkpoint.config, 0);
    let base = &checkpoint.weights;
    let network = Network { layout, base, pooling: checkpoint.sentence.pooling, normalise: true };
    let parameters = network.layout.start(&checkpoint.weights, &[]);
    let texts = ["where is my refund", "", "the lost card is my card the lost card is my card the lost card"];
    let mut batch = Batch::default();
    for text in texts {
        let tokens = checkpoint.tokenizer.ids(text).expect("it can be read");
        batch.push(&tokens, &checkpoint.weights, &checkpoint.config);
    }
    let trained = network.forward(&parameters, &batch, &mut Tape::default()).to_vec();
    let served = Encoder::of(checkpoint, Precision::F32).encode(&texts).expect("it can be read").concat();
    assert_eq!(trained.len(), served.len());
    for (trained, served) in trained.iter().zip(&served) {
        assert!((trained - served).abs() < 1e-4, "{trained} {served}");
    }
}
