//! A gateway of a test's own: a workspace, the program serving it, and the comparison of its ledger with the bill.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sprat_store::{Filter, LedgerEntry, Spend, Store};
use sprat_task::ReleaseId;

use crate::client::{Conversation, Reply, call, get, post};
use crate::mock::Mock;
use crate::workspace::Workspace;

/// Only a program that does something else than the test expects makes a test wait so long.
pub const PATIENCE: Duration = Duration::from_secs(100);

/// A task that nothing was learned for: everything goes to the large model.
pub const TASK: &str = "kind = \"classify\"\nlabels = [\"refund\", \"delivery\"]\nlarge = \"large\"\n";

/// A workspace, its provider, and the program that serves it.
pub struct World {
    pub gateway: Gateway, // ends first
    pub mock: Mock,
    pub workspace: Workspace,
}

/// A running `sprat serve`.
pub struct Gateway {
    pub clients: SocketAddr,
    pub operators: SocketAddr,
    pub child: Child,
    said: Arc<Mutex<String>>,
}

impl World {
    /// With more settings of the model, and of the server.
    pub fn new(mock: Mock, model: &str, server: &str) -> Self {
        let workspace = Workspace::with(&format!("{}[server]\n{server}\n", mock.config(model)), TASK);
        Self::of(workspace, mock)
    }

    /// Of a workspace that is there.
    pub fn of(workspace: Workspace, mock: Mock) -> Self {
        let gateway = Gateway::start(&workspace);
        Self { gateway, mock, workspace }
    }

    /// A chat call, and its whole reply.
    pub fn ask(&self, text: &str) -> Reply {
        self.send(text, false).reply().unwrap()
    }

    /// The same, as a stream.
    pub fn stream(&self, text: &str) -> Reply {
        self.send(text, true).reply().unwrap()
    }

    pub fn send(&self, text: &str, stream: bool) -> Conversation {
        post(self.gateway.clients, "/v1/chat/completions", &call(text, stream))
    }

    /// A number of the metrics; 0 where it isn't counted yet.
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = get(self.gateway.operators, "/metrics").body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |number| number.parse().unwrap())
    }

    /// The ledger is the provider's own bill, once so many requests are in it.
    pub fn settles_with(&self, requests: u64) -> Vec<LedgerEntry> {
        let entries = recorded(&self.workspace.store(), requests);
        // Whoever was never asked is not on the bill, and is free.
        let mut bill: Vec<Option<i64>> = self.mock.bill().into_values().collect();
        assert!(bill.len() <= entries.len(), "asked about {}, recorded {}", bill.len(), entries.len());
        bill.resize(entries.len(), Some(0));
        let mut ledger: Vec<Option<i64>> =
            entries.iter().map(|entry| entry.cost.map(|cost| cost.micro())).collect();
        bill.sort();
        ledger.sort();
        assert_eq!(ledger, bill, "the ledger is not the bill: {:?}", self.mock.bill());
        assert!(!self.gateway.said().contains("panicked"), "{}", self.gateway.said());
        entries
    }
}

/// Waits until so many requests are in the ledger, and no more. Audits of their answers are none.
pub fn recorded(store: &Store, requests: u64) -> Vec<LedgerEntry> {
    let serving = Filter { spend: Some(Spend::Serving), ..Filter::default() };
    eventually(&format!("{requests} requests in the ledger"), || {
        let there = store.ledger().totals(&serving).unwrap().requests;
        assert!(there <= requests, "{there} requests in the ledger, and there were only {requests}");
        there == requests
    });
    store.ledger().latest(None, usize::MAX >> 1).unwrap()
}

/// Lets the gateway look at everything again: a release that nobody made live is news too.
pub fn news(store: &Store, version: u32) {
    let live = store.registry().release(&ReleaseId { task: "tickets".into(), version: 1 }).unwrap();
    let id = ReleaseId { version, ..live.id.clone() };
    store.registry().add(&sprat_task::Release { id, ..live }).unwrap();
}

/// Returns once it is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "this did not happen: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Gateway {
    /// Starts the program and returns once it listens.
    pub fn start(workspace: &Workspace) -> Self {
        Self::run(&mut workspace.command(&ARGUMENTS))
    }

    /// The same, under a command that runs what follows it.
    pub fn start_under(workspace: &Workspace, command: &[&str]) -> Self {
        let inner = workspace.command(&ARGUMENTS);
        let mut outer = Command::new(command[0]);
        outer.args(&command[1..]).arg(inner.get_program()).args(inner.get_args());
        outer.current_dir(inner.get_current_dir().unwrap()).stdin(Stdio::null());
        Self::run(&mut outer)
    }

    pub fn run(command: &mut Command) -> Self {
        command.env("SPRAT_LOG", "warn").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (listening, mut stderr) = (said.clone(), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|read| read > 0) {
                listening.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let mut told = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let told: Value = loop {
            let read = stdout.read_line(&mut told).unwrap();
            assert!(read > 0, "it ended: {told}\n{}", said.lock().unwrap());
            if let Ok(told) = serde_json::from_str(&told) {
                break told;
            }
        };
        let address = |key: &str| {
            let url = told[key].as_str().unwrap().trim_start_matches("http://").trim_end_matches("/v1");
            url.parse().unwrap()
        };
        Self { clients: address("base_url"), operators: address("management_url"), child, said }
    }

    /// What it has said on stderr.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        let process = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(process, Signal::SIGTERM).unwrap();
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the gateway ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

/// What `sprat` is told.
pub const ARGUMENTS: [&str; 6] =
    ["serve", "--json", "--listen", "127.0.0.1:0", "--management", "127.0.0.1:0"];

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
