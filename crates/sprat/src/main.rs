//! The `sprat` binary: reads the arguments, runs one command, turns its outcome into an exit code.
//!
//! The only place that wires the other crates together. A command is one file in `commands/`; this table says where
//! the rest is.
//!
//! | question | file |
//! |---|---|
//! | What can be typed? | [`args`], [`commands`] |
//! | What does a command get? | [`app`] |
//! | What is configured, and where does each value come from? | [`config`] |
//! | What is in this workspace? | [`workspace`] |
//! | What does a server do beside answering? | [`service`], [`serving`], [`keeper`] |
//! | Which encoders make vectors for its clients? | [`encoders`] |
//! | Which decoders does this process run? | [`decoders`] |
//! | What are the gateway's keys recognised by? | [`key_secret`] |
//! | What does the terminal show? | [`output`] |
//! | What went wrong, and what is the exit code? | [`failure`], [`guard`] |

mod app;
mod args;
mod columns;
mod commands;
mod config;
mod decoders;
mod encoders;
mod evidence;
mod failure;
mod guard;
mod interrupt;
mod judge;
mod keeper;
mod key_secret;
mod label;
mod live;
mod memory;
mod models;
mod notices;
mod output;
mod reasons;
mod retention;
mod runtime;
mod service;
mod serving;
mod watched;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let early = args::Early::from_env();
    let app = app::App::new(&early);
    let outcome = guard::run(|| {
        args::start_log(app.out())?;
        interrupt::listen(app.cancel())?;
        match args::Cli::try_parse() {
            Ok(cli) => cli.command.run(&app.in_folder(cli.global.workspace)),
            Err(said) => args::explain(&said, app.out()),
        }
    });
    app.out().finish(outcome)
}
