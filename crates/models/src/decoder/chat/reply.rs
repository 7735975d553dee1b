//! How does an answer become OpenAI's reply, whole or in pieces?

use std::time::{SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use sprat_engine::protocol::{End, Written};
use sprat_task::ModelError;
use sprat_task::model::WireReply;
use sprat_wire::openai::chat::{
    ChatChunk, ChatResponse, ChunkChoice, Delta, FinishReason, Logprobs, TokenLogprob, TopLogprob, Usage,
    chunks_of,
};
use sprat_wire::sse::write_data;

use super::asked::Asked;
use super::calls;
use crate::decoder::generate::Said;

/// What one reply is called, and who gives it.
#[derive(Clone, Debug)]
pub struct Name {
    id: String,
    created: u64,
    model: String,
}

/// All of an answer.
struct Answer {
    text: String,
    end: End,
    read: u32,
    written: Vec<Written>,
}

impl Name {
    /// A new one, with nothing in it but chance and the time.
    pub fn draw(model: &str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { id: drawn("chatcmpl-"), created: since.as_secs(), model: model.to_owned() }
    }
}

fn drawn(before: &str) -> String {
    let letters: String = std::iter::repeat_with(fastrand::alphanumeric).take(24).collect();
    format!("{before}{letters}")
}

/// A reply of this body.
pub fn whole(status: u16, body: Vec<u8>) -> WireReply {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    WireReply { status, headers, body: Box::pin(stream::iter([Ok(body)])), unknown_cost: false }
}

/// The answer, once all of it is there.
///
/// # Errors
/// Why there is none.
pub async fn at_once(
    asked: &Asked,
    name: &Name,
    mut said: BoxStream<'static, Result<Said, ModelError>>,
) -> Result<WireReply, ModelError> {
    let mut text = String::new();
    while let Some(said) = said.next().await {
        match said? {
            Said::Text(piece) => text.push_str(&piece),
            Said::Ended { end, read, written } => {
                let reply = response(asked, name, Answer { text, end, read, written });
                let body =
                    serde_json::to_vec(&reply).map_err(|error| ModelError::Failed(error.to_string()))?;
                return Ok(whole(200, body));
            }
        }
    }
    Err(cut_off())
}

/// The answer in pieces, as they come. Where tools may be called it comes in one: until its end it isn't known to be none.
pub fn in_pieces(asked: &Asked, name: Name, said: BoxStream<'static, Result<Said, ModelError>>) -> WireReply {
    let state = State { asked: asked.clone(), name, said, text: String::new(), stage: Stage::Begins };
    let body = stream::unfold(state, |mut state| async move {
        let events = state.next().await?;
        Some((events, state))
    });
    let headers = [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    WireReply { status: 200, headers, body: Box::pin(body), unknown_cost: false }
}

/// A stream under way.
struct State {
    asked: Asked,
    name: Name,
    said: BoxStream<'static, Result<Said, ModelError>>,
    /// What was said and isn't shown yet.
    text: String,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begins,
    GoesOn,
    Over,
}

impl State {
    /// The next events; `None` at the end.
    async fn next(&mut self) -> Option<Result<Vec<u8>, ModelError>> {
        loop {
            if self.stage == Stage::Over {
                return None;
            }
            match self.said.next().await {
                Some(Ok(Said::Text(piece))) if !self.asked.tools.is_empty() => self.text.push_str(&piece),
                Some(Ok(Said::Text(piece))) => {
                    let role =
                        (self.stage == Stage::Begins).then_some(sprat_wire::openai::chat::Role::Assistant);
                    self.stage = Stage::GoesOn;
                    let delta = Delta { role, content: Some(piece), ..Delta::default() };
                    return Some(Ok(events(&[self.chunk(delta, None)])));
                }
                Some(Ok(Said::Ended { end, read, written })) => {
                    let text = std::mem::take(&mut self.text);
                    let first = self.stage == Stage::Begins;
                    self.stage = Stage::Over;
                    let answer = Answer { text, end, read, written };
                    return Some(Ok(self.last(first, answer)));
                }
                Some(Err(error)) => {
                    self.stage = Stage::Over;
                    return Some(Err(error));
                }
                None => {
                    self.stage = Stage::Over;
                    return Some(Err(cut_off()));
                }
            }
        }
    }

    /// What is still to be said, why it ended, and what it used.
    fn last(&self, nothing_was_shown: bool, answer: Answer) -> Vec<u8> {
        let reply = response(&self.asked, &self.name, answer);
        let logprobs = reply.choices.first().and_then(|choice| choice.logprobs.clone());
        let mut chunks = chunks_of(&reply, self.asked.wants_usage);
        if !nothing_was_shown {
            // The role and the text have been said.
            chunks.retain(|chunk| {
                let says = |choice: &ChunkChoice| choice.finish_reason.is_none();
                chunk.choices.is_empty() || !chunk.choices.iter().all(says)
            });
            let last = chunks.iter_mut().find_map(|chunk| chunk.choices.first_mut());
            last.into_iter().for_each(|choice| choice.logprobs.clone_from(&logprobs));
        }
        let mut bytes = events(&chunks);
        let mut done = String::new();
        write_data("[DONE]", &mut done);
        bytes.extend(done.into_bytes());
        bytes
    }

    fn chunk(&self, delta: Delta, finish_reason: Option<FinishReason>) -> ChatChunk {
        let choice = ChunkChoice { index: 0, delta, finish_reason, logprobs: None, rest: Default::default() };
        ChatChunk {
            id: self.name.id.clone(),
            object: "chat.completion.chunk".to_owned(),
            created: Some(self.name.created),
            model: self.name.model.clone(),
            choices: vec![choice],
            usage: None,
            system_fingerprint: None,
            rest: Default::default(),
        }
    }
}

fn events(chunks: &[ChatChunk]) -> Vec<u8> {
    let mut events = String::new();
    chunks
        .iter()
        .filter_map(|chunk| serde_json::to_string(chunk).ok())
        .for_each(|chunk| write_data(&chunk, &mut events));
    events.into_bytes()
}

fn response(asked: &Asked, name: &Name, answer: Answer) -> ChatResponse {
    let Answer { text, end, read, written } = answer;
    let usage = Usage::new(u64::from(read), written.len() as u64);
    let mut reply = ChatResponse::from_text(&name.id, name.created, &name.model, &text, Some(usage));
    let Some(choice) = reply.choices.first_mut() else { return reply };
    let is_cut = matches!(end, End::MostTokens | End::Context);
    choice.finish_reason = Some(if is_cut { FinishReason::Length } else { FinishReason::Stop });
    // Half a call calls nothing.
    let called = if is_cut { None } else { calls::find(&text, &asked.tools, || drawn("call_")) };
    if let Some((before, mut calls)) = called {
        if !asked.several_calls {
            calls.truncate(1);
        }
        choice.message.content = (!before.is_empty()).then(|| before.into());
        choice.message.tool_calls = Some(calls);
        choice.finish_reason = Some(FinishReason::ToolCalls);
    }
    choice.logprobs = asked.likeliest.map(|most| logprobs(&written, usize::from(most)));
    reply
}

fn logprobs(written: &[Written], most: usize) -> Logprobs {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // A token that only says that the answer ends is none of its text.
    let content = written.iter().filter(|token| token.bytes > 0).map(|token| TokenLogprob {
        token: shown(&token.text),
        logprob: Some(f64::from(token.log_probability)),
        bytes: Some(token.text.clone()),
        top_logprobs: token
            .likeliest
            .iter()
            .take(most)
            .map(|(bytes, log_probability)| TopLogprob {
                token: shown(bytes),
                logprob: Some(f64::from(*log_probability)),
                bytes: Some(bytes.clone()),
                rest: Default::default(),
            })
            .collect(),
        rest: Default::default(),
    });
    Logprobs { content: Some(content.collect()), ..Logprobs::default() }
}

fn cut_off() -> ModelError {
    ModelError::Failed("its engine ended the answer without saying why".to_owned())
}
