//! Clients that are slow, leave, or don't read.

use std::io::Read;
use std::net::Shutdown;
use std::time::Duration;

use sprat_store::Ending;
use sprat_task::{ModelError, Outcome};

use crate::client::{Conversation, call};
use crate::mock::{Act, End, Gate, Mock};
use crate::world::{World, eventually};

const SLOW: Duration = Duration::from_millis(20);

/// Writes a byte now and then until the server has had enough; what it said then.
fn dribble(conversation: &mut Conversation, bytes: &[u8]) -> String {
    conversation.socket().set_read_timeout(Some(SLOW)).unwrap();
    let mut said = Vec::new();
    let mut bytes = bytes.iter().cycle();
    eventually("a slow client is cut", || {
        let _ = conversation.write(&[*bytes.next().unwrap()]);
        let mut piece = [0; 4096];
        match (&mut conversation.socket()).read(&mut piece) {
            Ok(0) => true,
            Ok(read) => {
                said.extend_from_slice(&piece[..read]);
                false
            }
            Err(error) => {
                !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
            }
        }
    });
    String::from_utf8(said).unwrap()
}

#[test]
fn a_client_that_dribbles_its_request_is_cut_and_others_are_answered() {
    let world =
        World::new(Mock::new(|_| Act::Answer(1)), "", "client_timeout_ms = 1500\nmost_connections = 3");
    // Two of three connections are slow: the third serves whoever comes.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut slow = Conversation::open(world.gateway.clients);
            slow.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-slow: ").unwrap();
            dribble(&mut slow, b"z");
        });
        scope.spawn(|| {
            let mut slow = Conversation::open(world.gateway.clients);
            slow.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n")
                .unwrap();
            let said = dribble(&mut slow, b" ");
            assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("\"request_timeout\""), "{said}");
            assert!(said.contains("x-request-id: req-"), "{said}");
        });
        for number in 0..20 {
            assert_eq!(world.ask(&number.to_string()).head.status, 200);
        }
    });
    // Places of connections that were cut are free again.
    let idle: Vec<_> = (0..2).map(|_| Conversation::open(world.gateway.clients)).collect();
    assert!(world.stream("afterwards").is_done());
    drop(idle);
    world.settles_with(21);
}

#[test]
fn a_client_that_leaves_cancels_the_upstream_and_the_cost_is_unknown() {
    let mock = Mock::new(|call| match call.text.as_str() {
        "before, plain" | "before, stream" => Act::Begin(0, End::Hang),
        _ => Act::Begin(3, End::Hang),
    });
    let world = World::new(mock, "", "");
    for (number, text) in ["before, plain", "before, stream", "during"].into_iter().enumerate() {
        let mut leaving = world.send(text, text != "before, plain");
        world.mock.wait_for_calls(number + 1);
        if text == "during" {
            assert_eq!(leaving.head().unwrap().status, 200);
            leaving.piece().unwrap().expect("the first words");
        }
        leaving.socket().shutdown(Shutdown::Both).unwrap();
        drop(leaving);
        world.mock.wait_for_leaving(text);
    }
    for entry in world.settles_with(3) {
        assert_eq!((entry.ending, entry.cost), (Ending::Failed, None));
        assert_eq!(entry.steps[0].outcome, Outcome::Failed(ModelError::Cancelled));
    }
}

#[test]
fn a_client_that_leaves_between_two_words_leaves_nothing_running() {
    let gate = Gate::default();
    let waits = gate.clone();
    let mock = Mock::new(move |call| match call.text.as_str() {
        "leaves" => Act::Begin(1, End::Hang),
        _ => Act::After(waits.clone(), Box::new(Act::Answer(2))),
    });
    // One call at once: a call that goes on without its client would keep the next one waiting for ever.
    let world = World::new(mock, "max_concurrency = 1", "most_at_once = 2");
    let mut leaving = world.send("leaves", true);
    leaving.head().unwrap();
    let mut staying = world.send("stays", true);
    drop(leaving);
    world.mock.wait_for_calls(2);
    gate.open();
    assert!(staying.reply().unwrap().is_done());
    world.settles_with(2);
}

#[test]
fn an_answer_waits_for_a_client_that_reads_slowly_and_nothing_piles_up() {
    const PIECES: usize = 40_000; // 40 MB: more than all buffers on the way together
    let world = World::new(Mock::new(|_| Act::Flood(PIECES)), "", "");
    let mut slow = world.send("flood", true);
    slow.head().unwrap();
    world.mock.wait_for_stuck("flood");
    let memory = resident_kib(world.gateway.child.id());
    assert!(memory < 150_000, "{memory} KiB");
    let (body, whole) = slow.rest();
    assert!(whole && body.ends_with("data: [DONE]\n\n"));
    assert_eq!(body.matches("\"content\"").count(), PIECES, "not a word is lost");
    world.settles_with(1);
}

#[test]
fn a_client_that_takes_nothing_is_cut_and_its_upstream_is_free_again() {
    let mock = Mock::new(|call| match call.text.as_str() {
        "takes nothing" => Act::Flood(60_000),
        _ => Act::Answer(1),
    });
    let world = World::new(mock, "max_concurrency = 1", "client_timeout_ms = 1500");
    let stuck = world.send("takes nothing", true);
    world.mock.wait_for_leaving("takes nothing");
    assert_eq!(world.ask("next").head.status, 200);
    drop(stuck);
    world.settles_with(2);
}

#[test]
fn two_requests_on_one_connection_are_two_lines() {
    let world = World::new(Mock::new(|_| Act::Answer(2)), "", "");
    let mut conversation = world.send("first", true);
    assert!(conversation.reply().unwrap().is_done());
    conversation.post("/v1/chat/completions", &call("second", false)).unwrap();
    assert_eq!(conversation.reply().unwrap().head.status, 200);
    world.settles_with(2);
}

/// What a process holds in memory; 0 where this system doesn't say.
pub fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap())
}
