//! What a key may spend: exact, whoever else is under way, and remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use futures::future::{BoxFuture, join_all};
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use sprat_cascade::{Deployed, Deployment, Remote};
use sprat_gateway::{Gateway, Settings, routes};
use sprat_store::{Ending, Options, Store};
use sprat_task::model::{NoReply, WireReply, WireRequest};
use sprat_task::{Allowance, Budget, Context, ModelError, ModelId, Money, Period, Upstream};
use tower::ServiceExt;

use crate::fakes::{Got, Script, World, event, remote, reply, request, secret, serving};

/// What each of the upstream's answers costs.
const PRICE: i64 = 120;

/// Answers after others have had their turn, and counts what it has earned.
struct Till {
    id: ModelId,
    answered: AtomicUsize,
}

impl Upstream for Till {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn send<'a>(&'a self, _: &'a Context, _: WireRequest) -> BoxFuture<'a, Result<WireReply, NoReply>> {
        Box::pin(async move {
            let turns = self.answered.fetch_add(1, Ordering::SeqCst) % 7;
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            let body = stream::iter([Ok(reply("hello").into_bytes())]).boxed();
            Ok(WireReply {
                status: 200,
                headers: vec![("content-type".into(), "application/json".into())],
                body,
                unknown_cost: false,
            })
        })
    }
}

fn budget(micro: i64, per: Period) -> Allowance {
    let budget = Budget { amount: Money::from_micro(micro), per };
    Allowance { budget: Some(budget), ..Allowance::default() }
}

/// A call of exactly 100 bytes that may be answered with 10 tokens: it costs at most what it does cost.
fn exact() -> Value {
    let call = |text: &str| json!({"model": "large", "max_tokens": 10, "messages": [{"role": "user", "content": text}]});
    let bytes = call("").to_string().len();
    call(&"x".repeat(100 - bytes))
}

/// A call that may cost 8,192 more for its answer than it does.
fn unlimited() -> Value {
    json!({"model": "large", "messages": [{"role": "user", "content": "hi"}]})
}

/// A small answer where `confidence` is above 0.9, else the large model's.
fn ticket(confidence: &str) -> Value {
    json!({"model": "tickets", "messages": [{"role": "user", "content": format!("refund {confidence}")}]})
}

async fn ask(gateway: &Arc<Gateway>, key: &str, body: Value) -> Got {
    let bearer = format!("Bearer {key}");
    let request = request("/v1/chat/completions", &[("authorization", &bearer)], body);
    let (parts, body) = routes(gateway.clone()).oneshot(request).await.unwrap().into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Got { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

/// A world whose `large` is a till.
fn with_till() -> (World, Arc<Till>) {
    let world = World::new();
    let till = Arc::new(Till { id: "large".into(), answered: AtomicUsize::new(0) });
    let large = Remote { upstream: till.clone(), ..remote(&world.wire) };
    let tasks = vec![Deployment::of(serving(&world.small, &world.large))];
    world.gateway.current().exchange(2, Deployed { tasks, remotes: vec![large], ..Deployed::default() });
    (world, till)
}

fn spent(store: &Store) -> i64 {
    store.ledger().per_key(None, 0).unwrap().iter().map(|totals| totals.charged().micro()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_clients_at_once_get_exactly_what_the_budget_pays_for() {
    // What is reserved beyond the price, for how many tries a client, with what budget: and how many are answered.
    let rows = [
        (exact as fn() -> Value, 1_usize, 1_000, 1_000 / PRICE),
        (exact, 3, 12_000, 12_000 / PRICE),
        (exact, 2, 64 * 2 * PRICE, 128),
        // The last ones could have cost more than was left, and nobody knew beforehand that they would not.
        (unlimited, 2, 10_000, (10_000 - (8_192 + 61)) / PRICE + 1),
    ];
    assert_eq!(unlimited().to_string().len(), 61);
    for (call, tries, amount, answered) in rows {
        let (world, till) = with_till();
        let key = world.key("web", budget(amount, Period::Day));
        let clients = (0..64).map(|_| {
            let (gateway, key) = (world.gateway.clone(), key.clone());
            tokio::spawn(async move {
                let mut statuses = Vec::new();
                for _ in 0..tries {
                    statuses.push(ask(&gateway, &key, call()).await.status);
                }
                statuses
            })
        });
        let statuses: Vec<StatusCode> =
            join_all(clients).await.into_iter().flat_map(Result::unwrap).collect();
        let ok = statuses.iter().filter(|status| **status == StatusCode::OK).count() as i64;
        let refused = statuses.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count();
        assert_eq!((ok, ok as usize + refused), (answered, statuses.len()), "of {amount}");
        let bill = till.answered.load(Ordering::SeqCst) as i64 * PRICE;
        assert_eq!(
            (spent(&world.store), bill),
            (ok * PRICE, ok * PRICE),
            "the ledger is the upstream's own bill"
        );
    }
}

#[tokio::test]
async fn a_refusal_says_what_is_left_and_when_there_is_more() {
    let (world, _) = with_till();
    for (name, per, says) in [
        ("day", Period::Day, "a day; a smaller `max_tokens` may fit; the budget is renewed on 20"),
        ("month", Period::Month, "-01 at 00:00 UTC"),
        ("total", Period::Total, "the budget is not renewed"),
    ] {
        let key = world.key(name, budget(130, per));
        assert_eq!(ask(&world.gateway, &key, exact()).await.status, StatusCode::OK);
        let got = ask(&world.gateway, &key, exact()).await;
        let error = got.json()["error"].clone();
        assert_eq!(
            (got.status, &error["code"]),
            (StatusCode::TOO_MANY_REQUESTS, &json!("insufficient_quota"))
        );
        assert_eq!((got.header("x-should-retry"), got.header("retry-after")), (Some("false"), None));
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("$0.000010 left") && message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn what_costs_nothing_is_answered_to_whoever_has_nothing_left() {
    let world = World::new();
    let key = world.key("web", budget(100, Period::Day));
    // The fake large model says of no task what it may cost, so that only small answers are left to a budget.
    for confidence in ["0.97", "0.99"] {
        let got = ask(&world.gateway, &key, ticket(confidence)).await;
        assert_eq!((got.status, got.header("x-sprat-answered-by")), (StatusCode::OK, Some("linear")));
    }
    let got = ask(&world.gateway, &key, ticket("0.5")).await;
    assert_eq!((got.status, &got.json()["error"]["code"]), (StatusCode::FORBIDDEN, &json!("price_unknown")));
    assert_eq!(world.large.asked(), 0);
    let last = world.ledger().pop().unwrap();
    assert_eq!((last.ending, last.cost, last.steps.len()), (Ending::Stopped, Some(Money::ZERO), 1));
}

#[tokio::test]
async fn a_climb_reserves_only_where_it_comes_to_the_large_model() {
    let world = World::new();
    world.large.says_most(100);
    let key = world.key("web", budget(150, Period::Day));
    for (confidence, status) in [
        ("0.97", StatusCode::OK),
        ("0.5", StatusCode::OK),
        ("0.5", StatusCode::TOO_MANY_REQUESTS),
        ("0.97", StatusCode::OK),
    ] {
        let got = ask(&world.gateway, &key, ticket(confidence)).await;
        assert_eq!(got.status, status, "{}", got.text);
    }
    assert_eq!((world.large.asked(), spent(&world.store)), (1, 100));
}

#[tokio::test]
async fn where_nobody_says_what_was_used_the_reservation_stays_held() {
    let world = World::new();
    let key = world.key("web", budget(300, Period::Day));
    let silent = r#"{"id":"r","object":"chat.completion","created":1,"model":"m","choices":[]}"#;
    world.wire.plays(Script::Reply(
        200,
        vec![("content-type", "application/json")],
        vec![Some(silent.into())],
    ));
    assert_eq!(ask(&world.gateway, &key, exact()).await.status, StatusCode::OK);
    world.wire.plays(Script::Fail(ModelError::Timeout));
    assert_eq!(ask(&world.gateway, &key, exact()).await.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(ask(&world.gateway, &key, exact()).await.status, StatusCode::TOO_MANY_REQUESTS);
    let totals = world.store.ledger().per_key(None, 0).unwrap();
    assert_eq!((totals[0].requests, totals[0].cost_unknown, totals[0].held.micro()), (2, 2, 240));
    assert!(
        world.ledger().iter().all(|line| line.cost.is_none() && line.held == Some(Money::from_micro(120)))
    );
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_has_what_was_reserved_held() {
    let world = World::new();
    let key = world.key("web", budget(200, Period::Day));
    world.wire.plays(Script::Hang(vec![event(json!({"content": "hel"}), None)]));
    let mut call = exact();
    call["stream"] = json!(true);
    let bearer = format!("Bearer {key}");
    let asked = request("/v1/chat/completions", &[("authorization", &bearer)], call);
    let response = routes(world.gateway.clone()).oneshot(asked).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    assert!(body.next().await.unwrap().is_ok());
    drop(body);
    let [line] = &world.ledger()[..] else { panic!("one request, one line") };
    assert!(line.cost.is_none() && line.held.is_some_and(|held| held >= Money::from_micro(120)), "{line:?}");
    assert_eq!(ask(&world.gateway, &key, exact()).await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn what_was_refused_upstream_costs_nothing() {
    let world = World::new();
    let key = world.key("web", budget(130, Period::Day));
    world.wire.plays(Script::Reply(429, vec![("retry-after", "1")], vec![Some("{}".into())]));
    for _ in 0..5 {
        let got = ask(&world.gateway, &key, exact()).await;
        assert_eq!((got.status, got.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("1")));
    }
    world.wire.plays(Script::Reply(200, vec![("content-type", "application/json")], vec![Some(reply("hi"))]));
    assert_eq!(ask(&world.gateway, &key, exact()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_gateway_that_starts_again_remembers_what_was_spent() {
    let (world, till) = with_till();
    let key = world.key("web", budget(5 * PRICE, Period::Month));
    for _ in 0..3 {
        assert_eq!(ask(&world.gateway, &key, exact()).await.status, StatusCode::OK);
    }
    // Nothing is settled before: what is in the spool counts.
    let again = Arc::new(Gateway::new(Settings::default(), world.store.clone()).with_secret(secret()));
    let large = Remote { upstream: till.clone(), ..remote(&world.wire) };
    again.current().exchange(1, Deployed { remotes: vec![large], ..Deployed::default() });
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask(&again, &key, exact()).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(spent(&world.store), 5 * PRICE);
}

#[tokio::test]
async fn a_budget_holds_where_nothing_can_be_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("s.db").display());
    let options = Options { spool_limit_bytes: 10, ..Options::default() };
    let store = Store::open_with(&url, &options).unwrap();
    let (made, till) = with_till();
    let key = made.key("web", budget(2 * PRICE, Period::Day));
    store.keys().add(&made.store.keys().key(&"web".into()).unwrap()).unwrap();
    let gateway = Arc::new(Gateway::new(Settings::default(), store).with_secret(secret()));
    let large = Remote { upstream: till, ..remote(&made.wire) };
    gateway.current().exchange(1, Deployed { remotes: vec![large], ..Deployed::default() });
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(ask(&gateway, &key, exact()).await.status.as_u16());
    }
    assert_eq!(
        statuses,
        [200, 200, 429],
        "answered, though nothing is written down, and no further than it pays for"
    );
    let operators = Request::get("/metrics").body(Body::empty()).unwrap();
    let body = sprat_gateway::management(gateway).oneshot(operators).await.unwrap().into_body();
    let metrics = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    assert!(metrics.contains("sprat_not_recorded_total 2"), "{metrics}");
}
