//! Sprat's side: a workspace, the server, and its ledger held against the upstream's bill.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::mock::Bill;

/// What every call begins with, whoever it goes through.
pub const SYSTEM: &str = "Which team should handle this ticket first?";

/// The labels of `examples/tickets`, as its file has them.
pub fn labels() -> anyhow::Result<Rc<[String]>> {
    let task = fs::read_to_string("examples/tickets/tasks/tickets.toml")?;
    let (_, list) = task.split_once("labels = [").context("tickets.toml has no labels")?;
    let (list, rest) = list.split_once(']').context("the labels of tickets.toml don't end")?;
    let beside = rest.lines().filter(|line| line.starts_with("out_of_scope"));
    let quoted = |text: &str| text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    Ok(quoted(list).into_iter().chain(beside.flat_map(quoted)).collect())
}

/// A folder with a sprat.toml whose only remote model is the mock.
pub struct Workspace {
    pub folder: PathBuf,
    binary: PathBuf,
}

impl Workspace {
    /// An empty one, or with the tickets of `examples/` learned from the rows that people labelled.
    pub fn new(folder: PathBuf, binary: &Path, mock_port: u16) -> anyhow::Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let toml = format!(
            "# Written by bench/gateway.\n\
             [models.large]\n\
             kind = \"remote\"\n\
             provider = \"compatible\"\n\
             base_url = \"http://127.0.0.1:{mock_port}/v1\"\n\
             model = \"mock\"\n\
             max_concurrency = 1024\n\
             price = {{ input = 1.0, output = 4.0 }}\n"
        );
        fs::write(folder.join("sprat.toml"), toml)?;
        Ok(Self { folder, binary: binary.to_owned() })
    }

    /// Learns `examples/tickets`, whose release then answers small; calls with `SYSTEM` are recognised as this task's.
    pub fn learn_tickets(&self, capture: bool) -> anyhow::Result<()> {
        fs::create_dir_all(self.folder.join("tasks"))?;
        let mut task = fs::read_to_string("examples/tickets/tasks/tickets.toml")?;
        task += &format!("\n[match]\nsystem_prompt_contains = \"{SYSTEM}\"\ninput = \"last_user_message\"\n");
        if capture {
            let redact = r#"["email", "phone", "card", "iban"]"#;
            task += &format!("\n[capture]\nenabled = true\nretention_days = 1\nredact = {redact}\n");
        }
        // The same texts come again and again: what is measured is the model, not the memory of its answers.
        task += "\n[cache]\nexact = false\n";
        fs::write(self.folder.join("tasks/tickets.toml"), task)?;
        let rows = fs::canonicalize("examples/tickets/rows.jsonl")?;
        self.run(&["learn", "tickets", &rows.to_string_lossy(), "--require-certified", "--json"])?;
        Ok(())
    }

    pub fn serve(&self, port: u16, management: u16) -> Vec<String> {
        let address = |port: u16| format!("127.0.0.1:{port}");
        vec![
            self.binary.to_string_lossy().into_owned(),
            "serve".to_owned(),
            "--listen".to_owned(),
            address(port),
            "--management".to_owned(),
            address(management),
        ]
    }

    /// Fails unless the ledger says of the mock exactly what the mock's own bill says. Returns how many requests it holds.
    pub fn hold_against(&self, bill: Bill) -> anyhow::Result<u64> {
        let cost = self.run(&["cost", "--json"])?;
        let models = cost["models"].as_array().context("`sprat cost` has no models")?;
        let large = models.iter().find(|model| model["model"] == "large");
        let number = |name: &str| large.map_or(0, |large| large[name].as_u64().unwrap_or(u64::MAX));
        let ledger = Bill { calls: number("steps"), micro_usd: number("cost_micro_usd") };
        ensure!(
            ledger == bill && number("cost_unknown") == 0 && cost["not_recorded"] == 0,
            "the ledger ({ledger:?}, {} of unknown cost, {} not recorded) differs from the upstream's bill ({bill:?})",
            number("cost_unknown"),
            cost["not_recorded"]
        );
        let spending = cost["spending"].as_array().context("`sprat cost` has no spending")?;
        spending[0]["requests"].as_u64().context("`sprat cost` has no requests")
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let done = Command::new(&self.binary).args(arguments).current_dir(&self.folder).output()?;
        if !done.status.success() {
            bail!("sprat {}: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr));
        }
        Ok(serde_json::from_slice(&done.stdout)?)
    }
}
