//! `sprat import`: a log of calls into the workspace, for `sprat discover`.

use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::json;
use sprat_learn::import::{
    ImportError, Importing, Log, LogFile, LogText, Rejected, StoreImport, import_into,
};
use sprat_task::Problem;

use crate::app::App;
use crate::failure::Failure;
use crate::models::Models;
use crate::output::{Output, words};
use crate::workspace::shown;

/// Take a log of calls to a large model into the workspace
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat import calls.jsonl
  sprat import batch_input.jsonl batch_output.jsonl      a batch, joined by custom_id
  gunzip -c calls.jsonl.gz | sprat import -
  sprat import calls.jsonl --rejects bad-lines.jsonl     keeps the lines that could not be read

A log holds one JSON object a line: chat-completion requests with their responses, in any of the
usual shapes, or OpenAI's batch files. Importing the same calls again adds nothing. The texts are
kept in the workspace's store, because you gave them; `sprat import --forget` deletes them. Next:
`sprat discover`.")]
pub struct Args {
    /// Files of calls; `-` is standard input
    #[arg(required_unless_present = "forget")]
    logs: Vec<PathBuf>,
    /// Where lines that can't be read are written; standard error names them otherwise
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Delete everything that was imported, texts and all
    #[arg(long, conflicts_with_all = ["logs", "rejects"])]
    forget: bool,
}

/// Rejected lines that are shown one by one.
const SHOWN: u64 = 5;

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace_or_default()?;
    let store = workspace.store()?;
    if args.forget {
        let forgotten = store.calls().forget(None)?;
        app.out().show(&json!({ "forgotten": forgotten }), |out| {
            out.line(format!("{} forgotten", words::counted(forgotten, "call")))
        });
        return Ok(());
    }
    let models = Models::open(&workspace)?;
    let logs = args.logs.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    let borrowed: Vec<&dyn Log> = logs.iter().map(AsRef::as_ref).collect();
    let mut rejects = Rejects::new(app.out().clone(), args.rejects.as_deref())?;
    let bar = app.out().progress("lines", None);
    let imported = import_into(
        &store,
        &borrowed,
        &Importing {
            price: &|model| models.price(model),
            progress: &|progress| {
                bar.set(progress.lines);
                if app.cancel().is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        },
        app.now_unix_ms(),
        &mut |rejected| rejects.take(&rejected),
    );
    drop(bar);
    // The lines set aside so far are kept also where the import stopped half way.
    let rejected = rejects.finish();
    let imported = imported.map_err(|error| match error {
        ImportError::Log(problem) => Failure::from(problem),
        ImportError::Sink(error) => error.into(),
        ImportError::Stopped => Failure::Stopped,
    })?;
    rejected?;
    let total = store.calls().count(&sprat_store::CallFilter::default())?;
    let json = json!({ "imported": imported, "calls_in_workspace": total });
    app.out().show(&json, |out| tell(out, &imported, total));
    if imported.found.calls == 0 {
        let what = if imported.found.rejected == 0 {
            let logs: Vec<String> = args.logs.iter().map(|path| shown(path)).collect();
            format!("there is nothing in {}", logs.join(", "))
        } else {
            "no line of the log records a call".to_owned()
        };
        return Err(Problem::new(what)
            .allowed("one JSON object a line, with `messages` (or `request`) and the answer (`response`)")
            .into());
    }
    Ok(())
}

fn open(path: &Path) -> Result<Box<dyn Log>, Failure> {
    if path != Path::new("-") {
        return Ok(Box::new(LogFile::new(path)));
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::ours(format!("standard input can't be read: {error}")))?;
    Ok(Box::new(LogText::new("standard input", bytes)))
}

/// Lines that could not be read: shown, and written where that was asked for.
struct Rejects {
    out: Output,
    file: Option<(PathBuf, std::io::BufWriter<std::fs::File>)>,
    count: u64,
    trouble: Option<std::io::Error>,
}

impl Rejects {
    fn new(out: Output, path: Option<&Path>) -> Result<Self, Failure> {
        let open = |path: &Path| {
            std::fs::File::create(path)
                .map(|file| (path.to_owned(), std::io::BufWriter::new(file)))
                .map_err(|error| Failure::ours(format!("{} can't be written: {error}", shown(path))))
        };
        Ok(Self { out, file: path.map(open).transpose()?, count: 0, trouble: None })
    }

    fn take(&mut self, rejected: &Rejected) {
        self.count += 1;
        if self.count <= SHOWN {
            let problem = rejected.problem();
            let at =
                problem.place.map(|place| format!(" ({}:{})", place.file, place.line)).unwrap_or_default();
            self.out.warning(format!("{}{at}", problem.message));
        }
        if let Some((_, file)) = &mut self.file
            && let Err(error) = file.write_all(&rejected.bytes).and_then(|()| file.write_all(b"\n"))
        {
            self.trouble = Some(error);
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        if self.count > SHOWN {
            self.out.warning(format!("{} more lines could not be read", words::count(self.count - SHOWN)));
        }
        let Some((path, file)) = &mut self.file else {
            if self.count > 0 {
                self.out.notice("lines that record no call are left out; --rejects FILE keeps them");
            }
            return Ok(());
        };
        let trouble = self.trouble.take().or(file.flush().err());
        trouble
            .map_or(Ok(()), |error| Err(Failure::ours(format!("{} can't be written: {error}", shown(path)))))
    }
}

fn tell(out: &Output, imported: &StoreImport, total: u64) {
    let found = &imported.found;
    out.line(format!(
        "{} read: {} new, {} known already",
        words::counted(found.calls, "call"),
        words::count(imported.added),
        words::count(imported.known)
    ));
    for (count, what) in [
        (found.rejected, ["line records no call", "lines record no call"]),
        (found.failed, ["call failed", "calls failed"]),
        (found.unanswered, ["call has no answer in the log", "calls have no answer in the log"]),
        (found.without_cost, ["call has no known cost", "calls have no known cost"]),
    ] {
        match count {
            0 => {}
            1 => out.line(format!("- 1 {}", what[0])),
            _ => out.line(format!("- {} {}", words::count(count), what[1])),
        }
    }
    for (model, calls) in found.unpriced_models.iter().take(5) {
        out.line(format!("- the price of `{model}` is unknown ({})", words::counted(*calls, "call")));
    }
    let next = if total > 0 { "; next: sprat discover" } else { "" };
    out.line(format!("{} in the workspace{next}", words::counted(total, "call")));
}
