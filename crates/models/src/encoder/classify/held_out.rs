//! What was said of rows by heads and models that had not seen them: what the blend is fitted on, what the confidence head
//! learns from, and by what the ways of teaching are compared.

use std::time::Duration;

use sprat_task::{Attempt, LabelledRow, Prediction};

use super::answer::{Answering, Known};
use super::blend::{Blend, Scheme, Voices};
use super::lessons::Lessons;
use super::neighbours::Near;
use crate::linear;

/// Rows, and what was said of them by a head that had not seen them.
pub struct HeldOut {
    /// Places among all rows.
    pub rows: Vec<usize>,
    /// Rows of one group are answered by a blend that was fitted on the other groups.
    pub groups: Vec<u32>,
    /// The head's outputs, one row after the other.
    pub outputs: Vec<f32>,
    /// What training rows near to each say, that the head had seen.
    pub near: Vec<Near>,
}

/// What came of rows held out.
pub struct Judged {
    /// Fitted on all of them.
    pub blend: Blend,
    /// The answer to each, by a blend fitted on the other groups.
    pub answers: Vec<Prediction>,
}

impl HeldOut {
    /// Fits blends, and answers every row by one that had not seen it. `linear` has what the linear model says of each
    /// of all rows, out of fold.
    pub fn judge(&self, lessons: &Lessons, linear: &[linear::Prediction], in_scope_loss: f32) -> Judged {
        let scheme = lessons.scheme();
        let said: Vec<(Voices<'_>, &[u32], f32)> = (0..self.rows.len())
            .map(|place| {
                let row = self.rows[place];
                let voices = self.known(lessons, linear, place).voices();
                (voices, lessons.targets[row].as_slice(), lessons.weights[row])
            })
            .collect();
        let mut groups = self.groups.clone();
        groups.sort_unstable();
        groups.dedup();
        let mut answers: Vec<Option<Prediction>> = vec![None; self.rows.len()];
        for group in groups {
            let others: Vec<_> = said
                .iter()
                .zip(&self.groups)
                .filter(|(_, of)| **of != group)
                .map(|(said, _)| *said)
                .collect();
            let blend = Blend::fit(scheme, &others, in_scope_loss);
            let answering = lessons.answering(scheme, blend);
            for place in (0..self.rows.len()).filter(|place| self.groups[*place] == group) {
                answers[place] = Some(answering.answer(&self.known(lessons, linear, place)));
            }
        }
        Judged {
            blend: Blend::fit(scheme, &said, in_scope_loss),
            answers: answers.into_iter().flatten().collect(),
        }
    }

    /// Which of the rows named by `among` (ascending) the head alone answers rightly.
    pub fn right_alone(&self, lessons: &Lessons, among: &[usize]) -> Vec<bool> {
        let each = self.rows.iter().zip(self.outputs.chunks_exact(lessons.outputs()));
        each.filter(|(row, _)| among.binary_search(row).is_ok())
            .map(|(row, outputs)| lessons.objective.is_right(outputs, &lessons.targets[*row]))
            .collect()
    }

    fn known<'a>(&'a self, lessons: &Lessons, linear: &'a [linear::Prediction], place: usize) -> Known<'a> {
        let labels = lessons.outputs();
        let said = &linear[self.rows[place]];
        Known {
            outputs: &self.outputs[place * labels..(place + 1) * labels],
            linear: &said.log_probabilities,
            signals: said.signals,
            near: &self.near[place],
        }
    }
}

impl Judged {
    /// Which of the rows named by `among` (ascending) are answered rightly; `of` are the rows of the answers.
    pub fn right(&self, of: &[usize], rows: &[LabelledRow], among: &[usize]) -> Vec<bool> {
        let each = of.iter().zip(&self.answers).filter(|(row, _)| among.binary_search(row).is_ok());
        each.map(|(row, prediction)| rows[*row].target() == Some(&prediction.answer)).collect()
    }

    /// One attempt for each of so many rows; none for those that were not held out.
    pub fn attempts(self, of: &[usize], rows: usize) -> Vec<Option<Attempt>> {
        let mut attempts = vec![None; rows];
        for (row, prediction) in of.iter().zip(self.answers) {
            attempts[*row] = Some(Attempt::free(prediction, Duration::ZERO));
        }
        attempts
    }
}

impl Lessons {
    /// How labels relate.
    pub fn scheme(&self) -> Scheme {
        Scheme { objective: self.objective, out_of_scope: self.out_of_scope }
    }

    fn answering(&self, scheme: Scheme, blend: Blend) -> Answering<'_> {
        Answering { labels: &self.labels, scheme, at_least_one: self.at_least_one, blend }
    }
}
