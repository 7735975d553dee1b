//! Does a smaller file answer as the one it was made of? Both are asked the same rows, with the prompt that a rung would have;
//! what each label scores on the average is taken away from each by itself, as learning would.

use futures::{StreamExt, stream};
use sprat_engine::protocol::Prompt;
use sprat_task::{Answer, Context, LabelledRow, ModelError, Task};

use super::answer::{per_token, probabilities};
use super::engine::Engine;
use super::prompt::{examples, one_line, prompt};
use super::train::means;

/// Rows that an engine has at a time.
const AT_ONCE: usize = 32;

/// What a task's prompt is, and the texts of its rows as they follow it: what a model is weighed with.
pub fn weighing(task: &Task, rows: &[LabelledRow]) -> (Prompt, Vec<String>) {
    let shown: Vec<&LabelledRow> =
        examples(rows, &task.labels).into_iter().map(|place| &rows[place]).collect();
    let prompt = prompt(task, &shown);
    let text = |row: &LabelledRow| {
        let label = match row.target() {
            Some(Answer::Label(label)) => format!(" {label}"),
            _ => String::new(),
        };
        format!("{}{}{label}", one_line(&row.input.text), prompt.after)
    };
    let texts = rows.iter().map(text).collect();
    (prompt, texts)
}

/// How two models answered the same rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The rows that both answered.
    pub rows: Vec<Pair>,
    /// Rows that one of them didn't answer.
    pub unanswered: usize,
    /// Why the first of those wasn't answered.
    pub trouble: Option<ModelError>,
}

/// How likely two models found each label of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The row's place among the rows.
    pub place: usize,
    /// The file that the other was made of.
    pub parent: Vec<f32>,
    /// The smaller one.
    pub child: Vec<f32>,
}

impl Compared {
    /// Rows whose likeliest label differs.
    pub fn flips(&self) -> usize {
        self.rows.iter().filter(|row| likeliest(&row.parent) != likeliest(&row.child)).count()
    }

    /// The mean Kullback-Leibler divergence of the child from the parent, in nats: what is lost by taking the child's
    /// probabilities for the parent's.
    pub fn mean_divergence(&self) -> f64 {
        let sum: f64 = self.rows.iter().map(|row| divergence(&row.parent, &row.child)).sum();
        sum / self.rows.len().max(1) as f64
    }

    /// Of the rows with a label, how many there are, and how many of them the parent and the child answer right.
    pub fn right(&self, task: &Task, rows: &[LabelledRow]) -> (usize, [usize; 2]) {
        let (mut labelled, mut right) = (0, [0; 2]);
        for Pair { place, parent, child } in &self.rows {
            let Some(Answer::Label(label)) = rows[*place].target() else { continue };
            let wanted = task.labels.iter().position(|known| known == label);
            labelled += 1;
            for (right, said) in right.iter_mut().zip([parent, child]) {
                *right += usize::from(Some(likeliest(said)) == wanted);
            }
        }
        (labelled, right)
    }
}

/// Asks both models, the parent first. `told` hears how many answers have come, of twice as many as there are rows.
pub async fn compare(
    [parent, child]: [&Engine; 2],
    cx: &Context,
    prompt: &Prompt,
    rows: &[LabelledRow],
    told: &dyn Fn(usize),
) -> Compared {
    let parents = ask(parent, cx, prompt, rows, told).await;
    let children = ask(child, cx, prompt, rows, &|done| told(rows.len() + done)).await;
    let trouble = parents.iter().chain(&children).find_map(|said| said.as_ref().err().cloned());
    // Only rows that both answered are looked at, also for what each label scores on the average.
    let both: Vec<Pair> = parents
        .into_iter()
        .zip(children)
        .enumerate()
        .filter_map(|(place, (parent, child))| Some(Pair { place, parent: parent.ok()?, child: child.ok()? }))
        .collect();
    let labels = prompt.labels.len();
    let nothing = || vec![0.0; labels];
    let of_parent = means(both.iter().map(|row| row.parent.clone()), labels).unwrap_or_else(nothing);
    let of_child = means(both.iter().map(|row| row.child.clone()), labels).unwrap_or_else(nothing);
    let unanswered = rows.len() - both.len();
    let rows = both.into_iter().map(|Pair { place, parent, child }| Pair {
        place,
        parent: probabilities(&parent, &of_parent),
        child: probabilities(&child, &of_child),
    });
    Compared { rows: rows.collect(), unanswered, trouble }
}

/// What one model says of every row: of each label, its log-likelihood a token.
async fn ask(
    engine: &Engine,
    cx: &Context,
    prompt: &Prompt,
    rows: &[LabelledRow],
    told: &dyn Fn(usize),
) -> Vec<Result<Vec<f32>, ModelError>> {
    let texts = rows.iter().map(|row| one_line(&row.input.text));
    let said = stream::iter(texts).map(async |text| {
        let scored = engine.score(cx, prompt, &text).await?;
        match scored.tokens.len() == prompt.labels.len() {
            true => Ok(per_token(&scored)),
            false => Err(ModelError::Failed("its engine scored other labels".to_owned())),
        }
    });
    let mut said = std::pin::pin!(said.buffered(AT_ONCE));
    let mut all = Vec::with_capacity(rows.len());
    while let Some(one) = said.next().await {
        all.push(one);
        told(all.len());
    }
    all
}

fn likeliest(probabilities: &[f32]) -> usize {
    (0..probabilities.len())
        .max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]).then(b.cmp(a)))
        .unwrap_or(0)
}

fn divergence(parent: &[f32], child: &[f32]) -> f64 {
    let part = |(p, q): (&f32, &f32)| match (f64::from(*p), f64::from(*q)) {
        (p, _) if p <= 0.0 => 0.0,
        // The smallest number that there is of 32 bits, rather than an infinite loss.
        (p, q) => p * (p / q.max(f64::from(f32::MIN_POSITIVE))).ln(),
    };
    parent.iter().zip(child).map(part).sum::<f64>().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(rows: &[([f32; 3], [f32; 3])]) -> Compared {
        let row = |(place, (parent, child)): (usize, &([f32; 3], [f32; 3]))| Pair {
            place,
            parent: parent.to_vec(),
            child: child.to_vec(),
        };
        Compared { rows: rows.iter().enumerate().map(row).collect(), unanswered: 0, trouble: None }
    }

    #[test]
    fn a_flip_is_another_answer_and_no_other_certainty() {
        let compared = compared(&[
            ([0.7, 0.2, 0.1], [0.5, 0.4, 0.1]),
            ([0.7, 0.2, 0.1], [0.4, 0.5, 0.1]),
            ([0.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
        ]);
        assert_eq!(compared.flips(), 1);
    }

    #[test]
    fn the_divergence_is_what_is_lost_in_nats() {
        assert_eq!(compared(&[([0.7, 0.2, 0.1], [0.7, 0.2, 0.1])]).mean_divergence(), 0.0);
        // 0.5 ln(0.5 / 0.25) + 0.5 ln(0.5 / 0.75), and nothing: their mean.
        let expected = 0.5 * (0.5 * 2.0_f64.ln() + 0.5 * (2.0_f64 / 3.0).ln());
        let found = compared(&[([0.5, 0.5, 0.0], [0.25, 0.75, 0.0]), ([1.0, 0.0, 0.0], [1.0, 0.0, 0.0])]);
        assert!((found.mean_divergence() - expected).abs() < 1e-7, "{}", found.mean_divergence());
        let lost = compared(&[([0.5, 0.5, 0.0], [1.0, 0.0, 0.0])]).mean_divergence();
        assert!(lost.is_finite() && lost > 40.0, "{lost}");
    }
}
