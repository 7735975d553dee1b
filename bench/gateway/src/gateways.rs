//! Who stands between the client and the upstream, how each is started, and with which settings: its defaults, one
//! process, as little logging as it offers, and nothing of its own switched off.

use std::fs;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, ensure};

use crate::client::Client;
use crate::mock::Mock;
use crate::process::{Launch, Process, Seat, free_port};
use crate::sprat::Workspace;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody: the client calls the upstream.
    Floor,
    /// The ledger on this machine's disk.
    Sprat,
    /// The ledger in memory (tmpfs): the same code, without waiting for a disk.
    SpratInMemory,
    /// In shadow over a task that it has learned: the large model answers, the small one is asked as well.
    SpratShadow,
    /// The same, and texts are kept.
    SpratCapture,
    Switchyard,
    Firstpass,
    Llmg,
    Portkey,
    LiteLlm,
}

/// Where everything is.
pub struct Places {
    pub sprat: PathBuf,
    pub peers: PathBuf,
    pub work: PathBuf,
    /// A folder in memory.
    pub memory: PathBuf,
    /// Where gateways run.
    pub gateway: Seat,
}

/// A gateway that runs.
pub struct Gateway {
    pub client: Rc<Client>,
    pub model: &'static str,
    pub process: Option<Process>,
    pub workspace: Option<Workspace>,
}

impl Who {
    pub const ALL: [Self; 10] = [
        Self::Floor,
        Self::Sprat,
        Self::SpratInMemory,
        Self::SpratShadow,
        Self::SpratCapture,
        Self::Switchyard,
        Self::Firstpass,
        Self::Llmg,
        Self::Portkey,
        Self::LiteLlm,
    ];

    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Sprat => "sprat",
            Self::SpratInMemory => "sprat-memory",
            Self::SpratShadow => "sprat-shadow",
            Self::SpratCapture => "sprat-capture",
            Self::Switchyard => "switchyard",
            Self::Firstpass => "firstpass",
            Self::Llmg => "llmg",
            Self::Portkey => "portkey",
            Self::LiteLlm => "litellm",
        }
    }

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "nobody (the floor)",
            Self::Sprat => "**Sprat**, ledger on disk",
            Self::SpratInMemory => "**Sprat**, ledger in memory",
            Self::SpratShadow => "**Sprat**, in shadow",
            Self::SpratCapture => "**Sprat**, in shadow, capture on",
            Self::Switchyard => "Switchyard",
            Self::Firstpass => "firstpass, receipts",
            Self::Llmg => "llmg, no records",
            Self::Portkey => "Portkey",
            Self::LiteLlm => "LiteLLM",
        }
    }

    /// Somebody else's.
    pub fn is_peer(self) -> bool {
        self != Self::Floor && !self.is_sprat()
    }

    fn is_sprat(self) -> bool {
        matches!(self, Self::Sprat | Self::SpratInMemory) || self.is_in_shadow()
    }

    /// It is asked what its task can answer, and answers as if it could not.
    pub fn is_in_shadow(self) -> bool {
        matches!(self, Self::SpratShadow | Self::SpratCapture)
    }

    /// It can't be told to listen on this machine's own address only.
    pub fn listens_everywhere(self) -> bool {
        matches!(self, Self::Llmg | Self::Portkey)
    }

    /// Starts it in front of the mock.
    pub async fn start(self, places: &Places, mock: &Mock) -> anyhow::Result<Gateway> {
        if self == Self::Floor {
            let client = Rc::new(Client::new(mock.port, &[])?);
            return Ok(Gateway { client, model: "mock", process: None, workspace: None });
        }
        let folder = match self {
            Self::SpratInMemory => places.memory.join(self.word()),
            _ => places.work.join(self.word()),
        };
        fs::create_dir_all(&folder)?;
        let workspace = match self.is_sprat() {
            true => Some(Workspace::new(folder.clone(), &places.sprat, mock.port)?),
            false => None,
        };
        if let Some(workspace) = workspace.as_ref().filter(|_| self.is_in_shadow()) {
            workspace.learn_tickets(self == Self::SpratCapture)?;
        }
        let port = free_port()?;
        let upstream = format!("http://127.0.0.1:{}/v1", mock.port);
        let launch = self.launch(places, folder, workspace.as_ref(), port, &upstream)?;
        let headers = match self {
            Self::Portkey => {
                vec![("x-portkey-provider", "openai".to_owned()), ("x-portkey-custom-host", upstream)]
            }
            _ => Vec::new(),
        };
        let process = Process::start(places.gateway, launch, port).await?;
        let model = match self {
            who if who.is_in_shadow() => "auto",
            Self::Sprat | Self::SpratInMemory => "large",
            Self::Llmg => "openai/mock",
            _ => "mock",
        };
        let client = Rc::new(Client::new(port, &headers)?);
        Ok(Gateway { client, model, process: Some(process), workspace })
    }

    fn launch(
        self,
        places: &Places,
        folder: PathBuf,
        workspace: Option<&Workspace>,
        port: u16,
        upstream: &str,
    ) -> anyhow::Result<Launch> {
        let peer = |path: &str| -> anyhow::Result<String> {
            let path = places.peers.join(path);
            ensure!(path.exists(), "not installed");
            Ok(path.to_string_lossy().into_owned())
        };
        let host = "127.0.0.1".to_owned();
        let mut environment = Vec::new();
        let line: Vec<String> = match self {
            Self::Floor => Vec::new(),
            Self::Sprat | Self::SpratInMemory | Self::SpratShadow | Self::SpratCapture => {
                let mut line = workspace.context("no workspace")?.serve(port, free_port()?);
                line.extend(self.is_in_shadow().then(|| "--shadow".to_owned()));
                line
            }
            Self::Switchyard => {
                let routes = format!(
                    "schema_version = 1\n\
                     [llm_clients.mock]\nformat = \"openai_chat\"\nbase_url = \"{upstream}\"\n\
                     [targets.mock]\nid = \"mock\"\nllm_client = \"mock\"\n\
                     [routes.mock]\nid = \"mock\"\ntype = \"passthrough\"\ntarget = \"mock\"\n"
                );
                fs::write(folder.join("routes.toml"), routes)?;
                environment.push(("RUST_LOG", "warn".to_owned()));
                let binary = peer("bin/switchyard-server")?;
                let port = port.to_string();
                [
                    binary,
                    "--config".into(),
                    "routes.toml".into(),
                    "--host".into(),
                    host,
                    "--port".into(),
                    port,
                ]
                .into()
            }
            Self::Firstpass => {
                let bare = upstream.trim_end_matches("/v1").to_owned();
                environment.extend([
                    ("FIRSTPASS_BIND", format!("{host}:{port}")),
                    ("FIRSTPASS_UPSTREAM_OPENAI", bare),
                    ("FIRSTPASS_DB", folder.join("firstpass.db").to_string_lossy().into_owned()),
                    ("FIRSTPASS_PROMPT_SALT", "bench".to_owned()),
                    ("RUST_LOG", "warn".to_owned()),
                ]);
                vec![peer("bin/firstpass-proxy")?]
            }
            Self::Llmg => {
                let config = format!(
                    "use_env = false\n[server]\nport = {port}\n[logging]\nlevel = \"warn\"\n\
                     [providers.openai]\napi_key = \"bench\"\nbase_url = \"{upstream}\"\n"
                );
                fs::write(folder.join("llmg.toml"), config)?;
                vec![peer("bin/llmg-gateway")?]
            }
            Self::Portkey => {
                let script = peer("portkey/node_modules/@portkey-ai/gateway/build/start-server.js")?;
                environment.push(("NODE_ENV", "production".to_owned()));
                vec!["node".to_owned(), script, format!("--port={port}"), "--headless".to_owned()]
            }
            Self::LiteLlm => {
                let config = format!(
                    "model_list:\n  - model_name: mock\n    litellm_params:\n      model: openai/mock\n      \
                     api_base: {upstream}\n      api_key: bench\n      input_cost_per_token: 0.000001\n      \
                     output_cost_per_token: 0.000004\nlitellm_settings:\n  telemetry: false\n"
                );
                fs::write(folder.join("config.yaml"), config)?;
                environment.extend([
                    // As the others: no key is asked for, and nobody but this machine can come in.
                    ("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true".to_owned()),
                    ("LITELLM_LOG", "ERROR".to_owned()),
                    ("LITELLM_LOCAL_MODEL_COST_MAP", "True".to_owned()),
                    ("NO_PROXY", "*".to_owned()),
                ]);
                let binary = peer("litellm/bin/litellm")?;
                let port = port.to_string();
                let rest =
                    ["--config", "config.yaml", "--host", &host, "--port", &port, "--num_workers", "1"];
                std::iter::once(binary).chain(rest.map(str::to_owned)).collect()
            }
        };
        Ok(Launch { line, environment, folder })
    }
}
