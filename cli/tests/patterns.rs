//! Patterns: mailboxes and channels by the command, between its own processes.
#![allow(clippy::unwrap_used)] // what tests share is test too

mod command;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use command::{Object, eventually, every_byte, wigwag};
use process::{Directory, unique};
use rustix::process::Signal;

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
        assert_eq!(object["details"]["fetcher"], receiver.pid());
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

#[test]
fn messages_of_a_channel_wait_for_whoever_receives_them() {
    let channel = Object::new(format!("channel:/{}?capacity=1M", unique("cli")));
    let body = every_byte(1 << 19);
    wigwag(["send", &channel, "one", "", "two words"])
        .ends()
        .code(0);
    wigwag(["send", &channel]).input(&body).ends().code(0);
    assert_eq!(
        wigwag(["recv", "-n", "3", &channel]).says(),
        "one\n\ntwo words\n"
    );
    assert_eq!(wigwag(["recv", "--raw", &channel]).prints(), body);
    wigwag(["recv", "--nonblock", &channel]).ends().code(1);
    wigwag(["recv", "--timeout", "0.1", &channel])
        .ends()
        .code(124);
    wigwag(["send", &channel])
        .input(every_byte(1 << 20))
        .ends()
        .code(2)
        .one_line(&["longer than 1048572 bytes"]);
}

#[test]
fn what_waits_in_a_channel_is_not_lost_by_making_it_once_more() {
    for flavour in ["one-to-one", "many-to-many"] {
        let address = format!("channel:/{}?flavour={flavour}", unique("again"));
        let channel = Object::new(&address);
        wigwag(["send", &channel, "kept"]).ends().code(0);
        wigwag(["create", &address])
            .ends()
            .code(1)
            .one_line(&["cannot create channel", "exists"]);
        wigwag(["create", "--exist-ok", &address]).ends().code(0);
        assert_eq!(wigwag(["recv", "--nonblock", &channel]).says(), "kept\n");
    }
}

#[test]
fn a_sender_that_comes_and_goes_at_once_is_noticed_though_the_receiver_was_stopped() {
    for flavour in ["one-to-one", "many-to-many", "broadcast"] {
        let address = format!("channel:/{}?flavour={flavour}", unique("brief"));
        let channel = Object::new(&address);
        let receiver = wigwag(["recv", "--follow", &channel]).start();
        eventually("the receiver is there", || {
            shown(&channel)["details"]["receivers"] == serde_json::json!([receiver.pid()])
        });
        receiver.signal(Signal::STOP);
        wigwag(["send", &channel, "brief"]).ends().code(0);
        receiver.signal(Signal::CONT);
        assert_eq!(receiver.ends().code(0).out, b"brief\n", "{flavour}");
    }
}

#[test]
fn a_channel_that_cannot_be_is_refused_by_its_name() {
    for (options, why) in [
        ("flavour=broadcast&seats=0", "2 to 1024 seats"),
        ("flavour=latest&full=fail", "never full"),
        ("capacity=0", "at least one"),
    ] {
        let name = unique("cannot");
        wigwag(["create", &format!("channel:/{name}?{options}")])
            .ends()
            .code(2)
            .one_line(&[&name, why]);
    }
}

#[test]
fn a_receiver_waits_for_the_first_sender_and_ends_with_the_last() {
    let channel = Object::new(format!("channel:/{}", unique("cli")));
    // Somebody was there before and is gone: that is not the end.
    wigwag(["send", &channel, "zero"]).ends().code(0);
    wigwag(["recv", &channel]).ends().code(0);
    let receiver = wigwag(["recv", "--follow", &channel]).start();
    eventually("the receiver is there", || {
        shown(&channel)["details"]["receivers"] == serde_json::json!([receiver.pid()])
    });
    let lines: String = (0..5000).map(|n| format!("message {n}\n")).collect();
    wigwag(["send", "--lines", &channel])
        .input(&lines)
        .ends()
        .code(0);
    let ended = receiver.ends().code(0);
    assert!(ended.out == lines.into_bytes(), "{} bytes", ended.out.len());
}

#[test]
fn a_sender_that_is_killed_ends_it_and_one_seat_is_for_one() {
    let channel = Object::new(format!("channel:/{}", unique("cli")));
    let mut sender = wigwag(["send", "--lines", &channel])
        .with(|command| {
            command.stdin(std::process::Stdio::piped());
        })
        .start();
    let mut input = sender.child().stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"before the end\n").unwrap();
    let receiver = wigwag(["recv", "-n", "2", &channel]).start();
    eventually("the first was received", || {
        let shown = shown(&channel);
        shown["fill"][0]["level"] == 0
            && shown["details"]["receivers"] == serde_json::json!([receiver.pid()])
    });
    wigwag(["send", "--nonblock", &channel, "me too"])
        .ends()
        .code(2)
        .one_line(&["no seat for another sender", &sender.pid().to_string()]);
    sender.signal(Signal::KILL);
    let ended = receiver.ends().code(1);
    assert_eq!(ended.out, b"before the end\n");
    assert!(
        ended.err.contains("all senders are gone after 1 of 2"),
        "{}",
        ended.err
    );
    drop(input);
}

#[test]
fn what_is_full_does_what_it_was_made_for() {
    for (full, code, says) in [
        ("wait", 1, "full"),
        ("fail", 1, "full"),
        ("drop-newest", 0, ""),
    ] {
        let address = format!("channel:/{}?capacity=4096&full={full}", unique("cli"));
        let channel = Object::new(address);
        let body = "x".repeat(2040);
        wigwag(["send", &channel, &body, &body]).ends().code(0);
        let third = wigwag(["send", "--nonblock", &channel, &body])
            .ends()
            .code(code);
        assert!(third.err.contains(says), "{full}: {}", third.err);
        let dropped = shown(&channel)["details"]["dropped"].clone();
        assert_eq!(dropped, u32::from(code == 0), "{full}");
        wigwag(["recv", "-n", "2", &channel]).ends().code(0);
    }
}

#[test]
fn a_channel_is_listed_with_its_ends_and_what_waits_and_removed_when_they_are_gone() {
    let channel = Object::new(format!("channel:/{}?full=fail", unique("cli")));
    wigwag(["send", &channel, "one", "two"]).ends().code(0);
    let object = shown(&channel);
    assert_eq!(object["facility"], "channel");
    let facts = [
        ("flavour", "one-to-one"),
        ("carries", "messages"),
        ("when_full", "fail"),
    ];
    for (fact, is) in facts {
        assert_eq!(object["details"][fact], is, "{object:#}");
    }
    assert_eq!(
        object["fill"][0],
        serde_json::json!({"level": 16, "capacity": 65536, "unit": "bytes"})
    );
    assert_eq!(object["fill"][1]["level"], 2);
    assert_eq!(object["leak"]["kind"], "unused");
    let receiver = wigwag(["recv", "-n", "3", &channel]).start();
    eventually("it is received", || {
        shown(&channel)["fill"][1]["level"] == 0
    });
    wigwag(["rm", &channel])
        .ends()
        .code(1)
        .one_line(&["in use by wigwag"]);
    receiver.signal(Signal::KILL);
    assert_eq!(receiver.ends().status.code(), None);
    let object = shown(&channel);
    assert_eq!(
        object["details"]["killed"].as_array().map(Vec::len),
        Some(1),
        "{object:#}"
    );
    let listed = wigwag(["rm", "--leaked", "--dry-run"]).says();
    assert!(listed.lines().any(|line| line == &*channel), "{listed}");
    // The next one takes the place of the dead.
    wigwag(["send", &channel, "three"]).ends().code(0);
    assert_eq!(wigwag(["recv", &channel]).says(), "three\n");
    wigwag(["rm", &channel]).ends().code(0);
    wigwag(["recv", &channel])
        .ends()
        .code(1)
        .one_line(&["no such file"]);
}

#[test]
fn a_channel_for_programs_that_trust_nobody_is_used_like_any_other() {
    let channel = Object::new(format!("channel:/{}?trust=nobody", unique("cli")));
    let body = every_byte(5000);
    wigwag(["send", &channel]).input(&body).ends().code(0);
    assert_eq!(wigwag(["recv", "--raw", &channel]).prints(), body);
}

#[test]
fn what_is_no_channel_of_bytes_is_refused() {
    let memory = Object::new(format!("shm:/{}?size=65536", unique("cli")));
    let address = memory.replace("shm:", "channel:");
    wigwag(["recv", "--nonblock", &address])
        .ends()
        .code(2)
        .one_line(&["/wigwag-cli"]);
    let channel = Object::new(format!("channel:/{}?flavour=broadcast", unique("cli")));
    for flavour in ["one-to-one", "many-to-many", "latest"] {
        // Also when it is to be temporary, which is the wish of another.
        for more in ["", "&temporary"] {
            let address = format!("{}?flavour={flavour}{more}", &*channel);
            wigwag(["recv", "--nonblock", &address])
                .ends()
                .code(2)
                .one_line(&["it is one of the flavour broadcast"]);
        }
    }
    assert_eq!(shown(&channel)["details"]["flavour"], "broadcast");
    for (address, why) in [
        ("channel:", "the name is empty"),
        ("channel:camera", "begin with a slash"),
        ("channel:/x?flavour=odd", "the flavours are one-to-one"),
        ("channel:/x?full=of-love", "full=of-love"),
        ("channel:/x?trust=me", "peers or nobody"),
        ("channel:/x?capacity=0", "at least one"),
        ("channel:/x?capacity=9999999T", "capacity"),
        ("channel:/x?full=overwrite-oldest", "cannot overwrite"),
        ("channel:/x?depth=3", "no such option"),
        ("channel:/x?last=abc", "it is a whole number from 0"),
        ("channel:/x?capacity=-5", "a size is a number of bytes"),
        ("channel:/x?seats=0", "seats"),
        ("channel:/x?mode", "a mode is octal"),
        ("channel:/x?temporary", "nothing would stay"),
        ("channel:/a/b", "only the first character may be a slash"),
    ] {
        wigwag(["create", address]).ends().code(2).one_line(&[why]);
    }
}

#[test]
fn a_channel_of_any_flavour_is_found_by_its_name_alone() {
    for flavour in ["many-to-many", "broadcast", "latest"] {
        let channel = Object::later(format!("channel:/{}", unique("cli")));
        let address: &str = &channel;
        let made = format!("{address}?flavour={flavour}");
        wigwag(["create", &made]).ends().code(0);
        let receiver = wigwag(["recv", address]).start();
        eventually("the receiver is there", || {
            let shown = wigwag(["show", address, "--json"]).prints();
            let shown = String::from_utf8(shown).unwrap();
            shown.contains(&format!("\"{flavour}\"")) && shown.contains(&receiver.pid().to_string())
        });
        wigwag(["send", address, "to whom it concerns"])
            .ends()
            .code(0);
        let ended = receiver.ends().code(0);
        assert_eq!(ended.out, b"to whom it concerns\n", "{flavour}");
    }
}

#[test]
fn what_waits_in_a_channel_of_any_flavour_is_shown() {
    let level = |channel: &str| shown(channel)["fill"][0]["level"].clone();
    let reason = |channel: &str| shown(channel)["leak"]["reason"].to_string();
    // Of many to many: three records of 64 bytes at least.
    for (flavour, sent) in [("many-to-many", 192), ("latest", 1)] {
        let address = format!("channel:/{}?flavour={flavour}", unique("level"));
        let channel = Object::new(address);
        assert_eq!(level(&channel), 0, "{flavour}");
        assert!(!reason(&channel).contains("in it"), "{flavour}");
        wigwag(["send", &channel, "one", "two", "three"])
            .ends()
            .code(0);
        assert_eq!(level(&channel), sent, "{flavour}");
        assert!(reason(&channel).contains("something is in it"), "{flavour}");
    }
    let address = format!("channel:/{}?flavour=many-to-many", unique("level"));
    let channel = Object::new(address);
    let long = "long".repeat(1000);
    wigwag(["send", &channel, "one", &long]).ends().code(0);
    assert_eq!(level(&channel), 64 + 4032);
    assert_eq!(shown(&channel)["fill"][1]["level"], 2);
    assert_eq!(wigwag(["recv", &channel]).says(), "one\n");
    assert_eq!(level(&channel), 4032);
    wigwag(["recv", &channel]).ends().code(0);
    assert_eq!(level(&channel), 0);
    assert!(!reason(&channel).contains("in it"));

    let channel = Object::new(format!("channel:/{}?flavour=broadcast", unique("level")));
    // Nobody is behind: what was sent went by.
    wigwag(["send", &channel, "one"]).ends().code(0);
    assert_eq!(level(&channel), 0);
    let late = format!("{}?last=1", &*channel);
    assert_eq!(wigwag(["recv", &late]).says(), "one\n");
    let slow = wigwag(["recv", "--follow", &channel]).start();
    eventually("it has joined", || {
        shown(&channel)["details"]["receivers"] == serde_json::json!([slow.pid()])
    });
    slow.signal(Signal::STOP);
    wigwag(["send", &channel, "two", "three"]).ends().code(0);
    // Two records of 16 bytes and the message, up to a multiple of 8.
    assert_eq!(level(&channel), 48);
    slow.signal(Signal::CONT);
    eventually("it has them", || level(&channel) == 0);
    slow.signal(Signal::KILL);
    assert_eq!(slow.ends().out, b"two\nthree\n");
}

#[test]
fn what_a_full_channel_lost_is_told() {
    // Bytes of every message, and so many that only the last ones fit.
    let lines: String = (0..1000).map(|n| format!("{n:0>40}\n")).collect();
    for (options, words) in [
        (
            "flavour=broadcast&full=overwrite-oldest",
            "overwritten before the next one",
        ),
        ("flavour=many-to-many&full=overwrite-oldest", "lost so far"),
        ("flavour=many-to-many&full=drop-newest", "lost so far"),
        ("flavour=one-to-one&full=drop-newest", "lost so far"),
        ("flavour=broadcast&full=drop-newest", "lost so far"),
    ] {
        let address = format!("channel:/{}?capacity=4096&{options}", unique("lost"));
        let channel = Object::new(address);
        let slow = wigwag(["recv", "--follow", &channel]).start();
        let json = options
            .contains("broadcast")
            .then(|| wigwag(["recv", "--follow", "--json", &channel]).start());
        eventually("they have joined", || {
            let receivers = shown(&channel)["details"]["receivers"].clone();
            receivers.as_array().map(Vec::len) == Some(1 + usize::from(json.is_some()))
        });
        let all: Vec<_> = std::iter::once(&slow).chain(&json).collect();
        all.iter()
            .for_each(|receiver| receiver.signal(Signal::STOP));
        wigwag(["send", "--lines", &channel])
            .input(&lines)
            .ends()
            .code(0);
        all.iter()
            .for_each(|receiver| receiver.signal(Signal::CONT));
        let ended = slow.ends().code(0);
        let came = ended.out.split(|byte| *byte == b'\n').count() - 1;
        assert!(came > 0 && came < 1000, "{options}: {came}");
        let told = format!("{} messages were {words}", 1000 - came);
        assert!(
            ended.err.contains(&told),
            "{options}: {told:?} is not in {:?}",
            ended.err
        );
        // And that nothing more came.
        assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
        let Some(json) = json else { continue };
        let out = String::from_utf8(json.ends().code(0).out).unwrap();
        let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        assert_eq!(last["lost"], 1000 - came, "{options}: {last}");
        let count = |name: &str| out.lines().filter(|line| line.contains(name)).count();
        assert_eq!(
            count("\"missed\"") > 0,
            options.contains("overwrite"),
            "{out}"
        );
    }
    // What nobody wanted any more is no loss: programs are told, people are not.
    let channel = Object::new(format!("channel:/{}?flavour=latest", unique("lost")));
    wigwag(["send", &channel, "one", "two", "three"])
        .ends()
        .code(0);
    let ended = wigwag(["recv", &channel]).ends().code(0);
    assert_eq!((&*ended.out, &*ended.err), (&b"three\n"[..], ""));
}

#[test]
fn what_was_lost_is_shown() {
    for (options, lost) in [
        ("flavour=many-to-many&full=overwrite-oldest", "overwritten"),
        ("flavour=many-to-many&full=drop-newest", "dropped"),
        ("flavour=one-to-one&full=drop-newest", "dropped"),
    ] {
        let address = format!("channel:/{}?capacity=4096&{options}", unique("lost"));
        let channel = Object::new(address);
        let lines = "x".repeat(40) + "\n";
        wigwag(["send", "--lines", &channel])
            .input(lines.repeat(1000))
            .ends()
            .code(0);
        let came = wigwag(["recv", "--follow", "--timeout", "0.5", &channel])
            .ends()
            .code(124);
        let came = came.out.split(|byte| *byte == b'\n').count() - 1;
        assert_eq!(shown(&channel)["details"][lost], 1000 - came, "{options}");
    }
}
