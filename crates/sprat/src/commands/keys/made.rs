//! A key that is made: what was typed becomes what it may do, and the key is shown once.

use serde_json::json;

use super::*;

/// Milliseconds in a day.
const DAY_MS: i64 = 86_400_000;

pub fn create(app: &App, workspace: &Workspace, typed: Create) -> Result<(), Failure> {
    if !is_plain_name(&typed.name) {
        return Err(Problem::new(format!("`{}` can't name a key", typed.name))
            .allowed("1 to 64 of a-z A-Z 0-9 _ - . that begin with neither a dot nor a dash")
            .into());
    }
    let allowance = allowance(workspace, &typed)?;
    let store = workspace.store()?;
    let secret = key_secret::open(workspace, &store)?;
    let now = app.now_unix_ms();
    let (key, shown) = write_key(key_secret::random()?);
    let made = Key {
        id: typed.name.as_str().into(),
        shown,
        digest: secret.digest(&key),
        allowance,
        created_unix_ms: now,
        expires_unix_ms: typed.expires.map(|days| now.saturating_add(i64::from(days) * DAY_MS)),
        revoked_unix_ms: None,
    };
    store.keys().add(&made)?;
    tell(app, &made, &key, "made");
    Ok(())
}

pub fn rotate(app: &App, workspace: &Workspace, id: &KeyId) -> Result<(), Failure> {
    let store = workspace.store()?;
    if find(&store, id)?.revoked_unix_ms.is_some() {
        return Err(Problem::new(format!("key `{id}` is revoked, and stays so"))
            .hint("make a key with another name")
            .into());
    }
    let secret = key_secret::open(workspace, &store)?;
    let (key, shown) = write_key(key_secret::random()?);
    let rotated = store.keys().rotate(id, &shown, secret.digest(&key))?;
    tell(app, &rotated, &key, "replaced");
    Ok(())
}

/// The one place that shows a key.
fn tell(app: &App, made: &Key, key: &str, done: &str) {
    let json = json!({
        "name": made.id, "key": key, "shown": made.shown, "allowance": made.allowance,
        "created_unix_ms": made.created_unix_ms, "expires_unix_ms": made.expires_unix_ms,
    });
    app.out().show(&json, |out| {
        out.line(key);
        out.sentence(format!(
            "key `{}` is {done}. This is the only time it is shown: only a digest of it is kept",
            made.id
        ));
        out.sentence(
            "clients send it as `Authorization: Bearer`, OpenAI's as OPENAI_API_KEY; a running gateway takes it \
             within two seconds",
        );
    });
}

fn allowance(workspace: &Workspace, typed: &Create) -> Result<Allowance, Failure> {
    let budget = typed.budget.map(|dollars| {
        let amount = Money::from_units(dollars).filter(|amount| *amount > Money::ZERO);
        let amount = amount.ok_or_else(|| {
            Problem::new(format!("`--budget {dollars}` is not an amount that can be spent"))
                .allowed("dollars above 0, such as 20 or 0.50")
        });
        amount.map(|amount| Budget { amount, per: typed.per.into() })
    });
    let tasks = typed.tasks.iter().map(|name| Ok(workspace.task(name)?.name.clone()));
    let models = typed.models.iter().map(|name| remote(workspace, name));
    Ok(Allowance {
        budget: budget.transpose()?,
        requests_per_minute: typed.requests_per_minute,
        tokens_per_minute: typed.tokens_per_minute,
        concurrency: typed.concurrency,
        tasks: tasks.collect::<Result<Vec<TaskName>, Problem>>()?,
        models: models.collect::<Result<Vec<ModelId>, Problem>>()?,
    })
}

/// A model that a request may name.
fn remote(workspace: &Workspace, name: &str) -> Result<ModelId, Problem> {
    let models = || {
        let all = workspace.config.models.iter();
        all.filter(|(_, model)| matches!(model, ModelConfig::Remote(_))).map(|(id, _)| id)
    };
    models().find(|id| id.as_str() == name).cloned().ok_or_else(|| {
        Problem::new(format!("no model `{name}` of sprat.toml can be asked by name"))
            .allowed(list(models().map(ModelId::as_str)))
            .did_you_mean(name, models().map(ModelId::as_str))
    })
}
