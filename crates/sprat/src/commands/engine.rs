//! `sprat engine`: runs one local model, for the process that started it.

use crate::app::App;
use crate::failure::Failure;

/// Run one local model for the Sprat that started this; nothing for people
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  sprat ask tickets \"where is my refund?\"     starts an engine itself where a decoder is a rung")]
pub struct Args {
    /// Do one job with a model's file, rather than run it
    #[arg(long)]
    job: bool,
}

#[cfg(all(feature = "decoder", unix))]
pub fn run(args: Args, _: &App) -> Result<(), Failure> {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;

    // Both ends of a pair of sockets read and write; ours came as the input.
    let socket = std::io::stdin().as_fd().try_clone_to_owned();
    let socket = socket.map(std::fs::File::from).map_err(|error| Failure::ours(error.to_string()))?;
    if !socket.metadata().is_ok_and(|told| told.file_type().is_socket()) {
        return Err(sprat_task::Problem::new(
            "`sprat engine` is started by Sprat itself, and is of no use alone",
        )
        .hint("declare a model with kind = \"decoder\" in sprat.toml, and ask a task that has it as a rung")
        .into());
    }
    let output = socket.try_clone().map_err(|error| Failure::ours(error.to_string()))?;
    match args.job {
        true => sprat_engine::llama::work(socket, output),
        false => sprat_engine::work::serve(socket, output, sprat_engine::llama::Llama::load),
    }
    .map_err(Failure::ours)
}

#[cfg(not(all(feature = "decoder", unix)))]
pub fn run(Args { job: _ }: Args, _: &App) -> Result<(), Failure> {
    Err(sprat_task::Problem::new("this build runs no decoders")
        .hint("build sprat with its feature `decoder`, on Linux or macOS")
        .into())
}
