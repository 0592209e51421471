//! System V queues between processes: every promise of `message::sysv`, with Python and util-linux too.

mod process;
mod refusal;

use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use process::{Directory, argument, foreign, part, play, python, say};
use refusal::{LONG, SHORT, interrupted_by, nobody, own_namespace, refusal, this_thread, thread};
use wigwag::message::Note;
use wigwag::message::sysv::{Options, Queue, Select};
use wigwag::signal::{self, Signal};
use wigwag::{Key, Kind, Opening, Wait, catalog};

fn key() -> i32 {
    static NEXT: AtomicI32 = AtomicI32::new(1);
    let pid = std::process::id().cast_signed();
    0x5747_0000_i32.wrapping_add(pid << 8) ^ NEXT.fetch_add(1, Ordering::Relaxed)
}

fn private() -> Queue {
    Options::new().temporary(true).private().expect("create")
}

fn take(queue: &Queue, select: Select) -> (String, i64) {
    let mut buffer = vec![0; queue.max_len()];
    let (len, kind) = queue
        .recv_timeout(select, &mut buffer, LONG)
        .expect("a message");
    (String::from_utf8_lossy(&buffer[..len]).into(), kind)
}

fn fill(queue: &Queue) -> usize {
    let message = vec![0; 1024];
    let mut count = 0;
    while queue.try_send(1, &message).is_ok() {
        count += 1;
    }
    count
}

fn child_that_receives(id: &str) {
    let queue = Queue::from_id(id.parse().expect("an id")).expect("open");
    say(&this_thread());
    let mut buffer = [0; 64];
    match queue.recv(Select::Kind(7), &mut buffer) {
        Ok((len, _)) => say(&String::from_utf8_lossy(&buffer[..len])),
        Err(error) => say(&format!("{:?}", error.kind())),
    }
}

/// The greatest type: a C `long`.
#[allow(clippy::unnecessary_cast)] // 32 bits on some machines
const MOST: i64 = libc::c_long::MAX as i64;

#[test]
fn the_receiver_chooses_by_type() {
    let test = "the_receiver_chooses_by_type";
    if part().is_some() {
        let queue = Queue::open(argument("KEY").parse::<i32>().expect("a key")).expect("open");
        for (kind, text) in [
            (5, "a"),
            (3, "b"),
            (5, "c"),
            (9, "d"),
            (3, "e"),
            (MOST, "f"),
        ] {
            queue.send(kind, text.as_bytes()).expect("send");
        }
        return;
    }
    let key = key();
    let queue = Options::new().temporary(true).create(key).expect("create");
    play(test, "sender", &[("KEY", &key.to_string())])
        .start()
        .succeeds();
    for (select, expected) in [
        (Select::Kind(9), ("d", 9)),
        (Select::Except(5), ("b", 3)),
        (Select::UpTo(8), ("e", 3)),
        (Select::UpTo(8), ("a", 5)),
        (Select::Kind(MOST), ("f", MOST)),
        (Select::Any, ("c", 5)),
    ] {
        assert_eq!(take(&queue, select), (expected.0.to_owned(), expected.1));
    }
    queue.send(4, b"x").expect("send");
    let mut buffer = [0; 8];
    refusal(
        queue.try_recv(Select::Except(4), &mut buffer),
        Kind::WouldBlock,
        "no such message",
    );
    refusal(
        queue.try_recv(Select::UpTo(3), &mut buffer),
        Kind::WouldBlock,
        "no such message",
    );
    for bad in [
        Select::Kind(0),
        Select::Kind(-1),
        Select::Except(0),
        Select::UpTo(i64::MIN),
    ] {
        refusal(queue.recv(bad, &mut buffer), Kind::BadInput, "from 1");
    }
    for bad in [0, -1, i64::MIN] {
        refusal(queue.send(bad, b"x"), Kind::BadInput, "from 1");
    }
    let rest: Vec<_> = queue.iter(Select::Any).take(1).collect();
    assert_eq!(rest[0].as_ref().expect("a message").bytes, b"x");
}

#[test]
fn a_key_names_one_queue_until_it_is_removed() {
    let key = key();
    refusal(
        Queue::open(key),
        Kind::NotFound,
        "System V message queue 0x",
    );
    let made = Queue::create(key).expect("create");
    refusal(Queue::create(key), Kind::AlreadyExists, "0x");
    let opened = Queue::open_or_create(key).expect("open");
    assert_eq!(made.id(), opened.id());
    assert_eq!(
        Queue::open(Key::Id(made.id())).expect("by id").id(),
        made.id()
    );
    made.send(1, b"x").expect("send");
    Queue::unlink(key).expect("remove");
    refusal(opened.send(1, b"x"), Kind::Removed, "removed");
    refusal(
        opened.recv(Select::Any, &mut [0; 8]),
        Kind::Removed,
        "removed",
    );
    refusal(opened.stat(), Kind::Removed, "removed");
    refusal(opened.remove(), Kind::Removed, "removed");
    refusal(Queue::unlink(key), Kind::NotFound, "");
    refusal(Queue::from_id(made.id()), Kind::NotFound, "identifier");
    refusal(Queue::create(Key::Id(1)), Kind::BadName, "identifiers");
    refusal(Queue::open(Key::Private), Kind::BadName, "identifier");
}

#[test]
fn a_file_and_a_project_make_a_key() {
    let directory = Directory::new();
    let file = directory.file("key");
    refusal(Queue::create(&file as &Path), Kind::NotFound, "key");
    std::fs::write(&file, "").expect("write");
    refusal(
        Queue::create(Key::file(&file, 0)),
        Kind::BadName,
        "from 1 to 255",
    );
    let one = Options::new()
        .temporary(true)
        .create(&file as &Path)
        .expect("project 1");
    let two = Options::new()
        .temporary(true)
        .create(Key::file(&file, 2))
        .expect("project 2");
    assert_ne!(one.id(), two.id());
    // ftok(3) of the C library, by way of Python, finds the same.
    let script = format!(
        "import sysv_ipc\nq = sysv_ipc.MessageQueue(sysv_ipc.ftok({file:?}, 2, silence_warning=True))\nassert q.id == {}",
        two.id()
    );
    assert!(
        python("sysv_ipc", &script)
            .status()
            .expect("python")
            .success()
    );
    // Removing by address removes the one of the project, and no other.
    let address = format!("sysv-mq:{}?project=2", file.display())
        .parse()
        .expect("an address");
    catalog::unlink(&address).expect("remove");
    refusal(two.stat(), Kind::Removed, "");
    one.stat().expect("still there");
}

#[test]
fn messages_outlive_the_process_that_sent_them() {
    let test = "messages_outlive_the_process_that_sent_them";
    if part().is_some() {
        let queue = Queue::private().expect("create");
        queue.send(3, b"from the dead").expect("send");
        say(&queue.id().to_string());
        std::process::abort();
    }
    let mut child = play(test, "sender", &[]).start();
    let id = child.line().parse().expect("an id");
    assert!(!child.ends().success());
    let queue = Options::new()
        .temporary(true)
        .open(Key::Id(id))
        .expect("open");
    assert_eq!(queue.stat().expect("stat").last_sender, Some(child.pid()));
    assert_eq!(take(&queue, Select::Any), ("from the dead".into(), 3));
    drop(queue);
    refusal(Queue::from_id(id), Kind::NotFound, "");
}

#[test]
fn a_full_queue_and_an_empty_one_make_wait_as_long_as_told() {
    let queue = private();
    let mut buffer = [0; 2048];
    refusal(
        queue.try_recv(Select::Any, &mut buffer),
        Kind::WouldBlock,
        "",
    );
    let start = Instant::now();
    refusal(
        queue.recv_timeout(Select::Any, &mut buffer, SHORT),
        Kind::TimedOut,
        "",
    );
    assert!(start.elapsed() >= SHORT && start.elapsed() < LONG);
    assert!(fill(&queue) > 0);
    refusal(queue.try_send(1, &[0; 1024]), Kind::WouldBlock, "full");
    let start = Instant::now();
    refusal(
        queue.send_timeout(1, &[0; 1024], SHORT),
        Kind::TimedOut,
        "full",
    );
    assert!(start.elapsed() >= SHORT && start.elapsed() < LONG);
    std::thread::scope(|scope| {
        let timed = scope.spawn(|| queue.send_timeout(2, &[0; 1024], Duration::MAX));
        let blocked = scope.spawn(|| queue.send(3, &[0; 1024]));
        std::thread::sleep(SHORT);
        queue.recv(Select::Any, &mut buffer).expect("make room");
        queue.recv(Select::Any, &mut buffer).expect("make room");
        timed.join().expect("no panic").expect("sent at last");
        blocked.join().expect("no panic").expect("sent at last");
    });
    take(&queue, Select::Kind(2));
    take(&queue, Select::Kind(3));
}

#[test]
fn what_is_too_big_is_refused_or_cut_as_asked() {
    let queue = private();
    let most = queue.max_len();
    refusal(
        queue.send(1, &vec![0; most + 1]),
        Kind::TooBig,
        "kernel.msgmax is",
    );
    let longest: Vec<u8> = (0..most).map(|i| i as u8).collect();
    queue.send(1, &longest).expect("the longest");
    refusal(
        queue.recv(Select::Any, &mut [0; 10]),
        Kind::TooBig,
        "stays in the queue",
    );
    let mut buffer = vec![0; most];
    assert_eq!(queue.peek(0, &mut buffer).expect("peek"), (most, 1));
    assert_eq!(buffer, longest);
    let mut start = [0; 10];
    let cut = queue
        .recv_cut(Select::Any, &mut start)
        .expect("the start of it");
    assert_eq!((cut, &start[..]), ((10, 1, true), &longest[..10]));
    queue.send(2, &[9; 10]).expect("send");
    let cut = queue.recv_cut(Select::Any, &mut start).expect("all of it");
    assert_eq!((cut, start), ((10, 2, false), [9; 10]));
    queue.send(3, b"").expect("an empty message is one");
    assert_eq!(queue.recv(Select::Any, &mut []).expect("empty"), (0, 3));
    // What would never fit is refused, not waited for.
    queue.set_capacity(100).expect("less");
    refusal(
        queue.try_send(1, &[0; 101]),
        Kind::TooBig,
        "the whole queue holds 100",
    );
    refusal(
        queue.send_timeout(1, &[0; 101], LONG * 100),
        Kind::TooBig,
        "100",
    );
    let again = Queue::from_id(queue.id()).expect("open");
    refusal(again.send(1, &[0; 101]), Kind::TooBig, "100");
}

#[test]
fn peeking_leaves_everything_where_it_is() {
    let queue = private();
    for kind in 1..4 {
        queue.send(kind, &[kind as u8]).expect("send");
    }
    let mut buffer = [0; 4];
    for position in [2, 0, 1] {
        let kind = position as i64 + 1;
        assert_eq!(queue.peek(position, &mut buffer).expect("peek"), (1, kind));
    }
    refusal(
        queue.peek(3, &mut buffer),
        Kind::WouldBlock,
        "no such message",
    );
    refusal(queue.peek(0, &mut []), Kind::TooBig, "stays");
    assert_eq!(queue.stat().expect("stat").queued, 3);
}

#[test]
fn the_state_agrees_with_ipcs_and_lsipc() {
    let queue = private();
    queue.send(1, &[0; 33]).expect("send");
    queue.send(1, &[0; 9]).expect("send");
    queue.recv(Select::Any, &mut [0; 64]).expect("receive");
    queue.set_mode(0o640).expect("set the mode");
    let stat = queue.stat().expect("stat");
    let me = Some(std::process::id().cast_signed());
    assert_eq!(
        (stat.queued, stat.bytes, stat.mode, stat.key),
        (1, 9, 0o640, 0)
    );
    assert_eq!((stat.last_sender, stat.last_receiver), (me, me));
    assert!(stat.sent.is_some() && stat.received.is_some() && stat.changed.is_some());
    let ipcs = foreign("ipcs", "util-linux")
        .args(["-q", "-i", &queue.id().to_string()])
        .output();
    let ipcs = String::from_utf8(ipcs.expect("run ipcs").stdout).expect("text");
    assert!(
        ipcs.contains("cbytes=9") && ipcs.contains("qnum=1"),
        "{ipcs}"
    );
    assert!(
        ipcs.contains(&format!("lspid={}", std::process::id())),
        "{ipcs}"
    );
    let lsipc = foreign("lsipc", "util-linux")
        .args(["-q", "--raw", "-b", "-o", "ID,USEDBYTES,MSGS,LSPID"])
        .output();
    let lsipc = String::from_utf8(lsipc.expect("run lsipc").stdout).expect("text");
    let line = format!("{} 9 1 {}", queue.id(), std::process::id());
    assert!(
        lsipc.lines().any(|l| l.trim() == line),
        "{lsipc} should contain {line}"
    );
}

#[test]
fn every_limit_is_named_when_it_is_reached() {
    let test = "every_limit_is_named_when_it_is_reached";
    match part().as_deref() {
        None => {}
        Some("queues") => {
            std::fs::write("/proc/sys/kernel/msgmni", "1").expect("lower the limit");
            let _one = private();
            refusal(Queue::private(), Kind::Limit, "kernel.msgmni is 1");
            return;
        }
        Some(_) => {
            let queue = private();
            refusal(queue.set_capacity(1 << 30), Kind::Limit, "kernel.msgmnb is");
            refusal(
                Options::new().capacity(1 << 30).private(),
                Kind::Limit,
                "kernel.msgmnb is",
            );
            return;
        }
    }
    play(test, "queues", &[])
        .with(own_namespace)
        .start()
        .succeeds();
    play(test, "capacity", &[]).with(nobody).start().succeeds();
}

#[test]
fn another_user_needs_permission_for_each_way() {
    let test = "another_user_needs_permission_for_each_way";
    if part().is_some() {
        let queue = Queue::from_id(argument("ID").parse().expect("an id"));
        if argument("MODE") == "0600" {
            refusal(
                queue.expect("a number").send(1, b"x"),
                Kind::PermissionDenied,
                "",
            );
            let open = Queue::open(argument("KEY").parse::<i32>().expect("a key"));
            return open.map_or((), |queue| {
                refusal(queue.stat(), Kind::PermissionDenied, "")
            });
        }
        let queue = queue.expect("open");
        queue.send(1, b"from nobody").expect("send");
        refusal(
            queue.try_recv(Select::Any, &mut [0; 64]),
            Kind::PermissionDenied,
            "",
        );
        refusal(queue.remove(), Kind::PermissionDenied, "");
        return;
    }
    for (mode, text) in [(0o600, "0600"), (0o622, "0622")] {
        let key = key();
        let queue = Options::new()
            .mode(mode)
            .temporary(true)
            .create(key)
            .expect("create");
        let (id, key) = (queue.id().to_string(), key.to_string());
        let arguments = [("ID", &id[..]), ("KEY", &key), ("MODE", text)];
        play(test, "nobody", &arguments)
            .with(nobody)
            .start()
            .succeeds();
        if mode == 0o622 {
            assert_eq!(take(&queue, Select::Any).0, "from nobody");
        }
    }
}

#[test]
fn a_signal_does_not_end_the_waiting() {
    if part().is_some() {
        interrupted_by(Signal::USR1);
        return child_that_receives(&argument("ID"));
    }
    let queue = private();
    let arguments = [("ID", &queue.id().to_string()[..])];
    let mut child = play("a_signal_does_not_end_the_waiting", "", &arguments).start();
    let thread = thread(&child.line());
    for _ in 0..20 {
        child.sleeps_in(process::SYSTEM_V[1]);
        signal::send_thread(thread, Signal::USR1).expect("signal");
    }
    queue.send(7, b"at last").expect("send");
    child.says("at last");
    child.succeeds();
}

#[test]
fn whoever_waits_learns_that_it_was_removed() {
    if part().is_some() {
        return child_that_receives(&argument("ID"));
    }
    let queue = private();
    let arguments = [("ID", &queue.id().to_string()[..])];
    let mut child = play("whoever_waits_learns_that_it_was_removed", "", &arguments).start();
    child.line();
    child.sleeps_in(process::SYSTEM_V[1]);
    std::thread::scope(|scope| {
        let timed = scope.spawn(|| queue.recv_timeout(Select::Any, &mut [0; 8], LONG));
        std::thread::sleep(SHORT);
        queue.remove().expect("remove");
        refusal(timed.join().expect("no panic"), Kind::Removed, "removed");
    });
    child.says("Removed");
    child.succeeds();
}

#[test]
fn a_receiver_that_is_killed_while_it_waits_takes_nothing_with_it() {
    if part().is_some() {
        return child_that_receives(&argument("ID"));
    }
    let test = "a_receiver_that_is_killed_while_it_waits_takes_nothing_with_it";
    let queue = private();
    for _ in 0..5 {
        let mut child = play(test, "", &[("ID", &queue.id().to_string())]).start();
        child.line();
        child.sleeps_in(process::SYSTEM_V[1]);
        child.kill();
        queue.send(7, b"mine").expect("send");
        assert_eq!(take(&queue, Select::Any).0, "mine");
    }
}

#[test]
fn an_address_opens_it_for_messages() {
    let key = key();
    let address = |options: &str| {
        format!("sysv-mq:{key:#x}?{options}")
            .parse()
            .expect("an address")
    };
    catalog::create(&address("capacity=4096")).expect("create");
    refusal(
        catalog::create(&address("exclusive")),
        Kind::AlreadyExists,
        "0x",
    );
    refusal(
        catalog::create(&address("project=3")),
        Kind::BadInput,
        "only a path",
    );
    let open = |opening| match catalog::open(&address(""), opening).expect("open") {
        catalog::Endpoint::Messages(messages) => messages,
        _ => panic!("a queue carries messages"),
    };
    let (sender, receiver) = (open(Opening::SEND), open(Opening::RECEIVE));
    assert_eq!(receiver.max_len(), 4096);
    let of = |kind| Note {
        priority: None,
        kind,
    };
    sender
        .send_with(b"plain", of(None), Wait::Forever)
        .expect("send");
    sender
        .send_with(b"typed", of(Some(5)), Wait::For(LONG))
        .expect("send");
    let mut buffer = b"old".to_vec();
    let received = receiver
        .recv_with(&mut buffer, Some(5), Wait::Not)
        .expect("receive");
    assert_eq!(
        (&buffer[..], received.expect("no end").note.kind),
        (&b"typed"[..], Some(5))
    );
    let received = receiver
        .recv_with(&mut buffer, Some(-9), Wait::For(LONG))
        .expect("receive");
    assert_eq!(
        (&buffer[..], received.expect("no end").note.kind),
        (&b"plain"[..], Some(1))
    );
    refusal(
        receiver.recv_with(&mut buffer, None, Wait::Not),
        Kind::WouldBlock,
        "",
    );
    let urgent = Note {
        priority: Some(1),
        kind: None,
    };
    refusal(
        sender.send_with(b"", urgent, Wait::Not),
        Kind::BadInput,
        "no priority",
    );
    catalog::unlink(&address("")).expect("remove");
    refusal(catalog::unlink(&address("")), Kind::NotFound, "");
}

#[test]
fn python_sends_and_receives_at_the_other_end() {
    let key = key();
    let queue = Options::new().temporary(true).create(key).expect("create");
    queue.send(7, b"from rust").expect("send");
    let script = format!(
        "import sysv_ipc\nq = sysv_ipc.MessageQueue({key})\nassert q.receive(type=7) == (b'from rust', 7)\nq.send(b'from python', type=3)"
    );
    assert!(
        python("sysv_ipc", &script)
            .status()
            .expect("python")
            .success()
    );
    assert_eq!(take(&queue, Select::Any), ("from python".into(), 3));
}
