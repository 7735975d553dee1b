//! A candidate as a task file, and the rows that go with it.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use sprat_task::task::InputRule;
use sprat_task::{Kind, Problem, Sha256Hex, Target};

use super::answers::object;
use super::candidate::Candidate;
use super::group::usable;
use super::grouping::Grouped;
use super::shape::{LabelPlace, Shape};
use crate::import::Call;

/// A task file and the way to its rows.
pub struct Draft<'a> {
    /// The task file, with comments.
    pub toml: String,
    /// What the user ought to know, a sentence each.
    pub notices: Vec<String>,
    candidate: &'a Candidate,
    grouped: &'a Grouped,
    group: usize,
    shape: &'a Shape,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        candidate: &'a Candidate,
        grouped: &'a Grouped,
        group: usize,
        shape: &'a Shape,
        large: Option<&str>,
    ) -> Result<Self, Problem> {
        if candidate.kind.has_labels() && candidate.labels.len() < 2 {
            let label = candidate.labels.first().map_or("", |label| label.label.as_str());
            return Err(Problem::new(format!("every answer of `{}` is `{label}`", candidate.name))
                .hint("a task needs at least two labels to choose between; import a longer log"));
        }
        let calls = &grouped.groups[group];
        // Where the prompt varies from call to call, no list could name them all.
        let call = calls
            .system
            .is_constant()
            .then(|| Sha256Hex::of_call(calls.system.example(), calls.schema.as_ref()));
        let toml = toml(candidate, large, calls.schema.is_some(), call.as_ref());
        Ok(Self { toml, notices: candidate.notices.clone(), candidate, grouped, group, shape })
    }

    /// The row that a call of the log gives, as a line of JSON without its line break: `text`, the large model's answer
    /// as `large`, and `session` and `time` (milliseconds since 1970) where the log has them. `None` where the call is
    /// of another sort, holds no answer, or holds one that is left out.
    pub fn row(&self, call: &Call) -> Option<String> {
        let (message, answer) = usable(call)?;
        if self.grouped.group_of(call) != Some(self.group) {
            return None;
        }
        let text = self.candidate.input.extract(&message)?;
        let mut row = Map::new();
        row.insert("text".to_owned(), json!(text));
        row.insert("large".to_owned(), self.large(answer)?);
        // A user's calls belong together as a conversation's do: they stay on one side of a split.
        if let Some(session) = call.session.as_ref().or(call.user.as_ref()) {
            row.insert("session".to_owned(), json!(session));
        }
        if let Some(time) = call.time_unix_ms {
            row.insert("time".to_owned(), json!(time));
        }
        Some(Value::Object(row).to_string())
    }

    fn large(&self, answer: &str) -> Option<Value> {
        match self.candidate.kind {
            Kind::Classify | Kind::Moderate => {
                let given = self.shape.labels_of(answer)?;
                let mut labels = given.into_iter().map(|label| self.shape.labels[label].label.as_str());
                if self.shape.multi { Some(labels.collect()) } else { labels.next().map(Value::from) }
            }
            Kind::Extract => {
                let mut record = object(answer)?;
                record.retain(|name, _| self.candidate.fields.contains(name));
                Some(Value::Object(record))
            }
            Kind::Generate | Kind::Answer => Some(json!(answer)),
        }
    }
}

/// What the large model is told: the system prompt, else what the template says before the input.
pub(super) fn instructions(system_prompt: Option<&str>, input: &InputRule) -> String {
    match (system_prompt, input) {
        (Some(prompt), InputRule::Pattern { before, .. }) => format!("{}\n{}", prompt.trim(), before.trim()),
        (Some(prompt), InputRule::LastUserMessage) => prompt.trim().to_owned(),
        (None, InputRule::Pattern { before, after }) => {
            format!("{}\n{}", before.trim(), after.trim()).trim().to_owned()
        }
        (None, InputRule::LastUserMessage) => String::new(),
    }
}

fn toml(candidate: &Candidate, large: Option<&str>, has_schema: bool, call: Option<&Sha256Hex>) -> String {
    let mut toml = String::new();
    let models: Vec<&str> = candidate.models.iter().map(|(model, _)| model.as_str()).collect();
    let by = if models.is_empty() { "a model the log doesn't name".to_owned() } else { models.join(", ") };
    line(
        &mut toml,
        &format!("# Drafted by `sprat discover` from {} calls to {}.", candidate.volume.calls, comment(&by)),
    );
    line(
        &mut toml,
        &format!("# Verdict: {} ({}).", candidate.verdict.advice.words(), comment(&candidate.verdict.reason)),
    );
    for notice in &candidate.notices {
        line(&mut toml, &format!("# Note: {}.", comment(notice)));
    }
    line(&mut toml, &format!("kind = {}", text(candidate.kind.word())));
    if candidate.kind.has_labels() {
        labels(&mut toml, candidate);
    }
    let prompt = candidate.system_prompt.as_deref();
    let told = instructions(prompt, &InputRule::LastUserMessage);
    let told = if prompt.is_some() { told } else { instructions(None, &candidate.input) };
    if !told.is_empty() {
        line(&mut toml, "# What the large model is told; taken from the log. Shorten it to what matters.");
        line(&mut toml, &format!("instructions = {}", text(&told)));
    }
    line(
        &mut toml,
        "# Models that may answer, cheapest first, and where the ladder ends (a model of sprat.toml).",
    );
    line(&mut toml, &format!("rungs = [{}]", text(candidate.kind.usual_rung())));
    match large {
        Some(name) => line(&mut toml, &format!("large = {}", text(name))),
        None => line(&mut toml, "# large = \"large\""),
    }
    if candidate.kind == Kind::Extract {
        fields(&mut toml, candidate);
    }
    line(&mut toml, "\n[target]");
    line(&mut toml, "# Of the answers a small model gives, at most this share may be wrong.");
    line(&mut toml, &format!("max_error = {}", Target::default().max_error));
    line(
        &mut toml,
        "# What is wrong follows the rows: these carry the large model's own answers, so the promise is agreement",
    );
    line(
        &mut toml,
        "# with it, not truth. Learn from rows that people labelled and it is truth: guarantee = \"gold\".",
    );
    matching(&mut toml, candidate);
    if candidate.matches.is_some() && candidate.kind.has_labels() {
        lowering(&mut toml, candidate, has_schema, call);
    }
    toml
}

fn fields(toml: &mut String, candidate: &Candidate) {
    line(toml, "\n# Each is a text until you say more: number, date, money, enum (with its values) or list.");
    for name in &candidate.fields {
        line(toml, "[[fields]]");
        line(toml, &format!("name = {}", text(name)));
        line(toml, "type = \"text\"");
    }
}

fn labels(toml: &mut String, candidate: &Candidate) {
    line(toml, "# With the number of answers that gave each.");
    line(toml, "labels = [");
    for label in &candidate.labels {
        line(toml, &format!("    {}, # {}", text(&label.label), label.calls));
    }
    line(toml, "]");
    if candidate.multi {
        line(toml, "multi = true");
    }
    if let Some(label) = &candidate.out_of_scope {
        line(toml, "# The label that means none of the others; a guess by its name.");
        line(toml, &format!("out_of_scope = {}", text(label)));
    }
}

fn matching(toml: &mut String, candidate: &Candidate) {
    let input = match &candidate.input {
        InputRule::LastUserMessage => "last_user_message".to_owned(),
        InputRule::Pattern { before, after } => format!("{before}{{input}}{after}"),
    };
    match &candidate.matches {
        Some(words) => {
            line(
                toml,
                "\n# Which ordinary chat calls are this task, and where the text is in them.\n[match]",
            );
            line(toml, &format!("system_prompt_contains = {}", text(words)));
            line(toml, &format!("input = {}", text(&input)));
        }
        None => {
            line(
                toml,
                "\n# No system prompt tells these calls apart, so that an ordinary chat call can't be recognised as",
            );
            line(toml, "# this task; call it by its name. In the log the text stood in the user message as:");
            line(toml, &format!("# input = {}", comment(&text(&input))));
        }
    }
}

/// Which of these calls small models may answer: none, before somebody has looked.
fn lowering(toml: &mut String, candidate: &Candidate, has_schema: bool, call: Option<&Sha256Hex>) {
    if !has_schema && candidate.label_place == Some(LabelPlace::Answer) {
        line(toml, "# The calls come without a schema, and are answered with the bare label.");
        line(toml, "plain = true");
    }
    line(
        toml,
        "# Small models answer such calls only where this is true, and only calls with the prompt and schema that",
    );
    line(
        toml,
        "# are listed: `x-sprat-call-hash` of a reply is the hash of a call. Run `sprat serve --shadow` and look at",
    );
    line(toml, "# what they would have answered before you set it to true.");
    line(toml, "lower = false");
    match call {
        Some(call) => line(toml, &format!("bound_to = [{}]", text(call.as_str()))),
        None => line(
            toml,
            "# The system prompt varies from call to call: list the hashes that matter.\nbound_to = []",
        ),
    }
}

fn line(toml: &mut String, line: &str) {
    let _ = writeln!(toml, "{line}"); // writing to a String can't fail
}

/// A text that stays on its line.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A TOML string: over several lines where the text has some.
fn text(text: &str) -> String {
    let is_long = text.contains('\n');
    let mut quoted = String::from(if is_long { "\"\"\"\n" } else { "\"" });
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push('\n'),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push_str(if is_long { "\"\"\"" } else { "\"" });
    quoted
}
