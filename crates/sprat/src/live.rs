//! The ladder that answers a task now: a release, checked against everything it is bound to, and the end above it.

use std::path::PathBuf;
use std::sync::Arc;

use sprat_cascade::{Account, Cache, Climbed, End, HeldBack, Ladder, Serving};
use sprat_learn::evidence::Evidence;
use sprat_learn::release::{self, Again, Loaded, Reason};
use sprat_learn::savings::LargeCost;
use sprat_store::{Ending, LedgerEntry, Source, Store};
use sprat_task::{
    Answer, Kind, Model, ModelId, Money, Problem, Provenance, Release, ReleaseId, RequestId, Task,
};

use crate::app::App;
use crate::failure::Failure;
use crate::models::Models;
use crate::workspace::Workspace;

/// The version that releases are bound to.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The ladder that answers a task now.
pub struct Live {
    /// The release; `None` before there is one, when everything goes to the end of the ladder.
    pub release: Option<Release>,
    /// Its folder.
    pub folder: Option<PathBuf>,
    /// The ladder. It answers nothing small unless the release is certified and unchanged.
    pub ladder: Ladder,
    /// Why the certificate no longer holds, a sentence each.
    pub stale: Vec<String>,
    /// What the large model costs a request.
    pub large_cost: Option<LargeCost>,
    /// Where the large model's answers come from.
    provenance: Provenance,
}

/// Whether the large model may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaching {
    /// Where it is configured; what stands in the way is an error.
    Large,
    /// The same, asked every time: what it said before is not remembered.
    Afresh,
    /// Never: no key is needed.
    SmallOnly,
}

/// Loads the live release of a task, or the one asked for.
pub async fn live(
    app: &App,
    workspace: &Workspace,
    models: &Models<'_>,
    store: &Store,
    task: &Task,
    version: Option<u32>,
    reaching: Reaching,
) -> Result<Live, Failure> {
    let release = find(store, task, version)?;
    let folder = release.as_ref().map(|release| release::folder(&workspace.releases(), &release.id));
    let reasons = folder.as_ref().and_then(|folder| release::read_reasons(folder, store, &task.name).ok());
    let rows: Vec<(String, Answer)> =
        reasons.into_iter().flatten().filter_map(|row| answered(task, row)).collect();
    let inputs = sample_inputs(&rows);
    let large_cost = match inputs.is_empty() {
        false => models.large_cost(task, &inputs)?,
        // Whose texts are forgotten costs what it cost when it was learned. Before there is a release nobody knows how
        // long the texts are: unknown, not nothing.
        true => release.as_ref().zip(task.large()).and_then(|(release, large)| cost_then(release, large)),
    };
    let mut end = Vec::new();
    if reaching != Reaching::SmallOnly {
        end.extend(models.large(task, &rows)?);
        end.extend(models.fallbacks(task, &rows));
    }
    // Any of them may be the one that answers.
    let provenance = end.iter().map(|large| large.model.provenance());
    let provenance = provenance.fold(models.large_provenance(task), Provenance::weaker);
    let each = large_cost.as_ref().map(|cost| cost.cost);
    let asked = end.into_iter().map(|large| match reaching {
        Reaching::Afresh => large.model as Arc<dyn Model>,
        _ => Arc::new(models.remembered(&large, store, app.now_unix_ms(), each)),
    });
    let last = models.end(task, asked.collect());
    let (ladder, stale) = match (&release, &folder) {
        (Some(release), Some(folder)) => {
            let open = |record: &_, file: Option<&std::path::Path>| models.open_rung(task, record, file);
            let Loaded { mut ladder, mut stale } = release::load(folder, release, task, last, &open);
            ladder.held_back = held_back(store, &release.id)?;
            if release.certificate.binding.judge.is_some()
                && models.judge_hash(task)? != release.certificate.binding.judge
            {
                stale.push(
                    "the judge of its texts, or its settings in sprat.toml, has changed since".to_owned(),
                );
            }
            if stale.is_empty() {
                stale.extend(changed_by_an_upgrade(release, folder, store, &ladder, task).await);
            }
            (if stale.is_empty() { ladder } else { ladder.answering_nothing_small() }, stale)
        }
        _ => (Ladder::new(Vec::new(), last), Vec::new()),
    };
    Ok(Live { release, folder, ladder, stale, large_cost, provenance })
}

/// What the audits have taken away from a release.
fn held_back(store: &Store, release: &ReleaseId) -> Result<Vec<HeldBack>, Failure> {
    let steps = store.step_backs().of(release)?.into_iter().filter(|step| step.ended.is_none());
    Ok(steps.map(|step| HeldBack { slice: step.taken.slice, share: step.way_back.share }).collect())
}

fn find(store: &Store, task: &Task, version: Option<u32>) -> Result<Option<Release>, Failure> {
    let registry = store.registry();
    let id = match version {
        Some(version) => Some(ReleaseId { task: task.name.clone(), version }),
        None => registry.live(&task.name)?.map(|deployment| deployment.live),
    };
    Ok(id.map(|id| registry.release(&id)).transpose()?)
}

/// After an upgrade the stored inputs are answered again: the same decisions keep the certificate, any other ends it.
async fn changed_by_an_upgrade(
    release: &Release,
    folder: &std::path::Path,
    store: &Store,
    ladder: &Ladder,
    task: &Task,
) -> Option<String> {
    if release.origin.code_version == VERSION {
        return None;
    }
    let then = &release.origin.code_version;
    let thresholds: Vec<Option<f64>> = release.rungs.iter().map(|rung| rung.threshold).collect();
    match release::replay(folder, store, ladder, &thresholds, task).await {
        Err(_) => Some(format!("made by version {then} of Sprat, and what it decided then can't be read")),
        Ok(again) if again.asked == 0 && again.stored > 0 => Some(format!(
            "made by version {then} of Sprat from captured requests that are all forgotten, so that nothing tells whether \
             this version decides the same; `sprat learn {} --from-traffic` learns from later ones",
            task.name
        )),
        Ok(Again { asked, changed, .. }) => (changed > 0).then(|| {
            format!("this version of Sprat decides {changed} of {asked} stored inputs differently from version {then}")
        }),
    }
}

impl Live {
    /// The same for a server, without a judge.
    pub fn serving(self, task: &Task) -> Serving {
        let Self { release, ladder, stale, large_cost, provenance, .. } = self;
        Serving {
            task: task.clone(),
            certificate: release.as_ref().map(|release| release.certificate.clone()),
            release: release.map(|release| release.id),
            stale,
            ladder,
            cache: if task.exact_cache { Cache::default() } else { Cache::off() },
            audit_rate: None,
            large_estimate: large_cost.map(|large| large.cost),
            provenance,
            judge: None,
        }
    }

    /// The release, for commands that need one.
    pub fn released(&self, task: &Task) -> Result<&Release, Problem> {
        self.release.as_ref().ok_or_else(|| nothing_live(task))
    }

    /// Says on stderr why small models don't answer, where they don't.
    pub fn explain(&self, app: &App, task: &Task) {
        for reason in &self.stale {
            app.out().warning(format!("the certificate of {} is stale: {reason}", task.name));
        }
        match &self.release {
            None => app.out().notice(format!(
                "{} has no live release: everything goes to the end of the ladder",
                task.name
            )),
            Some(release) if !release.certificate.allows_small_answers() => app.out().notice(format!(
                "{} is not certified ({}): everything goes to the end of the ladder",
                release.id, release.certificate.status
            )),
            Some(_) if !self.stale.is_empty() => {
                app.out().notice(format!(
                    "everything goes to the end of the ladder; `sprat learn {} ROWS`, with the rows it was made from, mends it",
                    task.name
                ));
            }
            Some(_) => {}
        }
    }

    /// A climb's line in the ledger.
    pub fn entry(
        &self,
        task: &Task,
        climbed: &Climbed,
        request: RequestId,
        source: Source,
        now_unix_ms: i64,
    ) -> LedgerEntry {
        let account = self.account(climbed);
        LedgerEntry {
            request,
            task: task.name.clone(),
            release: self.release.as_ref().map(|release| release.id.clone()),
            time_unix_ms: now_unix_ms,
            source,
            ending: ending(climbed.end),
            answered_by: climbed.answered_by.clone(),
            steps: climbed.steps.clone(),
            cost: account.spent.exact(),
            baseline_all_large: account.all_large,
            baseline_is_estimated: account.all_large_is_estimated,
            provenance: self.provenance(),
            latency_us: climbed.steps.iter().map(|step| step.latency_us).sum(),
            key: None,
            held: None,
        }
    }

    /// What a climb cost, beside what the large model alone would have.
    pub fn account(&self, climbed: &Climbed) -> Account {
        Account::of(climbed, self.large_estimate())
    }

    fn large_estimate(&self) -> Option<Money> {
        self.large_cost.as_ref().map(|cost| cost.cost)
    }

    /// Where the large model's answers and prices come from.
    pub fn provenance(&self) -> Provenance {
        self.provenance
    }
}

/// What to say where a task has no live release.
pub fn nothing_live(task: &Task) -> Problem {
    Problem::new(format!("task `{}` has no live release", task.name)).hint(format!(
        "`sprat learn {0} ROWS` makes one; `sprat releases {0}` lists what there is",
        task.name
    ))
}

fn ending(end: End) -> Ending {
    match end {
        End::Small => Ending::Small,
        End::Large => Ending::Large,
        End::People => Ending::People,
        End::NoAnswer => Ending::NoAnswer,
        End::Failed => Ending::Failed,
        End::Stopped => Ending::Stopped,
    }
}

/// Enough inputs for a fair mean of their length.
fn sample_inputs(rows: &[(String, Answer)]) -> Vec<sprat_task::Input> {
    rows.iter().take(200).map(|(text, _)| sprat_task::Input::new(text.as_str())).collect()
}

/// What the large model cost a request when a release was made.
fn cost_then(release: &Release, large: &ModelId) -> Option<LargeCost> {
    let evidence: Evidence = serde_json::from_value(release.evidence.clone()).ok()?;
    let savings = evidence.savings?;
    let requests = i64::try_from(savings.requests).ok().filter(|requests| *requests > 0)?;
    Some(LargeCost {
        model: large.clone(),
        cost: Money::from_micro(savings.all_large_micro_usd.micro() / requests),
        prices: savings.prices,
        provenance: savings.provenance,
    })
}

/// A training row with its answer, where both can still be told.
fn answered(task: &Task, row: Reason) -> Option<(String, Answer)> {
    Some((row.text?, answer_from_line(task, &row.label?)))
}

fn answer_from_line(task: &Task, line: &str) -> Answer {
    if task.kind == Kind::Extract {
        Answer::Fields(serde_json::from_str(line).unwrap_or_default())
    } else if task.multi {
        Answer::labels(line.split('|').filter(|label| !label.is_empty()).map(Into::into))
    } else {
        Answer::label(line)
    }
}
