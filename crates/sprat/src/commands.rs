//! The commands, each a file of its own with `Args` and `run`. A new one is three lines here.

mod ask;
mod canary;
mod certify;
mod completions;
mod config;
mod cost;
mod demo;
mod discover;
mod doctor;
mod engine;
mod eval;
mod feedback;
mod import;
mod init;
mod keys;
mod learn;
mod man;
mod models;
mod promote;
mod releases;
mod review;
mod rollback;
mod run;
mod serve;
mod shadow;
mod status;

use clap::Subcommand;

use crate::app::App;
use crate::failure::Failure;

/// What to do. The sentence and the example of each command stand at its `Args`.
#[derive(Subcommand)]
pub enum Command {
    Demo(demo::Args),
    Init(init::Args),
    Import(import::Args),
    Discover(discover::Args),
    Learn(learn::Args),
    Eval(eval::Args),
    Certify(certify::Args),
    Ask(ask::Args),
    Run(run::Args),
    Serve(serve::Args),
    Keys(keys::Args),
    Models(models::Args),
    Review(review::Args),
    Releases(releases::Args),
    Promote(promote::Args),
    Canary(canary::Args),
    Shadow(shadow::Args),
    Rollback(rollback::Args),
    Status(status::Args),
    Cost(cost::Args),
    Feedback(feedback::Args),
    Config(config::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
    #[command(hide = true)]
    Engine(engine::Args),
}

impl Command {
    /// Does it.
    pub fn run(self, app: &App) -> Result<(), Failure> {
        match self {
            Self::Demo(args) => demo::run(args, app),
            Self::Init(args) => init::run(args, app),
            Self::Import(args) => import::run(args, app),
            Self::Discover(args) => discover::run(args, app),
            Self::Learn(args) => learn::run(args, app),
            Self::Eval(args) => eval::run(args, app),
            Self::Certify(args) => certify::run(args, app),
            Self::Ask(args) => ask::run(args, app),
            Self::Run(args) => run::run(args, app),
            Self::Serve(args) => serve::run(args, app),
            Self::Keys(args) => keys::run(args, app),
            Self::Models(args) => models::run(args, app),
            Self::Review(args) => review::run(args, app),
            Self::Releases(args) => releases::run(args, app),
            Self::Promote(args) => promote::run(args, app),
            Self::Canary(args) => canary::run(args, app),
            Self::Shadow(args) => shadow::run(args, app),
            Self::Rollback(args) => rollback::run(args, app),
            Self::Status(args) => status::run(args, app),
            Self::Cost(args) => cost::run(args, app),
            Self::Feedback(args) => feedback::run(args, app),
            Self::Config(args) => config::run(args, app),
            Self::Doctor(args) => doctor::run(args, app),
            Self::Completions(args) => completions::run(args, app),
            Self::Man(args) => man::run(args, app),
            Self::Engine(args) => engine::run(args, app),
        }
    }
}
