//! The report of a release as one HTML file: for a manager on the first screen, for an engineer below it. It loads
//! nothing, runs nothing, and can be read on a phone, on paper and by a screen reader.

mod axis;
mod figures;
mod format;
mod methods;
mod plots;
mod policy;
mod promise;
mod risk_coverage;
mod svg;
mod tables;
#[cfg(test)]
mod tests;
mod training;
mod words;

use askama::Template;

use crate::evidence::{Evidence, OutOfScope};
use figures::Figure;
use format::{count, moment, shown};
use plots::Plot;
use promise::Promise;
use tables::{LabelRow, RungRow};
use training::{GainRow, TriedRow};
use words::Terms;

const STYLE: &str = include_str!("../templates/report.css");

/// Labels that are shown at once; the others are a click away.
const LABELS_AT_ONCE: usize = 30;

/// The report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the report could not be written: {0}")]
pub struct ReportError(#[from] askama::Error);

/// The report: one self-contained HTML file. Pure; the same evidence gives the same text.
pub fn html(evidence: &Evidence) -> Result<String, ReportError> {
    Ok(Page::of(evidence).render()?)
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    policy: String,
    style: &'static str,
    task: String,
    release: Option<String>,
    created: String,
    provenances: Vec<(String, String)>,
    promise: Promise,
    others: Vec<Promise>,
    judged: &'static str,
    figures: Vec<Figure>,
    rung_columns: Vec<String>,
    rungs: Vec<RungRow>,
    tried: Vec<TriedRow>,
    gains: Vec<GainRow>,
    plots: Vec<Plot>,
    confused: Plot,
    confusions: Vec<ConfusionRow>,
    right_label: &'static str,
    labels: Vec<LabelRow>,
    further_labels: Vec<LabelRow>,
    out_of_scope: Option<Vec<(String, String)>>,
    data: Vec<(&'static str, String)>,
    notices: Vec<String>,
    next: String,
    methods: Vec<&'static str>,
    look: String,
    binding: Vec<(&'static str, String)>,
}

struct ConfusionRow {
    right: String,
    given: String,
    rows: String,
    examples: Vec<String>,
}

impl Page {
    fn of(evidence: &Evidence) -> Self {
        let Evidence { plots, certificate, rows, .. } = evidence;
        let terms = Terms::of(certificate.guarantee);
        let mut labels = tables::labels(&plots.labels);
        let further_labels = labels.split_off(labels.len().min(LABELS_AT_ONCE));
        let out_of_scope = |found: &OutOfScope| tables::out_of_scope(found, evidence.ladder.rows, &terms);
        Self {
            policy: policy::policy(STYLE),
            style: STYLE,
            task: shown(evidence.task.as_str()),
            release: evidence.release.as_ref().map(|release| shown(&release.to_string())),
            created: moment(evidence.created_unix_ms),
            provenances: figures::provenances(evidence),
            promise: Promise::of(certificate, rows, true),
            others: evidence.other_certificates.iter().map(|other| Promise::of(other, rows, false)).collect(),
            judged: terms.judged,
            figures: figures::figures(evidence, &terms),
            rung_columns: tables::rung_columns(&terms),
            rungs: tables::rungs(evidence),
            tried: training::tried(evidence),
            gains: training::gains(evidence),
            plots: [
                risk_coverage::risk_coverage(plots, certificate, &terms),
                plots::reliability(plots, &terms),
                plots::learning_curve(evidence, &terms),
            ]
            .into_iter()
            .chain(training::loss_curves(evidence))
            .collect(),
            confused: plots::confusions(&plots.confusions, &terms),
            confusions: plots.confusions.iter().map(confusion_row).collect(),
            right_label: terms.right_label,
            labels,
            further_labels,
            out_of_scope: evidence.out_of_scope.as_ref().map(out_of_scope),
            data: tables::data(evidence),
            notices: evidence.notices.iter().map(|notice| words::closed(&shown(notice))).collect(),
            // It may begin with a command, which a capital would break.
            next: shown(&evidence.next),
            methods: methods::methods(evidence),
            look: promise::look(certificate),
            binding: tables::binding(&certificate.binding, certificate.guarantee),
        }
    }
}

fn confusion_row(confusion: &crate::evidence::Confusion) -> ConfusionRow {
    ConfusionRow {
        right: shown(&confusion.right),
        given: shown(&confusion.given),
        rows: count(confusion.rows),
        examples: confusion.examples.iter().map(|example| shown(example)).collect(),
    }
}
