//! Patterns: mailboxes by the command, between its own processes.
#![allow(clippy::unwrap_used)] // what tests share is test too

mod command;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use command::{Object, eventually, every_byte, wigwag};
use process::{Directory, unique};

/// One object of `ls` or `show`, as JSON.
fn shown(address: &str) -> serde_json::Value {
    let json = wigwag(["show", "--json", address]).ends().code(0).out;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    json["objects"][0].clone()
}

/// A mailbox in shared memory, and one in a file.
fn mailboxes(options: &str) -> (Directory, [Object; 2]) {
    let directory = Directory::new();
    let file = directory.file("box");
    let made = [
        Object::new(format!("mailbox:/{}{options}", unique("cli"))),
        Object::new(format!("mailbox:{}{options}", file.display())),
    ];
    (directory, made)
}

#[test]
fn a_letter_waits_for_whoever_fetches_it() {
    let (_directory, made) = mailboxes("");
    for mailbox in &made {
        let body = every_byte(3968);
        wigwag(["send", mailbox]).input(&body).ends().code(0);
        wigwag(["send", "--nonblock", mailbox, "second"])
            .ends()
            .code(1)
            .one_line(&["a letter lies in it"]);
        wigwag(["send", "--timeout", "0.1", mailbox, "second"])
            .ends()
            .code(124)
            .one_line(&["nobody fetched within the time"]);
        assert_eq!(wigwag(["recv", "--raw", mailbox]).prints(), body);
        wigwag(["recv", "--nonblock", mailbox]).ends().code(1);
        wigwag(["send", mailbox, &"x".repeat(3969)])
            .ends()
            .code(2)
            .one_line(&["3969 bytes, the longest has 3968"]);
    }
}

#[test]
fn many_letters_go_through_one_after_the_other() {
    let (_directory, made) = mailboxes("?max_len=16");
    for mailbox in &made {
        let lines: String = (0..2000).map(|n| format!("letter {n}\n")).collect();
        let receiver = wigwag(["recv", "-n", "2000", mailbox]).start();
        wigwag(["send", "--lines", mailbox])
            .input(&lines)
            .ends()
            .code(0);
        assert_eq!(receiver.ends().code(0).out, lines.into_bytes());
    }
}

#[test]
fn a_letter_has_a_kind_and_no_priority() {
    let mailbox = Object::new(format!("mailbox:/{}", unique("cli")));
    wigwag(["send", "--type", "4294967295", &mailbox, "x"])
        .ends()
        .code(0);
    let json = wigwag(["recv", "--json", &mailbox]).says();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["type"], &json["body"]),
        (&4_294_967_295_u32.into(), &"x".into())
    );
    for odd in [
        ["--type", "4294967296"],
        ["--type", "-1"],
        ["--priority", "1"],
    ] {
        let [option, value] = odd;
        wigwag(["send", option, value, &mailbox, "x"])
            .ends()
            .code(2);
    }
    wigwag(["recv", "--type", "1", &mailbox]).ends().code(2);
}

#[test]
fn it_is_listed_with_its_letter_and_removed_when_nobody_uses_it() {
    let (_directory, made) = mailboxes("?max_len=64");
    for mailbox in &made {
        let receiver = wigwag(["recv", "-n", "2", mailbox]).start();
        eventually("the fetcher sleeps", || {
            shown(mailbox)["details"]["fetcher_asleep"] == true
        });
        let object = shown(mailbox);
        assert_eq!(object["facility"], "mailbox");
        assert_eq!(object["details"]["message_size"], 64);
        assert_eq!(
            object["fill"][0],
            serde_json::json!({"level": 0, "capacity": 1, "unit": "messages"})
        );
        assert_eq!(object["holders"][0]["pid"], receiver.pid());
        wigwag(["rm", mailbox])
            .ends()
            .code(1)
            .one_line(&["in use by wigwag"]);
        wigwag(["send", mailbox, "one", "two"]).ends().code(0);
        assert_eq!(receiver.ends().code(0).out, b"one\ntwo\n");
    }
    let [shared, file] = made;
    wigwag(["send", &shared, "three"]).ends().code(0);
    let object = shown(&shared.replace("mailbox:", "shm:"));
    assert_eq!(
        object["facility"], "mailbox",
        "by the address of its memory"
    );
    assert_eq!(
        (
            &object["fill"][0]["level"],
            &object["details"]["letters_posted"]
        ),
        (&1.into(), &3.into())
    );
    let leaks = wigwag(["ls", "--leaked", "--json", "mailbox"]).ends().out;
    let leaks = String::from_utf8(leaks).unwrap();
    assert!(
        leaks.contains(&*shared) && leaks.contains("a letter is in it"),
        "{leaks}"
    );
    assert!(!leaks.contains(&*file), "a file is kept: {leaks}");
    for mailbox in [shared, file] {
        wigwag(["rm", &mailbox]).ends().code(0);
        wigwag(["show", &mailbox]).ends().code(1);
        wigwag(["recv", &mailbox])
            .ends()
            .code(1)
            .one_line(&["no such file"]);
    }
}

#[test]
fn what_is_no_mailbox_is_refused() {
    let memory = Object::new(format!("shm:/{}?size=4096", unique("cli")));
    let address = memory.replace("shm:", "mailbox:");
    wigwag(["recv", "--nonblock", &address])
        .ends()
        .code(2)
        .one_line(&["it holds no mailbox"]);
    wigwag(["create", &address])
        .ends()
        .code(1)
        .one_line(&["exists"]);
    for (address, why) in [
        ("mailbox:", "the name is empty"),
        ("mailbox:box", "begin with a slash"),
        ("mailbox:/x?max_len=much", "max_len=much"),
        ("mailbox:/x?depth=3", "no such option"),
        ("mailbox:/x?max_len=8G", "32 bits"),
    ] {
        wigwag(["create", address]).ends().code(2).one_line(&[why]);
    }
}
