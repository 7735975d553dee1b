use super::*;
use sprat_models::remote::Provider;
use sprat_task::money::Price;

/// The design's example of a `sprat.toml`.
const DESIGN: &str = r#"
# sprat.toml
[server]
listen = "127.0.0.1:7077"
management = "127.0.0.1:7078"
[store]
url = "sqlite:.sprat/sprat.db"                 # or postgres://...
[models.linear]
kind = "linear"                                # `linear` is built in; declare it only to change its settings
[models.encoder]
kind = "encoder"
source = "hf:sentence-transformers/all-MiniLM-L6-v2"      # or path:DIR
[models.small]
kind = "decoder"
source = "path:models/llama-3.2-1b-q4_k_m.gguf"
[models.large]
kind = "remote"
provider = "openai"                            # anthropic | compatible (with base_url = "http://host/v1") | replay (with path = "answers.jsonl")
model = "gpt-5-mini"
api_key = { env = "OPENAI_API_KEY" }
"#;

fn source(text: &str) -> Source {
    Source::new("sprat.toml", text)
}

fn problems(text: &str) -> Vec<String> {
    let problems = read(&source(text)).expect_err("the text is wrong");
    problems.iter().map(ToString::to_string).collect()
}

/// The one problem of a text says all of `parts`.
fn says(text: &str, parts: &[&str]) {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    for part in parts {
        assert!(problems[0].contains(part), "{part:?} is not in\n{}", problems[0]);
    }
}

/// A model of the provider `replay`, with one more line.
fn replay(line: &str) -> String {
    format!("[models.m]\nkind = \"remote\"\nprovider = \"replay\"\npath = \"a.jsonl\"\n{line}\n")
}

/// A model of the provider `openai`, with one more line.
fn openai(line: &str) -> String {
    format!("[models.m]\nkind = \"remote\"\nprovider = \"openai\"\nmodel = \"x\"\n{line}\n")
}

fn remote(text: &str) -> Remote {
    let mut config = read(&source(&format!("[models.m]\nkind = \"remote\"\n{text}"))).expect("valid");
    match config.models.remove("m") {
        Some(ModelConfig::Remote(remote)) => *remote,
        other => panic!("not a remote model: {other:?}"),
    }
}

#[test]
fn the_example_of_the_design_is_read() {
    let config = read(&source(DESIGN)).expect("the design's example is valid");
    let kinds: Vec<(&str, &str)> =
        config.models.iter().map(|(name, model)| (name.as_str(), model.kind())).collect();
    assert_eq!(
        kinds,
        [
            ("encoder", "encoder"),
            ("large", "remote"),
            ("linear", "linear"),
            ("small", "decoder"),
            ("tagger", "tagger")
        ]
    );
    let ModelConfig::Remote(large) = &config.models["large"] else { panic!("`large` is remote") };
    assert_eq!(large.api_key, Some(KeySource::Env("OPENAI_API_KEY".into())));
    assert_eq!((large.settings.model.as_str(), large.settings.provider.word()), ("gpt-5-mini", "openai"));
}

#[test]
fn an_empty_file_is_the_defaults_and_linear_is_built_in() {
    let config = read(&source("")).expect("empty is valid");
    assert_eq!((config.server, config.defaults), (Server::default(), Defaults::default()));
    assert_eq!((config.store.as_str(), config.prices), ("sqlite:.sprat/sprat.db", None));
    assert_eq!(config.models.keys().map(ModelId::as_str).collect::<Vec<_>>(), ["linear", "tagger"]);
}

#[test]
fn settings_of_the_linear_model_change_it() {
    let text = "[models.linear]\nkind = \"linear\"\ncost = 2\nepochs = 30\n[defaults]\nseed = 7\n";
    let config = read(&source(text)).expect("valid");
    let ModelConfig::Linear(linear) = &config.models["linear"] else { panic!("`linear` is linear") };
    let expected = Linear { cost: 2.0, epochs: 30, seed: 7, ..Linear::default() };
    assert_eq!(linear, &expected);
}

#[test]
fn a_provider_brings_its_own_defaults() {
    let openai = remote("provider = \"anthropic\"\nmodel = \"claude-haiku-4-5\"");
    assert_eq!(openai.api_key, Some(KeySource::Env("ANTHROPIC_API_KEY".into())));
    let vllm = remote("provider = \"compatible\"\nmodel = \"q\"\nbase_url = \"http://127.0.0.1:8000/v1/\"");
    assert_eq!(vllm.settings.provider, Provider::Compatible { base_url: "http://127.0.0.1:8000/v1/".into() });
    assert_eq!(vllm.api_key, None);
    let replay = remote("provider = \"replay\"\npath = \"answers.jsonl\"");
    assert_eq!((replay.settings.model.as_str(), replay.api_key), ("m", None));
}

#[test]
fn a_price_is_written_in_dollars_per_million_tokens() {
    let priced = remote(
        "provider = \"openai\"\nmodel = \"x\"\nprice = { input = 0.25, output = 2, cached_input = 0.025 }",
    );
    let expected = Price {
        input: 250_000,
        output: 2_000_000,
        cached_input: Some(25_000),
        cache_write: None,
        batch_input: None,
        batch_output: None,
    };
    assert_eq!(priced.settings.price, Some(expected));
}

#[test]
fn each_fault_is_told_with_its_place_and_what_would_be_right() {
    for (text, parts) in [
        (replay("api_key = { env = \"X\" }").as_str(), &["need no key", ":5:11"][..]),
        (replay("base_url = \"http://h/v1\"").as_str(), &["no address", ":5:12"]),
        (replay("price = { input = 1 }").as_str(), &["`output` is missing", ":5:"]),
        (openai("path = \"a.jsonl\"").as_str(), &["belongs to provider = \"replay\"", ":5:8"]),
        (openai("waits = true").as_str(), &["belongs to provider = \"replay\"", ":5:9"]),
        (openai("temperature = 3").as_str(), &["`temperature` must be 0 to 2", ":5:15"]),
        (openai("timeout_ms = 0").as_str(), &["`timeout_ms` = 0 is out of range", "1 to 3600000"]),
        (
            openai("json_schema = \"atuo\"").as_str(),
            &["not a value of `json_schema`", "did you mean `auto`?"],
        ),
        (openai("hardware_cost_per_hour = 2").as_str(), &["for provider `compatible` only", ":5:26"]),
        (openai("price = { input = -1, output = 1 }").as_str(), &["`input` = -1 is not a price", ":5:19"]),
        (openai("extra = { day = 2026-01-01 }").as_str(), &["that JSON doesn't have", ":5:9"]),
        (openai("extra = 3").as_str(), &["wrong type", ":5:9"]),
        ("[sever]\n", &["unknown table `sever`", "sprat.toml:1:2", "did you mean `server`?"]),
        ("server = 3\n", &["wrong type", "sprat.toml:1:10"]),
        ("[server]\nlistn = \"x\"\n", &["unknown key `listn`", ":2:1", "did you mean `listen`?"]),
        ("[server]\nlisten = 7077\n", &["wrong type", "sprat.toml:2:10"]),
        ("[server]\nlisten = \"7077\"\n", &["not an address", "127.0.0.1:7077"]),
        ("[server]\nlisten = \"127.0.0.1:7078\"\n", &["are both 127.0.0.1:7078", "sprat.toml:2:10"]),
        ("[server]\nlisten = \"a\nb\"\n", &["sprat.toml:3:"]),
        ("[server]\n[server]\n", &["duplicate", "sprat.toml:2:"]),
        ("[store]\nurl = \"mysql://x\"\n", &["not the address of a store", "sqlite:PATH"]),
        ("[defaults]\nthreads = 0\n", &["`threads` = 0 is out of range", "1 to 1024"]),
        ("[defaults]\nseed = -1\n", &["`seed` = -1 is out of range", "0 or more"]),
        ("[prices]\nfile = \"\"\n", &["`file` is empty"]),
        ("models = 3\n", &["holds tables", "[models.NAME]"]),
        ("[models]\nlarge = \"gpt\"\n", &["`large` is not a table", "sprat.toml:2:1"]),
        ("[models.\"a b\"]\nkind = \"linear\"\n", &["`a b` can't name a model"]),
        (
            "[models.m]\n",
            &["doesn't say its `kind`", "sprat.toml:1:9", "linear, tagger, encoder, decoder, remote"],
        ),
        ("[models.m]\nkind = \"remot\"\n", &["not a kind of model", ":2:8", "did you mean `remote`?"]),
        ("[models.linear]\nkind = \"encoder\"\nsource = \"hf:a/b\"\n", &["built in", "another name"]),
        ("[models.m]\nkind = \"linear\"\nprovider = \"openai\"\n", &["belongs to kind = \"remote\"", ":3:1"]),
        ("[models.m]\nkind = \"linear\"\nepochs = 0\n", &["`epochs` = 0 is out of range", ":3:10"]),
        ("[models.m]\nkind = \"linear\"\nbalance = 1.5\n", &["`balance` = 1.5", "0 to 1"]),
        ("[models.m]\nkind = \"encoder\"\n", &["doesn't say its `source`", "hf:OWNER/NAME"]),
        (
            "[models.m]\nkind = \"encoder\"\nsource = \"path:a\"\nfine_tune = \"allways\"\n",
            &[
                "`fine_tune` = \"allways\" is not understood",
                "auto, never, contrastive, always",
                "did you mean `always`?",
            ],
        ),
        (
            "[models.m]\nkind = \"encoder\"\nsource = \"path:a\"\nlearning_rate = 1.0\n",
            &["`learning_rate` = 1 is out of range", "0.0001 is the default"],
        ),
        ("[models.m]\nkind = \"encoder\"\nsource = \"MiniLM\"\n", &["`MiniLM`", "path:PATH"]),
        ("[models.m]\nkind = \"remote\"\n", &["doesn't say its `provider`", ":1:9"]),
        ("[models.m]\nkind = \"remote\"\nprovider = \"opanai\"\n", &["did you mean `openai`?"]),
        ("[models.m]\nkind = \"remote\"\nprovider = \"openai\"\n", &["which `model`", ":1:9"]),
        ("[models.m]\nkind = \"remote\"\nprovider = \"replay\"\n", &["needs a `path`", ":3:12"]),
        (
            "[models.m]\nkind = \"remote\"\nprovider = \"compatible\"\nmodel = \"x\"\n",
            &["needs a `base_url`"],
        ),
    ] {
        says(text, parts);
    }
}

#[test]
fn a_base_url_must_be_one_that_can_be_called() {
    for (url, said) in [
        ("localhost:8000", "http:// or https://"),
        ("ftp://host/v1", "http:// or https://"),
        ("http://", "not an address"),
        ("http://host/v1?x=1", "must not hold"),
        ("http://ho st/v1", "not an address"),
        ("http://me:hunter2@host/v1", "must not hold"),
    ] {
        let text = format!(
            "[models.m]\nkind = \"remote\"\nprovider = \"compatible\"\nmodel = \"x\"\nbase_url = \"{url}\"\n"
        );
        says(&text, &[said, "sprat.toml:5:12"]);
        assert!(!problems(&text)[0].contains("hunter2"));
    }
}

#[test]
fn all_faults_of_a_file_are_told_at_once_in_its_order() {
    let text =
        "[models.large]\nkind = \"remote\"\nprovder = \"openai\"\nmodell = \"x\"\n\n[server]\nlisten = 1\n";
    let found = problems(text);
    let places: Vec<bool> = [":1:9", ":3:1", ":4:1", ":7:10"]
        .iter()
        .zip(&found)
        .map(|(place, problem)| problem.contains(&format!("sprat.toml{place}")))
        .collect();
    assert_eq!(places, [true; 4], "{found:#?}");
}

#[test]
fn a_key_in_the_file_is_refused_and_never_repeated() {
    const SECRET: &str = "sk-12345abcde";
    let model = "[models.m]\nkind = \"remote\"\nprovider = \"openai\"\nmodel = \"x\"\n";
    for (line, said) in [
        (format!("api_key = \"{SECRET}\""), "doesn't belong in a file"),
        (format!("api_key = {{ env = \"{SECRET}\" }}"), "not the name of an environment variable"),
        (format!("api_key = {{ key = \"{SECRET}\" }}"), "doesn't say where the key comes from"),
        (format!("apikey = \"{SECRET}\""), "unknown key `apikey`"),
        (format!("token = \"{SECRET}\""), "unknown key `token`"),
        (format!("api_key = {SECRET}"), "sprat.toml:5:"),
        (format!("api_key = [\"{SECRET}\"]"), "doesn't belong in a file"),
    ] {
        let found = problems(&format!("{model}{line}\n"));
        assert!(found[0].contains(said), "{line}: {found:?}");
        assert!(!found.iter().any(|problem| problem.contains("12345")), "{line}: {found:?}");
    }
}

#[test]
fn the_keys_of_each_kind_are_those_its_table_reads() {
    for (kind, keys) in model::KEYS {
        for key in keys.iter().filter(|key| **key != "kind") {
            // A value of a type no key takes: a key that isn't read would be an unknown one.
            let found = problems(&format!("[models.m]\nkind = \"{kind}\"\n{key} = true\n"));
            assert!(!found.iter().any(|problem| problem.contains("unknown key")), "{kind} {key}: {found:?}");
        }
    }
}

/// The example with a few places cut out or exchanged.
fn almost() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let pieces = ["\"", "=", "[", "]", "[[", "\n", "nan", "-1", "1979-05-27", "{", "}", "#", "\u{0}", "é"];
    let edit = (any::<prop::sample::Index>(), 0_usize..12, prop::sample::select(pieces.to_vec()));
    prop::collection::vec(edit, 0..5).prop_map(|edits| {
        let mut text: Vec<char> = DESIGN.chars().collect();
        for (at, length, piece) in edits {
            let from = at.index(text.len());
            text.splice(from..(from + length).min(text.len()), piece.chars());
        }
        text.into_iter().collect()
    })
}

proptest::proptest! {
    #[test]
    fn a_file_with_any_mistake_is_a_configuration_or_problems_with_their_place(text in almost()) {
        if let Err(problems) = read(&source(&text)) {
            proptest::prop_assert!(!problems.is_empty());
            for problem in problems {
                proptest::prop_assert!(problem.to_string().contains("sprat.toml"), "{}", problem);
            }
        }
    }
}

#[test]
fn who_stands_in_for_a_model_is_known_and_the_round_ends() {
    let model = |name: &str, fallback: &str| {
        format!(
            "[models.{name}]\nkind = \"remote\"\nprovider = \"openai\"\nmodel = \"x\"\nfallback = {fallback}\n"
        )
    };
    let three = |a: &str, b: &str, c: &str| [model("a", a), model("b", b), model("c", c)].concat();
    let config = read(&source(&three(r#"["b", "c"]"#, r#"["c"]"#, "[]"))).expect("valid");
    let of = |id: &str| config.fallbacks(&id.into()).into_iter().map(ModelId::as_str).collect::<Vec<_>>();
    assert_eq!((of("a"), of("b"), of("c")), (vec!["b", "c"], vec!["c"], vec![]));
    says(&three(r#"["d"]"#, "[]", "[]"), &["there is no model `d`", "sprat.toml:5", "allowed: a, b, c"]);
    says(&three(r#"["linear"]"#, "[]", "[]"), &["`linear` is a model of kind \"linear\""]);
    says(&three(r#"["a"]"#, "[]", "[]"), &["`a` can't stand in for itself"]);
    says(&three(r#"["b", "b"]"#, "[]", "[]"), &["`b` is named twice"]);
    let round = problems(&three(r#"["b"]"#, r#"["c"]"#, r#"["a"]"#));
    assert_eq!(round.len(), 3, "{round:?}");
    assert!(round[0].contains("`b` falls back on `a` in its turn"), "{}", round[0]);
}

#[test]
fn a_webhook_is_a_secret_and_its_form_is_one_of_two() {
    let config = read(&source("[notices]\nwebhook = { env = \"HOOK\" }\nformat = \"slack\"")).expect("valid");
    let slack = Notices { webhook: KeySource::Env("HOOK".into()), format: NoticeFormat::Slack };
    assert_eq!(config.notices, Some(slack));
    let config = read(&source("[notices]\nwebhook = { file = \"hook\" }")).expect("valid");
    assert_eq!(config.notices.map(|notices| notices.format), Some(NoticeFormat::Json));
    const ADDRESS: &str = "https://hooks.example/T0PSECRET";
    for (text, said) in [
        (format!("webhook = \"{ADDRESS}\""), "doesn't belong in a file"),
        (format!("webhook = {{ env = \"{ADDRESS}\" }}"), "not the name of an environment variable"),
        (format!("webhook = {{ url = \"{ADDRESS}\" }}"), "`webhook` doesn't say where the key comes from"),
        ("webhook = { env = \"HOOK\" }\nformat = \"slak\"".to_owned(), "did you mean `slack`?"),
        ("format = \"json\"".to_owned(), "webhook"),
    ] {
        let found = problems(&format!("[notices]\n{text}\n"));
        assert!(found[0].contains(said), "{text}: {found:?}");
        assert!(!found.iter().any(|problem| problem.contains("T0PSECRET")), "{text}: {found:?}");
    }
}
