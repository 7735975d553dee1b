//! Does a smaller file answer as the one it was made of? Both are asked the same rows, with the prompt that a rung would have;
//! what each label scores on the average is taken away from each by itself, as learning would. Of several labels each is given
//! where its yes is likelier than its no; nothing is calibrated for that.

use std::sync::Arc;

use futures::{StreamExt, stream};
use sprat_engine::protocol::Prompt;
use sprat_task::{
    Answer, Context, Judgements, Kind, LabelledRow, Model, ModelError, ModelId, Prediction, Task,
};

use super::answer::{per_token, probabilities};
use super::artifact::Answers;
use super::chat::ChatTemplate;
use super::engine::Engine;
use super::prompt::{examples, named, one_line, prompt};
use super::rung::{DecoderRung, fields_of};
use super::text::Texts;
use super::train::means;
use super::{record, several, text};
use crate::retrieval::NeighbourIndex;

/// Rows that an engine has at a time.
const AT_ONCE: usize = 32;

/// What a model is told of a task, by the rows that it is weighed with.
pub struct Told {
    prompt: Prompt,
    answers: Answers,
    /// The rows that may be shown with a text.
    index: NeighbourIndex,
}

impl Told {
    /// As a rung would be told that was made of these rows.
    pub fn of(task: &Task, rows: &[LabelledRow], template: Option<&ChatTemplate>, context: u32) -> Self {
        let shown = |places: Vec<usize>| places.into_iter().map(|place| &rows[place]).collect::<Vec<_>>();
        let labels = task.labels.clone();
        let (prompt, answers) = match task.kind {
            Kind::Generate => {
                let told = text::Told::of(task, rows, template, context);
                (told.prompt, Answers::Text(told.texts))
            }
            Kind::Extract => {
                let (schema, most_tokens) = record::form(task);
                let answers = Answers::Record { fields: fields_of(task), schema, most_tokens };
                (record::prompt(task, &shown(record::examples(rows))), answers)
            }
            _ if task.multi => {
                let calibration = vec![(1.0, 0.0); labels.len()];
                let answers = Answers::Labels { labels, calibration, at_least_one: false };
                (several::prompt(task, &shown(several::examples(rows))), answers)
            }
            _ => {
                let means = vec![0.0; labels.len()];
                (prompt(task, &shown(examples(rows, &labels))), Answers::Label { labels, means })
            }
        };
        let index = match &answers {
            Answers::Text(texts) => text::index(&texts.pool),
            _ => text::index(&[]),
        };
        Self { prompt, answers, index }
    }

    /// What stands before all texts that a model is weighed with, and these texts with their answers.
    pub fn weighing(&self, task: &Task, rows: &[LabelledRow]) -> (String, Vec<String>) {
        let text = |row: &LabelledRow| {
            let text = match &self.answers {
                Answers::Text(_) => row.input.text.clone(),
                _ => one_line(&row.input.text),
            };
            let answer = match row.target() {
                Some(Answer::Label(label)) => format!(" {label}"),
                Some(Answer::Labels(given)) => {
                    let said = |label| if given.contains(label) { "yes" } else { "no" };
                    task.labels.iter().map(|label| format!("{label}: {}\n", said(label))).collect()
                }
                Some(Answer::Fields(fields)) => record::written(task, fields),
                Some(Answer::Text(text)) => text.clone(),
                _ => String::new(),
            };
            format!("{text}{}{answer}", self.prompt.after)
        };
        (self.prompt.before.clone(), rows.iter().map(text).collect())
    }
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

/// How two models answered one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Whether the smaller one answers otherwise: another label, or other labels; another record, or a text that is not good
    /// enough beside the other's; none where the other has one, or the other way.
    pub is_flip: bool,
    /// The Kullback-Leibler divergence of the child from the parent, in nats: what is lost by taking the child's probabilities
    /// for the parent's. Of labels, those of each label or of its yes and no; of what is written, a token's share of what the
    /// parent's own answer is less likely. `None` where it can't be said.
    pub divergence: Option<f64>,
    /// Whether the parent and the child are right, where that is known.
    pub right: Option<[bool; 2]>,
}

impl Compared {
    /// Rows that are answered otherwise.
    pub fn flips(&self) -> usize {
        self.rows.iter().filter(|row| row.is_flip).count()
    }

    /// The mean of the rows' divergences, in nats.
    pub fn mean_divergence(&self) -> Option<f64> {
        let known: Vec<f64> = self.rows.iter().filter_map(|row| row.divergence).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    /// Of the rows with a label, how many there are, and how many of them the parent and the child answer right.
    pub fn right(&self) -> (usize, [usize; 2]) {
        let known: Vec<[bool; 2]> = self.rows.iter().filter_map(|row| row.right).collect();
        let count = |who: usize| known.iter().filter(|right| right[who]).count();
        (known.len(), [count(0), count(1)])
    }
}

/// Asks both models, the parent first. `hears` is told how many answers have come, of twice as many as there are rows.
pub async fn compare(
    engines: [&Arc<Engine>; 2],
    cx: &Context,
    task: &Task,
    told: &Told,
    rows: &[LabelledRow],
    hears: &dyn Fn(usize),
) -> Compared {
    match told.answers {
        Answers::Label { .. } => compare_labels(engines, cx, task, &told.prompt, rows, hears).await,
        _ => compare_answers(engines, cx, task, told, rows, hears).await,
    }
}

/// One label: all that its probabilities say.
async fn compare_labels(
    [parent, child]: [&Arc<Engine>; 2],
    cx: &Context,
    task: &Task,
    prompt: &Prompt,
    rows: &[LabelledRow],
    hears: &dyn Fn(usize),
) -> Compared {
    let parents = ask(parent, cx, prompt, rows, hears).await;
    let children = ask(child, cx, prompt, rows, &|done| hears(rows.len() + done)).await;
    let trouble = parents.iter().chain(&children).find_map(|said| said.as_ref().err().cloned());
    // Only rows that both answered are looked at, also for what each label scores on the average.
    let both: Vec<(&LabelledRow, [Vec<f32>; 2])> = rows
        .iter()
        .zip(parents.into_iter().zip(children))
        .filter_map(|(row, (parent, child))| Some((row, [parent.ok()?, child.ok()?])))
        .collect();
    let labels = prompt.labels.len();
    let mean = |who: usize| {
        means(both.iter().map(|(_, said)| said[who].clone()), labels).unwrap_or_else(|| vec![0.0; labels])
    };
    let means = [mean(0), mean(1)];
    let unanswered = rows.len() - both.len();
    let pair = |(row, said): (&LabelledRow, [Vec<f32>; 2])| {
        let [parent, child] = [0, 1].map(|who| probabilities(&said[who], &means[who]));
        let answers = [likeliest(&parent), likeliest(&child)];
        let right = match row.target() {
            Some(Answer::Label(label)) => {
                let wanted = task.labels.iter().position(|known| known == label);
                Some(answers.map(|said| Some(said) == wanted))
            }
            _ => None,
        };
        let divergence = Some(divergence(&parent, &child));
        Pair { is_flip: answers[0] != answers[1], divergence, right }
    };
    Compared { rows: both.into_iter().map(pair).collect(), unanswered, trouble }
}

/// Whatever a rung would answer.
async fn compare_answers(
    [parent, child]: [&Arc<Engine>; 2],
    cx: &Context,
    task: &Task,
    told: &Told,
    rows: &[LabelledRow],
    hears: &dyn Fn(usize),
) -> Compared {
    let parents = answers(parent, cx, task, told, rows, hears).await;
    let children = answers(child, cx, task, told, rows, &|done| hears(rows.len() + done)).await;
    let is_none = |said: &Result<Prediction, ModelError>| matches!(said, Err(ModelError::BadAnswer(_)));
    let mut compared = Compared { rows: Vec::new(), unanswered: 0, trouble: None };
    for (row, (own, other)) in rows.iter().zip(parents.into_iter().zip(children)) {
        match (&own, &other) {
            (Ok(own), Ok(other)) => {
                let divergence = match &told.answers {
                    Answers::Labels { .. } => Some(divergence_of_each(own, other)),
                    _ => forced([parent, child], cx, task, told, row, &own.answer).await,
                };
                // Nobody is asked for a judgement: where it takes one, another text is another answer.
                let none = Judgements::default();
                let is_as_good = |said: &Prediction, right: &Answer| {
                    task.is_as_good(&row.input, &said.answer, right, &none)
                };
                let needs_judge =
                    task.quality.as_ref().is_some_and(|quality| quality.is_met("a", "b").is_none());
                let target = row.target().filter(|_| !needs_judge);
                let right = target.map(|target| [is_as_good(own, target), is_as_good(other, target)]);
                compared.rows.push(Pair { is_flip: !is_as_good(other, &own.answer), divergence, right });
            }
            (Ok(_), _) if is_none(&other) => compared.rows.push(Pair::ANOTHER),
            (_, Ok(_)) if is_none(&own) => compared.rows.push(Pair::ANOTHER),
            _ => {
                compared.unanswered += 1;
                let why = own.err().or(other.err());
                compared.trouble = compared.trouble.or(why);
            }
        }
    }
    compared
}

impl Pair {
    /// One has an answer, and the other none.
    const ANOTHER: Self = Self { is_flip: true, divergence: None, right: None };
}

/// What a rung over one model answers to every row.
async fn answers(
    engine: &Arc<Engine>,
    cx: &Context,
    task: &Task,
    told: &Told,
    rows: &[LabelledRow],
    hears: &dyn Fn(usize),
) -> Vec<Result<Prediction, ModelError>> {
    let (prompt, answers) = (told.prompt.clone(), told.answers.clone());
    let rung = DecoderRung::told(ModelId::from("gate"), engine.clone(), prompt, answers);
    let said = stream::iter(rows).map(|row| rung.predict(cx, task, std::slice::from_ref(&row.input)));
    let mut said = std::pin::pin!(said.buffered(AT_ONCE));
    let mut all = Vec::with_capacity(rows.len());
    while let Some(attempts) = said.next().await {
        let result = attempts.into_iter().next().map(|attempt| attempt.result);
        let silent = || ModelError::BadAnswer("it says nothing".to_owned());
        all.push(result.unwrap_or(Ok(None)).and_then(|prediction| prediction.ok_or_else(silent)));
        hears(all.len());
    }
    all
}

/// By how much the parent's own answer is less likely to the child, a token, in nats.
async fn forced(
    engines: [&Arc<Engine>; 2],
    cx: &Context,
    task: &Task,
    told: &Told,
    row: &LabelledRow,
    answer: &Answer,
) -> Option<f64> {
    let (text, answer) = match (&told.answers, answer) {
        (Answers::Record { .. }, Answer::Fields(fields)) => {
            (one_line(&row.input.text), record::written(task, fields))
        }
        // What is said around a hole, or of pieces, stands behind no one prompt.
        (Answers::Text(texts @ Texts { hole: None, long: None, .. }), Answer::Text(answer)) => {
            let wanted = texts.asked(&told.prompt, &row.input.text, &told.index, |_| true).ok()?;
            (wanted.text, answer.clone())
        }
        _ => return None,
    };
    let prompt = named(told.prompt.before.clone(), told.prompt.after.clone(), vec![answer]);
    let mut said = [0.0; 2];
    for (said, engine) in said.iter_mut().zip(engines) {
        let scored = engine.score(cx, &prompt, &text).await.ok()?;
        *said = f64::from(*per_token(&scored).first()?);
    }
    Some(said[0] - said[1])
}

/// The mean over the labels, each of which is given or not.
fn divergence_of_each(parent: &Prediction, child: &Prediction) -> f64 {
    let both = parent.alternatives.iter().zip(&child.alternatives);
    let of_one = both.map(|((_, parent), (_, child))| {
        let [parent, child] = [parent.0.exp(), child.0.exp()];
        divergence(&[parent, 1.0 - parent], &[child, 1.0 - child])
    });
    of_one.sum::<f64>() / parent.alternatives.len().max(1) as f64
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

    #[test]
    fn a_flip_is_another_answer_and_no_other_certainty() {
        let row = |is_flip| Pair { is_flip, divergence: None, right: Some([true, !is_flip]) };
        let rows = vec![row(false), row(true), row(false), Pair::ANOTHER];
        let compared = Compared { rows, unanswered: 0, trouble: None };
        assert_eq!((compared.flips(), compared.right(), compared.mean_divergence()), (2, (3, [3, 2]), None));
        assert_eq!(likeliest(&[0.7, 0.2, 0.1]), likeliest(&[0.5, 0.4, 0.1]));
        assert_ne!(likeliest(&[0.7, 0.2, 0.1]), likeliest(&[0.4, 0.5, 0.1]));
    }

    #[test]
    fn the_divergence_is_what_is_lost_in_nats() {
        assert_eq!(divergence(&[0.7, 0.2, 0.1], &[0.7, 0.2, 0.1]), 0.0);
        // 0.5 ln(0.5 / 0.25) + 0.5 ln(0.5 / 0.75).
        let expected = 0.5 * 2.0_f64.ln() + 0.5 * (2.0_f64 / 3.0).ln();
        let found = divergence(&[0.5, 0.5, 0.0], &[0.25, 0.75, 0.0]);
        assert!((found - expected).abs() < 1e-7, "{found}");
        let lost = divergence(&[0.5, 0.5, 0.0], &[1.0, 0.0, 0.0]);
        assert!(lost.is_finite() && lost > 40.0, "{lost}");
        let rows = [Some(0.5), None, Some(0.25)];
        let rows = rows.map(|divergence| Pair { is_flip: false, divergence, right: None });
        let compared = Compared { rows: rows.to_vec(), unanswered: 0, trouble: None };
        assert_eq!(compared.mean_divergence(), Some(0.375));
    }
}
