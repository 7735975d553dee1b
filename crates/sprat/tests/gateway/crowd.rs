//! More than fits: requests, connections, bodies.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::client::{Conversation, call, post};
use crate::clients::resident_kib;
use crate::mock::{Act, Gate, Mock};
use crate::workspace::Workspace;
use crate::world::{Gateway, TASK, World};

#[test]
fn more_requests_than_places_are_told_to_come_back() {
    let gate = Gate::default();
    let waits = gate.clone();
    let mock = Mock::new(move |_| Act::After(waits.clone(), Box::new(Act::Answer(1))));
    let world = World::new(mock, "", "most_at_once = 2");
    let mut inside: Vec<_> = ["a", "b"].into_iter().map(|text| world.send(text, true)).collect();
    world.mock.wait_for_calls(2);
    for number in 0..10 {
        let reply = world.ask(&format!("outside {number}"));
        assert_eq!((reply.head.status, reply.head.header("retry-after")), (503, Some("1")), "{}", reply.body);
        assert!(reply.head.header("x-request-id").is_some_and(|id| id.starts_with("req-")));
    }
    gate.open();
    assert!(inside.iter_mut().all(|inside| inside.reply().unwrap().is_done()));
    assert_eq!(world.ask("afterwards").head.status, 200);
    assert_eq!(world.mock.calls(), 3, "nobody outside was passed on");
    world.settles_with(3);
}

#[test]
fn five_thousand_idle_connections_keep_nobody_waiting() {
    const IDLE: usize = 5_000;
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = IDLE as u64 + 1_000;
    if most < wanted {
        eprintln!("SKIPPED: 5,000 idle connections, because a process may have only {most} files open here");
        return;
    }
    setrlimit(Resource::RLIMIT_NOFILE, now.max(wanted), most).unwrap();
    // The gateway begins with the limit that systems begin with, and raises it by itself.
    let mock = Mock::new(|_| Act::Answer(2));
    let workspace = Workspace::with(&mock.config(""), TASK);
    let gateway = Gateway::start_under(&workspace, &["sh", "-c", "ulimit -S -n 1024; exec \"$@\"", "sh"]);
    let world = World { gateway, mock, workspace };
    let before = resident_kib(world.gateway.child.id());
    let idle: Vec<Conversation> = (0..IDLE).map(|_| Conversation::open(world.gateway.clients)).collect();
    for number in 0..20 {
        assert!(world.stream(&format!("beside the idle {number}")).is_done());
    }
    let after = resident_kib(world.gateway.child.id());
    assert!(after < before + 200_000, "{before} KiB became {after}");
    // They are connections like any other.
    for (number, mut one) in idle.into_iter().step_by(500).enumerate() {
        one.post("/v1/chat/completions", &call(&format!("idle {number}"), false)).unwrap();
        assert_eq!(one.reply().unwrap().head.status, 200);
    }
    world.settles_with(30);
}

#[test]
fn bodies_that_are_too_long_are_refused_and_those_that_fit_are_passed_on() {
    let world = World::new(Mock::new(|_| Act::Answer(1)), "", "");
    let long = "x".repeat(33 << 20);
    let mut refused = post(world.gateway.clients, "/v1/chat/completions", &call(&long, false));
    // It may be cut while it still sends: then the reply is lost, but never the server.
    if let Ok(head) = refused.head() {
        assert_eq!(head.status, 413);
    }
    assert_eq!(world.ask(&long[..8 << 20]).head.status, 200);
    world.settles_with(1);
}
