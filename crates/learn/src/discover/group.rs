//! What is known of calls that belong together: counted while the log goes by, texts kept only as a sample.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use sprat_task::Money;

use super::answers::Answers;
use super::hash::hash;
use super::sample::Sample;
use super::shared::Shared;
use crate::import::Call;

/// Calls that belong together.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) calls: u64,
    /// Calls the log says failed.
    pub(super) failed: u64,
    /// Calls whose answer is not in the log.
    pub(super) unanswered: u64,
    pub(super) several_turns: u64,
    /// Calls that were answered by calling a tool.
    pub(super) tools: u64,
    /// Calls that ask about more than text.
    pub(super) not_text: u64,
    /// Calls without a user message.
    pub(super) without_text: u64,
    /// Calls from which something can be learned: one question, all of it text, and a text that answers it.
    pub(super) usable: u64,
    /// Of these, those whose answer stood in the last message.
    pub(super) in_last_message: u64,
    pub(super) models: BTreeMap<String, u64>,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// Calls whose tokens are known.
    pub(super) with_tokens: u64,
    pub(super) cost: Money,
    /// Calls whose cost is known.
    pub(super) with_cost: u64,
    pub(super) system: Shared,
    pub(super) user: Shared,
    pub(super) schema_name: Option<String>,
    pub(super) schema: Option<Value>,
    /// Hashes of distinct inputs.
    inputs: HashSet<u64>,
    /// Hashes of distinct answers, and how often each was given.
    outputs: HashMap<u64, u64>,
    /// Characters of all answers.
    pub(super) answer_characters: u64,
    pub(super) answers: Answers,
    pub(super) sample: Sample,
}

/// The input and the answer of a call that something can be learned from.
pub(super) fn usable(call: &Call) -> Option<(String, &str)> {
    let is_usable = call.failure.is_none()
        && call.tool_calls.is_empty()
        && !call.has_several_turns()
        && call.is_text_only();
    let answer = call.answer.as_deref().filter(|_| is_usable)?;
    Some((call.last_user_text()?, answer))
}

impl Group {
    /// Counts the call that stood at place `number` of the log.
    pub(super) fn add(&mut self, number: u64, call: &Call, system: Option<&str>) {
        self.calls += 1;
        self.failed += u64::from(call.failure.is_some());
        self.unanswered += u64::from(call.failure.is_none() && !call.is_answered());
        self.several_turns += u64::from(call.has_several_turns());
        self.tools += u64::from(!call.tool_calls.is_empty());
        self.not_text += u64::from(!call.is_text_only());
        if let Some(model) = &call.model {
            *self.models.entry(model.clone()).or_default() += 1;
        }
        if let Some(tokens) = call.tokens {
            self.with_tokens += 1;
            self.input_tokens = self.input_tokens.saturating_add(tokens.input);
            self.output_tokens = self.output_tokens.saturating_add(tokens.output);
        }
        if let Some(cost) = call.cost {
            self.with_cost += 1;
            self.cost += cost;
        }
        self.system.add(system.unwrap_or_default());
        if self.schema.is_none() {
            self.schema = call.schema().cloned();
            let format = call.response_format.as_ref().and_then(|format| format.json_schema.as_ref());
            self.schema_name = format.map(|format| format.name.clone()).filter(|name| !name.is_empty());
        }
        match usable(call) {
            Some((text, answer)) => self.add_row(number, call, &text, answer),
            None => self.without_text += u64::from(call.last_user_text().is_none()),
        }
    }

    fn add_row(&mut self, number: u64, call: &Call, text: &str, answer: &str) {
        self.usable += 1;
        self.in_last_message += u64::from(call.answer_in_last_message);
        self.user.add(text);
        self.inputs.insert(hash(text));
        *self.outputs.entry(hash(answer.trim())).or_default() += 1;
        self.answer_characters += answer.chars().count() as u64;
        self.answers.add(answer);
        self.sample.offer(number, text, answer);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.unanswered += other.unanswered;
        self.several_turns += other.several_turns;
        self.tools += other.tools;
        self.not_text += other.not_text;
        self.without_text += other.without_text;
        self.usable += other.usable;
        self.in_last_message += other.in_last_message;
        for (model, calls) in other.models {
            *self.models.entry(model).or_default() += calls;
        }
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.with_tokens += other.with_tokens;
        self.cost += other.cost;
        self.with_cost += other.with_cost;
        self.system.merge(other.system);
        self.user.merge(other.user);
        self.schema_name = self.schema_name.take().or(other.schema_name);
        self.schema = self.schema.take().or(other.schema);
        self.inputs.extend(other.inputs);
        for (answer, times) in other.outputs {
            *self.outputs.entry(answer).or_default() += times;
        }
        self.answer_characters += other.answer_characters;
        self.answers.merge(other.answers);
        self.sample.merge(other.sample);
    }

    /// How many different inputs there are among the usable calls.
    pub(super) fn distinct_inputs(&self) -> u64 {
        self.inputs.len() as u64
    }

    /// How often each distinct answer was given, most often first.
    pub(super) fn answer_counts(&self) -> Vec<u64> {
        let mut counts: Vec<u64> = self.outputs.values().copied().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts
    }

    pub(super) fn without_cost(&self) -> u64 {
        self.calls - self.with_cost
    }
}
