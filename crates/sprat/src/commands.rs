//! The commands, each a file of its own with `Args` and `run`. A new one is three lines here.

mod completions;
mod config;
mod init;
mod man;

use clap::Subcommand;

use crate::app::App;
use crate::failure::Failure;

/// What to do. The sentence and the example of each command stand at its `Args`.
#[derive(Subcommand)]
pub enum Command {
    Init(init::Args),
    Config(config::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    /// Does it.
    pub fn run(self, app: &App) -> Result<(), Failure> {
        match self {
            Self::Init(args) => init::run(args, app),
            Self::Config(args) => config::run(args, app),
            Self::Completions(args) => completions::run(args, app),
            Self::Man(args) => man::run(args, app),
        }
    }
}
