//! Facilities: the table, its JSON, and its Markdown.

mod command;

use command::{run, wigwag};
use wigwag::catalog::{self, CATALOG};

#[test]
fn the_markdown_is_the_table_of_the_readme_and_of_the_library() {
    let table = wigwag(["facilities", "--markdown"]).says();
    assert_eq!(table, catalog::markdown());
    assert!(include_str!("../../README.md").contains(&table));
    assert_eq!(
        include_str!("../../wigwag/src/facilities.md").trim_end(),
        table.trim_end()
    );
}

#[test]
fn json_has_every_facility_with_limits_and_guarantees() {
    let json: serde_json::Value =
        serde_json::from_str(&wigwag(["facilities", "--json"]).says()).unwrap();
    assert_eq!(json["version"], 1);
    let rows = json["facilities"].as_array().unwrap();
    assert_eq!(rows.len(), CATALOG.len());
    for (row, entry) in rows.iter().zip(CATALOG) {
        assert_eq!(row["scheme"], entry.facility.id);
        assert!(row["usable"].is_boolean());
        assert_eq!(row["usable"] == true, row["why_not"].is_null(), "{row}");
        assert!(row["guarantees"]["order"].is_string());
        for limit in row["limits"].as_array().unwrap() {
            assert!(
                limit["value"].is_u64() || limit["value"].is_null(),
                "{limit}"
            );
        }
    }
}

#[test]
fn text_has_every_facility_and_the_limits_of_this_machine() {
    let text = wigwag(["facilities"]).says();
    for entry in CATALOG {
        assert!(
            text.contains(entry.facility.title),
            "{}",
            entry.facility.title
        );
        for limit in entry.facility.limits {
            assert!(text.contains(limit.name), "{}", limit.name);
        }
    }
    let limit = std::fs::read_to_string("/proc/sys/fs/mqueue/queues_max").unwrap();
    assert!(wigwag(["facilities", "mq"]).says().contains(limit.trim()));
}

#[test]
fn one_facility_is_told_in_full() {
    for entry in CATALOG {
        let text = wigwag(["facilities", entry.facility.id]).says();
        assert!(
            text.starts_with(&format!("{}: {}", entry.facility.id, entry.facility.title)),
            "{text}"
        );
        for option in entry.options {
            assert!(text.contains(option.what), "{}", option.key);
        }
    }
}

#[test]
fn what_cannot_be_used_is_told_with_the_reason() {
    // In an IPC namespace of its own, which allows no System V queue.
    let script = format!(
        "echo 0 > /proc/sys/kernel/msgmni && exec '{}' facilities sysv-mq",
        command::WIGWAG
    );
    let text = run("unshare", ["--ipc", "sh", "-c", &script]).says();
    assert!(text.contains("not usable here"), "{text}");
    assert!(text.contains("kernel.msgmni is 0"), "{text}");
}
