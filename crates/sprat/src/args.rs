//! What can be typed before a command's own arguments, and what happens when it can't be read.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, ValueEnum};
use sprat_task::Problem;
use sprat_task::problem::list;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::commands::Command;
use crate::failure::Failure;
use crate::output::Output;

/// Small models answer what they can prove; the large model answers the rest.
#[derive(Parser)]
#[command(name = "sprat", version, max_term_width = 100, subcommand_value_name = "COMMAND")]
#[command(after_help = "\
Examples:
  sprat init                     a commented sprat.toml and a first task
  sprat config check             is everything that is configured right?
  sprat doctor                   is everything that is needed there?

Exit codes: 0 done; 1 your input, or a declared target missed; 2 a fault of Sprat or of the
machine; 130 stopped by Ctrl-C. SPRAT_LOG=debug (or trace, or sprat_store=debug) shows what
happens inside.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
}

/// What every command takes.
#[derive(Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// One JSON object on stdout and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// The workspace; the nearest parent folder with a sprat.toml unless given
    #[arg(long, global = true, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// Whether to use colours; NO_COLOR turns them off too
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Colour,
}

/// When to use colours. `Auto`: on a terminal, unless NO_COLOR is set.
// The values have no sentences of their own: they would make `--help` longer than `-h` for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    Auto,
    Always,
    Never,
}

/// The two arguments that decide how even a mistake in the others is shown.
pub struct Early {
    /// `--json` is among the arguments.
    pub json: bool,
    /// What `--color` says.
    pub colour: Colour,
}

impl Early {
    /// Looks for them in the process's arguments.
    pub fn from_env() -> Self {
        Self::look(std::env::args_os().skip(1))
    }

    fn look(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut early = Self { json: false, colour: Colour::Auto };
        let mut arguments = arguments.into_iter().take_while(|argument| argument != "--");
        while let Some(argument) = arguments.next() {
            let argument = argument.to_string_lossy().into_owned();
            let colour = match argument.strip_prefix("--color") {
                Some("") => arguments.next().map(|word| word.to_string_lossy().into_owned()),
                Some(rest) => rest.strip_prefix('=').map(str::to_owned),
                None => None,
            };
            early.json |= argument == "--json";
            early.colour =
                colour.and_then(|word| Colour::from_str(&word, false).ok()).unwrap_or(early.colour);
        }
        early
    }
}

/// Help and the version go to stdout as asked; a mistake in the arguments is the user's input.
pub fn explain(said: &clap::Error, out: &Output) -> Result<(), Failure> {
    match said.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            out.text(&out.styled(&said.render()));
            Ok(())
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if !out.is_json() => {
            out.aside(&out.styled_aside(&said.render()));
            Err(Failure::Told)
        }
        _ => Err(Failure::Input(Box::new(as_problem(said)))),
    }
}

/// clap's message in the form of every other: what was wrong, what would be right, one next step.
fn as_problem(said: &clap::Error) -> Problem {
    let words = |kind| match said.get(kind) {
        Some(ContextValue::String(word)) => vec![word.as_str()],
        Some(ContextValue::Strings(words)) => words.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let arguments: Vec<String> = words(ContextKind::InvalidArg).into_iter().flat_map(as_typed).collect();
    let argument = arguments.join("`, `");
    let value = words(ContextKind::InvalidValue).join(", ");
    let command = words(ContextKind::InvalidSubcommand).join(", ");
    let message = match said.kind() {
        ErrorKind::InvalidSubcommand => format!("there is no command `{command}`"),
        ErrorKind::UnknownArgument => format!("`{argument}` is not something this command takes"),
        ErrorKind::InvalidValue if value.is_empty() => format!("`{argument}` needs a value"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            format!("`{value}` is not a value of `{argument}`")
        }
        ErrorKind::MissingRequiredArgument if arguments.len() > 1 => {
            format!("one of `{argument}` is missing")
        }
        ErrorKind::MissingRequiredArgument => format!("`{argument}` is missing"),
        ErrorKind::ArgumentConflict => {
            let other: Vec<String> = words(ContextKind::PriorArg).into_iter().flat_map(as_typed).collect();
            format!("`{argument}` can't be used with `{}`", other.join("`, `"))
        }
        // A form for kinds that no command runs into today.
        _ => said.render().to_string().lines().next().unwrap_or_default().replace("error: ", ""),
    };
    let mut problem = Problem::new(message);
    if let Some(reason) = std::error::Error::source(said) {
        let is_number = reason.is::<std::num::ParseIntError>() || reason.to_string().contains(" is not in ");
        problem = problem.allowed(if is_number { "a whole number".to_owned() } else { reason.to_string() });
    }
    let valid = [words(ContextKind::ValidValue), words(ContextKind::ValidSubcommand)].concat();
    if !valid.is_empty() {
        problem = problem.allowed(list(valid));
    }
    let near = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    match near.into_iter().flat_map(words).next() {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint("`--help` after a command shows what it takes, with an example"),
    }
}

/// An argument as it is typed, without clap's brackets: several where any of them would do.
fn as_typed(argument: &str) -> Vec<String> {
    let inner = |open: char, close: char| argument.strip_prefix(open)?.strip_suffix(close);
    let bare = inner('<', '>').or_else(|| inner('[', ']')).unwrap_or(argument);
    bare.split('|').map(|part| part.replace(['<', '>'], "")).collect()
}

/// Sends what the program says about itself to stderr: errors alone, or what `SPRAT_LOG` asks for.
pub fn start_log(out: &Output) -> Result<(), Failure> {
    let wanted = std::env::var("SPRAT_LOG").unwrap_or_else(|_| "error".to_owned());
    let filter: Targets = wanted.parse().map_err(|_| {
        Problem::new(format!("SPRAT_LOG = `{wanted}` can't be read"))
            .allowed("off, error, warn, info, debug, trace; or parts such as sprat_store=debug,warn")
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(out.stderr_has_colour())
        .with_filter(filter);
    tracing_subscriber::registry().with(lines).init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn look(arguments: &[&str]) -> (bool, Colour) {
        let early = Early::look(arguments.iter().map(OsString::from));
        (early.json, early.colour)
    }

    #[test]
    fn json_and_colour_are_found_wherever_they_stand_but_not_after_a_double_dash() {
        assert_eq!(look(&["status", "--json"]), (true, Colour::Auto));
        assert_eq!(look(&["--color", "never", "status"]), (false, Colour::Never));
        assert_eq!(look(&["--color=always"]), (false, Colour::Always));
        assert_eq!(look(&["--color", "pink", "ask", "--", "--json"]), (false, Colour::Auto));
    }

    #[test]
    fn the_arguments_are_put_together_right() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_sentence_and_an_example() {
        fn check(command: &clap::Command) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} has no sentence");
            if command.has_subcommands() {
                command.get_subcommands().filter(|inner| inner.get_name() != "help").for_each(check);
            } else {
                let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(after.contains("Example"), "{name} has no example");
            }
        }
        Cli::command().get_subcommands().for_each(check);
    }
}
