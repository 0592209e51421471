//! glibc's own objects, which have known faults: a harness that does not find them would prove nothing.
//!
//! Robust mutex: a woken waiter that is killed while a third barged in takes the wake-up with it, and the
//! second waiter is never woken. Condition variable: after a waiter was killed, signals get lost or the signaller hangs.

use std::any::Any;
use std::sync::mpsc;
use std::time::Duration;

use super::scene::{Scene, Stage, Verdict};
use super::step::{begin, end};
use crate::process;

pub const SCENES: &[Scene] = &[
    Scene {
        gate: "glibc robust mutex",
        name: "woken waiter, a third barged in",
        sample: 30,
        make,
        act,
        course: barged,
    },
    Scene {
        gate: "glibc robust mutex",
        name: "woken waiter and the third",
        sample: 30,
        make,
        act,
        course: barged_and_killed,
    },
    Scene {
        gate: "glibc condition variable",
        name: "waiter, then three signals",
        sample: 4,
        make,
        act,
        course: signalled,
    },
];

/// Much longer than a wake-up takes.
const LIMIT: Duration = Duration::from_secs(1);

#[repr(C)]
struct Table {
    mutex: libc::pthread_mutex_t,
    condition: libc::pthread_cond_t,
}

/// The mapped table; its file is removed when dropped.
struct Mapped(&'static Table, Option<String>);

// SAFETY: the objects in it are made to be used by many threads.
unsafe impl Send for Mapped {}

impl Drop for Mapped {
    fn drop(&mut self) {
        if let Some(path) = &self.1 {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn map(name: &str) -> &'static Table {
    let path = format!("/dev/shm/{name}");
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .expect("open");
    file.set_len(4096).expect("length");
    // SAFETY: a new mapping, never unmapped, aligned for any type.
    unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        let base = libc::mmap(std::ptr::null_mut(), 4096, access, libc::MAP_SHARED, fd, 0);
        assert_ne!(base, libc::MAP_FAILED);
        &*base.cast::<Table>()
    }
}

impl Table {
    fn mutex(&self) -> *mut libc::pthread_mutex_t {
        (&raw const self.mutex).cast_mut()
    }

    fn condition(&self) -> *mut libc::pthread_cond_t {
        (&raw const self.condition).cast_mut()
    }

    fn lock(&self) {
        // SAFETY: initialised by `make`.
        unsafe {
            if libc::pthread_mutex_lock(self.mutex()) == libc::EOWNERDEAD {
                libc::pthread_mutex_consistent(self.mutex());
            }
        }
    }

    fn unlock(&self) {
        // SAFETY: as above.
        unsafe { libc::pthread_mutex_unlock(self.mutex()) };
    }

    fn wait(&self) {
        // SAFETY: as above, and locked by the caller.
        unsafe { libc::pthread_cond_wait(self.condition(), self.mutex()) };
    }
}

fn make(name: &str) -> Box<dyn Any> {
    let table = map(name);
    // SAFETY: zeroed memory that nobody uses yet.
    unsafe {
        let mut attributes: libc::pthread_mutexattr_t = std::mem::zeroed();
        libc::pthread_mutexattr_init(&raw mut attributes);
        libc::pthread_mutexattr_setpshared(&raw mut attributes, libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_mutexattr_setrobust(&raw mut attributes, libc::PTHREAD_MUTEX_ROBUST);
        libc::pthread_mutex_init(table.mutex(), &raw const attributes);
        let mut attributes: libc::pthread_condattr_t = std::mem::zeroed();
        libc::pthread_condattr_init(&raw mut attributes);
        libc::pthread_condattr_setpshared(&raw mut attributes, libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_cond_init(table.condition(), &raw const attributes);
    }
    Box::new(Mapped(table, Some(format!("/dev/shm/{name}"))))
}

fn of(object: &dyn Any) -> &'static Table {
    object.downcast_ref::<Mapped>().expect("the table").0
}

fn act(part: &str, object: &str) {
    let table = map(object);
    match part {
        "victim" => {
            begin();
            table.lock();
            table.unlock();
            end();
        }
        "third" => {
            process::say("ready");
            process::hear();
            table.lock();
            process::say("holds");
            process::hear();
        }
        "waiter" => {
            process::say("waits");
            table.lock();
            table.unlock();
            process::say("good");
        }
        "sleeper" => {
            table.lock();
            begin();
            table.wait();
            table.unlock();
            end();
        }
        "listener" => {
            table.lock();
            process::say("listens");
            table.wait();
            process::say("heard");
        }
        part => panic!("no part {part}"),
    }
}

fn barged(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let table = of(object);
    table.lock();
    let victim = stage.victim("victim");
    victim.run_into_futex();
    let mut waiter = stage.actor("waiter");
    waiter.says("waits");
    waiter.sleeps_in(libc::SYS_futex);
    table.unlock();
    table.lock();
    victim.returns();
    let inside = victim.step_until_asleep(stage.point);
    victim.kill();
    table.unlock();
    let good = answers(&mut waiter, "good");
    match (inside, good) {
        (false, _) => Verdict::Complete,
        (true, true) => Verdict::Good,
        (true, false) => Verdict::Stuck,
    }
}

fn barged_and_killed(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let table = of(object);
    let mut third = stage.actor("third");
    third.says("ready");
    table.lock();
    let victim = stage.victim("victim");
    victim.run_into_futex();
    let mut waiter = stage.actor("waiter");
    waiter.says("waits");
    waiter.sleeps_in(libc::SYS_futex);
    table.unlock();
    third.tell("go on");
    third.says("holds");
    victim.returns();
    let inside = victim.step_until_asleep(stage.point);
    victim.kill();
    third.kill();
    let good = answers(&mut waiter, "good");
    match (inside, good) {
        (false, _) => Verdict::Complete,
        (true, true) => Verdict::Good,
        (true, false) => Verdict::Stuck,
    }
}

/// Whether it says so in time.
fn answers(child: &mut process::Child, line: &str) -> bool {
    let pid = child.pid();
    let (said, heard) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || said.send(child.line_or_end() == line));
        heard.recv_timeout(LIMIT).unwrap_or_else(|_| {
            // SAFETY: no pointers; it ends the thread's reading.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            false
        })
    })
}

fn signalled(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let table = of(object);
    let sleeper = stage.victim("sleeper");
    sleeper.run_into_futex();
    sleeper.kill();
    if stage.point > 64 {
        return Verdict::Complete; // the point is where it sleeps, each time
    }
    for _ in 0..3 {
        let mut listener = stage.actor("listener");
        listener.says("listens");
        listener.sleeps_in(libc::SYS_futex);
        let (done, heard) = mpsc::channel();
        // The signaller itself may hang for ever, so it is a thread that is left behind.
        let mapped = Mapped(table, None);
        std::thread::spawn(move || {
            let mapped = mapped;
            mapped.0.lock();
            // SAFETY: initialised by `make`.
            unsafe { libc::pthread_cond_signal(mapped.0.condition()) };
            mapped.0.unlock();
            let _ = done.send(());
        });
        if heard.recv_timeout(LIMIT).is_err() || !answers(&mut listener, "heard") {
            return Verdict::Stuck;
        }
    }
    Verdict::Good
}
