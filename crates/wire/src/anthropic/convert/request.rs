//! An OpenAI chat request as a request of Anthropic's.

use serde_json::{Value, json};

use crate::Object;
use crate::anthropic::messages::{
    self as anthropic, Base64Source, ContentBlock, ImageBlock, ImageSource, InputMessage, MessagesRequest,
    Metadata, TextBlock, ToolChoiceKind, ToolResultBlock, ToolUseBlock, UrlSource,
};
use crate::openai::chat::{
    ChatRequest, Content, ContentPart, ImageUrl, Message, ResponseFormatKind, Role, Stop, Tool, ToolCall,
    ToolChoice,
};

/// `max_tokens` where the client set no limit: Anthropic requires one, and every model of theirs allows this one.
pub const DEFAULT_MAX_TOKENS: u64 = 4096;

/// OpenAI's own fields that Anthropic does not have and that no answer depends on: hints, and what happens to a call
/// besides its answer. Any field that neither this list nor [`ChatRequest`] names goes on as it is: Anthropic knows it,
/// or refuses it by name.
const HINTS: [&str; 11] = [
    "include_obfuscation",
    "moderation",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "safety_identifier",
    "service_tier",
    "text",
    "verbosity",
];

/// OpenAI's own fields without which the answer would be another.
const ASKS_FOR_MORE: [&str; 3] = ["audio", "modalities", "web_search_options"];

/// What [`HINTS`] and [`ASKS_FOR_MORE`] leave of a number: these change the answer unless they are zero or empty.
const CHANGES_IF_SET: [&str; 3] = ["frequency_penalty", "presence_penalty", "logit_bias"];

/// A converted request, and what to remember until its reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    /// The request to send.
    pub request: MessagesRequest,
    /// The tool that stands for the answer's JSON schema: its arguments are the answer. The reply's conversion
    /// needs its name.
    pub answer_tool: Option<String>,
    /// Fields of the OpenAI request that have no counterpart and do not change what is asked.
    pub left_out: Vec<String>,
}

/// A request that Anthropic's protocol cannot express.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` cannot be sent to Anthropic: {reason}")]
pub struct ConvertError {
    /// The field, as `messages[3].tool_calls[0].function.arguments`.
    pub field: String,
    /// Why not, and what would be right.
    pub reason: String,
}

/// An OpenAI chat request as a request of Anthropic's, for the model that is called this there.
///
/// System and developer messages become `system`; results of tools become blocks of a user message; neighbours in
/// one role become one message; a JSON schema, or the wish for some JSON object, becomes a tool that must be called.
pub fn to_anthropic(chat: &ChatRequest, model: &str) -> Result<Converted, ConvertError> {
    refuse_what_changes_the_answer(chat)?;
    let mut left_out = left_out_of(chat);
    let (system, messages) = conversation_of(&chat.messages, &mut left_out)?;
    let mut tools = tools_of(chat, &mut left_out)?;
    let mut tool_choice = tool_choice_of(chat)?;
    let answer_tool = answer_tool_of(chat, &tools, &mut left_out)?;
    if let Some(tool) = &answer_tool {
        tool_choice = Some(choice_with_answer(chat, tool, tool_choice));
        tools.push(tool.clone());
    }
    let request = MessagesRequest {
        model: model.to_owned(),
        max_tokens: chat.max_completion_tokens.or(chat.max_tokens).unwrap_or(DEFAULT_MAX_TOKENS),
        system,
        messages,
        stop_sequences: stop_sequences_of(chat)?,
        temperature: chat.temperature,
        top_p: chat.top_p,
        top_k: None,
        stream: chat.stream,
        tools: (!tools.is_empty()).then_some(tools),
        tool_choice,
        metadata: chat.user.clone().map(|user| Metadata { user_id: Some(user), rest: Object::new() }),
        rest: rest_of(chat, model, &mut left_out),
    };
    let answer_tool = answer_tool.map(|tool| tool.name);
    Ok(Converted { request, answer_tool, left_out })
}

fn refuse_what_changes_the_answer(chat: &ChatRequest) -> Result<(), ConvertError> {
    if chat.n.is_some_and(|n| n != 1) {
        return Err(refused("n", "it gives one answer a call; leave `n` out"));
    }
    if chat.logprobs == Some(true) || chat.top_logprobs.is_some_and(|count| count > 0) {
        return Err(refused("logprobs", "it gives no log-probabilities; leave `logprobs` out"));
    }
    if chat.temperature.is_some_and(|temperature| temperature > 1.0) {
        return Err(refused("temperature", "it must be between 0 and 1"));
    }
    if chat.rest.contains_key("functions") || chat.rest.contains_key("function_call") {
        return Err(refused("functions", "use `tools` and `tool_choice` instead"));
    }
    for name in CHANGES_IF_SET {
        let is_set = match chat.rest.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::Object(biases)) => !biases.is_empty(),
            Some(_) => true,
        };
        if is_set {
            return Err(refused(name, "it has no counterpart; leave it out"));
        }
    }
    for name in ASKS_FOR_MORE {
        match chat.rest.get(name) {
            None | Some(Value::Null) => {}
            Some(kinds) if name == "modalities" && *kinds == json!(["text"]) => {}
            Some(_) => {
                return Err(refused(name, "it answers with text only, from what it is told; leave it out"));
            }
        }
    }
    Ok(())
}

fn left_out_of(chat: &ChatRequest) -> Vec<String> {
    let mut left_out = Vec::new();
    let mut note = |is_set: bool, name: &str| {
        if is_set {
            left_out.push(name.to_owned());
        }
    };
    note(chat.seed.is_some(), "seed");
    note(chat.metadata.is_some(), "metadata");
    note(chat.store.is_some(), "store");
    left_out
}

/// Fields that Anthropic may know under the same name, such as `thinking` and `top_k`: callers add them to an OpenAI
/// request on purpose.
fn rest_of(chat: &ChatRequest, model: &str, left_out: &mut Vec<String>) -> Object {
    let mut rest = Object::new();
    for (name, value) in chat.rest.iter().filter(|(_, value)| !value.is_null()) {
        let is_answered_by_none = CHANGES_IF_SET.contains(&name.as_str()) || name == "modalities";
        if name == "reasoning_effort" && takes_effort(model) && !chat.rest.contains_key("output_config") {
            rest.extend(
                effort_of(value).map(|effort| ("output_config".to_owned(), json!({ "effort": effort }))),
            );
        } else if HINTS.contains(&name.as_str()) {
            left_out.push(name.clone());
        } else if !is_answered_by_none {
            rest.insert(name.clone(), value.clone());
        }
    }
    rest
}

/// Anthropic's word for how hard to think, where it has one.
fn effort_of(effort: &Value) -> Option<&str> {
    match effort.as_str()? {
        "minimal" | "low" => Some("low"),
        word @ ("medium" | "high" | "xhigh" | "max") => Some(word),
        _ => None,
    }
}

/// Whether a model of this name takes `output_config.effort`: those from 4.6 on, by Anthropic's naming of 2026
/// (`claude-opus-4-6`, `claude-sonnet-5-20270101`; but `claude-opus-4-20250514`, `claude-3-5-haiku-20241022`).
fn takes_effort(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let Some(name) = name.strip_prefix("claude-") else { return false };
    let mut version = name.split('-').filter(|part| part.len() <= 2).filter_map(|part| part.parse().ok());
    let major: u8 = version.next().unwrap_or(0);
    (major, version.next().unwrap_or(0)) >= (4, 6)
}

fn stop_sequences_of(chat: &ChatRequest) -> Result<Option<Vec<String>>, ConvertError> {
    let stops = match &chat.stop {
        None => return Ok(None),
        Some(Stop::Text(text)) => vec![text.clone()],
        Some(Stop::List(texts)) => texts.clone(),
    };
    if stops.iter().any(|stop| stop.trim().is_empty()) {
        return Err(refused("stop", "each of its texts must hold more than white space"));
    }
    Ok((!stops.is_empty()).then_some(stops))
}

/// The tool whose arguments are the answer, where the answer must take a form.
fn answer_tool_of(
    chat: &ChatRequest,
    others: &[anthropic::Tool],
    left_out: &mut Vec<String>,
) -> Result<Option<anthropic::Tool>, ConvertError> {
    let Some(format) = &chat.response_format else { return Ok(None) };
    let (name, description, schema) = match (&format.kind, &format.json_schema) {
        (ResponseFormatKind::Text, _) => return Ok(None),
        (ResponseFormatKind::JsonObject, _) => ("", None, None),
        (ResponseFormatKind::JsonSchema, Some(format)) => {
            if format.strict == Some(true) {
                left_out.push("response_format.json_schema.strict".to_owned());
            }
            (format.name.as_str(), format.description.clone(), format.schema.clone())
        }
        (ResponseFormatKind::JsonSchema, None) => {
            return Err(refused("response_format", "it needs a `json_schema`"));
        }
        (ResponseFormatKind::Other(kind), _) => {
            return Err(refused(
                "response_format",
                &format!("`{kind}` has no counterpart; use `json_schema`"),
            ));
        }
    };
    let schema = schema.unwrap_or_else(|| json!({ "type": "object", "additionalProperties": true }));
    if schema.get("type").is_none_or(|kind| kind != "object") {
        return Err(refused("response_format.json_schema.schema", "its `type` must be `object`"));
    }
    let mut name = if name.is_empty() { "answer".to_owned() } else { name.to_owned() };
    while others.iter().any(|tool| tool.name == name) {
        name.push_str("_answer");
    }
    let description = description.or_else(|| Some("Gives the answer in the form asked for.".to_owned()));
    Ok(Some(anthropic::Tool { name, description, input_schema: Some(schema), rest: Object::new() }))
}

/// The choice of tools where one of them is the answer.
fn choice_with_answer(
    chat: &ChatRequest,
    answer: &anthropic::Tool,
    given: Option<anthropic::ToolChoice>,
) -> anthropic::ToolChoice {
    let disable_parallel_tool_use = given.as_ref().and_then(|choice| choice.disable_parallel_tool_use);
    let thinks = chat.rest.get("thinking").is_some_and(|thinking| thinking["type"] != "disabled");
    let has_tools = chat.tools.as_ref().is_some_and(|tools| !tools.is_empty());
    let choice = match given {
        // A model that thinks can't be made to call a tool; told of it, it does nearly always.
        _ if thinks => anthropic::ToolChoice::new(ToolChoiceKind::Auto),
        Some(named) if named.kind == ToolChoiceKind::Tool => named,
        Some(none) if none.kind == ToolChoiceKind::None => anthropic::ToolChoice::tool(answer.name.as_str()),
        // Beside the caller's own tools, calling one of those must stay possible.
        _ if has_tools => anthropic::ToolChoice::new(ToolChoiceKind::Any),
        _ => anthropic::ToolChoice::tool(answer.name.as_str()),
    };
    anthropic::ToolChoice { disable_parallel_tool_use, ..choice }
}

fn tools_of(chat: &ChatRequest, left_out: &mut Vec<String>) -> Result<Vec<anthropic::Tool>, ConvertError> {
    let mut tools = Vec::new();
    for (index, tool) in chat.tools.iter().flatten().enumerate() {
        let path = format!("tools[{index}]");
        tools.push(tool_of(tool).map_err(|reason| refused(&path, reason))?);
        // Models keep to the schema nearly always, but only some of them promise it.
        if tool.function.as_ref().is_some_and(|function| function.strict == Some(true)) {
            left_out.push(format!("{path}.function.strict"));
        }
    }
    Ok(tools)
}

fn tool_of(tool: &Tool) -> Result<anthropic::Tool, &'static str> {
    let function = tool.function.as_ref().ok_or("only tools of type `function` have a counterpart")?;
    let schema = function.parameters.clone().unwrap_or_else(|| json!({ "type": "object", "properties": {} }));
    let rest = cache_control_of(&tool.rest);
    let (name, description) = (function.name.clone(), function.description.clone());
    Ok(anthropic::Tool { name, description, input_schema: Some(schema), rest })
}

fn tool_choice_of(chat: &ChatRequest) -> Result<Option<anthropic::ToolChoice>, ConvertError> {
    if chat.tools.as_ref().is_none_or(Vec::is_empty) {
        return Ok(None); // Anthropic refuses a choice without tools
    }
    let mut choice = match &chat.tool_choice {
        None => None,
        Some(ToolChoice::Mode(mode)) => Some(anthropic::ToolChoice::new(match mode.as_str() {
            "auto" => ToolChoiceKind::Auto,
            "required" => ToolChoiceKind::Any,
            "none" => ToolChoiceKind::None,
            _ => return Err(refused("tool_choice", "it must be `auto`, `none`, `required` or a function")),
        })),
        Some(named @ ToolChoice::Object(_)) => match named.named_function() {
            Some(name) => Some(anthropic::ToolChoice::tool(name)),
            None => return Err(refused("tool_choice", "it must name a function")),
        },
    };
    if chat.parallel_tool_calls == Some(false) {
        let choice = choice.get_or_insert_with(|| anthropic::ToolChoice::new(ToolChoiceKind::Auto));
        if choice.kind != ToolChoiceKind::None {
            choice.disable_parallel_tool_use = Some(true);
        }
    }
    Ok(choice)
}

type Conversation = (Option<anthropic::Content>, Vec<InputMessage>);

fn conversation_of(messages: &[Message], left_out: &mut Vec<String>) -> Result<Conversation, ConvertError> {
    let mut system: Vec<ContentBlock> = Vec::new();
    let mut turns: Vec<(anthropic::Role, Vec<ContentBlock>)> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let path = format!("messages[{index}]");
        if message.name.is_some() {
            left_out.push(format!("{path}.name"));
        }
        let mut blocks = blocks_of(message.content.as_ref(), &path, left_out)?;
        let role = match &message.role {
            Role::System | Role::Developer => {
                system.append(&mut blocks);
                continue;
            }
            Role::User => anthropic::Role::User,
            Role::Tool => {
                blocks = vec![tool_result_of(message, blocks, &path)?];
                anthropic::Role::User
            }
            Role::Assistant => {
                blocks.extend(
                    message.refusal.iter().filter(|text| !text.is_empty()).map(ContentBlock::from_text),
                );
                for (index, call) in message.tool_calls.iter().flatten().enumerate() {
                    blocks.push(tool_use_of(call, &format!("{path}.tool_calls[{index}]"))?);
                }
                anthropic::Role::Assistant
            }
            Role::Other(role) => {
                return Err(refused(
                    &format!("{path}.role"),
                    &format!("the role `{role}` has no counterpart"),
                ));
            }
        };
        match turns.last_mut() {
            Some((last, said)) if *last == role => said.append(&mut blocks),
            _ => turns.push((role, blocks)),
        }
    }
    let messages = turns
        .into_iter()
        .filter(|(_, blocks)| !blocks.is_empty())
        .map(|(role, blocks)| InputMessage { role, content: plain_if_one_text(blocks), rest: Object::new() })
        .collect();
    Ok((system_of(system), messages))
}

/// One string where nothing is lost by it, else the blocks, so that `cache_control` stays where it was.
fn system_of(blocks: Vec<ContentBlock>) -> Option<anthropic::Content> {
    if blocks.is_empty() {
        return None;
    }
    let texts: Option<Vec<&str>> = blocks.iter().map(plain_text).collect();
    Some(match texts {
        Some(texts) => anthropic::Content::Text(texts.join("\n\n")),
        None => anthropic::Content::List(blocks),
    })
}

fn plain_if_one_text(blocks: Vec<ContentBlock>) -> anthropic::Content {
    match blocks.as_slice() {
        [block] => plain_text(block).map(anthropic::Content::from),
        _ => None,
    }
    .unwrap_or(anthropic::Content::List(blocks))
}

fn plain_text(block: &ContentBlock) -> Option<&str> {
    match block {
        ContentBlock::Text(block) if block.rest.is_empty() => Some(&block.text),
        _ => None,
    }
}

/// The blocks of a content. Empty texts are left out: Anthropic refuses them, and they say nothing.
fn blocks_of(
    content: Option<&Content>,
    path: &str,
    left_out: &mut Vec<String>,
) -> Result<Vec<ContentBlock>, ConvertError> {
    let parts = match content {
        None => return Ok(Vec::new()),
        Some(Content::Text(text)) if text.is_empty() => return Ok(Vec::new()),
        Some(Content::Text(text)) => return Ok(vec![ContentBlock::from_text(text)]),
        Some(Content::List(parts)) => parts,
    };
    let mut blocks = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        let path = format!("{path}.content[{index}]");
        match part {
            ContentPart::Text(part) if part.text.is_empty() => {}
            ContentPart::Text(part) => {
                blocks.push(ContentBlock::Text(TextBlock {
                    text: part.text.clone(),
                    rest: cache_control_of(&part.rest),
                }));
            }
            ContentPart::Refusal(part) => blocks.push(ContentBlock::from_text(&part.refusal)),
            ContentPart::ImageUrl(part) => {
                if part.image_url.detail.is_some() {
                    left_out.push(format!("{path}.image_url.detail"));
                }
                let source = image_source_of(&part.image_url, &path)?;
                blocks.push(ContentBlock::Image(ImageBlock { source, rest: cache_control_of(&part.rest) }));
            }
            ContentPart::Other(_) => {
                return Err(refused(&path, &format!("a part of type `{}` has no counterpart", part.kind())));
            }
        }
    }
    Ok(blocks)
}

fn image_source_of(image: &ImageUrl, path: &str) -> Result<ImageSource, ConvertError> {
    let rest = Object::new();
    let Some(in_place) = image.url.strip_prefix("data:") else {
        return Ok(ImageSource::Url(UrlSource { url: image.url.clone(), rest }));
    };
    match in_place.split_once(";base64,") {
        Some((media_type, data)) if media_type.starts_with("image/") => {
            let media_type = media_type.split(';').next().unwrap_or_default().to_owned();
            Ok(ImageSource::Base64(Base64Source { media_type, data: data.to_owned(), rest }))
        }
        _ => Err(refused(
            &format!("{path}.image_url.url"),
            "it must be `https://…` or `data:image/…;base64,…`",
        )),
    }
}

fn tool_result_of(
    message: &Message,
    blocks: Vec<ContentBlock>,
    path: &str,
) -> Result<ContentBlock, ConvertError> {
    let Some(tool_use_id) = message.tool_call_id.as_deref().map(id_of) else {
        return Err(refused(
            &format!("{path}.tool_call_id"),
            "a tool's result must name the call it answers",
        ));
    };
    let content = (!blocks.is_empty()).then(|| plain_if_one_text(blocks));
    Ok(ContentBlock::ToolResult(ToolResultBlock {
        tool_use_id,
        content,
        is_error: None,
        rest: Object::new(),
    }))
}

fn tool_use_of(call: &ToolCall, path: &str) -> Result<ContentBlock, ConvertError> {
    let Some(function) = &call.function else {
        return Err(refused(path, "only calls of type `function` have a counterpart"));
    };
    let arguments = if function.arguments.trim().is_empty() { "{}" } else { &function.arguments };
    match serde_json::from_str(arguments) {
        Ok(input @ Value::Object(_)) => Ok(ContentBlock::ToolUse(ToolUseBlock {
            id: id_of(&call.id),
            name: function.name.clone(),
            input,
            rest: Object::new(),
        })),
        _ => Err(refused(&format!("{path}.function.arguments"), "it must be a JSON object in a string")),
    }
}

/// A call's name in letters that Anthropic takes: a conversation may have begun with a model that uses others.
fn id_of(id: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    id.chars().map(|letter| if allowed(letter) { letter } else { '_' }).collect()
}

/// `cache_control`, which Anthropic's users put on parts of an OpenAI request.
fn cache_control_of(rest: &Object) -> Object {
    rest.iter()
        .filter(|(name, _)| *name == "cache_control")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn refused(field: &str, reason: &str) -> ConvertError {
    ConvertError { field: field.to_owned(), reason: reason.to_owned() }
}
