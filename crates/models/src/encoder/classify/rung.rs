//! The taught encoder as a rung: how does it answer a task?

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures::future::{BoxFuture, join_all};
use sprat_task::{Attempt, Context, Embed, Input, Label, Model, ModelId, Nearest, Prediction, Task};

use super::super::finetune::Objective;
use super::super::{Checkpoint, Embedder, Encoder, Sharing};
use super::answer::{Answering, FEATURES, Known, SCORER_VERSION};
use super::artifact::Learned;
use super::base::{Place, changed};
use super::blend::Scheme;
use super::logistic::outputs;
use crate::linear::Scratch;

/// An encoder that answers under a declared name.
pub struct EncoderRung {
    id: ModelId,
    embedder: Embedder,
    learned: Learned,
}

impl EncoderRung {
    /// Opens what was learned, beside the base model it was learned with.
    ///
    /// # Errors
    /// A sentence with the file: what is missing, damaged, or not what it was.
    pub fn open(id: ModelId, place: &Place, file: &Path) -> Result<Self, String> {
        let (checkpoint, digests) = place.open()?;
        let mut learned = Learned::open(file, &checkpoint.config)?;
        if let Some(why) = changed(&learned.header.base, &digests, place) {
            return Err(why);
        }
        let checkpoint = match learned.weights.take() {
            Some(weights) => Checkpoint { weights, ..checkpoint },
            None => checkpoint,
        };
        let encoder = Arc::new(Encoder::of(checkpoint, learned.header.config.precision));
        let embedder =
            Embedder::start(encoder, &Sharing::default()).map_err(|problem| problem.to_string())?;
        Ok(Self { id, embedder, learned })
    }

    /// The labels it was taught.
    pub fn labels(&self) -> &[Label] {
        &self.learned.header.labels
    }

    /// One text, among all that are asked at this moment by anybody.
    async fn attempt(&self, cx: &Context, text: &str) -> Attempt {
        let start = Instant::now();
        match self.embedder.embed(cx, &[text]).await {
            Ok(embedded) => {
                let prediction = self.answer(text, embedded.vectors.first().map_or(&[], Vec::as_slice));
                Attempt::free(prediction, start.elapsed())
            }
            Err(error) => Attempt { latency: start.elapsed(), ..Attempt::failed(error) },
        }
    }

    fn answer(&self, text: &str, embedding: &[f32]) -> Prediction {
        let Learned { header, head, neighbours, linear, .. } = &self.learned;
        let near = neighbours.near(embedding, header.out_of_scope, |_| true);
        let mut scratch = Scratch::default();
        let (log_probabilities, signals) = linear.predict_into(text, &mut scratch);
        let outputs = outputs(head, embedding, header.width, header.labels.len());
        let answering = Answering {
            labels: &header.labels,
            scheme: Scheme {
                objective: if header.several { Objective::SeveralLabels } else { Objective::OneLabel },
                out_of_scope: header.out_of_scope,
            },
            at_least_one: header.at_least_one,
            blend: header.blend,
        };
        answering.answer(&Known { outputs: &outputs, linear: log_probabilities, signals, near: &near })
    }
}

impl Model for EncoderRung {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn predict<'a>(
        &'a self,
        cx: &'a Context,
        _: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        let attempts = inputs.iter().map(|input| self.attempt(cx, &input.text));
        Box::pin(join_all(attempts))
    }

    fn nearest<'a>(
        &'a self,
        cx: &'a Context,
        input: &'a Input,
        most: usize,
    ) -> BoxFuture<'a, Option<Nearest>> {
        Box::pin(async move {
            let embedded = self.embedder.embed(cx, &[&input.text]).await.ok()?;
            let among = usize::try_from(self.learned.header.rows).ok()?;
            let rows = self.learned.neighbours.nearest(embedded.vectors.first()?, most, among);
            Some(Nearest { among, rows })
        })
    }

    fn feature_names(&self) -> &'static [&'static str] {
        &FEATURES
    }

    fn scorer_version(&self) -> u32 {
        SCORER_VERSION
    }
}
