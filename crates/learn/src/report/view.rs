//! Evidence as the rows and figures of the page: every number is a text by now, and every stranger's text is fit to be
//! shown (the template escapes it).

use sprat_task::certificate::percent as short_percent;
use sprat_task::{Binding, Guarantee, Money, Provenance, Sha256Hex};

use super::format::{
    UNKNOWN, bytes, count, counted, duration_us, money, part_of, percent, percent_or_unknown, points, shown,
};
use super::words::{Terms, significant};
use crate::evidence::{Evidence, LabelEvidence, OutOfScope, Quality, RungEvidence, Savings};

/// A number that a reader looks for first.
pub struct Figure {
    /// What it is.
    pub name: String,
    /// The number.
    pub value: String,
    /// What it is out of, or how it came about.
    pub note: String,
    /// Shown beside it where it isn't measured.
    pub provenance: Option<String>,
}

impl Figure {
    fn new(name: impl Into<String>, value: String, note: impl Into<String>) -> Self {
        Self { name: capital(&name.into()), value, note: note.into(), provenance: None }
    }

    fn from(self, provenance: Provenance) -> Self {
        let provenance = (provenance != Provenance::Measured).then(|| provenance.to_string());
        Self { provenance, ..self }
    }
}

/// The figures that stand on top.
pub fn figures(evidence: &Evidence, terms: &Terms) -> Vec<Figure> {
    let ladder = &evidence.ladder;
    let known = |share: f64| (ladder.rows > 0).then_some(share);
    let answered = format!("of {} is answered small", counted(ladder.rows, "certification row"));
    let mut figures = vec![
        Figure::new("coverage", percent_or_unknown(known(ladder.coverage)), answered),
        Figure::new(
            terms.selective_accuracy,
            percent_or_unknown(ladder.selective_accuracy),
            match ladder.selective_accuracy {
                Some(_) => "of the answers given small",
                None => "nothing is answered small",
            },
        ),
        Figure::new(
            terms.joint_error,
            percent_or_unknown(known(ladder.joint_error)),
            format!("of all requests get a small answer that is {}", terms.wrong),
        ),
        Figure::new(
            format!("{} alone", terms.accuracy),
            percent_or_unknown(known(ladder.accuracy)),
            "if the ladder answered everything itself, nothing escalated",
        ),
    ];
    figures.extend(savings(evidence.savings.as_ref()));
    figures.push(quality(evidence.quality.as_ref()));
    figures
}

fn savings(savings: Option<&Savings>) -> Vec<Figure> {
    let Some(savings) = savings else {
        let why = "there is no large model, or its price is not known";
        return vec![Figure::new("saving", UNKNOWN.to_owned(), why)];
    };
    let requests = counted(savings.requests, "request");
    let share = match savings.all_large_micro_usd {
        Money::ZERO => String::new(),
        _ => format!("{}: ", percent(savings.share)),
    };
    let all_large = Figure::new(
        "saving against all-large",
        money(savings.all_large_micro_usd - savings.ladder_micro_usd),
        format!(
            "per {requests}; {share}{} instead of {}, net of every step and audit; prices: {}",
            money(savings.ladder_micro_usd),
            money(savings.all_large_micro_usd),
            shown(&savings.prices)
        ),
    );
    let single = match &savings.cheapest_single {
        Some((model, cost)) => Figure::new(
            format!("saving against {} alone", shown(model.as_str())),
            money(*cost - savings.ladder_micro_usd),
            format!(
                "per {requests}; {} instead of {}; it is the cheapest single model that meets the target{}",
                money(savings.ladder_micro_usd),
                money(*cost),
                if *cost < savings.ladder_micro_usd { ", and cheaper than the ladder" } else { "" }
            ),
        ),
        None => Figure::new(
            "saving against one model alone",
            "no baseline".to_owned(),
            "no single model is shown to meet the target by itself",
        ),
    };
    vec![all_large.from(savings.provenance), single.from(savings.provenance)]
}

fn quality(quality: Option<&Quality>) -> Figure {
    let name = "quality against all-large";
    let Some(quality) = quality else {
        let why = "the large model’s answers to the labelled certification rows are not known";
        return Figure::new(name, UNKNOWN.to_owned(), why);
    };
    let (low, high) = quality.interval;
    let verdict = if quality.non_inferior {
        "passed: not worse than all-large"
    } else if high < -quality.margin {
        "failed: worse than all-large"
    } else {
        "inconclusive: the interval reaches below the margin"
    };
    let note = format!(
        "{} end to end against {} on the same {}; paired {} interval {} to {}; margin {}: {verdict}",
        percent(quality.cascade_accuracy),
        percent(quality.large_accuracy),
        counted(quality.rows, "row"),
        short_percent(quality.confidence),
        points(low),
        points(high),
        in_points(quality.margin),
    );
    Figure::new(name, format!("{} points", points(quality.difference)), note).from(quality.provenance)
}

fn in_points(share: f64) -> String {
    let points = significant(share * 100.0);
    format!("{points} {}", if points == "1" { "point" } else { "points" })
}

/// Whatever on the page is not measured, a sentence each, beginning with where it comes from.
pub fn provenances(evidence: &Evidence) -> Vec<(String, String)> {
    let savings = evidence.savings.as_ref().map(|savings| savings.provenance);
    let quality = evidence.quality.as_ref().map(|quality| quality.provenance);
    let of_answers = "the large model’s answers, and so every comparison and agreement with it";
    let told = |provenance: Provenance, what: &str| {
        let how = match provenance {
            Provenance::Authored => {
                "were written by hand to look like the real thing: a demonstration, not a measurement"
            }
            Provenance::Simulated => "were produced by a simulation, not by a real model",
            Provenance::Recorded => "were recorded from a real model earlier and are played back",
            Provenance::Measured => return None,
        };
        Some((provenance.to_string(), format!("{what}, {how}.")))
    };
    let mut told: Vec<(String, String)> = [
        savings.and_then(|from| told(from, "what the large model costs, and so every saving")),
        quality.and_then(|from| told(from, of_answers)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let certificates = std::iter::once(&evidence.certificate).chain(&evidence.other_certificates);
    let mut speak_of_large = certificates.filter(|certificate| certificate.guarantee != Guarantee::Gold);
    if quality.is_none() && speak_of_large.next().is_some() {
        let sentence = "where the large model’s answers come from is not noted with this release.".to_owned();
        told.push((UNKNOWN.to_owned(), sentence));
    }
    told
}

/// A rung as a row of the table.
pub struct RungRow {
    /// The model's name.
    pub model: String,
    /// The sort of model.
    pub kind: String,
    /// The other cells, in the order of [`RUNG_COLUMNS`].
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
        "p99".to_owned(),
        "cost per 1,000".to_owned(),
        "size".to_owned(),
        "training".to_owned(),
    ]
    .to_vec()
}

/// Each rung, and the ladder as the last row.
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
pub fn out_of_scope(found: &OutOfScope, certification_rows: u64) -> Vec<(&'static str, String)> {
    let known = |known: bool, written: String| if known { written } else { UNKNOWN.to_owned() };
    vec![
        ("label", shown(found.label.as_str())),
        ("rows out of scope", part_of(found.rows, certification_rows)),
        ("recall: of these, recognised", known(found.rows > 0, percent(found.recall))),
        ("precision: of the rows called so, truly so", precision(found.precision)),
        (
            "accuracy on rows in scope",
            known(found.rows < certification_rows, percent(found.in_scope_accuracy)),
        ),
        (
            "area under the ROC curve of the reject score",
            known(found.rows > 0 && found.rows < certification_rows, significant(found.auroc)),
        ),
    ]
}

/// Where the rows went, by name.
pub fn data(evidence: &Evidence) -> Vec<(&'static str, String)> {
    let rows = &evidence.rows;
    let read = rows.read;
    if *rows == crate::evidence::RowCounts::default() {
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

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
