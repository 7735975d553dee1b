//! The large model of the demonstration: authored answers, played over HTTP on this machine, with a bill of its own to hold
//! the ledger against.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::json;
use sprat_cascade::{Deployed, Protocol, Remote};
use sprat_gateway::server::ServeError;
use sprat_gateway::{Addresses, Gateway, Server, Settings};
use sprat_store::Store;
use sprat_task::model::{NoReply, WireReply, WireRequest};
use sprat_task::{Context, ModelError, ModelId, Money, Price, Provenance, Tokens, Upstream};
use sprat_wire::openai::chat::{ChatRequest, ChatResponse, Usage};
use sprat_wire::parse_body;

/// What the authored calls cost, in micro-units a million tokens; as the demonstration's `sprat.toml` says it.
const PRICE: Price = Price {
    input: 1_250_000,
    output: 10_000_000,
    cached_input: None,
    cache_write: None,
    batch_input: None,
    batch_output: None,
};

/// The authored answer to a text.
#[derive(Clone, Deserialize)]
struct Answer {
    text: String,
    answer: String,
    input_tokens: u64,
    output_tokens: u64,
}

/// What was sold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Bill {
    /// Calls that were answered.
    pub calls: u64,
    /// What they cost together.
    #[serde(rename = "micro_usd")]
    pub cost: Money,
}

/// Plays the large model.
pub struct Provider {
    id: ModelId,
    answers: HashMap<String, Answer>,
    /// What is answered in place of what, while the meaning of one kind of ticket has changed.
    drift: (&'static str, &'static str),
    drifting: AtomicBool,
    bill: Mutex<Bill>,
}

impl Provider {
    /// Reads the authored answers.
    pub fn new(answers: &str, drift: (&'static str, &'static str)) -> Result<Self, serde_json::Error> {
        let answers: Vec<Answer> = answers.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Self {
            id: "large".into(),
            answers: answers.into_iter().map(|answer| (answer.text.clone(), answer)).collect(),
            drift,
            drifting: AtomicBool::new(false),
            bill: Mutex::default(),
        })
    }

    /// One kind of ticket changes its meaning, or has its old one again.
    pub fn drifts(&self, drifting: bool) {
        self.drifting.store(drifting, Ordering::SeqCst);
    }

    /// What was sold so far.
    pub fn bill(&self) -> Bill {
        *self.bill.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The label that it gives a text now.
    pub fn answer(&self, text: &str) -> Option<&str> {
        let label = self.answers.get(text)?.answer.as_str();
        let (from, to) = self.drift;
        Some(if self.drifting.load(Ordering::SeqCst) && label == from { to } else { label })
    }

    fn reply(&self, request: &WireRequest) -> Result<ChatResponse, ModelError> {
        let chat: ChatRequest = parse_body(&request.body)
            .map_err(|error| ModelError::Refused(format!("not a chat request: {error}")))?;
        let said = chat.last_user_text().unwrap_or_default();
        let text = inside(&said);
        let unknown = || ModelError::Refused("nobody has authored an answer to this text".to_owned());
        let (label, answer) = self.answer(text).zip(self.answers.get(text)).ok_or_else(unknown)?;
        let words = json!({ "label": label }).to_string();
        let tokens = Tokens { input: answer.input_tokens, output: answer.output_tokens, ..Tokens::default() };
        let mut bill = self.bill.lock().unwrap_or_else(PoisonError::into_inner);
        bill.calls += 1;
        bill.cost += PRICE.cost(tokens);
        let usage = Usage::new(tokens.input, tokens.output);
        Ok(ChatResponse::from_text("authored", 0, "a large model, authored", &words, Some(usage)))
    }
}

/// The text between the tags that Sprat's prompt puts around it; all of it where there are none.
fn inside(said: &str) -> &str {
    let Some((opening, rest)) = said.split_once(">\n") else { return said };
    let Some(tag) = opening.strip_prefix('<') else { return said };
    rest.strip_suffix(&format!("\n</{tag}>")).unwrap_or(said)
}

impl Upstream for Provider {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn send<'a>(&'a self, _: &'a Context, request: WireRequest) -> BoxFuture<'a, Result<WireReply, NoReply>> {
        let reply = self.reply(&request).map(|reply| WireReply {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: stream::iter([Ok(json!(reply).to_string().into_bytes())]).boxed(),
            unknown_cost: false,
        });
        let reply = reply.map_err(NoReply::unsent);
        Box::pin(async move { reply })
    }
}

/// Serves the provider on a free port: a gateway of its own, with nothing behind it but these answers.
pub async fn serve(provider: Arc<Provider>, folder: &Path) -> Result<Server, ServeError> {
    let store = Store::open(&format!("sqlite:{}", folder.join("large-model.db").display()))
        .map_err(|error| ServeError::Load(error.to_string()))?;
    let gateway = Arc::new(Gateway::new(Settings::default(), store));
    let free = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let loader = Arc::new(Alone(provider));
    Server::start(gateway, loader, Addresses { listen: free, management: free }).await
}

/// Loads nothing but the provider.
struct Alone(Arc<Provider>);

impl sprat_cascade::LadderLoader for Alone {
    fn generation(&self) -> Result<u64, String> {
        Ok(1)
    }

    fn load<'a>(&'a self) -> BoxFuture<'a, Result<Deployed, String>> {
        let remote = Remote {
            upstream: self.0.clone(),
            model: "a large model, authored".to_owned(),
            protocol: Protocol::OpenAi,
            fallback: Vec::new(),
            price: Some(PRICE),
            provenance: Provenance::Authored,
        };
        Box::pin(async move { Ok(Deployed { remotes: vec![remote], ..Deployed::default() }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_found_between_whatever_tags_stand_around_it() {
        for (said, text) in [
            ("<text>\nhi <b>\nyou\n</text>", "hi <b>\nyou"),
            ("<text-2>\nhi\n</text-2>", "hi"),
            ("hi", "hi"),
            ("<text>\nhi", "<text>\nhi"),
        ] {
            assert_eq!(inside(said), text);
        }
    }
}
