//! POSIX queues between processes: every promise of `message::posix`, with Python on the other end too.

mod process;
mod refusal;

use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use process::{argument, hear, part, play, python, say, unique};
use refusal::{
    LONG, SHORT, blocking, interrupted_by, nobody, own_namespace, refusal, this_thread, thread,
};
use rustix::event::{PollFd, PollFlags};
use wigwag::message::Note;
use wigwag::message::posix::{MAX_PRIORITY, Options, Queue};
use wigwag::signal::{self, Signal};
use wigwag::{Kind, Opening, Wait, catalog};

fn name() -> String {
    format!("/{}", unique("mq"))
}

fn small() -> Options {
    Options::new().depth(2).max_len(16).temporary(true)
}

fn take(queue: &Queue) -> (String, u32) {
    let mut buffer = vec![0; queue.max_len()];
    let (len, priority) = queue.recv_timeout(&mut buffer, LONG).expect("a message");
    (String::from_utf8_lossy(&buffer[..len]).into(), priority)
}

/// The pieces of the child that waits in a receive, where a signal can reach it.
fn child_that_receives(queue: &Queue) {
    say(&this_thread());
    let mut buffer = vec![0; queue.max_len()];
    let (len, _) = queue.recv(&mut buffer).expect("a message");
    say(&String::from_utf8_lossy(&buffer[..len]));
}

#[test]
fn the_highest_priority_comes_first_and_one_priority_in_order() {
    if part().is_some() {
        let queue = Queue::open(argument("QUEUE")).expect("open");
        for (text, priority) in [("a", 0), ("b", 0), ("c", 9), ("d", 9), ("e", MAX_PRIORITY)] {
            queue
                .send_priority(text.as_bytes(), priority)
                .expect("send");
        }
        return;
    }
    let name = name();
    let queue = Options::new()
        .temporary(true)
        .create(&name)
        .expect("create");
    let test = "the_highest_priority_comes_first_and_one_priority_in_order";
    play(test, "sender", &[("QUEUE", &name)]).start().succeeds();
    let all: Vec<_> = (0..5).map(|_| take(&queue)).collect();
    let expected = [("e", MAX_PRIORITY), ("c", 9), ("d", 9), ("a", 0), ("b", 0)];
    assert_eq!(all, expected.map(|(text, p)| (text.to_owned(), p)));
}

#[test]
fn a_name_is_made_once_opened_by_all_and_removed_once() {
    let name = name();
    refusal(Queue::open(&name), Kind::NotFound, &name);
    refusal(Queue::unlink(&name), Kind::NotFound, &name);
    let made = Queue::create(&name).expect("create");
    refusal(Queue::create(&name), Kind::AlreadyExists, &name);
    let stat = made.stat().expect("stat");
    let other = Options::new().depth(stat.depth - 1).open_or_create(&name);
    refusal(other, Kind::AlreadyExists, "depth");
    let opened = Queue::open_or_create(&name).expect("open");
    made.send(b"x").expect("send");
    assert_eq!(opened.stat().expect("stat").queued, 1);
    Queue::unlink(&name).expect("unlink");
    refusal(Queue::open(&name), Kind::NotFound, &name);
    // Those who have it open go on using it, and a new one has nothing to do with it.
    let new = Options::new()
        .temporary(true)
        .create(&name)
        .expect("create anew");
    assert_eq!(take(&opened).0, "x");
    refusal(new.try_recv(&mut [0; 8192]), Kind::WouldBlock, "empty");
}

#[test]
fn several_that_start_at_once_get_one_queue() {
    let test = "several_that_start_at_once_get_one_queue";
    if part().is_some() {
        say("here");
        hear();
        let options = Options::new().depth(8).max_len(8);
        let queue = options.open_or_create(argument("QUEUE")).expect("open");
        return queue.try_send(b"x", 0).expect("send");
    }
    for _ in 0..3 {
        let name = name();
        let arguments = [("QUEUE", &name[..])];
        let mut rivals: Vec<_> = (0..5).map(|_| play(test, "", &arguments).start()).collect();
        rivals.iter_mut().for_each(|rival| rival.says("here"));
        rivals.iter_mut().for_each(|rival| rival.tell("go"));
        rivals.into_iter().for_each(process::Child::succeeds);
        let queue = Options::new().temporary(true).open(&name).expect("open");
        assert_eq!(queue.stat().expect("stat").queued, 5);
    }
}

#[test]
fn messages_outlive_the_process_that_sent_them() {
    if part().is_some() {
        let queue = Queue::create(argument("QUEUE")).expect("create");
        queue.send_priority(b"from the dead", 3).expect("send");
        std::process::abort();
    }
    let name = name();
    let mut child = play(
        "messages_outlive_the_process_that_sent_them",
        "",
        &[("QUEUE", &name)],
    )
    .start();
    assert!(!child.ends().success());
    let queue = Options::new().temporary(true).open(&name).expect("open");
    assert_eq!(take(&queue), ("from the dead".into(), 3));
    drop(queue);
    refusal(Queue::open(&name), Kind::NotFound, &name);
}

#[test]
fn a_full_queue_and_an_empty_one_make_wait_as_long_as_told() {
    let queue = small().create(name()).expect("create");
    let mut buffer = [0; 16];
    refusal(queue.try_recv(&mut buffer), Kind::WouldBlock, "empty");
    let start = Instant::now();
    refusal(
        queue.recv_timeout(&mut buffer, SHORT),
        Kind::TimedOut,
        "empty",
    );
    assert!(start.elapsed() >= SHORT && start.elapsed() < LONG);
    queue.send(b"1").expect("send");
    queue.try_send(b"2", 0).expect("send");
    refusal(queue.try_send(b"3", 0), Kind::WouldBlock, "full");
    let start = Instant::now();
    refusal(queue.send_timeout(b"3", 0, SHORT), Kind::TimedOut, "full");
    assert!(start.elapsed() >= SHORT && start.elapsed() < LONG);
    // An endless limit is no limit, and a message in between ends the waiting.
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| queue.send_timeout(b"3", 0, Duration::MAX));
        std::thread::sleep(SHORT);
        assert_eq!(take(&queue).0, "1");
        sender.join().expect("no panic").expect("sent at last");
    });
    assert_eq!((take(&queue).0, take(&queue).0), ("2".into(), "3".into()));
}

#[test]
fn what_is_too_big_is_refused_and_nothing_is_lost() {
    let queue = small().create(name()).expect("create");
    refusal(
        queue.send(&[0; 17]),
        Kind::TooBig,
        "17 bytes, its longest has 16",
    );
    refusal(queue.try_send(&[0; 17], 0), Kind::TooBig, "16");
    queue.send(&[7; 16]).expect("the longest");
    refusal(queue.recv(&mut [0; 15]), Kind::TooBig, "buffer has 15");
    refusal(
        queue.send_priority(b"", MAX_PRIORITY + 1),
        Kind::BadInput,
        "32767",
    );
    let mut buffer = [0; 16];
    assert_eq!(queue.recv(&mut buffer).expect("still there"), (16, 0));
    queue.send(b"").expect("an empty message is one");
    assert_eq!(queue.recv(&mut buffer).expect("empty"), (0, 0));
}

#[test]
fn bad_names_and_sizes_say_what_would_be_right() {
    for bad in [
        "jobs",
        "/a/b",
        "/",
        "",
        "/..",
        &format!("/{}", "x".repeat(256)),
    ] {
        refusal(Queue::open(bad), Kind::BadName, "");
        refusal(Queue::create(bad), Kind::BadName, "");
    }
    refusal(
        Options::new().depth(0).create(name()),
        Kind::BadInput,
        "from 1",
    );
    refusal(
        Options::new().max_len(0).create(name()),
        Kind::BadInput,
        "from 1",
    );
    let longest = format!("/{:x<1$}", unique("mq"), 255);
    drop(
        Options::new()
            .temporary(true)
            .create(longest)
            .expect("the longest name"),
    );
}

#[test]
fn every_limit_is_named_when_it_is_reached() {
    let test = "every_limit_is_named_when_it_is_reached";
    let lower = |resource, to| {
        let limit = libc::rlimit {
            rlim_cur: to,
            rlim_max: to,
        };
        // SAFETY: the pointer is to a live rlimit.
        let lowered = unsafe { libc::setrlimit(resource, &raw const limit) };
        assert_eq!(lowered, 0);
    };
    match part().as_deref() {
        None => {}
        Some("sizes") => {
            refusal(
                Options::new().depth(1 << 20).create(name()),
                Kind::Limit,
                "fs.mqueue.msg_max is",
            );
            refusal(
                Options::new().max_len(usize::MAX >> 8).create(name()),
                Kind::Limit,
                "fs.mqueue.msgsize_max is",
            );
            return;
        }
        Some("bytes") => {
            lower(libc::RLIMIT_MSGQUEUE, 10_000);
            refusal(
                Queue::create(name()),
                Kind::Limit,
                "RLIMIT_MSGQUEUE is 10000",
            );
            return;
        }
        Some("descriptors") => {
            let queue = small().create(argument("QUEUE")).expect("create");
            lower(libc::RLIMIT_NOFILE, 3);
            refusal(Queue::create(name()), Kind::Limit, "RLIMIT_NOFILE is 3");
            refusal(
                Queue::open(argument("QUEUE")),
                Kind::Limit,
                "RLIMIT_NOFILE is 3",
            );
            drop(queue);
            return;
        }
        Some(_) => {
            std::fs::write("/proc/sys/fs/mqueue/queues_max", "1").expect("lower the limit");
            let _one = small().create("/one").expect("the first");
            refusal(
                Queue::create("/two"),
                Kind::Limit,
                "fs.mqueue.queues_max is 1",
            );
            return;
        }
    }
    play(test, "sizes", &[]).with(nobody).start().succeeds();
    play(test, "bytes", &[]).start().succeeds();
    play(test, "descriptors", &[("QUEUE", &name())])
        .start()
        .succeeds();
    play(test, "queues", &[])
        .with(own_namespace)
        .start()
        .succeeds();
}

#[test]
fn another_user_needs_permission_for_each_way() {
    let test = "another_user_needs_permission_for_each_way";
    if part().is_some() {
        let name = argument("QUEUE");
        refusal(Queue::open(&name), Kind::PermissionDenied, &name);
        refusal(Queue::unlink(&name), Kind::PermissionDenied, &name);
        let sender = Options::new().way(wigwag::Way::Out);
        match argument("MODE").as_str() {
            "0600" => refusal(sender.open(&name), Kind::PermissionDenied, &name),
            _ => {
                let sender = sender.open(&name).expect("open to send");
                sender.send(b"from nobody").expect("send");
                refusal(
                    sender.try_recv(&mut [0; 16]),
                    Kind::PermissionDenied,
                    "send only",
                );
            }
        }
        return;
    }
    // What is asked for is what it is, whatever the umask.
    for (mode, text) in [(0o600, "0600"), (0o622, "0622")] {
        let name = name();
        let queue = small().mode(mode).create(&name).expect("create");
        let arguments = [("QUEUE", &name[..]), ("MODE", text)];
        play(test, "nobody", &arguments)
            .with(nobody)
            .start()
            .succeeds();
        if mode == 0o622 {
            assert_eq!(take(&queue).0, "from nobody");
        }
    }
    let name = name();
    let _made = small().create(&name).expect("create");
    let receiver = Options::new()
        .way(wigwag::Way::In)
        .open(&name)
        .expect("open");
    refusal(receiver.send(b"x"), Kind::PermissionDenied, "receive only");
}

#[test]
fn a_signal_does_not_end_the_waiting() {
    let test = "a_signal_does_not_end_the_waiting";
    if part().is_some() {
        interrupted_by(Signal::USR1);
        let queue = Queue::open(argument("QUEUE")).expect("open");
        return child_that_receives(&queue);
    }
    let name = name();
    let queue = small().create(&name).expect("create");
    let mut child = play(test, "receiver", &[("QUEUE", &name)]).start();
    let thread = thread(&child.line());
    for _ in 0..20 {
        child.sleeps_in(libc::SYS_mq_timedreceive);
        signal::send_thread(thread, Signal::USR1).expect("signal");
    }
    queue.send(b"at last").expect("send");
    child.says("at last");
    child.succeeds();
}

#[test]
fn a_receiver_that_is_killed_while_it_waits_takes_nothing_with_it() {
    let test = "a_receiver_that_is_killed_while_it_waits_takes_nothing_with_it";
    if part().is_some() {
        return child_that_receives(&Queue::open(argument("QUEUE")).expect("open"));
    }
    let name = name();
    let queue = small().create(&name).expect("create");
    for _ in 0..5 {
        let mut child = play(test, "receiver", &[("QUEUE", &name)]).start();
        child.line();
        child.sleeps_in(libc::SYS_mq_timedreceive);
        child.kill();
        queue.send(b"mine").expect("send");
        assert_eq!(take(&queue).0, "mine");
    }
}

#[test]
fn unlinking_does_not_disturb_who_waits() {
    let test = "unlinking_does_not_disturb_who_waits";
    if part().is_some() {
        return child_that_receives(&Queue::open(argument("QUEUE")).expect("open"));
    }
    let name = name();
    let queue = small().temporary(false).create(&name).expect("create");
    let mut child = play(test, "receiver", &[("QUEUE", &name)]).start();
    child.line();
    child.sleeps_in(libc::SYS_mq_timedreceive);
    Queue::unlink(&name).expect("unlink");
    queue.send(b"still").expect("send");
    child.says("still");
    child.succeeds();
}

#[test]
fn a_notice_comes_once_at_a_descriptor() {
    let queue = small().create(name()).expect("create");
    let notice = queue.notice().expect("register");
    refusal(notice.try_wait(), Kind::WouldBlock, "no message");
    refusal(notice.wait_timeout(SHORT), Kind::TimedOut, "no message");
    refusal(queue.notice(), Kind::AlreadyExists, "registered");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut fds = [PollFd::new(&notice, PollFlags::IN)];
            let limit = rustix::event::Timespec {
                tv_sec: 20,
                tv_nsec: 0,
            };
            rustix::event::poll(&mut fds, Some(&limit))
        });
        std::thread::sleep(SHORT);
        queue.send(b"one").expect("send");
        assert_eq!(waiter.join().expect("no panic"), Ok(1));
    });
    notice.wait().expect("it came");
    take(&queue);
    queue.send(b"two").expect("send");
    refusal(notice.try_wait(), Kind::WouldBlock, "no message");
    take(&queue);
    notice.rearm().expect("again");
    queue.send(b"three").expect("send");
    notice.wait_timeout(LONG).expect("it came");
    take(&queue);
    notice.rearm().expect("again");
    queue.unnotify().expect("take back");
    refusal(notice.wait_timeout(LONG), Kind::Removed, "taken back");
    notice.rearm().expect("again");
    drop(notice);
    drop(queue.notice().expect("dropping took it back"));
}

#[test]
fn a_notice_runs_in_a_thread() {
    let queue = small().create(name()).expect("create");
    let (tell, told) = mpsc::channel();
    let again = tell.clone();
    queue
        .notify_thread(move || tell.send("first").expect("told"))
        .expect("register");
    assert!(told.recv_timeout(SHORT).is_err());
    queue.send(b"x").expect("send");
    assert_eq!(told.recv_timeout(LONG), Ok("first"));
    take(&queue);
    queue
        .notify_thread(move || again.send("never").expect("told"))
        .expect("register");
    queue.unnotify().expect("take back");
    queue.send(b"y").expect("send");
    // Its end closes the channel.
    assert_eq!(
        told.recv_timeout(LONG),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}

#[test]
fn a_notice_is_a_signal_with_the_sender_and_a_value() {
    let test = "a_notice_is_a_signal_with_the_sender_and_a_value";
    match part().as_deref() {
        Some("watcher") => {
            let queue = Queue::open(argument("QUEUE")).expect("open");
            queue.notify_signal(Signal::USR2, 42).expect("register");
            say("registered");
            let received = signal::wait(Signal::USR2).expect("the notice");
            assert_eq!(received.code, libc::SI_MESGQ);
            say(&format!("{} {:?}", received.pid, received.value));
            return;
        }
        Some(_) => {
            let queue = Queue::open(argument("QUEUE")).expect("open");
            queue.notify_signal(Signal::USR2, 1).expect("register");
            say("registered");
            hear();
            return;
        }
        None => {}
    }
    let name = name();
    let queue = small().create(&name).expect("create");
    refusal(
        queue.notify_signal(1000, 0),
        Kind::BadInput,
        "no such signal",
    );
    let mut child = play(test, "watcher", &[("QUEUE", &name)])
        .with(blocking(Signal::USR2))
        .start();
    child.says("registered");
    refusal(queue.notice(), Kind::AlreadyExists, "registered");
    queue.send(b"x").expect("send");
    child.says(&format!("{} Some(42)", std::process::id()));
    child.succeeds();
    take(&queue);
    // A registered process that is killed is registered no more.
    let mut child = play(test, "sleeper", &[("QUEUE", &name)]).start();
    child.says("registered");
    child.kill();
    drop(queue.notice().expect("free again"));
}

#[test]
fn it_can_be_polled_and_iterated() {
    let queue = small().create(name()).expect("create");
    let ready = |flags| {
        let limit = rustix::event::Timespec::default();
        let mut fds = [PollFd::from_borrowed_fd(queue.as_fd(), flags)];
        rustix::event::poll(&mut fds, Some(&limit)).expect("poll") == 1
    };
    assert!(ready(PollFlags::OUT) && !ready(PollFlags::IN));
    queue.send(b"a").expect("send");
    queue.send_priority(b"b", 1).expect("send");
    assert!(!ready(PollFlags::OUT) && ready(PollFlags::IN));
    let all: Vec<_> = queue
        .iter()
        .take(2)
        .map(|m| m.expect("a message").bytes)
        .collect();
    assert_eq!(all, [b"b".to_vec(), b"a".to_vec()]);
}

#[test]
fn an_address_opens_it_for_messages() {
    let path = name();
    let address = |options: &str| format!("mq:{path}?{options}").parse().expect("an address");
    catalog::create(&address("depth=3&max_len=32&mode=0640")).expect("create");
    refusal(
        catalog::create(&address("exclusive")),
        Kind::AlreadyExists,
        &path,
    );
    let other = catalog::open(&address("depth=4"), Opening::RECEIVE).map(|_| ());
    refusal(other, Kind::AlreadyExists, "depth of 3");
    let open = |opening| match catalog::open(&address(""), opening).expect("open") {
        catalog::Endpoint::Messages(messages) => messages,
        _ => panic!("a queue carries messages"),
    };
    let (sender, receiver) = (open(Opening::SEND), open(Opening::RECEIVE));
    assert_eq!(receiver.max_len(), 32);
    let note = Note {
        priority: Some(5),
        kind: None,
    };
    sender
        .send_with(b"hello", note, Wait::Forever)
        .expect("send");
    let mut buffer = b"old".to_vec();
    let received = receiver
        .recv_with(&mut buffer, None, Wait::For(LONG))
        .expect("receive");
    assert_eq!(
        (&buffer[..], received.expect("no end").note),
        (&b"hello"[..], note)
    );
    refusal(
        receiver.recv_with(&mut buffer, None, Wait::Not),
        Kind::WouldBlock,
        "empty",
    );
    refusal(
        receiver.recv_with(&mut buffer, Some(1), Wait::Not),
        Kind::BadInput,
        "no type",
    );
    let typed = Note {
        priority: None,
        kind: Some(1),
    };
    refusal(
        sender.send_with(b"", typed, Wait::Not),
        Kind::BadInput,
        "no type",
    );
    catalog::unlink(&address("")).expect("unlink");
    refusal(catalog::unlink(&address("")), Kind::NotFound, &path);
}

#[test]
fn python_sends_and_receives_at_the_other_end() {
    let name = name();
    let queue = small().create(&name).expect("create");
    queue.send_priority(b"from rust", 7).expect("send");
    let script = format!(
        "import posix_ipc\nq = posix_ipc.MessageQueue({name:?})\nassert (q.max_messages, q.max_message_size) == (2, 16)\n\
         assert q.receive() == (b'from rust', 7)\nq.send(b'from python', priority=3)\n\
         r = posix_ipc.MessageQueue({name:?} + '-p', posix_ipc.O_CREX, max_messages=1, max_message_size=8)\nr.send(b'theirs')"
    );
    let done = python("posix_ipc", &script).status().expect("run python");
    assert!(done.success());
    assert_eq!(take(&queue), ("from python".into(), 3));
    let theirs = Options::new()
        .temporary(true)
        .open(format!("{name}-p"))
        .expect("open theirs");
    assert_eq!(
        (theirs.max_len(), theirs.stat().expect("stat").queued),
        (8, 1)
    );
    assert_eq!(take(&theirs).0, "theirs");
}

#[tokio::test]
async fn it_wakes_an_async_task() {
    let name = name();
    let queue = small().create(&name).expect("create");
    // SAFETY: a queue keeps its one descriptor open as long as it lives.
    let queue = unsafe { tokio::io::unix::AsyncFd::register(queue) }.expect("register");
    let sender = Queue::open(&name).expect("open");
    let thread = std::thread::spawn(move || {
        std::thread::sleep(SHORT);
        sender.send(b"async").expect("send");
    });
    let ready = tokio::time::timeout(LONG, queue.readable())
        .await
        .expect("in time");
    drop(ready.expect("readable"));
    assert_eq!(
        queue.get_ref().try_recv(&mut [0; 16]).expect("receive").0,
        5
    );
    thread.join().expect("no panic");
}
