//! The dashboard, asked through its routes: every page with nothing and with something to show, labels, and who may not.

mod task;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use sprat_cascade::{Deployed, Deployment};
use sprat_gateway::management;
use sprat_store::{Ending, Feedback, LedgerEntry, NewReview, Reason, Source, Thumb};
use sprat_task::release::{Origin, RungRecord};
use sprat_task::{
    Answer, Artifact, Confidence, ModelError, Money, Outcome, Provenance, Release, ReleaseId, Sha256Hex,
    Step, Usage,
};
use tower::ServiceExt;

use crate::fakes::{Got, World, serving_of};

const HOST: &str = "127.0.0.1:7078";
const HOSTILE: &str = "<script>alert(1)</script> \"'& <img src=x onerror=alert(1)>";

async fn send(world: &World, request: Request<Body>) -> Got {
    let reply = management(world.gateway.clone()).oneshot(request).await.unwrap();
    let (parts, body) = reply.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Got { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

pub async fn look(world: &World, path: &str) -> Got {
    send(world, Request::get(path).header("host", HOST).body(Body::empty()).unwrap()).await
}

pub async fn post(world: &World, path: &str, headers: &[(&str, &str)], form: &str) -> Got {
    let mut request = Request::builder().method(Method::POST).uri(path).header("host", HOST);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    send(world, request.body(Body::from(form.to_owned())).unwrap()).await
}

pub const OURS: [(&str, &str); 2] = [("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:7078")];

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis() as i64
}

fn step(model: &str, outcome: Outcome, cost: Option<i64>) -> Step {
    let usage = Usage { tokens: None, cost: cost.map(Money::from_micro) };
    Step { model: model.into(), usage, latency_us: 38, outcome }
}

/// A request that the linear model answered.
fn small(request: &str) -> LedgerEntry {
    LedgerEntry {
        request: request.into(),
        task: "tickets".into(),
        release: Some(ReleaseId { task: "tickets".into(), version: 3 }),
        time_unix_ms: now(),
        source: Source::Serve,
        ending: Ending::Small,
        answered_by: Some("linear".into()),
        steps: vec![step("linear", Outcome::Accepted(Confidence::new(0.97)), Some(0))],
        cost: Some(Money::ZERO),
        baseline_all_large: Some(Money::from_micro(2_000_000)),
        baseline_is_estimated: true,
        provenance: Provenance::Authored,
        latency_us: 44,
        key: None,
        held: None,
    }
}

/// One that went on to the large model, for a dollar, or for nobody knows how much.
fn large(request: &str, cost: Option<i64>) -> LedgerEntry {
    let failed = step("encoder", Outcome::Failed(ModelError::Failed(HOSTILE.into())), Some(0));
    LedgerEntry {
        ending: Ending::Large,
        answered_by: Some("large".into()),
        steps: vec![
            step("linear", Outcome::Deferred(Confidence::new(0.5)), Some(0)),
            failed,
            step("large", Outcome::Last, cost),
        ],
        cost: cost.map(Money::from_micro),
        baseline_all_large: cost.map(Money::from_micro),
        baseline_is_estimated: false,
        ..small(request)
    }
}

fn release(world: &World) -> Release {
    let serving = world.gateway.current().deployed().tasks["tickets"].clone();
    let artifact =
        Artifact { file: "calibrator.json".into(), sha256: Sha256Hex::of(b"calibrator"), bytes: 1 };
    Release {
        id: ReleaseId { task: "tickets".into(), version: 3 },
        created_unix_ms: 1,
        rungs: vec![RungRecord {
            model: "linear".into(),
            kind: "linear".into(),
            weights: None,
            calibrator: artifact,
            threshold: Some(0.9),
            scorer_version: 1,
        }],
        certificate: serving.live.certificate.clone().unwrap(),
        other_certificates: Vec::new(),
        origin: Origin::default(),
        evidence: serde_json::json!({
            "savings": {"requests": 1_000, "cheapest_single": ["linear", 0], "share": 0.7, "prices": "2026-11-20",
                "provenance": "authored"},
        }),
    }
}

/// A world in which something has happened.
fn filled() -> World {
    fill(World::new())
}

fn fill(world: World) -> World {
    let release = release(&world);
    world.store.registry().add(&release).unwrap();
    world.store.registry().promote(&release.id, "the first certified one", 5).unwrap();
    for entry in [small("req-small"), large("req-large", Some(1_000_000)), large("req-unknown", None)] {
        world.store.ledger().append(&entry).unwrap();
    }
    world
}

fn row(text: &str, priority: f64) -> NewReview {
    NewReview {
        task: "tickets".into(),
        text: text.to_owned(),
        small: Some(Answer::label("refund")),
        large: Some(Answer::label("delivery")),
        confidence: Some(Confidence::new(0.61)),
        reason: Reason::Disagreement,
        propensity: 1.0,
        priority,
        request: Some("req-small".into()),
    }
}

/// Adds rows to the queue and gives their numbers.
fn queue(world: &World, texts: &[&str]) -> Vec<i64> {
    let rows = texts.iter().rev().enumerate().map(|(at, text)| row(text, at as f64)).collect();
    world.store.review().add(rows, 5).unwrap();
    world.store.review().next(&"tickets".into(), 99).unwrap().iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn every_page_is_whole_with_nothing_to_show_and_teaches_what_to_do() {
    let world = World::new();
    for (path, says) in [
        ("/", "Nothing has been served yet"),
        ("/?span=7d", "curl http://127.0.0.1:7077/v1/chat/completions"),
        ("/?span=1000y", "{\"model\": \"tickets\""),
        ("/tasks/tickets", "Of the answers it gives, at most 5% are wrong"),
        ("/requests", "Requests appear here as they are answered"),
        ("/requests?task=nobody&ending=failed", "No request fits"),
        ("/review", "0 waiting, 0 labelled"),
        ("/review/tickets", "Nothing waits for a label"),
        ("/parts/requests?seen=other", "Nothing has been served yet"),
    ] {
        let got = look(&world, path).await;
        assert_eq!(got.status, StatusCode::OK, "{path}: {}", got.text);
        assert!(got.text.contains(says), "{path}: {}", got.text);
    }
}

#[tokio::test]
async fn before_anything_is_served_the_overview_has_no_empty_figures() {
    let world = World::new();
    let page = look(&world, "/").await.text;
    assert!(page.contains("href=\"/tasks/tickets\""), "{page}");
    for empty in ["Nothing to compare", "class=\"figures\"", "class=\"charts\"", "Where the money went"] {
        assert!(!page.contains(empty), "{empty}: {page}");
    }
    let bought = LedgerEntry { source: Source::Teacher, ..large("bought", Some(7)) };
    world.store.ledger().append(&bought).unwrap();
    let page = look(&world, "/").await.text;
    assert!(page.contains("Nothing has been served yet") && page.contains("Where the money went"), "{page}");
    world.gateway.current().exchange(2, Deployed::default());
    let page = look(&world, "/").await.text;
    assert!(
        page.contains("There is no task in this workspace") && !page.contains("<h2 id=\"tasks"),
        "{page}"
    );
}

#[tokio::test]
async fn where_there_are_no_labels_to_give_nobody_is_asked_for_any() {
    let fields = "kind = \"generate\"\nlarge = \"large\"\n";
    let world = World::new();
    queue(&world, &["one"]);
    let serving = serving_of(fields, &world.small, &world.large);
    let deployed = Deployed { tasks: vec![Deployment::of(serving)], ..Deployed::default() };
    world.gateway.current().exchange(2, deployed);
    let page = look(&world, "/review").await.text;
    assert!(page.contains("No task has labels to give") && !page.contains("/review/tickets"), "{page}");
    let page = look(&world, "/review/tickets").await.text;
    assert!(page.contains("There is nothing to label"), "{page}");
    assert!(page.contains("sprat certify tickets ROWS") && !page.contains("Which label"), "{page}");
}

#[tokio::test]
async fn several_labels_are_said_as_a_reader_would() {
    let world = World::new();
    let rows = [("both", &["refund", "delivery"][..]), ("neither", &[])].map(|(text, labels)| NewReview {
        small: Some(Answer::labels(labels.iter().map(|label| (*label).into()).collect::<Vec<_>>())),
        ..row(text, 1.0)
    });
    world.store.review().add(rows.into(), 5).unwrap();
    for row in world.store.review().next(&"tickets".into(), 9).unwrap() {
        let page = look(&world, &format!("/review/tickets?row={}", row.id)).await.text;
        let says =
            if row.row.text == "both" { "<bdi>delivery, refund</bdi>" } else { "<bdi>none of them</bdi>" };
        assert!(page.contains(says), "{says}: {page}");
    }
}

#[tokio::test]
async fn a_page_loads_nothing_from_elsewhere_and_runs_nothing_inline() {
    let world = filled();
    queue(&world, &["one"]);
    for path in [
        "/",
        "/tasks/tickets",
        "/requests",
        "/requests/req-large",
        "/review",
        "/review/tickets",
        "/nothing/x",
    ] {
        let got = look(&world, path).await;
        if got.status == StatusCode::OK {
            let policy = got.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
            assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(got.header("referrer-policy"), Some("same-origin"));
            assert_eq!(got.header("cache-control"), Some("no-store"));
        }
        for tag in got.text.split('<').filter(|tag| tag.starts_with("script")) {
            assert!(tag.starts_with("script src=\"/assets/"), "{path}: {tag}");
        }
        assert!(!got.text.contains("style=") && !got.text.contains("<style"), "{path}");
        assert!(!got.text.contains("https://"), "{path}");
    }
}

#[tokio::test]
async fn a_file_s_name_changes_with_its_content_so_that_it_is_kept_for_ever() {
    let world = World::new();
    let page = look(&world, "/").await.text;
    let mut found = 0;
    for part in page.split("\"/assets/").skip(1) {
        let name = part.split('"').next().unwrap();
        let got = look(&world, &format!("/assets/{name}")).await;
        assert_eq!(got.status, StatusCode::OK, "{name}");
        assert_eq!(got.header("cache-control"), Some("public, max-age=31536000, immutable"));
        found += 1;
    }
    assert!(found >= 7, "{found}");
    assert_eq!(look(&world, "/assets/dashboard.css").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_overview_says_what_was_saved_where_the_prices_come_from_and_what_nobody_knows() {
    let world = filled();
    let page = look(&world, "/").await.text;
    for says in [
        "$2.00 saved",
        "66.7%",
        "<span class=\"tag\">authored</span>",
        "were written by hand",
        "1 request of unknown cost left out",
        "$1.00 + 1 unknown",
        "1 of 3 requests",
        "href=\"/tasks/tickets\"",
    ] {
        assert!(page.contains(says), "{says}: {page}");
    }
    assert!(!page.contains("Nothing has been served yet"));
}

#[tokio::test]
async fn requests_that_could_not_be_recorded_are_told() {
    let world = World::new();
    assert!(!look(&world, "/").await.text.contains("could not be recorded"));
    drop(world);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("s.db").display());
    let options = sprat_store::Options { spool_limit_bytes: 0, ..Default::default() };
    let store = sprat_store::Store::open_with(&url, &options).unwrap();
    assert!(store.ledger().append(&small("lost")).is_err());
    let gateway = std::sync::Arc::new(sprat_gateway::Gateway::new(Default::default(), store));
    let request = Request::get("/").header("host", HOST).body(Body::empty()).unwrap();
    let reply = management(gateway).oneshot(request).await.unwrap();
    let page = to_bytes(reply.into_body(), usize::MAX).await.unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(page.contains("1 request could not be recorded and is in none of these numbers"), "{page}");
}

#[tokio::test]
async fn a_request_tells_its_steps_and_why_each_was_not_the_last() {
    let world = filled();
    let thumb = Some(Thumb::Down);
    let label = Some(Answer::label(HOSTILE));
    let feedback = Feedback { request: "req-large".into(), thumb, label, by: None, time_unix_ms: 7 };
    world.store.feedback().add(&feedback).unwrap();
    let audit = LedgerEntry { source: Source::Audit, ..large("req-small", Some(3)) };
    world.store.ledger().append(&audit).unwrap();
    for (path, says) in [
        ("/parts/requests/req-small", "Its confidence 0.9700 exceeds its threshold 0.9000."),
        ("/parts/requests/req-large", "Its confidence 0.5000 does not exceed its threshold 0.9000."),
        ("/requests/req-large", "thumbs down, the right answer is"),
        ("/requests/req-unknown", "<dt>cost</dt><dd><bdi>unknown</bdi>"),
        ("/requests/req-small", "Audit"),
    ] {
        let got = look(&world, path).await;
        assert!(got.text.contains(says), "{path} {says}: {}", got.text);
        assert!(!got.text.contains("<script>") && !got.text.contains("<img"), "{path}");
    }
}

#[tokio::test]
async fn requests_are_found_by_task_and_ending_and_the_list_is_sent_again_only_when_it_has_changed() {
    let world = filled();
    let list = |query: &'static str| {
        let world = &world;
        async move { look(world, &format!("/parts/requests?{query}")).await }
    };
    assert_eq!(list("").await.text.matches("<li>").count(), 3);
    assert_eq!(list("ending=small").await.text.matches("<li>").count(), 1);
    assert_eq!(list("task=-").await.text.matches("<li>").count(), 0);
    assert_eq!(list("task=tickets&ending=large").await.text.matches("<li>").count(), 2);
    assert_eq!(list("seen=req-unknown").await.status, StatusCode::NO_CONTENT);
    world.store.ledger().append(&small("req-new")).unwrap();
    let again = list("seen=req-unknown").await;
    assert!(again.text.contains("req-new") && again.text.contains("seen=req-new"), "{}", again.text);
}

#[tokio::test]
async fn a_posted_label_lands_in_the_store_and_can_be_taken_back() {
    let world = World::new();
    let ids = queue(&world, &["where is it", "money back"]);
    let page = look(&world, "/review/tickets").await.text;
    assert!(page.contains("where is it") && page.contains("61.0% sure") && page.contains("differ"), "{page}");
    assert!(page.contains("value=\"dashboard\""), "who labels, until somebody says");

    let form = format!("row={}&label=delivery&by=Zo%C3%AB", ids[0]);
    let got = post(&world, "/review/tickets", &OURS, &form).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER, "{}", got.text);
    assert_eq!(got.header("location"), Some(format!("/review/tickets?said={}", ids[0]).as_str()));
    let cookie = got.header("set-cookie").unwrap();
    assert!(
        cookie.starts_with("sprat-labels-as=Zo%C3%AB;") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    let label = world.store.review().row(ids[0]).unwrap().unwrap().label.unwrap();
    assert_eq!((label.answer, label.by.as_str()), (Answer::label("delivery"), "Zoë"));
    let page = look(&world, got.header("location").unwrap()).await.text;
    assert!(page.contains("money back") && page.contains("1 labelled, 1 waiting"), "{page}");

    let other = post(&world, "/review/tickets", &OURS, &format!("row={}&label=refund", ids[0])).await;
    assert_eq!(other.status, StatusCode::SEE_OTHER);
    let label = world.store.review().row(ids[0]).unwrap().unwrap().label.unwrap();
    assert_eq!(label.answer, Answer::label("delivery"), "whoever was first stands");

    let got = post(&world, "/review/tickets/undo", &OURS, &format!("row={}", ids[0])).await;
    assert_eq!(got.header("location"), Some(format!("/review/tickets?row={}", ids[0]).as_str()));
    assert_eq!(world.store.review().row(ids[0]).unwrap().unwrap().label, None);
    assert!(look(&world, got.header("location").unwrap()).await.text.contains("where is it"));
}

#[tokio::test]
async fn what_is_skipped_waits_until_one_begins_again() {
    let world = World::new();
    let ids = queue(&world, &["first", "second"]);
    let page = look(&world, &format!("/review/tickets?after={}", ids[0])).await.text;
    assert!(page.contains("second") && !page.contains("first"), "{page}");
    let page = look(&world, &format!("/review/tickets?after={}", ids[1])).await.text;
    assert!(page.contains("2 rows that you skipped still wait"), "{page}");
}

#[tokio::test]
async fn a_label_that_makes_no_sense_is_refused_and_changes_nothing() {
    let world = World::new();
    let ids = queue(&world, &["one"]);
    for (path, form, status) in [
        ("/review/tickets", format!("row={}&label=nobody%27s", ids[0]), StatusCode::BAD_REQUEST),
        ("/review/tickets", format!("row={}", ids[0]), StatusCode::BAD_REQUEST),
        ("/review/tickets", format!("row={}&label=refund&label=delivery", ids[0]), StatusCode::BAD_REQUEST),
        ("/review/tickets", "label=refund".to_owned(), StatusCode::BAD_REQUEST),
        ("/review/tickets", "row=999&label=refund".to_owned(), StatusCode::NOT_FOUND),
        ("/review/tickets/undo", "row=999".to_owned(), StatusCode::NOT_FOUND),
        ("/review/nobody", format!("row={}&label=refund", ids[0]), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(post(&world, path, &OURS, &form).await.status, status, "{path} {form}");
    }
    let long = format!("row={}&label=refund&by={}", ids[0], "x".repeat(70_000));
    assert!(post(&world, "/review/tickets", &OURS, &long).await.status.is_client_error());
    assert_eq!(world.store.review().row(ids[0]).unwrap().unwrap().label, None);
}

#[tokio::test]
async fn another_website_can_neither_read_nor_change_anything() {
    let world = World::new();
    let ids = queue(&world, &["one"]);
    let form = format!("row={}&label=refund", ids[0]);
    for headers in [
        &[][..],
        &[("sec-fetch-site", "cross-site"), ("origin", "http://evil.example")],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "same-site")],
    ] {
        let got = post(&world, "/review/tickets", headers, &form).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert_eq!(world.store.review().row(ids[0]).unwrap().unwrap().label, None);
    for host in ["evil.example:7078", "127.0.0.1.evil.example", ""] {
        let request = Request::get("/review/tickets").header("host", host).body(Body::empty()).unwrap();
        let got = send(&world, request).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{host}");
        assert!(!got.text.contains("<blockquote"), "{host}");
    }
    let health = Request::get("/health").header("host", "sprat.internal").body(Body::empty()).unwrap();
    assert_eq!(send(&world, health).await.status, StatusCode::OK, "probes come by any name");
}

#[tokio::test]
async fn what_strangers_wrote_is_text() {
    let world = World::new();
    queue(&world, &[HOSTILE]);
    for path in [
        "/review/tickets",
        "/requests?task=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/requests/%3Cimg%20src=x%3E",
    ] {
        let got = look(&world, path).await;
        assert!(!got.text.contains("<script>") && !got.text.contains("<img"), "{path}: {}", got.text);
    }
    let page = look(&world, "/review/tickets").await.text;
    assert!(page.contains("&#60;script&#62;alert(1)"), "{page}");
    let request = Request::get("/review/tickets").header("host", HOST);
    let request = request.header("cookie", "sprat-labels-as=%22%3E%3Cscript%3E").body(Body::empty()).unwrap();
    let page = send(&world, request).await.text;
    assert!(page.contains("&#34;&#62;&#60;script&#62;") && !page.contains("<script>"), "{page}");
}

#[tokio::test]
async fn what_isn_t_there_is_said() {
    let world = filled();
    for path in
        ["/tasks/nobody", "/requests/nobody", "/parts/requests/nobody", "/review/nobody", "/assets/nobody.js"]
    {
        assert_eq!(look(&world, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let got = look(&world, "/tasks/nobody").await;
    assert!(got.text.contains("There is no task “nobody” here."), "{}", got.text);
}
