//! From pieces to a reply, and back.

use std::collections::BTreeMap;

use serde_json::Value;

use super::chunk::chunk_object;
use super::response::response_object;
use super::tool::function_kind;
use super::{
    ChatChunk, ChatResponse, Choice, ChunkChoice, Content, Delta, FunctionCall, FunctionCallDelta, Logprobs,
    ToolCall, ToolCallDelta, Usage,
};
use crate::Object;

/// Fields of a delta that are appended although we do not model them; of any other, the last value stays.
const APPENDED: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

/// Puts a streamed reply together again.
#[derive(Clone, Debug, Default)]
pub struct ChunkAccumulator {
    first: Option<ChatChunk>,
    usage: Option<Usage>,
    choices: BTreeMap<u32, ChoiceSoFar>, // by index, which a server may choose as large as it likes
}

#[derive(Clone, Debug)]
struct ChoiceSoFar {
    choice: Choice,
    text: Option<String>,
    tool_calls: BTreeMap<u32, ToolCall>,
    last_tool_call: u32,
}

impl ChunkAccumulator {
    /// Nothing received yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece.
    pub fn push(&mut self, chunk: &ChatChunk) {
        if chunk.usage.is_some() {
            self.usage.clone_from(&chunk.usage);
        }
        match &mut self.first {
            None => self.first = Some(ChatChunk { choices: Vec::new(), ..chunk.clone() }),
            Some(first) => keep_last(&mut first.rest, &chunk.rest),
        }
        for piece in &chunk.choices {
            self.choices.entry(piece.index).or_insert_with(|| ChoiceSoFar::new(piece.index)).push(piece);
        }
    }

    /// Whether at least one answer came and every one has said why it ended.
    pub fn is_complete(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|so_far| so_far.choice.finish_reason.is_some())
    }

    /// The usage, once a piece has carried it.
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    /// The text of an answer so far.
    pub fn text(&self, index: u32) -> Option<&str> {
        self.choices.get(&index)?.text.as_deref()
    }

    /// The reply as it would have come in one piece; `None` where no piece came.
    pub fn finish(self) -> Option<ChatResponse> {
        let first = self.first?;
        Some(ChatResponse {
            id: first.id,
            object: response_object(),
            created: first.created,
            model: first.model,
            choices: self.choices.into_values().map(ChoiceSoFar::finish).collect(),
            usage: self.usage,
            system_fingerprint: first.system_fingerprint,
            rest: first.rest,
        })
    }
}

impl ChoiceSoFar {
    fn new(index: u32) -> Self {
        Self { choice: Choice::empty(index), text: None, tool_calls: BTreeMap::new(), last_tool_call: 0 }
    }

    fn push(&mut self, piece: &ChunkChoice) {
        let message = &mut self.choice.message;
        if let Some(role) = &piece.delta.role {
            message.role = role.clone();
        }
        append(&mut self.text, piece.delta.content.as_deref());
        append(&mut message.refusal, piece.delta.refusal.as_deref());
        for (key, value) in &piece.delta.rest {
            push_unknown(&mut message.rest, key, value);
        }
        if piece.finish_reason.is_some() {
            self.choice.finish_reason.clone_from(&piece.finish_reason);
        }
        if let Some(logprobs) = &piece.logprobs {
            push_logprobs(self.choice.logprobs.get_or_insert_default(), logprobs);
        }
        keep_last(&mut self.choice.rest, &piece.rest);
        for delta in piece.delta.tool_calls.iter().flatten() {
            self.push_tool_call(delta);
        }
    }

    fn push_tool_call(&mut self, delta: &ToolCallDelta) {
        let index = self.index_of(delta);
        self.last_tool_call = index;
        let call = self.tool_calls.entry(index).or_insert_with(|| ToolCall {
            id: String::new(),
            kind: function_kind(),
            function: None,
            rest: Object::new(),
        });
        if let Some(id) = delta.id.as_ref().filter(|id| !id.is_empty()) {
            call.id.clone_from(id);
        }
        if let Some(kind) = delta.kind.as_ref().filter(|kind| !kind.is_empty()) {
            call.kind.clone_from(kind);
        }
        if let Some(piece) = &delta.function {
            let function = call.function.get_or_insert_with(|| FunctionCall {
                name: String::new(),
                arguments: String::new(),
                rest: Object::new(),
            });
            function.name.push_str(piece.name.as_deref().unwrap_or_default());
            function.arguments.push_str(piece.arguments.as_deref().unwrap_or_default());
            keep_last(&mut function.rest, &piece.rest);
        }
        keep_last(&mut call.rest, &delta.rest);
    }

    /// Where a piece belongs. Without an index, a new id begins a new call and anything else continues the last.
    fn index_of(&self, delta: &ToolCallDelta) -> u32 {
        if let Some(index) = delta.index {
            return index;
        }
        let Some(id) = delta.id.as_deref().filter(|id| !id.is_empty()) else { return self.last_tool_call };
        match self.tool_calls.iter().find(|(_, call)| call.id == id) {
            Some((index, _)) => *index,
            None => self.tool_calls.last_key_value().map_or(0, |(index, _)| index.saturating_add(1)),
        }
    }

    fn finish(self) -> Choice {
        let mut choice = self.choice;
        choice.message.content = self.text.map(Content::Text);
        choice.message.tool_calls =
            (!self.tool_calls.is_empty()).then(|| self.tool_calls.into_values().collect());
        choice
    }
}

fn append(text: &mut Option<String>, piece: Option<&str>) {
    if let Some(piece) = piece {
        text.get_or_insert_default().push_str(piece);
    }
}

fn keep_last(kept: &mut Object, new: &Object) {
    for (key, value) in new {
        kept.insert(key.clone(), value.clone());
    }
}

fn push_unknown(kept: &mut Object, key: &str, value: &Value) {
    match (kept.get_mut(key), value) {
        (Some(Value::String(text)), Value::String(piece)) if APPENDED.contains(&key) => text.push_str(piece),
        (Some(Value::String(_)), Value::Null) if APPENDED.contains(&key) => {}
        _ => {
            kept.insert(key.to_owned(), value.clone());
        }
    }
}

fn push_logprobs(kept: &mut Logprobs, new: &Logprobs) {
    for (kept, new) in [(&mut kept.content, &new.content), (&mut kept.refusal, &new.refusal)] {
        if let Some(new) = new {
            kept.get_or_insert_default().extend_from_slice(new);
        }
    }
    keep_last(&mut kept.rest, &new.rest);
}

/// A whole reply as a stream would have carried it: each answer in one piece, then why it ended, then the usage
/// where it was asked for. `[DONE]` is the caller's to write.
pub fn chunks_of(response: &ChatResponse, include_usage: bool) -> Vec<ChatChunk> {
    let chunk = |choices: Vec<ChunkChoice>, usage: Option<Usage>| ChatChunk {
        id: response.id.clone(),
        object: chunk_object(),
        created: response.created,
        model: response.model.clone(),
        choices,
        usage,
        system_fingerprint: response.system_fingerprint.clone(),
        rest: response.rest.clone(),
    };
    let mut chunks = Vec::new();
    for choice in &response.choices {
        let said = ChunkChoice {
            index: choice.index,
            delta: delta_of(choice),
            finish_reason: None,
            logprobs: choice.logprobs.clone(),
            rest: choice.rest.clone(),
        };
        let ended = ChunkChoice {
            index: choice.index,
            delta: Delta::default(),
            finish_reason: choice.finish_reason.clone(),
            logprobs: None,
            rest: Object::new(),
        };
        chunks.push(chunk(vec![said], None));
        chunks.push(chunk(vec![ended], None));
    }
    if include_usage {
        chunks.push(chunk(Vec::new(), response.usage.clone()));
    }
    chunks
}

fn delta_of(choice: &Choice) -> Delta {
    let message = &choice.message;
    let tool_calls =
        message.tool_calls.as_ref().map(|calls| (0..).zip(calls).map(tool_call_delta_of).collect());
    Delta {
        role: Some(message.role.clone()),
        content: message.text(),
        refusal: message.refusal.clone(),
        tool_calls,
        rest: message.rest.clone(),
    }
}

fn tool_call_delta_of((index, call): (u32, &ToolCall)) -> ToolCallDelta {
    ToolCallDelta {
        index: Some(index),
        id: Some(call.id.clone()),
        kind: Some(call.kind.clone()),
        function: call.function.as_ref().map(|function| FunctionCallDelta {
            name: Some(function.name.clone()),
            arguments: Some(function.arguments.clone()),
            rest: function.rest.clone(),
        }),
        rest: call.rest.clone(),
    }
}
