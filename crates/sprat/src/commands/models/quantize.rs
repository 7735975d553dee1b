//! `sprat models quantize`: a smaller file of the same model, and whether it still answers the same.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sprat_engine::gguf::{Gguf, Shape};
use sprat_engine::protocol::HELLO;
use sprat_engine::quantize::{Job, Plan, Quantization, Quantize, Told, Weigh};
use sprat_learn::rows::{ReadOptions, read_labelled};
use sprat_models::decoder::chat::ChatTemplate;
use sprat_models::decoder::{self, Compared, Failed, compare, run_job};
use sprat_stats::interval::clopper_pearson;
use sprat_task::{Context, LabelledRow, Problem, Sha256Hex, Task};

use super::{gguf, written_file};
use crate::app::App;
use crate::columns::ColumnNames;
use crate::config::DECODER_CONTEXT;
use crate::decoders;
use crate::failure::Failure;
use crate::output::{Mark, Output, words};
use crate::workspace::{Workspace, shown};

/// Rows that numbers are weighed with, at most: more change little, and each is read once.
const MOST_WEIGHED: usize = 256;
/// Rows that both files are asked, at most.
const MOST_JUDGED: usize = 1_000;
/// Fewer rows than this can neither weigh nor judge.
const FEWEST: usize = 20;
/// Room on the disk that is left besides.
const SPARE: u64 = 64 << 20;
/// How long judging may take.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// What to make, of what.
#[derive(clap::Args)]
pub struct Args {
    /// A decoder of sprat.toml; or path:FILE, hf:OWNER/NAME#FILE, FILE.gguf: in 16 or 32 bits
    #[arg(value_name = "MODEL|SOURCE")]
    model: String,
    /// The file to write
    out: PathBuf,
    /// How its numbers are to be stored: q8_0, q6_k, q5_k_m, q4_k_m, q4_0
    #[arg(long, value_name = "QUANTIZATION")]
    to: Quantization,
    /// Rows of a task, to weigh the numbers with and to judge by; needs --task
    #[arg(long, value_name = "ROWS", requires = "task")]
    rows: Vec<PathBuf>,
    /// The task that the rows belong to: tasks/TASK.toml
    #[arg(long, requires = "rows")]
    task: Option<String>,
    /// Exit code 1 where a larger share of the rows is answered otherwise
    #[arg(long, value_name = "SHARE", default_value_t = 0.02)]
    most_flips: f64,
    /// Tokens that are looked back on while rows are read
    #[arg(long, value_name = "TOKENS", default_value_t = DECODER_CONTEXT)]
    context: u32,
    /// Threads to work on; as many as the machine has unless given
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: u32,
    #[command(flatten)]
    columns: ColumnNames,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    if !(0.0..=1.0).contains(&args.most_flips) {
        let wrong = Problem::new(format!("`{}` is not a value of `--most-flips`", args.most_flips));
        return Err(wrong.allowed("a share from 0 to 1; 0.02 is the default").into());
    }
    let workspace = app.workspace_or_default()?;
    let file = written_file(&workspace, &args.model)?;
    let (source, shape) = gguf::read(&file)?;
    let rows = rows(&args, &workspace)?;
    let plan = Plan::of(&source, &shape, args.to, rows.is_some());
    check(&file, &source, &args.out, plan.bytes(source.alignment).saturating_add(source.data_start))?;
    let importance = match &rows {
        Some(rows) => Some(weigh(&args, app, (&file, &source), rows)?),
        None => None,
    };
    write(&args, app, &file, importance.as_ref(), plan.bytes(source.alignment))?;
    let (made, _) = gguf::read(&args.out)?;
    let judged = match &rows {
        Some(rows) => Some(judge(&args, app, (&file, &source), rows)?),
        None => None,
    };
    let outcome = Outcome { args: &args, source: &source, shape: &shape, made: &made, plan: &plan, judged };
    app.out().show(&outcome.json(), |out| outcome.show(out));
    if outcome.is_refused() { Err(Failure::Told) } else { Ok(()) }
}

/// The rows of a task, apart: what weighs judges nothing.
struct Rows {
    task: Task,
    weighing: Vec<LabelledRow>,
    judging: Vec<LabelledRow>,
}

/// Reads the rows, and draws by hash which of them weigh.
fn rows(args: &Args, workspace: &Workspace) -> Result<Option<Rows>, Failure> {
    let Some(task) = &args.task else { return Ok(None) };
    let task = workspace.task(task)?.clone();
    let options = ReadOptions { labels_may_be_missing: true, ..args.columns.options() };
    let set = read_labelled(&args.rows, &task, &options)?;
    let digest = |row: &LabelledRow| Sha256Hex::of(row.input.text.as_bytes());
    let mut rows: Vec<LabelledRow> = set.rows.into_iter().chain(set.unlabelled).collect();
    rows.sort_by_cached_key(digest);
    rows.dedup_by_key(|row| row.input.text.clone());
    if rows.len() < FEWEST {
        return Err(Problem::new(format!(
            "{} different rows are too few to weigh and to judge by",
            rows.len()
        ))
        .allowed(format!("{FEWEST} or more; some hundred say something"))
        .into());
    }
    let mut judging = rows.split_off((rows.len() / 2).min(MOST_WEIGHED));
    judging.truncate(MOST_JUDGED);
    Ok(Some(Rows { task, weighing: rows, judging }))
}

/// What would be in the way of writing `bytes` bytes, before anything is.
fn check(file: &Path, source: &Gguf, out: &Path, bytes: u64) -> Result<(), Failure> {
    if let Some(tensor) = source.tensors.iter().find(|tensor| tensor.kind.is_quantized()) {
        let problem =
            format!("{} is quantized already: {} is {}", shown(file), tensor.name, tensor.kind.name());
        return Err(Problem::new(problem)
            .allowed("a file of 16 or 32 bits (F16, BF16, F32)")
            .hint("what is lost doesn't come back: start from the file that it was made of")
            .into());
    }
    if out.exists() {
        return Err(Problem::new(format!("{} is there already", shown(out)))
            .hint("name another file, or remove it first")
            .into());
    }
    let folder = folder_of(out);
    if !folder.is_dir() {
        return Err(Problem::new(format!("there is no folder {}", shown(folder)))
            .hint("make it first")
            .into());
    }
    match fs4::available_space(folder) {
        Ok(left) if left < bytes.saturating_add(SPARE) => Err(Failure::ours_with_hint(
            format!(
                "{} needs {} and {} is left on that disk",
                shown(out),
                words::bytes(bytes.saturating_add(SPARE)),
                words::bytes(left)
            ),
            "make room, or name a file on another disk",
        )),
        // Where it can't be found out, writing will tell.
        _ => Ok(()),
    }
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file on its way. It is gone with this, unless it got its name.
struct Part(PathBuf);

impl Part {
    /// Beside `file`, with `end` behind its name; an earlier one that was left over is removed.
    fn beside(file: &Path, end: &str) -> Self {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(end);
        let part = Self(file.with_file_name(name));
        let _ = std::fs::remove_file(&part.0);
        part
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It has its name, or was never begun.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Finds out which numbers matter for the task's rows.
fn weigh(args: &Args, app: &App, (file, source): (&Path, &Gguf), rows: &Rows) -> Result<Part, Failure> {
    let part = Part::beside(&args.out, ".importance.part");
    let (before, texts) = told(args, source, rows).weighing(&rows.task, &rows.weighing);
    let bar = app.out().progress("rows weighed", Some(texts.len() as u64));
    let job = Job::Weigh(Weigh {
        hello: HELLO.to_owned(),
        file: file.to_owned(),
        context: args.context,
        threads: args.threads,
        before,
        texts,
        out: part.0.clone(),
    });
    work(app, &job, |told| {
        if let Some(Told::Read { texts, .. }) = told {
            bar.set(*texts);
        }
    })?;
    Ok(part)
}

/// Writes the smaller file under another name, and gives it its own last.
fn write(args: &Args, app: &App, file: &Path, importance: Option<&Part>, bytes: u64) -> Result<(), Failure> {
    let part = Part::beside(&args.out, ".part");
    let bar = app.out().download(&format!("to {}", args.to), bytes);
    let job = Job::Quantize(Quantize {
        hello: HELLO.to_owned(),
        file: file.to_owned(),
        to: args.to,
        importance: importance.map(|part| part.0.clone()),
        threads: args.threads,
        out: part.0.clone(),
    });
    work(app, &job, |_| bar.set(std::fs::metadata(&part.0).map_or(0, |part| part.len())))?;
    let named = || {
        std::fs::File::open(&part.0)?.sync_all()?;
        // Fails where the name was taken in the meantime, and takes nobody's file away.
        std::fs::hard_link(&part.0, &args.out).or_else(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Err(error),
            // Some disks have no second names for a file.
            _ => std::fs::rename(&part.0, &args.out),
        })
    };
    named().map_err(|error| Failure::ours(format!("{} can't be written: {error}", shown(&args.out))))
}

/// Does a job in a process of its own; Ctrl-C ends it.
fn work(app: &App, job: &Job, mut told: impl FnMut(Option<&Told>)) -> Result<(), Failure> {
    let program = decoders::program().map_err(Problem::new)?;
    let done = run_job(&program, job, |said| {
        told(said);
        match app.cancel().is_cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    done.map_err(|failed| match failed {
        Failed::Stopped => Failure::Stopped,
        Failed::Why(why) => Failure::ours(why),
    })
}

/// What both files are told: what a rung would be that was made of the rows that weigh.
fn told(args: &Args, source: &Gguf, rows: &Rows) -> decoder::Told {
    let template = ChatTemplate::of(source).ok();
    decoder::Told::of(&rows.task, &rows.weighing, template.as_ref(), args.context)
}

/// How parent and child answered the rows that weighed nothing.
struct Judged {
    compared: Compared,
    rows: usize,
    weighed: usize,
    labelled: usize,
    right: [usize; 2],
}

/// Asks both.
fn judge(args: &Args, app: &App, (file, source): (&Path, &Gguf), rows: &Rows) -> Result<Judged, Failure> {
    let told = told(args, source, rows);
    let open = |file: &Path| {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        decoders::engine(file, args.context, args.threads).map_err(Failure::ours)
    };
    let (parent, child) = (open(file)?, open(&args.out)?);
    let bar = app.out().progress("rows answered by both", Some(2 * rows.judging.len() as u64));
    let cx = Context {
        cancel: app.cancel().clone(),
        ..Context::until(Instant::now() + PATIENCE, app.new_request())
    };
    let hears = |done: usize| bar.set(done as u64);
    let compared = app.block_on(compare([&parent, &child], &cx, &rows.task, &told, &rows.judging, &hears))?;
    drop(bar);
    if app.cancel().is_cancelled() {
        return Err(Failure::Stopped);
    }
    if compared.rows.is_empty() {
        let why = compared.trouble.map(|trouble| trouble.to_string()).unwrap_or_default();
        return Err(Failure::ours_with_hint(
            format!("{} was written, and no row could be judged: {why}", shown(&args.out)),
            "`sprat models inspect` shows what the models need; --context gives rows more room",
        ));
    }
    let (labelled, right) = compared.right();
    Ok(Judged { compared, rows: rows.judging.len(), weighed: rows.weighing.len(), labelled, right })
}

impl Judged {
    fn flips(&self) -> f64 {
        self.compared.flips() as f64 / self.compared.rows.len() as f64
    }

    fn accuracy(&self) -> Option<[f64; 2]> {
        (self.labelled > 0).then(|| self.right.map(|right| right as f64 / self.labelled as f64))
    }

    fn json(&self, most_flips: f64) -> Value {
        let rows = self.compared.rows.len() as u64;
        let interval = clopper_pearson(self.compared.flips() as u64, rows, 0.95);
        let accuracy = self.accuracy();
        json!({
            "rows": rows,
            "unanswered": self.compared.unanswered,
            "rows_weighed": self.weighed,
            "flips": self.compared.flips(),
            "flip_share": self.flips(),
            "flip_interval": [interval.lower, interval.upper],
            "most_flips": most_flips,
            "mean_kl_nats": self.compared.mean_divergence(),
            "labelled": self.labelled,
            "parent_accuracy": accuracy.map(|[parent, _]| parent),
            "child_accuracy": accuracy.map(|[_, child]| child),
            "passed": self.flips() <= most_flips,
        })
    }
}

/// What was made, and how it does.
struct Outcome<'a> {
    args: &'a Args,
    source: &'a Gguf,
    shape: &'a Shape,
    made: &'a Gguf,
    plan: &'a Plan,
    judged: Option<Judged>,
}

impl Outcome<'_> {
    fn is_refused(&self) -> bool {
        self.judged.as_ref().is_some_and(|judged| judged.flips() > self.args.most_flips)
    }

    fn bits(&self) -> f64 {
        8.0 * self.made.bytes as f64 / self.shape.parameters.max(1) as f64
    }

    fn json(&self) -> Value {
        json!({
            "file": self.args.out.display().to_string(),
            "quantization": self.args.to,
            "size_bytes": self.made.bytes,
            "source_bytes": self.source.bytes,
            "bits_per_parameter": self.bits(),
            "tensors": self.made.tensors.len(),
            "fallbacks": self.plan.fallbacks(),
            "gate": self.judged.as_ref().map(|judged| judged.json(self.args.most_flips)),
        })
    }

    fn show(&self, out: &Output) {
        out.line(format!(
            "{}: {} instead of {}, {:.2} bits a parameter",
            shown(&self.args.out),
            words::bytes(self.made.bytes),
            words::bytes(self.source.bytes),
            self.bits()
        ));
        if self.plan.fallbacks() > 0 {
            out.sentence(format!(
                "{} of {} got another kind of storage than {}: their rows are no multiple of its block of {} numbers",
                self.plan.fallbacks(),
                words::counted(self.made.tensors.len() as u64, "tensor"),
                self.args.to,
                self.args.to.usual_kind().block().0
            ));
        }
        match &self.judged {
            Some(judged) => self.show_judged(out, judged),
            None => out.sentence(
                "Nothing was measured: how it answers now is not known. With --rows ROWS --task TASK it is weighed \
                 for a task, and held against the file that it was made of.",
            ),
        }
    }

    fn show_judged(&self, out: &Output, judged: &Judged) {
        let rows = judged.compared.rows.len() as u64;
        let flips = judged.compared.flips() as u64;
        let interval = clopper_pearson(flips, rows, 0.95);
        out.heading(format!("Held against {} on {}", self.args.model, words::counted(rows, "row")));
        out.line(format!(
            "weighed with   {}, none of them among these",
            words::counted(judged.weighed as u64, "row")
        ));
        out.line(format!(
            "flips          {} of {} ({}; 95% interval {} to {})",
            words::count(flips),
            words::count(rows),
            words::share(judged.flips()),
            words::share(interval.lower),
            words::share(interval.upper)
        ));
        match judged.compared.mean_divergence() {
            Some(divergence) => out.line(format!("mean KL        {divergence:.6} nats")),
            None => {
                out.line("mean KL        not known for what stands around holes, or in pieces".to_owned())
            }
        }
        if let Some([parent, child]) = judged.accuracy() {
            out.line(format!(
                "accuracy       {} before, {} now, on {}",
                words::share(parent),
                words::share(child),
                words::counted(judged.labelled as u64, "labelled row")
            ));
        }
        if let Some(trouble) = &judged.compared.trouble {
            out.line(format!(
                "unanswered     {} of {}, the first because of: {trouble}",
                judged.compared.unanswered, judged.rows
            ));
        }
        let most = words::share(self.args.most_flips);
        match self.is_refused() {
            false => out.check(Mark::Ok, format!("at most {most} of the rows are answered otherwise"), None),
            true => out.check(
                Mark::Fail,
                format!(
                    "{} of the rows are answered otherwise, and {most} may be; {} is kept",
                    words::share(judged.flips()),
                    shown(&self.args.out)
                ),
                Some("try a larger quantization, such as q6_k or q8_0, or remove the file"),
            ),
        }
    }
}
