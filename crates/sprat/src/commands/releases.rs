//! `sprat releases`: the registry of a task, and the differences between two of its releases.

use serde::Serialize;
use serde_json::json;
use sprat_learn::evidence::Evidence;
use sprat_store::{Beside, Deployment, DeploymentRecord, Store};
use sprat_task::{Release, ReleaseId, Task, certificate::percent};

use crate::app::App;
use crate::failure::Failure;
use crate::output::{Output, Table, words};
use crate::watched::Watched;

/// List a task's releases, or compare two of them
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat releases tickets
  sprat releases tickets --compare 2 3")]
pub struct Args {
    /// The task: tasks/TASK.toml
    task: String,
    /// Two versions: what differs between them
    #[arg(long, num_args = 2, value_names = ["VERSION", "VERSION"])]
    compare: Option<Vec<u32>>,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let task = workspace.task(&args.task)?;
    let store = workspace.store()?;
    match args.compare.as_deref() {
        Some([one, other]) => compare(app, &store, task, [*one, *other]),
        _ => list(app, &store, task),
    }
}

/// What is shown of a release: each with its word in tables.
#[derive(Serialize)]
struct Figures {
    release: String,
    created_unix_ms: i64,
    status: String,
    guarantee: String,
    max_error: f64,
    look: u32,
    rungs: Vec<String>,
    /// Share of the certification rows that were answered small.
    coverage: Option<f64>,
    /// Of these, the share that was right.
    selective_accuracy: Option<f64>,
    /// Share of the all-large cost that would be saved.
    saving: Option<f64>,
    /// Rows it was made from, those it was certified on included.
    rows: u64,
    code_version: String,
}

impl Figures {
    fn of(release: &Release) -> Self {
        // A release of another version may hold evidence that this one doesn't know; its other figures still stand.
        let evidence: Option<Evidence> = serde_json::from_value(release.evidence.clone()).ok();
        let certificate = &release.certificate;
        let ladder = evidence.as_ref().map(|evidence| &evidence.ladder);
        Self {
            release: release.id.to_string(),
            created_unix_ms: release.created_unix_ms,
            status: certificate.status.to_string(),
            guarantee: certificate.guarantee.to_string(),
            max_error: certificate.alpha,
            look: certificate.look,
            rungs: release.rungs.iter().map(rung).collect(),
            coverage: ladder.map(|ladder| ladder.coverage),
            selective_accuracy: ladder.and_then(|ladder| ladder.selective_accuracy),
            saving: evidence.as_ref().and_then(|evidence| Some(evidence.savings.as_ref()?.share)),
            rows: release.origin.rows,
            code_version: release.origin.code_version.clone(),
        }
    }

    /// The figures that may differ, by name.
    fn named(&self) -> [(&'static str, String); 10] {
        let share = |share: Option<f64>| share.map_or_else(|| "unknown".to_owned(), words::share);
        [
            ("made", words::time(self.created_unix_ms)),
            ("certificate", self.status.clone()),
            ("guarantee", self.guarantee.clone()),
            ("largest error", percent(self.max_error)),
            ("look", self.look.to_string()),
            ("answered small", share(self.coverage)),
            ("right of these", share(self.selective_accuracy)),
            ("saves", share(self.saving)),
            ("rows", words::count(self.rows)),
            ("made by version", self.code_version.clone()),
        ]
    }
}

fn rung(rung: &sprat_task::RungRecord) -> String {
    match rung.threshold {
        Some(threshold) => format!("{} above {threshold:.4}", rung.model),
        None => format!("{} never", rung.model),
    }
}

#[derive(Serialize)]
struct Listing {
    task: String,
    live: Option<Deployment>,
    #[serde(flatten)]
    beside: Beside,
    releases: Vec<Figures>,
    /// What releases would have answered while they watched.
    watched: Vec<Watched>,
    history: Vec<DeploymentRecord>,
}

impl Listing {
    /// What a release does now, in a word or two.
    fn role(&self, release: &str) -> String {
        let is = |id: &ReleaseId| id.to_string() == release;
        if self.live.as_ref().is_some_and(|deployment| is(&deployment.live)) {
            return "live".to_owned();
        }
        match &self.beside.canary {
            Some(canary) if is(&canary.release) => format!("canary {}", canary.share),
            _ if self.beside.shadow.as_ref().is_some_and(is) => "shadow".to_owned(),
            _ => String::new(),
        }
    }
}

fn list(app: &App, store: &Store, task: &Task) -> Result<(), Failure> {
    let registry = store.registry();
    let listing = Listing {
        task: task.name.to_string(),
        live: registry.live(&task.name)?,
        beside: registry.beside(&task.name)?,
        releases: registry.releases(&task.name)?.iter().map(Figures::of).collect(),
        watched: store.shadow().of_task(&task.name)?.into_iter().map(Watched::from).collect(),
        history: registry.history(&task.name)?,
    };
    app.out().show(&listing, |out| show(out, task, &listing));
    Ok(())
}

fn show(out: &Output, task: &Task, listing: &Listing) {
    if listing.releases.is_empty() {
        out.line(format!("no releases of {} yet", task.name));
        out.line(format!("next: sprat learn {} ROWS", task.name));
        return;
    }
    let columns =
        ["release", "made", "certificate", ">answered small", ">right of these", ">saves", ">rows", ""];
    let mut table = Table::new(columns);
    for figures in &listing.releases {
        let [made, status, _, _, _, coverage, accuracy, saving, rows, _] =
            figures.named().map(|(_, text)| text);
        let role = listing.role(&figures.release);
        table.row([figures.release.clone(), made, status, coverage, accuracy, saving, rows, role]);
    }
    out.table(&table);
    if !listing.watched.is_empty() {
        out.heading("What they would have answered while they watched");
        let mut table = Table::new(Watched::COLUMNS);
        listing.watched.iter().for_each(|watched| table.row(watched.row()));
        out.table(&table);
    }
    if !listing.history.is_empty() {
        out.heading("What was live, canary or shadow");
        let mut table = Table::new(["when", "what", "release", "before", "why"]);
        for record in &listing.history {
            table.row([
                words::time(record.time_unix_ms),
                what(record),
                record.release.to_string(),
                record.from.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
                record.reason.clone(),
            ]);
        }
        out.table(&table);
    }
}

fn what(record: &DeploymentRecord) -> String {
    match record.share {
        Some(share) => format!("{} {share}", record.action.word()),
        None => record.action.word().to_owned(),
    }
}

fn compare(app: &App, store: &Store, task: &Task, versions: [u32; 2]) -> Result<(), Failure> {
    let find = |version| store.registry().release(&ReleaseId { task: task.name.clone(), version });
    let [one, other] = [find(versions[0])?, find(versions[1])?];
    let [one, other] = [Figures::of(&one), Figures::of(&other)];
    app.out().show(&json!({ "task": task.name, "releases": [&one, &other] }), |out| {
        let mut table = Table::new(["", one.release.as_str(), other.release.as_str(), ""]);
        let changed = |a: &str, b: &str| if a == b { String::new() } else { "differs".to_owned() };
        for ((name, left), (_, right)) in one.named().into_iter().zip(other.named()) {
            let mark = changed(&left, &right);
            table.row([name.to_owned(), left, right, mark]);
        }
        let most = one.rungs.len().max(other.rungs.len());
        for at in 0..most {
            let rung = |figures: &Figures| figures.rungs.get(at).cloned().unwrap_or_else(|| "-".to_owned());
            let (left, right) = (rung(&one), rung(&other));
            let mark = changed(&left, &right);
            table.row([format!("rung {}", at + 1), left, right, mark]);
        }
        out.table(&table);
    });
    Ok(())
}
