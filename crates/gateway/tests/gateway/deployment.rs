//! A task with a canary and a shadow beside its live release.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use sprat_cascade::{Canary, Deployed, Deployment, LadderEnd, Serving, Threshold};
use sprat_gateway::{Settings, management, routes};
use sprat_store::{ShadowSums, Source};
use sprat_task::{Money, ReleaseId, Share};
use tower::ServiceExt;

use crate::fakes::{Got, PROMPT, Says, Script, World, event, remote, reply, request, schema, serving};

fn id(version: u32) -> ReleaseId {
    ReleaseId { task: "tickets".into(), version }
}

/// A release whose small model is asked about, and whose threshold is this.
fn release(world: &World, version: u32, small: &Arc<Says>, threshold: f64) -> Arc<Serving> {
    let mut serving = serving(small, &world.large);
    serving.release = Some(id(version));
    serving.ladder.rungs[0].threshold = Threshold::Above(threshold);
    Arc::new(serving)
}

/// Live 3 as in [`World`], beside it a canary 4 with this share and a shadow 5 that is surer of itself.
fn deploy(world: &World, share: Option<f64>, watcher: &Arc<Says>) {
    let canary = share.map(|share| Canary {
        serving: release(world, 4, &world.small, 0.9),
        share: Share::new(share).unwrap(),
    });
    let shadow = Some(release(world, 5, watcher, 0.4));
    let deployment = Deployment { live: release(world, 3, &world.small, 0.9), canary, shadow };
    let remotes = vec![remote(&world.wire)];
    world.gateway.current().exchange(2, Deployed { tasks: vec![deployment], remotes, ..Deployed::default() });
}

fn watcher() -> Arc<Says> {
    Says::new("linear", 0)
}

/// Waits until as many requests as these were watched or skipped, and gives what was seen of a release.
async fn seen(world: &World, version: u32, requests: u64) -> ShadowSums {
    loop {
        world.gateway.watching().keep_now(&world.store).unwrap();
        let sums = world.store.shadow().of(&id(version)).unwrap();
        if sums.requests + sums.skipped >= requests {
            return sums;
        }
        tokio::task::yield_now().await;
    }
}

async fn operators(world: &World, path: &str) -> Got {
    let request = Request::get(path).body(Body::empty()).unwrap();
    world.send_to(management(world.gateway.clone()), request).await
}

fn ask(text: &str) -> Value {
    json!({"model": "tickets", "messages": [{"role": "user", "content": text}]})
}

#[tokio::test]
async fn the_share_goes_to_the_canary_and_reply_and_ledger_say_which_release_it_was() {
    let world = World::new();
    deploy(&world, Some(0.3), &watcher());
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    for user in 0..200 {
        let mut body = ask("refund 0.97");
        body["user"] = json!(format!("user-{user}"));
        let got = world.chat(body).await;
        let header = |name| got.header(name).unwrap().to_owned();
        said.insert(header("x-request-id"), header("x-sprat-release"));
    }
    let canary = said.values().filter(|release| *release == "tickets@4").count();
    assert!((35..=85).contains(&canary), "{canary} of 200 at 30%");
    let entries = world.store.ledger().latest(None, 500).unwrap();
    assert_eq!(entries.len(), 200);
    for entry in entries {
        assert_eq!(said[entry.request.as_str()], entry.release.unwrap().to_string());
    }
}

#[tokio::test]
async fn a_conversation_or_user_keeps_its_release_and_a_larger_share_takes_nobody_back() {
    type Name = fn(&str) -> (Vec<(&'static str, String)>, Value);
    let ways: [(&str, Name); 6] = [
        ("header", |who| (vec![("x-session-id", who.to_owned())], json!({}))),
        ("session", |who| (vec![], json!({"metadata": {"session_id": who}}))),
        ("conversation", |who| (vec![], json!({"metadata": {"conversation_id": who}}))),
        ("thread", |who| (vec![], json!({"metadata": {"thread_id": who}}))),
        ("user", |who| (vec![], json!({"user": who}))),
        ("safety identifier", |who| (vec![], json!({"safety_identifier": who}))),
    ];
    for (way, name) in ways {
        let world = World::new();
        let release = async |who: &str| {
            let (headers, fields) = name(who);
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let mut body = ask("refund 0.97");
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            world.chat_with(&headers, body).await.header("x-sprat-release").unwrap().to_owned()
        };
        let mut before: Vec<String> = Vec::new();
        for share in [0.2, 0.7] {
            deploy(&world, Some(share), &watcher());
            let mut now = Vec::new();
            for user in 0..30 {
                let who = format!("u{user}");
                now.push(release(&who).await);
                assert_eq!(release(&who).await, now[user], "{way}: {who} is the same the second time");
            }
            assert!(now.contains(&"tickets@3".to_owned()) && now.contains(&"tickets@4".to_owned()), "{way}");
            let back = before.iter().zip(&now).any(|(was, is)| was == "tickets@4" && is == "tickets@3");
            assert!(!back, "{way}");
            before = now;
        }
    }
}

#[tokio::test]
async fn who_names_nobody_is_drawn_request_by_request() {
    let world = World::new();
    deploy(&world, Some(0.5), &watcher());
    let mut releases = Vec::new();
    for _ in 0..40 {
        releases.push(world.ask("refund 0.97").await.header("x-sprat-release").unwrap().to_owned());
    }
    assert!(releases.contains(&"tickets@3".to_owned()) && releases.contains(&"tickets@4".to_owned()));
}

#[tokio::test]
async fn the_shadow_is_asked_when_the_reply_has_gone_out_and_not_before() {
    let world = World::new();
    let watcher = watcher();
    deploy(&world, None, &watcher);
    let reply = routes(world.gateway.clone())
        .oneshot(request("/v1/chat/completions", &[], ask("refund 0.97")))
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::OK);
    assert!(reply.body().size_hint().exact().is_some(), "its length is known, as without a shadow");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(watcher.asked(), 0, "the reply has not gone out yet");
    drop(reply);
    seen(&world, 5, 1).await;
    assert_eq!(watcher.texts.lock().unwrap()[..], ["refund 0.97"], "the same text");
}

#[tokio::test]
async fn what_the_shadow_would_have_answered_is_counted_beside_what_was() {
    let world = World::new();
    let watcher = watcher();
    deploy(&world, None, &watcher);
    // Answered small; answered large, which the shadow would have answered itself; too unsure for both.
    for text in ["refund 0.97", "delivery 0.5", "refund 0.2"] {
        let got = world.ask(text).await;
        assert_eq!(got.header("x-sprat-release"), Some("tickets@3"), "a shadow answers nothing");
    }
    let expected = ShadowSums {
        requests: 3,
        would_answer: 2,
        compared: 2,
        agreed: 2,
        all_compared: 3,
        all_agreed: 3,
        skipped: 0,
    };
    assert_eq!(seen(&world, 5, 3).await, expected);
    // Without a number the fakes say `refund`, as the large model does to a conversation, or fail.
    assert_eq!(world.large.asked(), 2, "the large model is not asked for the shadow");
    assert!(world.ledger().iter().all(|line| line.source == Source::Serve), "watching cost nothing");
    let metrics = operators(&world, "/metrics").await.text;
    for line in [
        "sprat_shadow_requests_total{task=\"tickets\",release=\"tickets@5\"} 3",
        "sprat_shadow_would_answer_total{task=\"tickets\",release=\"tickets@5\"} 2",
        "sprat_shadow_agreed_total{task=\"tickets\",release=\"tickets@5\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn a_shadow_that_disagrees_is_seen_to() {
    let world = World::new();
    let mut live = serving(&world.small, &world.large);
    live.ladder.rungs[0].threshold = Threshold::Never;
    live.ladder.last = LadderEnd::Remote(Says::contrary("large"));
    let shadow = Some(release(&world, 5, &watcher(), 0.4));
    let deployment = Deployment { shadow, ..Deployment::of(live) };
    world.gateway.current().exchange(2, Deployed { tasks: vec![deployment], ..Deployed::default() });
    assert_eq!(world.ask("refund 0.97").await.json()["choices"][0]["message"]["content"], "delivery");
    let sums = seen(&world, 5, 1).await;
    assert_eq!((sums.would_answer, sums.compared, sums.agreed), (1, 1, 0));
    assert_eq!(sums.agreement(), Some(0.0));
}

#[tokio::test]
async fn a_shadow_is_compared_with_what_was_passed_on_as_far_as_that_answers_the_task() {
    let said = |text: &str| Some(event(json!({"content": text}), None));
    let ends = |why| vec![Some(event(json!({}), Some(why))), Some("data: [DONE]\n\n".to_owned())];
    let stream = |why| [vec![said("{\"te"), said("am\":\"refund\"}")], ends(why)].concat();
    for (name, script, seen_to) in [
        ("the same", Script::json(200, reply("{\"team\":\"refund\"}")), (1, 1)),
        ("another", Script::json(200, reply("{\"team\":\"delivery\"}")), (1, 0)),
        ("no answer of the task", Script::json(200, reply("hello")), (0, 0)),
        ("a stream", Script::stream(stream("stop")), (1, 1)),
        ("half a stream", Script::stream(stream("length")), (0, 0)),
        ("none", Script::json(500, "no"), (0, 0)),
    ] {
        let world = World::with(Settings { shadow: true, ..Settings::default() });
        deploy(&world, None, &watcher());
        world.wire.plays(script);
        let streams = name.contains("stream");
        world
            .chat(json!({
                "model": "auto",
                "stream": streams,
                "messages": [
                    {"role": "system", "content": PROMPT},
                    {"role": "user", "content": "Ticket: refund 0.97"},
                ],
                "response_format": {"type": "json_schema", "json_schema": {"name": "team", "schema": schema()}},
            }))
            .await;
        for version in [3, 5] {
            let sums = seen(&world, version, 1).await;
            assert_eq!((sums.requests, sums.would_answer), (1, 1), "{name}: {version}");
            assert_eq!((sums.compared, sums.agreed), seen_to, "{name}: {version}");
        }
        assert_eq!(world.wire.asked(), 1, "{name}: it is paid for once");
    }
}

#[tokio::test]
async fn what_there_is_no_room_for_is_skipped_and_counted() {
    let world = World::new();
    let watcher = watcher();
    deploy(&world, None, &watcher);
    let replies: Vec<_> = futures::future::join_all((0..3).map(|_| {
        let text = format!("refund 0.97 {}", "x".repeat(7 << 20));
        routes(world.gateway.clone()).oneshot(request("/v1/chat/completions", &[], ask(&text)))
    }))
    .await;
    // All at once, before a look can begin: two of seven MiB fit into sixteen.
    drop(replies);
    let sums = seen(&world, 5, 3).await;
    assert_eq!((sums.requests, sums.skipped), (2, 1));
    assert_eq!(seen(&world, 5, 3).await.skipped, 1);
}

#[tokio::test]
async fn a_shadow_whose_models_cost_money_is_charged_as_measuring() {
    let world = World::new();
    deploy(&world, None, &Says::new("bought", 40));
    world.ask("refund 0.97").await;
    seen(&world, 5, 1).await;
    let entries = world.ledger();
    let [answer, watched] = &entries[..] else { panic!("one answer, one that watched: {entries:?}") };
    assert_eq!((answer.source, answer.release.clone()), (Source::Serve, Some(id(3))));
    assert_eq!((watched.source, watched.release.clone()), (Source::Shadow, Some(id(5))));
    assert_eq!((watched.cost, &watched.request), (Some(Money::from_micro(40)), &answer.request));
}

#[tokio::test]
async fn where_everything_goes_to_the_large_model_live_and_shadow_both_watch() {
    let world = World::with(Settings { shadow: true, ..Settings::default() });
    deploy(&world, None, &watcher());
    assert_eq!(world.ask("refund 0.6").await.header("x-sprat-answered-by"), Some("large"));
    let (live, shadow) = (seen(&world, 3, 1).await, seen(&world, 5, 1).await);
    assert_eq!((live.would_answer, live.all_agreed), (0, 1));
    assert_eq!((shadow.would_answer, shadow.agreed), (1, 1));
}

#[tokio::test]
async fn a_conversation_is_not_watched_because_small_models_were_not_certified_on_any() {
    let world = World::new();
    let watcher = watcher();
    deploy(&world, None, &watcher);
    let turns = json!([{"role": "user", "content": "refund 0.9"}, {"role": "assistant", "content": "sure?"},
        {"role": "user", "content": "yes 0.9"}]);
    world.chat(json!({"model": "tickets", "messages": turns})).await;
    world.ask("refund 0.97").await;
    assert_eq!(seen(&world, 5, 1).await.requests, 1);
    assert_eq!(watcher.asked(), 1);
}

#[tokio::test]
async fn operators_see_every_role() {
    let world = World::new();
    deploy(&world, Some(0.25), &watcher());
    let task = operators(&world, "/health/readiness").await.json()["tasks"][0].clone();
    assert_eq!((&task["task"], &task["release"]), (&json!("tickets"), &json!("tickets@3")));
    assert_eq!(
        (&task["canary"]["release"], &task["canary"]["share"], &task["canary"]["certificate"]),
        (&json!("tickets@4"), &json!(0.25), &json!("certified"))
    );
    assert_eq!(task["shadow"]["release"], "tickets@5");
    deploy(&world, None, &watcher());
    let task = operators(&world, "/health/readiness").await.json()["tasks"][0].clone();
    assert_eq!(task["canary"], Value::Null);
}
