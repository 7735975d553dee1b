//! A task that writes texts, from rows to a certificate about their quality and to answers. Its small model is one behind an
//! address, which answers from a file.

use serde_json::{Value, json};
use sprat_store::AuditCounts;

use crate::served::{Served, wait_for};
use crate::workspace::Workspace;

const CONFIG: &str = "\
[models.small]
kind = \"remote\"
provider = \"replay\"
model = \"small\"
path = \"small.jsonl\"

[models.large]
kind = \"remote\"
provider = \"replay\"
model = \"large\"
path = \"large.jsonl\"
";

const TASK: &str = "\
kind = \"generate\"
instructions = \"Say it in German.\"
rungs = [\"small\"]
large = \"large\"

[quality]
metric = \"f1\"
least = 0.6

[target]
max_error = 0.05
";

const ROWS: usize = 1_200;

/// The small model says most things in other words that are near enough, and one in fifty wrongly.
fn workspace() -> Workspace {
    let workspace = Workspace::empty();
    workspace.write("sprat.toml", CONFIG).write("tasks/german.toml", TASK);
    let text = |number: usize| format!("please say the number {number} of today");
    let right = |number: usize| format!("bitte sag die Nummer {number} von heute");
    let small = |number: usize| match number % 50 {
        7 => "ich weiss es nicht".to_owned(),
        _ => format!("sag bitte die Nummer {number} heute"),
    };
    let lines = |line: &dyn Fn(usize) -> Value| {
        (0..ROWS).map(|number| format!("{}\n", line(number))).collect::<String>()
    };
    workspace.write("rows.jsonl", lines(&|number| json!({"text": text(number), "label": right(number)})));
    let answers = |answer: &dyn Fn(usize) -> String| {
        lines(&|number| {
            json!({"text": text(number), "answer": answer(number), "input_tokens": 20, "output_tokens": 8,
                "cost_micro_usd": 0, "provenance": "authored"})
        })
    };
    workspace.write("small.jsonl", answers(&small));
    workspace.write("large.jsonl", answers(&right).replace("\"cost_micro_usd\":0", "\"cost_micro_usd\":100"));
    workspace
}

#[test]
fn a_task_that_writes_texts_is_certified_for_their_quality_and_answers_everywhere() {
    let workspace = workspace();
    let ran = workspace.sprat(&["learn", "german", "rows.jsonl", "--json"]);
    assert_eq!(ran.code, 0, "{ran}");
    let evidence = &ran.json()["evidence"];
    assert_eq!(evidence["certificate"]["status"], "certified", "{}", evidence["certificate"]);
    let shown = workspace.sprat(&["status", "german"]);
    let promise =
        "of the texts it writes, at most 5% stay below f1 0.6 beside the right text, with 95% confidence";
    assert!(shown.stdout.split_whitespace().collect::<Vec<_>>().join(" ").contains(promise), "{shown}");

    let text = "please say the number 3 of today";
    let asked = workspace.sprat(&["ask", "german", text, "--json"]).json();
    assert_eq!(
        (&asked["answered_by"], &asked["answer"]["text"]),
        (&json!("small"), &json!("sag bitte die Nummer 3 heute")),
        "{asked}"
    );
    let evaluated = workspace.sprat(&["eval", "german", "rows.jsonl", "--json"]).json();
    let accuracy = evaluated["accuracy"].as_f64().unwrap();
    assert!((accuracy - 0.98).abs() < 0.005, "near enough counts: {accuracy}");
    assert_eq!(workspace.sprat(&["run", "german", "rows.jsonl", "--output", "out.jsonl"]).code, 0);
    let out = workspace.lines("out.jsonl");
    assert_eq!((out.len(), &out[3]["answer"]), (ROWS, &json!("sag bitte die Nummer 3 heute")), "{}", out[3]);

    let served = Served::start(&workspace);
    let body = json!({"model": "german", "messages": [{"role": "user", "content": text}]}).to_string();
    let reply = Served::send(served.clients, "POST /v1/chat/completions", &body);
    assert!(
        reply.contains("x-sprat-answered-by: small") && reply.contains("sag bitte die Nummer 3 heute"),
        "{reply}"
    );

    // No release holds the words that rows and models said.
    let release = std::fs::read_to_string(workspace.path(".sprat/releases/german/1/release.json")).unwrap();
    assert!(!release.contains("bitte"), "{release}");
}

#[test]
fn a_near_enough_text_counts_as_right_when_small_answers_are_checked() {
    let workspace = workspace();
    // Where each were checked, each would cost as much as the large model.
    workspace.write("tasks/german.toml", format!("{TASK}\n[audit]\nrate = 0.9\n"));
    assert_eq!(workspace.sprat(&["learn", "german", "rows.jsonl"]).code, 0);
    let served = Served::start(&workspace);
    let release = sprat_task::ReleaseId { task: "german".into(), version: 1 };
    let ask = |number: usize| {
        for _ in 0..20 {
            let text = format!("please say the number {number} of today");
            let body =
                json!({"model": "german", "messages": [{"role": "user", "content": text}]}).to_string();
            let reply = Served::send(served.clients, "POST /v1/chat/completions", &body);
            assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        }
    };
    let once = |settled: &dyn Fn(&AuditCounts) -> bool| {
        wait_for("the audits", || {
            let counts = workspace.store().audits().counts(&release, i64::MIN).unwrap();
            (counts.answered == counts.drawn && settled(&counts)).then_some(counts)
        })
    };
    ask(3);
    assert_eq!(once(&|counts| counts.drawn > 9).differing, 0, "near enough");
    ask(7);
    // Of forty, chance leaves more than half to be checked.
    let counts = once(&|counts| counts.drawn > 20 && counts.differing > 0);
    assert!(counts.differing <= 20, "something else differs, and nothing else does: {counts:?}");
}

#[test]
fn a_task_without_a_quality_is_not_learned_and_is_told_what_lacks() {
    let workspace = workspace();
    workspace.write("tasks/german.toml", "kind = \"generate\"\nrungs = [\"small\"]\nlarge = \"large\"\n");
    let ran = workspace.sprat(&["learn", "german", "rows.jsonl"]);
    assert!(ran.code == 1 && ran.stderr.contains("add [quality]"), "{ran}");
    workspace.write("tasks/german.toml", "kind = \"generate\"\n[quality]\nmetric = \"exact\"\n");
    let ran = workspace.sprat(&["learn", "german", "rows.jsonl"]);
    assert!(ran.code == 1 && ran.stderr.contains("kind = \"decoder\""), "{ran}");
}
