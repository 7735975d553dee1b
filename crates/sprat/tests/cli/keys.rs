//! `keys`, and a gateway that asks for them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::provider::{PAID, Provider, Reply};
use crate::workspace::{Workspace, shows};

const CONFIG: &str = "[models.large]\nkind = \"remote\"\nprovider = \"openai\"\nmodel = \"gpt-5-mini\"\n";
const TASK: &str =
    "kind = \"classify\"\nlabels = [\"billing\", \"refund\", \"technical\"]\nlarge = \"large\"\n";

fn workspace() -> Workspace {
    Workspace::with(CONFIG, TASK)
}

#[test]
fn a_key_is_made_listed_shown_replaced_and_revoked() {
    let workspace = workspace();
    shows!("no keys", workspace.sprat(&["keys", "list"]));
    shows!("a key is made", workspace.sprat(&["keys", "create", "web", "--budget", "20", "--per", "total"]));
    let limited = [
        ["keys", "create", "intern", "--tasks", "tickets", "--models", "large"].as_slice(),
        &[
            "--requests-per-minute",
            "60",
            "--tokens-per-minute",
            "1000",
            "--concurrency",
            "4",
            "--expires",
            "30",
        ],
    ]
    .concat();
    let json = workspace.sprat(&[limited.as_slice(), &["--json"]].concat()).json();
    assert_eq!(json["allowance"]["tasks"], json!(["tickets"]));
    assert_eq!((json["key"].as_str().unwrap().len(), json["name"].as_str()), (70, Some("intern")));
    shows!("keys", workspace.sprat(&["keys", "list"]));
    shows!("one key", workspace.sprat(&["keys", "show", "intern"]));
    shows!("a key is replaced", workspace.sprat(&["keys", "rotate", "intern"]));
    shows!("a key is revoked", workspace.sprat(&["keys", "revoke", "intern"]));
    shows!("a key is revoked again", workspace.sprat(&["keys", "revoke", "intern"]));
    shows!("a revoked key is not replaced", workspace.sprat(&["keys", "rotate", "intern"]));
    let states = workspace.sprat(&["keys", "list", "--json"]).json();
    let states: Vec<_> = states["keys"].as_array().unwrap().iter().map(|key| key["state"].clone()).collect();
    assert_eq!(states, ["revoked", "good"]);
}

#[test]
fn what_a_key_can_t_be_is_said() {
    let workspace = workspace();
    assert_eq!(workspace.sprat(&["keys", "create", "web"]).code, 0);
    for (name, arguments) in [
        ("a name that is taken", &["create", "web"][..]),
        ("a name that is none", &["create", "../web"]),
        ("a budget of nothing", &["create", "other", "--budget", "0"]),
        ("a time without a budget", &["create", "other", "--per", "day"]),
        ("a task that isn't", &["create", "other", "--tasks", "tickts"]),
        ("a model that isn't", &["create", "other", "--models", "linear"]),
        ("no requests at all", &["create", "other", "--requests-per-minute", "0"]),
        ("a key that isn't", &["show", "wbe"]),
    ] {
        let ran = workspace.sprat(&[&["keys"], arguments].concat());
        assert_eq!(ran.code, 1, "{ran}");
        shows!(format!("keys {name}"), ran);
    }
}

#[cfg(unix)]
#[test]
fn the_secret_is_its_owner_s_alone_and_the_key_is_nowhere() {
    use std::os::unix::fs::PermissionsExt;
    let workspace = workspace();
    let key =
        workspace.sprat(&["keys", "create", "web", "--json"]).json()["key"].as_str().unwrap().to_owned();
    let secret = workspace.path(".sprat/key-secret");
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    for entry in std::fs::read_dir(workspace.path(".sprat")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let rest = &key.as_bytes()[16..];
            assert!(!bytes.windows(rest.len()).any(|window| window == rest), "{}", path.display());
        }
    }
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    shows!("a secret that others may read", workspace.sprat(&["keys", "create", "other"]));
    std::fs::remove_file(&secret).unwrap();
    shows!("a secret that is gone", workspace.sprat(&["keys", "create", "other"]));
    assert_eq!(workspace.sprat(&["keys", "revoke", "web"]).code, 0);
    assert_eq!(
        workspace.sprat(&["keys", "create", "other"]).code,
        0,
        "nothing depends on the old secret any more"
    );
}

#[test]
fn nothing_is_served_without_the_key_of_a_tasks_large_model() {
    let config = "[models.large]\nkind = \"remote\"\nprovider = \"openai\"\nmodel = \"gpt-5-mini\"\n\
                  api_key = { env = \"OPENAI_API_KEY\" }\n";
    let workspace =
        Workspace::with(config, "kind = \"classify\"\nlabels = [\"a\", \"b\"]\nlarge = \"large\"\n");
    let ran = workspace.sprat(&["serve", "--listen", "127.0.0.1:0", "--management", "127.0.0.1:0"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("the key of model `large` is missing"), "{ran}");
    assert!(ran.stderr.contains("OPENAI_API_KEY is not set") && ran.stderr.contains("sprat doctor"), "{ran}");
}

#[test]
fn an_address_that_others_reach_is_refused_without_a_key() {
    let workspace = workspace();
    let listen = ["serve", "--management", "127.0.0.1:0", "--listen", "192.0.2.1:7077"];
    shows!("serving others without a key", workspace.sprat(&listen));
    let operators = ["serve", "--listen", "127.0.0.1:0", "--management", "192.0.2.1:7078"];
    assert_eq!(workspace.sprat(&["keys", "create", "web"]).code, 0);
    shows!("serving others the management", workspace.sprat(&operators));
    let ran = workspace.run(workspace.command(&listen).env("OPENAI_API_KEY", "sk-unused"));
    // Nobody has that address (RFC 5737): with a key it is tried, and the machine refuses.
    assert!(ran.code == 2 && ran.stderr.contains("can't listen on 192.0.2.1:7077"), "{ran}");
}

/// A gateway that runs until it is killed or dropped.
struct Gateway {
    child: Child,
    address: String,
}

impl Gateway {
    fn start(workspace: &Workspace) -> Self {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--management", "127.0.0.1:0"];
        let mut child = workspace.start(&arguments);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let address = first.strip_prefix("serving http://").and_then(|rest| rest.strip_suffix("/v1"));
        let address = address.unwrap_or_else(|| panic!("{first}")).to_owned();
        Self { child, address }
    }

    /// The status and the body of what a request with this key gets.
    fn ask(&self, key: Option<&str>) -> (u16, Value) {
        let body = json!({"model": "tickets", "messages": [{"role": "user", "content": "my money, please"}]});
        let body = body.to_string();
        let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{key}content-length: {}\r\n\r\n",
            body.len()
        );
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill(); // SIGKILL
        let _ = self.child.wait();
    }
}

fn create(workspace: &Workspace, arguments: &[&str]) -> String {
    let ran = workspace.sprat(&[&["keys", "create", "web", "--json"], arguments].concat());
    ran.json()["key"].as_str().unwrap_or_else(|| panic!("{ran}")).to_owned()
}

#[test]
fn a_budget_outlives_kill_9_and_ends_with_the_ledger_equal_to_the_bill() {
    let provider = Provider::new(|_, _| Reply::Says("{\"label\": \"refund\"}"));
    let workspace = Workspace::with(&provider.config(""), TASK);
    let budget = 6_000;
    let key = create(&workspace, &["--budget", "0.006", "--per", "total"]);
    let gateway = Gateway::start(&workspace);
    assert_eq!(gateway.ask(None).0, 401);
    for _ in 0..3 {
        assert_eq!(gateway.ask(Some(&key)).0, 200);
    }
    drop(gateway);
    let shown = workspace.sprat(&["keys", "show", "web", "--json"]).json();
    assert_eq!((&shown["cost_micro_usd"], &shown["requests"]), (&json!(3 * PAID), &json!(3)));

    let gateway = Gateway::start(&workspace);
    let refused = (0..100).map(|_| gateway.ask(Some(&key))).find(|(status, _)| *status != 200).unwrap();
    assert_eq!((refused.0, &refused.1["error"]["code"]), (429, &json!("insufficient_quota")));
    drop(gateway);
    let bill = provider.asked().len() as i64 * PAID;
    let cost = workspace.sprat(&["cost", "--by-key", "--json"]).json();
    assert_eq!(cost["keys"][0]["cost_micro_usd"], bill, "{cost}");
    assert!(bill > 3 * PAID && bill <= budget, "{bill}");
    let shown = workspace.sprat(&["cost", "--by-key"]).stdout;
    assert!(shown.contains("Answers, by key") && shown.contains("web"), "{shown}");
}

#[test]
fn a_running_gateway_takes_what_is_made_and_refuses_what_is_revoked() {
    let provider = Provider::new(|_, _| Reply::Says("{\"label\": \"refund\"}"));
    let workspace = Workspace::with(&provider.config(""), TASK);
    let gateway = Gateway::start(&workspace);
    assert_eq!(gateway.ask(None).0, 200, "no keys, no question");
    let key = create(&workspace, &[]);
    // Only a gateway that never looks makes this wait so long.
    let wait_for = |key: Option<&str>, status: u16| {
        let began = Instant::now();
        while gateway.ask(key).0 != status {
            assert!(began.elapsed() < Duration::from_secs(60), "{status} never comes");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait_for(None, 401);
    assert_eq!(gateway.ask(Some(&key)).0, 200);
    assert_eq!(workspace.sprat(&["keys", "revoke", "web"]).code, 0);
    wait_for(Some(&key), 401);
    assert_eq!(gateway.ask(None).0, 401, "without a key there is still nothing");
}
