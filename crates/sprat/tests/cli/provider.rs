//! A provider of large models made of a listener and a script, for what a well-behaved one won't do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// What one call of [`Reply::Says`] costs at the price of [`Provider::config`], in micro-units: 100 tokens in, 10 out.
pub const PAID: i64 = 120;

/// Only a program that does something else than the test expects makes a test wait so long.
const PATIENCE: Duration = Duration::from_secs(100);

/// What the provider does with a request.
pub enum Reply {
    /// A completion in these words.
    Says(&'static str),
    /// Anything else that HTTP can say: the status, more headers (each with its line's end), the body.
    Http(u16, &'static str, &'static str),
    /// The head of a reply and half of its body, then the end of the connection.
    Half,
    /// Nothing, until the client goes.
    Hang,
}

/// A listener on loopback, a thread for each connection; they end with the test.
pub struct Provider {
    url: String,
    state: Arc<State>,
}

type Script = Box<dyn Fn(usize, &str) -> Reply + Send + Sync>;

struct State {
    script: Script,
    /// The texts asked about, in the order in which they came.
    asked: Mutex<Vec<String>>,
    arrived: Condvar,
}

impl Provider {
    /// Answers call number n (from 0), which is about a text, with `script(n, text)`. A script may wait: other calls
    /// go on meanwhile.
    pub fn new(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let state =
            Arc::new(State { script: Box::new(script), asked: Mutex::default(), arrived: Condvar::new() });
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = shared.clone();
                // A client that goes in the middle is no fault of the provider's.
                std::thread::spawn(move || state.serve(stream));
            }
        });
        Self { url, state }
    }

    /// A `sprat.toml` whose model `large` is this one, with more settings.
    pub fn config(&self, more: &str) -> String {
        format!(
            "[models.large]\nkind = \"remote\"\nprovider = \"compatible\"\nmodel = \"m\"\nbase_url = \"{}\"\n\
             price = {{ input = 1.0, output = 2.0 }}\n{more}",
            self.url
        )
    }

    /// The texts asked about so far.
    pub fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }

    /// Returns once so many calls have come in.
    pub fn wait_for(&self, calls: usize) {
        let asked = self.state.asked.lock().unwrap();
        let few = |asked: &mut Vec<String>| asked.len() < calls;
        let (asked, waited) = self.state.arrived.wait_timeout_while(asked, PATIENCE, few).unwrap();
        assert!(!waited.timed_out(), "{} of {calls} calls came in", asked.len());
    }
}

impl State {
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut requests = BufReader::new(stream.try_clone().ok()?);
        let mut replies = stream;
        loop {
            let text = text_of(&read_request(&mut requests)?)?;
            let number = {
                let mut asked = self.asked.lock().unwrap();
                asked.push(text.clone());
                self.arrived.notify_all();
                asked.len() - 1
            };
            match (self.script)(number, &text) {
                Reply::Says(words) => write(&mut replies, 200, JSON, &completion(words), 1)?,
                Reply::Http(status, headers, body) => write(&mut replies, status, headers, body, 1)?,
                Reply::Half => {
                    write(&mut replies, 200, JSON, &completion("refund"), 2)?;
                    return None;
                }
                Reply::Hang => {
                    let _ = requests.read(&mut [0; 1]); // nothing comes before the client has gone
                    return None;
                }
            }
        }
    }
}

/// A door that the test opens once, for whoever waits in front of it.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Returns once the gate is open.
    pub fn pass(&self) {
        let (is_open, opened) = &*self.0;
        drop(opened.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
    }

    /// Lets everybody pass, from now on.
    pub fn open(&self) {
        let (is_open, opened) = &*self.0;
        *is_open.lock().unwrap() = true;
        opened.notify_all();
    }
}

const JSON: &str = "content-type: application/json\r\n";

fn completion(words: &str) -> String {
    json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    })
    .to_string()
}

/// Writes one part in `of` of the body.
fn write(stream: &mut TcpStream, status: u16, headers: &str, body: &str, of: usize) -> Option<()> {
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body.as_bytes()[..body.len() / of]].concat()).ok()
}

/// The body of the next request; `None` where the client has gone.
fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?
            }
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

/// The text asked about: the last message, without the tags around it.
fn text_of(request: &Value) -> Option<String> {
    let said = request["messages"].as_array()?.last()?["content"].as_str()?;
    let (_, inside) = said.split_once('\n')?;
    Some(inside.rsplit_once('\n')?.0.to_owned())
}
