//! Pipes that close, disks that are full, colours, Ctrl-C.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::workspace::{Workspace, shows};

const TASK: &str = "kind = \"classify\"\nlabels = [\"a\", \"b\"]\n";

#[test]
fn a_reader_that_goes_away_ends_the_program_without_a_word() {
    let workspace = Workspace::with("", TASK);
    for arguments in [&["config", "show"][..], &["--help"], &["completions", "bash"], &["status", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = workspace.command(arguments).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_the_machine_s_fault() {
    let workspace = Workspace::with("", TASK);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = workspace.command(&["config", "show"]).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: can't write the result: "), "{said}");
}

#[test]
fn colours_are_for_terminals_and_for_who_asks() {
    let workspace = Workspace::with("[sever]\n", TASK);
    let colour = |arguments: &[&str]| workspace.sprat(arguments).stderr.contains('\u{1b}');
    assert!(!colour(&["config", "check"]));
    assert!(colour(&["config", "check", "--color", "always"]));
    assert!(!colour(&["config", "check", "--color=never"]));
}

#[test]
fn what_a_file_says_cannot_steer_the_terminal() {
    let task = "kind = \"classify\"\nlabels = [\"a\", \"b\"]\nlarge = \"\\u001b[31mred\"\n";
    let workspace = Workspace::with("", task);
    let ran = workspace.sprat(&["config", "check"]);
    assert!(ran.code == 1 && !ran.stderr.contains('\u{1b}'), "{ran}");
}

#[test]
fn the_log_is_quiet_unless_asked_and_a_wish_it_cannot_read_is_told() {
    let workspace = Workspace::with("", TASK);
    assert_eq!(workspace.sprat(&["config", "check"]).stderr, "");
    let mut command = workspace.command(&["config", "check"]);
    let ran = workspace.run(command.env("SPRAT_LOG", "debug"));
    assert!(ran.code == 0 && ran.stderr.contains("DEBUG"), "{ran}");
    let mut command = workspace.command(&["config", "check"]);
    shows!("unreadable SPRAT_LOG", workspace.run(command.env("SPRAT_LOG", "sprat=loud")));
}

#[cfg(unix)]
#[test]
fn the_second_ctrl_c_stops_at_once() {
    let workspace = Workspace::with("", TASK);
    // It reads rows from a stdin that never ends: it can only be stopped.
    let mut command = workspace.command(&["learn", "tickets", "-"]);
    command.env("SPRAT_LOG", "debug").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let interrupt = || {
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    };
    said.find(|line| line.contains("listening for Ctrl-C")).expect("it says when it listens");
    interrupt();
    said.find(|line| line.contains("Ctrl-C again stops at once")).expect("it answers the first");
    interrupt();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
