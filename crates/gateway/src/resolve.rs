//! Resolve: whose is it, a task's or a remote model's?

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use sprat_cascade::{Remote, Serving};
use sprat_task::Input;
use sprat_wire::openai::chat::{ChatRequest, Content, Message, ResponseFormatKind, Role};
use sprat_wire::openai::models::{ModelEntry, ModelList};

use crate::Gateway;
use crate::current::ByName;
use crate::decode::Call;
use crate::error::Refusal;
use crate::shape::Shape;

/// The name that leaves the choice to us: a task that recognises the call, else the large model.
pub const AUTO: &str = "auto";

/// Who answers a chat call.
pub enum Route {
    /// A task, asked for by its name.
    Task {
        /// What answers it.
        serving: Arc<Serving>,
        /// What is asked.
        question: Question,
        /// The form of the answer.
        shape: Shape,
    },
    /// An ordinary call that a task recognises: answered small in the same form, or passed on as it came.
    Recognised {
        /// What answers it.
        serving: Arc<Serving>,
        /// The text that the task's rule finds in it.
        input: Input,
        /// The form of the answer.
        shape: Shape,
        /// Where it goes otherwise.
        remote: Arc<Remote>,
    },
    /// A remote model: passed on as it came.
    Remote(Arc<Remote>),
}

/// What a task is asked.
pub struct Question {
    /// The text; of a conversation, all of it.
    pub input: Input,
    /// Whether that is one message. Small models were certified on single texts, so that a conversation is the large
    /// model's.
    pub single: bool,
}

impl Route {
    /// The task, where there is one.
    pub fn serving(&self) -> Option<&Arc<Serving>> {
        match self {
            Self::Task { serving, .. } | Self::Recognised { serving, .. } => Some(serving),
            Self::Remote(_) => None,
        }
    }
}

/// Finds out who answers.
pub fn resolve(deployed: &ByName, call: &Call) -> Result<Route, Refusal> {
    let name = call.chat.model.as_str();
    if let Some(serving) = deployed.tasks.get(name) {
        return task(serving.clone(), &call.chat);
    }
    if name == AUTO {
        let recognising = deployed.tasks.values().filter(|serving| recognises(serving, &call.chat));
        for serving in recognising {
            let Some(remote) = large_of(deployed, serving) else { continue };
            return Ok(match lowered(serving, &call.chat) {
                Some((input, shape)) => Route::Recognised { serving: serving.clone(), input, shape, remote },
                None => Route::Remote(remote),
            });
        }
        return the_large_one(deployed).map(Route::Remote).ok_or_else(|| {
            Refusal::field(
                "model",
                format!(
                    "no task recognises this call, and there is more than one model to send it to: {}",
                    names(deployed)
                ),
            )
        });
    }
    remote(deployed, name).map(Route::Remote)
}

/// The remote model of a name: as declared, or what its provider calls it, with or without the provider before a `/`.
pub fn remote(deployed: &ByName, name: &str) -> Result<Arc<Remote>, Refusal> {
    let by_provider = |name: &str| deployed.remotes.values().find(|remote| remote.model == name);
    let found = deployed
        .remotes
        .get(name)
        .or_else(|| by_provider(name))
        .or_else(|| by_provider(name.split_once('/')?.1));
    found.cloned().ok_or_else(|| Refusal::no_model(name, &names(deployed)))
}

/// `GET /v1/models`: everything that `model` may name.
pub async fn models(State(gateway): State<Arc<Gateway>>) -> Json<ModelList> {
    let deployed = gateway.current.deployed();
    let entry = |name: &str, owner: &str| ModelEntry::new(name, 0, owner);
    let tasks = deployed.tasks.keys().map(|name| entry(name, "sprat"));
    let remotes = deployed.remotes.keys().map(|name| entry(name, "upstream"));
    Json(ModelList::new(tasks.chain(remotes).chain([entry(AUTO, "sprat")]).collect()))
}

/// `GET /v1/models/{name}`: one of them.
pub async fn model(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
) -> Result<Json<ModelEntry>, Refusal> {
    let Json(list) = models(State(gateway.clone())).await;
    let named = list.data.into_iter().find(|entry| entry.id == name);
    named.map(Json).ok_or_else(|| Refusal::no_model(&name, &names(&gateway.current.deployed())))
}

fn names(deployed: &ByName) -> String {
    let mut names: Vec<&str> =
        deployed.tasks.keys().chain(deployed.remotes.keys()).map(String::as_str).collect();
    names.push(AUTO);
    names.join(", ")
}

fn large_of(deployed: &ByName, serving: &Serving) -> Option<Arc<Remote>> {
    deployed.remotes.get(serving.task.large()?.as_str()).cloned()
}

/// The only remote model, or the one that is called `large`.
fn the_large_one(deployed: &ByName) -> Option<Arc<Remote>> {
    let mut all = deployed.remotes.values();
    match (all.next(), all.next()) {
        (Some(only), None) => Some(only.clone()),
        _ => deployed.remotes.get("large").cloned(),
    }
}

fn task(serving: Arc<Serving>, chat: &ChatRequest) -> Result<Route, Refusal> {
    let name = &serving.task.name;
    let refuse = |field: &str, why: &str| {
        Err(Refusal::field(field, format!("task `{name}` {why}; name a model to use it")))
    };
    if chat.tools.as_ref().is_some_and(|tools| !tools.is_empty()) {
        return refuse("tools", "calls no tools");
    }
    if chat.n.is_some_and(|answers| answers > 1) {
        return refuse("n", "gives one answer");
    }
    if chat.logprobs == Some(true) {
        return refuse("logprobs", "has no tokens whose probabilities could be given");
    }
    let Some(shape) = Shape::of(chat.response_format.as_ref(), &serving.task) else {
        return refuse(
            "response_format",
            "answers with its labels, and the format asked for has no single required field that allows all of them",
        );
    };
    let said: Vec<&Message> = chat.messages.iter().filter(|message| !message.is_instruction()).collect();
    if said.iter().any(|message| message.content.as_ref().is_some_and(|content| !content.is_text_only())) {
        return refuse("messages", "reads text only, and a message has another part");
    }
    let text = match said[..] {
        [only] if only.role == Role::User => only.text().unwrap_or_default(),
        [] => {
            return Err(Refusal::field(
                "messages",
                format!("task `{name}` needs a message of the user: the text it is about"),
            ));
        }
        _ => conversation(&said),
    };
    let question = Question { input: Input::new(text), single: said.len() == 1 };
    Ok(Route::Task { serving, question, shape })
}

/// All that was said, each with who said it.
fn conversation(said: &[&Message]) -> String {
    let turns =
        said.iter().map(|message| format!("{}: {}", message.role, message.text().unwrap_or_default()));
    turns.collect::<Vec<_>>().join("\n\n")
}

fn recognises(serving: &Serving, chat: &ChatRequest) -> bool {
    let prompt = chat.system_prompt();
    serving
        .task
        .matching
        .as_ref()
        .zip(prompt)
        .is_some_and(|(rule, prompt)| prompt.contains(&rule.system_prompt_contains))
}

/// The input and the shape, where a small answer could stand in for the large model's: one question, one answer, in a
/// schema that takes the label and nothing else.
fn lowered(serving: &Serving, chat: &ChatRequest) -> Option<(Input, Shape)> {
    let format =
        chat.response_format.as_ref().filter(|format| format.kind == ResponseFormatKind::JsonSchema)?;
    let mut said = chat.messages.iter().filter(|message| !message.is_instruction());
    let (only, none) = (said.next()?, said.next());
    let plain = only.role == Role::User
        && none.is_none()
        && only.content.as_ref().is_some_and(Content::is_text_only)
        && chat.tools.as_ref().is_none_or(Vec::is_empty)
        && chat.n.is_none_or(|answers| answers == 1)
        && chat.logprobs != Some(true);
    let shape = Shape::of(Some(format), &serving.task).filter(|_| plain)?;
    let text = only.text()?;
    let input = serving.task.matching.as_ref()?.input.extract(&text)?;
    Some((Input::new(input), shape))
}
