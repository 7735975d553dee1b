//! A file of answers, spoken to as a chat model: so that a gateway can be tried without a network.

use futures::stream::{self, StreamExt};
use serde_json::json;
use sprat_task::model::{NoReply, WireReply, WireRequest};
use sprat_task::{Context, ModelError};
use sprat_wire::openai::chat::{ChatRequest, ChatResponse, Usage, chunks_of};
use sprat_wire::{parse_body, sse::write_data};

use super::replay::ReplayModel;

/// Answers a chat request whose last user message is an input of the file, whole or in one piece as a stream.
pub(super) async fn send(
    model: &ReplayModel,
    cx: &Context,
    request: WireRequest,
) -> Result<WireReply, NoReply> {
    // Nobody is paid for what a file says.
    answer(model, cx, request).await.map_err(NoReply::unsent)
}

async fn answer(model: &ReplayModel, cx: &Context, request: WireRequest) -> Result<WireReply, ModelError> {
    if request.path != "/chat/completions" {
        return Err(ModelError::Refused("a file of answers speaks at /chat/completions only".to_owned()));
    }
    let chat: ChatRequest = parse_body(&request.body)
        .map_err(|error| ModelError::Refused(format!("not a chat request: {error}")))?;
    let text = chat
        .last_user_text()
        .ok_or_else(|| ModelError::Refused("the request has no text of a user".to_owned()))?;
    let (words, usage, latency) = model.recorded(&text)?;
    model.wait(cx, latency).await?;
    let tokens = usage.tokens.map(|tokens| Usage::new(tokens.input, tokens.output));
    let reply = ChatResponse::from_text("replay", 0, model.model(), words, tokens);
    let (kind, chunks) = if chat.is_stream() {
        ("text/event-stream", events(&reply, chat.wants_stream_usage()))
    } else {
        ("application/json", vec![json!(reply).to_string()])
    };
    Ok(WireReply {
        status: 200,
        headers: vec![
            ("content-type".to_owned(), kind.to_owned()),
            ("x-sprat-provenance".to_owned(), model.provenance().to_string()),
        ],
        body: stream::iter(chunks.into_iter().map(|chunk| Ok(chunk.into_bytes()))).boxed(),
        unknown_cost: false,
    })
}

/// The reply as server-sent events.
fn events(reply: &ChatResponse, with_usage: bool) -> Vec<String> {
    let chunks = chunks_of(reply, with_usage);
    let written = chunks.iter().map(|chunk| json!(chunk).to_string()).chain(["[DONE]".to_owned()]);
    written
        .map(|data| {
            let mut event = String::new();
            write_data(&data, &mut event);
            event
        })
        .collect()
}
