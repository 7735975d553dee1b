//! The behaviour of the whole model, on rows small enough to read.

use super::*;
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const TOPICS: [(&str, [&str; 4]); 3] = [
    ("billing", ["invoice", "charged", "payment", "receipt"]),
    ("delivery", ["parcel", "courier", "tracking", "arrive"]),
    ("password", ["login", "reset", "account", "locked"]),
];
const FILLERS: [&str; 6] = ["please", "help me with", "why is", "my", "the", "today"];

/// Sentences of one topic word among fillers, and their topics.
fn sentences(rows: usize) -> (Vec<String>, Vec<u32>) {
    let row = |i: usize| {
        let (_, words) = TOPICS[i % 3];
        let (topic, filler) = (words[i / 3 % 4], |k: usize| FILLERS[(i * 7 + k * 5 + i / 5) % 6]);
        format!("{} {} {topic} {}", filler(0), filler(1), filler(2))
    };
    ((0..rows).map(row).collect(), (0..rows).map(|i| (i % 3) as u32).collect())
}

fn topics() -> Vec<String> {
    TOPICS.map(|(name, _)| name.to_owned()).to_vec()
}

fn borrow(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn fit_on(texts: &[&str], targets: &[u32], labels: &[&str]) -> LinearModel {
    let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
    let rows = Rows::one_label(texts, targets, &labels).unwrap();
    LinearModel::fit(&rows, &Config::default(), Watch::default()).unwrap()
}

fn topic_model() -> LinearModel {
    let (texts, targets) = sentences(90);
    fit_on(&borrow(&texts), &targets, &["billing", "delivery", "password"])
}

fn topic_of(model: &LinearModel, text: &str) -> String {
    model.labels()[model.choose(&model.predict(text).log_probabilities)[0] as usize].clone()
}

fn saved(model: &LinearModel) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.linear");
    model.save(&path).unwrap();
    (folder, path)
}

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// A row of probabilities: finite, at most 1, summing to 1.
fn assert_distribution(prediction: &Prediction) {
    let sum: f32 = prediction.log_probabilities.iter().map(|log| log.exp()).sum();
    assert!((sum - 1.0).abs() < 1e-4, "{prediction:?}");
    let Signals { max_probability, margin, entropy, unknown_words, best_score, .. } = prediction.signals;
    assert!(
        [max_probability, margin, entropy, unknown_words, best_score].iter().all(|signal| signal.is_finite())
    );
    assert!((0.0..=1.0).contains(&unknown_words) && margin >= 0.0 && entropy >= 0.0);
}

#[test]
fn a_learnable_task_is_learned() {
    let model = topic_model();
    for (text, topic) in [
        ("a parcel without tracking", "delivery"),
        ("charged twice, no receipt", "billing"),
        ("locked out of my account, reset login", "password"),
        ("INVOICES", "billing"),
    ] {
        assert_eq!(topic_of(&model, text), topic, "{text}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_model_and_the_same_held_out_predictions() {
    let (texts, targets) = sentences(120);
    let (texts, labels) = (borrow(&texts), topics());
    let rows = Rows::one_label(&texts, &targets, &labels).unwrap();
    let folds: Vec<u32> = (0..120).map(|row| row % 4).collect();
    let train = || LinearModel::fit_with_folds(&rows, &folds, &Config::default(), Watch::default()).unwrap();
    let (one, held_out_by_one) = with_threads(1, train);
    let (five, held_out_by_five) = with_threads(5, train);
    assert_eq!(one.fingerprint(), five.fingerprint());
    assert_eq!(held_out_by_one, held_out_by_five);
}

#[test]
fn another_seed_gives_another_model() {
    let (texts, targets) = sentences(60);
    let (texts, labels) = (borrow(&texts), topics());
    let rows = Rows::one_label(&texts, &targets, &labels).unwrap();
    let with_seed = |seed| {
        let config = Config { seed, ..Config::default() };
        LinearModel::fit(&rows, &config, Watch::default()).unwrap().fingerprint()
    };
    assert_eq!(with_seed(1), with_seed(1));
    assert_ne!(with_seed(1), with_seed(2));
}

#[test]
fn a_saved_model_answers_as_before_bit_for_bit() {
    let model = topic_model();
    let (_folder, path) = saved(&model);
    let opened = LinearModel::open(&path).unwrap();
    assert_eq!(opened.fingerprint(), model.fingerprint());
    assert_eq!(opened.header(), model.header());
    for text in ["where is my parcel", "", "quite unheard-of words", "reset reset reset"] {
        assert_eq!(opened.predict(text), model.predict(text));
    }
}

#[test]
fn saving_leaves_nothing_but_the_model() {
    let (folder, path) = saved(&topic_model());
    topic_model().save(&path).unwrap();
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["model.linear"]);
}

#[test]
fn many_texts_at_once_are_answered_as_one_by_one() {
    let model = topic_model();
    let (texts, _) = sentences(300);
    let texts = borrow(&texts);
    let one_by_one: Vec<Prediction> = texts.iter().map(|text| model.predict(text)).collect();
    assert_eq!(model.predict_batch(&texts), one_by_one);
}

#[test]
fn strange_texts_are_answered() {
    let model = topic_model();
    let long = "parcel ".repeat(15_000);
    let one_word = "x".repeat(100_000);
    for text in [
        "",
        " \t\n",
        "\0\0parcel\0",
        "📦🚚👩‍👩‍👧‍👦",
        "أين طردي؟ שלום",
        "ﬁ Ⅷ ①",
        "'",
        "don't '",
        "e\u{301}\u{301}\u{301}",
        &long,
        &one_word,
    ] {
        assert_distribution(&model.predict(text));
    }
}

#[test]
fn a_text_of_unknown_words_says_so() {
    let model = topic_model();
    let strange = model.predict("zzyzx qwxv").signals;
    assert_eq!((strange.unknown_words, strange.words), (1.0, 2));
    let known = model.predict("parcel please zzyzx tracking").signals;
    assert_eq!((known.unknown_words, known.words), (0.25, 4));
    assert!(known.max_probability > strange.max_probability);
}

#[test]
fn writing_does_not_matter() {
    let model = topic_model();
    let plain = model.predict("my parcel 12");
    for text in ["MY PARCEL 12", "  my\tparcel\u{a0}97 ", "ｍｙ ｐａｒｃｅｌ 00"] {
        assert_eq!(model.predict(text), plain, "{text}");
    }
}

#[test]
fn the_smallest_tasks_have_a_model() {
    let one = fit_on(&["hello"], &[0], &["only"]);
    assert_eq!(one.predict("anything").log_probabilities, [0.0]);

    let three = fit_on(&["red apple", "blue sky", "green leaf"], &[0, 1, 2], &["fruit", "air", "plant"]);
    assert_eq!(topic_of(&three, "the blue sky"), "air");

    let two = fit_on(&["good film", "bad film", "good", "bad"], &[0, 1, 0, 1], &["praise", "blame"]);
    assert_eq!(topic_of(&two, "a bad one"), "blame");
    assert_distribution(&two.predict("a bad one"));

    let unseen = fit_on(&["red apple", "blue sky"], &[0, 2], &["fruit", "never", "air"]);
    assert_eq!(topic_of(&unseen, "red"), "fruit");

    let textless = fit_on(&["", ""], &[0, 1], &["a", "b"]);
    assert_distribution(&textless.predict("something"));
}

#[test]
fn a_label_of_one_row_is_found_again() {
    let (mut texts, mut targets) = sentences(60);
    texts.push("the giraffe escaped".to_owned());
    targets.push(3);
    let model = fit_on(&borrow(&texts), &targets, &["billing", "delivery", "password", "zoo"]);
    assert_eq!(topic_of(&model, "the giraffe escaped"), "zoo");
}

#[test]
fn a_text_may_carry_several_labels_or_none() {
    let colours = ["red", "green", "blue"];
    let things = ["car", "house", "tree", "boat", "hat"];
    let mut texts = Vec::new();
    let mut targets = Vec::new();
    for i in 0..160 {
        let carried: Vec<u32> = (0..3).filter(|colour| i >> colour & 1 == 1).collect();
        let mut text = things[i % 5].to_owned();
        for &colour in &carried {
            text = format!("{text} {}", colours[colour as usize]);
        }
        texts.push(text);
        targets.push(carried);
    }
    let labels: Vec<String> = colours.map(str::to_owned).to_vec();
    let texts = borrow(&texts);
    let rows = Rows::several_labels(&texts, &targets, &labels).unwrap();
    let model = LinearModel::fit(&rows, &Config::default(), Watch::default()).unwrap();
    for (text, expected) in
        [("a red and blue hat", vec![0, 2]), ("tree", vec![]), ("red green blue house", vec![0, 1, 2])]
    {
        assert_eq!(model.choose(&model.predict(text).log_probabilities), expected, "{text}");
    }
}

#[test]
fn a_text_is_left_without_a_label_only_where_rows_were() {
    let labels = ["red", "green", "blue"].map(str::to_owned);
    let chosen = |unlabelled: usize| {
        let mut texts: Vec<String> = (0..90).map(|i| format!("{} thing {i}", labels[i % 3])).collect();
        let mut targets: Vec<Vec<u32>> = (0..90).map(|i| vec![i % 3]).collect();
        texts.extend((0..unlabelled).map(|i| format!("plain stuff {i}")));
        targets.extend((0..unlabelled).map(|_| Vec::new()));
        let texts = borrow(&texts);
        let rows = Rows::several_labels(&texts, &targets, &labels).unwrap();
        let model = LinearModel::fit(&rows, &Config::default(), Watch::default()).unwrap();
        let prediction = model.predict("plain stuff");
        (model.choose(&prediction.log_probabilities), prediction.signals)
    };
    assert!(chosen(30).0.is_empty());
    let (labels, signals) = chosen(0);
    assert_eq!(labels.len(), 1, "every text of training carries a label");
    assert!(signals.max_probability < 0.5, "and the one it is given is a guess: {signals:?}");
}

/// A model of the topics and a fourth label, "other", with these texts as its rows.
fn model_with_other(others: &[&str], in_scope_loss: f32) -> LinearModel {
    let (texts, mut targets) = sentences(90);
    let mut texts = borrow(&texts);
    texts.extend(others);
    targets.resize(texts.len(), 3);
    let labels = [topics(), vec!["other".to_owned()]].concat();
    let rows = Rows::one_label(&texts, &targets, &labels).unwrap().out_of_scope(3).unwrap();
    LinearModel::fit(&rows, &Config { in_scope_loss, ..Config::default() }, Watch::default()).unwrap()
}

#[test]
fn a_text_no_label_claims_is_out_of_scope_with_or_without_rows_of_that_kind() {
    for others in [&["who won the football match", "sing a song", "is it going to rain"][..], &[]] {
        let model = model_with_other(others, 0.05);
        assert_eq!(topic_of(&model, "recipe for onion soup"), "other");
        assert_eq!(topic_of(&model, "my parcel tracking please"), "delivery");
        let in_scope = |text| model.predict(text).signals.in_scope.unwrap();
        assert!(in_scope("recipe for onion soup") < in_scope("my parcel tracking please"));
    }
}

#[test]
fn giving_up_more_right_answers_refuses_more_texts() {
    let odds = |loss| model_with_other(&[], loss).predict("the charged courier").signals.in_scope.unwrap();
    assert!(odds(0.0) >= odds(0.1) && odds(0.1) > odds(0.5));
}

#[test]
fn a_row_of_weight_zero_teaches_nothing_and_a_heavy_row_wins() {
    let texts = ["tea", "tea", "coffee", "juice", "juice"];
    let labels = ["hot".to_owned(), "cold".to_owned(), "other".to_owned()];
    let decide = |weights: [f32; 5]| {
        let rows = Rows::one_label(&texts, &[0, 1, 2, 1, 2], &labels).unwrap().weighted(&weights).unwrap();
        topic_of(&LinearModel::fit(&rows, &Config::default(), Watch::default()).unwrap(), "tea")
    };
    assert_eq!(decide([1.0, 0.0, 1.0, 1.0, 1.0]), "hot");
    assert_eq!(decide([1.0, 9.0, 1.0, 1.0, 1.0]), "cold");
}

#[test]
fn held_out_predictions_come_from_models_that_never_saw_the_row() {
    // Every text is its own word, so that only memory could know its label.
    let texts: Vec<String> =
        (0..40).map(|i| format!("q{}", "abcdefghij".repeat(i % 7 + 1).split_at(i % 9 + 1).0)).collect();
    let labels = ["left".to_owned(), "right".to_owned()];
    let targets: Vec<u32> = (0..40).map(|i| i % 2).collect();
    let texts = borrow(&texts);
    let rows = Rows::one_label(&texts, &targets, &labels).unwrap();
    let one_fold_a_row: Vec<u32> = (0..40).collect();
    let predictions =
        LinearModel::out_of_fold(&rows, &one_fold_a_row, &Config::default(), Watch::default()).unwrap();
    let alone = {
        let others: Vec<&str> = texts[1..].to_vec();
        let rows = Rows::one_label(&others, &targets[1..], &labels).unwrap();
        LinearModel::fit(&rows, &Config::default(), Watch::default()).unwrap().predict(texts[0])
    };
    assert_eq!(predictions[0].signals.unknown_words, alone.signals.unknown_words);
    assert_eq!(predictions[0].signals.best_score, alone.signals.best_score);
}

#[test]
fn progress_is_reported_and_training_can_be_stopped() {
    let (texts, targets) = sentences(60);
    let (texts, labels) = (borrow(&texts), topics());
    let rows = Rows::one_label(&texts, &targets, &labels).unwrap();
    let (seen, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let listen = |progress: Progress| seen.lock().unwrap().push(progress);
    let watch = Watch { progress: Some(&listen), cancelled: Some(&stop) };
    LinearModel::fit(&rows, &Config::default(), watch).unwrap();
    let of_the_model: Vec<Progress> =
        seen.lock().unwrap().iter().copied().filter(|p| p.fold.is_none()).collect();
    assert!(of_the_model.len() > 1 && of_the_model.last().unwrap().loss < of_the_model[0].loss);

    stop.store(true, Ordering::Relaxed);
    let stopped = LinearModel::fit(&rows, &Config::default(), watch).err();
    assert_eq!(stopped, Some(TrainError::Cancelled));
}

#[test]
fn rows_that_do_not_fit_together_are_refused() {
    let labels = ["a".to_owned()];
    let none: [String; 0] = [];
    let refuse =
        |rows: Result<Rows, RowsError>| rows.err().map(|error| error.to_string()).unwrap_or_default();
    for (rows, message) in [
        (Rows::one_label(&[], &[], &labels), "no rows to learn from; give at least one labelled row"),
        (Rows::one_label(&["x"], &[0], &none), "no labels; name at least one label"),
        (Rows::one_label(&["x"], &[], &labels), "1 texts but 0 targets; give one for each text"),
        (
            Rows::one_label(&["x"], &[1], &labels),
            "row 0 has label number 1, but there are 1 labels, numbered from 0",
        ),
        (
            Rows::one_label(&["x"], &[0], &labels).and_then(|rows| rows.weighted(&[f32::NAN])),
            "row 0 has weight NaN; a weight is a number of at least 0",
        ),
    ] {
        assert_eq!(refuse(rows), message);
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let labels = topics();
    let rows = Rows::one_label(&["x"], &[0], &labels).unwrap();
    for (config, setting) in [
        (Config { cost: 0.0, ..Config::default() }, "cost"),
        (Config { cost: f32::NAN, ..Config::default() }, "cost"),
        (Config { epochs: 0, ..Config::default() }, "epochs"),
        (Config { tolerance: -1.0, ..Config::default() }, "tolerance"),
        (Config { balance: 2.0, ..Config::default() }, "balance"),
        (Config { in_scope_loss: -0.1, ..Config::default() }, "in_scope_loss"),
        (Config { max_features: 0, ..Config::default() }, "max_features"),
    ] {
        let error = LinearModel::fit(&rows, &config, Watch::default()).err().unwrap().to_string();
        assert!(error.starts_with(&format!("`{setting}` is ")), "{error}");
    }
}

#[test]
fn features_are_capped_and_the_commonest_stay() {
    let (texts, targets) = sentences(90);
    let (texts, labels) = (borrow(&texts), topics());
    let rows = Rows::one_label(&texts, &targets, &labels).unwrap();
    let config = Config { max_features: 200, ..Config::default() };
    let model = LinearModel::fit(&rows, &config, Watch::default()).unwrap();
    assert!(model.size() < topic_model().size());
    assert_eq!(topic_of(&model, "parcel tracking"), "delivery");
}

/// Opens bytes as a file; the error, as its first words.
fn open_bytes(bytes: &[u8]) -> Result<LinearModel, OpenError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.linear");
    std::fs::write(&path, bytes).unwrap();
    LinearModel::open(&path)
}

fn model_bytes() -> Vec<u8> {
    let (_folder, path) =
        saved(&fit_on(&["red apple", "blue sky", "green leaf"], &[0, 1, 2], &["a", "b", "c"]));
    std::fs::read(path).unwrap()
}

#[test]
fn files_that_are_no_model_are_named_for_what_they_are() {
    let bytes = model_bytes();
    let mut newer = bytes.clone();
    newer[8] = 99;
    let mut longer = bytes.clone();
    longer.extend([0; 64]);
    let mut huge = bytes.clone();
    huge[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(open_bytes(&[]), Err(OpenError::NotAModel)));
    assert!(matches!(open_bytes(b"GGUF and so on, and so on"), Err(OpenError::NotAModel)));
    assert!(matches!(open_bytes(&newer), Err(OpenError::Version { found: 99 })));
    assert!(matches!(open_bytes(&longer), Err(OpenError::Length { .. })));
    assert!(matches!(open_bytes(&huge), Err(OpenError::Length { expected: u64::MAX, .. })));
    assert!(matches!(LinearModel::open("nowhere/at/all".as_ref()), Err(OpenError::Io(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_truncated_file_is_refused(cut in any::<prop::sample::Index>()) {
        let bytes = model_bytes();
        prop_assert!(open_bytes(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn a_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = model_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(open_bytes(&bytes).is_err());
    }

    /// A liar with a right checksum is still refused or harmless: sizes are checked before anything is read.
    #[test]
    fn a_forged_header_never_leads_outside_the_file(
        field in prop::sample::select(vec!["features", "word_features", "slots", "heads", "stride", "out_of_scope"]),
        value in prop_oneof![0..20_u32, Just(1 << 20), Just(u32::MAX)],
    ) {
        if let Ok(model) = open_bytes(&artifact::forge(model_bytes(), field, value)) {
            assert_distribution(&model.predict("red sky"));
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,60}|[\\x00-\\x7f]{0,60}") {
        thread_local! { static MODEL: LinearModel = topic_model(); }
        MODEL.with(|model| assert_distribution(&model.predict(&text)));
    }
}
