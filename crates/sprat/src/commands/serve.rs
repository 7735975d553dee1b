//! `sprat serve`: the gateway in front of a team's traffic.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use sprat_cascade::{Canary, Deployment, Serving};
use sprat_gateway::{Addresses, Gateway, Settings};
use sprat_task::Problem;

use crate::app::App;
use crate::failure::Failure;
use crate::models::Models;
use crate::output::words;
use crate::service::Service;
use crate::workspace::Workspace;

/// Serve the tasks and models of the workspace to OpenAI clients
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat serve                    http://127.0.0.1:7077/v1, as [server] says
  sprat serve --shadow           everything to the large model; small models only watch
  sprat serve --listen 127.0.0.1:9000
  OPENAI_BASE_URL=http://127.0.0.1:7077/v1 OPENAI_API_KEY=unused python your_program.py
  sprat keys create web && sprat serve --listen 0.0.0.0:7077     for other machines, who show the key

A request names a task (`tickets`), a model of sprat.toml (`large`), or `auto`: then a task whose [match]
lists the call and says `lower = true` may answer it small, in the schema it asks for, and everything else
goes to the large model as it came. Replies say in `x-sprat-…` headers who answered, how surely, and at
what cost. A promotion, a canary or a finished `sprat learn` is served within two seconds. The dashboard
(what was saved, why each request ended so, rows that want a label), health and Prometheus metrics are on
the management address. Ctrl-C finishes what is under way.")]
pub struct Args {
    /// Where clients connect; [server] listen of sprat.toml unless given
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where operators connect; [server] management unless given
    #[arg(long, value_name = "ADDRESS")]
    management: Option<SocketAddr>,
    /// Send everything to the large model; small models say what they would have answered
    #[arg(long)]
    shadow: bool,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let addresses = Addresses {
        listen: args.listen.unwrap_or(workspace.config.server.listen),
        management: args.management.unwrap_or(workspace.config.server.management),
    };
    let store = workspace.store()?;
    let now = app.now_unix_ms();
    let keys = store.keys().all()?.iter().filter(|key| key.is_good(now)).count();
    reachable(addresses, keys)?;
    large_models_open(&workspace)?;
    allow_many_connections();
    let server = workspace.config.server;
    let settings = Settings {
        shadow: args.shadow,
        most_at_once: server.most_at_once,
        deadline: Duration::from_millis(server.deadline_ms),
        client_timeout: Duration::from_millis(server.client_timeout_ms),
        most_connections: server.most_connections,
        ..Settings::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::ours(format!("the runtime can't be started: {error}")))?;
    runtime.block_on(async {
        let cancel = app.cancel().clone();
        let service = Service::start(app, workspace, store, settings, addresses, cancel).await?;
        tell(app, service.gateway(), service.addresses()?, args.shadow, keys);
        service.run().await
    })
}

/// As many open files as the system allows this process: each connection is one, and most systems begin with 1,024.
fn allow_many_connections() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let raised = getrlimit(Resource::RLIMIT_NOFILE)
            .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
        if let Err(error) = raised {
            tracing::warn!("the limit of open files stays as it is: {error}");
        }
    }
}

/// Without keys, whoever reaches the address spends the owner's money. Operators show no key, and what they see is for
/// this machine alone.
fn reachable(addresses: Addresses, keys: usize) -> Result<(), Problem> {
    let Addresses { listen, management } = addresses;
    if !management.ip().is_loopback() {
        return Err(Problem::new(format!(
            "`management` is {management}, which other machines can reach, and nobody is asked for a key there"
        ))
        .allowed("an address of this machine alone, such as 127.0.0.1:7078")
        .hint("put a proxy that asks who it is in front of it"));
    }
    if !listen.ip().is_loopback() && keys == 0 {
        return Err(Problem::new(format!(
            "`listen` is {listen}, which other machines can reach, and there are no keys to keep them out"
        ))
        .allowed(
            "with a key, any address; without one, an address of this machine alone, such as 127.0.0.1:7077",
        )
        .hint("`sprat keys create NAME` makes a key"));
    }
    Ok(())
}

/// A server whose tasks can't reach their large model would turn away what small models can't prove: better told to who
/// starts it than to who asks it. Other models that can't be opened are told on stderr, and not served.
fn large_models_open(workspace: &Workspace) -> Result<(), Failure> {
    let models = Models::open(workspace)?;
    workspace.tasks.values().try_for_each(|(task, _)| models.large(task, &[]).map(drop))
}

fn release(serving: &Serving) -> Option<String> {
    serving.release.as_ref().map(ToString::to_string)
}

/// Who answers a task, and who watches.
fn roles(deployment: &Deployment) -> String {
    let name = |serving: &Serving| release(serving).unwrap_or_else(|| "no release".to_owned());
    let live = &deployment.live;
    let mut text = format!("{}, certificate: {}", name(live), live.standing());
    if let Some(Canary { serving, share }) = &deployment.canary {
        text += &format!("; canary: {}, {share}, certificate: {}", name(serving), serving.standing());
    }
    if let Some(serving) = &deployment.shadow {
        text += &format!("; shadow: {}", name(serving));
    }
    text
}

fn tell(app: &App, gateway: &Gateway, addresses: Addresses, shadow: bool, keys: usize) {
    let deployed = gateway.current().deployed();
    let base_url = format!("http://{}/v1", addresses.listen);
    let tasks: Vec<_> = deployed
        .tasks
        .values()
        .map(|deployment| {
            json!({
                "task": deployment.task().name.as_str(),
                "release": release(&deployment.live),
                "certificate": deployment.live.standing(),
                "canary": deployment.canary.as_ref().map(|canary| {
                    json!({ "release": release(&canary.serving), "share": canary.share })
                }),
                "shadow": deployment.shadow.as_deref().and_then(release),
            })
        })
        .collect();
    let json = json!({
        "base_url": base_url,
        "management_url": format!("http://{}", addresses.management),
        "shadow": shadow,
        "keys": keys,
        "tasks": tasks,
        "models": deployed.remotes.keys().collect::<Vec<_>>(),
    });
    app.out().of_a_server().show(&json, |out| {
        out.line(format!(
            "serving {base_url}{}",
            if shadow { ", in shadow: the large model answers everything" } else { "" }
        ));
        for deployment in deployed.tasks.values() {
            out.line(format!("- task {}: {}", deployment.task().name, roles(deployment)));
        }
        for (name, remote) in &deployed.remotes {
            out.line(format!("- model {name}: {}", remote.model));
        }
        match keys {
            0 => out.line("open to this machine: there are no keys"),
            keys => out.line(format!("only for {}: see sprat keys list", words::counted(keys as u64, "key"))),
        }
        out.line(format!(
            "dashboard: http://{0}; health and metrics: http://{0}/health, /metrics",
            addresses.management
        ));
    });
}
