//! Evidence as rows of tables: every number is a text by now, and every stranger's text is fit to be shown (the template
//! escapes it).

use sprat_task::{Binding, Guarantee, Sha256Hex};

use super::format::{UNKNOWN, bytes, count, duration_us, money, part_of, percent, percent_or_unknown, shown};
use super::words::{Terms, significant};
use crate::evidence::{Evidence, LabelEvidence, OutOfScope, RowCounts, RungEvidence};

/// A rung as a row of the table.
pub struct RungRow {
    /// The model's name.
    pub model: String,
    /// The sort of model.
    pub kind: String,
    /// The other cells, in the order of [`rung_columns`].
    pub cells: Vec<String>,
}

/// The table's columns after the model's name, in terms of accuracy or agreement.
pub fn rung_columns(terms: &Terms) -> Vec<String> {
    [
        "coverage".to_owned(),
        terms.selective_accuracy.to_owned(),
        format!("{} alone", terms.accuracy),
        "macro-F1 alone".to_owned(),
        "answers above".to_owned(),
        "latency p50".to_owned(),
        "latency p99".to_owned(),
        "cost per 1,000".to_owned(),
        "size".to_owned(),
        "training".to_owned(),
    ]
    .to_vec()
}

/// Each rung, and the ladder as the last row; nothing without rungs.
pub fn rungs(evidence: &Evidence) -> Vec<RungRow> {
    let looked = evidence.ladder.rows > 0;
    let share = |share: f64| if looked { percent(share) } else { UNKNOWN.to_owned() };
    let unknown_if_zero =
        |number: u64, written: String| if number == 0 { UNKNOWN.to_owned() } else { written };
    let of_rung = |rung: &RungEvidence| RungRow {
        model: shown(rung.model.as_str()),
        kind: shown(&rung.kind),
        cells: vec![
            share(rung.coverage),
            selective(rung.selective_accuracy, rung.threshold.is_none()),
            share(rung.accuracy),
            share(rung.macro_f1),
            rung.threshold.map_or_else(|| "never".to_owned(), significant),
            // Evidence has no word for a time that nobody took; nothing takes no time at all.
            unknown_if_zero(rung.latency_p50_us, duration_us(rung.latency_p50_us)),
            unknown_if_zero(rung.latency_p99_us, duration_us(rung.latency_p99_us)),
            rung.cost_micro_usd.map_or_else(|| UNKNOWN.to_owned(), |cost| money(cost.times(1_000))),
            unknown_if_zero(rung.bytes, bytes(rung.bytes)),
            unknown_if_zero(rung.fit_ms, duration_us(rung.fit_ms.saturating_mul(1_000))),
        ],
    };
    let ladder = &evidence.ladder;
    let mut cells =
        vec![share(ladder.coverage), selective(ladder.selective_accuracy, true), share(ladder.accuracy)];
    cells.extend(std::iter::repeat_n(String::new(), 7));
    let whole = RungRow { model: "the ladder".to_owned(), kind: String::new(), cells };
    evidence.rungs.iter().map(of_rung).chain([whole]).collect()
}

fn selective(accuracy: Option<f64>, answers_nothing: bool) -> String {
    match accuracy {
        None if answers_nothing => "answers none".to_owned(),
        accuracy => percent_or_unknown(accuracy),
    }
}

/// A label as a row of the table.
pub struct LabelRow {
    /// The label.
    pub label: String,
    /// Rows, precision, recall, F1, coverage.
    pub cells: [String; 5],
}

/// Each label, the least F1 first; labels that no row carries last.
pub fn labels(labels: &[LabelEvidence]) -> Vec<LabelRow> {
    let mut sorted: Vec<&LabelEvidence> = labels.iter().collect();
    sorted.sort_by(|a, b| {
        (a.rows == 0).cmp(&(b.rows == 0)).then(a.f1.total_cmp(&b.f1)).then(a.label.cmp(&b.label))
    });
    let row = |label: &LabelEvidence| {
        let carried = |share: f64| if label.rows == 0 { UNKNOWN.to_owned() } else { percent(share) };
        LabelRow {
            label: shown(label.label.as_str()),
            cells: [
                count(label.rows),
                precision(label.precision),
                carried(label.recall),
                carried(label.f1),
                carried(label.coverage),
            ],
        }
    };
    sorted.into_iter().map(row).collect()
}

/// A precision of 0 stands for "never given" as well: both mean that no answer with it was right.
fn precision(precision: f64) -> String {
    if precision == 0.0 { "none right".to_owned() } else { percent(precision) }
}

/// How well "none of these" is recognised, by name.
pub fn out_of_scope(found: &OutOfScope, certification_rows: u64, terms: &Terms) -> Vec<(String, String)> {
    let known = |known: bool, written: String| if known { written } else { UNKNOWN.to_owned() };
    let facts = [
        ("label", shown(found.label.as_str())),
        ("rows out of scope", part_of(found.rows, certification_rows)),
        ("recall: of these, recognised", known(found.rows > 0, percent(found.recall))),
        ("precision: of the rows called so, those that are", precision(found.precision)),
        (
            &format!("{} on rows in scope", terms.accuracy),
            known(found.rows < certification_rows, percent(found.in_scope_accuracy)),
        ),
        (
            "area under the ROC curve of the reject score",
            known(found.rows > 0 && found.rows < certification_rows, significant(found.auroc)),
        ),
    ];
    facts.map(|(name, fact)| (name.to_owned(), fact)).to_vec()
}

/// Where the rows went, by name.
pub fn data(evidence: &Evidence) -> Vec<(&'static str, String)> {
    let rows = &evidence.rows;
    let read = rows.read;
    if *rows == RowCounts::default() {
        return vec![("rows read", UNKNOWN.to_owned())];
    }
    vec![
        ("rows read", count(read)),
        ("without a usable label", part_of(rows.unlabelled, read)),
        ("exact duplicates", part_of(rows.exact_duplicates, read)),
        ("groups of nearly the same text", count(rows.near_duplicate_clusters)),
        ("texts with two different labels", count(rows.conflicts)),
        ("learned from", part_of(rows.train, read)),
        ("kept to certify on", part_of(rows.certification, read)),
        (
            "neither: without a label, outvoted, or too like a certification row",
            // After another look, the rows that were read are not the rows that were learned from.
            match read.checked_sub(rows.train.saturating_add(rows.certification)) {
                Some(neither) => part_of(neither, read),
                None => UNKNOWN.to_owned(),
            },
        ),
        (
            "conversations and users",
            match rows.by_session {
                true => "kept on one side of the split, at most one certification row each",
                false => "not named by the rows, which were treated as independent",
            }
            .to_owned(),
        ),
        (
            "time",
            match rows.by_time {
                true => "certification rows are later than training rows",
                false => "certification rows were drawn at random",
            }
            .to_owned(),
        ),
    ]
}

/// What a certificate dies with, by name.
pub fn binding(binding: &Binding, guarantee: Guarantee) -> Vec<(&'static str, String)> {
    let hash =
        |hash: &Option<Sha256Hex>| hash.as_ref().map_or_else(|| UNKNOWN.to_owned(), ToString::to_string);
    let prompt = match (&binding.prompt, guarantee) {
        (None, Guarantee::Gold) => "not bound: a gold promise does not speak of the large model".to_owned(),
        (prompt, _) => hash(prompt),
    };
    vec![
        ("weights, calibrators and thresholds", hash(&binding.rungs)),
        ("labels", hash(&binding.labels)),
        ("large model and prompt", prompt),
        ("scorer version", binding.scorer_version.to_string()),
    ]
}
