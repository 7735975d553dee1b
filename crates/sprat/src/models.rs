//! Configured models become models that answer: trainers for the rungs, the large model, and what it costs.

use std::collections::BTreeMap;
use std::sync::Arc;

use sprat_cascade::{LadderEnd, Protocol};
use sprat_learn::savings::LargeCost;
use sprat_learn::teacher::Remembered;
use sprat_learn::train::Source;
use sprat_models::decoder::chat::ChatModel;
#[cfg(feature = "encoder")]
use sprat_models::encoder::classify::{self, EncoderTrainer, FineTune, Place};
use sprat_models::hub::ModelSource;
#[cfg(feature = "encoder")]
use sprat_models::hub::{Hub, HubConfig};
use sprat_models::linear::LinearTrainer;
use sprat_models::remote::{
    Basis, Example, Examples, NearestExamples, NoExamples, PriceTable, Provider, RemoteConfig, RemoteModel,
    Secret,
};
use sprat_models::retrieval::NeighbourIndex;
use sprat_models::tagger::TaggerTrainer;
use sprat_store::Store;
use sprat_task::{
    Answer, Grading, Input, Kind, LabelledRow, Last, Model, ModelId, Money, Price, Problem, Provenance,
    Quality, RungRecord, Sha256Hex, Task, Trainer, Upstream,
};
use sprat_wire::anthropic::convert::DEFAULT_MAX_TOKENS;

#[cfg(feature = "encoder")]
use crate::config::Encoder;
use crate::config::{Decoder, ModelConfig, Remote};
use crate::decoders;
use crate::failure::Failure;
use crate::workspace::Workspace;

/// The models of a workspace.
pub struct Models<'a> {
    workspace: &'a Workspace,
    prices: PriceTable,
}

/// The large model of a task, and what is known of it without asking it.
pub struct Large {
    /// The model.
    pub model: Arc<RemoteModel>,
    /// Identifies everything its answers depend on but the input.
    pub prompt: Sha256Hex,
}

impl<'a> Models<'a> {
    /// Reads the price table, with the workspace's own laid over it.
    pub fn open(workspace: &'a Workspace) -> Result<Self, Failure> {
        let prices = workspace.prices()?;
        Ok(Self { workspace, prices })
    }

    /// What a model of this name costs, whoever's it is; `None` where the table doesn't know it.
    pub fn price(&self, model: &str) -> Option<Price> {
        self.prices.find(None, model).ok().map(|found| found.price)
    }

    /// Where each rung of a task comes from, and a sentence for each rung that this build can't make.
    pub fn sources(&self, task: &Task) -> Result<(Vec<Source>, Vec<String>), Failure> {
        let (mut sources, mut left_out) = (Vec::new(), Vec::new());
        for rung in &task.rungs {
            match self.workspace.config.models.get(rung) {
                Some(ModelConfig::Linear(_)) if task.kind == Kind::Extract => left_out.push(format!(
                    "rung `{rung}` is left out: a linear model gives labels, and this task has fields; \"tagger\" finds them"
                )),
                Some(ModelConfig::Linear(_) | ModelConfig::Encoder(_)) if task.kind == Kind::Generate => {
                    left_out.push(format!("rung `{rung}` is left out: it gives labels, and this task asks for a text"));
                }
                Some(ModelConfig::Tagger(_)) if task.kind != Kind::Extract => left_out.push(format!(
                    "rung `{rung}` is left out: a tagger finds fields, and this task is of kind `{}`",
                    task.kind
                )),
                Some(ModelConfig::Tagger(config)) => {
                    sources.push(Source::Trained(Arc::new(TaggerTrainer::new(rung.clone(), config.clone()))));
                }
                Some(ModelConfig::Linear(config)) => {
                    sources.push(Source::Trained(Arc::new(LinearTrainer::new(rung.clone(), config.clone()))));
                }
                Some(ModelConfig::Remote(remote)) => {
                    let model = Arc::new(self.remote(rung, remote, Arc::new(NoExamples))?);
                    sources.push(Source::AsItIs { model, kind: "remote" });
                }
                #[cfg(feature = "encoder")]
                Some(ModelConfig::Encoder(encoder)) => {
                    let trainer = self.encoder(rung, encoder);
                    trainer.check_base().map_err(|why| no_base(rung, encoder, &why))?;
                    sources.push(Source::Trained(Arc::new(trainer)));
                }
                Some(ModelConfig::Decoder(_)) if !decoders::ARE_BUILT_IN => left_out.push(format!(
                    "rung `{rung}` is left out: this build runs no decoders (its feature `decoder`)"
                )),
                Some(ModelConfig::Decoder(_)) if !can_decode(task) => left_out.push(format!(
                    "rung `{rung}` is left out: a decoder has no knowledge base to answer from so far"
                )),
                Some(ModelConfig::Decoder(decoder)) => {
                    let trainer = decoders::trainer(self.workspace, rung, decoder)
                        .map_err(|why| no_decoder(rung, decoder, &why))?;
                    trainer.check_for(task).map_err(|why| cant_fill(rung, task, &why))?;
                    sources.push(Source::Trained(Arc::new(trainer)));
                }
                #[cfg(not(feature = "encoder"))]
                Some(other) => left_out.push(format!(
                    "rung `{rung}` is left out: models of kind \"{}\" are not in this build yet",
                    other.kind()
                )),
                None => left_out.push(format!("rung `{rung}` is left out: no such model is declared")),
            }
        }
        if sources.is_empty() {
            let hint = match task.kind {
                Kind::Generate => "declare a local language model, [models.small] with kind = \"decoder\", and say rungs = [\"small\"]".to_owned(),
                kind => format!("add \"{}\" to its rungs: that model is always there", kind.usual_rung()),
            };
            return Err(Problem::new(format!("no rung of task `{}` can be made by this build", task.name))
                .allowed(left_out.join("; "))
                .hint(hint)
                .into());
        }
        Ok((sources, left_out))
    }

    /// Opens the model of a released rung.
    pub fn open_rung(
        &self,
        task: &Task,
        record: &RungRecord,
        file: Option<&std::path::Path>,
    ) -> Result<Arc<dyn Model>, String> {
        match (self.workspace.config.models.get(&record.model), file) {
            // What a rung was trained as is what it is opened as, whatever the workspace says now.
            (_, Some(file)) if record.kind == "linear" => {
                let trainer =
                    LinearTrainer::new(record.model.clone(), sprat_models::linear::Config::default());
                trainer.open(task, file).map_err(|error| error.to_string())
            }
            (_, Some(file)) if record.kind == "tagger" => {
                let trainer =
                    TaggerTrainer::new(record.model.clone(), sprat_models::tagger::Config::default());
                trainer.open(task, file).map_err(|error| error.to_string())
            }
            #[cfg(feature = "encoder")]
            (Some(ModelConfig::Encoder(encoder)), Some(file)) if record.kind == "encoder" => {
                self.encoder(&record.model, encoder).open(task, file).map_err(|error| error.to_string())
            }
            #[cfg(feature = "encoder")]
            (_, Some(_)) if record.kind == "encoder" => Err(format!(
                "sprat.toml no longer says where its base model is: [models.{}] with kind = \"encoder\" and `source`",
                record.model
            )),
            (Some(ModelConfig::Decoder(decoder)), Some(file)) if record.kind == "decoder" => {
                let trainer = decoders::trainer(self.workspace, &record.model, decoder)?;
                trainer.open(task, file).map_err(|error| error.to_string())
            }
            (_, Some(_)) if record.kind == "decoder" => Err(format!(
                "sprat.toml no longer says where its file is: [models.{}] with kind = \"decoder\" and `source`",
                record.model
            )),
            (Some(ModelConfig::Remote(remote)), None) => {
                let model = self.remote(&record.model, remote, Arc::new(NoExamples));
                model.map(|model| Arc::new(model) as Arc<dyn Model>).map_err(|failure| failure.to_string())
            }
            _ => Err(format!("models of kind \"{}\" are not in this build yet", record.kind)),
        }
    }

    /// The trainer of an encoder.
    #[cfg(feature = "encoder")]
    fn encoder(&self, id: &ModelId, encoder: &Encoder) -> EncoderTrainer {
        let fine_tune = match encoder.fine_tune {
            "never" => FineTune::Never,
            "contrastive" => FineTune::Contrastive,
            "always" => FineTune::Always,
            _ => FineTune::Auto,
        };
        let config = classify::Config {
            fine_tune,
            epochs: encoder.epochs,
            learning_rate: encoder.learning_rate,
            balance: encoder.balance,
            precision: encoder.precision(),
            in_scope_loss: encoder.in_scope_loss,
        };
        EncoderTrainer::new(id.clone(), place(&self.workspace.root, &encoder.source), config)
    }

    /// The large model of a task, showing it the examples nearest to each input where it is configured to; `None`
    /// where the ladder ends without a model.
    pub fn large(&self, task: &Task, rows: &[(String, Answer)]) -> Result<Option<Large>, Failure> {
        let Last::Large(id) = &task.last else { return Ok(None) };
        self.answering(id, task, rows)
    }

    /// Those that are asked where the large model of a task fails, in order. One that can't be opened is no reason to
    /// do without the others.
    pub fn fallbacks(&self, task: &Task, rows: &[(String, Answer)]) -> Vec<Large> {
        let Last::Large(id) = &task.last else { return Vec::new() };
        let others = self.workspace.config.fallbacks(id).into_iter();
        others.filter_map(|other| self.answering(other, task, rows).ok().flatten()).collect()
    }

    /// A remote model as it answers a task.
    fn answering(
        &self,
        id: &ModelId,
        task: &Task,
        rows: &[(String, Answer)],
    ) -> Result<Option<Large>, Failure> {
        let Some(ModelConfig::Remote(remote)) = self.workspace.config.models.get(id) else { return Ok(None) };
        let model = self.remote(id, remote, nearest(remote, rows))?;
        let prompt = model.prompt_hash(task);
        Ok(Some(Large { model: Arc::new(model), prompt }))
    }

    /// What the large model costs a request like these, by its price and the tokens they come to; `None` where its
    /// price is unknown. No call is made and no key is needed.
    pub fn large_cost(&self, task: &Task, inputs: &[Input]) -> Result<Option<LargeCost>, Failure> {
        let Last::Large(id) = &task.last else { return Ok(None) };
        let Some(ModelConfig::Remote(remote)) = self.workspace.config.models.get(id) else { return Ok(None) };
        let mut config = self.remote_config(remote)?;
        if config.api_key.is_none() {
            config.api_key = Secret::new("not-sent").ok();
        }
        let model = RemoteModel::open(id.clone(), config, &self.prices, Arc::new(NoExamples))?;
        let quote = model.quote(task, inputs);
        let known = match quote.basis {
            // Inputs that a file has no answer for cost nothing in its quote: they are unknown, not free.
            Basis::File { missing } => quote.calls.saturating_sub(missing),
            _ => quote.calls,
        };
        let Some(calls) = i64::try_from(known).ok().filter(|calls| *calls > 0) else { return Ok(None) };
        let cost = quote.cost_estimate.map(|total| Money::from_micro(total.micro() / calls));
        let prices = match &remote.settings.provider {
            Provider::Replay { path } => format!("the costs in {}", path.display()),
            _ => format!("list prices of {}", self.prices.as_of()),
        };
        Ok(cost.map(|cost| LargeCost { model: id.clone(), cost, prices, provenance: model.provenance() }))
    }

    /// Where the answers of a task's large model come from; `measured` where there is none, or none that can be opened.
    pub fn large_provenance(&self, task: &Task) -> Provenance {
        let Some(ModelConfig::Remote(remote)) =
            task.large().and_then(|id| self.workspace.config.models.get(id))
        else {
            return Provenance::Measured;
        };
        match &remote.settings.provider {
            Provider::Replay { .. } => {
                let id = task.large().cloned().unwrap_or_else(|| ModelId::from("large"));
                self.remote(&id, remote, Arc::new(NoExamples))
                    .map_or(Provenance::Recorded, |model| model.provenance())
            }
            _ => remote.settings.provenance,
        }
    }

    /// A model as judge: as little left to chance as it allows, and shown no examples.
    pub fn judge(&self, id: &ModelId) -> Result<RemoteModel, Failure> {
        self.remote(id, &self.judging(id)?, Arc::new(NoExamples))
    }

    /// Changes with whatever the verdicts of a task's judge depend on but the texts; `None` where it has none. Nobody is asked and
    /// no key is needed.
    pub fn judge_hash(&self, task: &Task) -> Result<Option<Sha256Hex>, Failure> {
        let (Some(quality), Some(grading)) = (&task.quality, Grading::of(task)) else { return Ok(None) };
        let Quality::Judged { judge } = quality else {
            return Ok(Some(Sha256Hex::of(&serde_json::to_vec(quality).unwrap_or_default())));
        };
        let mut config = self.remote_config(&self.judging(&judge.model)?)?;
        if config.api_key.is_none() {
            config.api_key = Secret::new("not-sent").ok();
        }
        let model = RemoteModel::open(judge.model.clone(), config, &self.prices, Arc::new(NoExamples))?;
        Ok(Some(model.prompt_hash(&grading.task)))
    }

    fn judging(&self, id: &ModelId) -> Result<Remote, Problem> {
        match self.workspace.config.models.get(id) {
            Some(ModelConfig::Remote(remote)) => {
                let mut remote = Remote::clone(remote);
                remote.settings.temperature = Some(0.0);
                remote.settings.examples = 0;
                Ok(remote)
            }
            _ => Err(Problem::new(format!("the judge `{id}` is not a remote model"))
                .hint("name one of kind = \"remote\" under [quality] model")),
        }
    }

    /// The large model with its memory, so that nothing is paid for twice.
    pub fn remembered(
        &self,
        large: &Large,
        store: &Store,
        now_unix_ms: i64,
        each: Option<Money>,
    ) -> Remembered {
        let provenance = large.model.provenance();
        Remembered::new(
            large.model.clone(),
            store.clone(),
            large.prompt.clone(),
            provenance,
            now_unix_ms,
            each,
        )
    }

    /// The models that requests can be passed on to, those of this machine among them, and a sentence for each that can't be opened.
    pub fn remotes(&self) -> (Vec<sprat_cascade::Remote>, Vec<String>) {
        let (mut remotes, mut troubles) = (BTreeMap::new(), Vec::new());
        for (id, model) in &self.workspace.config.models {
            let opened = match model {
                ModelConfig::Remote(remote) => {
                    let opened = self.remote(id, remote, Arc::new(NoExamples));
                    opened.map(|opened| self.passing(remote, opened)).map_err(|failure| failure.plainly())
                }
                ModelConfig::Decoder(decoder) if decoders::ARE_BUILT_IN => {
                    decoders::chat(self.workspace, id, decoder).map(local)
                }
                _ => continue,
            };
            match opened {
                Ok(opened) => drop(remotes.insert(id, opened)),
                Err(why) => troubles.push(format!("model {id} is not served: {why}")),
            }
        }
        let with_fallback = |(id, remote): (&&ModelId, &sprat_cascade::Remote)| {
            let others = self.workspace.config.fallbacks(id);
            let others = others.into_iter().filter_map(|other| remotes.get(other));
            sprat_cascade::Remote { fallback: others.cloned().map(Arc::new).collect(), ..remote.clone() }
        };
        (remotes.iter().map(with_fallback).collect(), troubles)
    }

    /// A remote model as requests are passed on to it, with nobody to fall back on.
    fn passing(&self, remote: &Remote, opened: RemoteModel) -> sprat_cascade::Remote {
        let protocol = match remote.settings.provider {
            // A limit that is set for labels needn't be enough for a conversation.
            Provider::Anthropic => Protocol::Anthropic {
                max_tokens: remote.settings.max_tokens.unwrap_or(0).max(DEFAULT_MAX_TOKENS),
            },
            _ => Protocol::OpenAi,
        };
        sprat_cascade::Remote {
            model: remote.settings.model.clone(),
            protocol,
            fallback: Vec::new(),
            price: self.prices.price_of(&remote.settings),
            provenance: opened.provenance(),
            upstream: Arc::new(opened),
        }
    }

    /// Where a task's ladder ends, given its large model and those that are asked where it fails.
    pub fn end(&self, task: &Task, mut models: Vec<Arc<dyn Model>>) -> LadderEnd {
        match (&task.last, models.len()) {
            (Last::People, _) => LadderEnd::People,
            (Last::NoAnswer, _) | (Last::Large(_), 0) => LadderEnd::NoAnswer,
            (Last::Large(_), 1) => LadderEnd::Remote(models.remove(0)),
            (Last::Large(_), _) => LadderEnd::Remotes(models),
        }
    }

    /// Changes when the settings of any model of the task's ladder do, or of its judge.
    pub fn settings_hash(&self, task: &Task) -> Sha256Hex {
        let judge = match &task.quality {
            Some(Quality::Judged { judge }) => Some(&judge.model),
            _ => None,
        };
        let settings: Vec<String> = task
            .rungs
            .iter()
            .chain(judge)
            .map(|rung| format!("{rung} {:?}", self.workspace.config.models.get(rung)))
            .collect();
        Sha256Hex::of_parts(settings.iter().map(String::as_bytes))
    }

    fn remote(
        &self,
        id: &ModelId,
        remote: &Remote,
        examples: Arc<dyn Examples>,
    ) -> Result<RemoteModel, Failure> {
        sprat_models::remote::install_tls();
        let config = self.remote_config(remote)?;
        if config.api_key.is_none()
            && let Some(key) = &remote.api_key
        {
            let why = key.read(&self.workspace.root).err().unwrap_or_default();
            return Err(Problem::new(format!("the key of model `{id}` is missing: {why}"))
                .hint("`sprat doctor` shows which keys are there")
                .into());
        }
        Ok(RemoteModel::open(id.clone(), config, &self.prices, examples)?)
    }

    /// The settings of a remote model, with its key where it can be read.
    fn remote_config(&self, remote: &Remote) -> Result<RemoteConfig, Failure> {
        let key = remote.api_key.as_ref().and_then(|key| key.read(&self.workspace.root).ok());
        let api_key = key.map(Secret::new).transpose()?;
        Ok(RemoteConfig { api_key, ..remote.resolved(&self.workspace.root) })
    }
}

/// A model of this machine as calls are passed on to it: nobody is paid for what it says.
fn local(model: ChatModel) -> sprat_cascade::Remote {
    sprat_cascade::Remote {
        model: model.id().to_string(),
        protocol: Protocol::OpenAi,
        fallback: Vec::new(),
        price: Some(Price::FREE),
        provenance: Provenance::Measured,
        upstream: Arc::new(model),
    }
}

/// Where the files of a base model are; those of the hub, where they have been pulled.
#[cfg(feature = "encoder")]
pub fn place(root: &std::path::Path, source: &ModelSource) -> Place {
    let repository = match source {
        ModelSource::Path(path) => return Place::Folder(root.join(path)),
        ModelSource::Hub(repository) => repository,
    };
    let config = HubConfig::from_env(|name| std::env::var(name).ok());
    match config.map(|config| Hub::new(config).cache().find(repository)) {
        Ok(Some(snapshot)) => Place::Folder(snapshot.folder),
        Ok(None) => Place::Missing(format!(
            "model {repository} is not on this machine; `sprat models pull hf:{repository}` fetches it"
        )),
        Err(problem) => Place::Missing(problem.to_string()),
    }
}

/// Whether a decoder can answer a task.
fn can_decode(task: &Task) -> bool {
    match task.kind {
        Kind::Classify | Kind::Moderate | Kind::Extract | Kind::Generate => true,
        Kind::Answer => false,
    }
}

fn cant_fill(rung: &ModelId, task: &Task, why: &str) -> Failure {
    Problem::new(format!("rung `{rung}` can't fill holes: {why}"))
        .allowed("a model that was taught to, such as Qwen2.5-Coder, StarCoder2 or CodeLlama")
        .hint(format!(
            "name its file in [models.{rung}] of sprat.toml, or remove `hole` from tasks/{}.toml",
            task.name
        ))
        .into()
}

fn no_decoder(rung: &ModelId, decoder: &Decoder, why: &str) -> Failure {
    Problem::new(format!("rung `{rung}` can't be run: {why}"))
        .allowed("a language model in one GGUF file")
        .hint(match decoder.source {
            ModelSource::Hub(_) => format!("sprat models pull {rung}"),
            ModelSource::Path(_) => format!(
                "put it where [models.{rung}] source = \"{}\" says, or take `{rung}` out of the task's rungs",
                decoder.source
            ),
        })
        .into()
}

#[cfg(feature = "encoder")]
fn no_base(rung: &ModelId, encoder: &Encoder, why: &str) -> Failure {
    Problem::new(format!("the base model of rung `{rung}` can't be read: {why}"))
        .allowed("a folder with config.json, model.safetensors and tokenizer.json")
        .hint(match encoder.source {
            ModelSource::Hub(_) => format!("sprat models pull {rung}"),
            ModelSource::Path(_) => format!(
                "put them where [models.{rung}] source = \"{}\" says, or take `{rung}` out of the task's rungs",
                encoder.source
            ),
        })
        .into()
}

/// The rows nearest to an input, as examples for the prompt.
fn nearest(remote: &Remote, rows: &[(String, Answer)]) -> Arc<dyn Examples> {
    if remote.settings.examples == 0 || rows.is_empty() {
        return Arc::new(NoExamples);
    }
    let pool: Vec<Example> =
        rows.iter().map(|(text, answer)| Example { text: text.clone(), answer: answer.clone() }).collect();
    let texts: Vec<&str> = rows.iter().map(|(text, _)| text.as_str()).collect();
    let index = NeighbourIndex::build(&texts);
    let nearest =
        move |text: &str, most: usize| index.nearest(text, most).into_iter().map(|found| found.row).collect();
    Arc::new(NearestExamples::new(pool, "n-gram cosine 1", Arc::new(nearest)))
}

/// The labelled rows as examples.
pub fn examples(rows: &[LabelledRow]) -> Vec<(String, Answer)> {
    rows.iter().filter_map(|row| Some((row.input.text.clone(), row.target()?.clone()))).collect()
}
