//! `init`, `config show`, `config check`: what is configured, and every way to get it wrong.

use crate::workspace::{Workspace, shows};

const TASK: &str = "kind = \"classify\"\nlabels = [\"billing\", \"refund\", \"technical\"]\n";

/// The two files of the design.
const DESIGN: [&str; 2] = [
    r#"[server]
listen = "127.0.0.1:7077"
management = "127.0.0.1:7078"
[store]
url = "sqlite:.sprat/sprat.db"                 # or postgres://...
[models.linear]
kind = "linear"                                # `linear` is built in; declare it only to change its settings
[models.encoder]
kind = "encoder"
source = "hf:sentence-transformers/all-MiniLM-L6-v2"      # or path:DIR
[models.small]
kind = "decoder"
source = "path:models/llama-3.2-1b-q4_k_m.gguf"
[models.large]
kind = "remote"
provider = "openai"                            # anthropic | compatible | replay
model = "gpt-5-mini"
api_key = { env = "OPENAI_API_KEY" }
"#,
    r#"kind = "classify"                              # classify | moderate | extract | generate | answer
labels = ["billing", "refund", "technical"]    # or labels_from = "labels.txt"; multi = true for several labels a row
out_of_scope = "other"                         # optional: the label that means none of these
instructions = "Which team should handle this ticket?"
rungs = ["linear", "encoder", "small"]         # names of models, cheapest first
large = "large"                                # optional; else last = "people" or "no-answer"
[target]
max_error = 0.05
confidence = 0.95
risk = "selective"                             # selective | joint
guarantee = "gold"                             # gold | agreement | harm
latency_p95_ms = 100
saving = 0.70
[match]
system_prompt_contains = "route the ticket"
input = "last_user_message"                    # or a pattern: "Classify: {input}"
[capture]
enabled = false
retention_days = 30
redact = ["email", "phone", "card", "iban"]
[audit]
rate = "auto"
"#,
];

#[test]
fn init_makes_a_workspace_that_is_right_and_never_overwrites_one() {
    let workspace = Workspace::empty();
    shows!("init", workspace.sprat(&["init"]));
    shows!("config check after init", workspace.sprat(&["config", "check"]));
    assert_eq!(workspace.read(".gitignore"), ".sprat/\n");
    workspace.write("tasks/tickets.toml", TASK);
    shows!("init again", workspace.sprat(&["init"]));
    assert_eq!(workspace.read("tasks/tickets.toml"), TASK);
}

#[test]
fn init_makes_a_folder_and_keeps_the_lines_of_a_gitignore() {
    let workspace = Workspace::empty();
    workspace.write("desk/.gitignore", "target");
    shows!("init a folder as json", workspace.sprat(&["init", "desk", "--json"]));
    assert_eq!(workspace.read("desk/.gitignore"), "target\n.sprat/\n");
    assert_eq!(workspace.sprat(&["config", "check", "--workspace", "desk"]).code, 0);
}

#[test]
fn the_files_of_the_design_are_right_and_every_value_says_where_it_comes_from() {
    let [config, task] = DESIGN;
    let workspace = Workspace::with(config, task);
    shows!("config check of the design", workspace.sprat(&["config", "check"]));
    shows!("config show of the design", workspace.sprat(&["config", "show"]));
}

#[test]
fn config_show_as_json_has_every_value_and_never_a_key() {
    let [config, task] = DESIGN;
    let workspace = Workspace::with(config, task);
    let mut command = workspace.command(&["config", "show", "--json"]);
    let ran = workspace.run(command.env("OPENAI_API_KEY", "sk-hidden-0123456789"));
    assert!(!ran.stdout.contains("hidden") && ran.stderr.is_empty(), "{ran}");
    let json = ran.json();
    let settings = json["files"][0]["settings"].as_array().unwrap();
    let of = |key: &str| settings.iter().find(|setting| setting["key"] == key).unwrap();
    assert_eq!(of("models.large.api_key")["value"], serde_json::json!({"env": "OPENAI_API_KEY"}));
    assert_eq!(of("models.large.api_key")["note"], "set");
    assert_eq!(
        (&of("server.listen")["file"], &of("server.listen")["line"]),
        (&"sprat.toml".into(), &2.into())
    );
    assert!(of("models.linear.epochs")["file"].is_null());
    let labels = &json["files"][1]["settings"][1];
    assert_eq!((&labels["key"], &labels["line"]), (&"labels".into(), &2.into()));
    assert_eq!(labels["value"], serde_json::json!(["billing", "refund", "technical", "other"]));
}

#[test]
fn a_workspace_is_found_from_a_folder_inside_it() {
    let workspace = Workspace::with("", TASK);
    workspace.write("rows/more/rows.csv", "");
    let mut command = workspace.command(&["config", "check"]);
    let ran = workspace.run(command.current_dir(workspace.path("rows/more")));
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "ok: [folder]/sprat.toml and 1 task\n"));
}

#[test]
fn each_fault_of_a_configuration_is_told_with_place_and_next_step() {
    let large = "[models.large]\nkind = \"remote\"\nprovider = \"openai\"\nmodel = \"gpt-5-mini\"\n";
    for (name, config, task) in [
        ("unknown key", "[server]\nlistn = \"127.0.0.1:1\"\n".to_owned(), TASK.to_owned()),
        ("unknown key of a task", String::new(), format!("{TASK}instuctions = \"x\"\n")),
        (
            "key of another kind",
            "[models.m]\nkind = \"linear\"\nmodel = \"gpt\"\n".to_owned(),
            TASK.to_owned(),
        ),
        ("wrong type", String::new(), format!("{TASK}multi = \"yes\"\n")),
        ("label twice", String::new(), "kind = \"classify\"\nlabels = [\"a\", \"b\", \"a\"]\n".to_owned()),
        ("missing model", large.to_owned(), format!("{TASK}large = \"lage\"\n")),
        ("large that is small", String::new(), format!("{TASK}rungs = [\"x\"]\nlarge = \"linear\"\n")),
        ("target out of range", String::new(), format!("{TASK}[target]\nmax_error = 5\n")),
        ("rung that is not a model", String::new(), format!("{TASK}rungs = [\"linear\", \"encoder\"]\n")),
        ("inline key", format!("{large}api_key = \"sk-hidden\"\n"), TASK.to_owned()),
        ("broken toml", "[server\n".to_owned(), TASK.to_owned()),
        ("labels file missing", String::new(), "kind = \"classify\"\nlabels_from = \"l.txt\"\n".to_owned()),
        (
            "faults of all files at once",
            "[store]\nurl = 3\n[sever]\n".to_owned(),
            "kind = \"clasify\"\nlabels = [\"a\", \"b\"]\n".to_owned(),
        ),
    ] {
        let workspace = Workspace::with(&config, &task);
        let ran = workspace.sprat(&["config", "check"]);
        assert!(ran.code == 1 && ran.stdout.is_empty() && !ran.stderr.contains("hidden"), "{ran}");
        shows!(format!("fault {name}"), ran);
    }
}

#[test]
fn a_label_twice_in_a_labels_file_is_found_in_that_file() {
    let workspace = Workspace::with("", "kind = \"classify\"\nlabels_from = \"labels.txt\"\n");
    workspace.write("tasks/labels.txt", "a\nb\n\na\n");
    let ran = workspace.sprat(&["config", "check"]);
    assert!(ran.stderr.contains("label `a` is listed twice\n  --> tasks/labels.txt:4"), "{ran}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault_and_the_others_are_still_looked_at() {
    let workspace = Workspace::with("", TASK);
    workspace.write("tasks/latin.toml", b"kind = \"classify\"\n# caf\xe9\n");
    std::fs::create_dir_all(workspace.path("tasks/folder.toml")).unwrap();
    workspace.write("tasks/two.toml", "kind = \"classify\"\nlabels = [\"a\"]\n");
    shows!("fault unreadable files", workspace.sprat(&["config", "check"]));
    shows!("fault unreadable files as json", workspace.sprat(&["config", "check", "--json"]));
}

#[test]
fn without_a_workspace_the_next_step_is_init() {
    let workspace = Workspace::empty();
    for arguments in [&["config", "check"][..], &["config", "show"], &["status"], &["cost"]] {
        let ran = workspace.sprat(arguments);
        let said = "error: there is no sprat.toml\nhint: `sprat init` makes one here; --workspace DIR names another folder\n";
        assert!(ran.code == 1 && ran.stderr.starts_with(said), "{ran}");
    }
}

#[test]
fn another_command_stops_at_the_first_fault() {
    let workspace = Workspace::with("[sever]\n", "kind = 3\n");
    shows!("fault met by another command", workspace.sprat(&["status"]));
    shows!("fault met by another command as json", workspace.sprat(&["status", "--json"]));
}
