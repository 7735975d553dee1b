//! What is learned from: a task's rows in numbers, checked once.

use sprat_task::{Label, LabelledRow, Task, TrainError};

use super::super::finetune::Objective;
use crate::linear::target_indices;

/// A task's rows in numbers.
pub struct Lessons {
    /// The labels, in the order of every output.
    pub labels: Vec<Label>,
    /// How they relate.
    pub objective: Objective,
    /// The label that means "none of the others".
    pub out_of_scope: Option<u32>,
    /// Whether every row carries a label: then an answer without one would be wrong.
    pub at_least_one: bool,
    /// Each row's labels, ascending.
    pub targets: Vec<Vec<u32>>,
    /// What each row counts for, its labels' rarity included; above zero.
    pub weights: Vec<f32>,
}

impl Lessons {
    /// Reads the rows; `balance` says how far rare labels are lifted.
    pub fn read(task: &Task, rows: &[LabelledRow], balance: f32) -> Result<Self, TrainError> {
        let sorted = |row: &LabelledRow| {
            let mut targets = target_indices(task, row)?;
            targets.sort_unstable();
            targets.dedup();
            Ok(targets)
        };
        let targets: Vec<Vec<u32>> = rows.iter().map(sorted).collect::<Result<_, TrainError>>()?;
        if targets.is_empty() {
            return Err(TrainError::Rows("no rows to learn from; give at least one labelled row".to_owned()));
        }
        let objective = if task.multi { Objective::SeveralLabels } else { Objective::OneLabel };
        let weights = rows.iter().map(|row| row.weight).collect();
        let index = |label: &Label| task.label_index(label.as_str()).map(|index| index as u32);
        let mut lessons = Self {
            labels: task.labels.clone(),
            objective,
            out_of_scope: task.out_of_scope.as_ref().and_then(index).filter(|_| !task.multi),
            at_least_one: targets.iter().all(|targets| !targets.is_empty()),
            targets,
            weights,
        };
        lessons.balance(balance);
        Ok(lessons)
    }

    /// Number of labels.
    pub fn outputs(&self) -> usize {
        self.labels.len()
    }

    /// Number of labels that any row carries.
    pub fn carried(&self) -> usize {
        let mut carried: Vec<u32> = self.targets.iter().flatten().copied().collect();
        carried.sort_unstable();
        carried.dedup();
        carried.len()
    }

    /// Number of rows.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Lifts the rows of rare labels, by the rarest label they carry.
    fn balance(&mut self, balance: f32) {
        let mut rows = vec![0.0_f32; self.labels.len()];
        for (targets, weight) in self.targets.iter().zip(&self.weights) {
            targets.iter().for_each(|target| rows[*target as usize] += weight);
        }
        let carried = rows.iter().filter(|rows| **rows > 0.0).count().max(1) as f32;
        let mean = self.weights.iter().sum::<f32>() / carried;
        for (targets, weight) in self.targets.iter().zip(&mut self.weights) {
            let rarest = targets.iter().map(|target| rows[*target as usize]).fold(f32::INFINITY, f32::min);
            if rarest.is_finite() && rarest > 0.0 {
                *weight *= (mean / rarest).powf(balance);
            }
            *weight = weight.max(f32::MIN_POSITIVE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_task::{Answer, Source, read_task};

    /// What the rows of each label weigh together.
    fn weighed(multi: bool, rows: &[&[&str]], balance: f32) -> Vec<f32> {
        let text = format!("kind = \"classify\"\nlabels = [\"a\", \"b\", \"c\"]\nmulti = {multi}\n");
        let task = read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).expect("valid");
        let answer = |labels: &&[&str]| match multi {
            true => Answer::labels(labels.iter().map(|label| Label::from(*label))),
            false => Answer::label(labels[0]),
        };
        let rows: Vec<LabelledRow> =
            rows.iter().map(|labels| LabelledRow::gold("text", answer(labels))).collect();
        let lessons = Lessons::read(&task, &rows, balance).expect("they can be learned from");
        let mut weighed = vec![0.0; 3];
        for (targets, weight) in lessons.targets.iter().zip(&lessons.weights) {
            targets.iter().for_each(|target| weighed[*target as usize] += weight);
        }
        weighed
    }

    #[test]
    fn rare_labels_are_lifted_as_far_as_the_balance_says() {
        let rows: Vec<&[&str]> = [vec![&["a"][..]; 30], vec![&["b"][..]; 6]].concat();
        assert_eq!(weighed(false, &rows, 0.0), [30.0, 6.0, 0.0]);
        let even = weighed(false, &rows, 1.0);
        assert!((even[0] - 18.0).abs() < 1e-3 && (even[1] - 18.0).abs() < 1e-3, "{even:?}");
        let some = weighed(false, &rows, 0.2);
        assert!(some[1] > 6.0 && some[1] < 18.0, "{some:?}");
    }

    #[test]
    fn a_row_with_several_labels_is_lifted_by_the_rarest() {
        let rows: Vec<&[&str]> = [vec![&["a"][..]; 30], vec![&["a", "b"][..]; 3], vec![&[][..]; 3]].concat();
        let (plain, lifted) = (weighed(true, &rows, 0.0), weighed(true, &rows, 1.0));
        assert_eq!(plain, [33.0, 3.0, 0.0]);
        assert!(lifted[1] > 5.0 * plain[1] && lifted[0] > lifted[1], "{lifted:?}");
    }
}
