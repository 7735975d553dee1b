//! A task file: typed as written, then validated into a [`Task`] that can't be wrong.

mod fields;
mod quality;
mod target;
mod writing;

use serde::Deserialize;
use toml::Spanned;

use crate::hash::Sha256Hex;
use crate::kind::Kind;
use crate::names::{Label, ModelId, TaskName, is_plain_name};
use crate::problem::{Problem, list};
use crate::redact::Redaction;
use crate::source::Source;
use crate::target::Target;
use crate::task::{Audit, Capture, InputRule, Last, Match, RETENTION_DAYS, Task};

use fields::FieldTable;
use quality::{QualityTable, quality};
use target::{TargetTable, recall, target};
use writing::{hole, long};

/// `tasks/NAME.toml`, as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskFile {
    kind: Spanned<String>,
    labels: Option<Spanned<Vec<Spanned<String>>>>,
    labels_from: Option<Spanned<String>>,
    #[serde(default)]
    multi: bool,
    #[serde(default)]
    fields: Vec<FieldTable>,
    out_of_scope: Option<Spanned<String>>,
    #[serde(default)]
    instructions: String,
    long: Option<Spanned<String>>,
    hole: Option<Spanned<String>>,
    rungs: Option<Spanned<Vec<Spanned<String>>>>,
    large: Option<Spanned<String>>,
    last: Option<Spanned<String>>,
    #[serde(default)]
    target: TargetTable,
    #[serde(rename = "match")]
    matching: Option<MatchTable>,
    #[serde(default)]
    capture: CaptureTable,
    #[serde(default)]
    audit: AuditTable,
    #[serde(default)]
    cache: CacheTable,
    quality: Option<QualityTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MatchTable {
    system_prompt_contains: Spanned<String>,
    input: Option<Spanned<String>>,
    lower: Option<Spanned<bool>>,
    #[serde(default)]
    bound_to: Vec<Spanned<String>>,
    #[serde(default)]
    plain: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaptureTable {
    #[serde(default)]
    enabled: bool,
    retention_days: Option<u32>,
    #[serde(default)]
    redact: Vec<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditTable {
    rate: Option<Spanned<toml::Value>>,
    #[serde(default)]
    slices: Vec<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheTable {
    exact: Option<bool>,
}

/// Reads and validates a task file. `labels_from`, and what the words of a command may name, is read through `read_file`,
/// which gets the path as written and does the I/O (or says what went wrong).
pub fn read_task(
    name: &str,
    source: &Source,
    mut read_file: impl FnMut(&str) -> Result<String, String>,
) -> Result<Task, Problem> {
    if !is_plain_name(name) {
        return Err(source
            .problem_in_file(format!("`{name}` can't name a task"))
            .allowed("1 to 64 letters, digits, `_`, `-` and `.`"));
    }
    let file: TaskFile = source.parse()?;
    let kind = kind(source, &file)?;
    let labels = labels(source, kind, &file, &mut read_file)?;
    let out_of_scope = file.out_of_scope.as_ref().map(|label| Label::from(label.get_ref().as_str()));
    let mut labels = labels;
    if let Some(label) = &out_of_scope
        && !labels.contains(label)
    {
        labels.push(label.clone());
    }
    let fewest = if kind == Kind::Moderate { 1 } else { 2 };
    if kind.has_labels() && labels.len() < fewest {
        let at = file.labels.as_ref().map_or(0..0, Spanned::span);
        return Err(source.problem(
            at,
            if fewest == 1 {
                "a task of kind `moderate` needs at least one category"
            } else {
                "a task needs at least two labels to choose between"
            },
        ));
    }
    if let Some(label) = file.out_of_scope.as_ref().filter(|_| kind == Kind::Moderate) {
        return Err(source
            .problem_at(label, "a task of kind `moderate` has no label for \"none of these\"")
            .hint("remove `out_of_scope`: a text that belongs to no category has no label"));
    }
    if file.multi && !kind.has_labels() {
        return Err(source.problem_in_file(format!(
            "`multi` means several labels a row; a task of kind `{kind}` has none"
        )));
    }
    Ok(Task {
        name: TaskName::from(name),
        kind,
        rungs: rungs(source, kind, &file)?,
        last: last(source, &file)?,
        target: Target {
            recall: recall(source, kind, &file.target, &labels)?,
            ..target(source, &file.target, &labels)?
        },
        matching: file.matching.as_ref().map(|table| matching(source, table)).transpose()?,
        capture: capture(source, &file.capture)?,
        audit: audit(source, &file.audit)?,
        slices_by: slices_by(source, &file.audit)?,
        exact_cache: file.cache.exact.unwrap_or(true),
        quality: quality(source, kind, file.quality.as_ref(), &mut read_file)?,
        long: long(source, kind, &file)?,
        hole: hole(source, kind, &file)?,
        // A text may belong to several categories, or to none.
        multi: file.multi || kind == Kind::Moderate,
        fields: fields::fields(source, kind, &file.fields)?,
        instructions: file.instructions.trim().to_owned(),
        out_of_scope,
        labels,
    })
}

fn kind(source: &Source, file: &TaskFile) -> Result<Kind, Problem> {
    let word = file.kind.get_ref();
    Kind::from_word(word).ok_or_else(|| {
        let known = Kind::ALL.map(Kind::word);
        source
            .problem_at(&file.kind, format!("`{word}` is not a kind of task"))
            .allowed(list(known))
            .did_you_mean(word, known)
    })
}

fn labels(
    source: &Source,
    kind: Kind,
    file: &TaskFile,
    read_file: impl FnOnce(&str) -> Result<String, String>,
) -> Result<Vec<Label>, Problem> {
    match (&file.labels, &file.labels_from) {
        (Some(_), Some(from)) => {
            Err(source.problem_at(from, "`labels` and `labels_from` are both given").hint("keep one of them"))
        }
        (Some(labels), None) if kind.has_labels() => {
            let mut seen: Vec<&Spanned<String>> = Vec::new();
            for label in labels.get_ref() {
                check_label(label.get_ref()).map_err(|message| source.problem_at(label, message))?;
                if seen.iter().any(|earlier| earlier.get_ref() == label.get_ref()) {
                    return Err(source
                        .problem_at(label, format!("label `{}` is listed twice", label.get_ref()))
                        .hint("remove one of them"));
                }
                seen.push(label);
            }
            Ok(seen.into_iter().map(|label| Label::from(label.get_ref().as_str())).collect())
        }
        (None, Some(from)) if kind.has_labels() => {
            let path = from.get_ref();
            let text = read_file(path)
                .map_err(|why| source.problem_at(from, format!("`{path}` can't be read: {why}")))?;
            labels_from_lines(path, &text)
        }
        (None, None) if kind.has_labels() => {
            Err(source.problem_in_file(format!("a task of kind `{kind}` needs `labels`")).hint(
                "add labels = [\"first\", \"second\"], or labels_from = \"labels.txt\" with one label a line",
            ))
        }
        (Some(labels), _) => Err(source
            .problem(labels.span(), format!("a task of kind `{kind}` has no labels"))
            .hint("remove `labels`")),
        (_, Some(from)) => Err(source
            .problem_at(from, format!("a task of kind `{kind}` has no labels"))
            .hint("remove `labels_from`")),
        (None, None) => Ok(Vec::new()),
    }
}

fn labels_from_lines(path: &str, text: &str) -> Result<Vec<Label>, Problem> {
    let mut labels: Vec<Label> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let at = number as u64 + 1;
        check_label(line).map_err(|message| Problem::new(message).at(path, at))?;
        if labels.iter().any(|earlier| earlier.as_str() == line) {
            return Err(Problem::new(format!("label `{line}` is listed twice"))
                .at(path, at)
                .hint("remove one of them"));
        }
        labels.push(Label::from(line));
    }
    Ok(labels)
}

fn check_label(label: &str) -> Result<(), String> {
    match label {
        "" => Err("a label can't be empty".to_owned()),
        _ if label.trim() != label => Err(format!("label `{label}` begins or ends with a space")),
        _ if label.contains(['|', '\n', '\r']) => Err(format!(
            "label `{}` contains `|` or a line break, which separate labels",
            label.escape_debug()
        )),
        _ => Ok(()),
    }
}

fn rungs(source: &Source, kind: Kind, file: &TaskFile) -> Result<Vec<ModelId>, Problem> {
    let Some(rungs) = &file.rungs else { return Ok(vec![ModelId::from(kind.usual_rung())]) };
    let mut seen: Vec<ModelId> = Vec::new();
    for rung in rungs.get_ref() {
        let id = ModelId::from(rung.get_ref().as_str());
        if seen.contains(&id) {
            return Err(source
                .problem_at(rung, format!("rung `{id}` is listed twice"))
                .hint("remove one of them"));
        }
        if let Some(other) = seen.iter().find(|other| other.as_str().eq_ignore_ascii_case(id.as_str())) {
            // Each rung's files bear its name, and some file systems don't tell cases apart.
            return Err(source
                .problem_at(rung, format!("rungs `{other}` and `{id}` differ in upper and lower case alone"))
                .hint("give one of the two models another name in sprat.toml"));
        }
        if file.large.as_ref().is_some_and(|large| large.get_ref() == rung.get_ref()) {
            return Err(source
                .problem_at(rung, format!("`{id}` is both a rung and the large model"))
                .hint("leave it out of `rungs`: the ladder ends with it anyway"));
        }
        seen.push(id);
    }
    if seen.is_empty() {
        return Err(source
            .problem(rungs.span(), "a ladder needs at least one rung")
            .hint(format!("rungs = [\"{}\"] is the default", kind.usual_rung())));
    }
    Ok(seen)
}

fn last(source: &Source, file: &TaskFile) -> Result<Last, Problem> {
    match (&file.large, &file.last) {
        (Some(_), Some(last)) => Err(source
            .problem_at(last, "`large` and `last` are both given")
            .hint("keep one: the ladder has one end")),
        (Some(large), None) => Ok(Last::Large(ModelId::from(large.get_ref().as_str()))),
        (None, None) => Ok(Last::NoAnswer),
        (None, Some(last)) => match last.get_ref().as_str() {
            "people" => Ok(Last::People),
            "no-answer" => Ok(Last::NoAnswer),
            other => Err(source
                .problem_at(last, format!("`{other}` is not an end of a ladder"))
                .allowed("people, no-answer; or large = \"NAME\" for a model")
                .did_you_mean(other, ["people", "no-answer"])),
        },
    }
}

/// Completes a problem about a label that the task doesn't have.
pub fn unknown_label(problem: Problem, wrong: &str, labels: &[Label]) -> Problem {
    problem
        .allowed(list(labels.iter().map(Label::as_str)))
        .did_you_mean(wrong, labels.iter().map(Label::as_str))
}

fn matching(source: &Source, table: &MatchTable) -> Result<Match, Problem> {
    if table.system_prompt_contains.get_ref().trim().is_empty() {
        return Err(source.problem_at(
            &table.system_prompt_contains,
            "an empty `system_prompt_contains` would match every call",
        ));
    }
    let input = match &table.input {
        None => InputRule::LastUserMessage,
        Some(rule) if rule.get_ref() == "last_user_message" => InputRule::LastUserMessage,
        Some(rule) => {
            match rule.get_ref().split_once("{input}") {
                Some((before, after)) if !after.contains("{input}") => {
                    InputRule::Pattern { before: before.to_owned(), after: after.to_owned() }
                }
                _ => {
                    return Err(source
                    .problem_at(rule, format!("`{}` doesn't say where the input is", rule.get_ref()))
                    .allowed("last_user_message, or a pattern with {input} once, such as \"Classify: {input}\""));
                }
            }
        }
    };
    let bound_to = bound_to(source, &table.bound_to)?;
    let lower = table.lower.as_ref().is_some_and(|lower| *lower.get_ref());
    if let Some(lower) = table.lower.as_ref().filter(|_| lower && bound_to.is_empty()) {
        return Err(source
            .problem_at(lower, "`lower` = true, and `bound_to` lists no call that small models may answer")
            .hint(
                "send such a call through `sprat serve --shadow` and list what its reply says in `x-sprat-call-hash`: \
                 bound_to = [\"…\"]",
            ));
    }
    Ok(Match {
        system_prompt_contains: table.system_prompt_contains.get_ref().clone(),
        input,
        lower,
        bound_to,
        plain: table.plain,
    })
}

/// The calls that small models may answer, sorted, none twice.
fn bound_to(source: &Source, written: &[Spanned<String>]) -> Result<Vec<Sha256Hex>, Problem> {
    let hash = |text: &Spanned<String>| {
        Sha256Hex::from_hex(text.get_ref()).ok_or_else(|| {
            source
                .problem_at(text, format!("`{}` is not the hash of a call", text.get_ref()))
                .allowed("64 hexadecimal digits, as `x-sprat-call-hash` of a reply has them")
        })
    };
    let mut calls = written.iter().map(hash).collect::<Result<Vec<_>, _>>()?;
    calls.sort();
    calls.dedup();
    Ok(calls)
}

fn capture(source: &Source, table: &CaptureTable) -> Result<Capture, Problem> {
    let redaction = |name: &Spanned<String>| {
        let word = name.get_ref();
        Redaction::from_word(word).ok_or_else(|| {
            let known = Redaction::ALL.map(Redaction::word);
            source
                .problem_at(name, format!("`{word}` is not something that can be redacted"))
                .allowed(list(known))
                .did_you_mean(word, known)
        })
    };
    Ok(Capture {
        enabled: table.enabled,
        retention_days: table.retention_days.unwrap_or(RETENTION_DAYS),
        redact: table.redact.iter().map(redaction).collect::<Result<_, _>>()?,
    })
}

/// Each value of such a key is a slice, and each slice makes the alarm of all of them less quick: a few keys with a few
/// values.
const MOST_SLICE_KEYS: usize = 4;

fn slices_by(source: &Source, table: &AuditTable) -> Result<Vec<String>, Problem> {
    if let Some(one_too_many) = table.slices.get(MOST_SLICE_KEYS) {
        return Err(source
            .problem_at(one_too_many, format!("more than {MOST_SLICE_KEYS} keys to slice by"))
            .hint("every slice makes the alarm of all of them slower: keep the keys that matter most"));
    }
    if let Some(empty) = table.slices.iter().find(|key| key.get_ref().trim().is_empty()) {
        return Err(source
            .problem_at(empty, "a key to slice by can't be empty")
            .hint("name a key of the requests' `metadata`, such as \"channel\""));
    }
    Ok(table.slices.iter().map(|key| key.get_ref().clone()).collect())
}

fn audit(source: &Source, table: &AuditTable) -> Result<Audit, Problem> {
    let Some(rate) = &table.rate else { return Ok(Audit::Auto) };
    match rate.get_ref() {
        toml::Value::String(word) if word == "auto" => Ok(Audit::Auto),
        toml::Value::Float(share) if *share > 0.0 && *share <= 1.0 => Ok(Audit::Rate(*share)),
        toml::Value::Integer(1) => Ok(Audit::Rate(1.0)),
        _ => Err(source
            .problem_at(rate, format!("`rate` = {} is not a share", source.text()[rate.span()].trim()))
            .allowed("\"auto\", or more than 0 and at most 1")),
    }
}

#[cfg(test)]
mod tests;
