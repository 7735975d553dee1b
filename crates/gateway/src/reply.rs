//! Reply: what did the large model say to a call that was passed on, in a task's terms?
//!
//! The reply goes to the client as it came. Whoever wants to know what it means (the capture, and the way back of a part
//! that was taken away from the small models) listens beside.

use std::sync::Arc;

use sprat_cascade::Serving;
use sprat_task::{Answer, Input};
use sprat_wire::openai::chat::{ChatChunk, ChatResponse, FinishReason};

use crate::shape::Shape;

/// A longer reply is no label.
const LONGEST_REPLY: usize = 64 << 10;

/// What the large model has said so far.
pub struct Listening {
    serving: Arc<Serving>,
    input: Input,
    shape: Shape,
    text: String,
    ended: Option<FinishReason>,
    /// It calls tools, refuses, gives several answers, or is too long for a label.
    is_no_answer: bool,
}

impl Listening {
    /// To the large model's reply to a call that a task recognised.
    pub fn new(serving: &Arc<Serving>, input: &Input, shape: &Shape) -> Self {
        Self {
            serving: serving.clone(),
            input: input.clone(),
            shape: shape.clone(),
            text: String::new(),
            ended: None,
            is_no_answer: false,
        }
    }

    /// What was asked, and of which task.
    pub fn question(&self) -> (&Arc<Serving>, &Input) {
        (&self.serving, &self.input)
    }

    /// It has replied.
    pub fn whole(&mut self, reply: &ChatResponse) {
        let [choice] = &reply.choices[..] else { return };
        self.is_no_answer = choice.message.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
            || choice.message.refusal.as_ref().is_some_and(|refusal| !refusal.is_empty());
        self.say(&choice.message.text().unwrap_or_default());
        self.ended = choice.finish_reason.clone();
    }

    /// A piece of its reply has come.
    pub fn piece(&mut self, piece: &ChatChunk) {
        for choice in &piece.choices {
            let delta = &choice.delta;
            self.is_no_answer |= choice.index > 0
                || delta.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
                || delta.refusal.as_ref().is_some_and(|refusal| !refusal.is_empty());
            self.say(delta.content.as_deref().unwrap_or_default());
            if choice.finish_reason.is_some() {
                self.ended.clone_from(&choice.finish_reason);
            }
        }
    }

    fn say(&mut self, text: &str) {
        self.is_no_answer |= self.text.len() + text.len() > LONGEST_REPLY;
        if !self.is_no_answer {
            self.text.push_str(text);
        }
    }

    /// The answer in the task's terms. Half an answer may read like a whole one, so that only one that ended by itself
    /// counts.
    pub fn answer(&self) -> Option<Answer> {
        let whole = !self.is_no_answer && self.ended == Some(FinishReason::Stop);
        if whole { self.shape.read(&self.text, &self.serving.task) } else { None }
    }
}
