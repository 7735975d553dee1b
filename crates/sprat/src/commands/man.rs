//! `sprat man`: the manual page.

use clap::CommandFactory;
use serde_json::json;

use crate::app::App;
use crate::args::Cli;
use crate::failure::Failure;

/// Print the manual page, of Sprat or of one command
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat man | man -l -
  sprat man config > sprat-config.1")]
pub struct Args {
    /// A command's name; the whole program's page without one
    #[arg(value_name = "COMMAND", num_args = 0..)]
    of: Vec<String>,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let mut program = Cli::command();
    program.build();
    let mut command = &program;
    for name in &args.of {
        let shown = |command: &&clap::Command| !command.is_hide_set();
        let names = || command.get_subcommands().filter(shown).map(clap::Command::get_name);
        command = command.find_subcommand(name).ok_or_else(|| {
            sprat_task::Problem::new(format!("there is no command `{name}`"))
                .allowed(sprat_task::problem::list(names()))
                .did_you_mean(name, names())
        })?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(|error| Failure::ours(format!("the manual page can't be made: {error}")))?;
    let page = String::from_utf8_lossy(&page);
    app.out().show(&json!({ "man": page }), |out| out.text(&page));
    Ok(())
}
