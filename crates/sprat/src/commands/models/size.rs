//! `sprat models size`: what fits, and how quickly it writes. Reckoned from shapes; the machine's memory is measured, and
//! with `--check` the file itself.

use std::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;
use serde_json::json;
use sprat_engine::gguf::{Gguf, Memory, Shape, memory, read_for_a_token};
use sprat_engine::published::{self, Published};
use sprat_engine::quantize::{Plan, Quantization};
use sprat_models::decoder::{Failed, Speed, bandwidth, speed};
use sprat_task::Problem;
use sprat_task::problem::list;

use super::{gguf, gpus, written_file};
use crate::app::App;
use crate::config::DECODER_CONTEXT;
use crate::decoders;
use crate::failure::Failure;
use crate::output::{Output, Table, words};
use crate::workspace::shown;

/// What is to fit where.
#[derive(clap::Args)]
pub struct Args {
    /// A decoder of sprat.toml; or path:FILE, hf:OWNER/NAME#FILE, FILE.gguf; without it public models
    #[arg(value_name = "MODEL|SOURCE")]
    model: Option<String>,
    /// Tokens that are looked back on
    #[arg(long, value_name = "TOKENS", default_value_t = DECODER_CONTEXT)]
    context: u32,
    /// So much memory, in GiB, instead of what is left here now
    #[arg(long, value_name = "GIB", conflicts_with = "gpu")]
    memory: Option<f64>,
    /// A GPU's memory and speed instead, such as l4 or rtx-4090
    #[arg(long, value_name = "NAME")]
    gpu: Option<String>,
    /// Run the file, and show measured beside predicted
    #[arg(long, requires = "model", conflicts_with = "gpu")]
    check: bool,
    /// Threads to read and compute on; as many as the machine has unless given
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: u32,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    if args.context == 0 {
        return Err(Problem::new("`--context` of 0 tokens is no context").allowed("1 or more").into());
    }
    let place = place(&args)?;
    match &args.model {
        None => {
            public(&args, app, &place);
            Ok(())
        }
        Some(model) => one(&args, app, &place, model),
    }
}

/// Where a model is to run.
#[derive(Serialize)]
struct Place {
    name: String,
    /// Bytes that a model may take there.
    memory_bytes: u64,
    /// Bytes that are read a second.
    bytes_per_second: f64,
    /// Whether it is this machine, measured here, rather than a GPU as its maker publishes it.
    measured: bool,
    /// Where both numbers come from.
    #[serde(skip)]
    said: String,
}

fn place(args: &Args) -> Result<Place, Failure> {
    if let Some(name) = &args.gpu {
        let known = || gpus::ALL.iter().map(|gpu| gpu.name);
        let gpu = gpus::ALL.iter().find(|gpu| gpu.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            Problem::new(format!("GPU `{name}` is not known here"))
                .allowed(list(known()))
                .did_you_mean(name, known())
        })?;
        let (memory, speed) = (gpu.memory_gb as f64 * 1e9 * gpus::SHARE, gpu.gb_per_second as f64 * 1e9);
        return Ok(Place {
            name: gpu.name.to_owned(),
            memory_bytes: memory as u64,
            bytes_per_second: speed,
            measured: false,
            said: format!(
                "{}: {} of its {} GB for models, read at {} GB a second (data sheets, {})",
                gpu.name,
                words::bytes(memory as u64),
                gpu.memory_gb,
                words::count(gpu.gb_per_second),
                gpus::AS_OF
            ),
        });
    }
    let threads = match args.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads as usize,
    };
    let (memory_bytes, said) = memory_here(args)?;
    let bytes_per_second = bandwidth(threads);
    let said = format!(
        "{said}; read at {} a second by {}, measured just now",
        words::bytes(bytes_per_second as u64),
        words::counted(threads as u64, "thread")
    );
    Ok(Place { name: "this machine".to_owned(), memory_bytes, bytes_per_second, measured: true, said })
}

/// Bytes that a model may take here, and why.
fn memory_here(args: &Args) -> Result<(u64, String), Failure> {
    if let Some(gibibytes) = args.memory {
        if !(gibibytes > 0.0 && gibibytes <= 1e6) {
            return Err(Problem::new(format!("`{gibibytes}` is not a value of `--memory`"))
                .allowed("GiB, more than 0: 16, or 7.5")
                .into());
        }
        let bytes = (gibibytes * f64::from(1 << 30)) as u64;
        return Ok((bytes, format!("{} of memory, as asked", words::bytes(bytes))));
    }
    match (decoders::available(), decoders::may_take()) {
        (Some(available), Some(may_take)) => Ok((
            available.min(may_take),
            format!(
                "this machine: {} of memory is left now, and models may take {} together",
                words::bytes(available),
                words::bytes(may_take)
            ),
        )),
        _ => Err(Problem::new("how much memory this machine has can't be found out")
            .hint("say it: --memory GIB")
            .into()),
    }
}

/// What a file takes and does somewhere.
#[derive(Serialize)]
struct Reckoned {
    quantization: String,
    bits_per_parameter: f64,
    weights_bytes: u64,
    context_bytes: u64,
    computing_bytes: u64,
    total_bytes: u64,
    fits: bool,
    /// With next to nothing to look back on, and with all of the context.
    tokens_per_second: [f64; 2],
}

impl Reckoned {
    fn of(name: &str, file: &Gguf, shape: &Shape, context: u64, place: &Place) -> Self {
        let needs: Memory = memory(file, shape, context, decoders::BATCH);
        // Earlier texts are put away beside the processor, where the whole model is on a GPU.
        let needs = if place.measured { needs } else { Memory { earlier: 0, ..needs } };
        let speed = |tokens| place.bytes_per_second / read_for_a_token(file, shape, tokens).max(1) as f64;
        Self {
            quantization: name.to_owned(),
            bits_per_parameter: 8.0 * needs.weights as f64 / shape.parameters.max(1) as f64,
            weights_bytes: needs.weights,
            context_bytes: needs.context.saturating_add(needs.earlier),
            computing_bytes: needs.computing,
            total_bytes: needs.total(),
            fits: needs.total() <= place.memory_bytes,
            tokens_per_second: [speed(0), speed(context)],
        }
    }
}

/// Each quantization of a file that can still be made, the largest first.
fn quantized(file: &Gguf, shape: &Shape, context: u64, place: &Place) -> Vec<Reckoned> {
    let of = |to: Quantization| {
        Reckoned::of(to.name(), &Plan::of(file, shape, to, false).file(), shape, context, place)
    };
    Quantization::ALL.map(of).into()
}

fn one(args: &Args, app: &App, place: &Place, model: &str) -> Result<(), Failure> {
    let workspace = app.workspace_or_default()?;
    let path = written_file(&workspace, model)?;
    let (file, shape) = gguf::read(&path)?;
    let context = u64::from(args.context);
    let is_quantized = file.tensors.iter().any(|tensor| tensor.kind.is_quantized());
    let mut rows = vec![Reckoned::of("as it is", &file, &shape, context, place)];
    if !is_quantized {
        rows.extend(quantized(&file, &shape, context, place));
    }
    let checked = if args.check { Some(check(args, app, &path)?) } else { None };
    let is_beyond = context > shape.context;
    let json = json!({
        "file": path.display().to_string(), "parameters": shape.parameters, "stored_as": shape.stored_as,
        "context": context, "trained_context": shape.context, "place": place, "sizes": rows,
        "check": checked.map(|speed| json!({
            "predicted_tokens_per_second": rows[0].tokens_per_second[0],
            "measured_tokens_per_second": speed.tokens_per_second, "tokens": speed.tokens,
        })),
    });
    app.out().show(&json, |out| {
        out.line(format!(
            "{}: {} parameters, mostly {}",
            shown(&path),
            words::count(shape.parameters),
            shape.stored_as
        ));
        out.sentence(&place.said);
        show(out, &rows, context);
        if is_quantized {
            out.sentence("Other quantizations are made of the file of 16 or 32 bits that it was made of.");
        }
        if is_beyond {
            out.sentence(format!(
                "It was trained to look back on {} only.",
                words::counted(shape.context, "token")
            ));
        }
        if let Some(speed) = checked {
            out.sentence(told(&speed, rows[0].tokens_per_second[0]));
        }
    });
    Ok(())
}

/// Runs the file.
fn check(args: &Args, app: &App, path: &Path) -> Result<Speed, Failure> {
    let program = decoders::program().map_err(Problem::new)?;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let _bar = app.out().progress("running it", None);
    let measured =
        speed(&program, (path, args.context, args.threads), || match app.cancel().is_cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
    measured.map_err(|failed| match failed {
        Failed::Stopped => Failure::Stopped,
        Failed::Why(why) => Failure::ours_with_hint(why, "`sprat models inspect` shows what the file is"),
    })
}

fn told(speed: &Speed, predicted: f64) -> String {
    format!(
        "It wrote {} tokens a second here, over {}; at most {} were predicted, so that is {}.",
        rate(speed.tokens_per_second),
        words::counted(speed.tokens as u64, "token"),
        rate(predicted),
        words::share(speed.tokens_per_second / predicted)
    )
}

fn show(out: &Output, rows: &[Reckoned], context: u64) {
    let mut table = Table::new([
        "quantization",
        ">bits",
        ">weights",
        ">context",
        ">computing",
        ">together",
        "fits",
        ">tokens/s",
        ">looking back",
    ]);
    for row in rows {
        table.row([
            row.quantization.clone(),
            format!("{:.2}", row.bits_per_parameter),
            words::bytes(row.weights_bytes),
            words::bytes(row.context_bytes),
            words::bytes(row.computing_bytes),
            words::bytes(row.total_bytes),
            if row.fits { "yes" } else { "no" }.to_owned(),
            rate(row.tokens_per_second[0]),
            rate(row.tokens_per_second[1]),
        ]);
    }
    out.table(&table);
    let best = rows.iter().filter(|row| row.fits).max_by(|a, b| a.total_bytes.cmp(&b.total_bytes));
    out.sentence(match best {
        Some(best) => format!("The largest that fits: {}.", best.quantization),
        None => "None of them fits.".to_owned(),
    });
    out.sentence(format!(
        "Tokens a second are the most that the memory's speed allows: with next to nothing to look back on, and looking \
         back on {}.",
        words::counted(context, "token")
    ));
}

/// A public model, and the largest quantization of it that fits.
#[derive(Serialize)]
struct Public {
    name: &'static str,
    architecture: &'static str,
    parameters: u64,
    context: u64,
    fits: Option<Reckoned>,
    /// The smallest there is, where none fits.
    smallest: Option<Reckoned>,
}

impl Public {
    fn of(model: &Published, context: u64, place: &Place) -> Self {
        let (file, shape) = model.file();
        let context = context.min(model.context);
        let mut sizes = quantized(&file, &shape, context, place);
        let fits = sizes.iter().position(|size| size.fits).map(|place| sizes.swap_remove(place));
        let smallest = if fits.is_none() { sizes.pop() } else { None };
        let (name, architecture) = (model.name, model.architecture);
        Self { name, architecture, parameters: shape.parameters, context, fits, smallest }
    }
}

fn public(args: &Args, app: &App, place: &Place) {
    let models: Vec<Public> =
        published::all().map(|model| Public::of(&model, u64::from(args.context), place)).collect();
    let json = json!({ "place": place, "shapes_as_of": published::AS_OF, "models": models });
    app.out().show(&json, |out| {
        out.sentence(&place.said);
        let mut table =
            Table::new(["model", ">parameters", ">context", "largest that fits", ">memory", ">tokens/s"]);
        for model in &models {
            let (said, size) = match (&model.fits, &model.smallest) {
                (Some(size), _) => (size.quantization.clone(), Some(size)),
                (None, Some(size)) => (format!("none: {} is too large", size.quantization), Some(size)),
                (None, None) => ("none".to_owned(), None),
            };
            let speed = model.fits.as_ref().map_or_else(|| "-".to_owned(), |size| rate(size.tokens_per_second[0]));
            table.row([
                model.name.to_owned(),
                format!("{:.2} billion", model.parameters as f64 / 1e9),
                words::count(model.context),
                said,
                size.map_or_else(|| "-".to_owned(), |size| words::bytes(size.total_bytes)),
                speed,
            ]);
        }
        out.table(&table);
        out.sentence(format!(
            "Reckoned from the shapes that their makers publish (as of {}); tokens a second are the most that the \
             memory's speed allows. No weights of any of them were run here.",
            published::AS_OF
        ));
    });
}

/// Tokens a second.
fn rate(rate: f64) -> String {
    match rate {
        _ if rate < 10.0 => format!("{rate:.1}"),
        _ => words::count(rate.round() as u64),
    }
}
