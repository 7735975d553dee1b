//! A provider of large models that does as a test says, and keeps its own bill.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::PATIENCE;

/// What a whole answer costs, in micro-units: 100 tokens in and 10 out at the price of [`Mock::config`].
pub const PAID: i64 = 120;

/// A call as it came in.
pub struct Call {
    /// Which call it is, from 0.
    pub number: usize,
    /// The last message.
    pub text: String,
    /// Whether a stream is wanted.
    pub stream: bool,
}

/// What the provider does with a call.
pub enum Act {
    /// The whole answer; as a stream where one is wanted, in so many pieces.
    Answer(usize),
    /// Waits, then does this.
    After(Gate, Box<Act>),
    /// The head and the first pieces of a stream, then that.
    Begin(usize, End),
    /// A status, more headers (each with its line's end), and a body. Nothing is charged.
    Refuse(u16, &'static str, &'static str),
    /// Status 200 and this body: charged, but it doesn't say how much.
    Say(&'static str, Vec<u8>),
    /// A stream of so many pieces of a kilobyte, as fast as the client takes it.
    Flood(usize),
}

/// How a stream ends that doesn't end well.
#[derive(Clone, Copy)]
pub enum End {
    /// Nothing more comes until the client goes.
    Hang,
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
}

/// What one call is charged; `None` where nobody says how much.
type Charge = Option<i64>;

/// A listener on loopback, a thread for each connection; they end with the test.
pub struct Mock {
    url: String,
    state: Arc<State>,
}

struct State {
    script: Box<dyn Fn(&Call) -> Act + Send + Sync>,
    book: Mutex<Book>,
    changed: Condvar,
}

#[derive(Default)]
struct Book {
    calls: usize,
    /// What was charged for each text, call by call.
    bill: BTreeMap<String, Vec<Charge>>,
    /// Texts whose client went before the end.
    left: Vec<String>,
    /// Texts whose client takes nothing more.
    stuck: Vec<String>,
}

impl Mock {
    pub fn new(script: impl Fn(&Call) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let state =
            Arc::new(State { script: Box::new(script), book: Mutex::default(), changed: Condvar::new() });
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = shared.clone();
                std::thread::spawn(move || state.serve(stream));
            }
        });
        Self { url, state }
    }

    /// A `sprat.toml` whose model `large` is this one, with more of its settings.
    pub fn config(&self, more: &str) -> String {
        format!(
            "[models.large]\nkind = \"remote\"\nprovider = \"compatible\"\nmodel = \"m\"\nbase_url = \"{}\"\n\
             price = {{ input = 1.0, output = 2.0 }}\n{more}\n",
            self.url
        )
    }

    /// How many calls have come in.
    pub fn calls(&self) -> usize {
        self.state.book.lock().unwrap().calls
    }

    /// What each text has cost, all its calls together.
    pub fn bill(&self) -> BTreeMap<String, Charge> {
        let book = self.state.book.lock().unwrap();
        book.bill.iter().map(|(text, charges)| (text.clone(), charges.iter().copied().sum())).collect()
    }

    /// Returns once so many calls have come in.
    pub fn wait_for_calls(&self, calls: usize) {
        self.wait(&format!("{calls} calls"), |book| book.calls >= calls);
    }

    /// Returns once the client of this text has gone.
    pub fn wait_for_leaving(&self, text: &str) {
        self.wait(&format!("leaving: {text}"), |book| book.left.iter().any(|left| left == text));
    }

    /// Returns once the client of this text takes nothing more.
    pub fn wait_for_stuck(&self, text: &str) {
        self.wait(&format!("stuck: {text}"), |book| book.stuck.iter().any(|stuck| stuck == text));
    }

    fn wait(&self, what: &str, done: impl Fn(&Book) -> bool) {
        let book = self.state.book.lock().unwrap();
        let waited = self.state.changed.wait_timeout_while(book, PATIENCE, |book| !done(book)).unwrap();
        assert!(!waited.1.timed_out(), "this did not happen: {what}");
    }
}

impl State {
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut wire = Wire { reading: BufReader::new(stream.try_clone().ok()?), writing: stream };
        loop {
            let body = wire.request()?;
            let text = body["messages"].as_array()?.last()?["content"].as_str()?.to_owned();
            let number = self.note(|book| {
                // Until the end is known nobody knows what it costs.
                book.bill.entry(text.clone()).or_default().push(None);
                book.calls += 1;
                book.calls - 1
            });
            let call = Call { number, text, stream: body["stream"] == json!(true) };
            let place = self.book.lock().unwrap().bill[&call.text].len() - 1;
            self.act(&mut wire, &call, place, (self.script)(&call))?;
        }
    }

    /// Does it; `None` where the connection is over.
    fn act(&self, wire: &mut Wire, call: &Call, place: usize, act: Act) -> Option<()> {
        let charge = |charge: i64| {
            self.note(|book| book.bill.get_mut(&call.text).unwrap()[place] = Some(charge));
        };
        let goes = |done: Option<()>| {
            if done.is_none() {
                self.note(|book| book.left.push(call.text.clone()));
            }
            done
        };
        match act {
            Act::After(gate, then) => {
                gate.pass();
                self.act(wire, call, place, *then)
            }
            Act::Refuse(status, headers, body) => {
                charge(0);
                wire.whole(status, &format!("content-type: application/json\r\n{headers}"), body.as_bytes())
            }
            Act::Say(kind, body) => wire.whole(200, &format!("content-type: {kind}\r\n"), &body),
            Act::Answer(_) if !call.stream => {
                // Charged before it is sent: the client may be quicker than the book.
                charge(PAID);
                wire.whole(200, "content-type: application/json\r\n", completion("refund").as_bytes())
            }
            Act::Answer(pieces) => {
                goes(wire.begin())?;
                goes(wire.pieces(pieces))?;
                charge(PAID);
                goes(wire.end())
            }
            Act::Begin(pieces, end) => {
                if pieces > 0 {
                    goes(wire.begin())?;
                    goes(wire.pieces(pieces))?;
                }
                match end {
                    End::Hang => {
                        let _ = wire.reading.read(&mut [0; 1]); // nothing comes before the client has gone
                        goes(None)
                    }
                    End::Close => None,
                    End::Reset => wire.reset(),
                }
            }
            Act::Flood(pieces) => {
                goes(wire.begin())?;
                // Whoever takes nothing for so long is not reading.
                wire.writing.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
                let piece = chunk(&event(&json!({"content": "x".repeat(1_000)}), None));
                for _ in 0..pieces {
                    goes(self.patiently(wire, call, &piece))?;
                }
                charge(PAID);
                goes(self.patiently(wire, call, &ending()))
            }
        }
    }

    /// Writes all of it, and notes when nothing is taken.
    fn patiently(&self, wire: &mut Wire, call: &Call, bytes: &[u8]) -> Option<()> {
        let mut left = bytes;
        while !left.is_empty() {
            match wire.writing.write(left) {
                Ok(written) => left = &left[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.note(|book| book.stuck.push(call.text.clone()));
                }
                Err(_) => return None,
            }
        }
        Some(())
    }

    fn note<T>(&self, what: impl FnOnce(&mut Book) -> T) -> T {
        let noted = what(&mut self.book.lock().unwrap());
        self.changed.notify_all();
        noted
    }
}

/// A door that the test opens once, for whoever waits in front of it.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn pass(&self) {
        let (is_open, opened) = &*self.0;
        drop(opened.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
    }

    pub fn open(&self) {
        let (is_open, opened) = &*self.0;
        *is_open.lock().unwrap() = true;
        opened.notify_all();
    }
}

/// A connection of the provider's.
struct Wire {
    reading: BufReader<TcpStream>,
    writing: TcpStream,
}

impl Wire {
    /// The body of the next request; `None` where the client has gone.
    fn request(&mut self) -> Option<Value> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.reading.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().ok()?;
                }
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.reading.read_exact(&mut body).ok()?;
        serde_json::from_slice(&body).ok()
    }

    fn whole(&mut self, status: u16, headers: &str, body: &[u8]) -> Option<()> {
        let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
        self.write(&[head.as_bytes(), body].concat())
    }

    fn begin(&mut self) -> Option<()> {
        self.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        )?;
        self.write(&chunk(&event(&json!({"role": "assistant"}), None)))
    }

    fn pieces(&mut self, pieces: usize) -> Option<()> {
        (0..pieces).try_for_each(|number| {
            self.write(&chunk(&event(&json!({"content": format!("{number} ")}), None)))
        })
    }

    fn end(&mut self) -> Option<()> {
        self.write(&ending())
    }

    fn write(&mut self, bytes: &[u8]) -> Option<()> {
        self.writing.write_all(bytes).ok()
    }

    /// The connection will be closed by a reset.
    fn reset(&mut self) -> Option<()> {
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        nix::sys::socket::setsockopt(&self.writing, nix::sys::socket::sockopt::Linger, &at_once).unwrap();
        None
    }
}

fn chunk(data: &str) -> Vec<u8> {
    format!("{:x}\r\n{data}\r\n", data.len()).into_bytes()
}

/// Why it ended, what it used, that it is done, and the end of the body.
fn ending() -> Vec<u8> {
    let usage = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}});
    let events =
        [event(&json!({}), Some("stop")), format!("data: {usage}\n\n"), "data: [DONE]\n\n".to_owned()];
    [events.iter().flat_map(|event| chunk(event)).collect(), b"0\r\n\r\n".to_vec()].concat()
}

fn event(delta: &Value, finish: Option<&str>) -> String {
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

/// A whole answer in these words.
pub fn completion(words: &str) -> String {
    json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    })
    .to_string()
}
