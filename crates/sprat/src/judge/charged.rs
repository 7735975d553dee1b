//! What does a judge cost? Each call of it is a line of the ledger; what is remembered is none.

use std::sync::Arc;

use futures::future::BoxFuture;
use sprat_models::remote::RemoteModel;
use sprat_store::{Ending, LedgerEntry, Source, Store};
use sprat_task::{
    Attempt, Context, Input, Model, ModelId, Outcome, Provenance, ReleaseId, Step, Task, TaskName,
};

use crate::app::App;

/// A model whose calls are charged to the task that it judges for.
pub struct Charged {
    /// The model.
    pub inner: Arc<RemoteModel>,
    /// The clock, and names for requests.
    pub app: App,
    /// Where the ledger is.
    pub store: Store,
    /// The task whose texts are judged.
    pub task: TaskName,
    /// Whose texts, where they are a server's answers: then a call bears the request's id.
    pub release: Option<ReleaseId>,
    /// Where the model's answers and prices come from.
    pub provenance: Provenance,
}

impl Charged {
    fn charge(&self, cx: &Context, attempt: &Attempt) {
        let latency_us = u64::try_from(attempt.latency.as_micros()).unwrap_or(u64::MAX);
        let outcome = match &attempt.result {
            Ok(Some(_)) => Outcome::Last,
            Ok(None) => Outcome::Abstained,
            Err(error) => Outcome::Failed(error.clone()),
        };
        let answered = matches!(outcome, Outcome::Last);
        let model = self.id().clone();
        let entry = LedgerEntry {
            request: self.release.as_ref().map_or_else(|| self.app.new_request(), |_| cx.request.clone()),
            task: self.task.clone(),
            release: self.release.clone(),
            time_unix_ms: self.app.now_unix_ms(),
            source: Source::Judge,
            ending: if answered { Ending::Large } else { Ending::Failed },
            answered_by: answered.then(|| model.clone()),
            steps: vec![Step { model, usage: attempt.usage, latency_us, outcome }],
            cost: attempt.usage.cost,
            baseline_all_large: None,
            baseline_is_estimated: false,
            provenance: self.provenance,
            latency_us,
            // A judgement is the owner's, whoever's answer it is about.
            key: None,
            held: None,
        };
        if let Err(error) = self.store.ledger().append(&entry) {
            // The store counts it as lost.
            tracing::warn!("what a judge cost can't be kept: {error}");
        }
    }
}

impl Model for Charged {
    fn id(&self) -> &ModelId {
        Model::id(self.inner.as_ref())
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn predict<'a>(
        &'a self,
        cx: &'a Context,
        task: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        Box::pin(async move {
            let attempts = self.inner.predict(cx, task, inputs).await;
            attempts.iter().for_each(|attempt| self.charge(cx, attempt));
            attempts
        })
    }
}
