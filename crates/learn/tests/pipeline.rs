//! The whole walk from rows to a release, on a small task that the test makes up.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::executor::block_on;
use sprat_cascade::LadderEnd;
use sprat_learn::learn::{LearnError, Learned, Order, Stage, learn};
use sprat_learn::release::{self, Loaded};
use sprat_learn::relook::{Relook, look_again};
use sprat_learn::savings::{LargeCost, costs};
use sprat_learn::train::Source;
use sprat_models::linear::{Config, LinearTrainer};
use sprat_store::Store;
use sprat_task::{
    Answer, Guarantee, LabelledRow, Model, Money, Provenance, RungRecord, Sha256Hex, Status, Task,
    TrainError, Trainer, read_task,
};

struct Case {
    folder: tempfile::TempDir,
    store: Store,
    task: Task,
}

const TASK: &str = "kind = \"classify\"\nlabels = [\"refund\", \"delivery\", \"technical\"]\nout_of_scope = \"other\"\nlarge = \"large\"\n";

fn case(target: &str) -> Case {
    let folder = tempfile::tempdir().expect("a folder");
    let store =
        Store::open(&format!("sqlite:{}", folder.path().join("sprat.db").display())).expect("a store");
    let source = sprat_task::Source::new("tickets.toml", format!("{TASK}{target}"));
    let task = read_task("tickets", &source, |_| Err(String::new())).expect("valid");
    Case { folder, store, task }
}

/// A number that looks random and is the same everywhere.
fn draw(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Texts of words that mostly, but not always, give their label away; one in `noise` labels is another.
fn rows(from: u64, count: u64, noise: u64) -> Vec<LabelledRow> {
    const WORDS: [(&str, [&str; 6]); 4] = [
        ("refund", ["money", "refund", "paid", "charge", "return", "credit"]),
        ("delivery", ["parcel", "courier", "late", "tracking", "doorstep", "shipped"]),
        ("technical", ["error", "screen", "app", "reset", "blinking", "wifi"]),
        ("other", ["weather", "song", "holiday", "dinner", "football", "garden"]),
    ];
    const COMMON: [&str; 8] = ["the", "my", "hello", "please", "again", "since", "monday", "order"];
    (from..from + count)
        .map(|number| {
            let topic = (draw(number * 31) % 4) as usize;
            let words: Vec<&str> = (0..9)
                .map(|place| {
                    let lot = draw(number * 1_000 + place);
                    if lot.is_multiple_of(3) {
                        WORDS[topic].1[(lot / 7 % 6) as usize]
                    } else {
                        COMMON[(lot / 11 % 8) as usize]
                    }
                })
                .collect();
            let wrong = noise > 0 && draw(number * 77).is_multiple_of(noise);
            let label = WORDS[if wrong { (topic + 1) % 4 } else { topic }].0;
            let mut row = LabelledRow::gold(format!("{} {number}", words.join(" ")), Answer::label(label));
            row.large = Some(Answer::label(WORDS[topic].0));
            row.large_provenance = Provenance::Simulated;
            row.line = number + 1;
            row
        })
        .collect()
}

impl Case {
    fn releases(&self) -> PathBuf {
        self.folder.path().join("releases")
    }

    fn learn(&self, rows: Vec<LabelledRow>) -> Result<Learned, LearnError> {
        self.learn_watched(rows, &|_| ControlFlow::Continue(()))
    }

    fn learn_watched(
        &self,
        rows: Vec<LabelledRow>,
        progress: &(dyn Fn(Stage<'_>) -> ControlFlow<()> + Sync),
    ) -> Result<Learned, LearnError> {
        self.learn_rungs(&[linear("linear", Config::default())], rows, progress)
    }

    fn learn_rungs(
        &self,
        sources: &[Source],
        rows: Vec<LabelledRow>,
        progress: &(dyn Fn(Stage<'_>) -> ControlFlow<()> + Sync),
    ) -> Result<Learned, LearnError> {
        let text: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
        block_on(learn(Order {
            task: &self.task,
            sources,
            data: Sha256Hex::of_parts(text.iter().map(String::as_bytes)),
            rows,
            notices: Vec::new(),
            settings: Sha256Hex::of(b"default"),
            large: Some(large()),
            judge: None,
            prompt: None,
            seed: 1,
            threads: 1,
            now_unix_ms: 1_000,
            code_version: "test",
            releases: &self.releases(),
            store: &self.store,
            progress,
        }))
    }

    fn load(&self, learned: &Learned, task: &Task) -> Loaded {
        let open = |record: &RungRecord, file: Option<&Path>| -> Result<Arc<dyn Model>, String> {
            let trainer = LinearTrainer::new(record.model.clone(), Config::default());
            trainer.open(task, file.ok_or("no file")?).map_err(|error| error.to_string())
        };
        release::load(&learned.folder, &learned.release, task, LadderEnd::NoAnswer, &open)
    }

    fn look_again(
        &self,
        learned: &Learned,
        rows: &[LabelledRow],
        fresh_only: bool,
    ) -> Result<Learned, LearnError> {
        let loaded = self.load(learned, &self.task);
        let large = large();
        let charges = costs(&self.task, &[Some(Money::ZERO)], Some(&large));
        block_on(look_again(Relook {
            task: &self.task,
            release: &learned.release,
            rungs: &loaded.ladder.rungs,
            costs: &charges,
            large: Some(&large),
            judge: None,
            rows,
            fresh_only,
            now_unix_ms: 2_000,
            code_version: "test",
            releases: &self.releases(),
            store: &self.store,
        }))
    }
}

fn linear(name: &str, config: Config) -> Source {
    Source::Trained(Arc::new(LinearTrainer::new(name.into(), config)))
}

fn large() -> LargeCost {
    LargeCost {
        model: "large".into(),
        cost: Money::from_micro(500),
        prices: "invented".into(),
        provenance: Provenance::Simulated,
    }
}

#[test]
fn rows_become_a_certified_release_that_answers_small() {
    let case = case("");
    let learned = case.learn(rows(0, 2_000, 60)).expect("it learns");
    let certificate = &learned.release.certificate;
    assert_eq!(certificate.status, Status::Certified, "{certificate:?}");
    assert_eq!(certificate.guarantee, Guarantee::Gold);
    assert!(certificate.bound.is_some_and(|bound| bound <= 0.05));
    assert!(learned.evidence.ladder.coverage > 0.5, "{:?}", learned.evidence.ladder);
    let savings = learned.evidence.savings.as_ref().expect("the large model has a price");
    assert!(savings.share > 0.3 && savings.provenance == Provenance::Simulated);
    let quality = learned.evidence.quality.as_ref().expect("both labels are known");
    assert_eq!(quality.rows, certificate.n);
    let loaded = case.load(&learned, &case.task);
    assert!(loaded.stale.is_empty() && loaded.ladder.answers_something_small(), "{:?}", loaded.stale);
}

#[test]
fn two_rungs_of_one_kind_keep_files_of_their_own() {
    let case = case("");
    let small = Config { max_features: 1_000, ..Config::default() };
    let sources = [linear("small", small), linear("linear", Config::default())];
    let learned = case.learn_rungs(&sources, rows(0, 2_000, 60), &|_| ControlFlow::Continue(()));
    let learned = learned.expect("it learns");
    let files: Vec<&str> = learned
        .release
        .rungs
        .iter()
        .filter_map(|rung| rung.weights.as_ref())
        .map(|weights| weights.file.as_str())
        .collect();
    assert_eq!(files, ["small.sprat", "linear.sprat"]);
    let loaded = case.load(&learned, &case.task);
    assert!(loaded.stale.is_empty() && loaded.ladder.rungs.len() == 2, "{:?}", loaded.stale);
}

#[test]
fn a_release_whose_file_was_named_by_the_kind_is_still_read() {
    let case = case("");
    let sources = [linear("cheap", Config::default())];
    let learned = case.learn_rungs(&sources, rows(0, 2_000, 60), &|_| ControlFlow::Continue(()));
    let mut learned = learned.expect("it learns");
    let weights = learned.release.rungs[0].weights.as_mut().expect("a file");
    std::fs::rename(learned.folder.join(&weights.file), learned.folder.join("linear.sprat"))
        .expect("renamed");
    weights.file = "linear.sprat".to_owned();
    let loaded = case.load(&learned, &case.task);
    assert!(loaded.stale.is_empty() && loaded.ladder.answers_something_small(), "{:?}", loaded.stale);
}

#[test]
fn gold_and_agreement_are_two_certificates_and_never_one() {
    let case = case("");
    let learned = case.learn(rows(0, 2_000, 60)).expect("it learns");
    let other = learned.release.other_certificates.first().expect("the rows carry both labels");
    assert_eq!(
        (learned.release.certificate.guarantee, other.guarantee),
        (Guarantee::Gold, Guarantee::Agreement)
    );
    assert_eq!(other.accepted, learned.release.certificate.accepted, "both speak of the same thresholds");
    assert!(other.bad <= learned.release.certificate.bad, "the noise is in the gold labels here");
}

#[test]
fn the_same_rows_make_the_same_release_and_spend_no_second_look() {
    let case = case("");
    let first = case.learn(rows(0, 800, 60)).expect("it learns");
    let again = case.learn(rows(0, 800, 60)).expect("it learns");
    assert!(again.unchanged && again.release.id == first.release.id);
    let looks = case.store.datasets().looks(&case.task.name).expect("looks");
    assert_eq!(looks.iter().filter(|look| look.guarantee == Guarantee::Gold).count(), 1);
}

#[test]
fn learning_on_rows_that_were_looked_at_continues_the_count() {
    let case = case("");
    case.learn(rows(0, 800, 60)).expect("it learns");
    let more = case.learn(rows(0, 900, 60)).expect("it learns");
    assert_eq!(more.release.certificate.look, 2);
    let fresh = case.learn(rows(50_000, 800, 60)).expect("it learns");
    assert_eq!(fresh.release.certificate.look, 1, "none of these rows had been looked at");
}

#[test]
fn labels_that_cannot_be_learned_are_never_certified() {
    let case = case("");
    let learned = case.learn(rows(0, 1_500, 2)).expect("it learns");
    assert_ne!(learned.release.certificate.status, Status::Certified);
    let loaded = case.load(&learned, &case.task);
    assert!(!loaded.ladder.answers_something_small());
    assert!(!learned.evidence.next.is_empty());
}

#[test]
fn a_release_that_was_tampered_with_answers_nothing_small() {
    for file in ["linear.sprat", "linear.calibrator.json"] {
        let case = case("");
        let learned = case.learn(rows(0, 2_000, 60)).expect("it learns");
        let path = learned.folder.join(file);
        let mut bytes = std::fs::read(&path).expect("readable");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).expect("writable");
        let loaded = case.load(&learned, &case.task);
        assert!(!loaded.ladder.answers_something_small());
        assert!(loaded.stale[0].contains("has changed since the release was made"), "{:?}", loaded.stale);
    }
}

#[test]
fn a_missing_or_cut_model_file_is_told_and_everything_escalates() {
    let case = case("");
    let learned = case.learn(rows(0, 2_000, 60)).expect("it learns");
    std::fs::write(learned.folder.join("linear.sprat"), b"half").expect("writable");
    assert!(!case.load(&learned, &case.task).ladder.answers_something_small());
    std::fs::remove_file(learned.folder.join("linear.sprat")).expect("removable");
    let loaded = case.load(&learned, &case.task);
    assert!(loaded.ladder.rungs.is_empty() && !loaded.stale.is_empty());
}

#[test]
fn a_certificate_dies_when_the_labels_change_or_the_target_asks_for_more() {
    let strict = case("");
    let learned = strict.learn(rows(0, 2_000, 60)).expect("it learns");
    for (change, reason) in [
        ("[target]\nmax_error = 0.01", "allows an error"),
        ("[target]\nconfidence = 0.99", "confidence"),
        ("[target]\nguarantee = \"agreement\"", "guarantee"),
    ] {
        let source = sprat_task::Source::new("tickets.toml", format!("{TASK}{change}"));
        let task = read_task("tickets", &source, |_| Err(String::new())).expect("valid");
        let loaded = strict.load(&learned, &task);
        assert!(!loaded.ladder.answers_something_small(), "{change}");
        assert!(loaded.stale.iter().any(|stale| stale.contains(reason)), "{change}: {:?}", loaded.stale);
    }
    let source = sprat_task::Source::new("tickets.toml", format!("{TASK}[target]\nmax_error = 0.2"));
    let laxer = read_task("tickets", &source, |_| Err(String::new())).expect("valid");
    assert!(strict.load(&learned, &laxer).ladder.answers_something_small(), "a laxer target is covered");
    let other = TASK.replace("\"technical\"", "\"tech\"");
    let other = read_task("tickets", &sprat_task::Source::new("t.toml", other), |_| Err(String::new()))
        .expect("valid");
    assert!(!strict.load(&learned, &other).ladder.answers_something_small());
}

#[test]
fn a_certificate_is_bound_to_the_calls_that_the_task_listed() {
    let listing = |calls: &[&str]| {
        let listed: Vec<String> =
            calls.iter().map(|call| format!("{:?}", Sha256Hex::of(call.as_bytes()).as_str())).collect();
        format!("[match]\nsystem_prompt_contains = \"Route it\"\nbound_to = [{}]", listed.join(", "))
    };
    let task_of = |more: &str| {
        let source = sprat_task::Source::new("tickets.toml", format!("{TASK}{more}"));
        read_task("tickets", &source, |_| Err(String::new())).expect("valid")
    };
    let case = case(&listing(&["one", "two"]));
    let learned = case.learn(rows(0, 2_000, 60)).expect("it learns");
    assert_eq!(learned.release.certificate.binding.calls, case.task.calls_hash());
    assert!(case.load(&learned, &task_of(&listing(&["two", "one", "two"]))).stale.is_empty(), "in any order");
    for other in [listing(&["one", "two", "three"]), listing(&["one"]), String::new()] {
        let task = task_of(&other);
        let loaded = case.load(&learned, &task);
        assert!(!loaded.ladder.answers_something_small(), "{other}");
        assert!(loaded.stale[0].contains("`bound_to`"), "{:?}", loaded.stale);
    }
    let task = task_of(&listing(&["one", "two", "three"]));
    let case = Case { task, ..case };
    let again = case.look_again(&learned, &rows(10_000, 900, 60), false).expect("certified again");
    assert!(case.load(&again, &case.task).stale.is_empty(), "with the new list");
    // A release from before there were such lists is bound to none.
    let mut old = learned;
    old.release.certificate.binding.calls = None;
    assert!(case.load(&old, &case.task).stale.is_empty());
}

#[test]
fn stopping_leaves_nothing_behind_and_takes_no_look() {
    let case = case("");
    let stopped = case.learn_watched(rows(0, 800, 60), &|stage| match stage {
        Stage::Training(..) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(stopped, Err(LearnError::Train(TrainError::Cancelled))));
    assert!(case.store.datasets().looks(&case.task.name).expect("looks").is_empty());
    let left = std::fs::read_dir(case.releases().join("tickets")).map(Iterator::count).unwrap_or(0);
    assert_eq!(left, 0, "the draft is gone");
}

#[test]
fn another_look_needs_enough_new_rows_and_is_a_release_of_its_own() {
    let case = case("");
    let learned = case.learn(rows(0, 2_000, 60)).expect("it learns");
    let few = case.look_again(&learned, &rows(10_000, 20, 60), false);
    assert!(
        matches!(few, Err(LearnError::Input(ref problem)) if problem.message.contains("too few for another look"))
    );
    let again = case.look_again(&learned, &rows(10_000, 900, 60), false).expect("enough rows");
    assert_eq!((again.release.id.version, again.release.certificate.look), (2, 2));
    assert_eq!(again.release.certificate.n, learned.release.certificate.n + 900);
    assert_eq!(again.release.certificate.status, Status::Certified);
    assert!(case.load(&again, &case.task).stale.is_empty());
    let fresh = case.look_again(&learned, &rows(20_000, 900, 60), true).expect("fresh rows");
    assert_eq!((fresh.release.certificate.look, fresh.release.certificate.n), (1, 900));
}

#[test]
fn rows_that_were_learned_from_prove_nothing() {
    let case = case("");
    let learned = case.learn(rows(0, 2_000, 60)).expect("it learns");
    let mut mixed = rows(0, 2_000, 60);
    mixed.extend(rows(30_000, 900, 60));
    let again = case.look_again(&learned, &mixed, false).expect("enough rows");
    assert_eq!(again.release.certificate.n, learned.release.certificate.n + 900);
    assert!(
        again.evidence.notices.iter().any(|notice| notice.contains("were learned from")),
        "{:?}",
        again.evidence.notices
    );
}

#[test]
fn after_an_upgrade_stored_inputs_tell_whether_anything_is_decided_differently() {
    let case = case("");
    let learned = case.learn(rows(0, 2_000, 60)).expect("it learns");
    let loaded = case.load(&learned, &case.task);
    let replayed = release::read_replay(&learned.folder).expect("stored");
    assert_eq!(replayed.len(), release::REPLAYED);
    let thresholds: Vec<Option<f64>> = learned.release.rungs.iter().map(|rung| rung.threshold).collect();
    let again = || {
        let replay = release::replay(&learned.folder, &case.store, &loaded.ladder, &thresholds, &case.task);
        block_on(replay).expect("read")
    };
    let all = release::Again { stored: release::REPLAYED, asked: release::REPLAYED, changed: 0 };
    assert_eq!(again(), all);
    let mut other = replayed;
    other[0].answers[0] = Some("refund-or-so".to_owned());
    let lines: Vec<String> =
        other.iter().map(|row| serde_json::to_string(row).expect("writes") + "\n").collect();
    std::fs::write(learned.folder.join("replay.jsonl"), lines.concat()).expect("writes");
    assert_eq!(again(), release::Again { changed: 1, ..all });
}

#[test]
fn of_captured_requests_that_are_forgotten_nothing_can_be_replayed() {
    let case = case("");
    let mut rows = rows(0, 2_000, 60);
    // Every other one, so that some of the first certification rows are captured and some are not.
    rows.iter_mut().step_by(2).for_each(|row| row.captured = true);
    let learned = case.learn(rows).expect("it learns");
    let loaded = case.load(&learned, &case.task);
    let thresholds: Vec<Option<f64>> = learned.release.rungs.iter().map(|rung| rung.threshold).collect();
    let replay = release::replay(&learned.folder, &case.store, &loaded.ladder, &thresholds, &case.task);
    let again = block_on(replay).expect("read");
    assert_eq!((again.stored, again.changed), (release::REPLAYED, 0));
    assert!((1..release::REPLAYED).contains(&again.asked), "those that were never captured: {again:?}");
    let reasons = release::read_reasons(&learned.folder, &case.store, &case.task.name).expect("read");
    let (there, gone): (Vec<_>, Vec<_>) = reasons.into_iter().partition(|reason| reason.text.is_some());
    assert!(there.len() > 300 && gone.len() > 300, "{} {}", there.len(), gone.len());
    assert!(gone.iter().all(|reason| reason.label.is_some()), "a label is the task's word, and stays");
}

#[test]
fn rows_that_cannot_teach_are_refused_before_anything_is_trained() {
    let case = case("");
    for (rows, part) in [
        (rows(0, 3, 0), "3"),
        (
            rows(0, 200, 0).into_iter().filter(|row| row.gold == Some(Answer::label("refund"))).collect(),
            "refund",
        ),
        (Vec::new(), ""),
    ] {
        let Err(LearnError::Input(problem)) = case.learn(rows) else { panic!("it must be refused") };
        assert!(problem.to_string().contains(part), "{problem}");
    }
    let mut agreement = rows(0, 200, 0);
    agreement.iter_mut().for_each(|row| row.large = None);
    let wants_large = self::case("[target]\nguarantee = \"agreement\"");
    assert!(matches!(wants_large.learn(agreement), Err(LearnError::Input(_))));
}

#[test]
fn a_joint_promise_and_a_slice_promise_go_through_the_same_walk() {
    let joint = case("[target]\nrisk = \"joint\"\nmax_error_when_answered = 0.2");
    let learned = joint.learn(rows(0, 2_000, 60)).expect("it learns");
    assert_eq!(learned.release.certificate.status, Status::Certified, "{:?}", learned.release.certificate);
    assert!(learned.release.certificate.sentence().starts_with("of all requests"));
    let sliced = case("[[target.slice]]\nlabel = \"refund\"\nmax_error = 0.2");
    let learned = sliced.learn(rows(0, 2_000, 60)).expect("it learns");
    assert_eq!(learned.release.certificate.status, Status::Certified, "{:?}", learned.release.certificate);
}

/// The same texts as things to moderate: two categories, one text with both, one with none.
fn comments(count: u64, noise: u64) -> Vec<LabelledRow> {
    let categories = |answer: &Answer| {
        let labels: &[&str] = match answer.to_line().as_str() {
            "refund" => &["hate"],
            "delivery" => &["spam"],
            "technical" => &["hate", "spam"],
            _ => &[],
        };
        Answer::labels(labels.iter().map(|label| (*label).into()))
    };
    let mut rows = rows(0, count, noise);
    for row in &mut rows {
        row.gold = row.gold.as_ref().map(categories);
        row.large = None;
    }
    rows
}

fn moderating(target: &str) -> Case {
    let text =
        format!("kind = \"moderate\"\nlabels = [\"hate\", \"spam\"]\nlarge = \"large\"\n[target]\n{target}");
    let source = sprat_task::Source::new("comments.toml", text);
    let task = read_task("comments", &source, |_| Err(String::new())).expect("valid");
    Case { task, ..case("") }
}

#[test]
fn a_task_that_moderates_is_certified_with_the_recall_of_each_category() {
    let case = moderating("max_missed = 0.05");
    let learned = case.learn(comments(4_000, 100)).expect("it learns");
    let certificate = &learned.release.certificate;
    assert_eq!(certificate.status, Status::Certified, "{certificate:?}");
    assert!(certificate.accepted > certificate.n / 2, "{certificate:?}");
    assert_eq!(certificate.recall.len(), 2);
    for recall in &certificate.recall {
        assert!(recall.positives > 300 && recall.flagged > recall.positives / 3, "{recall:?}");
        assert!(recall.bound.is_some_and(|bound| bound <= 0.05), "{recall:?}");
    }
    assert!(case.load(&learned, &case.task).ladder.answers_something_small());
}

#[test]
fn whoever_asks_for_more_recall_than_was_proved_gets_no_small_answers() {
    let case = moderating("max_missed = 0.05");
    let learned = case.learn(comments(4_000, 100)).expect("it learns");
    for (target, said) in [
        ("max_missed = 0.04", Some("be missed")),
        ("[[target.category]]\nlabel = \"spam\"\nmax_missed = 0.01", Some("what is spam")),
        ("max_missed = 0.2", None),
    ] {
        let loaded = case.load(&learned, &moderating(target).task);
        assert_eq!(loaded.stale.first().map(|why| why.contains(said.unwrap_or(""))), said.map(|_| true));
        assert_eq!(loaded.ladder.answers_something_small(), said.is_none(), "{target}");
    }
}

#[test]
fn too_few_of_a_category_prove_nothing_of_it() {
    let case = moderating("max_missed = 0.02");
    let learned = case.learn(comments(600, 0)).expect("it learns");
    assert_eq!(learned.release.certificate.status, Status::Underpowered, "{:?}", learned.release.certificate);
    assert!(!case.load(&learned, &case.task).ladder.answers_something_small());
}
