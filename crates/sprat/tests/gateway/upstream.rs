//! A provider that hangs, breaks, refuses, or says what makes no sense.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sprat_store::{Ending, LedgerEntry};

use crate::client::Reply;
use crate::mock::{Act, End, Mock, PAID, completion};
use crate::world::{World, eventually};

/// No second try, and no long wait for the first.
const ONCE: &str = "max_retries = 0\ntimeout_ms = 1000";

/// A stream that began and was cut: its words as far as they came, then an error, and no `[DONE]`.
fn ends_with_an_error(reply: &Reply) {
    let events = reply.events();
    assert!(reply.whole, "the reply itself is whole: {}", reply.body);
    assert!(reply.body.contains("\"content\":\"0 \""), "what came before is there: {events:?}");
    assert!(events.last().unwrap().contains("\"upstream_error\""), "{events:?}");
    assert!(!reply.body.contains("[DONE]"), "{events:?}");
}

fn all_failed(entries: &[LedgerEntry]) {
    assert!(entries.iter().all(|entry| entry.ending == Ending::Failed && entry.cost.is_none()));
}

#[test]
fn an_upstream_that_hangs_is_cut_and_may_have_cost_something() {
    let mock = Mock::new(|call| match call.text.as_str() {
        "after content" => Act::Begin(1, End::Hang),
        _ => Act::Begin(0, End::Hang),
    });
    let world = World::new(mock, ONCE, "");
    for reply in [world.ask("plain"), world.stream("before content")] {
        assert_eq!((reply.head.status, reply.code().as_str()), (504, "upstream_timeout"), "{}", reply.body);
    }
    ends_with_an_error(&world.stream("after content"));
    all_failed(&world.settles_with(3));
    assert_eq!(world.metric("sprat_streams_cut_total"), 1);
}

#[test]
fn an_upstream_that_hangs_is_cut_at_the_declared_deadline_however_long_a_try_may_take() {
    let mock = Mock::new(|call| match call.text.as_str() {
        "after content" => Act::Begin(1, End::Hang),
        _ => Act::Begin(0, End::Hang),
    });
    let world = World::new(mock, "timeout_ms = 3600000", "deadline_ms = 1500");
    let reply = world.ask("plain");
    assert_eq!((reply.head.status, reply.code().as_str()), (504, "upstream_timeout"), "{}", reply.body);
    ends_with_an_error(&world.stream("after content"));
    all_failed(&world.settles_with(2));
}

#[test]
fn a_connection_that_is_reset_is_an_error_and_half_a_stream_ends_with_one() {
    let mock = Mock::new(|call| match call.text.as_str() {
        "reset later" => Act::Begin(2, End::Reset),
        "closed later" => Act::Begin(2, End::Close),
        text if text.starts_with("reset") => Act::Begin(0, End::Reset),
        _ => Act::Begin(0, End::Close),
    });
    let world = World::new(mock, ONCE, "");
    for text in ["reset at once", "closed at once"] {
        for reply in [world.ask(text), world.stream(&format!("{text}, stream"))] {
            assert_eq!((reply.head.status, reply.code().as_str()), (503, "upstream_unavailable"));
        }
    }
    for text in ["reset later", "closed later"] {
        ends_with_an_error(&world.stream(text));
    }
    world.settles_with(6);
}

#[test]
fn a_call_that_was_tried_twice_may_have_been_paid_for_twice() {
    let mock = Mock::new(|call| match call.number {
        0 => Act::Begin(0, End::Reset),
        _ => Act::Answer(3),
    });
    let world = World::new(mock, "max_retries = 3", "");
    let reply = world.ask("again");
    assert_eq!((reply.head.status, reply.body), (200, completion("refund")));
    assert!(world.stream("once").is_done());
    let entries = world.settles_with(2);
    assert!(entries.iter().all(|entry| entry.ending == Ending::Large));
    assert_eq!(world.mock.calls(), 3);
}

#[test]
fn a_busy_upstream_is_asked_again_when_it_says() {
    let mock = Mock::new(|call| match call.number {
        0 | 2 => Act::Refuse(429, "retry-after-ms: 40\r\n", "{\"error\":{\"message\":\"slow down\"}}"),
        _ => Act::Answer(2),
    });
    let world = World::new(mock, "", "");
    assert_eq!(world.ask("plain").body, completion("refund"));
    assert!(world.stream("stream").is_done());
    assert_eq!((world.mock.calls(), world.settles_with(2)[0].cost.unwrap().micro()), (4, PAID));
}

#[test]
fn the_wait_that_a_busy_upstream_asks_for_reaches_who_cannot_wait_so_long() {
    let refusal =
        "{\"error\":{\"message\":\"slow down\",\"type\":\"tokens\",\"param\":null,\"code\":\"busy\"}}";
    let mock = Mock::new(move |_| Act::Refuse(429, "retry-after: 3600\r\n", refusal));
    let world = World::new(mock, "", "deadline_ms = 5000");
    let first = world.ask("first");
    assert_eq!((first.head.status, first.head.header("retry-after")), (429, Some("3600")));
    assert_eq!(first.body, refusal, "in its own words");
    let second = world.ask("second");
    let asked: u64 = second.head.header("retry-after").unwrap().parse().unwrap();
    assert!(second.head.status == 429 && asked > 3_000, "{asked}");
    assert_eq!(world.mock.calls(), 1, "the second is told without being asked");
    world.settles_with(2);
}

#[test]
fn a_storm_of_errors_opens_the_circuit_and_passes() {
    let healed = Arc::new(AtomicBool::new(false));
    let is_well = healed.clone();
    let mock = Mock::new(move |_| match is_well.load(Ordering::SeqCst) {
        true => Act::Answer(1),
        false => Act::Refuse(500, "", "{\"error\":{\"message\":\"on fire\"}}"),
    });
    let world = World::new(mock, "max_retries = 2", "");
    std::thread::scope(|scope| {
        for client in 0..4 {
            let world = &world;
            scope.spawn(move || {
                for number in 0..25 {
                    let reply = world.ask(&format!("{client} {number}"));
                    assert!([500, 503].contains(&reply.head.status), "{}", reply.body);
                }
            });
        }
    });
    // Eight failures in a row open it; a few more were under way, or tried whether it is well again.
    assert!(world.mock.calls() <= 20, "{} calls for 100 requests", world.mock.calls());
    healed.store(true, Ordering::SeqCst);
    let mut requests = 100;
    eventually("it is asked again", || {
        requests += 1;
        world.ask(&format!("after {requests}")).head.status == 200
    });
    assert!(world.stream("a stream").is_done());
    let entries = world.settles_with(requests + 1);
    assert_eq!(entries.iter().filter(|entry| entry.ending == Ending::Large).count(), 2);
}

#[test]
fn retries_stay_a_small_share_of_the_calls() {
    // Never eight failures in a row, so that the circuit stays closed.
    let mock = Mock::new(|call| match call.number % 4 {
        0 => Act::Answer(1),
        _ => Act::Refuse(500, "", "{}"),
    });
    let world = World::new(mock, "max_retries = 3", "");
    std::thread::scope(|scope| {
        for client in 0..8 {
            let world = &world;
            scope.spawn(move || (0..20).for_each(|number| drop(world.ask(&format!("{client} {number}")))));
        }
    });
    let most = 160 + 20 + 160 / 10; // a reserve of twenty, and a tenth of the answers
    assert!(world.mock.calls() <= most, "{} calls for 160 requests", world.mock.calls());
    world.settles_with(160);
}

#[test]
fn what_makes_no_sense_is_passed_on_and_its_cost_is_unknown() {
    let bodies: [(&str, Vec<u8>); 8] = [
        ("not JSON", b"I am a teapot".to_vec()),
        ("half", completion("refund").as_bytes()[..40].to_vec()),
        ("nothing", Vec::new()),
        ("not UTF-8", b"{\"choices\": [\"\xff\xfe\"]}".to_vec()),
        ("too deep", [b"[".repeat(100_000), b"]".repeat(100_000)].concat()),
        (
            "no usage",
            br#"{"id":"c","choices":[],"model":"m","created":1,"object":"chat.completion"}"#.to_vec(),
        ),
        (
            "usage of a wrong kind",
            br#"{"choices":[],"usage":{"prompt_tokens":"many","completion_tokens":-3}}"#.to_vec(),
        ),
        ("a page", b"<html>Please log in</html>".to_vec()),
    ];
    let said = bodies.clone();
    let mock = Mock::new(move |call| {
        let (name, stream) = call.text.split_once(", ").unwrap();
        let body = said.iter().find(|(other, _)| *other == name).unwrap().1.clone();
        match stream {
            "whole" => Act::Say("application/json", body),
            _ => Act::Say("text/event-stream", [b"data: ".to_vec(), body, b"\n\n".to_vec()].concat()),
        }
    });
    let world = World::new(mock, ONCE, "");
    for (name, body) in &bodies {
        let reply = world.ask(&format!("{name}, whole"));
        assert_eq!(
            (reply.head.status, reply.body),
            (200, String::from_utf8_lossy(body).into_owned()),
            "{name}"
        );
        let reply = world.stream(&format!("{name}, stream"));
        assert!(!reply.is_done(), "{name}: it never said that it ended: {}", reply.body);
    }
    let entries = world.settles_with(16);
    assert!(entries.iter().all(|entry| entry.cost.is_none()));
}

#[test]
fn absurd_numbers_of_tokens_are_no_panic_and_no_small_cost() {
    let absurd =
        format!("{{\"choices\":[],\"usage\":{{\"prompt_tokens\":{0},\"completion_tokens\":{0}}}}}", u64::MAX);
    let mock = Mock::new(move |_| Act::Say("application/json", absurd.clone().into_bytes()));
    let world = World::new(mock, ONCE, "");
    assert_eq!(world.ask("absurd").head.status, 200);
    let entries = crate::world::recorded(&world.workspace.store(), 1);
    let cost = entries[0].cost.map(|cost| cost.micro());
    assert!(cost.is_none_or(|cost| cost > 1_000_000_000_000), "{cost:?}");
    assert!(!world.gateway.said().contains("panicked"), "{}", world.gateway.said());
}
