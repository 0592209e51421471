//! Signals between processes: every promise of `signal`, with `kill`, Python and C on the other end too.

mod process;
mod refusal;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use process::{Directory, argument, compiled, foreign, hear, part, play, python, say};
use refusal::{LONG, SHORT, blocking, interrupted_by, nobody, refusal, this_thread, thread};
use rustix::event::{PollFd, PollFlags};
use wigwag::message::{Messages, Note, Sender};
use wigwag::signal::{self, Mask, Received, Receiver, Set, Signal};
use wigwag::{Kind, Opening, Role, Wait, Way, catalog};

fn realtime(n: u32) -> Signal {
    Signal::realtime(n).expect("a real-time signal")
}

fn everything() -> Set {
    let mut set = Set::from([Signal::USR1, Signal::USR2]);
    set.extend((0..=30).map(realtime));
    set
}

/// Prints what it receives until USR2 comes.
fn child_that_prints() {
    let receiver = Receiver::open(everything()).expect("receive");
    say("ready");
    for received in receiver.iter() {
        let Received {
            signal,
            pid,
            uid,
            value,
            ..
        } = received.expect("a signal");
        if signal == Signal::USR2 {
            return;
        }
        say(&format!("{signal} {pid} {uid} {value:?}"));
    }
}

fn child(test: &str) -> process::Child {
    let mut child = play(test, "receiver", &[])
        .with(blocking(everything()))
        .start();
    child.says("ready");
    child
}

#[test]
fn a_signal_comes_with_its_sender_and_value() {
    let test = "a_signal_comes_with_its_sender_and_value";
    if part().is_some() {
        return child_that_prints();
    }
    let mut child = child(test);
    let me = std::process::id();
    let pid = child.pid();
    signal::send(pid, Signal::USR1).expect("send");
    child.says(&format!("SIGUSR1 {me} 0 None"));
    for value in [0, 1, -1, i32::MIN, i32::MAX] {
        signal::queue(pid, Signal::USR1, value).expect("queue");
        child.says(&format!("SIGUSR1 {me} 0 Some({value})"));
    }
    let process = rustix::process::Pid::from_raw(pid).expect("a pid");
    let flags = rustix::process::PidfdFlags::empty();
    let process = rustix::process::pidfd_open(process, flags).expect("open the process");
    signal::send_process(&process, realtime(1)).expect("send");
    child.says(&format!("SIGRTMIN+1 {me} 0 None"));
    signal::queue_process(&process, realtime(2), -42).expect("queue");
    child.says(&format!("SIGRTMIN+2 {me} 0 Some(-42)"));
    signal::send(pid, Signal::USR2).expect("send");
    assert!(child.ends().success());
    // The descriptor can never mean another process.
    refusal(
        signal::send_process(&process, Signal::TERM),
        Kind::NotFound,
        "SIGTERM",
    );
    refusal(
        signal::queue_process(&process, Signal::TERM, 1),
        Kind::NotFound,
        "SIGTERM",
    );
}

#[test]
fn realtime_signals_queue_in_order_and_others_merge() {
    let test = "realtime_signals_queue_in_order_and_others_merge";
    if part().is_some() {
        say("blocked");
        hear();
        return child_that_prints();
    }
    let mut child = play(test, "", &[]).with(blocking(everything())).start();
    child.says("blocked");
    for value in 0..100 {
        signal::queue(child.pid(), realtime(5), value).expect("queue");
        signal::queue(child.pid(), realtime(3), value).expect("queue");
        signal::queue(child.pid(), Signal::USR1, value).expect("queue");
    }
    child.tell("go");
    child.says("ready");
    let me = std::process::id();
    // One pending stands for all, with the value of the first.
    child.says(&format!("SIGUSR1 {me} 0 Some(0)"));
    for number in [3, 5] {
        for value in 0..100 {
            child.says(&format!("SIGRTMIN+{number} {me} 0 Some({value})"));
        }
    }
    signal::send(child.pid(), Signal::USR2).expect("send");
    child.succeeds();
}

#[test]
fn a_thread_gets_what_is_sent_to_it() {
    let signals = [Signal::USR1, realtime(7)];
    let _mask = Mask::block(signals).expect("block");
    let me = signal::this_thread();
    std::thread::spawn(move || {
        signal::send_thread(me, Signal::USR1).expect("send");
        signal::queue_thread(me, realtime(7), 7).expect("queue");
    })
    .join()
    .expect("no panic");
    let first = signal::wait(signals).expect("wait");
    assert_eq!(
        (first.signal, first.pid, first.value),
        (Signal::USR1, me.pid, None)
    );
    let second = signal::wait_timeout(signals, LONG).expect("wait");
    assert_eq!((second.signal, second.value), (realtime(7), Some(7)));
    assert_eq!(second.pid, std::process::id().cast_signed());
    refusal(
        signal::try_wait(signals),
        Kind::WouldBlock,
        "none is pending",
    );
    let start = Instant::now();
    refusal(
        signal::wait_timeout(signals, SHORT),
        Kind::TimedOut,
        "none came",
    );
    assert!(start.elapsed() >= SHORT && start.elapsed() < LONG);
}

#[test]
fn a_mask_nests_and_restores() {
    let blocked = |one| Set::blocked().expect("look").contains(one);
    assert!(!blocked(Signal::USR1));
    {
        let _outer = Mask::block(Signal::USR1).expect("block");
        {
            let _inner = Mask::block([Signal::USR1, Signal::USR2]).expect("block");
            assert!(blocked(Signal::USR1) && blocked(Signal::USR2));
            let _open = Mask::unblock(Signal::USR2).expect("unblock");
            assert!(!blocked(Signal::USR2));
        }
        assert!(blocked(Signal::USR1) && !blocked(Signal::USR2));
    }
    assert!(!blocked(Signal::USR1));
    // Another thread is not touched.
    let _mask = Mask::block(Signal::USR1).expect("block");
    std::thread::scope(|scope| {
        let inherits = scope.spawn(move || Set::blocked().expect("look").contains(Signal::USR1));
        assert!(inherits.join().expect("no panic"));
    });
}

#[test]
fn a_receiver_is_polled_and_has_time_outs() {
    let which = realtime(9);
    let receiver = Receiver::open(which).expect("receive");
    let ready = || {
        let now = rustix::event::Timespec::default();
        let mut fds = [PollFd::from_borrowed_fd(receiver.as_fd(), PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&now)).expect("poll") == 1
    };
    assert!(!ready());
    refusal(receiver.try_recv(), Kind::WouldBlock, "none is pending");
    refusal(receiver.recv_timeout(SHORT), Kind::TimedOut, "none came");
    signal::queue_thread(signal::this_thread(), which, 1).expect("queue");
    assert!(ready());
    assert_eq!(receiver.recv_timeout(LONG).expect("receive").value, Some(1));
    assert!(!ready());
}

#[test]
fn what_cannot_be_is_refused() {
    for pid in [0, -1, i32::MIN] {
        refusal(signal::send(pid, Signal::USR1), Kind::BadInput, "from 1");
        refusal(
            signal::queue(pid, Signal::USR1, 0),
            Kind::BadInput,
            "from 1",
        );
    }
    refusal(
        signal::send(i32::MAX, Signal::USR1),
        Kind::NotFound,
        "SIGUSR1 to process 2147483647",
    );
    refusal(Receiver::open(Set::new()), Kind::BadInput, "no signal");
    refusal(
        Receiver::open(Signal::KILL),
        Kind::BadInput,
        "cannot be blocked",
    );
    refusal(
        signal::wait([Signal::USR1, Signal::STOP]),
        Kind::BadInput,
        "cannot be blocked",
    );
    refusal(signal::wait(Signal::HUP), Kind::BadInput, "not blocked");
    refusal("USR1,,HUP".parse::<Set>(), Kind::BadInput, "");
    let not_a_process = std::fs::File::open("/dev/null").expect("open");
    assert!(signal::send_process(&not_a_process, Signal::USR1).is_err());
}

#[test]
fn another_user_may_not_send() {
    if part().is_some() {
        let pid = argument("PID").parse().expect("a pid");
        refusal(signal::send(pid, Signal::USR1), Kind::PermissionDenied, "");
        refusal(
            signal::queue(pid, Signal::USR1, 1),
            Kind::PermissionDenied,
            "",
        );
        return;
    }
    let pid = std::process::id().to_string();
    play("another_user_may_not_send", "nobody", &[("PID", &pid)])
        .with(nobody)
        .start()
        .succeeds();
}

#[test]
fn the_limit_on_queued_signals_is_named() {
    if part().is_some() {
        let limit = libc::rlimit {
            rlim_cur: 5,
            rlim_max: 5,
        };
        // SAFETY: the pointer is to a live rlimit.
        let lowered = unsafe { libc::setrlimit(libc::RLIMIT_SIGPENDING, &raw const limit) };
        assert_eq!(lowered, 0);
        let me = std::process::id().cast_signed();
        let mut queued = 0;
        let error = loop {
            match signal::queue(me, realtime(1), queued) {
                Ok(()) => queued += 1,
                Err(error) => break error,
            }
        };
        assert!(queued <= 5);
        return refusal::<()>(Err(error), Kind::Limit, "RLIMIT_SIGPENDING is 5");
    }
    let test = "the_limit_on_queued_signals_is_named";
    // A user of its own, whose signals nobody else counts.
    let alone = |command: &mut std::process::Command| {
        use std::os::unix::process::CommandExt;
        command.uid(61_234).gid(61_234);
        blocking(everything())(command);
    };
    play(test, "", &[]).with(alone).start().succeeds();
}

#[test]
fn another_signal_does_not_end_the_waiting() {
    let test = "another_signal_does_not_end_the_waiting";
    if part().is_some() {
        interrupted_by(Signal::HUP);
        let receiver = Receiver::open(realtime(2)).expect("receive");
        say(&this_thread());
        say(&format!("{:?}", receiver.recv().expect("receive").value));
        say(&format!(
            "{:?}",
            signal::wait(realtime(2)).expect("wait").value
        ));
        return;
    }
    let mut child = play(test, "", &[]).with(blocking(everything())).start();
    let thread = thread(&child.line());
    for (round, call) in [(1, libc::SYS_poll), (2, libc::SYS_rt_sigtimedwait)] {
        for _ in 0..20 {
            let calls = [call, libc::SYS_ppoll];
            process::eventually("it waits", || {
                calls.iter().any(|call| waits_in(&child, *call))
            });
            signal::send_thread(thread, Signal::HUP).expect("signal");
        }
        signal::queue(child.pid(), realtime(2), round).expect("queue");
        child.says(&format!("Some({round})"));
    }
    child.succeeds();
}

fn waits_in(child: &process::Child, call: libc::c_long) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.pid())).expect("its threads");
    tasks.filter_map(Result::ok).any(|task| {
        std::fs::read_to_string(task.path().join("syscall"))
            .is_ok_and(|text| process::is_in(&text, call))
    })
}

#[test]
fn kill_and_python_and_c_send_at_the_other_end() {
    let test = "kill_and_python_and_c_send_at_the_other_end";
    if part().is_some() {
        return child_that_prints();
    }
    let mut child = child(test);
    let pid = child.pid().to_string();
    let kill = |arguments: &[&str]| {
        let done = foreign("kill", "procps")
            .args(arguments)
            .arg(&pid)
            .status()
            .expect("run kill");
        assert!(done.success(), "{arguments:?}");
    };
    kill(&["-s", "USR1"]);
    assert!(child.line().ends_with(" 0 None"));
    kill(&["-s", "RTMIN+4", "-q", "1234"]);
    let line = child.line();
    assert!(
        line.starts_with("SIGRTMIN+4 ") && line.ends_with("Some(1234)"),
        "{line}"
    );
    let script = format!("import os, signal\nos.kill({pid}, signal.SIGRTMIN + 6)");
    assert!(
        python("signal", &script)
            .status()
            .expect("run python")
            .success()
    );
    assert!(child.line().starts_with("SIGRTMIN+6 "));
    let source = "#include <signal.h>\n#include <stdlib.h>\nint main(int n, char **a) {\n\
                  union sigval v = {.sival_int = -7};\nreturn sigqueue(atoi(a[1]), SIGRTMIN + 8, v); }";
    let directory = Directory::new();
    let program = compiled(&directory, "sender", source, &[]);
    assert!(
        std::process::Command::new(program)
            .arg(&pid)
            .status()
            .expect("run it")
            .success()
    );
    let line = child.line();
    assert!(
        line.starts_with("SIGRTMIN+8 ") && line.ends_with("Some(-7)"),
        "{line}"
    );
    signal::send(child.pid(), Signal::USR2).expect("send");
    child.succeeds();
}

#[test]
fn python_and_c_receive_what_we_send() {
    let script = "import signal\ns = {signal.SIGRTMIN + 2}\nsignal.pthread_sigmask(signal.SIG_BLOCK, s)\n\
                  print('ready', flush=True)\ni = signal.sigwaitinfo(s)\nprint(i.si_signo - signal.SIGRTMIN, i.si_pid, i.si_code)";
    let mut reads = python("signal", script);
    let mut reads = reads
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("run python");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        reads.stdout.take().expect("its output"),
    ));
    let mut line = || lines.next().expect("a line").expect("text");
    assert_eq!(line(), "ready");
    signal::queue(reads.id().cast_signed(), realtime(2), 5).expect("queue");
    assert_eq!(line(), format!("2 {} -1", std::process::id()));
    assert!(reads.wait().expect("its end").success());

    let source = "#include <signal.h>\n#include <stdio.h>\nint main(void) { sigset_t s; siginfo_t i;\n\
                  sigemptyset(&s); sigaddset(&s, SIGRTMIN + 2); sigprocmask(SIG_BLOCK, &s, 0);\n\
                  puts(\"ready\"); fflush(stdout);\n\
                  for (int n = 0; n < 3; n++) { sigwaitinfo(&s, &i); printf(\"%d %d\\n\", i.si_value.sival_int, i.si_code); }\n}";
    let directory = Directory::new();
    let program = compiled(&directory, "receiver", source, &[]);
    let mut reads = std::process::Command::new(program);
    let mut reads = reads
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("run it");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        reads.stdout.take().expect("its output"),
    ));
    assert_eq!(lines.next().expect("a line").expect("text"), "ready");
    let pid = reads.id().cast_signed();
    signal::queue(pid, realtime(2), -5).expect("queue");
    signal::queue_thread(signal::Thread { pid, tid: pid }, realtime(2), -6).expect("queue");
    let process = rustix::process::Pid::from_raw(pid).expect("a pid");
    let process = rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty());
    signal::queue_process(process.expect("open it"), realtime(2), -7).expect("queue");
    let got: Vec<_> = lines.map(|line| line.expect("text")).collect();
    // Those to a thread come before those to its process.
    assert_eq!(got.len(), 3);
    for value in ["-5 -1", "-6 -1", "-7 -1"] {
        assert!(
            got.iter().any(|line| line == value),
            "{got:?} should contain {value}"
        );
    }
    assert!(reads.wait().expect("its end").success());
}

#[test]
fn an_address_opens_it_for_messages() {
    let test = "an_address_opens_it_for_messages";
    let open = |address: &str, opening| -> wigwag::Result<Box<dyn Messages>> {
        match catalog::open(&address.parse().expect("an address"), opening)? {
            catalog::Endpoint::Messages(messages) => Ok(messages),
            _ => panic!("a signal is opened as messages"),
        }
    };
    if part().is_some() {
        let receiver = open("signal:self?signal=USR1,RTMIN%2B1", Opening::RECEIVE).expect("open");
        say("ready");
        let mut buffer = b"old".to_vec();
        for _ in 0..3 {
            let received = receiver
                .recv_with(&mut buffer, None, Wait::For(LONG))
                .expect("receive");
            let received = received.expect("no end");
            let Some(Sender::Process { pid, .. }) = received.sender else {
                panic!("no sender")
            };
            let text = String::from_utf8_lossy(&buffer);
            say(&format!("{:?} {pid} {text:?}", received.note.kind));
        }
        return;
    }
    let mut child = play(test, "", &[]).with(blocking(everything())).start();
    child.says("ready");
    let me = std::process::id();
    let sender = open(
        &format!("signal:{}?signal=USR1", child.pid()),
        Opening::SEND,
    )
    .expect("open");
    let of = |kind| Note {
        priority: None,
        kind,
    };
    sender
        .send_with(b"", of(None), Wait::Forever)
        .expect("send");
    child.says(&format!("Some(10) {me} \"\""));
    sender
        .send_with(b"-12", of(None), Wait::Forever)
        .expect("send");
    child.says(&format!("Some(10) {me} \"-12\""));
    let number = i64::from(realtime(1).number());
    sender
        .send_with(b"7\n", of(Some(number)), Wait::Forever)
        .expect("send");
    child.says(&format!("Some({number}) {me} \"7\""));
    refusal(
        sender.send_with(b"seven", of(None), Wait::Not),
        Kind::BadInput,
        "whole number",
    );
    refusal(
        sender.send_with(b"2147483648", of(None), Wait::Not),
        Kind::BadInput,
        "2147483647",
    );
    refusal(
        sender.send_with(b"", of(Some(99)), Wait::Not),
        Kind::BadInput,
        "1 to 31",
    );
    refusal(
        sender.recv_with(&mut Vec::new(), None, Wait::Not),
        Kind::BadInput,
        "to send",
    );
    child.succeeds();
    let both = Opening {
        role: Role::Join,
        way: Way::Both,
        wait: Wait::Forever,
    };
    for (address, opening) in [
        ("signal:1?signal=USR1", Opening::RECEIVE),
        ("signal:self", Opening::RECEIVE),
        ("signal:?signal=USR1", Opening::SEND),
        ("signal:self?signal=USR1", both),
        ("signal:self?signal=USR1,HUP", Opening::SEND),
        ("signal:self?signal=NONE", Opening::SEND),
    ] {
        let outcome = open(address, opening).map(|_| ());
        assert_eq!(
            outcome.expect_err(address).kind(),
            Kind::BadInput,
            "{address}"
        );
    }
}

#[test]
fn ten_thousand_are_received_none_is_lost() {
    let test = "ten_thousand_are_received_none_is_lost";
    const COUNT: i32 = 10_000;
    if part().is_some() {
        let receiver = Receiver::open(realtime(0)).expect("receive");
        say("ready");
        for expected in 0..COUNT {
            let received = receiver
                .recv_timeout(Duration::from_secs(30))
                .expect("receive");
            assert_eq!(received.value, Some(expected));
        }
        return;
    }
    let mut child = play(test, "", &[]).with(blocking(everything())).start();
    child.says("ready");
    for value in 0..COUNT {
        signal::queue(child.pid(), realtime(0), value).expect("queue");
    }
    child.succeeds();
}
