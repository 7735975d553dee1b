//! Whose request is it? A key is looked up in memory by its digest, before anything of the body is read.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use sprat_cascade::{Remote, Spent};
use sprat_store::{Key, LedgerEntry, Store};
use sprat_task::{KeyDigest, KeyId, KeySecret, ModelId, Money, Usage};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::Gateway;
use crate::accept::Accepted;
use crate::budget::{Purse, Reservation};
use crate::error::Refusal;
use crate::limits::Limits;
use crate::record::now_unix_ms;
use crate::resolve::Route;

/// How often the store is asked whether a key has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How much of a refused request is still taken in, and for how long.
const UNREAD_BYTES: usize = 1 << 20;
const UNREAD_TIME: Duration = Duration::from_secs(1);

/// The keys that open this gateway. Where the store has none, everything is open.
pub struct Keyring {
    /// Without the workspace's secret no key can be recognised, and where there are keys nobody comes in.
    secret: Option<KeySecret>,
    table: RwLock<Arc<Table>>,
}

#[derive(Default)]
struct Table {
    by_digest: HashMap<KeyDigest, Arc<Holder>>,
    by_name: HashMap<KeyId, Arc<Holder>>,
    generation: Option<u64>,
}

/// A key, and what it has done since the gateway began.
struct Holder {
    key: Key,
    purse: Option<Arc<Purse>>,
    limits: Arc<Limits>,
}

impl Keyring {
    pub(crate) fn new(secret: Option<KeySecret>) -> Self {
        Self { secret, table: RwLock::default() }
    }

    /// Reads the keys, and for those that are new here what they have spent. Waits for the disk.
    pub fn load(&self, store: &Store) -> Result<(), String> {
        let say = |error: sprat_store::StoreError| error.to_string();
        // The number before the keys: what changes in between is read once more, never missed.
        let generation = store.keys().generation().map_err(say)?;
        let (before, now_unix_ms) = (self.table(), now_unix_ms());
        let mut table = Table { generation: Some(generation), ..Table::default() };
        for key in store.keys().all().map_err(say)? {
            let holder = match before.by_name.get(&key.id) {
                // What a key may do stays as it was made, so that what it has done goes on counting.
                Some(known) => Holder { purse: known.purse.clone(), limits: known.limits.clone(), key },
                None => Holder::new(key, store, now_unix_ms).map_err(say)?,
            };
            let holder = Arc::new(holder);
            table.by_digest.insert(holder.key.digest, holder.clone());
            table.by_name.insert(holder.key.id.clone(), holder);
        }
        // What is behind the lock is exchanged in one statement, so a panic elsewhere hasn't broken it.
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        Ok(())
    }

    /// Looks for changed keys every second, until cancelled. What can't be read leaves the present ones in place.
    pub async fn follow(gateway: Arc<Gateway>, cancel: CancellationToken) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = every.tick() => {}
            }
            let looking = gateway.clone();
            let looked = tokio::task::spawn_blocking(move || looking.keys.look(&looking.store)).await;
            match looked {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => tracing::info!("the keys have changed and are read again"),
                Ok(Err(why)) => tracing::warn!("the keys can't be read: {why}"),
                Err(_) => tracing::warn!("the keys can't be read: reading them panicked"),
            }
        }
    }

    /// Reads the keys again where they have changed; says whether.
    fn look(&self, store: &Store) -> Result<bool, String> {
        let generation = store.keys().generation().map_err(|error| error.to_string())?;
        if self.table().generation == Some(generation) {
            return Ok(false);
        }
        self.load(store).map(|()| true)
    }

    /// Lets a request in: with a lease on its key, or with none where there are no keys.
    fn admit(&self, headers: &HeaderMap, method: &Method) -> Result<Option<Lease>, Refused> {
        let table = self.table();
        if table.by_name.is_empty() && table.generation.is_some() {
            return Ok(None);
        }
        let stranger = |why: &str| Refused { holder: None, why: "key", refusal: Refusal::key(why) };
        let shown = shown(headers).ok_or_else(|| {
            stranger(
                "no key was sent; send one made by `sprat keys create` as `Authorization: Bearer sprat-…`",
            )
        })?;
        let found = self.secret.as_ref().and_then(|secret| table.by_digest.get(&secret.digest(shown)));
        let holder = found.ok_or_else(|| stranger("the key that was sent is not one of this gateway's"))?;
        let (name, now) = (&holder.key.id, Instant::now());
        if holder.key.revoked_unix_ms.is_some() {
            return Err(stranger("the key that was sent has been revoked"));
        }
        if !holder.key.is_good(now_unix_ms()) {
            return Err(stranger("the key that was sent has expired"));
        }
        if method != Method::POST {
            return Ok(Some(Lease(Arc::new(Held { holder: holder.clone(), _place: None }))));
        }
        match holder.limits.enter(&holder.key.allowance, now) {
            Ok(place) => Ok(Some(Lease(Arc::new(Held { holder: holder.clone(), _place: place })))),
            Err(reached) => Err(Refused {
                holder: Some(holder.clone()),
                why: "rate",
                refusal: Refusal::rate(name.as_str(), reached),
            }),
        }
    }

    fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A request that doesn't come in.
struct Refused {
    /// Whose it is, where that is known.
    holder: Option<Arc<Holder>>,
    why: &'static str,
    refusal: Refusal,
}

impl Holder {
    fn new(key: Key, store: &Store, now_unix_ms: i64) -> Result<Self, sprat_store::StoreError> {
        let purse = match key.allowance.budget {
            None => None,
            Some(budget) => {
                // The spool is taken over before this is answered, also what a crash left in it.
                let totals = store.ledger().per_key(Some(&key.id), budget.per.start(now_unix_ms))?;
                let spent = totals.first().map(|totals| totals.charged()).unwrap_or_default();
                Some(Arc::new(Purse::new(budget, spent, now_unix_ms)))
            }
        };
        let limits = Arc::new(Limits::new(&key.allowance, Instant::now()));
        Ok(Self { key, purse, limits })
    }
}

/// Before every request of a client: whose is it? And after it: what is left of the key's limits?
pub(crate) async fn admit(State(gateway): State<Arc<Gateway>>, mut request: Request, next: Next) -> Response {
    let lease = match gateway.keys.admit(request.headers(), request.method()) {
        Ok(None) => return next.run(request).await,
        Ok(Some(lease)) => lease,
        Err(Refused { holder, why, refusal }) => {
            gateway.metrics.refused(holder.as_ref().map(|holder| &holder.key.id), why);
            let_it_finish(request.into_body()).await;
            let mut response = refusal.into_response();
            if let Some(holder) = holder {
                holder.limits.tell(response.headers_mut(), Instant::now());
            }
            return response;
        }
    };
    request.extensions_mut().insert(lease.clone());
    let mut response = next.run(request).await;
    lease.0.holder.limits.tell(response.headers_mut(), Instant::now());
    response
}

/// Takes in the rest of a body that nobody will look at, within bounds: a client whose words are not read to the end may
/// see a broken connection in place of the refusal.
async fn let_it_finish(body: Body) {
    let mut pieces = body.into_data_stream();
    let reading = async {
        let mut left = UNREAD_BYTES;
        while let Some(Ok(piece)) = pieces.next().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(UNREAD_TIME, reading).await;
}

/// A key in use by one request, which holds one of its places to the last byte of the reply.
#[derive(Clone)]
pub struct Lease(Arc<Held>);

struct Held {
    holder: Arc<Holder>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// Whose it is.
    pub fn id(&self) -> &KeyId {
        &self.key().id
    }

    /// The same route, where the key may take it. An ordinary call that a task recognises is answered by the task where
    /// the key may use both; with the model alone it goes there.
    pub(crate) fn may_take(&self, route: Route) -> Result<Route, Refusal> {
        let allowance = &self.key().allowance;
        let model = |remote: &Remote| self.may_use(remote.upstream.id());
        match route {
            Route::Task { ref serving, .. } if !allowance.allows_task(&serving.task.name) => {
                Err(Refusal::not_allowed(self.id().as_str(), serving.task.name.as_str()))
            }
            Route::Task { .. } => Ok(route),
            Route::Remote(ref remote) => model(remote).map(|()| route),
            Route::Recognised { serving, shadow, reading, hash, lowered, remote } => {
                model(&remote)?;
                let lowered = lowered && allowance.allows_task(&serving.task.name);
                Ok(Route::Recognised { serving, shadow, reading, hash, lowered, remote })
            }
        }
    }

    /// Whether it may use a model.
    pub(crate) fn may_use(&self, model: &ModelId) -> Result<(), Refusal> {
        match self.key().allowance.allows_model(model) {
            true => Ok(()),
            false => Err(Refusal::not_allowed(self.id().as_str(), model.as_str())),
        }
    }

    /// Whether a name may be shown to it among those a request may give.
    pub(crate) fn may_name(&self, name: &str) -> bool {
        let allowance = &self.key().allowance;
        allowance.allows_task(&name.into()) || allowance.allows_model(&name.into())
    }

    /// Reserves what a call of `model` may use at most, beside what the request has cost so far.
    pub(crate) async fn reserve(
        &self,
        accepted: &Accepted,
        model: &str,
        most: Usage,
        so_far: Spent,
    ) -> Result<Hold, Refusal> {
        let (name, holder) = (self.id().as_str(), &self.0.holder);
        let tokens = most.tokens.map_or(0, |tokens| tokens.input.saturating_add(tokens.output));
        let reservation = match &holder.purse {
            None => None,
            Some(purse) => {
                let most = most.cost.ok_or_else(|| Refusal::no_price(name, model))? + so_far.known;
                let reserving = purse.reserve(most, accepted.time_unix_ms);
                let reserved = tokio::time::timeout_at(accepted.cx.deadline.into(), reserving).await;
                let reserved = reserved.map_err(|_| Refusal::budget_reserved(name))?;
                Some(reserved.map_err(|too_much| {
                    Refusal::quota(name, purse.budget(), too_much, most, accepted.time_unix_ms)
                })?)
            }
        };
        holder.limits.take_tokens(tokens, Instant::now()).map_err(|reached| Refusal::rate(name, reached))?;
        Ok(Hold { lease: self.clone(), reservation, tokens })
    }

    /// Charges a request that nothing was reserved for.
    pub(crate) fn charge(&self, entry: &LedgerEntry) {
        if let (Some(purse), Some(cost)) = (&self.0.holder.purse, entry.cost) {
            purse.charge(cost, entry.time_unix_ms);
        }
    }

    fn key(&self) -> &Key {
        &self.0.holder.key
    }
}

/// What is reserved for a call under way. Dropped unsettled, because nothing was asked after all, it is all given back.
pub(crate) struct Hold {
    lease: Lease,
    reservation: Option<Reservation>,
    tokens: u64,
}

impl Hold {
    /// Another model is asked after one has failed: reserves what that may use besides. What the failed one may have cost
    /// stays reserved where nobody knows it.
    pub(crate) fn ask_another(
        &mut self,
        accepted: &Accepted,
        model: &str,
        most: Usage,
        so_far: Spent,
    ) -> Result<(), Refusal> {
        let Some(reservation) = &mut self.reservation else { return Ok(()) };
        let name = self.lease.id().as_str();
        let most = most.cost.ok_or_else(|| Refusal::no_price(name, model))? + so_far.known;
        let wanted = if so_far.unknown == 0 { most } else { most + reservation.amount() };
        let missing = (wanted - reservation.amount()).max(Money::ZERO);
        reservation.grow(missing).map_err(|too_much| {
            Refusal::quota(name, reservation.budget(), too_much, missing, accepted.time_unix_ms)
        })
    }

    /// The request has ended like this: its cost, where known, takes the place of what was reserved. Where it is
    /// unknown, all that was reserved stays taken; returns that.
    pub(crate) fn settle(mut self, entry: &LedgerEntry) -> Option<Money> {
        let tokens = entry.steps.iter().filter_map(|step| step.usage.tokens);
        let used =
            tokens.map(|tokens| tokens.input.saturating_add(tokens.output)).fold(0, u64::saturating_add);
        let taken = std::mem::take(&mut self.tokens);
        if entry.cost.is_some() {
            self.lease.0.holder.limits.used_tokens(taken, used);
        }
        let reservation = self.reservation.take()?;
        match entry.cost {
            Some(cost) => {
                reservation.settle(cost);
                None
            }
            None => {
                let held = reservation.amount();
                reservation.settle(held);
                Some(held)
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.lease.0.holder.limits.used_tokens(self.tokens, 0);
    }
}

/// The key that a request shows: as OpenAI's clients send it, or Anthropic's.
fn shown(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let plain = || headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim);
    bearer.or_else(plain).filter(|key| !key.is_empty())
}
