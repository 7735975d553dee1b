//! The tables of `sprat.toml` other than the models: as typed, then checked.

use std::net::SocketAddr;

use serde::Deserialize;
use sprat_task::{Problem, Source};
use toml::Spanned;
use toml::de::DeValue;

use super::{Defaults, Server};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerTable {
    listen: Option<Spanned<String>>,
    management: Option<Spanned<String>>,
    deadline_ms: Option<Spanned<i64>>,
    client_timeout_ms: Option<Spanned<i64>>,
    most_at_once: Option<Spanned<i64>>,
    most_connections: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreTable {
    url: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PricesTable {
    file: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultsTable {
    seed: Option<Spanned<i64>>,
    threads: Option<Spanned<i64>>,
}

/// `[server]`.
pub fn server(source: &Source, value: Spanned<DeValue<'_>>) -> Result<Server, Problem> {
    let table: ServerTable = source.parse_part(value)?;
    let defaults = Server::default();
    let ms = |name: &str, value: &Option<Spanned<i64>>| whole(source, name, value.as_ref(), 1, 86_400_000);
    let most = |name: &str, value: &Option<Spanned<i64>>| {
        let whole = whole(source, name, value.as_ref(), 1, 1_000_000)?;
        Ok::<_, Problem>(whole.and_then(|most| usize::try_from(most).ok()))
    };
    let server = Server {
        listen: address(source, table.listen.as_ref(), defaults.listen)?,
        management: address(source, table.management.as_ref(), defaults.management)?,
        deadline_ms: ms("deadline_ms", &table.deadline_ms)?.unwrap_or(defaults.deadline_ms),
        client_timeout_ms: ms("client_timeout_ms", &table.client_timeout_ms)?
            .unwrap_or(defaults.client_timeout_ms),
        most_at_once: most("most_at_once", &table.most_at_once)?.unwrap_or(defaults.most_at_once),
        most_connections: most("most_connections", &table.most_connections)?
            .unwrap_or(defaults.most_connections),
    };
    match table.management.as_ref().or(table.listen.as_ref()) {
        Some(at) if server.listen == server.management => Err(source
            .problem_at(at, format!("`listen` and `management` are both {}", server.listen))
            .hint("give them different ports")),
        _ => Ok(server),
    }
}

/// `[store]`: the URL as written; `None` where the default holds.
pub fn store(source: &Source, value: Spanned<DeValue<'_>>) -> Result<Option<String>, Problem> {
    let table: StoreTable = source.parse_part(value)?;
    let Some(url) = table.url else { return Ok(None) };
    let (scheme, rest) = url.get_ref().split_once(':').unwrap_or(("", url.get_ref()));
    match scheme {
        "sqlite" if !rest.is_empty() => Ok(Some(url.into_inner())),
        "postgres" | "postgresql" if rest.starts_with("//") => Ok(Some(url.into_inner())),
        _ => Err(source
            .problem_at(&url, "this is not the address of a store")
            .allowed("sqlite:PATH, postgres://HOST/DATABASE")
            .hint("url = \"sqlite:.sprat/sprat.db\" is the default")),
    }
}

/// `[prices]`: the path as written.
pub fn prices(source: &Source, value: Spanned<DeValue<'_>>) -> Result<Option<String>, Problem> {
    let table: PricesTable = source.parse_part(value)?;
    table.file.map(|file| path(source, "file", file)).transpose()
}

/// `[defaults]`.
pub fn defaults(source: &Source, value: Spanned<DeValue<'_>>) -> Result<Defaults, Problem> {
    let table: DefaultsTable = source.parse_part(value)?;
    let seed = whole(source, "seed", table.seed.as_ref(), 0, i64::MAX)?;
    let threads = whole(source, "threads", table.threads.as_ref(), 1, 1024)?;
    Ok(Defaults {
        seed: seed.unwrap_or_default(),
        threads: threads.and_then(|threads| usize::try_from(threads).ok()),
    })
}

/// A path, which can't be empty.
pub fn path(source: &Source, name: &str, path: Spanned<String>) -> Result<String, Problem> {
    if path.get_ref().trim().is_empty() {
        return Err(source.problem_at(&path, format!("`{name}` is empty")).allowed("the path of a file"));
    }
    Ok(path.into_inner())
}

/// A whole number within a range.
pub fn whole(
    source: &Source,
    name: &str,
    value: Option<&Spanned<i64>>,
    least: i64,
    most: i64,
) -> Result<Option<u64>, Problem> {
    let Some(value) = value else { return Ok(None) };
    let number = *value.get_ref();
    match u64::try_from(number) {
        Ok(whole) if (least..=most).contains(&number) => Ok(Some(whole)),
        _ => {
            let most = if most == i64::MAX { " or more".to_owned() } else { format!(" to {most}") };
            Err(source
                .problem_at(value, format!("`{name}` = {number} is out of range"))
                .allowed(format!("{least}{most}")))
        }
    }
}

fn address(
    source: &Source,
    value: Option<&Spanned<String>>,
    default: SocketAddr,
) -> Result<SocketAddr, Problem> {
    let Some(value) = value else { return Ok(default) };
    let text = value.get_ref().replace("localhost:", "127.0.0.1:");
    text.parse().map_err(|_| {
        source
            .problem_at(value, format!("`{}` is not an address to listen on", value.get_ref()))
            .allowed("an IP address and a port")
            .hint(format!("for example \"{default}\""))
    })
}
