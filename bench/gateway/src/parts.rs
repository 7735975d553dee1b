//! The parts of the measurement: rates and streams beside peers, small answers, memory.

use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::client::Client;
use crate::clock;
use crate::gateways::{Gateway, Places, Who};
use crate::load::{Ask, Until, Window, closed, open};
use crate::mock::{Manner, Mock};
use crate::numbers::{Spread, quantile};
use crate::process::{Launch, Process, free_port};
use crate::sprat::{Workspace, labels};

/// A stream has 20 chunks, 5 ms apart.
const CHUNKS: u32 = 20;
const CADENCE: Duration = Duration::from_millis(5);

/// Half of the calls that take longer than this beyond the upstream's own time, and the gateway is behind: it doesn't
/// sustain the rate.
const BEHIND_MS: f64 = 100.0;

/// How long is measured.
#[derive(Clone, Copy)]
pub struct Pace {
    pub quick: bool,
    pub warm_up_s: f64,
    pub window_s: f64,
    pub windows: usize,
}

impl Pace {
    pub const FULL: Self = Self { quick: false, warm_up_s: 1.0, window_s: 2.0, windows: 4 };
    pub const QUICK: Self = Self { quick: true, warm_up_s: 0.3, window_s: 0.8, windows: 4 };
}

/// What the upstream does, and at which rates it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answers at once.
    Plain,
    /// Answers after 50 ms.
    Delayed,
    /// Answers in chunks.
    Streamed,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Streamed, Self::Delayed, Self::Plain];

    fn manner(self) -> Manner {
        let delay = if self == Self::Delayed { Duration::from_millis(50) } else { Duration::ZERO };
        Manner { delay, cadence: CADENCE, chunks: CHUNKS }
    }

    /// The upstream's own time, in milliseconds.
    fn own_ms(self) -> f64 {
        let manner = self.manner();
        let stream = if self == Self::Streamed { manner.cadence * manner.chunks } else { Duration::ZERO };
        (manner.delay + stream).as_secs_f64() * 1e3
    }

    fn rates(self, who: Who, quick: bool) -> &'static [f64] {
        match (self, quick) {
            (Self::Plain, _) if who.is_in_shadow() => &[100.0, 1000.0],
            _ if who.is_in_shadow() => &[],
            (Self::Plain, false) => &[100.0, 500.0, 1000.0, 2000.0, 4000.0],
            (Self::Plain, true) | (Self::Delayed, false) => &[100.0, 1000.0],
            (Self::Delayed, true) => &[],
            (Self::Streamed, false) => &[10.0, 50.0],
            (Self::Streamed, true) => &[50.0],
        }
    }
}

/// What one gateway did at one rate.
#[derive(Clone, Debug)]
pub struct Measured {
    pub who: Who,
    pub kind: Kind,
    pub rate: f64,
    /// Milliseconds: medians over the windows of each window's quantile.
    pub latency_p50: Spread,
    pub latency_p99: Spread,
    pub first_p50: Spread,
    pub gap_p50: Spread,
    pub gap_p99: Spread,
    /// Microseconds of processor time a call; `None` for the floor.
    pub cpu_us: Option<f64>,
    /// Of them, those of threads that do nothing but keep the ledger.
    pub ledger_us: Option<f64>,
    pub calls: u64,
    pub errors: u64,
    pub trouble: Option<String>,
}

impl Measured {
    pub fn is_sustained(&self) -> bool {
        self.errors == 0 && self.latency_p50.median < self.kind.own_ms() + BEHIND_MS
    }
}

fn texts() -> Rc<[String]> {
    let tickets = [
        "The invoice for order 4711 shows the wrong VAT number. Could you send it again, please?",
        "My grinder arrived with a cracked hopper. I would like another one, or my money back.",
        "How do I change the address of my subscription before the next delivery on Thursday?",
    ];
    tickets
        .map(|text| format!("Which team should handle this ticket? Answer with one sentence.\n\n{text}"))
        .into()
}

/// Everything that is measured of one gateway beside others, and its ledger held against the bill.
pub async fn beside(who: Who, places: &Places, mock: &Mock, pace: Pace) -> anyhow::Result<Vec<Measured>> {
    let gateway = who.start(places, mock).await?;
    mock.take_bill();
    let mut all = Vec::new();
    for kind in Kind::ALL {
        mock.behave(kind.manner());
        let labels = who.is_in_shadow().then(labels).transpose()?;
        let ask =
            Ask { model: gateway.model.to_owned(), stream: kind == Kind::Streamed, labels, texts: texts() };
        for &rate in kind.rates(who, pace.quick) {
            let measured = at_rate(who, kind, rate, &gateway, &ask, pace).await;
            tell(&measured);
            let sustained = measured.is_sustained();
            all.push(measured);
            if !sustained {
                break;
            }
        }
    }
    settle(gateway, mock).await?;
    Ok(all)
}

async fn at_rate(who: Who, kind: Kind, rate: f64, gateway: &Gateway, ask: &Ask, pace: Pace) -> Measured {
    let warm_up = open(&gateway.client, ask, rate, pace.warm_up_s).await;
    let before = used(gateway);
    let mut windows = Vec::new();
    // A gateway that already fails is not asked four times more.
    while windows.len() < pace.windows && (warm_up.errors == 0 || windows.is_empty()) {
        windows.push(open(&gateway.client, ask, rate, pace.window_s).await);
    }
    let after = used(gateway);
    let calls: u64 = windows.iter().map(Window::calls).sum();
    let a_call = |both: Option<(f64, f64)>| both.map(|(before, after)| (after - before) / calls as f64);
    let mut of = |figures: fn(&mut Window) -> &mut Vec<f64>, share: f64| {
        Spread::of(windows.iter_mut().map(|window| quantile(figures(window), share)))
    };
    Measured {
        who,
        kind,
        rate,
        latency_p50: of(|window| &mut window.latency, 0.5),
        latency_p99: of(|window| &mut window.latency, 0.99),
        first_p50: of(|window| &mut window.first, 0.5),
        gap_p50: of(|window| &mut window.gap, 0.5),
        gap_p99: of(|window| &mut window.gap, 0.99),
        cpu_us: a_call(before.zip(after).map(|(before, after)| (before.0, after.0))),
        ledger_us: a_call(before.zip(after).and_then(|(before, after)| Some((before.1?, after.1?)))),
        calls,
        errors: windows.iter().map(|window| window.errors).sum(),
        trouble: windows.iter().find_map(|window| window.trouble.clone()),
    }
}

/// Processor time so far: all of it, and of the threads that keep the ledger.
fn used(gateway: &Gateway) -> Option<(f64, Option<f64>)> {
    let process = gateway.process.as_ref()?;
    let ledger = gateway.workspace.is_some().then(|| {
        let by_thread = process.cpu_us_by_thread();
        // The kernel keeps 15 letters of a thread's name.
        by_thread
            .iter()
            .filter(|(name, _)| name.starts_with("sprat-store") || name.starts_with("sprat-spool"))
            .map(|(_, us)| us)
            .sum()
    });
    Some((process.cpu_us(), ledger))
}

/// Stops a gateway; Sprat's ledger must say what the bill says.
async fn settle(gateway: Gateway, mock: &Mock) -> anyhow::Result<()> {
    if let Some(process) = gateway.process {
        process.stop().await?;
    }
    if let Some(workspace) = gateway.workspace {
        // Audits go on after the replies; they are over once the gateway has left.
        let bill = mock.take_bill();
        workspace.hold_against(bill)?;
        eprintln!(
            "  the ledger says what the upstream's bill says: {} calls, {} micro-dollars",
            bill.calls, bill.micro_usd
        );
    }
    Ok(())
}

fn tell(measured: &Measured) {
    let Measured {
        who,
        kind,
        rate,
        latency_p50,
        latency_p99,
        first_p50,
        gap_p99,
        cpu_us,
        ledger_us,
        errors,
        ..
    } = measured;
    let timed = match kind {
        Kind::Streamed => {
            format!("first {:.2} ms, largest gap p99 {:.1} ms", first_p50.median, gap_p99.median)
        }
        _ => format!("p50 {:.3} ms, p99 {:.3} ms", latency_p50.median, latency_p99.median),
    };
    let cpu = cpu_us.map_or_else(String::new, |us| format!(", {us:.0} us CPU a call"));
    let ledger = ledger_us.map_or_else(String::new, |us| format!(" ({us:.0} the ledger's threads)"));
    let errors = match (errors, &measured.trouble) {
        (0, _) => String::new(),
        (errors, Some(trouble)) => format!(", {errors} errors ({trouble})"),
        (errors, None) => format!(", {errors} errors"),
    };
    let sustained = if measured.is_sustained() { "" } else { " NOT SUSTAINED" };
    eprintln!("  {} {kind:?} {rate}/s: {timed}{cpu}{ledger}{errors}{sustained}", who.word());
}

/// Answers of the linear rung, as fast as they come.
pub struct Small {
    pub per_second: Spread,
    pub latency_p50: Spread,
    pub latency_p99: Spread,
    pub cpu_us: f64,
    pub ledger_us: f64,
    pub callers: usize,
    /// How many texts are asked in turn.
    pub texts: usize,
}

/// Measures answers of the linear rung of `examples/tickets`, the ledger on disk.
pub async fn small(places: &Places, mock: &Mock, pace: Pace) -> anyhow::Result<Small> {
    const CALLERS: usize = 32;
    let workspace = Workspace::new(places.work.join("sprat-small"), &places.sprat, mock.port)?;
    workspace.learn_tickets(false)?;
    let (port, process) = serve(&workspace, places).await?;
    mock.take_bill();
    let sure = answered_small(port).await?;
    let only_small = [("x-sprat-mode", "small-only".to_owned())];
    let client = Rc::new(Client::new(port, &only_small)?);
    let ask = Ask { model: "tickets".to_owned(), stream: false, labels: None, texts: sure.into() };
    let seconds = Until::Seconds(pace.window_s);
    closed(&client, &ask, CALLERS, Until::Seconds(pace.warm_up_s)).await;
    let gateway = Gateway { client, model: "tickets", process: Some(process), workspace: Some(workspace) };
    let before = used(&gateway).context("no process")?;
    let mut windows = Vec::new();
    for _ in 0..pace.windows {
        let window = closed(&gateway.client, &ask, CALLERS, seconds).await;
        ensure!(window.errors == 0, "a small answer failed: {}", window.trouble.unwrap_or_default());
        windows.push(window);
    }
    let after = used(&gateway).context("no process")?;
    let calls = windows.iter().map(Window::calls).sum::<u64>() as f64;
    let small = Small {
        per_second: Spread::of(windows.iter().map(|window| window.calls() as f64 / window.seconds)),
        latency_p50: Spread::of(windows.iter_mut().map(|window| quantile(&mut window.latency, 0.5))),
        latency_p99: Spread::of(windows.iter_mut().map(|window| quantile(&mut window.latency, 0.99))),
        cpu_us: (after.0 - before.0) / calls,
        ledger_us: (after.1.unwrap_or(0.0) - before.1.unwrap_or(0.0)) / calls,
        callers: CALLERS,
        texts: ask.texts.len(),
    };
    eprintln!(
        "  small answers: {:.0}/s, p50 {:.2} ms, {:.0} us CPU an answer ({:.0} the ledger's threads)",
        small.per_second.median, small.latency_p50.median, small.cpu_us, small.ledger_us
    );
    settle(gateway, mock).await?;
    Ok(small)
}

/// The texts of the example's stream that the certified release answers by itself.
async fn answered_small(port: u16) -> anyhow::Result<Vec<String>> {
    let client = Client::new(port, &[("x-sprat-mode", "small-only".to_owned())])?;
    let mut sure = Vec::new();
    for line in fs::read_to_string("examples/tickets/stream.jsonl")?.lines() {
        let row: Value = serde_json::from_str(line)?;
        let text = row["text"].as_str().context("a row without text")?;
        let asked = serde_json::json!({"model": "tickets", "messages": [{"role": "user", "content": text}]});
        if client.call(asked.to_string().into()).await?.status.is_success() {
            sure.push(text.to_owned());
        }
    }
    ensure!(sure.len() >= 100, "only {} texts are answered small", sure.len());
    Ok(sure)
}

async fn serve(workspace: &Workspace, places: &Places) -> anyhow::Result<(u16, Process)> {
    let port = free_port()?;
    let line = workspace.serve(port, free_port()?);
    let launch = Launch { line, environment: Vec::new(), folder: workspace.folder.clone() };
    Ok((port, Process::start(places.gateway, launch, port).await?))
}

/// What a gateway holds after so much work.
pub struct Held {
    pub after: String,
    pub memory_mb: f64,
}

/// Memory over many requests, and with many streams at once.
pub async fn memory(places: &Places, mock: &Mock, pace: Pace) -> anyhow::Result<Vec<Held>> {
    const STREAMS: usize = 200;
    let (requests, parts) = if pace.quick { (30_000, 3) } else { (300_000, 6) };
    let gateway = Who::Sprat.start(places, mock).await?;
    mock.take_bill();
    mock.behave(Kind::Plain.manner());
    let plain = Ask { model: gateway.model.to_owned(), stream: false, labels: None, texts: texts() };
    let mut held = Vec::new();
    let mut note = |after: String, gateway: &Gateway| {
        let memory_mb = gateway.process.as_ref().map_or(f64::NAN, Process::memory_mb);
        eprintln!("  {after}: {memory_mb:.1} MB");
        held.push(Held { after, memory_mb });
    };
    note("start".to_owned(), &gateway);
    let warm_up = requests / 20;
    let one = closed(&gateway.client, &plain, 32, Until::Calls(warm_up)).await;
    ensure!(one.errors == 0, "{}", one.trouble.unwrap_or_default());
    note(format!("{warm_up} requests (warm-up)"), &gateway);
    for part in 1..=parts {
        let some = closed(&gateway.client, &plain, 32, Until::Calls(requests / parts)).await;
        ensure!(some.errors == 0, "{}", some.trouble.unwrap_or_default());
        note(format!("{} requests", requests / parts * part), &gateway);
    }
    // Long streams with a slow cadence, so that all 200 are open at once for seconds.
    let seconds = if pace.quick { 3 } else { 10 };
    mock.behave(Manner { delay: Duration::ZERO, cadence: Duration::from_millis(50), chunks: seconds * 20 });
    let streams = Ask { stream: true, ..plain };
    for round in 1..=3 {
        let client = gateway.client.clone();
        let streams = streams.clone();
        let running = tokio::task::spawn_local(async move {
            closed(&client, &streams, STREAMS, Until::Calls(STREAMS as u64)).await
        });
        clock::until(Instant::now() + Duration::from_secs(u64::from(seconds) - 1)).await;
        note(format!("{STREAMS} streams open, round {round}"), &gateway);
        let window = running.await?;
        ensure!(window.errors == 0, "{}", window.trouble.unwrap_or_default());
    }
    note("the streams have ended".to_owned(), &gateway);
    settle(gateway, mock).await?;
    Ok(held)
}
