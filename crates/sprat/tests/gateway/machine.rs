//! The machine's faults: a kill, a busy store, a full disk, a clock that jumps, a model file that somebody replaces.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use serde_json::json;
use sprat_store::Ending;

use crate::client::{Conversation, call, get, post};
use crate::mock::{Act, End, Gate, Mock, PAID};
use crate::workspace::Workspace;
use crate::world::{ARGUMENTS, Gateway, TASK, World, eventually, news, recorded};

#[test]
fn what_was_answered_to_its_last_byte_is_recorded_once_after_kill_9() {
    let mock = Mock::new(|_| Act::Answer(20));
    let workspace = Workspace::with(&mock.config("max_concurrency = 64"), TASK);
    let answered = Mutex::new(Vec::new());
    // Killed at different moments: at once, and after the writer has taken over some of it.
    for after in [1, 60, 400] {
        let mut gateway = Gateway::start(&workspace);
        let clients = gateway.clients;
        let killed_at = mock.calls() + after;
        std::thread::scope(|scope| {
            for client in 0..6 {
                let answered = &answered;
                scope.spawn(move || {
                    for number in 0.. {
                        let text = format!("{after} {client} {number}");
                        let call = call(&text, number % 3 != 0);
                        // Connecting, sending, reading: all of it may fail once it is killed.
                        let reply = Conversation::connect(clients).and_then(|mut new| {
                            new.post("/v1/chat/completions", &call)?;
                            new.reply()
                        });
                        let Some(reply) = reply.ok().filter(|reply| reply.whole) else { return };
                        assert_eq!(reply.head.status, 200, "{}", reply.body);
                        let id = reply.head.header("x-request-id").unwrap().to_owned();
                        answered.lock().unwrap().push(id);
                    }
                });
            }
            mock.wait_for_calls(killed_at);
            gateway.child.kill().unwrap(); // SIGKILL
            gateway.child.wait().unwrap();
        });
    }
    let answered = answered.into_inner().unwrap();
    assert!(answered.len() > 300, "{}", answered.len());
    drop(Gateway::start(&workspace)); // takes over what the last one left
    let entries = workspace.store().ledger().latest(None, usize::MAX >> 1).unwrap();
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for entry in &entries {
        *times.entry(entry.request.as_str()).or_default() += 1;
    }
    assert!(times.values().all(|times| *times == 1), "something is there twice");
    let missing: Vec<&String> = answered.iter().filter(|id| !times.contains_key(id.as_str())).collect();
    assert!(missing.is_empty(), "{} of {} are lost: {missing:?}", missing.len(), answered.len());
    // What was cut is on the bill, but nobody had its last byte.
    let recorded: i64 = entries.iter().filter_map(|entry| entry.cost).map(|cost| cost.micro()).sum();
    let billed: i64 = mock.bill().values().flatten().sum();
    let answered = answered.len() as i64 * PAID;
    assert!(answered <= recorded && recorded <= billed, "{answered} <= {recorded} <= {billed}");
}

#[test]
fn the_wish_to_stop_finishes_the_streams_and_the_ledger() {
    let gate = Gate::default();
    let waits = gate.clone();
    let mock = Mock::new(move |call| match call.text.as_str() {
        "first" => Act::Answer(1),
        _ => Act::After(waits.clone(), Box::new(Act::Answer(5))),
    });
    let mut world = World::new(mock, "", "");
    let mut kept = world.send("first", true);
    assert!(kept.reply().unwrap().is_done());
    let mut running: Vec<_> = ["a", "b", "c"].into_iter().map(|text| world.send(text, true)).collect();
    world.mock.wait_for_calls(4);
    world.gateway.terminate();
    let address = world.gateway.clients;
    eventually("nobody is let in any more", || std::net::TcpStream::connect(address).is_err());
    assert_eq!(get(world.gateway.operators, "/health").head.status, 200, "operators still see it");
    gate.open();
    assert!(running.iter_mut().all(|running| running.reply().unwrap().is_done()));
    assert!(world.gateway.ended().success());
    let spool = world.workspace.path(".sprat/sprat.db-spool");
    let left: Vec<_> = std::fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"], "nothing waits for the next start");
    world.settles_with(4);
}

/// Holds the lock that SQLite's writers take, as another process that writes does: byte 120 of the shared index
/// (sqlite.org/walformat.html, "WAL locks").
fn lock(index: &File, kind: libc::c_int) {
    let byte = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 120,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(index, FcntlArg::F_SETLKW(&byte)).unwrap();
}

#[test]
fn while_another_process_holds_the_store_answers_go_on_and_their_records_come_later() {
    let world = World::new(Mock::new(|_| Act::Answer(3)), "max_concurrency = 64", "");
    assert_eq!(world.ask("before").head.status, 200);
    let index =
        File::options().read(true).write(true).open(world.workspace.path(".sprat/sprat.db-shm")).unwrap();
    lock(&index, libc::F_WRLCK);
    for number in 0..100 {
        assert!(world.stream(&number.to_string()).is_done());
    }
    let spool = std::fs::read_dir(world.workspace.path(".sprat/sprat.db-spool")).unwrap();
    let waiting: u64 = spool.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(waiting > 100 * 200, "they wait beside the store: {waiting} bytes");
    lock(&index, libc::F_UNLCK);
    drop(index);
    world.settles_with(101);
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_full_disk_answers_go_on_and_what_could_not_be_recorded_is_counted() {
    let mock = Mock::new(|_| Act::Answer(1));
    let workspace = Workspace::with(&mock.config(""), TASK);
    drop(workspace.store());
    // No file may grow beyond this, which is less than the database already has: as on a disk that is full. The
    // signal that says so is ignored, so that writing fails instead.
    let full = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let gateway = Gateway::start_under(&workspace, &full);
    let world = World { gateway, mock, workspace };
    assert_eq!(world.ask("while there is space").head.status, 200);
    let store = world.workspace.store();
    recorded(&store, 1);
    let process = world.gateway.child.id().to_string();
    let limit_files = |bytes: &str| {
        let limit = format!("--fsize={bytes}:");
        assert!(Command::new("prlimit").args(["--pid", &process, &limit]).status().unwrap().success());
    };
    limit_files("4096");
    for number in 0..60 {
        assert_eq!(world.ask(&format!("without space {number}")).head.status, 200);
    }
    let not_recorded = world.metric("sprat_not_recorded_total");
    assert!(not_recorded > 0, "4 KiB don't hold 60 records");
    limit_files("unlimited");
    assert!(world.stream("with space again").is_done());
    eventually("what fell into the spool is taken over, and the losses are written down", || {
        let totals = store.ledger().totals(&Default::default()).unwrap();
        assert!(totals.requests + totals.lost <= 62);
        totals.requests + totals.lost == 62
    });
    let totals = store.ledger().totals(&Default::default()).unwrap();
    assert_eq!((totals.lost, totals.cost.micro()), (not_recorded, totals.requests as i64 * PAID));
    let billed: i64 = world.mock.bill().values().flatten().sum();
    assert_eq!(
        totals.cost.micro() + totals.lost as i64 * PAID,
        billed,
        "the bill is what is recorded and what is counted"
    );
    assert_eq!(store.check().unwrap(), [] as [&str; 0]);
}

/// A library that shifts a program's wall clock; `None` where it can't be built.
#[cfg(target_os = "linux")]
fn clock_library(workspace: &Workspace) -> Option<String> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/clock.c");
    let library = workspace.path("clock.so").display().to_string();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o", &library, source, "-ldl"]).status();
    built.is_ok_and(|built| built.success()).then_some(library)
}

#[cfg(target_os = "linux")]
#[test]
fn a_clock_that_jumps_moves_the_records_and_nothing_else() {
    const DAY_S: i64 = 86_400;
    let gate = Gate::default();
    let waits = gate.clone();
    let mock = Mock::new(move |call| match call.text.split(' ').next().unwrap() {
        "waits" => Act::After(waits.clone(), Box::new(Act::Answer(2))),
        _ => Act::Answer(2),
    });
    let hanging = Mock::new(|_| Act::Begin(0, End::Hang));
    let workspace = Workspace::with(&mock.config(""), TASK);
    let impatient = Workspace::with(&format!("{}[server]\ndeadline_ms = 300", hanging.config("")), TASK);
    let Some(library) = clock_library(&workspace) else {
        eprintln!(
            "SKIPPED: the clock that jumps, because there is no C compiler to build tests/gateway/clock.c"
        );
        return;
    };
    workspace.write("shift", 0_i64.to_ne_bytes());
    let path = workspace.path("shift");
    let shift = File::options().write(true).open(&path).unwrap();
    let jump = |days: i64| shift.write_all_at(&(days * DAY_S).to_ne_bytes(), 0).unwrap();
    let start = |workspace: &Workspace| {
        let mut command = workspace.command(&ARGUMENTS);
        Gateway::run(command.env("LD_PRELOAD", &library).env("CLOCK_SHIFT", &path))
    };
    let hanging = World { gateway: start(&impatient), mock: hanging, workspace: impatient };
    let world = World { gateway: start(&workspace), mock, workspace };
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 / DAY_S;

    let mut across = world.send("waits", true); // begins today, ends in another year
    world.mock.wait_for_calls(1);
    let mut expected = vec![today];
    for days in [400, -400, 20_000, 1 - today, 0] {
        jump(days);
        assert_eq!(world.ask(&format!("jump by {days} days")).head.status, 200, "a jump by {days} days");
        // Neither cut early by the jump nor kept waiting by it.
        assert_eq!(hanging.ask(&format!("{days}")).head.status, 504, "a jump by {days} days");
        expected.push(today + days);
    }
    gate.open();
    assert!(across.reply().unwrap().is_done());
    let entries = world.settles_with(6);
    let mut found: Vec<i64> = entries.iter().map(|entry| entry.time_unix_ms / 1_000 / DAY_S).collect();
    found.sort();
    expected.sort();
    // The day may have changed meanwhile.
    assert!(
        found.iter().zip(&expected).all(|(found, expected)| found - expected <= 1),
        "{found:?} {expected:?}"
    );
    let a_day = 86_400_000_000;
    assert!(entries.iter().all(|entry| entry.latency_us < a_day), "what a clock skips is no waiting");
    hanging.settles_with(5);
}

/// What the gateway said to a text: who answered, and what.
fn said(world: &World, text: &str) -> (String, String) {
    let body = json!({"model": "tickets", "messages": [{"role": "user", "content": text}]});
    let reply = post(world.gateway.clients, "/v1/chat/completions", &body).reply().unwrap();
    assert_eq!(reply.head.status, 200, "{}", reply.body);
    let answer = reply.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    (reply.head.header("x-sprat-answered-by").unwrap().to_owned(), answer)
}

#[test]
fn a_model_file_replaced_under_a_running_server_changes_no_answer() {
    let mock = Mock::new(|_| Act::Answer(1));
    let workspace = Workspace::tickets();
    workspace.write("sprat.toml", mock.config(""));
    // The model is to answer each time, not the memory of its answers.
    let task = workspace.read("tasks/tickets.toml");
    workspace.write("tasks/tickets.toml", format!("{task}\n[cache]\nexact = false\n"));
    let ran = workspace.sprat(&["learn", "tickets", "rows.jsonl", "--require-certified"]);
    assert_eq!(ran.code, 0, "{ran}");
    let model = workspace.path(".sprat/releases/tickets/1/linear.sprat");
    let good = std::fs::read(&model).unwrap();
    let world = World::of(workspace, mock);
    let texts: Vec<String> = world.workspace.lines("stream.jsonl")[..60]
        .iter()
        .map(|row| row["text"].as_str().unwrap().to_owned())
        .collect();
    let before: Vec<_> = texts.iter().map(|text| said(&world, text)).collect();
    assert!(before.iter().filter(|(by, _)| by == "linear").count() > 20, "{before:?}");
    let mut asked = texts.len() as u64;

    type Break = fn(&[u8]) -> Option<Vec<u8>>;
    let breaks: [(&str, Break); 4] = [
        ("emptied", |_| Some(Vec::new())),
        ("other bytes", |good| Some(good.iter().map(|byte| byte ^ 0x5a).collect())),
        ("cut", |good| Some(good[..good.len() / 3].to_vec())),
        ("deleted", |_| None),
    ];
    for (number, (name, change)) in breaks.into_iter().enumerate() {
        match change(&good) {
            // In place, as `cp` does it: the file that the server opened.
            Some(bytes) => std::fs::write(&model, bytes).unwrap(),
            None => std::fs::remove_file(&model).unwrap(),
        }
        for (text, before) in texts.iter().zip(&before) {
            assert_eq!(said(&world, text), *before, "{name}: from memory");
        }
        news(&world.workspace.store(), 2 + 2 * number as u32);
        let standing =
            || get(world.gateway.operators, "/health/readiness").json()["tasks"][0]["stale"].to_string();
        eventually("the gateway sees that the file has changed", || standing() != "[]");
        let (by, _) = said(&world, &texts[0]);
        assert_eq!(by, "large", "{name}: nothing small from a file that is not what was certified");
        std::fs::write(&model, &good).unwrap();
        news(&world.workspace.store(), 3 + 2 * number as u32);
        eventually("the gateway sees that the file is whole", || standing() == "[]");
        asked += texts.len() as u64 + 1;
    }
    assert_eq!(said(&world, &texts[0]), before[0]);
    let entries = recorded(&world.workspace.store(), asked + 1);
    eventually("the ledger is the bill, audits included", || {
        let all = world.workspace.store().ledger().latest(None, usize::MAX >> 1).unwrap();
        let large = all.iter().filter(|entry| entry.ending == Ending::Large);
        let recorded: i64 = large.map(|entry| entry.cost.unwrap().micro()).sum();
        let billed: i64 = world.mock.bill().values().map(|charge| charge.unwrap()).sum();
        recorded == billed
    });
    let small = entries.iter().filter(|entry| entry.ending == Ending::Small);
    assert!(small.clone().count() > 20 && small.into_iter().all(|entry| entry.cost.unwrap().micro() == 0));
    assert!(!world.gateway.said().contains("panicked"), "{}", world.gateway.said());
}
