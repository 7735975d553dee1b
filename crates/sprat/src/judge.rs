//! Who judges a task's texts? The model or the command that its file names, with a memory, and what a model costs in the
//! ledger.

mod charged;
mod command;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sprat_learn::judge::RememberedJudge;
use sprat_learn::teacher::Remembered;
use sprat_store::Store;
use sprat_task::{
    Answer, Context, Grading, Input, Judge, LabelledRow, Model, Money, Pair, Problem, Provenance, Quality,
    ReleaseId, Source, Task, Verdict,
};

use crate::app::App;
use crate::failure::Failure;
use crate::models::Models;
use crate::output::words;
use crate::workspace::{Workspace, in_table};

use charged::Charged;
use command::Command;

pub use command::find_program;

/// What a judge is opened with.
pub struct Opening<'a> {
    /// Where it says something.
    pub app: &'a App,
    /// Where the task's files are.
    pub workspace: &'a Workspace,
    /// Who may judge.
    pub models: &'a Models<'a>,
    /// Where its verdicts and its cost are kept.
    pub store: &'a Store,
    /// The task.
    pub task: &'a Task,
}

/// What a judge may cost.
#[derive(Default)]
struct Purse {
    /// What one call is expected to cost.
    each: Option<Money>,
    /// The most that all may.
    cap: Option<Money>,
}

impl Opening<'_> {
    /// The judge of a server's answers; `None` where a measure says which texts are good enough.
    ///
    /// # Errors
    /// A model that can't be opened, or a program that isn't there.
    pub fn judge_of_requests(&self, release: Option<&ReleaseId>) -> Result<Option<RememberedJudge>, Failure> {
        self.open(release, Purse::default())
    }

    /// The same for rows, of which so many texts are said each: what a model may cost is told before it is asked, and a command is
    /// tried.
    ///
    /// # Errors
    /// The same; and a command that finds no right text good.
    pub fn judge_of_rows(
        &self,
        rows: &[LabelledRow],
        said_each: usize,
        cap: Option<Money>,
    ) -> Result<Option<RememberedJudge>, Failure> {
        let both = rows.iter().filter(|row| row.gold.is_some() && row.large.is_some()).count();
        let each = self.quote(rows, rows.len() * said_each + both)?;
        let Some(judge) = self.open(None, Purse { each, cap })? else { return Ok(None) };
        if let Some(Quality::Tested { tests }) = &self.task.quality {
            self.try_command(&judge, &tests.command, rows)?;
        }
        Ok(Some(judge))
    }

    fn open(&self, release: Option<&ReleaseId>, purse: Purse) -> Result<Option<RememberedJudge>, Failure> {
        let Some(grading) = Grading::of(self.task) else { return Ok(None) };
        let (model, provenance): (Arc<dyn Model>, Provenance) = match &self.task.quality {
            Some(Quality::Judged { judge }) => {
                let model = Arc::new(self.models.judge(&judge.model)?);
                let provenance = model.provenance();
                let charged = Charged {
                    inner: model,
                    app: self.app.clone(),
                    store: self.store.clone(),
                    task: self.task.name.clone(),
                    release: release.cloned(),
                    provenance,
                };
                (Arc::new(charged), provenance)
            }
            Some(Quality::Tested { tests }) => {
                let command = Command::new(tests, &self.workspace.tasks_folder());
                (Arc::new(command.map_err(|why| self.no_command(&why))?), Provenance::Measured)
            }
            Some(Quality::Alike(_)) | None => return Ok(None),
        };
        let Some(identity) = self.models.judge_hash(self.task)? else { return Ok(None) };
        let now = self.app.now_unix_ms();
        let (store, memory) = (self.store.clone(), identity.clone());
        let remembered = Remembered::new(model, store, memory, provenance, now, purse.each);
        let remembered = match purse.cap {
            Some(cap) => remembered.capped(cap),
            None => remembered,
        };
        Ok(Some(RememberedJudge::new(remembered, grading, identity)))
    }

    /// Says what so many calls about rows like these would cost; gives what one would.
    fn quote(&self, rows: &[LabelledRow], most: usize) -> Result<Option<Money>, Failure> {
        let (Some(Quality::Judged { judge }), Some(grading)) = (&self.task.quality, Grading::of(self.task))
        else {
            return Ok(None);
        };
        let model = self.models.judge(&judge.model)?;
        let inputs: Vec<Input> = right_pairs(rows).take(200).map(|pair| pair.to_input()).collect();
        let quote = model.quote(&grading.task, &inputs);
        let each = quote.cost_estimate.zip(i64::try_from(inputs.len()).ok().filter(|inputs| *inputs > 0));
        let each = each.map(|(cost, inputs)| Money::from_micro(cost.micro() / inputs));
        let cost = each.zip(i64::try_from(most).ok()).and_then(|(each, most)| each.micro().checked_mul(most));
        self.app.out().notice(format!(
            "{} judges texts that differ from the right ones: at most {}, which {} ({}); what it has judged before is not asked again",
            judge.model,
            words::counted(most as u64, "call"),
            match cost {
                Some(cost) => format!("would cost about {}", Money::from_micro(cost)),
                None => "cost nobody knows how much".to_owned(),
            },
            quote.basis
        ));
        Ok(each)
    }

    /// A command that finds right texts bad judges nothing.
    fn try_command(
        &self,
        judge: &RememberedJudge,
        command: &[String],
        rows: &[LabelledRow],
    ) -> Result<(), Failure> {
        const TRIED: usize = 3;
        let pairs: Vec<Pair> = right_pairs(rows).take(TRIED).collect();
        let cx = Context::until(Instant::now() + Duration::from_secs(3_600), "judge");
        let verdicts = self.app.block_on(judge.judge(&cx, &pairs))?;
        if verdicts.is_empty() || verdicts.contains(&Verdict::Good) {
            return Ok(());
        }
        let why = verdicts.into_iter().find_map(|verdict| match verdict {
            Verdict::Unclear(why) => Some(why),
            Verdict::Good | Verdict::Bad => None,
        });
        let why = why.unwrap_or_else(|| "it ended with exit code 1".to_owned());
        let command = command.join(" ");
        Err(self
            .at_command(format!("`{command}` finds none of {} right texts good: {why}", pairs.len()))
            .allowed("a command that reads one line of JSON and ends with exit code 0 where `said` is good, 1 where it is bad")
            .hint(format!("try it: echo '{{\"input\": \"…\", \"right\": \"…\", \"said\": \"…\"}}' | {command}"))
            .into())
    }

    fn no_command(&self, why: &str) -> Failure {
        self.at_command(why.to_owned())
            .allowed("a program on the PATH, or a file beside the task's")
            .hint("install it, or name another under [quality] command")
            .into()
    }

    fn at_command(&self, message: String) -> Problem {
        let source = self.workspace.tasks.get(&self.task.name).map(|(_, source)| source);
        in_quality(source, "command", message)
    }
}

/// A problem with a key of `[quality]`.
fn in_quality(source: Option<&Source>, key: &str, message: String) -> Problem {
    match source {
        Some(source) => in_table(source, &["quality", key], message),
        None => Problem::new(message),
    }
}

/// Right texts beside themselves: as long as what a judge will see, and good.
fn right_pairs(rows: &[LabelledRow]) -> impl Iterator<Item = Pair> {
    rows.iter().filter_map(|row| match row.target()? {
        Answer::Text(right) => Some(Pair::new(&row.input, right, right)),
        _ => None,
    })
}
