//! What does a chat call ask of a local model? Everything that can't be honoured is refused by its name: nothing is left out
//! in silence.

use serde_json::{Value, json};
use sprat_engine::protocol::{Constraint, Sampling};
use sprat_task::model::WireReply;
use sprat_wire::openai::chat::{ChatRequest, Message, ResponseFormatKind, Role, Stop, Tool, ToolChoice};
use sprat_wire::openai::error::ErrorBody;
use sprat_wire::parse_body;

use super::calls;
use super::template::Conversation;

/// Fields beside those that are read which change nothing of the answer.
const OF_NO_EFFECT: [&str; 4] =
    ["prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier"];
/// Stop texts that OpenAI allows are four; more are no trouble.
const MOST_STOPS: usize = 64;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The conversation.
    pub conversation: Conversation,
    /// How each token is drawn.
    pub sampling: Sampling,
    /// Most tokens of the answer, where it says.
    pub most_tokens: Option<u32>,
    /// The answer ends before the first of these.
    pub stop: Vec<String>,
    /// The form of the answer.
    pub constraint: Option<Constraint>,
    /// The tools it may call; none where it may call none.
    pub tools: Vec<String>,
    /// Whether it may call several at once.
    pub several_calls: bool,
    /// How many of the likeliest tokens of each place are told; `None` where not even the token's own probability is.
    pub likeliest: Option<u8>,
    /// Whether the answer comes in pieces.
    pub is_stream: bool,
    /// Whether the last piece says what was used.
    pub wants_usage: bool,
}

/// A call that can't be answered as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// What is wrong, in OpenAI's keys.
    pub body: ErrorBody,
}

impl Refused {
    fn field(name: &str, why: impl Into<String>) -> Self {
        Self { status: 400, body: ErrorBody::new("invalid_request_error", why).with_param(name) }
    }

    /// A conversation that the model can't take.
    pub fn conversation(why: impl Into<String>) -> Self {
        Self::field("messages", why)
    }

    /// One that is longer than the model can look back on.
    pub fn too_long(why: impl Into<String>) -> Self {
        let refused = Self::field("messages", why);
        Self { body: refused.body.with_code("context_length_exceeded"), ..refused }
    }

    /// As it goes over the wire.
    pub fn reply(self) -> WireReply {
        let body = serde_json::to_vec(&self.body).unwrap_or_default();
        super::reply::whole(self.status, body)
    }
}

impl Asked {
    /// Reads the body of a call. `seed` is drawn by where it names none.
    ///
    /// # Errors
    /// What can't be honoured.
    pub fn read(body: &[u8], seed: u64) -> Result<Self, Refused> {
        let chat: ChatRequest = parse_body(body).map_err(|error| {
            let why = format!("the body can't be read: {error}");
            Refused { status: 400, body: ErrorBody::new("invalid_request_error", why) }
        })?;
        check(&chat)?;
        let messages = chat.messages.iter().enumerate().map(|(place, message)| said(place, message));
        let messages: Vec<Value> = messages.collect::<Result<_, _>>()?;
        if messages.is_empty() {
            return Err(Refused::conversation("`messages` is empty: there is nothing to answer"));
        }
        let (tools, forced) = tools(&chat)?;
        let names = tools.iter().filter_map(Tool::name).map(str::to_owned).collect();
        let constraint = match forced {
            true => Some(Constraint::JsonSchema(calls::schema(&tools).to_string())),
            false => form(&chat)?,
        };
        let tools = tools.iter().filter_map(|tool| serde_json::to_value(tool).ok()).collect();
        let sampling = Sampling {
            temperature: chat.temperature.unwrap_or(1.0) as f32,
            top_p: chat.top_p.unwrap_or(1.0) as f32,
            seed: chat.seed.map_or(seed, |seed| seed as u64),
        };
        let most = chat.max_completion_tokens.or(chat.max_tokens);
        let wants_logprobs = chat.logprobs == Some(true);
        let likeliest = wants_logprobs.then(|| chat.top_logprobs.unwrap_or(0) as u8);
        let (is_stream, wants_usage) = (chat.is_stream(), chat.wants_stream_usage());
        Ok(Self {
            conversation: Conversation { messages, tools },
            sampling,
            most_tokens: most.map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
            stop: stops(chat.stop)?,
            constraint,
            tools: names,
            several_calls: chat.parallel_tool_calls != Some(false),
            likeliest,
            is_stream,
            wants_usage,
        })
    }
}

/// What a local model can't do, or nobody can.
fn check(chat: &ChatRequest) -> Result<(), Refused> {
    let in_range = |name: &str, value: Option<f64>, most: f64| match value {
        Some(value) if !(0.0..=most).contains(&value) => {
            Err(Refused::field(name, format!("`{name}` is {value}; it must be between 0 and {most}")))
        }
        _ => Ok(()),
    };
    in_range("temperature", chat.temperature, 2.0)?;
    in_range("top_p", chat.top_p, 1.0)?;
    in_range("top_logprobs", chat.top_logprobs.map(f64::from), 20.0)?;
    if chat.n.is_some_and(|answers| answers != 1) {
        return Err(Refused::field("n", "a local model gives one answer a call; ask again for another"));
    }
    if chat.max_completion_tokens.or(chat.max_tokens) == Some(0) {
        return Err(Refused::field("max_tokens", "an answer needs one token at least"));
    }
    let changes_nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    };
    let of_no_effect = |name: &str, value: &Value| {
        OF_NO_EFFECT.contains(&name)
            || name.starts_with("x-")
            || (name == "modalities" && *value == json!(["text"]))
    };
    let lost = chat.rest.iter().find(|(name, value)| !of_no_effect(name, value) && !changes_nothing(value));
    match lost {
        Some((name, _)) => Err(Refused::field(
            name,
            format!("a local model can't honour `{name}`; leave it out, or name a remote model"),
        )),
        None => Ok(()),
    }
}

/// A message as templates read it: its content one text, arguments of calls as the objects they are.
fn said(place: usize, message: &Message) -> Result<Value, Refused> {
    let at = format!("messages[{place}]");
    if message.content.as_ref().is_some_and(|content| !content.is_text_only()) {
        return Err(Refused::field(
            &format!("{at}.content"),
            "a local model reads text only; name a remote model for images and sound",
        ));
    }
    let role = match &message.role {
        Role::Developer => "system",
        role => role.as_str(),
    };
    let mut said = json!({ "role": role, "content": message.text().unwrap_or_default() });
    if let Some(calls) = message.tool_calls.as_ref().filter(|calls| !calls.is_empty()) {
        let calls = calls.iter().map(|call| {
            let mut told = serde_json::to_value(call).unwrap_or_default();
            let arguments =
                call.function.as_ref().map(|function| function.arguments.as_str()).unwrap_or_default();
            if let (Ok(parsed @ Value::Object(_)), true) =
                (serde_json::from_str(arguments), told["function"].is_object())
            {
                told["function"]["arguments"] = parsed;
            }
            told
        });
        said["tool_calls"] = calls.collect();
    }
    for (key, value) in [("name", &message.name), ("tool_call_id", &message.tool_call_id)] {
        if let Some(value) = value {
            said[key] = value.as_str().into();
        }
    }
    Ok(said)
}

/// The tools that may be called, and whether one must be.
fn tools(chat: &ChatRequest) -> Result<(Vec<Tool>, bool), Refused> {
    let all = chat.tools.clone().unwrap_or_default();
    if let Some(place) = all.iter().position(|tool| tool.kind != "function" || tool.function.is_none()) {
        let why = "a local model calls functions only";
        return Err(Refused::field(&format!("tools[{place}]"), why));
    }
    match &chat.tool_choice {
        None => Ok((all, false)),
        Some(ToolChoice::Mode(mode)) => match mode.as_str() {
            "none" => Ok((Vec::new(), false)),
            "auto" => Ok((all, false)),
            "required" if all.is_empty() => {
                Err(Refused::field("tool_choice", "there are no `tools` to call"))
            }
            "required" => Ok((all, true)),
            other => Err(Refused::field("tool_choice", format!("`{other}` is none of none, auto, required"))),
        },
        Some(choice @ ToolChoice::Object(_)) => {
            let wanted = choice.named_function();
            let tool = all.into_iter().find(|tool| tool.name().is_some() && tool.name() == wanted);
            let tool = tool.ok_or_else(|| Refused::field("tool_choice", "it names none of the `tools`"))?;
            Ok((vec![tool], true))
        }
    }
}

/// The form that the answer must have.
fn form(chat: &ChatRequest) -> Result<Option<Constraint>, Refused> {
    let Some(format) = &chat.response_format else { return Ok(None) };
    match format.kind {
        ResponseFormatKind::Text => Ok(None),
        ResponseFormatKind::JsonObject => {
            Ok(Some(Constraint::JsonSchema(json!({ "type": "object" }).to_string())))
        }
        ResponseFormatKind::JsonSchema => match format.schema() {
            Some(schema) => Ok(Some(Constraint::JsonSchema(schema.to_string()))),
            None => Err(Refused::field("response_format", "`json_schema.schema` is missing")),
        },
        _ => Err(Refused::field("response_format", "it must be text, json_object or json_schema")),
    }
}

fn stops(stop: Option<Stop>) -> Result<Vec<String>, Refused> {
    let stops = match stop {
        None => Vec::new(),
        Some(Stop::Text(text)) => vec![text],
        Some(Stop::List(list)) => list,
    };
    match stops.len() > MOST_STOPS {
        true => {
            Err(Refused::field("stop", format!("{} stop texts, and {MOST_STOPS} are the most", stops.len())))
        }
        false => Ok(stops),
    }
}
