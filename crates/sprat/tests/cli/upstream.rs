//! A large model that hangs, breaks, lies or costs money.

use serde_json::json;

use crate::provider::{PAID, Provider, Reply};
use crate::workspace::{Ran, Workspace, shows};

const TASK: &str =
    "kind = \"classify\"\nlabels = [\"billing\", \"refund\", \"technical\"]\nlarge = \"large\"\n";

/// What a person is told: the exit code, the steps without how long they took, stderr.
fn told(ran: &Ran) -> String {
    let mut said = format!("exit code {}\n", ran.code);
    for line in ran.stdout.lines() {
        let mut cells: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        if cells.len() == 6 {
            cells.remove(4);
        }
        if !line.starts_with("request ") {
            said.push_str(&format!("{}\n", cells.join(" | ")));
        }
    }
    said + "--- stderr\n" + &ran.stderr
}

#[test]
fn each_trouble_of_the_large_model_is_told_and_is_no_answer() {
    type Trouble = fn() -> Reply;
    let troubles: [(&str, &str, Trouble); 9] = [
        ("hangs", "timeout_ms = 150\n", || Reply::Hang),
        ("says 429", "", || {
            Reply::Http(429, "retry-after: 3600\r\n", "{\"error\": {\"message\": \"slow down\"}}")
        }),
        ("says 500", "", || Reply::Http(500, "", "{\"error\": {\"message\": \"on fire\"}}")),
        ("says 401", "", || {
            Reply::Http(401, "", "{\"error\": {\"message\": \"Incorrect API key provided\"}}")
        }),
        ("says 404", "", || Reply::Http(404, "", "{\"error\": {\"message\": \"no such model\"}}")),
        ("shows a page", "", || {
            Reply::Http(200, "content-type: text/html\r\n", "<html>Please log in</html>")
        }),
        ("breaks off", "", || Reply::Half),
        ("answers outside the labels", "", || Reply::Says("{\"label\": \"refnud\"}")),
        ("chats", "", || Reply::Says("I would be happy to help you with that!")),
    ];
    for (name, more, reply) in troubles {
        let provider = Provider::new(move |_, _| reply());
        let workspace = Workspace::with(&provider.config(&format!("max_retries = 0\n{more}")), TASK);
        let ran = workspace.sprat(&["ask", "tickets", "where is my money?"]);
        assert_eq!(ran.code, 1, "{name}: {ran}");
        shows!(format!("a large model that {name}"), told(&ran));
        let json = workspace.sprat(&["ask", "tickets", "where is my money?", "--json"]).json();
        assert_eq!((&json["answer"], &json["answered_by"]), (&json!(null), &json!(null)), "{name}: {json}");
        let status = &workspace.sprat(&["status", "tickets", "--json"]).json()["tasks"][0];
        assert_eq!((&status["requests"], &status["failed"]), (&json!(2), &json!(2)), "{name}: {status}");
    }
}

#[test]
fn nobody_listening_is_told_with_the_address() {
    // The port of a listener that is gone.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "[models.large]\nkind = \"remote\"\nprovider = \"compatible\"\nmodel = \"m\"\nmax_retries = 0\nbase_url = \"http://{address}/v1\"\n"
    );
    let ran = Workspace::with(&config, TASK).sprat(&["ask", "tickets", "where is my money?"]);
    assert_eq!(ran.code, 1, "{ran}");
    shows!("a large model that is not there", told(&ran).replace(&address.to_string(), "[address]"));
}

#[test]
fn trouble_that_passes_is_waited_out() {
    let provider = Provider::new(|number, _| match number {
        0 => Reply::Http(429, "retry-after: 0\r\n", ""),
        1 => Reply::Http(503, "retry-after: 0\r\n", ""),
        _ => Reply::Says("{\"label\": \"refund\"}"),
    });
    let workspace = Workspace::with(&provider.config(""), TASK);
    let ran = workspace.sprat(&["ask", "tickets", "where is my money?", "--json"]);
    let json = ran.json();
    assert_eq!((ran.code, &json["answer"]), (0, &json!({"label": "refund"})), "{ran}");
    assert_eq!((provider.asked().len(), &json["cost_micro_usd"]), (3, &json!(PAID)));
}

#[test]
fn rows_that_a_sick_model_did_not_answer_stay_with_their_error() {
    let provider = Provider::new(|_, text| match text {
        "poison" => Reply::Says("{\"label\": \"refnud\"}"),
        _ => Reply::Says("{\"label\": \"refund\"}"),
    });
    let workspace = Workspace::with(&provider.config("max_retries = 0\n"), TASK);
    workspace.write("in.csv", "text\nmoney back\npoison\nmoney again\n");
    let ran = workspace.sprat(&["run", "tickets", "in.csv", "-o", "out.csv", "--json"]);
    assert_eq!((ran.code, &ran.json()["failed"], &ran.json()["rows"]), (0, &json!(1), &json!(3)), "{ran}");
    shows!("answers of a sick model", workspace.read("out.csv"));
}

/// Unlabelled messages about one of three things, and a large model that can tell them apart.
fn mails() -> (Workspace, Provider) {
    const WORDS: [&str; 3] = ["the invoice of my card", "send my money back", "the app shows an error"];
    let provider = Provider::new(|_, text| {
        Reply::Says(match text {
            _ if text.contains("card") => "{\"label\": \"billing\"}",
            _ if text.contains("money") => "{\"label\": \"refund\"}",
            _ => "{\"label\": \"technical\"}",
        })
    });
    let mail = |number: usize| {
        format!("{{\"text\": \"{} {}\", \"label\": null}}\n", WORDS[number % 3], number * 7919 % 1_000)
    };
    let workspace = Workspace::with(&provider.config(""), TASK);
    workspace.write("mails.jsonl", (0..200).map(mail).collect::<String>());
    (workspace, provider)
}

const LEARN: [&str; 5] = ["learn", "tickets", "mails.jsonl", "--teacher", "large"];

#[test]
fn labels_are_bought_up_to_the_cap_and_never_twice() {
    let (workspace, provider) = mails();
    let spent = || workspace.sprat(&["cost", "--json"]).json();
    let learn = |more: &[&str]| workspace.sprat(&[&LEARN[..], more].concat());
    shows!("labels without a cap", learn(&[]));
    assert_eq!(provider.asked().len(), 0, "nothing is bought before a cap is given");
    let ran = learn(&["--max-cost", "0.012", "--json"]);
    assert_eq!(ran.code, 0, "{ran}");
    let bought = provider.asked().len();
    assert!((20..=100).contains(&bought), "a dollar and two cents a million tokens: {bought}");
    shows!("labels up to the cap", ran.stderr);
    let json = ran.json();
    assert_eq!(json["evidence"]["rows"]["read"].as_u64(), Some(bought as u64), "{ran}");
    assert_eq!(json["evidence"]["certificate"]["guarantee"], "agreement", "{ran}");
    assert_eq!(spent()["net"]["overhead_micro_usd"].as_i64(), Some(bought as i64 * PAID));
    let ran = learn(&["--max-cost", "1.00", "--json"]);
    assert_eq!((ran.code, provider.asked().len()), (0, 200), "{ran}");
    assert_eq!(ran.json()["evidence"]["rows"]["read"], 200, "{ran}");
    shows!("the rest of the labels", ran.stderr);
    let ran = learn(&["--json"]);
    assert_eq!((ran.code, &ran.json()["unchanged"]), (0, &json!(true)), "no cap is needed: {ran}");
    assert_eq!(provider.asked().len(), 200, "the second time is free");
    let json = spent();
    assert_eq!(json["net"]["overhead_micro_usd"].as_i64(), Some(200 * PAID), "{json}");
    let labels = json["spending"].as_array().unwrap().iter().find(|line| line["on"] == "labels").unwrap();
    assert_eq!(labels["cost_micro_usd"].as_i64(), Some(200 * PAID));
}

#[test]
fn a_file_without_any_label_is_labelled_as_a_whole() {
    let (workspace, provider) = mails();
    workspace.write("mails.jsonl", workspace.read("mails.jsonl").replace(", \"label\": null", ""));
    let ran = workspace.sprat(&[&LEARN[..], &["--max-cost", "1.00"]].concat());
    assert_eq!((ran.code, provider.asked().len()), (0, 200), "{ran}");
}

#[test]
fn a_teacher_that_labels_nothing_is_told_and_nothing_is_learned() {
    let provider = Provider::new(|_, _| Reply::Http(500, "", ""));
    let workspace = Workspace::with(&provider.config("max_retries = 0\n"), TASK);
    workspace.write("mails.jsonl", "{\"text\": \"my money\", \"label\": null}\n");
    let ran = workspace.sprat(&[&LEARN[..], &["--max-cost", "1"]].concat());
    assert_eq!(ran.code, 2, "{ran}");
    shows!("a teacher that is down", ran);
    assert!(!workspace.path(".sprat/releases").exists());
}

#[test]
fn what_stands_in_the_way_of_a_teacher_is_told_before_anything_is_asked() {
    let (workspace, provider) = mails();
    let learn =
        |arguments: &[&str]| workspace.sprat(&[&["learn", "tickets", "mails.jsonl"], arguments].concat());
    shows!("a teacher that is not the large model", learn(&["--teacher", "linear"]));
    shows!("a cap that is no amount", learn(&["--teacher", "large", "--max-cost", "-1"]));
    shows!("rows without a label and no teacher", learn(&[]));
    let free = provider.config("").replace("price = { input = 1.0, output = 2.0 }\n", "");
    workspace.write("sprat.toml", free);
    shows!("a cap without a price", learn(&["--teacher", "large", "--max-cost", "1"]));
    assert_eq!(provider.asked().len(), 0);
}
