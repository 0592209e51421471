//! The layers: imports point down, and families of one level never import each other.

use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up; a module may import from levels below its own, and from itself.
const LEVELS: &[&[&str]] = &[
    &[
        "limit",
        "error",
        "wait",
        "interrupt",
        "guarantees",
        "facility",
        "name",
        "key",
        "options",
        "address",
        "opening",
    ],
    &["sys"],
    &["shared"],
    &["stream", "message", "gate", "signal"],
    // It places gates inside itself.
    &["memory"],
    &["race", "deadlock", "pattern"],
    &["catalog", "asynchronous"],
];

/// Imports upward or sideways that are wanted, with the reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "signal",
    "message",
    "opened by address, a signal is a message: its value, with its number as type",
)];

fn level(module: &str) -> Option<usize> {
    LEVELS.iter().position(|level| level.contains(&module))
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("read the sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn imports_point_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20);
    let mut faults = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&root).expect("inside");
        let first = relative
            .components()
            .next()
            .expect("a name")
            .as_os_str()
            .to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        if module == "lib" {
            continue;
        }
        let Some(own) = level(&module) else {
            faults.push(format!(
                "{}: the module {module} has no level",
                relative.display()
            ));
            continue;
        };
        let text = fs::read_to_string(&file).expect("read a source");
        for line in text
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.starts_with("//"))
        {
            for import in line.split("crate::").skip(1) {
                let name: String = import
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let Some(other) = level(&name) else { continue };
                // The words know each other.
                let allowed = name == module || other < own || own == 0 && other == 0;
                let excepted = EXCEPTIONS
                    .iter()
                    .any(|(from, to, _)| *from == module && *to == name);
                if !allowed && !excepted {
                    faults.push(format!("{}: imports {name}: {line}", relative.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
