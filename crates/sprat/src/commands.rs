//! The commands, each a file of its own with `Args` and `run`. A new one is three lines here.

mod ask;
mod certify;
mod completions;
mod config;
mod eval;
mod init;
mod learn;
mod man;

use clap::Subcommand;

use crate::app::App;
use crate::failure::Failure;

/// What to do. The sentence and the example of each command stand at its `Args`.
#[derive(Subcommand)]
pub enum Command {
    Init(init::Args),
    Learn(learn::Args),
    Eval(eval::Args),
    Certify(certify::Args),
    Ask(ask::Args),
    Config(config::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    /// Does it.
    pub fn run(self, app: &App) -> Result<(), Failure> {
        match self {
            Self::Init(args) => init::run(args, app),
            Self::Learn(args) => learn::run(args, app),
            Self::Eval(args) => eval::run(args, app),
            Self::Certify(args) => certify::run(args, app),
            Self::Ask(args) => ask::run(args, app),
            Self::Config(args) => config::run(args, app),
            Self::Completions(args) => completions::run(args, app),
            Self::Man(args) => man::run(args, app),
        }
    }
}
