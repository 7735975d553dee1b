//! Child processes: this test binary again, told by the environment what to do.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use sprat_store::{RunKey, RunRow, Store, TeacherAnswer, TeacherKey};
use sprat_task::{Money, Provenance, Sha256Hex, Usage};

use crate::samples::{Workspace, label, small, tickets};

const URL: &str = "SPRAT_STORE_TEST_URL";
const WORK: &str = "SPRAT_STORE_TEST_WORK";
const NAME: &str = "SPRAT_STORE_TEST_NAME";

/// What a child does.
#[derive(Clone, Copy)]
pub enum Work {
    /// Appends from four threads until it is killed, a line for each that was acknowledged.
    AppendForever,
    /// Keeps rows of a bulk run until it is killed, a line for each that was acknowledged.
    RunForever,
    /// Appends ten and dies at once.
    AppendTenAndAbort,
    /// A thousand appends and a hundred other writes; a line for each version number it was given.
    Hammer,
}

impl Work {
    const ALL: [(Self, &'static str); 4] = [
        (Self::AppendForever, "append forever"),
        (Self::RunForever, "run forever"),
        (Self::AppendTenAndAbort, "append ten and abort"),
        (Self::Hammer, "hammer"),
    ];
}

/// Starts a child on a workspace.
pub fn start(workspace: &Workspace, work: Work, name: &str) -> Child {
    let word = Work::ALL.iter().find(|(other, _)| *other as u8 == work as u8).unwrap().1;
    Command::new(std::env::current_exe().unwrap())
        .args(["children::a_child_at_work", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(URL, workspace.url())
        .env(WORK, word)
        .env(NAME, name)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a child has acknowledged, until it ends. The test harness prints between it, also on the same line.
pub struct Acknowledged(BufReader<std::process::ChildStdout>);

impl Acknowledged {
    pub fn by(child: &mut Child) -> Self {
        Self(BufReader::new(child.stdout.take().unwrap()))
    }
}

impl Iterator for Acknowledged {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            match self.0.read_line(&mut line) {
                Ok(0) | Err(_) => return None,
                // A line that was cut by the kill was never acknowledged in full.
                Ok(_) => {
                    if let Some((_, told)) = line.strip_suffix('\n').and_then(|line| line.split_once("ack "))
                    {
                        return Some(told.to_owned());
                    }
                }
            }
        }
    }
}

#[test]
#[ignore = "other tests run it in a process of its own"]
fn a_child_at_work() {
    let (Ok(url), Ok(word), Ok(name)) = (std::env::var(URL), std::env::var(WORK), std::env::var(NAME)) else {
        return;
    };
    let store = Store::open(&url).unwrap();
    match Work::ALL.iter().find(|(_, other)| *other == word).unwrap().0 {
        Work::AppendForever => append_forever(&store),
        Work::RunForever => run_forever(&store),
        Work::AppendTenAndAbort => {
            for number in 0..10 {
                store.ledger().append(&small(&format!("{name}-{number}"), 1)).unwrap();
            }
            acknowledge("ten");
            std::process::abort();
        }
        Work::Hammer => hammer(&store, &name),
    }
}

fn acknowledge(what: &str) {
    // One write a line, so that a kill never mixes two.
    std::io::stdout().write_all(format!("ack {what}\n").as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

fn append_forever(store: &Store) {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0.. {
                    let request = format!("{thread}-{number}");
                    store.ledger().append(&small(&request, 1)).unwrap();
                    acknowledge(&request);
                }
            });
        }
    });
}

pub fn run_key() -> RunKey {
    RunKey {
        task: tickets(),
        release: Some(1),
        input: Sha256Hex::of(b"in"),
        output: "out".to_owned(),
        options: Sha256Hex::of(b""),
    }
}

pub fn teacher_key() -> TeacherKey {
    TeacherKey { model: "large".into(), prompt: Sha256Hex::of(b"p") }
}

fn run_forever(store: &Store) {
    let run = store.runs().open(&run_key(), 1).unwrap();
    for row in store.runs().done_up_to(&run).unwrap().. {
        let done = RunRow { row, answer: Some(label("refund")), steps: Vec::new(), cost: Some(Money::ZERO) };
        assert_eq!(store.runs().record(&run, vec![done]).unwrap(), 1);
        acknowledge(&row.to_string());
    }
}

fn hammer(store: &Store, name: &str) {
    for number in 0..1_000_u32 {
        store.ledger().append(&small(&format!("{name}-{number}"), 1)).unwrap();
        if number % 10 == 0 {
            let version = store.registry().next_version(&tickets()).unwrap();
            acknowledge(&version.to_string());
            let bought = TeacherAnswer {
                answer: Some(label("refund")),
                usage: Usage::FREE,
                latency_us: 1,
                provenance: Provenance::Simulated,
                time_unix_ms: 1,
            };
            let input = Sha256Hex::of(format!("{name}-{number}").as_bytes());
            store.teacher().put_many(&teacher_key(), vec![(input, bought)]).unwrap();
        }
    }
}
