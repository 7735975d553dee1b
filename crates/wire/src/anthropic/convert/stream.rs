//! A stream of Anthropic's as a stream of OpenAI's.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::response::{error_to_openai, finish_reason_of, reason_without_tools, usage_of};
use crate::Object;
use crate::anthropic::messages::{BlockDelta, ContentBlock, StreamEvent, ToolUseBlock, Usage};
use crate::openai::chat::{
    self, ChatChunk, ChunkChoice, Delta, FinishReason, FunctionCallDelta, Role, ToolCallDelta,
};
use crate::openai::error::ErrorBody;

/// Most bytes of text that are held back beside an answer's form, and most blocks open at once: far beyond any reply, so
/// that a server gone wild fills no memory.
const MOST_HELD: usize = 8 << 20;
const MOST_BLOCKS: usize = 10_000;

/// Turns the events of a reply into the pieces an OpenAI client expects, one event at a time.
#[derive(Clone, Debug)]
pub struct StreamTranslator {
    answer_tool: Option<String>,
    created: u64,
    id: String,
    model: String,
    usage: Usage,
    blocks: BTreeMap<u32, Block>,
    tool_calls: u32,
    /// Text beside the form asked for: shown at the end, and only where the answer did not come in that form.
    held_text: String,
    has_answer: bool,
}

/// What a block is to the client.
#[derive(Clone, Copy, Debug)]
enum Block {
    Text,
    HeldText,
    Reasoning,
    /// A tool call, by its index among the calls.
    ToolCall {
        index: u32,
        has_arguments: bool,
    },
    /// The arguments of the answer's own tool, which are the text of the answer.
    Answer,
    /// Nothing the client could read.
    Hidden,
}

impl StreamTranslator {
    /// At the start of a reply; the arguments are those of [`to_openai`](super::to_openai).
    pub fn new(answer_tool: Option<String>, created: u64) -> Self {
        Self {
            answer_tool,
            created,
            id: String::new(),
            model: String::new(),
            usage: Usage::default(),
            blocks: BTreeMap::new(),
            tool_calls: 0,
            held_text: String::new(),
            has_answer: false,
        }
    }

    /// The piece that an event becomes, where it becomes one; an error event is an `Err`.
    pub fn push(&mut self, event: &StreamEvent) -> Result<Option<ChatChunk>, Box<ErrorBody>> {
        let said = match event {
            StreamEvent::MessageStart(start) => {
                self.id.clone_from(&start.message.id);
                self.model.clone_from(&start.message.model);
                self.usage.update(&start.message.usage);
                Some(Delta { role: Some(Role::Assistant), content: Some(String::new()), ..Delta::default() })
            }
            StreamEvent::ContentBlockStart(start) => self.start_block(start.index, &start.content_block),
            StreamEvent::ContentBlockDelta(delta) => self.continue_block(delta.index, &delta.delta),
            StreamEvent::ContentBlockStop(stop) => self.stop_block(stop.index),
            StreamEvent::MessageDelta(end) => {
                self.usage.update(&end.usage);
                let reason = end.delta.stop_reason.as_ref().map(finish_reason_of);
                let reason = reason.map(|reason| reason_without_tools(reason, self.tool_calls == 0));
                let held = std::mem::take(&mut self.held_text);
                let said = if self.has_answer { None } else { text_delta(&held) };
                return Ok(reason.map(|reason| self.chunk(said.unwrap_or_default(), Some(reason))));
            }
            StreamEvent::Error(error) => return Err(Box::new(error_to_openai(&error.error))),
            StreamEvent::MessageStop(_) | StreamEvent::Ping(_) | StreamEvent::Other(_) => None,
        };
        if self.held_text.len() > MOST_HELD || self.blocks.len() > MOST_BLOCKS {
            return Err(Box::new(ErrorBody::new("upstream_error", "the reply grows beyond all bounds")));
        }
        Ok(said.map(|delta| self.chunk(delta, None)))
    }

    /// The tokens so far; complete once the reply has ended.
    pub fn usage(&self) -> Option<chat::Usage> {
        usage_of(&self.usage)
    }

    /// The last piece, which carries the usage, for a client that asked for it.
    pub fn usage_chunk(&self) -> ChatChunk {
        ChatChunk { choices: Vec::new(), usage: self.usage(), ..self.chunk(Delta::default(), None) }
    }

    fn start_block(&mut self, index: u32, block: &ContentBlock) -> Option<Delta> {
        let (kind, delta) = match block {
            ContentBlock::Text(block) if self.answer_tool.is_some() => {
                self.held_text.push_str(&block.text);
                (Block::HeldText, None)
            }
            ContentBlock::Text(block) => (Block::Text, text_delta(&block.text)),
            ContentBlock::Thinking(block) => (Block::Reasoning, reasoning_delta(&block.thinking)),
            ContentBlock::ToolUse(call) if self.answer_tool.as_deref() == Some(call.name.as_str()) => {
                self.has_answer = true;
                (Block::Answer, text_delta(&early_arguments(&call.input)))
            }
            ContentBlock::ToolUse(call) => self.start_tool_call(call),
            ContentBlock::Image(_) | ContentBlock::ToolResult(_) | ContentBlock::Other(_) => {
                (Block::Hidden, None)
            }
        };
        self.blocks.insert(index, kind);
        delta
    }

    fn start_tool_call(&mut self, call: &ToolUseBlock) -> (Block, Option<Delta>) {
        let index = self.tool_calls;
        self.tool_calls = self.tool_calls.saturating_add(1);
        let arguments = early_arguments(&call.input);
        let begun = ToolCallDelta {
            id: Some(call.id.clone()),
            kind: Some("function".to_owned()),
            ..tool_call_piece(index, Some(call.name.clone()), &arguments)
        };
        let has_arguments = !arguments.is_empty();
        (Block::ToolCall { index, has_arguments }, Some(tool_call_delta(begun)))
    }

    fn continue_block(&mut self, index: u32, delta: &BlockDelta) -> Option<Delta> {
        match (self.blocks.get_mut(&index)?, delta) {
            (Block::Text, BlockDelta::Text(delta)) => text_delta(&delta.text),
            (Block::HeldText, BlockDelta::Text(delta)) => {
                self.held_text.push_str(&delta.text);
                None
            }
            (Block::Reasoning, BlockDelta::Thinking(delta)) => reasoning_delta(&delta.thinking),
            (Block::Answer, BlockDelta::InputJson(delta)) => text_delta(&delta.partial_json),
            (Block::ToolCall { index, has_arguments }, BlockDelta::InputJson(delta)) => {
                if delta.partial_json.is_empty() {
                    return None;
                }
                *has_arguments = true;
                Some(tool_call_delta(tool_call_piece(*index, None, &delta.partial_json)))
            }
            _ => None,
        }
    }

    /// A call without arguments has none in its events, but clients parse what they get: an empty object.
    fn stop_block(&mut self, index: u32) -> Option<Delta> {
        match self.blocks.remove(&index)? {
            Block::ToolCall { index, has_arguments: false } => {
                Some(tool_call_delta(tool_call_piece(index, None, "{}")))
            }
            _ => None,
        }
    }

    fn chunk(&self, delta: Delta, finish_reason: Option<FinishReason>) -> ChatChunk {
        let choice = ChunkChoice { index: 0, delta, finish_reason, logprobs: None, rest: Object::new() };
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk".to_owned(),
            created: Some(self.created),
            model: self.model.clone(),
            choices: vec![choice],
            usage: None,
            system_fingerprint: None,
            rest: Object::new(),
        }
    }
}

fn text_delta(text: &str) -> Option<Delta> {
    (!text.is_empty()).then(|| Delta { content: Some(text.to_owned()), ..Delta::default() })
}

fn reasoning_delta(text: &str) -> Option<Delta> {
    let mut delta = Delta::default();
    delta.rest.insert("reasoning_content".to_owned(), json!(text));
    (!text.is_empty()).then_some(delta)
}

/// The arguments where a server gives them at the start of a block, and not in the events that follow.
fn early_arguments(input: &Value) -> String {
    match input {
        Value::Object(object) if !object.is_empty() => input.to_string(),
        _ => String::new(),
    }
}

fn tool_call_piece(index: u32, name: Option<String>, arguments: &str) -> ToolCallDelta {
    let function = FunctionCallDelta { name, arguments: Some(arguments.to_owned()), rest: Object::new() };
    ToolCallDelta { index: Some(index), function: Some(function), ..ToolCallDelta::default() }
}

fn tool_call_delta(piece: ToolCallDelta) -> Delta {
    Delta { tool_calls: Some(vec![piece]), ..Delta::default() }
}
