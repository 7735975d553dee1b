//! A day of the demonstration's shop: its mail through the gateway, a kind of ticket that changes its meaning, the audits
//! that notice, the step back and the way up again.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sprat_gateway::{Addresses, Settings};
use sprat_store::{Filter, Spend, StepBack, Store};
use sprat_task::{Money, ReleaseId, Slice, TaskName};
use tokio_util::sync::CancellationToken;

use super::provider::{self, Bill, Provider};
use super::traffic::{Application, Reply};
use crate::app::App;
use crate::failure::Failure;
use crate::output::words;
use crate::service::{Service, failure};

/// The kind of ticket that changes its meaning, and what the large model answers for it meanwhile: the shop's parcels are
/// handled by those who change orders.
pub const DRIFT: (&str, &str) = ("delivery", "order_change");

/// Tickets between two looks at what the audits say.
const BATCH: usize = 200;
/// The story ends here also where the audits see nothing.
const MOST_BATCHES: usize = 60;
/// The keeper looks twice a second, the gateway every second.
const A_LOOK: Duration = Duration::from_millis(600);

/// A ticket of the stream.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Ticket {
    /// What the customer writes.
    pub text: String,
    /// Which team people say should handle it.
    pub label: String,
}

/// What the drift did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Drift {
    /// The kind of ticket.
    pub label: String,
    /// Tickets sent from the drift to the step back.
    pub tickets_until_step_back: u64,
    /// Small answers among them that the large model would no longer have given.
    pub stale_answers: u64,
    /// Audits of small answers in that time.
    pub audits: u64,
    /// The evidence, in a sentence; `None` where nothing alarmed.
    pub alarm: Option<String>,
    /// Stale small answers after the step back took effect.
    pub stale_after: u64,
    /// Tests that the slice took before it was proved again.
    pub looks: u32,
    /// The shares of the slice that were answered small on the way up.
    pub shares: Vec<f64>,
    /// Tickets from the end of the drift until everything was as before.
    pub tickets_until_restored: Option<u64>,
}

/// The ledger beside the large model's own bill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Books {
    /// What the ledger says was spent, answers and audits; `None` where anything is unknown.
    pub ledger_micro_usd: Option<Money>,
    /// Of this, audits.
    pub audits_micro_usd: Money,
    /// The bill.
    pub bill: Bill,
    /// Whether they are the same, to the micro-dollar.
    pub equal: bool,
}

/// What a day came to.
pub struct Day {
    /// The stream's tickets, and what became of each.
    pub replies: Vec<Reply>,
    /// The drift.
    pub drift: Drift,
    /// The bill.
    pub books: Books,
    /// Where the dashboard is.
    pub dashboard: String,
    /// The server, where it goes on.
    pub running: Option<Running>,
}

/// A server that goes on until Ctrl-C.
pub struct Running {
    runtime: tokio::runtime::Runtime,
    service: tokio::task::JoinHandle<Result<(), Failure>>,
}

impl Running {
    /// Waits for its end.
    pub fn wait(self) -> Result<(), Failure> {
        let Self { runtime, service } = self;
        runtime.block_on(service).map_err(|error| Failure::ours(format!("the server broke off: {error}")))?
    }
}

/// Lives through a day. `configure` is given the address of the large model before the gateway starts.
pub fn live(
    app: &App,
    provider: Arc<Provider>,
    tickets: &[Ticket],
    task: &TaskName,
    keep: bool,
    configure: impl FnOnce(SocketAddr) -> Result<(), Failure>,
) -> Result<Day, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::ours(format!("the runtime can't be started: {error}")))?;
    // Two that end by themselves, one after the other: the gateway's last audits still want the large model.
    let (close_shop, close_provider) = (CancellationToken::new(), CancellationToken::new());
    let day = runtime.block_on(async {
        let large = provider::serve(provider.clone(), Path::new(".sprat")).await.map_err(failure)?;
        configure(large.addresses().map_err(failure)?.listen)?;
        let large = tokio::spawn(large.run(close_provider.clone()));
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let addresses = Addresses { listen: free, management: free };
        let workspace = app.workspace()?;
        let store = workspace.store()?;
        let stop = if keep { app.cancel().clone() } else { close_shop.clone() };
        let service =
            Service::start(app, workspace, store.clone(), Settings::default(), addresses, stop).await?;
        let gateway = service.gateway().clone();
        let addresses = service.addresses()?;
        app.out().command(&format!("sprat serve    (http://{}/v1)", addresses.listen));
        let running = tokio::spawn(service.run());
        let application = Application::new(&format!("http://{}/v1", addresses.listen), super::NAME)?;
        let shop = Shop { app, application, provider: provider.clone(), tickets, store: &store, task };
        let replies = shop.stream().await;
        let drift = shop.drift().await?;
        gateway.quiet().await;
        let books = books(&store, &provider)?;
        close_shop.cancel();
        let running = if keep {
            Some(running)
        } else {
            running.await.map_err(|error| Failure::ours(error.to_string()))??;
            close_provider.cancel();
            large.await.map_err(|error| Failure::ours(error.to_string()))?.map_err(failure)?;
            None
        };
        Ok::<_, Failure>((replies, drift, books, format!("http://{}", addresses.management), running))
    });
    let (replies, drift, books, dashboard, service) = day?;
    let running = service.map(|service| Running { runtime, service });
    Ok(Day { replies, drift, books, dashboard, running })
}

/// The shop's side of the day.
struct Shop<'a> {
    app: &'a App,
    application: Application,
    provider: Arc<Provider>,
    tickets: &'a [Ticket],
    store: &'a Store,
    task: &'a TaskName,
}

impl Shop<'_> {
    /// The stream as it comes.
    async fn stream(&self) -> Vec<Reply> {
        let progress = self.app.out().progress("tickets through HTTP", Some(self.tickets.len() as u64));
        let mut replies = Vec::new();
        let numbered: Vec<(usize, &str)> =
            self.tickets.iter().enumerate().map(|(place, ticket)| (place, ticket.text.as_str())).collect();
        for batch in numbered.chunks(BATCH) {
            replies.extend(self.application.send(batch).await);
            progress.set(replies.len() as u64);
        }
        replies
    }

    async fn drift(&self) -> Result<Drift, Failure> {
        let (from, to) = DRIFT;
        let mut drift = Drift { label: from.to_owned(), ..Drift::default() };
        let Some(release) = self.store.registry().live(self.task)?.map(|deployment| deployment.live) else {
            return Ok(drift);
        };
        let mut draw = Draw(17);
        self.app.out().sentence(format!(
            "Something changes: from now on the large model sends `{from}` mail to `{to}`. The same tickets come again, drawn at random."
        ));
        let audits_before = self.store.audits().counts(&release, 0)?.drawn;
        self.provider.drifts(true);
        let mut taken = None;
        for _ in 0..MOST_BATCHES {
            let replies = self.batch(&mut draw).await;
            drift.tickets_until_step_back += replies.len() as u64;
            drift.stale_answers += self.stale(&replies);
            taken = self.taken(&release)?;
            if taken.is_some() {
                break;
            }
        }
        drift.audits = self.store.audits().counts(&release, 0)?.drawn - audits_before;
        let Some(taken) = taken else { return Ok(drift) };
        self.app.out().sentence(format!("The audits notice: {}.", taken.taken.why));
        drift.alarm = Some(taken.taken.why.clone());
        // The gateway takes up within a second what the keeper has decided.
        tokio::time::sleep(2 * A_LOOK).await;
        for _ in 0..2 {
            drift.stale_after += self.stale(&self.batch(&mut draw).await);
        }
        self.app.out().sentence(format!("The rule is turned back: `{from}` mail is `{from}` mail again."));
        self.provider.drifts(false);
        self.way_up(&release, taken, &mut draw, &mut drift).await?;
        Ok(drift)
    }

    async fn way_up(
        &self,
        release: &ReleaseId,
        taken: StepBack,
        draw: &mut Draw,
        drift: &mut Drift,
    ) -> Result<(), Failure> {
        let mut sent = 0;
        for _ in 0..MOST_BATCHES {
            sent += self.batch(draw).await.len() as u64;
            let steps = self.store.step_backs().of(release)?;
            let Some(step) = steps.into_iter().find(|step| step.id == taken.id) else { return Ok(()) };
            let share = step.way_back.share;
            drift.looks = step.way_back.looks;
            if share > 0.0 && drift.shares.last() != Some(&share) {
                self.app.out().sentence(format!(
                    "{} of {} are answered small again, after {}.",
                    words::share(share),
                    taken.taken.slice,
                    words::counted(u64::from(drift.looks), "test")
                ));
                drift.shares.push(share);
            }
            if step.ended.is_some() {
                drift.tickets_until_restored = Some(sent);
                self.app.out().sentence("Everything is as it was.");
                return Ok(());
            }
        }
        Ok(())
    }

    /// Tickets drawn at random from the stream, and time for somebody to look at what the audits say.
    async fn batch(&self, draw: &mut Draw) -> Vec<Reply> {
        let drawn: Vec<(usize, &str)> = (0..BATCH)
            .map(|_| draw.below(self.tickets.len()))
            .map(|place| (place, self.tickets[place].text.as_str()))
            .collect();
        let replies = self.application.send(&drawn).await;
        tokio::time::sleep(A_LOOK).await;
        replies
    }

    /// Small answers that the large model would not give now.
    fn stale(&self, replies: &[Reply]) -> u64 {
        let stale = |reply: &&Reply| {
            let large = self.provider.answer(&self.tickets[reply.ticket].text);
            !reply.escalated
                && reply.answer.as_deref() == Some(DRIFT.0)
                && large.is_some_and(|large| large == DRIFT.1)
        };
        replies.iter().filter(stale).count() as u64
    }

    fn taken(&self, release: &ReleaseId) -> Result<Option<StepBack>, Failure> {
        let steps = self.store.step_backs().of(release)?;
        Ok(steps.into_iter().find(|step| step.taken.slice == Slice::Label(DRIFT.0.into())))
    }
}

/// The same draws on every machine.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        // Knuth's MMIX generator; the upper bits are the random ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }
}

fn books(store: &Store, provider: &Provider) -> Result<Books, Failure> {
    store.ledger().settle()?;
    let of = |spend| store.ledger().totals(&Filter { task: None, spend: Some(spend), period: None });
    let (answers, audits) = (of(Spend::Serving)?, of(Spend::Audits)?);
    let is_known = answers.cost_unknown + audits.cost_unknown == 0;
    let ledger = is_known.then(|| answers.cost + audits.cost);
    let bill = provider.bill();
    Ok(Books {
        ledger_micro_usd: ledger,
        audits_micro_usd: audits.cost,
        bill,
        equal: ledger == Some(bill.cost),
    })
}
