//! Resolve: whose is it, a task's or a remote model's?

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use sprat_cascade::{Deployment, Remote, Serving};
use sprat_task::{Input, Kind, Sha256Hex, Task};
use sprat_wire::openai::chat::{ChatRequest, Content, Message, ResponseFormatKind, Role};
use sprat_wire::openai::models::{ModelEntry, ModelList};

use crate::Gateway;
use crate::accept::Accepted;
use crate::current::ByName;
use crate::decode::Call;
use crate::error::Refusal;
use crate::keys::Lease;
use crate::shape::Shape;

/// The name that leaves the choice to us: a task that recognises the call, else the large model.
pub const AUTO: &str = "auto";

/// Who answers a chat call.
pub enum Route {
    /// A task, asked for by its name.
    Task {
        /// What answers it: the live release or the canary.
        serving: Arc<Serving>,
        /// The release that only watches.
        shadow: Option<Arc<Serving>>,
        /// What is asked.
        question: Question,
        /// The form of the answer.
        shape: Shape,
    },
    /// An ordinary call that a task recognises: answered small in the same form where that is allowed, else passed on
    /// as it came.
    Recognised {
        /// What answers it: the live release or the canary.
        serving: Arc<Serving>,
        /// The release that only watches.
        shadow: Option<Arc<Serving>>,
        /// What is asked in it; `None` where it isn't one text with a label for its answer.
        reading: Option<Reading>,
        /// Identifies its system prompt and schema.
        hash: Sha256Hex,
        /// Whether small models may answer it.
        lowered: bool,
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

/// What is asked in an ordinary call.
pub struct Reading {
    /// The text that the task's rule finds in it.
    pub input: Input,
    /// The form of the answer.
    pub shape: Shape,
}

impl Route {
    /// The task, where there is one.
    pub fn serving(&self) -> Option<&Arc<Serving>> {
        match self {
            Self::Task { serving, .. } | Self::Recognised { serving, .. } => Some(serving),
            Self::Remote(_) => None,
        }
    }

    /// The form of a task's answer.
    pub fn shape(&self) -> Option<&Shape> {
        match self {
            Self::Task { shape, .. } => Some(shape),
            Self::Recognised { reading, .. } => reading.as_ref().map(|reading| &reading.shape),
            Self::Remote(_) => None,
        }
    }
}

/// Finds out who answers.
pub fn resolve(deployed: &ByName, accepted: &Accepted, call: &Call) -> Result<Route, Refusal> {
    let name = call.chat.model.as_str();
    let chosen =
        |deployment: &Deployment| deployment.choose(call.session().unwrap_or(accepted.id.as_str())).clone();
    if let Some(deployment) = deployed.tasks.get(name) {
        return task(chosen(deployment), deployment.shadow.clone(), &call.chat);
    }
    if name == AUTO {
        if let Some((deployment, remote)) = recognising(deployed, &call.chat).next() {
            let (serving, shadow) = (chosen(&deployment), deployment.shadow.clone());
            return Ok(recognised(serving, shadow, remote, &call.chat, true));
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
    let remote = remote(deployed, name)?;
    // Whoever names a model gets that model; what it answers is learned from.
    let same = |(_, large): &(_, Arc<Remote>)| large.upstream.id() == remote.upstream.id();
    Ok(match recognising(deployed, &call.chat).find(same) {
        Some((deployment, remote)) => {
            let (serving, shadow) = (chosen(&deployment), deployment.shadow.clone());
            recognised(serving, shadow, remote, &call.chat, false)
        }
        None => Route::Remote(remote),
    })
}

/// The same route, where the request's key may take it.
pub fn permitted(accepted: &Accepted, route: Route) -> Result<Route, Refusal> {
    match &accepted.lease {
        None => Ok(route),
        Some(lease) => lease.may_take(route),
    }
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

/// `GET /v1/models`: everything that `model` may name, as far as the key may use it.
pub async fn models(State(gateway): State<Arc<Gateway>>, lease: Option<Extension<Lease>>) -> Json<ModelList> {
    let deployed = gateway.current.deployed();
    let entry = |name: &str, owner: &str| ModelEntry::new(name, 0, owner);
    let tasks = deployed.tasks.keys().map(|name| entry(name, "sprat"));
    let encoders = deployed.encoders.keys().map(|name| entry(name, "sprat"));
    let owner = |remote: &Remote| if is_local(remote) { "sprat" } else { "upstream" };
    let remotes = deployed.remotes.iter().map(|(name, remote)| entry(name, owner(remote)));
    let may_name =
        |entry: &ModelEntry| lease.as_ref().is_none_or(|Extension(lease)| lease.may_name(&entry.id));
    let all = tasks.chain(encoders).chain(remotes).filter(may_name).chain([entry(AUTO, "sprat")]);
    Json(ModelList::new(all.collect()))
}

/// `GET /v1/models/{name}`: one of them.
pub async fn model(
    State(gateway): State<Arc<Gateway>>,
    lease: Option<Extension<Lease>>,
    Path(name): Path<String>,
) -> Result<Json<ModelEntry>, Refusal> {
    let Json(list) = models(State(gateway.clone()), lease).await;
    let named = list.data.into_iter().find(|entry| entry.id == name);
    named.map(Json).ok_or_else(|| Refusal::no_model(&name, &names(&gateway.current.deployed())))
}

fn names(deployed: &ByName) -> String {
    let models = deployed.encoders.keys().chain(deployed.remotes.keys());
    let mut names: Vec<&str> = deployed.tasks.keys().chain(models).map(String::as_str).collect();
    names.push(AUTO);
    names.join(", ")
}

fn large_of(deployed: &ByName, task: &Task) -> Option<Arc<Remote>> {
    deployed.remotes.get(task.large()?.as_str()).cloned()
}

/// Whether a model that is passed calls on to runs on this machine. Nobody gets such a one who doesn't name it.
fn is_local(remote: &Remote) -> bool {
    remote.upstream.own_process().is_some()
}

/// The only remote model, or the one that is called `large`.
fn the_large_one(deployed: &ByName) -> Option<Arc<Remote>> {
    let mut all = deployed.remotes.values().filter(|remote| !is_local(remote));
    match (all.next(), all.next()) {
        (Some(only), None) => Some(only.clone()),
        _ => deployed.remotes.get("large").cloned(),
    }
}

fn task(serving: Arc<Serving>, shadow: Option<Arc<Serving>>, chat: &ChatRequest) -> Result<Route, Refusal> {
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
            match serving.task.kind {
                Kind::Extract => {
                    "answers with its record, and the format asked for doesn't take every record it may fill"
                }
                Kind::Generate | Kind::Answer => "answers with a text, and has no other format",
                Kind::Classify | Kind::Moderate => {
                    "answers with its labels, and the format asked for has no single required field that allows all of them"
                }
            },
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
    let input = Input { text, groups: groups(&serving.task, chat) };
    let question = Question { input, single: said.len() == 1 };
    Ok(Route::Task { serving, shadow, question, shape })
}

/// All that was said, each with who said it.
fn conversation(said: &[&Message]) -> String {
    let turns =
        said.iter().map(|message| format!("{}: {}", message.role, message.text().unwrap_or_default()));
    turns.collect::<Vec<_>>().join("\n\n")
}

/// The tasks that recognise a call, each with its large model.
fn recognising(
    deployed: &ByName,
    chat: &ChatRequest,
) -> impl Iterator<Item = (Arc<Deployment>, Arc<Remote>)> {
    let prompt = chat.system_prompt();
    deployed.tasks.values().filter_map(move |deployment| {
        let rule = deployment.task().matching.as_ref()?;
        let recognises = prompt.as_ref()?.contains(&rule.system_prompt_contains);
        Some((deployment.clone(), large_of(deployed, deployment.task()).filter(|_| recognises)?))
    })
}

fn recognised(
    serving: Arc<Serving>,
    shadow: Option<Arc<Serving>>,
    remote: Arc<Remote>,
    chat: &ChatRequest,
    may_be_lowered: bool,
) -> Route {
    let schema = chat.response_format.as_ref().and_then(|format| format.schema());
    let hash = Sha256Hex::of_call(chat.system_prompt().as_deref(), schema);
    let reading = reading(&serving.task, chat);
    let lowered = may_be_lowered && reading.is_some() && lowers(&serving, &hash);
    Route::Recognised { serving, shadow, reading, hash, lowered, remote }
}

/// Whether small models may answer such calls: the task says so, lists this one, and was certified with that list.
fn lowers(serving: &Serving, hash: &Sha256Hex) -> bool {
    let certified = serving.certificate.as_ref().and_then(|certificate| certificate.binding.calls.as_ref());
    let listed = serving.task.calls_hash();
    let rule = serving.task.matching.as_ref();
    rule.is_some_and(|rule| rule.lower && rule.bound_to.contains(hash)) && listed.as_ref() == certified
}

/// Fields of a request that ask for more than an answer in text.
const MORE_THAN_TEXT: [&str; 5] = ["functions", "function_call", "audio", "modalities", "web_search_options"];

/// What is asked, where a small answer could stand in for the large model's: one question, one answer, in a schema that
/// takes the label and nothing else, or in no form at all where the task says that the prompt asks for the bare label.
fn reading(task: &Task, chat: &ChatRequest) -> Option<Reading> {
    let rule = task.matching.as_ref()?;
    let format = chat.response_format.as_ref();
    let in_a_form = match format.map(|format| &format.kind) {
        Some(ResponseFormatKind::JsonSchema) => true,
        None | Some(ResponseFormatKind::Text) => rule.plain,
        // Which fields the object is to have stands in the prompt, in words.
        Some(ResponseFormatKind::JsonObject | ResponseFormatKind::Other(_)) => false,
    };
    let mut said = chat.messages.iter().filter(|message| !message.is_instruction());
    let (only, none) = (said.next()?, said.next());
    let is_simple = only.role == Role::User
        && none.is_none()
        && only.content.as_ref().is_some_and(Content::is_text_only)
        && chat.tools.as_ref().is_none_or(Vec::is_empty)
        && chat.n.is_none_or(|answers| answers == 1)
        && chat.logprobs != Some(true)
        && chat.stop.is_none()
        && !MORE_THAN_TEXT.iter().any(|field| chat.rest.get(*field).is_some_and(|value| !value.is_null()));
    let shape = Shape::of(format, task).filter(|_| in_a_form && is_simple)?;
    let text = only.text()?;
    let input = Input { text: rule.input.extract(&text)?.into(), groups: groups(task, chat) };
    Some(Reading { input, shape })
}

/// Longest value of a metadata key that is kept, in bytes: OpenAI allows 512, and none worth a slice is that long.
const LONGEST_GROUP: usize = 64;

/// The request's values of the metadata keys that the task slices by.
fn groups(task: &Task, chat: &ChatRequest) -> BTreeMap<String, String> {
    let Some(metadata) = &chat.metadata else { return BTreeMap::new() };
    let value = |key: &String| {
        let value = metadata.get(key)?.as_str()?;
        (value.len() <= LONGEST_GROUP).then(|| (key.clone(), value.to_owned()))
    };
    task.slices_by.iter().filter_map(value).collect()
}
