//! How good is a ladder on rows that nothing was fitted on? Observations in, evidence out; no I/O.

use std::collections::BTreeMap;

use serde_json::Value;
use sprat_stats::interval::wilson;
use sprat_stats::paired::{Gate, Pairs, non_inferiority, paired_difference};
use sprat_stats::reliability::{Judged, expected_calibration_error, reliability_bins, risk_coverage};
use sprat_task::{Answer, Guarantee, Label, Provenance, Task};

use crate::evidence::{
    Confusion, LabelEvidence, LadderEvidence, LearningPoint, OutOfScope, Plots, Quality, ReliabilityBin,
    RiskPoint,
};
use crate::observe::{ObservedRow, Said};

/// Points of the risk-coverage curve that are kept.
const CURVE_POINTS: usize = 200;
/// Confusions that are kept, and example texts for each.
const CONFUSIONS: usize = 12;
const EXAMPLES: usize = 3;

/// A ladder's thresholds, and rows it was not fitted on.
#[derive(Clone, Copy)]
pub struct Judgement<'a> {
    /// The task.
    pub task: &'a Task,
    /// What counts as right.
    pub guarantee: Guarantee,
    /// One threshold a rung.
    pub thresholds: &'a [Option<f64>],
    /// The rows.
    pub rows: &'a [ObservedRow],
}

/// What one rung does on the rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RungFigures {
    /// Right if it answered everything by itself; a row without an answer counts as wrong.
    pub accuracy: f64,
    /// Mean F1 over labels if it answered everything by itself.
    pub macro_f1: f64,
    /// Share of rows it answers within the ladder.
    pub coverage: f64,
    /// Of these, the share that is right.
    pub selective_accuracy: Option<f64>,
}

impl Judgement<'_> {
    /// The rungs together.
    pub fn ladder(&self) -> LadderEvidence {
        let rows = self.rows.len() as u64;
        let answered: Vec<bool> = self.answered().map(|(row, said)| self.is_right(row, said)).collect();
        let right = answered.iter().filter(|right| **right).count();
        let own_right =
            self.own().filter(|(row, said)| said.is_some_and(|said| self.is_right(row, said))).count();
        LadderEvidence {
            rows,
            accuracy: share(own_right, self.rows.len()),
            coverage: share(answered.len(), self.rows.len()),
            selective_accuracy: (!answered.is_empty()).then(|| share(right, answered.len())),
            joint_error: share(answered.len() - right, self.rows.len()),
        }
    }

    /// One rung, by its place in the ladder.
    pub fn rung(&self, rung: usize) -> RungFigures {
        let said = || self.rows.iter().map(move |row| (row, row.said.get(rung).and_then(Option::as_ref)));
        let right = said().filter(|(row, said)| said.is_some_and(|said| self.is_right(row, said))).count();
        let answering = |row: &ObservedRow| row.answering(self.thresholds).is_some_and(|(by, _)| by == rung);
        let here: Vec<bool> = said()
            .filter(|(row, _)| answering(row))
            .filter_map(|(row, said)| said.map(|said| self.is_right(row, said)))
            .collect();
        RungFigures {
            accuracy: share(right, self.rows.len()),
            macro_f1: macro_f1(&self.part_counts(said())),
            coverage: share(here.len(), self.rows.len()),
            selective_accuracy: (!here.is_empty())
                .then(|| share(here.iter().filter(|right| **right).count(), here.len())),
        }
    }

    /// The whole cascade against all-large, where both a gold label and the large model's answer are known.
    pub fn quality(&self, provenance: Provenance) -> Option<Quality> {
        let target = &self.task.target;
        let pairs = self.rows.iter().filter_map(|row| {
            let (gold, large) = (row.gold.as_ref()?, row.large.as_ref()?);
            let cascade = row.answering(self.thresholds).map_or(large, |(_, said)| &said.answer);
            Some((cascade == gold, large == gold))
        });
        let pairs: Vec<(bool, bool)> = pairs.collect();
        if pairs.is_empty() {
            return None;
        }
        let estimate = paired_difference(Pairs::count(pairs.iter().copied()), target.confidence);
        Some(Quality {
            rows: pairs.len() as u64,
            cascade_accuracy: share(pairs.iter().filter(|(cascade, _)| *cascade).count(), pairs.len()),
            large_accuracy: share(pairs.iter().filter(|(_, large)| *large).count(), pairs.len()),
            difference: estimate.value,
            interval: (estimate.interval.lower, estimate.interval.upper),
            confidence: target.confidence,
            margin: target.non_inferiority_margin,
            non_inferior: non_inferiority(estimate.interval, target.non_inferiority_margin) == Gate::Pass,
            provenance,
        })
    }

    /// How well "none of these" is recognised by the ladder's own answers. The reject score is the confidence that an
    /// answer in scope is right, so that what is called out of scope, and what is unsure, ranks first.
    pub fn out_of_scope(&self) -> Option<OutOfScope> {
        let label = self.task.out_of_scope.clone().filter(|_| !self.task.multi)?;
        let outside = Answer::Label(label.clone());
        let judged: Vec<Scoped> = self
            .own()
            .filter_map(|(row, said)| {
                let right = row.right_answer(self.guarantee)?;
                let (said_out, confidence) =
                    said.map_or((false, 0.0), |said| (said.answer == outside, said.confidence));
                let reject = if said_out { 1.0 + confidence } else { 1.0 - confidence };
                Some((*right == outside, said_out, said.is_some_and(|said| said.answer == *right), reject))
            })
            .collect();
        let (out, inside): (Vec<Scoped>, Vec<Scoped>) =
            judged.iter().copied().partition(|(is_out, ..)| *is_out);
        let called = judged.iter().filter(|(_, said_out, ..)| *said_out).count();
        let found = out.iter().filter(|(_, said_out, ..)| *said_out).count();
        Some(OutOfScope {
            label,
            rows: out.len() as u64,
            recall: share(found, out.len()),
            precision: share(found, called),
            in_scope_accuracy: share(inside.iter().filter(|(_, _, right, _)| *right).count(), inside.len()),
            auroc: area_under_roc(judged.iter().map(|(is_out, _, _, reject)| (*reject, *is_out))),
        })
    }

    /// The series behind the plots; `texts` are the rows' texts, in the same order, for examples: of those that may be
    /// kept.
    pub fn plots(&self, texts: &[Option<&str>], learning_curve: Vec<LearningPoint>) -> Plots {
        let own: Vec<Judged> = self
            .own()
            .map(|(row, said)| said.map_or((0.0, false), |said| (said.confidence, self.is_right(row, said))))
            .collect();
        let curve = risk_coverage(&own);
        let step = curve.len().div_ceil(CURVE_POINTS).max(1);
        let ladder = self.ladder();
        Plots {
            risk_coverage: curve
                .iter()
                .enumerate()
                .filter(|(index, _)| index % step == step - 1 || index + 1 == curve.len())
                .map(|(_, point)| RiskPoint { coverage: point.coverage, risk: point.selective_error })
                .collect(),
            chosen: ladder
                .selective_accuracy
                .map(|accuracy| RiskPoint { coverage: ladder.coverage, risk: 1.0 - accuracy }),
            reliability: reliability_bins(&own, 10)
                .iter()
                .filter(|bin| bin.rows > 0)
                .map(|bin| ReliabilityBin {
                    confidence: bin.confidence,
                    accuracy: bin.accuracy,
                    rows: bin.rows,
                })
                .collect(),
            calibration_error: expected_calibration_error(&own, 10),
            confusions: self.confusions(texts),
            learning_curve,
            labels: self.labels(),
        }
    }

    fn confusions(&self, texts: &[Option<&str>]) -> Vec<Confusion> {
        let mut pairs: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
        for (index, (row, said)) in self.own().enumerate() {
            if let (Some(right), Some(said)) = (row.right_answer(self.guarantee), said)
                && *right != said.answer
            {
                for (right, given) in mixed_up(right, &said.answer) {
                    pairs.entry((right, given)).or_default().push(index);
                }
            }
        }
        let mut confusions: Vec<Confusion> = pairs
            .into_iter()
            .map(|((right, given), rows)| Confusion {
                right,
                given,
                rows: rows.len() as u64,
                examples: rows
                    .iter()
                    .filter_map(|row| texts.get(*row).copied().flatten())
                    .take(EXAMPLES)
                    .map(cut)
                    .collect(),
            })
            .collect();
        confusions.sort_by(|a, b| {
            b.rows.cmp(&a.rows).then_with(|| (&a.right, &a.given).cmp(&(&b.right, &b.given)))
        });
        confusions.truncate(CONFUSIONS);
        confusions
    }

    /// Each label; of a task that extracts, each field.
    fn labels(&self) -> Vec<LabelEvidence> {
        let counts = self.part_counts(self.own());
        let mut answered: BTreeMap<&str, usize> = BTreeMap::new();
        for (row, _) in self.answered() {
            for part in parts_of(row.right_answer(self.guarantee)) {
                *answered.entry(part.name).or_default() += 1;
            }
        }
        counts
            .iter()
            .map(|(name, count)| LabelEvidence {
                label: Label::from(*name),
                rows: count.rows as u64,
                precision: share(count.hits, count.given),
                recall: share(count.hits, count.rows),
                f1: count.f1(),
                coverage: share(answered.get(name).copied().unwrap_or(0), count.rows),
            })
            .collect()
    }

    /// How often each label, or each field's value, was right, given, and given rightly.
    fn part_counts<'a>(
        &'a self,
        said: impl Iterator<Item = (&'a ObservedRow, Option<&'a Said>)>,
    ) -> BTreeMap<&'a str, PartCount> {
        let labels = self.task.labels.iter().map(Label::as_str);
        let names = labels.chain(self.task.fields.iter().map(|field| field.name.as_str()));
        let mut counts: BTreeMap<&str, PartCount> = names.map(|name| (name, PartCount::default())).collect();
        for (row, said) in said {
            let right = parts_of(row.right_answer(self.guarantee));
            let given = parts_of(said.map(|said| &said.answer));
            for part in &right {
                let count = counts.entry(part.name).or_default();
                count.rows += 1;
                count.hits += usize::from(given.contains(part));
            }
            for part in &given {
                counts.entry(part.name).or_default().given += 1;
            }
        }
        counts
    }

    fn is_right(&self, row: &ObservedRow, said: &Said) -> bool {
        row.right_answer(self.guarantee) == Some(&said.answer)
    }

    fn answered(&self) -> impl Iterator<Item = (&ObservedRow, &Said)> {
        self.rows.iter().filter_map(|row| row.answering(self.thresholds).map(|(_, said)| (row, said)))
    }

    fn own(&self) -> impl Iterator<Item = (&ObservedRow, Option<&Said>)> {
        self.rows.iter().map(|row| (row, row.own(self.thresholds)))
    }
}

/// Whether a row is out of scope, was called so, was answered rightly, and how much it looks like none of the labels.
type Scoped = (bool, bool, bool, f64);

/// Accuracy with its 95% Wilson interval, for a point of the learning curve.
pub fn learning_point(training_rows: usize, right: usize, rows: usize) -> LearningPoint {
    let interval = wilson(right as u64, rows as u64, 0.95);
    LearningPoint {
        rows: training_rows as u64,
        accuracy: share(right, rows),
        interval: (interval.lower, interval.upper),
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct PartCount {
    rows: usize,
    given: usize,
    hits: usize,
}

impl PartCount {
    fn f1(&self) -> f64 {
        share(2 * self.hits, self.rows + self.given)
    }
}

/// Mean F1 over the labels, or fields, that occur in the rows or in the answers.
fn macro_f1(counts: &BTreeMap<&str, PartCount>) -> f64 {
    let occurring: Vec<f64> =
        counts.values().filter(|count| count.rows + count.given > 0).map(PartCount::f1).collect();
    if occurring.is_empty() { 0.0 } else { occurring.iter().sum::<f64>() / occurring.len() as f64 }
}

/// What was taken for what: one answer for another; of records, field by field, and without the values.
fn mixed_up(right: &Answer, given: &Answer) -> Vec<(String, String)> {
    if matches!(right, Answer::Text(_)) {
        // No two texts are taken for one another often enough to say anything.
        return Vec::new();
    }
    let (Answer::Fields(right), Answer::Fields(given)) = (right, given) else {
        return vec![(right.to_line(), given.to_line())];
    };
    let lost = right.iter().filter_map(|(name, value)| match given.get(name) {
        None => Some((name.clone(), format!("no {name}"))),
        Some(other) if other != value => Some((name.clone(), format!("another {name}"))),
        Some(_) => None,
    });
    let invented = given.keys().filter(|name| !right.contains_key(*name));
    lost.chain(invented.map(|name| (format!("no {name}"), name.clone()))).collect()
}

/// A part of an answer that is right or wrong by itself: a label, or a field with its value.
#[derive(Clone, Copy, PartialEq)]
struct Part<'a> {
    name: &'a str,
    value: Option<&'a Value>,
}

fn parts_of(answer: Option<&Answer>) -> Vec<Part<'_>> {
    match answer {
        Some(Answer::Label(label)) => vec![Part { name: label.as_str(), value: None }],
        Some(Answer::Labels(labels)) => {
            labels.iter().map(|label| Part { name: label.as_str(), value: None }).collect()
        }
        Some(Answer::Fields(record)) => {
            record.iter().map(|(name, value)| Part { name, value: Some(value) }).collect()
        }
        Some(Answer::Text(_)) | None => Vec::new(),
    }
}

/// Probability that a positive scores above a negative, ties counted half (Mann-Whitney); 0.5 where one side is empty.
fn area_under_roc(rows: impl Iterator<Item = (f64, bool)>) -> f64 {
    let mut rows: Vec<(f64, bool)> = rows.collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut pairs, mut positives) = (0_usize, 0.0, 0_usize);
    for tied in rows.chunk_by(|a, b| a.0 == b.0) {
        let up = tied.iter().filter(|(_, positive)| *positive).count();
        let down = tied.len() - up;
        pairs += up as f64 * (below as f64 + down as f64 / 2.0);
        below += down;
        positives += up;
    }
    if positives == 0 || below == 0 { 0.5 } else { pairs / (positives as f64 * below as f64) }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// An example fits on a line or two.
fn cut(text: &str) -> String {
    const LONGEST: usize = 160;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_task::{Money, Sha256Hex, Source, read_task};

    fn task() -> Task {
        let text = "kind = \"classify\"\nlabels = [\"a\", \"b\", \"other\"]\nout_of_scope = \"other\"";
        read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).expect("valid")
    }

    /// `gold large | rung:confidence …`
    fn row(text: &str) -> ObservedRow {
        let mut words = text.split(' ');
        let mut label = || words.next().map(Answer::label);
        let (gold, large) = (label(), label());
        let said = words.map(|word| {
            let (label, confidence) = word.split_once(':')?;
            let confidence = confidence.parse().expect("a number");
            Some(Said {
                answer: Answer::label(label),
                confidence,
                latency_us: 1,
                cost_micro_usd: Some(Money::ZERO),
            })
        });
        ObservedRow { input: Sha256Hex::of(text.as_bytes()), gold, large, said: said.collect(), seen: false }
    }

    fn rows() -> Vec<ObservedRow> {
        [
            "a a a:0.9 a:0.9",
            "a b a:0.4 a:0.9",
            "b b a:0.4 b:0.6",
            "b b a:0.8 b:0.9",
            "other other a:0.2 other:0.3",
        ]
        .map(row)
        .to_vec()
    }

    #[test]
    fn a_ladder_is_judged_by_what_answers_first_and_by_its_own_answer_where_nothing_does() {
        let (task, rows) = (task(), rows());
        let judgement = Judgement {
            task: &task,
            guarantee: Guarantee::Gold,
            thresholds: &[Some(0.7), Some(0.5)],
            rows: &rows,
        };
        let ladder = judgement.ladder();
        assert_eq!((ladder.coverage, ladder.joint_error), (0.8, 0.2));
        assert_eq!(ladder.selective_accuracy, Some(0.75));
        assert_eq!(ladder.accuracy, 0.8, "the fourth row is answered wrongly by the first rung");
        assert_eq!(judgement.rung(0).coverage, 0.4);
        assert_eq!(judgement.rung(0).selective_accuracy, Some(0.5));
        assert_eq!(judgement.rung(1).accuracy, 1.0);
    }

    #[test]
    fn the_cascade_is_compared_with_the_large_model_on_the_same_rows() {
        let (task, rows) = (task(), rows());
        let judgement = Judgement {
            task: &task,
            guarantee: Guarantee::Gold,
            thresholds: &[None, Some(0.5)],
            rows: &rows,
        };
        let quality = judgement.quality(Provenance::Authored).expect("both labels are known");
        assert_eq!((quality.cascade_accuracy, quality.large_accuracy), (1.0, 0.8));
        assert!(!quality.non_inferior || quality.interval.0 > -quality.margin);
    }

    #[test]
    fn out_of_scope_rows_are_found_by_label_and_ranked_by_doubt() {
        let (task, rows) = (task(), rows());
        let judgement =
            Judgement { task: &task, guarantee: Guarantee::Gold, thresholds: &[None, None], rows: &rows };
        let found = judgement.out_of_scope().expect("the task has such a label");
        assert_eq!(
            (found.rows, found.recall, found.precision, found.in_scope_accuracy, found.auroc),
            (1, 1.0, 1.0, 1.0, 1.0)
        );
    }

    #[test]
    fn nothing_to_judge_is_no_reason_to_panic() {
        let task = task();
        let judgement = Judgement { task: &task, guarantee: Guarantee::Gold, thresholds: &[None], rows: &[] };
        assert_eq!(judgement.ladder(), LadderEvidence::default());
        assert!(judgement.quality(Provenance::Measured).is_none());
        assert!(judgement.plots(&[], Vec::new()).risk_coverage.is_empty());
    }

    #[test]
    fn the_area_under_the_curve_is_one_half_for_guesses_and_counts_ties_half() {
        for (rows, area) in [
            (vec![(0.1, false), (0.9, true)], 1.0),
            (vec![(0.1, true), (0.9, false)], 0.0),
            (vec![(0.5, true), (0.5, false)], 0.5),
            (vec![(0.5, true)], 0.5),
        ] {
            assert_eq!(area_under_roc(rows.into_iter()), area);
        }
    }
}
