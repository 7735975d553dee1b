//! A gateway over fakes: a small and a large model that say what a text tells them to, and an upstream with a script.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::{Value, json};
use sprat_cascade::calibration::{Calibrator, Temperature};
use sprat_cascade::{
    Cache, Deployed, Deployment, Ladder, LadderEnd, Protocol, Remote, Rung, Serving, Threshold,
};
use sprat_gateway::{Gateway, Settings, routes};
use sprat_store::{Key, LedgerEntry, Store};
use sprat_task::model::{NoReply, WireReply, WireRequest};
use sprat_task::*;
use tempfile::TempDir;
use tower::ServiceExt;

/// Answers `label confidence`, such as `refund 0.95`; without a number it fails.
pub struct Says {
    id: ModelId,
    cost: i64,
    contrary: bool,
    pub asked: AtomicUsize,
    pub texts: Mutex<Vec<String>>,
    /// Gives no answer in time.
    pub is_slow: AtomicBool,
    most: Mutex<Option<Money>>,
}

impl Says {
    pub fn new(id: &str, cost: i64) -> Arc<Self> {
        Arc::new(Self {
            id: id.into(),
            cost,
            contrary: false,
            asked: AtomicUsize::new(0),
            texts: Mutex::default(),
            is_slow: AtomicBool::new(false),
            most: Mutex::default(),
        })
    }

    /// Says `delivery` where the text says `refund`.
    pub fn contrary(id: &str) -> Arc<Self> {
        Arc::new(Self {
            id: id.into(),
            cost: 100,
            contrary: true,
            asked: AtomicUsize::new(0),
            texts: Mutex::default(),
            is_slow: AtomicBool::new(false),
            most: Mutex::default(),
        })
    }

    /// From now on it knows what an answer costs at most.
    pub fn says_most(&self, micro: i64) {
        *self.most.lock().unwrap() = Some(Money::from_micro(micro));
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Model for Says {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn at_most(&self, _: &Task, _: &Input) -> Usage {
        Usage { tokens: None, cost: *self.most.lock().unwrap() }
    }

    fn predict<'a>(
        &'a self,
        _: &'a Context,
        _: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        let attempt = |input: &Input| {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.texts.lock().unwrap().push(input.text.clone());
            let (label, number) = input.text.split_once(' ').unwrap_or((&input.text, ""));
            let score: Option<f32> = number.split(' ').next().and_then(|number| number.parse().ok());
            let tokens = Some(Tokens { input: 10, output: 2, ..Tokens::default() });
            let usage =
                Usage { tokens: tokens.filter(|_| self.cost > 0), cost: Some(Money::from_micro(self.cost)) };
            let result = match score {
                _ if label == "busy" => Err(ModelError::Busy { retry_after_ms: Some(1_500) }),
                _ if label == "slow" || self.is_slow.load(Ordering::SeqCst) => Err(ModelError::Timeout),
                None if self.cost == 0 => Err(ModelError::Failed("no number".into())),
                score => {
                    let score = score.unwrap_or(1.0);
                    let label = if label.contains(':') { "refund" } else { label };
                    let label = if self.contrary && label == "refund" { "delivery" } else { label };
                    Ok(Some(Prediction {
                        answer: Answer::label(label),
                        score: Score(score),
                        features: Features::default(),
                        // Ten others share the rest, so that the largest probability is the number in the text.
                        alternatives: std::iter::once(score)
                            .chain(std::iter::repeat_n((1.0 - score) / 10.0, 10))
                            .map(|probability| ("any".into(), Score(probability.ln())))
                            .collect(),
                    }))
                }
            };
            Attempt { usage, latency: Duration::from_micros(7), result }
        };
        let attempts = inputs.iter().map(attempt).collect();
        Box::pin(async move { attempts })
    }
}

/// What an upstream does when asked.
pub enum Script {
    /// Replies with a status, headers and a body in pieces; `None` is a body that breaks off there.
    Reply(u16, Vec<(&'static str, &'static str)>, Vec<Option<String>>),
    /// Never says more after these pieces.
    Hang(Vec<String>),
    /// Can't be asked.
    Fail(ModelError),
}

impl Script {
    /// A reply in one piece.
    pub fn json(status: u16, body: impl ToString) -> Self {
        Self::Reply(status, vec![("content-type", "application/json")], vec![Some(body.to_string())])
    }

    /// A stream in pieces; `None` is where it breaks off.
    pub fn stream(pieces: Vec<Option<String>>) -> Self {
        Self::Reply(200, vec![("content-type", "text/event-stream")], pieces)
    }
}

/// An upstream with a script, and what it was sent.
pub struct Wire {
    id: ModelId,
    pub script: Mutex<Script>,
    pub sent: Mutex<Vec<WireRequest>>,
}

impl Wire {
    pub fn new(id: &str, script: Script) -> Arc<Self> {
        Arc::new(Self { id: id.into(), script: Mutex::new(script), sent: Mutex::default() })
    }

    /// How many requests it was sent.
    pub fn asked(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    pub fn sent(&self) -> Value {
        let sent = self.sent.lock().unwrap();
        serde_json::from_slice(&sent.last().expect("it was asked").body).unwrap()
    }

    pub fn plays(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }
}

impl Upstream for Wire {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn send<'a>(&'a self, _: &'a Context, request: WireRequest) -> BoxFuture<'a, Result<WireReply, NoReply>> {
        self.sent.lock().unwrap().push(request);
        let broken = || ModelError::Unavailable("the connection was reset".into());
        let reply = match &*self.script.lock().unwrap() {
            Script::Reply(status, headers, pieces) => {
                let pieces: Vec<_> = pieces
                    .iter()
                    .map(|piece| piece.clone().map(String::into_bytes).ok_or_else(broken))
                    .collect();
                Ok((*status, headers.clone(), stream::iter(pieces).boxed()))
            }
            Script::Hang(pieces) => {
                let pieces: Vec<_> = pieces.iter().map(|piece| Ok(piece.clone().into_bytes())).collect();
                let body: BoxStream<'static, _> = stream::iter(pieces).chain(stream::pending()).boxed();
                Ok((200, vec![("content-type", "text/event-stream")], body))
            }
            Script::Fail(error) => Err(error.clone()),
        };
        let reply = reply.map(|(status, headers, body)| WireReply {
            status,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body,
            unknown_cost: matches!(status, 502 | 504),
        });
        Box::pin(async move { reply.map_err(|error| NoReply { error, unknown_cost: true }) })
    }
}

/// A gateway with a task `tickets` (refund, delivery), certified at 5%, and a remote model `large`.
pub struct World {
    pub gateway: Arc<Gateway>,
    pub store: Store,
    pub small: Arc<Says>,
    pub large: Arc<Says>,
    pub wire: Arc<Wire>,
    folder: TempDir,
}

pub const TASK: &str = "kind = \"classify\"\nlabels = [\"refund\", \"delivery\"]\nlarge = \"large\"\n\
    [match]\nsystem_prompt_contains = \"route the ticket\"\ninput = \"Ticket: {input}\"\n";

/// The prompt and the schema of the ordinary calls that it may answer.
pub const PROMPT: &str = "Please route the ticket to a team.";

pub fn schema() -> Value {
    json!({"type": "object", "properties": {"team": {"enum": ["refund", "delivery"]}}, "required": ["team"]})
}

/// The task's file, for calls with that prompt and this schema.
pub fn lowering(schema: Option<&Value>) -> String {
    let hash = Sha256Hex::of_call(Some(PROMPT), schema);
    format!("{TASK}lower = true\nbound_to = [\"{hash}\"]\n")
}

/// A reply's parts.
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The `data:` of its events.
    pub fn events(&self) -> Vec<String> {
        self.text.split("\n\n").filter_map(|event| Some(event.strip_prefix("data: ")?.to_owned())).collect()
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("s.db").display())).unwrap();
        let gateway = Arc::new(Gateway::new(settings, store.clone()).with_secret(secret()));
        // Whoever wants audits says so: a coin decides nothing here.
        gateway.auditor().set_rate("tickets", 0.0);
        let (small, large) = (Says::new("linear", 0), Says::new("large", 100));
        let wire = Wire::new("large", Script::json(200, reply("hello")));
        gateway.current().exchange(
            1,
            Deployed {
                tasks: vec![Deployment::of(serving(&small, &large))],
                remotes: vec![remote(&wire)],
                ..Deployed::default()
            },
        );
        Self { gateway, store, small, large, wire, folder }
    }

    /// The same world, its task served in another way.
    pub fn serving(change: impl FnOnce(&mut Serving)) -> Self {
        let world = Self::new();
        let mut serving = serving(&world.small, &world.large);
        change(&mut serving);
        let deployed = Deployed {
            tasks: vec![Deployment::of(serving)],
            remotes: vec![remote(&world.wire)],
            ..Deployed::default()
        };
        world.gateway.current().exchange(2, deployed);
        world
    }

    pub async fn send(&self, request: Request<Body>) -> Got {
        self.send_to(routes(self.gateway.clone()), request).await
    }

    pub async fn send_to(&self, routes: Router, request: Request<Body>) -> Got {
        let response = routes.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Got { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub async fn chat(&self, body: Value) -> Got {
        self.chat_with(&[], body).await
    }

    pub async fn chat_with(&self, headers: &[(&str, &str)], body: Value) -> Got {
        self.send(request("/v1/chat/completions", headers, body)).await
    }

    pub async fn ask(&self, text: &str) -> Got {
        self.chat(json!({"model": "tickets", "messages": [{"role": "user", "content": text}]})).await
    }

    /// The same world with these remote models and no task.
    pub fn serving_only(remotes: Vec<Remote>) -> Self {
        let world = Self::new();
        world.gateway.current().exchange(2, Deployed { remotes, ..Deployed::default() });
        world
    }

    /// Makes a key and gives what its holder sends.
    pub fn key(&self, name: &str, allowance: Allowance) -> String {
        let (key, shown) = sprat_task::key::write_key([0xa7; 32]);
        let key = format!("{key}{name}");
        let digest = secret().digest(&key);
        let made = Key {
            id: name.into(),
            shown,
            digest,
            allowance,
            created_unix_ms: 0,
            expires_unix_ms: None,
            revoked_unix_ms: None,
        };
        self.store.keys().add(&made).unwrap();
        self.gateway.load_keys().unwrap();
        key
    }

    /// The folder that everything is kept in.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The ledger's lines, oldest first.
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        let mut entries = self.store.ledger().latest(None, 100).unwrap();
        entries.reverse();
        entries
    }
}

/// The workspace's secret.
pub fn secret() -> KeySecret {
    KeySecret::new([7; 32])
}

pub fn request(path: &str, headers: &[(&str, &str)], body: Value) -> Request<Body> {
    let mut request = Request::post(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_string())).unwrap()
}

pub fn serving(small: &Arc<Says>, large: &Arc<Says>) -> Serving {
    serving_of(&lowering(Some(&schema())), small, large)
}

/// The task of this file, certified.
pub fn serving_of(file: &str, small: &Arc<Says>, large: &Arc<Says>) -> Serving {
    let task = read_task("tickets", &Source::new("t.toml", file), |_| Err(String::new())).unwrap();
    let calibrator = Calibrator::Temperature(Temperature::ONE);
    let certificate = Certificate {
        status: Status::Certified,
        risk: Risk::Selective,
        guarantee: Guarantee::Gold,
        records: false,
        quality: None,
        alpha: 0.05,
        delta: 0.05,
        look: 1,
        delta_spent: 0.03,
        n: 500,
        accepted: 300,
        bad: 4,
        bound: Some(0.03),
        selective_interval: None,
        more_labels: None,
        note: None,
        recall: Vec::new(),
        binding: Binding { calls: task.calls_hash(), ..Binding::default() },
    };
    Serving {
        release: Some(ReleaseId { task: task.name.clone(), version: 3 }),
        task,
        certificate: Some(certificate),
        stale: Vec::new(),
        ladder: Ladder::new(
            vec![Rung { model: small.clone(), calibrator, threshold: Threshold::Above(0.9) }],
            LadderEnd::Remote(large.clone()),
        ),
        cache: Cache::off(),
        audit_rate: None,
        large_estimate: Some(Money::from_micro(110)),
        provenance: Provenance::Measured,
        judge: None,
    }
}

/// A dollar a million tokens in, two a million out.
pub fn remote(wire: &Arc<Wire>) -> Remote {
    Remote {
        upstream: wire.clone(),
        model: "big-1".into(),
        protocol: Protocol::OpenAi,
        fallback: Vec::new(),
        price: Some(Price {
            input: 1_000_000,
            output: 2_000_000,
            cached_input: None,
            cache_write: None,
            batch_input: None,
            batch_output: None,
        }),
        provenance: Provenance::Measured,
    }
}

/// A reply of 100 tokens in and 10 out: 120 micro-dollars.
pub fn reply(text: &str) -> String {
    json!({
        "id": "r", "object": "chat.completion", "created": 1, "model": "big-1-2026",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        "service_tier": "default",
    })
    .to_string()
}

/// An event of a stream.
pub fn event(delta: Value, finish: Option<&str>) -> String {
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "big-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

/// The event with the usage, 120 micro-dollars.
pub fn usage_event() -> String {
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "big-1", "choices": [],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}});
    format!("data: {chunk}\n\n")
}
