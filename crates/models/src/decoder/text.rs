//! What is a decoder told that is to write a text, and how sure was it of what it wrote? It is shown the rows most like each
//! text, or what stands around a hole; how likely it found its own words is what its confidence is read from.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sprat_engine::protocol::{Prompt, Sampling};
use sprat_task::{Answer, Around, Features, Hole, LabelledRow, ModelError, NotOne, Prediction, Score, Task};

use super::chat::{ChatTemplate, Conversation};
use super::generate::Wanted;
use super::long::{InPieces, Part, Way, Whole};
use super::prompt::named;
use crate::retrieval::NeighbourIndex;

/// Raised whenever the features below, or what stands behind them, change.
pub const SCORER_VERSION: u32 = 1;
/// The same, where texts may be answered in pieces.
pub const PIECES_SCORER_VERSION: u32 = 2;

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

/// What it reads where texts may be answered in pieces. The tokens are those of all pieces, the margin is the least of any first
/// one's; beside them stands how many answers there are, and what the worst of them and the last looks like by itself: among many
/// good ones a single bad one would not be seen.
pub const PIECES_FEATURES: [&str; 20] = [
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
    "log_answers",
    "least_mean_of_an_answer",
    "least_sum_of_an_answer",
    "mean_of_the_last",
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

/// How texts are asked about, but for what stands around each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// What ends an answer, beside the model itself.
    pub stop: Vec<String>,
    /// Most tokens of an answer.
    pub most_tokens: u32,
    /// The rows of which those nearest to each text are shown with it.
    pub pool: Vec<Example>,
    /// What becomes of long texts; `None`: they have no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long: Option<InPieces>,
    /// What marks the hole that an answer fills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hole: Option<Hole>,
}

/// What a decoder that writes was told.
pub struct Told {
    /// What stands before and after each text.
    pub prompt: Prompt,
    /// How texts are asked about.
    pub texts: Texts,
    /// The places of the rows that may be shown among those it was taught with.
    pub places: Vec<usize>,
}

impl Told {
    /// Of a task and its rows, in the model's own way to hold a conversation where it has one.
    pub fn of(task: &Task, rows: &[LabelledRow], template: Option<&ChatTemplate>, context: u32) -> Self {
        let lengths: Vec<(usize, usize)> =
            rows.iter().filter_map(|row| Some((row.input.text.len(), answer_of(row)?.len()))).collect();
        let longest = lengths.iter().map(|(_, answer)| *answer).max().unwrap_or(0);
        let most_tokens = u32::try_from(tokens(longest)).unwrap_or(u32::MAX).clamp(32, (context / 4).max(32));
        let hole = task.hole.clone();
        let long = task.long.map(|how| InPieces { how, longest: longest_text(&lengths, most_tokens) });
        if hole.is_some() {
            // A model that fills holes is shown what stands around them, and nothing else.
            let prompt = named(String::new(), String::new(), Vec::new());
            let texts = Texts { stop: Vec::new(), most_tokens, pool: Vec::new(), long, hole };
            return Self { prompt, texts, places: Vec::new() };
        }
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
        let (places, pool) = pool(rows).into_iter().unzip();
        Self { prompt, texts: Texts { stop, most_tokens, pool, long, hole }, places }
    }
}

/// Tokens that an answer of so many bytes may need: one is seldom less than two bytes.
fn tokens(bytes: usize) -> usize {
    bytes / 2 + 16
}

/// Bytes of the longest text whose answer surely has room, as far as texts and their answers tell of it.
fn longest_text(lengths: &[(usize, usize)], most_tokens: u32) -> usize {
    let room = 2 * most_tokens as usize;
    let (texts, answers) =
        lengths.iter().fold((0, 0), |(texts, answers), (text, answer)| (texts + text, answers + answer));
    let by_share = room.saturating_mul(texts.max(1)) / answers.max(1);
    let all_have_room = lengths.iter().all(|(_, answer)| tokens(*answer) <= most_tokens as usize);
    let longest = lengths.iter().map(|(text, _)| *text).max().unwrap_or(0);
    if all_have_room { by_share.max(longest) } else { by_share }
}

impl Texts {
    /// What holds for every text.
    pub fn way(&self, prompt: &Prompt) -> Way {
        let prompt = prompt.before.len() + prompt.after.len();
        Way { long: self.long, keeps_blanks: self.hole.is_some(), prompt }
    }

    /// What is asked of the engine for one text, or a piece of one; of the rows in the pool `may_show` are shown with it.
    ///
    /// # Errors
    /// A text that should have a hole has none, or several.
    pub fn asked(
        &self,
        prompt: &Prompt,
        text: &str,
        index: &NeighbourIndex,
        may_show: impl Fn(usize) -> bool,
    ) -> Result<Wanted, ModelError> {
        let wanted = Wanted {
            most_tokens: self.most_tokens,
            stop: self.stop.clone(),
            sampling: Sampling::GREEDY,
            ..Wanted::default()
        };
        let Some(hole) = &self.hole else {
            let text = with_examples(text, &self.pool, index, may_show);
            return Ok(Wanted { prompt: Some(prompt.clone()), text, ..wanted });
        };
        match hole.around(text) {
            Ok(Around { before, behind }) => {
                let (text, behind) = (before.to_owned(), Some(behind.to_owned()));
                Ok(Wanted { text, behind, adapter: prompt.adapter, ..wanted })
            }
            Err(NotOne { times, .. }) => Err(ModelError::BadInput(format!(
                "`{hole}` stands in the text {times} times, and a text of this task has it once"
            ))),
        }
    }

    /// The answer in what was written.
    pub fn prediction(&self, whole: &Whole) -> Prediction {
        let features = features(&whole.parts, self.long.is_some());
        let text = if self.hole.is_some() { &whole.text } else { whole.text.trim() };
        Prediction {
            answer: Answer::Text(text.to_owned()),
            score: Score(features[12].exp()),
            features: Features(features),
            alternatives: Vec::new(),
        }
    }

    /// The names of the features.
    pub fn feature_names(&self) -> &'static [&'static str] {
        if self.long.is_some() { &PIECES_FEATURES } else { &FEATURES }
    }

    /// Which way the features are read.
    pub fn scorer_version(&self) -> u32 {
        if self.long.is_some() { PIECES_SCORER_VERSION } else { SCORER_VERSION }
    }

    /// Whether that is how a task wants them answered.
    pub fn are_of(&self, task: &Task) -> bool {
        self.long.map(|long| long.how) == task.long && self.hole == task.hole
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

/// In the order of [`FEATURES`] or [`PIECES_FEATURES`]; there is a part at least, and a token in each.
fn features(parts: &[Part], in_pieces: bool) -> Vec<f32> {
    let logarithms =
        |part: &Part| part.written.iter().map(|token| token.log_probability).collect::<Vec<f32>>();
    let mut sorted: Vec<f32> = parts.iter().flat_map(logarithms).collect();
    sorted.sort_by(f32::total_cmp);
    let sum: f32 = sorted.iter().sum();
    let quantile = |tenth: usize| {
        let place = (sorted.len() - 1) as f32 * tenth as f32 / 10.0;
        let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        below + (above - below) * place.fract()
    };
    let first_margins = parts.iter().map(|part: &Part| part.written[0].margin);
    let margin = first_margins.fold(MOST_MARGIN, f32::min);
    let count = sorted.len() as f32;
    let read: f32 = parts.iter().map(|part| part.read as f32).sum();
    let of_all = (0..=10).map(quantile).chain([sum, sum / count, count.ln(), margin, read.ln_1p()]);
    if !in_pieces {
        return of_all.collect();
    }
    let sums: Vec<f32> = parts.iter().map(|part| logarithms(part).iter().sum()).collect();
    let means: Vec<f32> = sums.iter().zip(parts).map(|(sum, part)| sum / part.written.len() as f32).collect();
    let least = |numbers: &[f32]| numbers.iter().copied().fold(0.0, f32::min);
    let of_each =
        [(parts.len() as f32).ln(), least(&means), least(&sums), means.last().copied().unwrap_or(0.0)];
    of_all.chain(of_each).collect()
}

/// Margins beyond this say nothing more.
const MOST_MARGIN: f32 = 30.0;

#[cfg(test)]
mod tests {
    use sprat_engine::protocol::Written;

    use super::*;

    fn token(log_probability: f32) -> Written {
        Written { bytes: 1, log_probability, margin: 2.0, text: Vec::new(), likeliest: Vec::new() }
    }

    #[test]
    fn how_sure_the_model_was_is_read_off_its_tokens() {
        let part = |written: &[f32]| Part { read: 9, written: written.iter().copied().map(token).collect() };
        let written = part(&[-0.5, -1.0, 0.0]);
        let found = features(std::slice::from_ref(&written), false);
        assert_eq!(found.len(), FEATURES.len());
        assert_eq!((found[0], found[5], found[10]), (-1.0, -0.5, 0.0));
        assert!((found[1] - -0.9).abs() < 1e-6, "between two tokens: {}", found[1]);
        assert_eq!((found[11], found[12], found[14]), (-1.5, -0.5, 2.0));
        assert_eq!(features(&[part(&[-0.25])], false)[..11], [-0.25; 11]);
        // Of a text that was not cut, the same, and that it was not.
        let uncut = features(std::slice::from_ref(&written), true);
        assert_eq!(uncut.len(), PIECES_FEATURES.len());
        assert_eq!((&uncut[..16], &uncut[16..]), (&found[..], &[0.0, -0.5, -1.5, -0.5][..]));
    }

    #[test]
    fn one_bad_piece_among_many_good_ones_is_seen() {
        let bad = Part { read: 9, written: vec![token(-2.0); 2] };
        let all_good = features(&vec![good_part(); 9], true);
        let one_bad = features(&[vec![good_part(); 4], vec![bad], vec![good_part(); 4]].concat(), true);
        // What is spread over all tokens hardly changes: the median, the mean.
        assert!((all_good[5] - one_bad[5]).abs() < 1e-6 && (all_good[12] - one_bad[12]).abs() < 0.02);
        assert!((one_bad[17] - -2.0).abs() < 1e-6 && (all_good[17] - -0.01).abs() < 1e-6, "{one_bad:?}");
        assert!((one_bad[19] - -0.01).abs() < 1e-6, "the last is as good as the others");
        assert_eq!(one_bad[16], 9.0_f32.ln());
    }

    fn good_part() -> Part {
        Part { read: 9, written: vec![token(-0.01); 50] }
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
        assert_eq!((told.texts.most_tokens, told.texts.stop.len()), (96, 0));
        assert_eq!((told.texts.pool.len(), told.places.len()), (1, 1), "what was captured is not kept");
        let told = Told::of(&task, &rows, None, 4_096);
        assert_eq!((told.prompt.before.as_str(), told.texts.stop.len()), ("Translate.\n\nText:\n", 1));
    }

    #[test]
    fn a_text_whose_answer_has_no_room_is_one_that_is_cut() {
        // Answers as long as their texts: 64 tokens are 128 bytes, where each may be of two.
        assert_eq!(longest_text(&[(1_000, 1_000), (10, 10)], 64), 128);
        assert_eq!(longest_text(&[(1_000, 500)], 64), 256);
        // Where all answers have room, no row is cut, however long.
        assert_eq!(longest_text(&[(9_000, 10), (20, 90)], 64), 128 * 9_020 / 100);
        assert_eq!(longest_text(&[(500, 90), (20, 90)], 64), 500);
        assert_eq!(longest_text(&[], 32), 64);
    }

    #[test]
    fn a_hole_is_asked_about_with_what_stands_around_it_alone() {
        let texts = Texts {
            stop: Vec::new(),
            most_tokens: 40,
            pool: Vec::new(),
            long: None,
            hole: Hole::marked("<HOLE>"),
        };
        let prompt = super::super::prompt::read_by(Some(3), named(String::new(), String::new(), Vec::new()));
        let asked = |text: &str| texts.asked(&prompt, text, &index(&[]), |_| true);
        let wanted = asked("a(\n<HOLE>)").unwrap();
        assert_eq!((wanted.text.as_str(), wanted.behind.as_deref()), ("a(\n", Some(")")));
        assert_eq!((wanted.prompt, wanted.adapter, wanted.most_tokens), (None, Some(3), 40));
        for (text, times) in [("a()", 0), ("<HOLE><HOLE>", 2)] {
            let error = asked(text).unwrap_err();
            assert!(matches!(&error, ModelError::BadInput(why) if why.contains(&format!("{times} times"))));
        }
        let blank = |text: &str| Whole { text: text.to_owned(), parts: vec![good_part()] };
        let said = |text: &str| texts.prediction(&blank(text)).answer;
        assert_eq!(
            said("  b,\n"),
            Answer::Text("  b,\n".to_owned()),
            "what stands around it needs the blanks"
        );
    }
}
