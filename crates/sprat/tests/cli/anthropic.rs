//! Anthropic's protocol behind the program: over real sockets, from an OpenAI client to a server that speaks it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::workspace::Workspace;

/// A request as the server saw it: its first line and headers, in lower case, and its body.
type Seen = (String, Value);

/// A server that speaks Anthropic's protocol: it calls the tool that it must, else it says "hello", in events where it
/// is asked for them. It refuses everything that lacks the key or the version.
struct Claude {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Claude {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::default());
        let shared: Arc<Mutex<Vec<Seen>>> = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = shared.clone();
                std::thread::spawn(move || serve(stream, &seen));
            }
        });
        Self { url, seen }
    }

    /// A model `claude` here, and a model `first` at an address where nobody listens, which falls back on it.
    fn config(&self) -> String {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        format!(
            "[models.claude]\nkind = \"remote\"\nprovider = \"anthropic\"\nmodel = \"claude-opus-4-6\"\nbase_url = \"{}\"\n\
             price = {{ input = 1.0, output = 2.0, cached_input = 0.1 }}\n\
             [models.first]\nkind = \"remote\"\nprovider = \"compatible\"\nmodel = \"m\"\nbase_url = \"http://{nobody}/v1\"\n\
             max_retries = 0\nfallback = [\"claude\"]\n",
            self.url
        )
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>) -> Option<()> {
    let mut requests = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (head, body) = read_request(&mut requests)?;
        let is_known = head.starts_with("post /v1/messages ")
            && head.contains("x-api-key: sk-ant-test")
            && head.contains("anthropic-version: 2023-06-01");
        seen.lock().unwrap().push((head, body.clone()));
        let reply = match (is_known, body["stream"] == true) {
            (false, _) => http(
                "401 X",
                "application/json",
                "{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"no\"}}",
            ),
            (true, true) => http("200 OK", "text/event-stream", &events()),
            (true, false) => http("200 OK", "application/json", &message(&body).to_string()),
        };
        stream.write_all(reply.as_bytes()).ok()?;
    }
}

fn http(status: &str, kind: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn message(asked: &Value) -> Value {
    let tool = &asked["tool_choice"]["name"];
    let content = if tool.is_string() {
        json!({"type": "tool_use", "id": "toolu_1", "name": tool, "input": {"label": "refund"}})
    } else {
        json!({"type": "text", "text": "hello"})
    };
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-6", "content": [content],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 100, "cache_read_input_tokens": 1_000, "output_tokens": 10}})
}

fn events() -> String {
    let start = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-6", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 100, "cache_read_input_tokens": 1_000, "output_tokens": 1}});
    let text = |text: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
    let events = [
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        text("hel"),
        text("lo"),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 10}}),
        json!({"type": "message_stop"}),
    ];
    events.map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())).concat()
}

/// What a call of 100 tokens, 1,000 from the cache and 10 of answer costs, in micro-dollars.
const COST: i64 = 100 + 100 + 20;

fn read_request(stream: &mut impl BufRead) -> Option<Seen> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.to_lowercase();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, serde_json::from_slice(&body).ok()?))
}

/// `sprat serve`, ended with the test.
struct Served {
    program: Child,
    address: String,
}

impl Served {
    fn start(workspace: &Workspace) -> Self {
        let mut command =
            workspace.command(&["serve", "--listen", "127.0.0.1:0", "--management", "127.0.0.1:0"]);
        let command = command.env("ANTHROPIC_API_KEY", "sk-ant-test").stdout(std::process::Stdio::piped());
        let mut program = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("serving http://").and_then(|rest| rest.strip_suffix("/v1"));
        let address = address.unwrap_or_else(|| panic!("it serves: {line}")).to_owned();
        Self { program, address }
    }

    /// The head and the body of the reply to a chat call.
    fn chat(&self, body: &Value) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let body = body.to_string();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n\
             authorization: Bearer the-clients-own\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn call(model: &str, stream: bool) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream})
}

const TASK: &str = "kind = \"classify\"\nlabels = [\"billing\", \"refund\"]\nlarge = \"first\"\n";

#[test]
fn an_openai_client_reaches_anthropic_whole_and_in_pieces_and_also_as_the_second_choice() {
    let claude = Claude::new();
    let workspace = Workspace::with(&claude.config(), TASK);
    let served = Served::start(&workspace);
    for model in ["claude", "first"] {
        let (head, body) = served.chat(&call(model, false));
        assert!(
            head.starts_with("http/1.1 200") && head.contains("x-sprat-answered-by: claude"),
            "{head}\n{body}"
        );
        let reply: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&reply["object"], &reply["choices"][0]["message"]["content"]),
            (&json!("chat.completion"), &json!("hello"))
        );
        assert_eq!(reply["usage"]["prompt_tokens"], 1_100);
        let (head, body) = served.chat(&call(model, true));
        assert!(head.contains("text/event-stream"), "{head}");
        let contents: Vec<&str> =
            body.matches("\"content\":\"hel\"").chain(body.matches("\"content\":\"lo\"")).collect();
        assert!(
            contents.len() == 2 && body.contains("data: [DONE]") && !body.contains("message_start"),
            "{body}"
        );
    }
    drop(served);
    let seen = claude.seen.lock().unwrap();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|(head, _)| !head.contains("the-clients-own")), "the client's key stays here");
    assert_eq!(
        seen[0].1,
        json!({"model": "claude-opus-4-6", "max_tokens": 4_096, "messages": [{"role": "user", "content": "hi"}], "stream": false})
    );
    let lines = workspace.store().ledger().latest(None, 10).unwrap();
    let costs = lines.iter().flat_map(|line| &line.steps).filter(|step| step.model.as_str() == "claude");
    assert_eq!(costs.map(|step| step.usage.cost.unwrap().micro()).sum::<i64>(), 4 * COST, "its own bill");
}

#[test]
fn a_task_falls_back_where_its_large_model_cannot_be_reached() {
    let claude = Claude::new();
    let workspace = Workspace::with(&claude.config(), TASK);
    let ran = workspace.run(
        workspace
            .command(&["ask", "tickets", "where is my money?", "--json"])
            .env("ANTHROPIC_API_KEY", "sk-ant-test"),
    );
    let said = ran.json();
    assert_eq!(
        (&said["answer"]["label"], &said["answered_by"]),
        (&json!("refund"), &json!("claude")),
        "{ran}"
    );
    let line = &workspace.store().ledger().latest(None, 1).unwrap()[0];
    let steps: Vec<_> = line.steps.iter().map(|step| (step.model.as_str(), step.outcome.word())).collect();
    assert_eq!(steps, [("first", "failed"), ("claude", "last")]);
}
