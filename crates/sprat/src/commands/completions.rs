//! `sprat completions`: what the shell needs to complete commands and options.

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::app::App;
use crate::args::Cli;
use crate::failure::Failure;

/// Print completions for a shell
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat completions bash > ~/.local/share/bash-completion/completions/sprat
  sprat completions zsh > ~/.zfunc/_sprat
  sprat completions fish > ~/.config/fish/completions/sprat.fish")]
pub struct Args {
    /// Which shell
    shell: Shell,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sprat", &mut script);
    let script = String::from_utf8_lossy(&script);
    let result = json!({ "shell": args.shell.to_string(), "script": script });
    app.out().show(&result, |out| out.text(&script));
    Ok(())
}
