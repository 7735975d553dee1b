//! `[quality]`: when does a free text count as right?

use serde::Deserialize;
use toml::Spanned;

use crate::hash::Sha256Hex;
use crate::judge::QUESTION;
use crate::kind::Kind;
use crate::names::ModelId;
use crate::problem::{Problem, list};
use crate::quality::{JUDGE, JudgeModel, Likeness, Metric, Quality, TESTS, Tests};
use crate::source::Source;

/// How long one run of a command may take where nobody says, in seconds.
const WITHIN_S: u64 = 10;
/// The longest that may be said: an hour.
const LONGEST_S: u64 = 3_600;

/// The table, as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QualityTable {
    metric: Spanned<String>,
    least: Option<Spanned<f64>>,
    model: Option<Spanned<String>>,
    question: Option<Spanned<String>>,
    command: Option<Spanned<Vec<Spanned<String>>>>,
    within_s: Option<Spanned<i64>>,
}

/// The quality of a task that generates. Files that a command names are read through `read_file`.
pub(super) fn quality(
    source: &Source,
    kind: Kind,
    table: Option<&QualityTable>,
    read_file: impl FnMut(&str) -> Result<String, String>,
) -> Result<Option<Quality>, Problem> {
    let Some(table) = table else { return Ok(None) };
    if kind != Kind::Generate {
        return Err(source
            .problem_at(&table.metric, format!("a task of kind `{kind}` compares answers, not texts"))
            .hint("remove [quality]: it is for kind = \"generate\""));
    }
    let word = table.metric.get_ref().as_str();
    let quality = match (Metric::from_word(word), word) {
        (Some(metric), _) => Quality::Alike(likeness(source, metric, table)?),
        (None, JUDGE) => Quality::Judged { judge: judge(source, table)? },
        (None, TESTS) => Quality::Tested { tests: tests(source, table, read_file)? },
        (None, _) => {
            return Err(source
                .problem_at(&table.metric, format!("`{word}` is not a way to compare texts"))
                .allowed(list(Quality::WORDS))
                .did_you_mean(word, Quality::WORDS));
        }
    };
    table.has_only_keys_of(source, word)?;
    Ok(Some(quality))
}

impl QualityTable {
    /// A key that would do nothing is an error: whoever wrote it expects something of it.
    fn has_only_keys_of(&self, source: &Source, metric: &str) -> Result<(), Problem> {
        let keys = [
            ("least", self.least.as_ref().map(Spanned::span), metric != TESTS, "every metric but tests"),
            ("model", self.model.as_ref().map(Spanned::span), metric == JUDGE, "metric = \"judge\""),
            ("question", self.question.as_ref().map(Spanned::span), metric == JUDGE, "metric = \"judge\""),
            ("command", self.command.as_ref().map(Spanned::span), metric == TESTS, "metric = \"tests\""),
            ("within_s", self.within_s.as_ref().map(Spanned::span), metric == TESTS, "metric = \"tests\""),
        ];
        for (key, span, belongs, to) in keys {
            if let Some(span) = span.filter(|_| !belongs) {
                return Err(source
                    .problem(span, format!("`{key}` says nothing to metric = \"{metric}\""))
                    .allowed(format!("`{key}` with {to}"))
                    .hint(format!("remove `{key}`")));
            }
        }
        Ok(())
    }
}

fn likeness(source: &Source, metric: Metric, table: &QualityTable) -> Result<Likeness, Problem> {
    match (metric, least(source, table)?) {
        // There is nothing between the same and another.
        (Metric::Exact, None) => Ok(Likeness { metric, least: 1.0 }),
        (_, Some(least)) => Ok(Likeness { metric, least }),
        (_, None) => Err(source
            .problem_in_file(format!(
                "[quality] says how texts are compared ({metric}), and not what is good enough"
            ))
            .hint("add least = 0.6, or what a good answer of yours reaches beside another")),
    }
}

fn judge(source: &Source, table: &QualityTable) -> Result<JudgeModel, Problem> {
    let Some(model) = &table.model else {
        return Err(source
            .problem_at(&table.metric, "a judge is a model, and [quality] names none")
            .hint("add model = \"large\", a model of sprat.toml"));
    };
    let Some(least) = least(source, table)? else {
        return Err(source
            .problem_at(&table.metric, "[quality] names a judge, and not which grade is good enough")
            .allowed("a number above 0 and up to 1: the grades are 0, 0.25, 0.5, 0.75 and 1")
            .hint("add least = 0.75: as good as the right text but for a flaw that doesn't matter"));
    };
    let question = match &table.question {
        Some(question) if question.get_ref().trim().is_empty() => {
            return Err(source
                .problem_at(question, "an empty `question` leaves the judge nothing to weigh")
                .hint("remove it: there is a default"));
        }
        Some(question) => question.get_ref().trim().to_owned(),
        None => QUESTION.to_owned(),
    };
    Ok(JudgeModel { model: ModelId::from(model.get_ref().as_str()), question, least })
}

fn tests(
    source: &Source,
    table: &QualityTable,
    mut read_file: impl FnMut(&str) -> Result<String, String>,
) -> Result<Tests, Problem> {
    let example = "add command = [\"python3\", \"check.py\"], with check.py beside this file";
    let Some(command) = &table.command else {
        return Err(source
            .problem_at(&table.metric, "tests are a command, and [quality] has none")
            .hint(example));
    };
    if command.get_ref().is_empty() {
        return Err(source.problem_at(command, "an empty `command` starts nothing").hint(example));
    }
    if let Some(word) = command.get_ref().iter().find(|word| word.get_ref().contains('\0')) {
        return Err(source.problem_at(word, "a word of a command can't hold a zero byte"));
    }
    if let Some(program) = command.get_ref().first().filter(|word| word.get_ref().trim().is_empty()) {
        return Err(source.problem_at(program, "the first word of `command` names no program").hint(example));
    }
    let within_s = match &table.within_s {
        None => WITHIN_S,
        Some(within_s) => u64::try_from(*within_s.get_ref())
            .ok()
            .filter(|within_s| (1..=LONGEST_S).contains(within_s))
            .ok_or_else(|| {
                source
                    .problem_at(within_s, format!("`within_s` is {}", within_s.get_ref()))
                    .allowed(format!("whole seconds, 1 to {LONGEST_S}"))
            })?,
    };
    let command: Vec<String> = command.get_ref().iter().map(|word| word.get_ref().clone()).collect();
    // A word that names no file is none: `python3`, `-c`.
    let digest = |word: &String| Some((word.clone(), Sha256Hex::of(read_file(word).ok()?.as_bytes())));
    let files = command.iter().filter_map(digest).collect();
    Ok(Tests { command, within_s, files })
}

fn least(source: &Source, table: &QualityTable) -> Result<Option<f64>, Problem> {
    match &table.least {
        None => Ok(None),
        Some(least) if *least.get_ref() > 0.0 && *least.get_ref() <= 1.0 => Ok(Some(*least.get_ref())),
        Some(least) => Err(source
            .problem_at(least, format!("`least` is {}", least.get_ref()))
            .allowed("a number above 0 and up to 1")),
    }
}
