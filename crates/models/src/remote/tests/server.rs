//! A provider made of a listener and a script: it can do what a well-behaved HTTP library won't.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

/// One thing the server does after it has read a request.
pub enum Act {
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Writes these bytes until the client goes.
    WriteForever(Vec<u8>),
    /// Lets other calls come in.
    Rest,
    /// Waits for the test's word.
    Until(Arc<Semaphore>),
    /// Waits for the client to go.
    Hang,
    /// Closes in order.
    Close,
    /// Breaks the connection.
    Reset,
}

impl Act {
    /// A whole reply in JSON.
    pub fn json(status: u16, headers: &[(&str, &str)], body: &Value) -> Self {
        Self::reply(status, headers, "application/json", &body.to_string())
    }

    /// A whole reply.
    pub fn reply(status: u16, headers: &[(&str, &str)], kind: &str, body: &str) -> Self {
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n{more}\r\n");
        Self::Write([head.as_bytes(), body.as_bytes()].concat())
    }

    /// The head of a reply whose body comes in chunks.
    pub fn head_of_stream() -> Self {
        Self::Write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                .to_vec(),
        )
    }

    /// One chunk; an empty one ends the body.
    pub fn chunk(text: &str) -> Self {
        Self::Write(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
    }
}

/// A request as it was read.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

/// A listener on loopback; its tasks end with the test's runtime.
pub struct Server {
    url: String,
    state: Arc<State>,
}

type Script = Box<dyn Fn(usize, &Seen) -> Vec<Act> + Send + Sync>;

struct State {
    script: Script,
    seen: Mutex<Vec<Seen>>,
    running: AtomicUsize,
    most: AtomicUsize,
    arrived: Notify,
    left: Notify,
}

impl Server {
    /// Answers request number n (from 0) with `script(n, request)`.
    pub async fn new(script: impl Fn(usize, &Seen) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let state = Arc::new(State {
            script: Box::new(script),
            seen: Mutex::default(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            arrived: Notify::new(),
            left: Notify::new(),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move { state.serve(stream).await });
            }
        });
        Self { url, state }
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Most requests that waited for a reply at once.
    pub fn most_at_once(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }

    /// Returns once a request has come in.
    pub async fn arrived(&self) {
        self.state.arrived.notified().await;
    }

    /// Returns once a client has gone while the server hung or wrote.
    pub async fn left(&self) {
        self.state.left.notified().await;
    }
}

impl State {
    async fn serve(&self, mut stream: TcpStream) {
        while let Some(request) = read_request(&mut stream).await {
            let number = {
                let mut seen = self.seen.lock().unwrap();
                seen.push(request.clone());
                seen.len() - 1
            };
            self.most.fetch_max(self.running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            self.arrived.notify_one();
            let mut waits = true;
            for act in (self.script)(number, &request) {
                if waits && matches!(act, Act::Write(_)) {
                    // Before the bytes: the client may send its next request as soon as it has them.
                    self.running.fetch_sub(1, Ordering::SeqCst);
                    waits = false;
                }
                if !self.act(act, &mut stream).await {
                    return;
                }
            }
        }
    }

    /// Whether the connection goes on.
    async fn act(&self, act: Act, stream: &mut TcpStream) -> bool {
        match act {
            Act::Write(bytes) => return stream.write_all(&bytes).await.is_ok(),
            Act::WriteForever(bytes) => {
                while stream.write_all(&bytes).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                self.left.notify_one();
            }
            Act::Rest => {
                tokio::time::sleep(Duration::from_millis(2)).await;
                return true;
            }
            Act::Until(word) => {
                word.acquire().await.unwrap().forget();
                return true;
            }
            Act::Hang => {
                let _ = stream.read(&mut [0; 64]).await; // 0 bytes or an error: both mean that the client has gone
                self.left.notify_one();
            }
            Act::Close => drop(stream.shutdown().await),
            Act::Reset => stream.set_zero_linger().unwrap(),
        }
        false
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        let mut more = [0; 4096];
        let got = stream.read(&mut more).await.ok().filter(|got| *got > 0)?;
        bytes.extend_from_slice(&more[..got]);
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = bytes[head_end + 4..].to_vec();
    let got = body.len();
    body.resize(length, 0);
    stream.read_exact(&mut body[got..]).await.ok()?;
    Some(Seen { method, path, headers, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}
