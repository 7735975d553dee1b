//! Texts whose quality no measure says: a model grades them, or a command tests them. The judge is a provider that keeps its own
//! bill; the small and the large model answer from files.

use serde_json::{Value, json};

use crate::provider::{Gate, PAID, Provider, Reply};
use crate::served::{Served, wait_for};
use crate::workspace::{Ran, Workspace};

const MODELS: &str = "\
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

[target]
max_error = 0.1

[quality]
";

const JUDGED: &str = "metric = \"judge\"\nmodel = \"referee\"\nleast = 0.75\n";
const TESTED: &str = "metric = \"tests\"\ncommand = [\"sh\", \"check.sh\"]\n";

const ROWS: usize = 600;

fn text(number: usize) -> String {
    format!("please say the number {number} of today")
}

fn right(number: usize) -> String {
    format!("bitte sag die Nummer {number} von heute")
}

/// The small model says most things as they are right, one in four in other words, and one in fifty wrongly.
fn small(number: usize) -> String {
    match number {
        _ if number % 50 == 7 => format!("Nummer {number}? ich weiss es nicht"),
        _ if number.is_multiple_of(4) => format!("nenne mir heute Nummer {number}"),
        _ => right(number),
    }
}

/// The rows from one number to another.
fn rows(numbers: std::ops::Range<usize>) -> String {
    lines(numbers, &|number| json!({"text": text(number), "label": right(number)}))
}

fn lines(numbers: std::ops::Range<usize>, line: &dyn Fn(usize) -> Value) -> String {
    numbers.map(|number| format!("{}\n", line(number))).collect()
}

fn workspace(models: &str, quality: &str) -> Workspace {
    let workspace = Workspace::empty();
    workspace.write("sprat.toml", format!("{MODELS}{models}"));
    workspace.write("tasks/german.toml", format!("{TASK}{quality}"));
    workspace.write("rows.jsonl", rows(0..ROWS)).write("more.jsonl", rows(ROWS..3 * ROWS));
    let answers = |cost: u64, answer: &dyn Fn(usize) -> String| {
        lines(0..3 * ROWS, &|number| {
            json!({"text": text(number), "answer": answer(number), "input_tokens": 20, "output_tokens": 8,
                "cost_micro_usd": cost, "provenance": "authored"})
        })
    };
    workspace.write("small.jsonl", answers(0, &small));
    workspace.write("large.jsonl", answers(100, &|number| format!("die Nummer {number} von heute, bitte")));
    workspace
}

/// The provider as the model `referee`.
fn referee(provider: &Provider, more: &str) -> String {
    provider.config(more).replace("[models.large]", "[models.referee]")
}

/// What a judge is asked about, as it gets it.
fn pair(asked: &str) -> Value {
    let pair: Value = serde_json::from_str(asked).expect("a pair is JSON");
    assert_ne!(pair["said"], pair["right"], "the same text is good without asking");
    pair
}

/// A judge that knows its German.
fn grade(asked: &str) -> Reply {
    match pair(asked)["said"].as_str().unwrap() {
        said if said.contains("weiss") => Reply::Says("{\"label\": \"1\"}"),
        _ => Reply::Says("{\"label\": \"4\"}"),
    }
}

/// What the ledger says of judgements: how many, what they cost, how many of unknown cost.
fn judgements(workspace: &Workspace) -> (usize, i64, u64) {
    let cost = workspace.sprat(&["cost", "--json"]).json();
    let line = cost["spending"].as_array().unwrap().iter().find(|line| line["on"] == "judgements").unwrap();
    let number = |key: &str| line[key].as_u64().unwrap();
    (number("requests") as usize, number("cost_micro_usd") as i64, number("cost_unknown"))
}

fn learn(workspace: &Workspace, more: &[&str]) -> Ran {
    workspace.sprat(&[&["learn", "german", "rows.jsonl", "--json"], more].concat())
}

#[test]
fn a_judge_says_which_texts_are_good_and_is_paid_for_each_of_them_once() {
    let provider = Provider::new(|_, asked| grade(asked));
    let workspace = workspace(&referee(&provider, ""), JUDGED);
    let is_paid = || {
        let bill = provider.asked();
        let distinct: std::collections::BTreeSet<&String> = bill.iter().collect();
        assert_eq!(distinct.len(), bill.len(), "nothing is asked twice");
        assert_eq!(judgements(&workspace), (bill.len(), bill.len() as i64 * PAID, 0));
        bill.len()
    };

    let ran = learn(&workspace, &[]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stderr.contains("referee judges texts"), "what it may cost is said first: {ran}");
    let certificate = &ran.json()["evidence"]["certificate"];
    assert_eq!(certificate["status"], "certified", "{certificate}");
    let differing = (0..ROWS).filter(|number| small(*number) != right(*number)).count();
    assert_eq!(is_paid(), differing, "one call for each text that differs");
    let shown = workspace.sprat(&["status", "german"]);
    let promise =
        "of the texts it writes, at most 10% get less than 0.75 from the judge referee beside the right text";
    assert!(shown.stdout.split_whitespace().collect::<Vec<_>>().join(" ").contains(promise), "{shown}");

    // Learning again, and measuring, asks nothing that is known.
    let ran = learn(&workspace, &["--seed", "2"]);
    assert_eq!((ran.code, &ran.json()["unchanged"]), (0, &json!(false)), "{ran}");
    let evaluated = workspace.sprat(&["eval", "german", "rows.jsonl", "--json"]);
    let accuracy = evaluated.json()["accuracy"].as_f64().unwrap();
    assert!((accuracy - 0.98).abs() < 0.005, "{accuracy}: {evaluated}");
    assert_eq!(is_paid(), differing);

    let ran = workspace.sprat(&["certify", "german", "more.jsonl", "--json"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(is_paid() > differing, "new rows are judged");

    let store = std::fs::read(workspace.path(".sprat/sprat.db")).unwrap();
    let holds = |words: &str| store.windows(words.len()).any(|bytes| bytes == words.as_bytes());
    assert!(holds("referee") && !holds("weiss es nicht"), "verdicts are kept without their texts");
}

#[test]
fn another_judge_or_another_question_is_another_promise() {
    let provider = Provider::new(|_, asked| grade(asked));
    let workspace = workspace(&referee(&provider, ""), JUDGED);
    assert_eq!(learn(&workspace, &[]).code, 0);
    let by = |name: &str| {
        let asked = workspace.sprat(&["ask", "german", &text(1), "--json"]);
        assert_eq!(asked.json()["answered_by"], name, "{asked}");
        asked.stderr
    };
    assert!(!by("small").contains("stale"));
    let config = workspace.read("sprat.toml");
    workspace.write("sprat.toml", config.replace("model = \"m\"", "model = \"n\""));
    assert!(by("large").contains("the judge of its texts, or its settings in sprat.toml, has changed"));
    workspace.write("sprat.toml", config);
    assert!(!by("small").contains("stale"));
    workspace.write("tasks/german.toml", format!("{TASK}{JUDGED}question = \"Is it polite?\"\n"));
    assert!(by("large").contains("what counts as a good text"));
}

#[test]
fn an_audited_text_is_judged_after_it_has_gone_out() {
    let (gate, in_front) = (Gate::default(), Gate::default());
    let waiting = (gate.clone(), in_front.clone());
    let provider = Provider::new(move |_, asked| {
        // Beside the right texts of the rows it judges at once; beside the large model's when the test lets it.
        if pair(asked)["right"].as_str().unwrap().starts_with("die ") {
            waiting.1.open();
            waiting.0.pass();
        }
        grade(asked)
    });
    let workspace = workspace(&referee(&provider, ""), &format!("{JUDGED}\n[audit]\nrate = 0.9\n"));
    assert_eq!(learn(&workspace, &[]).code, 0);
    let learned = provider.asked().len();
    let served = Served::start(&workspace);
    let ask = |number: usize| {
        let body =
            json!({"model": "german", "messages": [{"role": "user", "content": text(number)}]}).to_string();
        let reply = Served::send(served.clients, "POST /v1/chat/completions", &body);
        assert!(reply.contains("x-sprat-answered-by: small") && reply.contains(&small(number)), "{reply}");
    };
    // All of these replies come while nobody judges anything.
    (0..20).for_each(|_| ask(4));
    in_front.pass();
    gate.open();
    (0..20).for_each(|_| ask(7));
    let release = sprat_task::ReleaseId { task: "german".into(), version: 1 };
    let counts = wait_for("the audits", || {
        let counts = workspace.store().audits().counts(&release, i64::MIN).unwrap();
        // Of forty, chance leaves more than half to be checked.
        (counts.drawn > 20 && counts.answered == counts.drawn && counts.differing > 0).then_some(counts)
    });
    assert!(counts.differing <= 20, "the wrong text differs, and the other doesn't: {counts:?}");
    drop(served);
    let bill = provider.asked().len();
    assert_eq!(bill - learned, 2, "two texts, however often they were checked");
    assert_eq!(judgements(&workspace), (bill, bill as i64 * PAID, 0));
    let store = workspace.store();
    let judged = store.ledger().latest(None, 1_000).unwrap();
    let judged = judged.iter().filter(|entry| entry.source == sprat_store::Source::Judge);
    let of_requests = judged.filter(|entry| entry.release.as_ref() == Some(&release));
    let requests: Vec<_> = of_requests.map(|entry| store.ledger().request(&entry.request).unwrap()).collect();
    assert_eq!(requests.len(), 2);
    assert!(
        requests.iter().all(|lines| lines.len() == 3),
        "an answer, its audit, its judgement: {requests:?}"
    );
}

#[test]
fn what_a_judge_can_t_tell_counts_as_bad() {
    let provider = Provider::new(|_, asked| {
        let said = pair(asked)["said"].as_str().unwrap().to_owned();
        let number: usize =
            said.split_whitespace().find_map(|word| word.trim_matches('?').parse().ok()).unwrap();
        match number {
            8 => Reply::Hang,
            16 => Reply::Http(403, "", "{\"error\": {\"message\": \"content policy\"}}"),
            _ if number.is_multiple_of(3) => Reply::Says("I would rather not say."),
            _ => grade(asked),
        }
    });
    let sick = "max_retries = 0\ntimeout_ms = 4000\n";
    let workspace = workspace(&referee(&provider, sick), JUDGED);
    let ran = learn(&workspace, &[]);
    assert_eq!(ran.code, 0, "{ran}");
    let evidence = &ran.json()["evidence"];
    assert_ne!(evidence["certificate"]["status"], "certified", "{}", evidence["certificate"]);
    let differing: Vec<usize> = (0..ROWS).filter(|number| small(*number) != right(*number)).collect();
    let unclear =
        differing.iter().filter(|number| number.is_multiple_of(3) || [8, 16].contains(*number)).count();
    let told = format!("{unclear} of {} judged texts could not be judged", differing.len());
    let notices = evidence["notices"].to_string();
    assert!(notices.contains(&told) && !notices.contains("Nummer"), "{notices}");
    // Who hung may have been at work: nobody knows what that cost. A refusal costs nothing.
    let bill = provider.asked().len();
    assert_eq!(judgements(&workspace), (bill, (bill as i64 - 2) * PAID, 1));
}

#[test]
fn a_judge_that_is_out_of_order_ends_the_learning_before_a_look_is_spent() {
    let provider = Provider::new(|_, _| Reply::Http(500, "", "{\"error\": {\"message\": \"on fire\"}}"));
    let workspace = workspace(&referee(&provider, "max_retries = 0\n"), JUDGED);
    let ran = learn(&workspace, &[]);
    assert!(ran.code == 2 && ran.to_string().contains("no text could be judged"), "{ran}");
    assert!(!workspace.path(".sprat/releases/german/1").exists());
    assert_eq!(judgements(&workspace).1, 0);
}

#[test]
fn a_cap_holds_for_the_judge_too() {
    let provider = Provider::new(|_, asked| grade(asked));
    let workspace = workspace(&referee(&provider, ""), JUDGED);
    let ran = learn(&workspace, &["--max-cost", "0.01"]);
    assert_eq!(ran.code, 0, "{ran}");
    let (_, cost, _) = judgements(&workspace);
    assert!(cost > 0 && cost <= 10_000, "{cost}");
    assert_eq!(provider.asked().len() as i64 * PAID, cost);
    let notices = ran.json()["evidence"]["notices"].to_string();
    assert!(notices.contains("the cap on spending is reached"), "{notices}");
}

#[test]
fn a_judge_that_is_no_remote_model_is_told_at_its_place() {
    let provider = Provider::new(|_, asked| grade(asked));
    let models = referee(&provider, "");
    for (quality, models, said) in [
        (JUDGED.replace("referee", "refere"), models.clone(), "did you mean `referee`?"),
        (
            JUDGED.replace("referee", "tiny"),
            format!("{models}\n[models.tiny]\nkind = \"decoder\"\nsource = \"path:tiny.gguf\"\n"),
            "`tiny` is a model of kind \"decoder\", and can't judge",
        ),
    ] {
        let ran = workspace(&models, &quality).sprat(&["learn", "german", "rows.jsonl"]);
        assert!(ran.code == 1 && ran.stderr.contains(said), "{ran}");
        assert!(ran.stderr.contains("tasks/german.toml:11:9"), "{ran}");
    }
}

/// Finds bad what says that it doesn't know, and counts its runs beside the tasks.
const CHECK: &str = "\
echo run >> \"$(dirname \"$0\")/../runs\"
read -r line
case \"$line\" in
*weiss*) exit 1 ;;
*) exit 0 ;;
esac
";

#[test]
fn a_command_tests_which_texts_are_good_and_no_text_twice() {
    let workspace = workspace("", TESTED);
    workspace.write("tasks/check.sh", CHECK);
    let runs = || workspace.read("runs").lines().count();
    let ran = learn(&workspace, &[]);
    assert_eq!(ran.code, 0, "{ran}");
    let certificate = &ran.json()["evidence"]["certificate"];
    assert_eq!(certificate["status"], "certified", "{certificate}");
    let differing = (0..ROWS).filter(|number| small(*number) != right(*number)).count();
    const TRIED: usize = 3;
    assert_eq!(runs(), differing + TRIED, "one run for each text that differs, and the trial");
    let shown = workspace.sprat(&["status", "german"]).stdout;
    let promise = "at most 10% fail `sh check.sh` beside the right text";
    assert!(shown.split_whitespace().collect::<Vec<_>>().join(" ").contains(promise), "{shown}");
    assert_eq!(judgements(&workspace), (0, 0, 0), "a command costs nothing");

    assert_eq!(learn(&workspace, &["--seed", "2"]).code, 0);
    assert_eq!(workspace.sprat(&["eval", "german", "rows.jsonl"]).code, 0);
    assert_eq!(runs(), differing + TRIED, "what was tested is remembered");

    let by = || workspace.sprat(&["ask", "german", &text(1), "--json"]).json()["answered_by"].clone();
    assert_eq!(by(), "small");
    workspace.write("tasks/check.sh", format!("{CHECK}# another test\n"));
    assert_eq!(by(), "large", "other tests are another promise");
    assert_eq!(learn(&workspace, &[]).code, 0);
    assert_eq!(runs(), 2 * (differing + TRIED), "and judge anew");
}

#[test]
fn a_pipe_that_a_command_names_is_not_read_when_the_task_is() {
    let workspace = workspace("", "metric = \"tests\"\ncommand = [\"sh\", \"check.sh\", \"pipe\"]\n");
    workspace.write("tasks/check.sh", CHECK);
    let made = std::process::Command::new("mkfifo").arg(workspace.path("tasks/pipe")).status().unwrap();
    assert!(made.success());
    // Nobody writes into it: whoever read it would wait for ever.
    let ran = workspace.sprat(&["config", "check"]);
    assert_eq!(ran.code, 0, "{ran}");
}

#[test]
fn a_command_that_breaks_down_finds_nothing_good() {
    let workspace = workspace("", TESTED);
    let crashes = CHECK.replace("*) exit 0", "*nenne*) kill -9 $$ ;;\n*) exit 0");
    workspace.write("tasks/check.sh", crashes);
    let ran = learn(&workspace, &[]);
    assert_eq!(ran.code, 0, "{ran}");
    let evidence = &ran.json()["evidence"];
    assert_ne!(evidence["certificate"]["status"], "certified", "{}", evidence["certificate"]);
    let notices = evidence["notices"].to_string();
    assert!(notices.contains("`sh` was killed"), "{notices}");
}

#[test]
fn a_command_that_can_judge_nothing_is_told_before_anything_is_learned() {
    for (command, check, said) in [
        (
            "[\"no-such-program\", \"check.sh\"]",
            CHECK,
            "`no-such-program` can't be started: there is no such program",
        ),
        ("[\"check.sh\"]", CHECK, "`check.sh` can't be started: the file is not executable"),
        ("[\"sh\", \"check.sh\"]", "exit 1", "`sh check.sh` finds none of 3 right texts good"),
        ("[\"sh\", \"check.sh\"]", "exit 3", "`sh` ended with exit code 3"),
    ] {
        let workspace = workspace("", &format!("metric = \"tests\"\ncommand = {command}\n"));
        workspace.write("tasks/check.sh", check);
        let ran = workspace.sprat(&["learn", "german", "rows.jsonl"]);
        assert!(ran.code == 1 && ran.stderr.contains(said), "{ran}");
        assert!(ran.stderr.contains("tasks/german.toml:11:11"), "{ran}");
        let doctor = workspace.sprat(&["doctor"]).stdout;
        let doctor = doctor.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(doctor.contains(said), said.contains("can't be started"), "{doctor}");
    }
}
