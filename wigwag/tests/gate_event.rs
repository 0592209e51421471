//! Event counters between a process and a child that inherits them.

#![allow(clippy::unwrap_used)] // what the tests share, too

mod process;

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use process::{hear, part, play, say};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use wigwag::gate::event::{Event, Options};
use wigwag::gate::{Gate, Mode};
use wigwag::{Endpoint, Kind, Opening, Wait};

fn inherited() -> Box<dyn Gate> {
    let address = process::argument("ADDRESS").parse().unwrap();
    let Endpoint::Gate(gate) = wigwag::open(&address, Opening::SEND).unwrap() else {
        panic!()
    };
    gate
}

#[test]
fn a_child_waits_at_what_it_inherits_and_signals_do_not_end_it() {
    if part().is_some() {
        process::notice(Signal::USR1);
        let gate = inherited();
        say("waiting");
        gate.acquire_with(Mode::Exclusive, Wait::Forever).unwrap();
        say("through");
        hear();
        return;
    }
    let test = "a_child_waits_at_what_it_inherits_and_signals_do_not_end_it";
    let event = Options::new().semaphore(true).anonymous().unwrap();
    let fd = rustix::io::dup(&event).unwrap();
    let address = format!("eventfd:?fd={}", fd.as_raw_fd());
    let mut child = play(test, "wait", &[("ADDRESS", &address)]).start();
    child.says("waiting");
    child.sleeps_in(libc::SYS_ppoll);
    for _ in 0..10 {
        child.signal(Signal::USR1);
        std::thread::sleep(Duration::from_millis(1));
    }
    event.add(2).unwrap();
    child.says("through");
    // One was taken; nothing is given back when the child is killed.
    assert_eq!(event.value().unwrap(), Some(1));
    child.kill();
    assert_eq!(event.value().unwrap(), Some(1));
}

#[test]
fn all_is_taken_at_once_or_one_at_a_time() {
    let all = Options::new().value(5).anonymous().unwrap();
    all.add(7).unwrap();
    assert_eq!(all.take().unwrap(), 12);
    assert_eq!(all.try_take().unwrap(), None);
    let one = Options::new().semaphore(true).value(2).anonymous().unwrap();
    assert_eq!(
        (
            one.take().unwrap(),
            one.take().unwrap(),
            one.try_take().unwrap()
        ),
        (1, 1, None)
    );
    let gate: &dyn Gate = &one;
    assert_eq!(
        gate.acquire_with(Mode::Exclusive, Wait::Not)
            .unwrap_err()
            .kind(),
        Kind::WouldBlock
    );
    assert_eq!(
        gate.acquire_with(Mode::Shared, Wait::Not)
            .unwrap_err()
            .kind(),
        Kind::BadInput
    );
    gate.release().unwrap();
    assert_eq!(gate.available().unwrap(), Some(1));
}

#[test]
fn waiting_ends_in_time() {
    let event = Event::anonymous().unwrap();
    let start = Instant::now();
    let error = event.take_timeout(Duration::from_millis(40)).unwrap_err();
    assert!(
        error.kind() == Kind::TimedOut && start.elapsed() >= Duration::from_millis(40),
        "{error}"
    );
    event.add(3).unwrap();
    assert_eq!(event.take_timeout(Duration::MAX).unwrap(), 3);
}

#[test]
fn what_cannot_be_counted_waits_or_is_refused() {
    let full = Options::new().value(u64::MAX - 1).anonymous().unwrap();
    assert_eq!(full.try_add(1).unwrap_err().kind(), Kind::WouldBlock);
    assert_eq!(full.add(u64::MAX).unwrap_err().kind(), Kind::BadInput);
    assert_eq!(
        Options::new()
            .value(u64::MAX)
            .anonymous()
            .unwrap_err()
            .kind(),
        Kind::BadInput
    );
    std::thread::scope(|scope| {
        let adds = scope.spawn(|| full.add(10));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!adds.is_finished());
        assert_eq!(full.take().unwrap(), u64::MAX - 1);
        adds.join().unwrap().unwrap();
    });
    assert_eq!(full.take().unwrap(), 10);
}

#[test]
fn it_can_be_polled_and_only_a_counter_is_taken_for_one() {
    let event = Event::anonymous().unwrap();
    let ready = |event: &Event| {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut [PollFd::new(event, PollFlags::IN)], Some(&now)).unwrap() == 1
    };
    assert!(!ready(&event));
    event.try_clone().unwrap().add(1).unwrap();
    assert!(ready(&event));
    let taken = Event::from_fd(event.into()).unwrap();
    assert_eq!(taken.take().unwrap(), 1);
    let file = std::fs::File::open("/dev/null").unwrap();
    let error = Event::from_fd(file.into()).unwrap_err();
    assert!(
        error.kind() == Kind::BadInput && error.to_string().contains("no event counter"),
        "{error}"
    );
    let address = "eventfd:?fd=999999".parse().unwrap();
    assert!(wigwag::open(&address, Opening::SEND).is_err());
}

#[test]
fn the_limit_on_descriptors_is_named() {
    if part().is_some() {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let limit = Rlimit {
            current: Some(16),
            maximum: Some(16),
        };
        setrlimit(Resource::Nofile, limit).unwrap();
        let mut open = Vec::new();
        let error = loop {
            match Event::anonymous() {
                Ok(event) => open.push(event),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), Kind::Limit);
        assert!(error.to_string().contains("RLIMIT_NOFILE is 16"), "{error}");
        return;
    }
    play("the_limit_on_descriptors_is_named", "reach", &[])
        .start()
        .succeeds();
}
