//! Help, versions, and mistakes on the command line.

use crate::workspace::{Workspace, shows};

/// The commands whose help this crate promises to keep in view.
const COMMANDS: [&str; 33] = [
    "demo",
    "init",
    "config",
    "config show",
    "config check",
    "doctor",
    "import",
    "discover",
    "learn",
    "eval",
    "certify",
    "ask",
    "run",
    "review",
    "keys",
    "keys create",
    "models",
    "models pull",
    "models list",
    "models inspect",
    "models quantize",
    "models size",
    "models remove",
    "completions",
    "man",
    "releases",
    "promote",
    "canary",
    "shadow",
    "rollback",
    "status",
    "cost",
    "feedback",
];

#[test]
fn every_command_explains_itself_with_an_example() {
    let workspace = Workspace::empty();
    for command in COMMANDS {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        let ran = workspace.sprat(&arguments);
        assert!(ran.stdout.contains("Example"), "{ran}");
        shows!(format!("help {command}"), ran);
    }
}

#[test]
fn help_makes_nothing_and_needs_nothing() {
    let workspace = Workspace::empty();
    let listed = workspace.sprat(&["--help"]).stdout;
    let commands = listed.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> = commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() >= 11, "{listed}");
    for command in commands {
        let ran = workspace.sprat(&[command, "--help"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{command}");
        assert!(ran.stdout.contains("Usage: sprat"), "{ran}");
    }
    assert_eq!(std::fs::read_dir(workspace.path(".")).unwrap().count(), 0);
}

#[test]
fn mistakes_on_the_command_line_are_the_user_s_input() {
    let workspace = Workspace::empty();
    for (name, arguments) in [
        ("no command at all", &[][..]),
        ("unknown command", &["statsu"]),
        ("unknown option", &["status", "--jsno"]),
        ("missing argument", &["promote"]),
        ("wrong value", &["completions", "zish"]),
        ("value of the wrong type", &["promote", "tickets", "newest"]),
        ("two that exclude each other", &["feedback", "r1", "--up", "--down"]),
        ("none of those required", &["feedback", "r1"]),
        ("a period nobody can read", &["cost", "--since", "yesterday"]),
    ] {
        let ran = workspace.sprat(arguments);
        assert_eq!(ran.code, 1, "{ran}");
        if name == "no command at all" {
            assert!(ran.stdout.is_empty() && ran.stderr.contains("Usage: sprat"), "{ran}");
        } else {
            shows!(format!("mistake {name}"), ran);
        }
    }
}

#[test]
fn a_mistake_under_json_is_one_object_on_stdout() {
    let ran = Workspace::empty().sprat(&["statsu", "--json"]);
    shows!("mistake as json", ran);
    assert_eq!(ran.json()["error"]["hint"], "did you mean `status`?");
}

#[test]
fn completions_and_the_manual_name_every_command() {
    let workspace = Workspace::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = workspace.sprat(&["completions", shell]);
        assert!(ran.code == 0 && ran.stdout.contains("rollback"), "{ran}");
        let json = workspace.sprat(&["completions", shell, "--json"]).json();
        assert_eq!(
            (json["shell"].as_str(), json["script"].as_str()),
            (Some(shell), Some(ran.stdout.as_str()))
        );
    }
    let ran = workspace.sprat(&["man"]);
    assert!(ran.stdout.contains(".TH sprat 1") && ran.stdout.contains("rollback"), "{ran}");
    assert!(workspace.sprat(&["man", "config", "show"]).stdout.contains("sprat\\-config\\-show"));
    shows!("manual of an unknown command", workspace.sprat(&["man", "confg"]));
}

#[test]
fn the_version_is_the_package_s() {
    let ran = Workspace::empty().sprat(&["--version"]);
    assert_eq!(ran.stdout, concat!("sprat ", env!("CARGO_PKG_VERSION"), "\n"));
}
