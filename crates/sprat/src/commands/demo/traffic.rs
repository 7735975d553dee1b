//! Tickets through HTTP, as an application would send them: one gateway, a few calls at once.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use serde_json::json;
use sprat_models::remote::{NoExamples, PriceTable, Provider, RemoteConfig, RemoteModel};
use sprat_task::model::WireRequest;
use sprat_task::{Context, Upstream};
use sprat_wire::openai::chat::ChatResponse;
use sprat_wire::parse_body;

use crate::failure::Failure;

/// Calls under way at once.
const AT_ONCE: usize = 8;
/// How long a ticket may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of a ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The ticket's place in the stream.
    pub ticket: usize,
    /// The label.
    pub answer: Option<String>,
    /// Who gave it.
    pub by: Option<String>,
    /// Whether it went past the small models.
    pub escalated: bool,
}

/// An application in front of the gateway.
pub struct Application {
    client: RemoteModel,
    task: &'static str,
}

impl Application {
    /// One that asks the task at this address.
    pub fn new(base_url: &str, task: &'static str) -> Result<Self, Failure> {
        let mut config = RemoteConfig::new(Provider::Compatible { base_url: base_url.to_owned() }, task);
        config.max_concurrency = AT_ONCE;
        let client = RemoteModel::open(
            "gateway".into(),
            config,
            &PriceTable::empty(),
            std::sync::Arc::new(NoExamples),
        )?;
        Ok(Self { client, task })
    }

    /// Sends tickets and gives what became of each, in their order.
    pub async fn send(&self, tickets: &[(usize, &str)]) -> Vec<Reply> {
        let calls = tickets.iter().map(|&(ticket, text)| self.call(ticket, text));
        stream::iter(calls).buffered(AT_ONCE).collect().await
    }

    async fn call(&self, ticket: usize, text: &str) -> Reply {
        let body = json!({ "model": self.task, "messages": [{ "role": "user", "content": text }] });
        let request = WireRequest {
            path: "/chat/completions".to_owned(),
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        };
        let nothing = Reply { ticket, answer: None, by: None, escalated: true };
        let cx = Context::until(Instant::now() + PATIENCE, "demo");
        let Ok(mut reply) = self.client.send(&cx, request).await else { return nothing };
        let header = |name: &str| {
            let found = reply.headers.iter().find(|(header, _)| header == name);
            found.map(|(_, value)| value.clone())
        };
        let (by, escalated) = (header("x-sprat-answered-by"), header("x-sprat-escalated"));
        let mut bytes = Vec::new();
        while let Some(Ok(chunk)) = reply.body.next().await {
            bytes.extend_from_slice(&chunk);
        }
        let said = parse_body::<ChatResponse>(&bytes).ok();
        let answer = said.and_then(|said| said.choices.first().and_then(|choice| choice.message.text()));
        Reply {
            ticket,
            answer: answer.map(|text| text.to_string()),
            by,
            escalated: escalated.as_deref() == Some("true"),
        }
    }
}
