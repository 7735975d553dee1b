//! `POST /v1/chat/completions`: what is asked, what is answered, and the answer in pieces.

mod accumulate;
mod chunk;
mod message;
mod request;
mod response;
mod tool;

pub use accumulate::{ChunkAccumulator, chunks_of};
pub use chunk::{
    ChatChunk, ChunkChoice, Delta, FunctionCallDelta, StreamData, ToolCallDelta, parse_stream_data,
};
pub use message::{Content, ContentPart, ImagePart, ImageUrl, Message, RefusalPart, Role, TextPart};
pub(crate) use request::system_prompt_of;
pub use request::{ChatRequest, JsonSchemaFormat, ResponseFormat, ResponseFormatKind, Stop, StreamOptions};
pub use response::{
    ChatResponse, Choice, CompletionTokensDetails, FinishReason, Logprobs, PromptTokensDetails, TokenLogprob,
    TopLogprob, Usage,
};
pub use tool::{FunctionCall, FunctionDefinition, Tool, ToolCall, ToolChoice};

#[cfg(test)]
mod tests;
