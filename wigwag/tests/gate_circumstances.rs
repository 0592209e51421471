//! Circumstances of gates: a holder that is stopped, forks, runs another program or ends as a thread only; signals during every
//! wait.
//!
//! Each for every gate there is, in segments of either way to notice death.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, unreachable_pub)]

mod hall;
mod process;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hall::{AWAITED, Gate, HELD, Hall, Next, all, hall, none_passes, pass_each, with_each};
use process::{DEATHS, PATIENCE};
use rustix::process::Signal;
use wigwag::Kind;
use wigwag::memory::Segment;
use wigwag::shared::Death;

#[test]
fn a_holder_that_is_stopped_is_waited_for_in_vain_and_is_not_dead() {
    if process::part().is_some() {
        let hall = hall::opened();
        let held: Vec<_> = all().map(|gate| (gate.hold)(hall)).collect();
        process::say("holds");
        process::hear();
        drop(held);
        process::say("left");
        process::hear();
        return;
    }
    let test = "a_holder_that_is_stopped_is_waited_for_in_vain_and_is_not_dead";
    with_each(test, "hold", |hall, mut child, _| {
        child.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", child.pid());
        process::eventually("the child is stopped", || {
            std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "))
        });
        none_passes(hall, all(), "it is stopped");
        child.signal(Signal::CONT);
        child.tell("leave");
        child.says("left");
        for (gate, passed) in pass_each(hall, all(), PATIENCE) {
            assert_eq!(passed, Ok(false), "{}: nobody died", gate.name);
        }
        child.succeeds();
    });
}

#[test]
fn what_a_thread_held_that_ended_comes_back_though_its_process_lives_on() {
    if process::part().is_some() {
        let hall = hall::opened();
        let ends = std::thread::spawn(|| {
            for gate in HELD {
                std::mem::forget((gate.hold)(hall));
            }
        });
        ends.join().unwrap();
        let (ends, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _ = hall.once.get_or_init(|| {
                ends.send(()).unwrap();
                // SAFETY: ends this thread as the kernel sees it, with its stack and all that it has left where it is.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
                1
            });
        });
        end.recv().unwrap();
        process::say("holds");
        process::hear();
        return;
    }
    let test = "what_a_thread_held_that_ended_comes_back_though_its_process_lives_on";
    with_each(test, "hold", |hall, mut child, death| {
        let gates = || HELD.iter().chain(&AWAITED[..1]);
        let stays = |gate: &&Gate| matches!(gate.next, Next::ToldOfAProcess | Next::Never);
        let comes = |gate: &&Gate| !stays(gate);
        for (gate, passed) in pass_each(hall, gates().filter(comes), PATIENCE) {
            let told = gate.next == Next::Told;
            assert_eq!(passed, Ok(told), "{} {death:?}", gate.name);
        }
        none_passes(hall, gates().filter(stays), "its process lives");
        child.kill();
        let of_a_process = |gate: &&Gate| gate.next == Next::ToldOfAProcess;
        for (gate, passed) in pass_each(hall, gates().filter(of_a_process), PATIENCE) {
            assert_eq!(passed, Ok(true), "{}: its process is dead", gate.name);
        }
        let never = |gate: &&Gate| gate.next == Next::Never;
        none_passes(hall, gates().filter(never), "nobody knows who had it");
    });
}

#[test]
fn the_child_of_a_fork_owns_nothing_of_what_its_parent_holds() {
    if process::part().is_some() {
        let hall = hall::opened();
        let mut held: Vec<_> = HELD.iter().map(|gate| (gate.hold)(hall)).collect();
        let making = (AWAITED[0].hold)(hall);
        process::say("holds");
        // SAFETY: glibc makes its allocator usable in the child, which ends without returning.
        let child = unsafe { libc::fork() };
        if child == 0 {
            drop(std::mem::take(&mut held));
            let gates = HELD.iter().chain(&AWAITED[..1]);
            let taken = gates
                .filter(|gate| (gate.pass)(hall, Duration::from_millis(30)) != Err(Kind::TimedOut));
            let names: Vec<_> = taken.map(|gate| gate.name).collect();
            if !names.is_empty() {
                process::say(&format!("the child took {names:?}"));
            }
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!names.is_empty())) };
        }
        let mut status = 0;
        // SAFETY: the pointer is valid for writing.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        process::say(&format!("status {status}"));
        process::hear();
        drop((held, making));
        process::say("left");
        process::hear();
        return;
    }
    let test = "the_child_of_a_fork_owns_nothing_of_what_its_parent_holds";
    with_each(test, "hold", |hall, mut child, _| {
        child.says("status 0");
        let gates = || HELD.iter().chain(&AWAITED[..1]);
        none_passes(hall, gates(), "the child of its holder has let go of it");
        child.tell("leave");
        child.says("left");
        for (gate, passed) in pass_each(hall, gates(), PATIENCE) {
            assert_eq!(passed, Ok(false), "{}: nobody died", gate.name);
        }
        assert_eq!(hall.permits.value(), 1, "a permit too many");
        child.succeeds();
    });
}

#[test]
fn a_child_that_is_forked_while_a_value_is_made_gets_its_parents() {
    const TEST: &str = "a_child_that_is_forked_while_a_value_is_made_gets_its_parents";
    if process::part().is_none() {
        return process::play(TEST, "alone", &[]).start().succeeds();
    }
    let cell = wigwag::memory::Segment::anonymous(wigwag::gate::OnceCell::<u64>::new()).unwrap();
    let mut child = 0;
    let value = cell.get_or_init(|| {
        // SAFETY: glibc makes its allocator usable in the child, which ends without returning from the test.
        child = unsafe { libc::fork() };
        if child == 0 {
            return 2;
        }
        std::thread::sleep(Duration::from_millis(50));
        1
    });
    let value = *value.unwrap();
    if child == 0 {
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(value as i32) };
    }
    let mut status = 0;
    // SAFETY: the pointer is valid for writing.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((value, libc::WEXITSTATUS(status)), (1, 1));
}

#[test]
fn who_runs_another_program_keeps_what_the_kernel_does_not_take() {
    if process::part().is_some() {
        let hall = hall::opened();
        // The first thread of a process keeps its id, which that of another test is not.
        // SAFETY: glibc makes its allocator usable in the child, which ends without returning.
        let first = unsafe { libc::fork() };
        if first != 0 {
            // SAFETY: the status is not asked for.
            unsafe { libc::waitpid(first, std::ptr::null_mut(), 0) };
            return;
        }
        for gate in HELD {
            std::mem::forget((gate.hold)(hall));
        }
        process::say("holds");
        process::say(&std::process::id().to_string());
        process::hear();
        let mut other = std::process::Command::new("sleep");
        let error = std::os::unix::process::CommandExt::exec(other.arg("100"));
        panic!("{error}");
    }
    let test = "who_runs_another_program_keeps_what_the_kernel_does_not_take";
    with_each(test, "hold", |hall, mut child, death| {
        let pid = child.line();
        child.tell("go on");
        let name = format!("/proc/{pid}/comm");
        process::eventually("it is another program", || {
            std::fs::read_to_string(&name).is_ok_and(|name| name == "sleep\n")
        });
        let listed = |gate: &&Gate| gate.listed && death == Death::Kernel;
        for (gate, passed) in pass_each(hall, HELD.iter().filter(listed), PATIENCE) {
            assert_eq!(passed, Ok(true), "{}: the kernel frees it", gate.name);
        }
        let kept = || HELD.iter().filter(|gate| !listed(gate));
        none_passes(hall, kept(), "the process goes on");
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        let comes = |gate: &&Gate| gate.next != Next::Never;
        for (gate, passed) in pass_each(hall, kept().filter(comes), PATIENCE) {
            assert_eq!(passed, Ok(gate.next != Next::Gets), "{}", gate.name);
        }
    });
}

/// What this process does about `SIGUSR1` from now on: it counts.
fn count_signals(flags: libc::c_int) {
    extern "C" fn count(_: libc::c_int) {
        SIGNALS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: an all-zero sigaction is valid; the handler adds to an atomic, which is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        action.sa_flags = flags;
        let done = libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
        assert_eq!(done, 0);
    }
}

static SIGNALS: AtomicU32 = AtomicU32::new(0);

/// Runs `wait` in a thread that gets a signal again and again until it returns.
fn under_fire<R: Send>(wait: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let (knows, known) = std::sync::mpsc::channel();
        let waiter = scope.spawn(move || {
            knows.send(rustix::thread::gettid()).unwrap();
            wait()
        });
        let thread = known.recv().unwrap().as_raw_nonzero().get();
        while !waiter.is_finished() {
            // SAFETY: takes numbers. The thread may be gone, and then nobody gets it.
            unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), thread, libc::SIGUSR1) };
            std::thread::sleep(Duration::from_micros(300));
        }
        waiter.join().unwrap()
    })
}

#[test]
fn signals_end_no_wait_early_and_make_none_late() {
    const TEST: &str = "signals_end_no_wait_early_and_make_none_late";
    if process::part().is_none() {
        return process::play(TEST, "alone", &[]).start().succeeds();
    }
    for (death, flags) in DEATHS.iter().zip([0, libc::SA_RESTART].into_iter().cycle()) {
        for flags in [flags, flags ^ libc::SA_RESTART] {
            count_signals(flags);
            let name = format!("/{}", process::unique("circumstances"));
            let hall: &'static Segment<Hall> = Box::leak(Box::new(hall(&name, *death)));
            for gate in all() {
                let held = (gate.hold)(hall);
                // Longer, until enough of them come on a busy machine.
                let mut limit = Duration::from_millis(40);
                loop {
                    let before = SIGNALS.load(Ordering::Relaxed);
                    let start = Instant::now();
                    let passed = under_fire(|| (gate.pass)(hall, limit));
                    assert_eq!(passed, Err(Kind::TimedOut), "{}", gate.name);
                    let took = start.elapsed();
                    assert!(took >= limit, "{}: after {took:?}", gate.name);
                    assert!(took < PATIENCE, "{}: after {took:?}", gate.name);
                    let signals = SIGNALS.load(Ordering::Relaxed) - before;
                    if signals > 5 {
                        break;
                    }
                    assert!(limit < PATIENCE, "{}: {signals} signals", gate.name);
                    limit *= 2;
                }
                // And one that is let in while they come.
                let (goes, gone) = std::sync::mpsc::channel();
                let waiter = std::thread::spawn(move || {
                    let passed = under_fire(|| (gate.pass)(hall, PATIENCE));
                    goes.send(()).unwrap();
                    passed
                });
                let early = gone.recv_timeout(Duration::from_millis(20));
                assert!(early.is_err(), "{}: it is held", gate.name);
                drop(held);
                assert_eq!(waiter.join().unwrap(), Ok(false), "{}", gate.name);
            }
            Segment::<Hall>::unlink(&name).unwrap();
        }
    }
}
