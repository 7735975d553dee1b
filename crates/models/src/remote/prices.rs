//! What models cost: a dated, versioned table in the repository, and the user's own over it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sprat_task::{Price, Problem};

use super::config::{Provider, RemoteConfig};

/// The table as it was compiled in.
const BUILT_IN: &str = include_str!("../../prices.json");

/// Prices by provider and model.
#[derive(Clone, Debug)]
pub struct PriceTable {
    as_of: Arc<str>,
    providers: Vec<PricedProvider>,
    models: Vec<PricedModel>,
}

/// A provider of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricedProvider {
    /// As in `provider = "…"`, or a host of open models.
    pub name: String,
    /// The day its prices were read, as `2025-11-24`.
    pub as_of: String,
    /// Where the prices come from.
    pub source: String,
    /// Where its interface is, so that `compatible` models there have a price.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// A model of the table, in micro-units per million tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricedModel {
    /// The name at the provider, without a date where all dated versions cost the same.
    pub name: String,
    /// Whose; a user's own entry without one holds wherever the name occurs.
    #[serde(default)]
    pub provider: Option<String>,
    /// Input tokens that were not cached.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from the prompt cache.
    #[serde(default)]
    pub cached_input: Option<u64>,
    /// Input tokens written to the prompt cache.
    #[serde(default)]
    pub cache_write: Option<u64>,
    /// Input tokens of a batch call.
    #[serde(default)]
    pub batch_input: Option<u64>,
    /// Output tokens of a batch call.
    #[serde(default)]
    pub batch_output: Option<u64>,
}

/// A price that was found, and under which name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found<'a> {
    /// The price.
    pub price: Price,
    /// The entry it comes from.
    pub model: &'a PricedModel,
    /// Whether the entry's name is the very one asked for, and not that of the undated model.
    pub is_exact: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    as_of: String,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    unit: Option<String>,
    #[serde(default)]
    #[allow(dead_code)] // for whoever reads the file
    note: Option<String>,
    #[serde(default)]
    providers: Vec<PricedProvider>,
    models: Vec<PricedModel>,
}

/// The version of the file's form that this code reads.
const VERSION: u32 = 1;
const UNIT: &str = "micro-USD per million tokens";

impl PriceTable {
    /// The table of the repository.
    ///
    /// # Errors
    /// None in a build whose tests passed.
    pub fn built_in() -> Result<Self, Problem> {
        Self::read("prices.json", BUILT_IN)
    }

    /// A table without prices: everything is unknown.
    pub fn empty() -> Self {
        Self { as_of: "".into(), providers: Vec::new(), models: Vec::new() }
    }

    /// A table out of a JSON text in the form of the repository's `prices.json`.
    ///
    /// # Errors
    /// With the line and column of what is wrong.
    pub fn read(file: &str, text: &str) -> Result<Self, Problem> {
        let read: File = serde_json::from_str(text).map_err(|error| {
            let full = error.to_string();
            let reason = full.rsplit_once(" at line ").map_or(full.as_str(), |(reason, _)| reason);
            Problem::new(reason).at(file, error.line() as u64).column(error.column().max(1) as u64)
        })?;
        let fault = |message: String, right: &str| Err(Problem::in_file(file, message).allowed(right));
        if read.version != VERSION {
            return fault(format!("version {} of the price table's form is not known", read.version), "1");
        }
        if let Some(currency) = read.currency.filter(|currency| currency != "USD") {
            return fault(format!("the currency `{currency}` is not known"), "USD");
        }
        if let Some(unit) = read.unit.filter(|unit| unit != UNIT) {
            return fault(format!("the unit `{unit}` is not known"), UNIT);
        }
        Ok(Self { as_of: read.as_of.into(), providers: read.providers, models: read.models })
    }

    /// This table with another laid over it: an entry of the other hides all entries here of that name and provider.
    #[must_use]
    pub fn with(mut self, over: Self) -> Self {
        let mut models = over.models;
        self.models.retain(|old| {
            !models
                .iter()
                .any(|new| new.name == old.name && (new.provider.is_none() || new.provider == old.provider))
        });
        models.append(&mut self.models);
        let mut providers = over.providers;
        self.providers.retain(|old| !providers.iter().any(|new| new.name == old.name));
        providers.append(&mut self.providers);
        let as_of = if *over.as_of > *self.as_of { over.as_of } else { self.as_of };
        Self { as_of, providers, models }
    }

    /// The day of the newest prices, as `2025-11-24`.
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// All models, the user's first.
    pub fn models(&self) -> &[PricedModel] {
        &self.models
    }

    /// The provider of that name, with the date and the source of its prices.
    pub fn provider(&self, name: &str) -> Option<&PricedProvider> {
        self.providers.iter().find(|provider| provider.name == name)
    }

    /// The price of a model: under its very name; else of the name without `openai/` and the like in front; else of
    /// the name without a date or `-latest` at its end. `None` as provider takes the first that has the name, in the
    /// order of the table, where the makers of models stand before those who host them.
    ///
    /// # Errors
    /// The nearest names there are, best first, at most 3; perhaps none.
    pub fn find(&self, provider: Option<&str>, model: &str) -> Result<Found<'_>, Vec<String>> {
        let is_theirs = |entry: &&PricedModel| {
            entry.provider.is_none() || provider.is_none() || entry.provider.as_deref() == provider
        };
        let named = |name: &str| self.models.iter().filter(is_theirs).find(|entry| entry.name == name);
        let bare =
            model.split_once('/').filter(|(maker, _)| self.provider(maker).is_some()).map(|(_, name)| name);
        let names = [Some(model), bare].into_iter().flatten();
        let undated = names.clone().filter_map(undated);
        for (name, is_exact) in names.map(|name| (name, true)).chain(undated.map(|name| (name, false))) {
            if let Some(entry) = named(name) {
                return Ok(Found { price: entry.price(), model: entry, is_exact });
            }
        }
        let wanted = bare.unwrap_or(model).to_lowercase();
        let mut near: Vec<(usize, &str)> = self
            .models
            .iter()
            .filter(is_theirs)
            .filter_map(|entry| {
                let distance = distance(&wanted, &entry.name.to_lowercase());
                (distance <= (wanted.chars().count() / 3).max(1)).then_some((distance, entry.name.as_str()))
            })
            .collect();
        near.sort();
        near.dedup();
        Err(near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect())
    }

    /// The price of a configured model: its own, else this table's. One's own server costs nothing by the token, and
    /// has a price only where its address is a known host's or the user gave one for that name.
    pub fn price_of(&self, config: &RemoteConfig) -> Option<Price> {
        if config.price.is_some() || config.hardware_cost_per_hour.is_some() {
            return config.price;
        }
        let found = match &config.provider {
            Provider::Compatible { .. } => {
                let endpoint = config.endpoint().ok()?;
                let host = endpoint.host_str()?;
                let known = self.providers.iter().find(|p| p.hosts.iter().any(|known| known == host));
                // A provider that no entry has leaves those of the user without one.
                self.find(Some(known.map_or("", |provider| provider.name.as_str())), &config.model)
            }
            Provider::Replay { .. } => self.find(None, &config.model),
            provider => self.find(Some(provider.word()), &config.model),
        };
        found.ok().map(|found| found.price)
    }
}

impl PricedModel {
    /// The price alone.
    pub fn price(&self) -> Price {
        Price {
            input: self.input,
            output: self.output,
            cached_input: self.cached_input,
            cache_write: self.cache_write,
            batch_input: self.batch_input,
            batch_output: self.batch_output,
        }
    }
}

/// `gpt-x-2025-08-07`, `claude-x-20250805`, `x@20250805` and `x-latest` without their ends.
fn undated(name: &str) -> Option<&str> {
    if let Some(name) = name.strip_suffix("-latest") {
        return Some(name);
    }
    let shapes: [&[usize]; 2] = [&[4, 2, 2], &[8]];
    shapes.into_iter().find_map(|shape| {
        let length = shape.iter().sum::<usize>() + shape.len() - 1;
        let (front, date) = name.split_at_checked(name.len().checked_sub(length)?)?;
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let fits = date
            .split('-')
            .map(|part| if is_digits(part) { part.len() } else { 0 })
            .eq(shape.iter().copied());
        front.strip_suffix(['-', '@']).filter(|_| fits && date.starts_with("20"))
    })
}

/// Levenshtein's distance: insertions, deletions and substitutions.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn table() -> PriceTable {
        PriceTable::built_in().unwrap()
    }

    #[test]
    fn the_table_of_the_repository_is_sound() {
        let table = table();
        assert!(table.models().len() >= 60, "{}", table.models().len());
        let mut names = BTreeSet::new();
        for model in table.models() {
            let provider = model.provider.as_deref().expect(&model.name);
            let provider = table.provider(provider).expect(provider);
            assert!(names.insert((&provider.name, &model.name)), "{} twice", model.name);
            assert!(
                provider.as_of.len() == 10 && provider.as_of.as_str() <= table.as_of(),
                "{}",
                provider.name
            );
            assert!(!provider.source.is_empty());
            // A reading error by a factor of a thousand would fall out of these bounds.
            assert!((10_000..=200_000_000).contains(&model.input), "{}", model.name);
            assert!(model.output <= 10 * model.input.max(100_000), "{}", model.name);
            for cheaper in [model.cached_input, model.batch_input].into_iter().flatten() {
                assert!(cheaper < model.input, "{}", model.name);
            }
            assert!(model.batch_output.is_none_or(|batch| batch < model.output), "{}", model.name);
            assert!(model.cache_write.is_none_or(|write| write >= model.input), "{}", model.name);
        }
    }

    #[test]
    fn a_dated_name_has_the_price_of_the_undated_one() {
        let table = table();
        for (provider, asked, found, is_exact) in [
            (Some("openai"), "gpt-5-mini", "gpt-5-mini", true),
            (Some("openai"), "gpt-5-mini-2025-08-07", "gpt-5-mini", false),
            (Some("openai"), "gpt-4o-2024-05-13", "gpt-4o-2024-05-13", true),
            (None, "openai/gpt-4.1-nano", "gpt-4.1-nano", true),
            (Some("anthropic"), "claude-3-5-haiku-20241022", "claude-3-5-haiku", false),
            (Some("anthropic"), "claude-3-7-sonnet-latest", "claude-3-7-sonnet", false),
        ] {
            let got = table.find(provider, asked).expect(asked);
            assert_eq!((got.model.name.as_str(), got.is_exact), (found, is_exact), "{asked}");
        }
    }

    #[test]
    fn an_unknown_model_gets_the_nearest_names_and_no_price() {
        let table = table();
        let near = table.find(Some("openai"), "gpt-5-mimi").expect_err("unknown");
        assert_eq!(near.first().map(String::as_str), Some("gpt-5-mini"));
        assert_eq!(table.find(Some("openai"), "an-entirely-different-one"), Err(Vec::new()));
    }

    #[test]
    fn the_users_prices_go_over_the_tables() {
        let own = r#"{"version": 1, "as_of": "2031-01-01", "models": [
            {"name": "gpt-5-mini", "provider": "openai", "input": 1, "output": 2},
            {"name": "our-llama", "input": 3, "output": 4}]}"#;
        let table = table().with(PriceTable::read("own.json", own).unwrap());
        assert_eq!(table.find(Some("openai"), "gpt-5-mini-2025-08-07").unwrap().price.input, 1);
        assert_eq!(table.as_of(), "2031-01-01");
        let local = |model: &str| {
            RemoteConfig::new(Provider::Compatible { base_url: "http://127.0.0.1:8000/v1".into() }, model)
        };
        assert_eq!(table.price_of(&local("our-llama")).unwrap().output, 4);
        assert_eq!(table.price_of(&local("gpt-4o")), None, "a local server is not OpenAI");
        let mut hosted = local("llama-3.3-70b-versatile");
        hosted.provider = Provider::Compatible { base_url: "https://api.groq.com/openai/v1".into() };
        assert!(table.price_of(&hosted).is_some());
    }

    #[test]
    fn a_fault_in_a_price_file_has_its_place() {
        for (text, said) in [
            ("{\n \"version\": 1,\n \"as_of\": 5}", "own.json:3:"),
            (
                "{\"version\": 1, \"as_of\": \"\", \"models\": [{\"name\": \"a\", \"input\": -1, \"output\": 1}]}",
                "own.json:1:",
            ),
            ("{\"version\": 2, \"as_of\": \"\", \"models\": []}", "version 2"),
            ("{\"version\": 1, \"as_of\": \"\", \"currency\": \"EUR\", \"models\": []}", "`EUR`"),
            ("", "own.json"),
        ] {
            let problem = PriceTable::read("own.json", text).expect_err(text).to_string();
            assert!(problem.contains(said), "{problem}");
        }
    }
}
