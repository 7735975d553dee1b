//! What is a decoder told that is to write a text, and how sure was it of what it wrote? It is shown the rows most like each
//! text; how likely it found its own words is what its confidence is read from.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sprat_engine::protocol::{End, Prompt, Sampling, Written};
use sprat_task::{Answer, Features, LabelledRow, ModelError, Prediction, Score, Task};

use super::chat::{ChatTemplate, Conversation};
use super::generate::{Answered, Wanted};
use super::prompt::named;
use crate::retrieval::NeighbourIndex;

/// Raised whenever the features below, or what stands behind them, change.
pub const SCORER_VERSION: u32 = 1;

/// What the confidence head reads: quantiles, sum and mean of the tokens' log-probabilities in nats, how many there are, by how
/// much the first was preferred to any other, and how much was read.
pub const FEATURES: [&str; 16] = [
    "least",
    "quantile_10",
    "quantile_20",
    "quantile_30",
    "quantile_40",
    "median",
    "quantile_60",
    "quantile_70",
    "quantile_80",
    "quantile_90",
    "most",
    "sum",
    "mean",
    "log_tokens_written",
    "first_margin",
    "log_tokens_read",
];

/// Rows shown with each text.
const EXAMPLES: usize = 3;
/// Rows that are chosen among: those nearest to a text may be its own fold's.
const NEAREST: usize = 24;
/// Rows kept to be shown.
const POOL: usize = 2_000;
/// Longer texts, or answers, would leave no room.
const LONGEST: usize = 600;
/// What ends an answer where the model only goes on with texts.
const STOP: &str = "\n\nText:\n";
/// Stands for the text while a conversation is written; no template holds it.
const MARK: &str = "\u{f8ff}text\u{f8ff}";

/// A row that may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    text: String,
    answer: String,
}

/// What a decoder that writes was told, but for the rows nearest to each text.
pub struct Told {
    /// What stands before and after each text.
    pub prompt: Prompt,
    /// What ends an answer.
    pub stop: Vec<String>,
    /// Most tokens of an answer.
    pub most_tokens: u32,
    /// The rows that may be shown, with their places among those it was taught with.
    pub pool: Vec<(usize, Example)>,
}

impl Told {
    /// Of a task and its rows, in the model's own way to hold a conversation where it has one.
    pub fn of(task: &Task, rows: &[LabelledRow], template: Option<&ChatTemplate>, context: u32) -> Self {
        let instructions = match task.instructions.trim() {
            "" => "Write what the text asks for.",
            instructions => instructions,
        };
        let in_conversation = template.and_then(|template| conversing(template, instructions));
        let (prompt, stop) = match in_conversation {
            Some(prompt) => (prompt, Vec::new()),
            None => {
                let before = format!("{instructions}\n\nText:\n");
                (named(before, "\n\nAnswer:\n".to_owned(), Vec::new()), vec![STOP.to_owned()])
            }
        };
        let longest = rows.iter().filter_map(answer_of).map(str::len).max().unwrap_or(0);
        // A token is seldom less than two bytes.
        let most_tokens =
            u32::try_from(longest / 2 + 16).unwrap_or(u32::MAX).clamp(32, (context / 4).max(32));
        Self { prompt, stop, most_tokens, pool: pool(rows) }
    }
}

/// The rows that may be shown. What was captured is forgotten in its time, and this is kept.
fn pool(rows: &[LabelledRow]) -> Vec<(usize, Example)> {
    let shown = rows.iter().enumerate().filter(|(_, row)| !row.captured && row.input.text.len() <= LONGEST);
    let example = |(place, row): (usize, &LabelledRow)| {
        let answer = answer_of(row).filter(|answer| answer.len() <= LONGEST)?.to_owned();
        Some((place, Example { text: row.input.text.clone(), answer }))
    };
    shown.filter_map(example).take(POOL).collect()
}

fn answer_of(row: &LabelledRow) -> Option<&str> {
    match row.target() {
        Some(Answer::Text(text)) => Some(text),
        _ => None,
    }
}

/// The prompt as a conversation; `None` where the template makes something else of it.
fn conversing(template: &ChatTemplate, instructions: &str) -> Option<Prompt> {
    let say = |role: &str, content: &str| json!({ "role": role, "content": content });
    let messages = vec![say("system", instructions), say("user", MARK)];
    let whole = template.render(&Conversation { messages, tools: Vec::new() }).ok()?;
    let (before, after) = whole.split_once(MARK).filter(|(_, after)| !after.contains(MARK))?;
    Some(named(before.to_owned(), after.to_owned(), Vec::new()))
}

/// The rows that may be shown, by what is in them.
pub fn index(pool: &[Example]) -> NeighbourIndex {
    let texts: Vec<&str> = pool.iter().map(|example| example.text.as_str()).collect();
    NeighbourIndex::build(&texts)
}

/// A text behind the rows nearest to it, the nearest last. `may_show` says which places of the pool may be shown.
pub fn with_examples(
    text: &str,
    pool: &[Example],
    index: &NeighbourIndex,
    may_show: impl Fn(usize) -> bool,
) -> String {
    let nearest = index.nearest(text, NEAREST).into_iter().map(|near| near.row);
    let mut shown: Vec<&Example> =
        nearest.filter(|row| may_show(*row)).take(EXAMPLES).map(|row| &pool[row]).collect();
    shown.reverse();
    let mut said: String = shown
        .into_iter()
        .map(|Example { text, answer }| format!("{text}\n\nAnswer:\n{answer}{STOP}"))
        .collect();
    said.push_str(text);
    said
}

/// What is asked of the engine for one text, behind the rows that are shown with it.
pub fn wanted(prompt: &Prompt, stop: &[String], most_tokens: u32, text: String) -> Wanted {
    let (prompt, stop) = (Some(prompt.clone()), stop.to_vec());
    Wanted { prompt, text, most_tokens, stop, sampling: Sampling::GREEDY, ..Wanted::default() }
}

/// The answer in what was written.
///
/// # Errors
/// It is none: nothing was written, or it broke off.
pub fn prediction(answered: &Answered) -> Result<Prediction, ModelError> {
    let Answered { text, end, read, written } = answered;
    let text = text.trim();
    if matches!(end, End::MostTokens | End::Context) {
        return Err(ModelError::BadAnswer(format!("it isn't finished after {} tokens", written.len())));
    }
    if text.is_empty() || written.is_empty() {
        return Err(ModelError::BadAnswer("it is empty".to_owned()));
    }
    let features = features(written, *read);
    Ok(Prediction {
        answer: Answer::Text(text.to_owned()),
        score: Score(features[12].exp()),
        features: Features(features),
        alternatives: Vec::new(),
    })
}

/// In the order of [`FEATURES`]; there is a token at least.
fn features(written: &[Written], read: u32) -> Vec<f32> {
    let mut sorted: Vec<f32> = written.iter().map(|token| token.log_probability).collect();
    sorted.sort_by(f32::total_cmp);
    let sum: f32 = sorted.iter().sum();
    let quantile = |tenth: usize| {
        let place = (sorted.len() - 1) as f32 * tenth as f32 / 10.0;
        let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        below + (above - below) * place.fract()
    };
    let margin = written[0].margin.min(MOST_MARGIN);
    let count = written.len() as f32;
    (0..=10).map(quantile).chain([sum, sum / count, count.ln(), margin, (read as f32).ln_1p()]).collect()
}

/// Margins beyond this say nothing more.
const MOST_MARGIN: f32 = 30.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn token(log_probability: f32) -> Written {
        Written { bytes: 1, log_probability, margin: 2.0, text: Vec::new(), likeliest: Vec::new() }
    }

    #[test]
    fn how_sure_the_model_was_is_read_off_its_tokens() {
        let written = [-0.5, -1.0, 0.0].map(token);
        let found = features(&written, 9);
        assert_eq!(found.len(), FEATURES.len());
        assert_eq!((found[0], found[5], found[10]), (-1.0, -0.5, 0.0));
        assert!((found[1] - -0.9).abs() < 1e-6, "between two tokens: {}", found[1]);
        assert_eq!((found[11], found[12], found[14]), (-1.5, -0.5, 2.0));
        assert_eq!(features(&[token(-0.25)], 1)[..11], [-0.25; 11]);
    }

    #[test]
    fn rows_like_the_text_are_shown_with_it_the_nearest_last() {
        let example = |text: &str, answer: &str| Example { text: text.to_owned(), answer: answer.to_owned() };
        let pool = [
            example("the red car", "das rote Auto"),
            example("a green tree", "ein Baum"),
            example("the red cart", "der Wagen"),
        ];
        let index = index(&pool);
        let shown = with_examples("the red car!", &pool, &index, |_| true);
        assert!(shown.ends_with("the red car\n\nAnswer:\ndas rote Auto\n\nText:\nthe red car!"), "{shown}");
        assert!(shown.contains("der Wagen"), "{shown}");
        let others = with_examples("the red car!", &pool, &index, |row| row != 0);
        assert!(!others.contains("das rote Auto"), "not those that it may not see: {others}");
    }

    #[test]
    fn a_model_that_holds_conversations_is_told_in_one() {
        let text =
            "kind = \"generate\"\ninstructions = \"Translate.\"\n[quality]\nmetric = \"chrf\"\nleast = 0.5";
        let task =
            sprat_task::read_task("t", &sprat_task::Source::new("t.toml", text), |_| Err(String::new()))
                .unwrap();
        let source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>";
        let template = ChatTemplate::new(source, None, "", "").unwrap();
        let mut rows = vec![LabelledRow::gold("one", Answer::Text("eins".repeat(40)))];
        rows.push(LabelledRow { captured: true, ..LabelledRow::gold("two", Answer::Text("zwei".into())) });
        let told = Told::of(&task, &rows, Some(&template), 4_096);
        assert_eq!(
            (told.prompt.before.as_str(), told.prompt.after.as_str()),
            ("<system>Translate.<user>", "<assistant>")
        );
        assert_eq!((told.most_tokens, told.stop.len()), (96, 0));
        assert_eq!(told.pool.len(), 1, "what was captured is not kept");
        let told = Told::of(&task, &rows, None, 4_096);
        assert_eq!((told.prompt.before.as_str(), told.stop.len()), ("Translate.\n\nText:\n", 1));
    }
}
