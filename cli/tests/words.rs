//! Words: help, manual pages, completions and exit codes of the command line itself.
#![allow(clippy::unwrap_used)] // what tests share is test too

mod command;

use command::{run, wigwag};

const COMMANDS: &[&str] = &[
    "facilities",
    "check",
    "ls",
    "create",
    "send",
    "recv",
    "call",
    "serve",
    "acquire",
    "release",
    "lock",
    "rm",
    "show",
    "why",
    "deadlocks",
    "leaks",
    "completions",
    "man",
];

#[test]
fn the_overview_counts_every_facility_and_says_where_to_go() {
    let text = wigwag([""; 0]).says();
    for entry in wigwag::catalog::CATALOG {
        assert!(
            text.contains(entry.facility.title),
            "{}",
            entry.facility.title
        );
    }
    assert!(text.contains("wigwag check"));
    let json: serde_json::Value = serde_json::from_str(&wigwag(["--json"]).says()).unwrap();
    assert_eq!(json["version"], 1);
    assert!(json["facilities"][0]["objects"].is_number());
}

#[test]
fn help_groups_the_commands_and_is_short_or_long() {
    let short = wigwag(["-h"]).says();
    for heading in ["See:", "Use:", "Measure:", "Debug:"] {
        assert!(short.contains(heading), "{short}");
    }
    for command in COMMANDS {
        assert!(short.contains(&format!("  {command} ")), "{command}");
        let short = wigwag([command, "-h"]).says();
        let long = wigwag([command, "--help"]).says();
        assert!(short.len() < long.len(), "{command}");
        // Each argument and option has its words, on the line below it.
        let mut lines = long.lines().skip_while(|line| !line.starts_with("Usage"));
        while let Some(line) = lines.next() {
            if ["  <", "  [", "  -", "      --"]
                .iter()
                .any(|start| line.starts_with(start))
            {
                let words = lines.next().unwrap_or_default();
                assert!(!words.trim().is_empty(), "{command}: {line}");
            }
        }
    }
    assert!(!short.contains("peer"), "the hidden command is shown");
    let help = wigwag(["--help"]).says().replace('\n', " ");
    assert!(help.contains("Exit codes"), "{help}");
}

#[test]
fn manual_pages_and_completions_come_from_the_declaration() {
    assert!(wigwag(["man"]).says().contains(".TH wigwag 1"));
    for command in COMMANDS {
        let page = wigwag(["man", command]).says();
        assert!(page.contains(&format!(".TH wigwag-{command} 1")), "{page}");
    }
    wigwag(["man", "nonsense"])
        .ends()
        .code(2)
        .one_line(&["nonsense"]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = wigwag(["completions", shell]).says();
        assert!(script.contains("recv"), "{shell}");
    }
    let bash = wigwag(["completions", "bash"]).prints();
    run("bash", ["-n"]).input(bash).ends().code(0);
}

#[test]
fn wrong_usage_exits_2() {
    for arguments in [
        &["nonsense"][..],
        &["send"],
        &["recv", "--nonsense", "mq:/x"],
        &["recv", "--timeout", "-1", "mq:/x"],
        &["recv", "--timeout", "soon", "mq:/x"],
        &["recv", "-n", "many", "mq:/x"],
        &["recv", "--raw", "--json", "mq:/x"],
        &["lock", "flock:/tmp/x"],
        &["call"],
        &["serve", "rpc+unix:@x"],
        &["serve", "rpc+unix:@x", "--echo", "--", "cat"],
        &["serve", "rpc+unix:@x", "--echo", "--concurrent", "0"],
        &["check", "nonsense"],
        &["facilities", "nonsense"],
        &["--json", "send", "mq:/x"],
        &["completions", "tcsh"],
    ] {
        let ended = wigwag(arguments).ends().code(2);
        assert!(
            ended.out.is_empty() && !ended.err.is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
fn colour_is_used_when_asked_for_and_not_into_a_pipe() {
    assert!(!wigwag(["facilities"]).says().contains('\x1b'));
    assert!(
        wigwag(["facilities", "--color", "always"])
            .says()
            .contains('\x1b')
    );
    // On a terminal, unless NO_COLOR says otherwise.
    let on_terminal = |environment: &str| {
        let script = format!("{environment} '{}' facilities", command::WIGWAG);
        run("script", ["-qec", &script, "/dev/null"])
            .with(|command| {
                command.env("TERM", "xterm").env_remove("NO_COLOR");
            })
            .says()
    };
    assert!(on_terminal("true;").contains('\x1b'));
    assert!(!on_terminal("NO_COLOR=1").contains("\x1b[1m"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for arguments in [
        "facilities",
        "facilities --json",
        "ls --all",
        "man",
        "-h",
        "",
    ] {
        let script = format!(
            "'{}' {arguments} | true; echo ${{PIPESTATUS[0]}}",
            command::WIGWAG
        );
        assert_eq!(run("bash", ["-c", &script]).says(), "0\n", "{arguments}");
    }
}
