//! `sprat models inspect`: what a model is.

use std::path::Path;

use serde_json::{Value, json};
use sprat_models::hub::{Contents, HubError, ModelSource, Snapshot};
use sprat_models::remote::Provider;
use sprat_task::{Money, Price, Problem};

use super::{Meant, decoder_file, failed, find, gguf, hub};
use crate::app::App;
use crate::config::{DECODER_CONTEXT, Decoder, Encoder, ModelConfig, Remote};
use crate::failure::Failure;
use crate::output::words;
use crate::workspace::{Workspace, shown};

/// What is shown of a model: the same as lines and as JSON.
pub struct Told {
    pub lines: Vec<(&'static str, String)>,
    pub json: Value,
}

pub fn run(written: &str, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace_or_default()?;
    let told = match find(&workspace.config, written)? {
        Meant::Declared(id, ModelConfig::Linear(linear)) => {
            let what = "hashed word and character n-grams with a linear classifier, trained for each task";
            let json = json!({
                "model": id.as_str(), "kind": "linear", "max_features": linear.max_features, "cost": linear.cost,
                "epochs": linear.epochs, "tolerance": linear.tolerance, "seed": linear.seed,
            });
            trained_here(id.as_str(), "linear", what, linear.max_features, json)
        }
        Meant::Declared(id, ModelConfig::Tagger(tagger)) => {
            let what = "a conditional random field that marks fields word by word, trained for each task";
            let json = json!({
                "model": id.as_str(), "kind": "tagger", "max_features": tagger.max_features, "rate": tagger.rate,
                "decay": tagger.decay, "epochs": tagger.epochs, "least_count": tagger.least_count, "seed": tagger.seed,
            });
            trained_here(id.as_str(), "tagger", what, tagger.max_features, json)
        }
        Meant::Declared(id, ModelConfig::Remote(remote)) => self::remote(id.as_str(), remote, &workspace)?,
        Meant::Declared(id, ModelConfig::Decoder(Decoder { source, context, .. })) => {
            let file = decoder_file(&workspace, source)?;
            gguf::told(id.as_str(), &source.to_string(), &file, *context)?
        }
        Meant::Source(ref source @ ModelSource::Path(ref path))
            if path.extension().is_some_and(|end| end == "gguf") =>
        {
            gguf::told(&source.to_string(), &source.to_string(), &workspace.root.join(path), DECODER_CONTEXT)?
        }
        Meant::Declared(id, ModelConfig::Encoder(Encoder { source, .. })) => {
            self::local(id.as_str(), source, &workspace)?
        }
        Meant::Source(source) => self::local(&source.to_string(), &source, &workspace)?,
    };
    app.out().show(&told.json, |out| {
        for (key, value) in &told.lines {
            out.line(format!("{key:<13} {value}"));
        }
    });
    Ok(())
}

fn trained_here(name: &str, kind: &str, what: &str, max_features: usize, json: Value) -> Told {
    Told {
        lines: vec![
            ("model", name.to_owned()),
            ("kind", kind.to_owned()),
            ("what", what.to_owned()),
            ("features", format!("at most {}", words::count(max_features as u64))),
            ("files", "none of its own: each release has its artefact".to_owned()),
        ],
        json,
    }
}

fn remote(name: &str, remote: &Remote, workspace: &Workspace) -> Result<Told, Failure> {
    let settings = &remote.settings;
    let prices = workspace.prices()?;
    let price = prices.price_of(settings);
    let address = match &settings.provider {
        Provider::Compatible { base_url } => Some(base_url.clone()),
        Provider::Replay { path } => Some(shown(&workspace.root.join(path))),
        Provider::OpenAi | Provider::Anthropic => settings.base_url.clone(),
    };
    let mut lines = vec![
        ("model", name.to_owned()),
        ("kind", "remote".to_owned()),
        ("provider", settings.provider.word().to_owned()),
    ];
    if !settings.model.is_empty() {
        lines.push(("name there", settings.model.clone()));
    }
    lines.extend(address.iter().map(|address| ("address", address.clone())));
    lines.push(("price", said_price(price, settings.hardware_cost_per_hour)));
    if price.is_some() && settings.price.is_none() {
        lines.push(("prices of", prices.as_of().to_owned()));
    }
    let dollars = |micro: u64| Money::from_micro(i64::try_from(micro).unwrap_or(i64::MAX)).units();
    Ok(Told {
        lines,
        json: json!({
            "model": name, "kind": "remote", "provider": settings.provider.word(), "name": settings.model,
            "address": address,
            "price_usd_per_million_tokens": price.map(|price| json!({
                "input": dollars(price.input), "output": dollars(price.output),
                "cached_input": price.cached_input.map(dollars),
            })),
            "hardware_usd_per_hour": settings.hardware_cost_per_hour.map(Money::units),
            "prices_as_of": (price.is_some() && settings.price.is_none()).then(|| prices.as_of()),
        }),
    })
}

fn said_price(price: Option<Price>, hardware: Option<Money>) -> String {
    let dollars = |micro: u64| Money::from_micro(i64::try_from(micro).unwrap_or(i64::MAX)).to_string();
    match (price, hardware) {
        (Some(price), _) => {
            format!("{} in, {} out per million tokens", dollars(price.input), dollars(price.output))
        }
        (None, Some(hourly)) => format!("{hourly} an hour of your own hardware"),
        (None, None) => "unknown".to_owned(),
    }
}

fn local(name: &str, source: &ModelSource, workspace: &Workspace) -> Result<Told, Failure> {
    match source {
        ModelSource::Path(path) => {
            let folder = workspace.root.join(path);
            if !folder.is_dir() {
                return Err(failed(HubError::NoFolder(folder)));
            }
            files(name, source, &folder, None)
        }
        ModelSource::Hub(repository) => {
            let snapshot = hub(true)?.cache().find(repository);
            let snapshot = snapshot.ok_or_else(|| {
                Problem::new(format!("model {repository} is not on this machine"))
                    .hint(format!("sprat models pull hf:{repository}"))
            })?;
            match snapshot.gguf() {
                Some(file) => gguf::told(name, &source.to_string(), &file, DECODER_CONTEXT),
                None => files(name, source, &snapshot.folder, Some(&snapshot)),
            }
        }
    }
}

fn files(
    name: &str,
    source: &ModelSource,
    folder: &Path,
    snapshot: Option<&Snapshot>,
) -> Result<Told, Failure> {
    let contents = Contents::read(folder)?;
    let unknown = || "unknown".to_owned();
    let number = |value: Option<u64>| value.map_or_else(unknown, words::count);
    let mut lines =
        vec![("model", name.to_owned()), ("source", source.to_string()), ("folder", shown(folder))];
    lines.extend(snapshot.map(|snapshot| ("commit", snapshot.commit.clone())));
    let family = contents.model_type.as_deref().map(|family| format!(" ({family})")).unwrap_or_default();
    let pooling = contents.pooling.clone().unwrap_or_else(unknown);
    lines.extend([
        ("architecture", format!("{}{family}", contents.architecture.clone().unwrap_or_else(unknown))),
        ("layers", number(contents.layers)),
        ("hidden size", number(contents.hidden_size)),
        ("heads", number(contents.attention_heads)),
        ("parameters", format!("{} ({})", words::count(contents.parameters), contents.dtypes.join(", "))),
        ("pooling", if contents.normalizes { format!("{pooling}, scaled to length 1") } else { pooling }),
        (
            "longest text",
            contents.max_tokens.map_or_else(unknown, |most| format!("{} tokens", words::count(most))),
        ),
        (
            "tokenizer",
            format!(
                "{}, {} tokens",
                contents.tokenizer.clone().unwrap_or_else(unknown),
                number(contents.vocabulary)
            ),
        ),
        ("size", words::bytes(contents.size_bytes)),
    ]);
    for file in &contents.weights {
        lines.push(("sha256", format!("{} ({})", file.sha256, file.name)));
    }
    // A file of the right length may still hold other bytes than came.
    let changed = snapshot.map(|snapshot| changed(snapshot, &contents)).unwrap_or_default();
    if let Some(file) = changed.first() {
        return Err(Problem::in_file(
            folder.join(file).display(),
            "the file is not what was pulled: it has been changed",
        )
        .hint(format!("sprat models remove {source}, then pull it again"))
        .into());
    }
    let mut json = json!({
        "model": name, "source": source.to_string(), "folder": folder.display().to_string(),
        "commit": snapshot.map(|snapshot| &snapshot.commit),
        "revisions": snapshot.map(|snapshot| &snapshot.revisions),
    });
    if let (Value::Object(all), Ok(Value::Object(more))) = (&mut json, serde_json::to_value(&contents)) {
        all.extend(more);
    }
    Ok(Told { lines, json })
}

/// The files of weights whose hash is no longer that of the file that came.
fn changed(snapshot: &Snapshot, contents: &Contents) -> Vec<String> {
    let came =
        |name: &str| snapshot.files.iter().find(|file| file.name == name).map(|file| file.digest.to_string());
    let differs = |file: &&sprat_models::hub::contents::WeightsFile| {
        came(&file.name)
            .is_some_and(|came| came.starts_with("sha256:") && came != format!("sha256:{}", file.sha256))
    };
    contents.weights.iter().filter(differs).map(|file| file.name.clone()).collect()
}
