//! What every rung said of every row: the one thing that calibration, certification and evaluation all read.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sprat_cascade::Rung;
use sprat_stats::risk_control::{Positive, RungAnswer, Sample};
use sprat_task::{
    Answer, Attempt, Context, Guarantee, Input, Judgements, Label, LabelledRow, Money, Sha256Hex, Task,
};

/// What one rung said of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Its answer.
    pub answer: Answer,
    /// Estimated probability that the answer is right.
    pub confidence: f64,
    /// How long it took, in microseconds; 0 where it wasn't timed.
    pub latency_us: u64,
    /// What it cost; `None` where unknown.
    pub cost_micro_usd: Option<Money>,
}

/// One row without its text: enough to certify again, and nothing that a log must not hold. Of records, their values'
/// digests ([`Answer::without_words`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedRow {
    /// The input's digest.
    pub input: Sha256Hex,
    /// What people say is right.
    pub gold: Option<Answer>,
    /// What the large model says.
    pub large: Option<Answer>,
    /// What each rung said, cheapest first; `None` where it abstained or failed.
    pub said: Vec<Option<Said>>,
    /// Whether some rung has seen the row, so that there is nothing honest it could say of it. Such a row tunes and
    /// certifies nothing; it is listed because it was learned from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen: bool,
}

impl ObservedRow {
    /// A row that nobody has answered yet: its labels, without the words of records and texts. Where there are people's and
    /// the large model's, and the large model's text is as good, it counts as the same; so do others that are.
    pub fn unanswered(task: &Task, row: &LabelledRow, judgements: &Judgements) -> Self {
        let beside_gold = |large| task.judged(&row.input, large, row.gold.as_ref(), judgements);
        Self {
            input: row.input.hash(),
            gold: row.gold.as_ref().map(Answer::without_words),
            large: row.large.as_ref().map(beside_gold),
            said: Vec::new(),
            seen: false,
        }
    }

    /// Whether an answer to this row is bad. A missing label counts as bad.
    pub fn is_bad(&self, guarantee: Guarantee, answer: &Answer) -> bool {
        match guarantee {
            Guarantee::Gold => self.gold.as_ref() != Some(answer),
            Guarantee::Agreement => self.large.as_ref() != Some(answer),
            Guarantee::Harm => match (&self.gold, &self.large) {
                (Some(gold), Some(large)) => answer != gold && large == gold,
                _ => true,
            },
        }
    }

    /// The answer that counts as right for accuracy: a person's; the large model's where the promise is agreement.
    pub fn right_answer(&self, guarantee: Guarantee) -> Option<&Answer> {
        match guarantee {
            Guarantee::Gold | Guarantee::Harm => self.gold.as_ref(),
            Guarantee::Agreement => self.large.as_ref(),
        }
    }

    /// Whether the right answer names this label.
    pub fn belongs_to(&self, label: &Label, guarantee: Guarantee) -> bool {
        self.right_answer(guarantee).is_some_and(|right| names(right, label))
    }

    /// Whether the row has the labels that this guarantee speaks of.
    pub fn is_labelled_for(&self, guarantee: Guarantee) -> bool {
        has_labels(guarantee, self.gold.is_some(), self.large.is_some())
    }

    /// The rung that answers at these thresholds, and what it said.
    pub fn answering<'a>(&'a self, thresholds: &[Option<f64>]) -> Option<(usize, &'a Said)> {
        self.said.iter().zip(thresholds).enumerate().find_map(|(rung, (said, threshold))| {
            let (said, threshold) = (said.as_ref()?, (*threshold)?);
            (said.confidence > threshold).then_some((rung, said))
        })
    }

    /// The small models' own answer: the answering rung's, else that of the last rung that said anything.
    pub fn own<'a>(&'a self, thresholds: &[Option<f64>]) -> Option<&'a Said> {
        self.answering(thresholds).map(|(_, said)| said).or_else(|| self.said.iter().rev().flatten().next())
    }
}

/// Whether a row with these labels can be counted under a guarantee.
pub fn has_labels(guarantee: Guarantee, gold: bool, large: bool) -> bool {
    match guarantee {
        Guarantee::Gold => gold,
        Guarantee::Agreement => large,
        Guarantee::Harm => gold && large,
    }
}

/// Enters what was attempted for each row into one observation a row. `attempts` has one list a rung.
pub fn enter(
    task: &Task,
    rows: &[&LabelledRow],
    rungs: &[&Rung],
    attempts: &[&[Attempt]],
    judgements: &Judgements,
) -> Vec<ObservedRow> {
    let said = |row: usize| {
        let of_rung = |(rung, attempts): (&&Rung, &&[Attempt])| {
            attempts.get(row).and_then(|attempt| say(task, rows[row], rung, attempt, judgements))
        };
        rungs.iter().zip(attempts).map(of_rung).collect()
    };
    rows.iter()
        .enumerate()
        .map(|(index, row)| ObservedRow {
            said: said(index),
            ..ObservedRow::unanswered(task, row, judgements)
        })
        .collect()
}

/// The same for rows that some rungs have seen: those have no attempt at them.
pub fn enter_unseen(
    task: &Task,
    rows: &[&LabelledRow],
    rungs: &[&Rung],
    attempts: &[&[Option<Attempt>]],
    judgements: &Judgements,
) -> Vec<ObservedRow> {
    let observed = |(index, row): (usize, &&LabelledRow)| {
        let of_rungs: Vec<Option<&Attempt>> =
            attempts.iter().map(|attempts| attempts.get(index).and_then(Option::as_ref)).collect();
        let said =
            rungs.iter().zip(&of_rungs).map(|(rung, attempt)| say(task, row, rung, (*attempt)?, judgements));
        ObservedRow {
            said: said.collect(),
            seen: of_rungs.contains(&None),
            ..ObservedRow::unanswered(task, row, judgements)
        }
    };
    rows.iter().enumerate().map(observed).collect()
}

fn say(
    task: &Task,
    row: &LabelledRow,
    rung: &Rung,
    attempt: &Attempt,
    judgements: &Judgements,
) -> Option<Said> {
    let prediction = attempt.prediction()?;
    Some(Said {
        answer: task.judged(&row.input, &prediction.answer, row.target(), judgements),
        confidence: rung.confidence(prediction).get(),
        latency_us: u64::try_from(attempt.latency.as_micros()).unwrap_or(u64::MAX),
        cost_micro_usd: attempt.usage.cost,
    })
}

/// Rows asked at once: small enough that progress moves and a stop is obeyed soon.
const ASKED_AT_ONCE: usize = 512;

/// How long a rung may take over one batch before its rows count as unanswered.
const PATIENCE: Duration = Duration::from_secs(600);

/// Asks one model about every row, in order. `progress` is told how many rows are done.
pub async fn ask(
    model: &dyn sprat_task::Model,
    task: &Task,
    inputs: &[Input],
    mut progress: impl FnMut(usize),
) -> Vec<Attempt> {
    let mut attempts = Vec::with_capacity(inputs.len());
    for batch in inputs.chunks(ASKED_AT_ONCE) {
        let cx = Context::until(Instant::now() + PATIENCE, "learn");
        attempts.extend(model.predict(&cx, task, batch).await);
        progress(attempts.len());
    }
    attempts
}

/// The sample that certification reads. Rows that a rung has seen are left out; rows that lack a label count as bad; a row belongs to the slice of a declared
/// label when the rung that would answer it predicts that label, which is approximated by its own answer.
pub fn sample(rows: &[ObservedRow], rungs: usize, task: &Task, guarantee: Guarantee) -> Sample {
    let mut sample = Sample::new(rungs);
    for row in rows.iter().filter(|row| !row.seen) {
        let answers: Vec<RungAnswer> = (0..rungs).map(|rung| answer(row, rung, guarantee)).collect();
        // `answers` has one entry a rung by construction, which is all that can be wrong with it.
        let _ = sample.push_positive(&answers, &slices(row, task), positives(row, rungs, task, guarantee));
    }
    sample
}

/// The categories that a row belongs to, each with the rungs that don't say so.
fn positives(row: &ObservedRow, rungs: usize, task: &Task, guarantee: Guarantee) -> Vec<Positive> {
    let categories = (0_u16..).zip(&task.target.recall);
    let here = categories.filter(|(_, promised)| row.belongs_to(&promised.label, guarantee));
    here.map(|(category, promised)| {
        let finds = |said: &Said| names(&said.answer, &promised.label);
        let missed = |rung| !row.said.get(rung).and_then(Option::as_ref).is_some_and(finds);
        Positive { category, missed: (0..rungs).map(missed).collect() }
    })
    .collect()
}

/// Whether an answer is or has this label.
pub fn names(answer: &Answer, label: &Label) -> bool {
    match answer {
        Answer::Label(given) => given == label,
        Answer::Labels(given) => given.contains(label),
        Answer::Fields(_) | Answer::Text(_) => false,
    }
}

fn answer(row: &ObservedRow, rung: usize, guarantee: Guarantee) -> RungAnswer {
    match row.said.get(rung).and_then(Option::as_ref) {
        None => RungAnswer::new(None, true),
        Some(said) => RungAnswer {
            confidence: Some(said.confidence),
            bad: row.is_bad(guarantee, &said.answer),
            latency_ms: said.latency_us as f64 / 1000.0,
        },
    }
}

fn slices(row: &ObservedRow, task: &Task) -> Vec<u16> {
    let said = |label: &Label| row.said.iter().flatten().any(|said| names(&said.answer, label));
    (0_u16..)
        .zip(&task.target.slices)
        .filter(|(_, slice)| said(&slice.label))
        .map(|(index, _)| index)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(gold: Option<&str>, large: Option<&str>) -> ObservedRow {
        let said = |label: &str, confidence| {
            Some(Said {
                answer: Answer::label(label),
                confidence,
                latency_us: 1,
                cost_micro_usd: Some(Money::ZERO),
            })
        };
        ObservedRow {
            input: Sha256Hex::of(b""),
            gold: gold.map(Answer::label),
            large: large.map(Answer::label),
            said: vec![said("a", 0.6), None, said("b", 0.8)],
            seen: false,
        }
    }

    #[test]
    fn what_is_bad_depends_on_who_is_asked() {
        let (a, b) = (Answer::label("a"), Answer::label("b"));
        // gold, large, answer, bad under gold, agreement, harm
        for (gold, large, answer, expected) in [
            (Some("a"), Some("a"), &a, [false, false, false]),
            (Some("a"), Some("a"), &b, [true, true, true]),
            (Some("a"), Some("b"), &b, [true, false, false]),
            (Some("a"), Some("b"), &a, [false, true, false]),
            (None, Some("a"), &a, [true, false, true]),
            (Some("a"), None, &a, [false, true, true]),
        ] {
            let row = row(gold, large);
            let found =
                [Guarantee::Gold, Guarantee::Agreement, Guarantee::Harm].map(|g| row.is_bad(g, answer));
            assert_eq!(found, expected, "{gold:?} {large:?} {answer:?}");
        }
    }

    #[test]
    fn the_first_rung_above_its_threshold_answers_and_a_tie_does_not() {
        let row = row(Some("a"), None);
        let rung = |thresholds: [Option<f64>; 3]| row.answering(&thresholds).map(|(rung, _)| rung);
        assert_eq!(rung([Some(0.5), Some(0.0), Some(0.5)]), Some(0));
        assert_eq!(rung([Some(0.6), Some(0.0), Some(0.5)]), Some(2));
        assert_eq!(rung([None, Some(0.0), Some(0.8)]), None);
    }

    #[test]
    fn with_nothing_accepted_the_last_rung_that_spoke_is_the_ladders_own_answer() {
        let row = row(None, None);
        assert_eq!(row.own(&[None, None, None]).map(|said| said.answer.to_line()), Some("b".to_owned()));
    }
}
