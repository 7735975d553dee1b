//! An upstream in OpenAI's wire that answers after a fixed delay, plain or in chunks at a fixed cadence, and bills every
//! call, so that a gateway's ledger can be held against it.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};

use crate::clock::{self, Until};

/// Micro-dollars a token, as gateways are told them: 1 and 4 dollars a million.
const INPUT_PRICE: u64 = 1;
const OUTPUT_PRICE: u64 = 4;

/// How it answers.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Before the first byte.
    pub delay: Duration,
    /// Between chunks of a stream.
    pub cadence: Duration,
    /// Chunks of a stream.
    pub chunks: u32,
}

/// What it has been asked, and what that cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    pub calls: u64,
    pub micro_usd: u64,
}

pub struct Mock {
    pub port: u16,
    state: Rc<State>,
}

struct State {
    manner: Cell<Manner>,
    bill: Cell<Bill>,
}

impl Mock {
    /// Listens on a free port of this machine.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let manner = Manner { delay: Duration::ZERO, cadence: Duration::from_millis(5), chunks: 20 };
        let state = Rc::new(State { manner: Cell::new(manner), bill: Cell::default() });
        let shared = state.clone();
        tokio::task::spawn_local(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::task::spawn_local(serve(connection, shared.clone()));
            }
        });
        Ok(Self { port, state })
    }

    pub fn behave(&self, manner: Manner) {
        self.state.manner.set(manner);
    }

    /// The bill since the last look.
    pub fn take_bill(&self) -> Bill {
        self.state.bill.take()
    }
}

async fn serve(connection: TcpStream, state: Rc<State>) {
    let _ = connection.set_nodelay(true);
    let service = service_fn(move |request| answer(request, state.clone()));
    // A client that hangs up ends its connection, and nothing else.
    let _ =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

async fn answer(request: Request<Incoming>, state: Rc<State>) -> Result<Response<Reply>, Infallible> {
    let came = Instant::now();
    let known = request.uri().path().ends_with("/chat/completions");
    let asked = match request.into_body().collect().await {
        Ok(body) if known => serde_json::from_slice::<Asked>(&body.to_bytes()).ok(),
        _ => None,
    };
    let Some(asked) = asked else {
        let mut refusal = Response::new(Reply::Whole(Some(Bytes::from_static(b"{}"))));
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(refusal);
    };
    let manner = state.manner.get();
    let mut bill = state.bill.get();
    let (input, output) = (20 + bill.calls % 80, 1 + bill.calls % 7);
    bill.calls += 1;
    bill.micro_usd += input * INPUT_PRICE + output * OUTPUT_PRICE;
    state.bill.set(bill);
    if !manner.delay.is_zero() {
        clock::until(came + manner.delay).await;
    }
    let usage = format!(
        r#"{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{}}}"#,
        input + output
    );
    let id = bill.calls;
    let (kind, reply) = if asked.stream == Some(true) {
        let with_usage = asked.stream_options.and_then(|options| options.include_usage) == Some(true);
        let stream = Stream::new(id, manner, with_usage.then_some(usage));
        ("text/event-stream", Reply::Stream(stream))
    } else {
        ("application/json", Reply::Whole(Some(whole(id, &usage))))
    };
    let mut response = Response::new(reply);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

fn whole(id: u64, usage: &str) -> Bytes {
    Bytes::from(format!(
        r#"{{"id":"chatcmpl-{id}","object":"chat.completion","created":1700000000,"model":"mock","choices":[{{"index":0,"message":{{"role":"assistant","content":"{{\"team\":\"billing\"}}"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
    ))
}

fn event(id: u64, choices: &str, usage: Option<&str>) -> String {
    let usage = usage.map_or_else(String::new, |usage| format!(r#","usage":{usage}"#));
    format!(
        "data: {{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"mock\",\"choices\":{choices}{usage}}}\n\n"
    )
}

/// The body of a reply.
enum Reply {
    Whole(Option<Bytes>),
    Stream(Stream),
}

/// Chunks at their times: each counts from the first, so that a late one doesn't delay the rest.
struct Stream {
    id: u64,
    began: Instant,
    manner: Manner,
    sent: u32,
    wait: Option<Until>,
    usage: Option<String>,
}

impl Stream {
    fn new(id: u64, manner: Manner, usage: Option<String>) -> Self {
        Self { id, began: Instant::now(), manner, sent: 0, wait: None, usage }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.sent > self.manner.chunks {
            return Poll::Ready(None);
        }
        let at = self.began + self.manner.cadence * self.sent;
        let wait = self.wait.get_or_insert_with(|| clock::until(at));
        ready!(Pin::new(wait).poll(cx));
        self.wait = None;
        self.sent += 1;
        let text = match self.sent {
            1 => event(self.id, r#"[{"index":0,"delta":{"role":"assistant","content":"The "}}]"#, None),
            sent if sent <= self.manner.chunks => {
                event(self.id, r#"[{"index":0,"delta":{"content":"word "}}]"#, None)
            }
            _ => {
                let mut end = event(self.id, r#"[{"index":0,"delta":{},"finish_reason":"stop"}]"#, None);
                if let Some(usage) = &self.usage {
                    end += &event(self.id, "[]", Some(usage));
                }
                end + "data: [DONE]\n\n"
            }
        };
        Poll::Ready(Some(Bytes::from(text)))
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match self.get_mut() {
            Self::Whole(bytes) => bytes.take(),
            Self::Stream(stream) => ready!(stream.poll_next(cx)),
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
