//! Which labelled texts the prompt shows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sprat_task::{Answer, Input, LabelledRow, Sha256Hex, Task, TaskName};

/// A text and its right answer, as the prompt shows them.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The text.
    pub text: String,
    /// Its answer.
    pub answer: Answer,
}

/// Chooses examples. The choice depends on its arguments alone, so that the same input always gets the same prompt.
/// Give it training rows only: a certification row in a prompt would spoil the certificate.
pub trait Examples: Send + Sync {
    /// At most `most` examples for one input. The input itself is never among them.
    fn choose(&self, task: &Task, input: &Input, most: usize) -> Vec<Example>;

    /// Changes whenever another choice could be made for the task: part of the prompt's hash.
    fn fingerprint(&self, task: &Task) -> Sha256Hex;
}

/// No examples.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoExamples;

impl Examples for NoExamples {
    fn choose(&self, _: &Task, _: &Input, _: usize) -> Vec<Example> {
        Vec::new()
    }

    fn fingerprint(&self, _: &Task) -> Sha256Hex {
        Sha256Hex::of(b"no examples")
    }
}

/// The same examples for every input of a task: the provider's prompt cache likes that.
#[derive(Clone, Debug, Default)]
pub struct FixedExamples(HashMap<TaskName, Vec<Example>>);

/// Longer texts are not shown unless a label has no shorter one, in bytes.
const LONG: usize = 600;

impl FixedExamples {
    /// Picks `most` examples of the task out of its rows: label by label in turn, of each first the texts whose
    /// length is nearest to the label's median. Rows whose answer the task doesn't admit are passed over.
    pub fn pick(&mut self, task: &Task, rows: &[LabelledRow], most: usize) {
        let mut by_answer: BTreeMap<usize, Vec<Example>> = BTreeMap::new();
        for row in rows {
            let Some(answer) = row.target().filter(|answer| task.admits(answer)) else { continue };
            let first = match answer {
                Answer::Label(label) => Some(label),
                Answer::Labels(labels) => labels.first(),
                _ => None,
            };
            let place = first.and_then(|label| task.label_index(label.as_str())).unwrap_or(task.labels.len());
            let example = Example { text: row.input.text.clone(), answer: answer.clone() };
            by_answer.entry(place).or_default().push(example);
        }
        let queues: Vec<Vec<Example>> = by_answer.into_values().map(typical_first).collect();
        let longest = queues.iter().map(Vec::len).max().unwrap_or(0);
        let chosen = (0..longest).flat_map(|turn| queues.iter().filter_map(move |queue| queue.get(turn)));
        self.0.insert(task.name.clone(), chosen.take(most).cloned().collect());
    }
}

impl Examples for FixedExamples {
    fn choose(&self, task: &Task, input: &Input, most: usize) -> Vec<Example> {
        let all = self.0.get(&task.name).into_iter().flatten();
        all.filter(|example| example.text != input.text).take(most).cloned().collect()
    }

    fn fingerprint(&self, task: &Task) -> Sha256Hex {
        fingerprint_of("fixed", self.0.get(&task.name).map_or(&[], Vec::as_slice))
    }
}

/// The positions in the pool of the texts nearest to one, nearest first: at most as many as asked.
pub type NearestFn = Arc<dyn Fn(&str, usize) -> Vec<usize> + Send + Sync>;

/// Examples near the input, by whatever the caller calls near.
#[derive(Clone)]
pub struct NearestExamples {
    pool: Vec<Example>,
    nearest: NearestFn,
    how: String,
}

impl NearestExamples {
    /// A pool for one task and a search over it. `how` names the search and its version, for the prompt's hash.
    pub fn new(pool: Vec<Example>, how: impl Into<String>, nearest: NearestFn) -> Self {
        Self { pool, nearest, how: how.into() }
    }
}

impl Examples for NearestExamples {
    fn choose(&self, task: &Task, input: &Input, most: usize) -> Vec<Example> {
        // One more than needed, since the input itself may stand in the pool.
        let found = (self.nearest)(&input.text, most.saturating_add(1));
        let examples = found.into_iter().filter_map(|at| self.pool.get(at));
        examples.filter(|e| e.text != input.text && task.admits(&e.answer)).take(most).cloned().collect()
    }

    fn fingerprint(&self, _: &Task) -> Sha256Hex {
        fingerprint_of(&self.how, &self.pool)
    }
}

/// Nearest to the median length first, long ones last; ties by text, so that the order of the rows doesn't matter.
fn typical_first(mut examples: Vec<Example>) -> Vec<Example> {
    examples.sort_by(|a, b| (a.text.len(), &a.text).cmp(&(b.text.len(), &b.text)));
    examples.dedup_by(|a, b| a.text == b.text);
    let median = examples.get(examples.len() / 2).map_or(0, |example| example.text.len());
    examples.sort_by_key(|example| (example.text.len() > LONG, example.text.len().abs_diff(median)));
    examples
}

fn fingerprint_of(how: &str, examples: &[Example]) -> Sha256Hex {
    let lines: Vec<String> = examples.iter().map(|example| example.answer.to_line()).collect();
    let texts = examples.iter().map(|example| example.text.as_bytes());
    Sha256Hex::of_parts([how.as_bytes()].into_iter().chain(texts).chain(lines.iter().map(String::as_bytes)))
}

#[cfg(test)]
mod tests {
    use sprat_task::{Source, read_task};

    use super::*;

    fn task() -> Task {
        let text = "kind = \"classify\"\nlabels = [\"a\", \"b\", \"c\"]";
        read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).unwrap()
    }

    fn row(text: &str, label: &str) -> LabelledRow {
        LabelledRow::gold(text, Answer::label(label))
    }

    fn chosen(examples: &dyn Examples, input: &str, most: usize) -> Vec<String> {
        examples.choose(&task(), &Input::new(input), most).into_iter().map(|example| example.text).collect()
    }

    #[test]
    fn fixed_examples_take_labels_in_turn_and_typical_texts_first() {
        let rows = [
            row("b1", "b"),
            row("a tiny", "a"),
            row("a", "a"),
            row("a very long text", "a"),
            row("x", "zzz"),
        ];
        let mut examples = FixedExamples::default();
        examples.pick(&task(), &rows, 3);
        assert_eq!(chosen(&examples, "new", 10), ["a tiny", "b1", "a"]);
        assert_eq!(chosen(&examples, "new", 1), ["a tiny"]);

        let mut reversed = rows.clone();
        reversed.reverse();
        let mut again = FixedExamples::default();
        again.pick(&task(), &reversed, 3);
        assert_eq!(again.fingerprint(&task()), examples.fingerprint(&task()));
    }

    #[test]
    fn the_input_is_never_its_own_example() {
        let mut fixed = FixedExamples::default();
        fixed.pick(&task(), &[row("one", "a"), row("two", "b")], 2);
        assert_eq!(chosen(&fixed, "one", 2), ["two"]);

        let pool: Vec<Example> = ["one", "two", "three"]
            .map(|text| Example { text: text.into(), answer: Answer::label("a") })
            .into();
        let nearest = NearestExamples::new(pool, "in order", Arc::new(|_, most| (0..most.min(99)).collect()));
        assert_eq!(chosen(&nearest, "one", 1), ["two"]);
        assert_eq!(chosen(&nearest, "none", 5), ["one", "two", "three"]);
    }
}
