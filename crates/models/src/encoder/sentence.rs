//! How do the vectors of a text's tokens become the one of the text? The files that sentence-transformers puts beside
//! a model; where there are none its own defaults hold.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};
use sprat_task::Problem;

use super::EncoderConfig;
use super::read::json_if_there;

/// How a text is read into one vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentenceConfig {
    /// How the vectors of the tokens become one.
    pub pooling: Pooling,
    /// Whether that one is brought to unit length.
    pub normalise: bool,
    /// Longer texts are cut to this many tokens, those around the text included.
    pub max_tokens: usize,
    /// Whether a text is put into lower case before its tokenizer sees it.
    pub lowercase: bool,
    /// What stands before every text, such as `query: `.
    pub prompt: String,
}

/// How the vectors of the tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first token.
    Cls,
}

#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
struct TransformerFile {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Default, Deserialize)]
struct TokenizerFile {
    /// A float where nobody said how long: 1e30.
    model_max_length: Option<f64>,
}

#[derive(Default, Deserialize)]
struct PromptsFile {
    #[serde(default)]
    prompts: Map<String, Value>,
    default_prompt_name: Option<String>,
}

impl SentenceConfig {
    /// Reads what a model's folder says of texts.
    ///
    /// # Errors
    /// A file that can't be understood; a way from tokens to a vector that this encoder doesn't know.
    pub fn read(folder: &Path, config: &EncoderConfig) -> Result<Self, Problem> {
        let modules = modules(folder)?;
        let transformer: TransformerFile =
            json_if_there(&folder.join("sentence_bert_config.json"))?.unwrap_or_default();
        let tokenizer: TokenizerFile =
            json_if_there(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
        let prompts: PromptsFile =
            json_if_there(&folder.join("config_sentence_transformers.json"))?.unwrap_or_default();
        let told = transformer.max_seq_length.or(tokenizer.model_max_length.map(|most| most as usize));
        Ok(Self {
            pooling: modules.pooling,
            normalise: modules.normalise,
            max_tokens: told.unwrap_or(usize::MAX).clamp(2, config.most_tokens()),
            lowercase: transformer.do_lower_case,
            prompt: prompts.default().unwrap_or_default().to_owned(),
        })
    }
}

impl PromptsFile {
    fn default(&self) -> Option<&str> {
        self.prompts.get(self.default_prompt_name.as_deref()?)?.as_str()
    }
}

struct Modules {
    pooling: Pooling,
    normalise: bool,
}

/// What comes after the network, by `modules.json`: pooling, then perhaps normalisation, and nothing else.
fn modules(folder: &Path) -> Result<Modules, Problem> {
    let path = folder.join("modules.json");
    let listed: Option<Vec<Module>> = json_if_there(&path)?;
    let mut modules = Modules { pooling: Pooling::Mean, normalise: false };
    let Some(listed) = listed else {
        if let Some(pooling) = pooling(&folder.join("1_Pooling/config.json"))? {
            modules.pooling = pooling;
        }
        return Ok(modules);
    };
    for module in listed {
        match module.kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" => {}
            "Pooling" => {
                let file = folder.join(module.path).join("config.json");
                modules.pooling = pooling(&file)?.unwrap_or(Pooling::Mean);
            }
            "Normalize" => modules.normalise = true,
            other => {
                return Err(Problem::in_file(
                    path.display(),
                    format!("the model has a module `{other}`, which this encoder doesn't compute"),
                )
                .allowed("Transformer, Pooling, Normalize"));
            }
        }
    }
    Ok(modules)
}

fn pooling(path: &Path) -> Result<Option<Pooling>, Problem> {
    let Some(file) = json_if_there::<Map<String, Value>>(path)? else { return Ok(None) };
    // Either `"pooling_mode": "mean"`, or a flag for each way there is.
    let named = file.get("pooling_mode").and_then(Value::as_str);
    let flagged = file.iter().filter(|(_, on)| **on == Value::Bool(true));
    let flagged = flagged.filter_map(|(name, _)| name.strip_prefix("pooling_mode_"));
    let modes: Vec<&str> = named.into_iter().chain(flagged).collect();
    match modes[..] {
        ["mean" | "mean_tokens"] => Ok(Some(Pooling::Mean)),
        ["cls" | "cls_token"] => Ok(Some(Pooling::Cls)),
        _ => Err(Problem::in_file(
            path.display(),
            format!("the vectors of the tokens are joined by `{}`", modes.join(" and ")),
        )
        .allowed("pooling_mode_mean_tokens or pooling_mode_cls_token, one of them")),
    }
}
