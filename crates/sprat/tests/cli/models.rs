//! `models`: pulled from a hub on loopback, listed, looked at, removed.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use serde_json::{Value, json};
use sprat_task::Sha256Hex;

use crate::workspace::{Ran, Workspace, shows};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const CONFIG: &str = "\
[models.encoder]
kind = \"encoder\"
source = \"hf:small/bert\"
[models.mine]
kind = \"encoder\"
source = \"path:mine\"
[models.large]
kind = \"remote\"
provider = \"openai\"
model = \"gpt-5-mini\"
api_key = { env = \"OPENAI_API_KEY\" }
price = { input = 0.25, output = 2.0 }
";
const TASK: &str =
    "kind = \"classify\"\nlabels = [\"a\", \"b\"]\nrungs = [\"linear\", \"encoder\"]\nlarge = \"large\"\n";

/// A model of 1,040 numbers, as its makers would lay it out.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let header = json!({
        "embeddings.word_embeddings.weight": {"dtype": "F32", "shape": [65, 16], "data_offsets": [0, 4160]},
    });
    let header = header.to_string().into_bytes();
    let weights = [&(header.len() as u64).to_le_bytes()[..], &header, &[0; 4160]].concat();
    let config = json!({
        "architectures": ["BertModel"], "model_type": "bert", "num_hidden_layers": 2, "hidden_size": 16,
        "num_attention_heads": 2, "max_position_embeddings": 64, "vocab_size": 65,
    });
    let tokenizer = json!({"model": {"type": "WordPiece", "vocab": {"[PAD]": 0, "a": 1}}});
    let modules = json!([{"type": "sentence_transformers.models.Normalize"}]);
    vec![
        ("config.json", config.to_string().into_bytes()),
        ("tokenizer.json", tokenizer.to_string().into_bytes()),
        ("modules.json", modules.to_string().into_bytes()),
        ("1_Pooling/config.json", json!({"pooling_mode_mean_tokens": true}).to_string().into_bytes()),
        ("model.safetensors", weights),
    ]
}

/// A hub that has this one model.
fn hub() -> String {
    hub_with("small/bert", files())
}

/// A hub that has one model; its thread ends with the test's process.
pub fn hub_with(model: &'static str, files: Vec<(&'static str, Vec<u8>)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            serve(stream, model, &files);
        }
    });
    url
}

/// One request and its reply.
fn serve(mut stream: TcpStream, model: &str, files: &[(&str, Vec<u8>)]) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let found = files.iter().find(|(name, _)| path == format!("/{model}/resolve/{COMMIT}/{name}"));
    let (status, body) = match found {
        Some((_, bytes)) => (200, bytes.clone()),
        None if path.starts_with(&format!("/api/models/{model}/revision/main?")) => (200, listing(files)),
        None => (404, b"{}".to_vec()),
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body].concat()).ok()
}

fn listing(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let sibling = |(name, bytes): &(&str, Vec<u8>)| {
        json!({
            "rfilename": name, "size": bytes.len(),
            "lfs": {"sha256": Sha256Hex::of(bytes).as_str(), "size": bytes.len()},
        })
    };
    let siblings: Vec<Value> = files.iter().map(sibling).collect();
    json!({"sha": COMMIT, "siblings": siblings}).to_string().into_bytes()
}

/// A workspace with a model of its own in `mine`.
fn workspace() -> Workspace {
    let workspace = Workspace::with(CONFIG, TASK);
    for (name, bytes) in files() {
        workspace.write(&format!("mine/{name}"), bytes);
    }
    workspace
}

pub fn run(workspace: &Workspace, hub: &str, arguments: &[&str]) -> Ran {
    let mut command: Command = workspace.command(&[&["models"], arguments].concat());
    workspace.run(command.env("HF_ENDPOINT", hub))
}

#[test]
fn a_model_is_pulled_listed_looked_at_and_removed() {
    let (workspace, hub) = (workspace(), hub());
    let sprat = |arguments: &[&str]| run(&workspace, &hub, arguments);
    shows!("models before", sprat(&["list"]));
    shows!("models pulled", sprat(&["pull"]));
    let pulled = sprat(&["pull", "encoder", "--offline", "--json"]).json();
    assert_eq!(pulled["models"][0]["commit"], COMMIT);
    shows!("models after", sprat(&["list"]));
    shows!("models inspect encoder", sprat(&["inspect", "encoder"]));
    let (one, other) =
        (sprat(&["inspect", "encoder", "--json"]).json(), sprat(&["inspect", "path:mine", "--json"]).json());
    assert_eq!((&one["parameters"], &one["weights"]), (&json!(1_040), &other["weights"]));
    let listed = sprat(&["list", "--json"]).json();
    assert_eq!(listed["pulled"][0]["size_bytes"], pulled["models"][0]["size_bytes"]);
    shows!("models removed", sprat(&["remove", "hf:small/bert"]));
    assert_eq!(sprat(&["list", "--json"]).json()["pulled"], json!([]));
}

#[test]
fn a_model_of_any_kind_says_what_it_is() {
    let workspace = workspace();
    for name in ["linear", "large", "mine"] {
        shows!(format!("models inspect {name}"), run(&workspace, "http://127.0.0.1:1", &["inspect", name]));
    }
    let large = run(&workspace, "http://127.0.0.1:1", &["inspect", "large", "--json"]).json();
    assert_eq!(large["price_usd_per_million_tokens"]["output"], json!(2.0));
}

#[test]
fn what_can_t_be_pulled_or_found_is_said() {
    let (workspace, hub) = (workspace(), hub());
    for (name, arguments) in [
        ("a model that the hub doesn't have", &["pull", "hf:small/brt"][..]),
        ("a model that is a folder", &["pull", "mine"]),
        ("a model without files", &["pull", "large"]),
        ("a model that isn't declared", &["pull", "encodr"]),
        ("a source that is none", &["pull", "hf:../etc"]),
        ("a model that wasn't pulled offline", &["pull", "encoder", "--offline"]),
        ("a model that wasn't pulled inspected", &["inspect", "encoder"]),
        ("a model that wasn't pulled removed", &["remove", "encoder"]),
        ("a folder removed", &["remove", "mine"]),
        ("a folder that isn't", &["inspect", "path:nowhere"]),
    ] {
        let ran = run(&workspace, &hub, arguments);
        assert_eq!(ran.code, 1, "{ran}");
        let shown = Ran { stderr: ran.stderr.replace(hub.trim_start_matches("http://"), "[hub]"), ..ran };
        shows!(format!("models {name}"), shown);
    }
    let ran = run(&workspace, "http://127.0.0.1:1", &["pull", "encoder"]);
    assert_eq!(ran.code, 2, "{ran}");
}

#[test]
fn a_model_that_was_changed_after_it_came_is_not_shown_as_what_it_was() {
    let (workspace, hub) = (workspace(), hub());
    assert_eq!(run(&workspace, &hub, &["pull", "encoder"]).code, 0);
    let weights = format!("model-cache/hf/small/bert/{COMMIT}/model.safetensors");
    let mut bytes = std::fs::read(workspace.path(&weights)).unwrap();
    *bytes.last_mut().unwrap() = 1;
    workspace.write(&weights, bytes);
    shows!("models that was changed", run(&workspace, &hub, &["inspect", "encoder"]));
}
