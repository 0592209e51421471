//! POSIX threads objects shared with a C program, laid out by either side.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, unreachable_pub)]

mod process;

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::ptr::addr_of_mut;
use std::time::{Duration, Instant};

use rustix::mm::{MapFlags, ProtFlags};
use wigwag::Kind;
use wigwag::gate::pthread::{self, Barrier, Condvar, Lock, Mutex, Options, RwLock, Semaphore};

/// As `struct shared` of the C program.
#[repr(C)]
struct Shared {
    robust: libc::pthread_mutex_t,
    inherit: libc::pthread_mutex_t,
    normal: libc::pthread_mutex_t,
    cond: libc::pthread_cond_t,
    rwlock: libc::pthread_rwlock_t,
    barrier: libc::pthread_barrier_t,
    sem: libc::sem_t,
    a: libc::c_long,
    b: libc::c_long,
    flag: libc::c_long,
}

/// The objects, and the numbers that the robust mutex guards.
struct Objects {
    memory: *mut Shared,
    robust: &'static Mutex,
    inherit: &'static Mutex,
    normal: &'static Mutex,
    cond: &'static Condvar,
    rwlock: &'static RwLock,
    barrier: &'static Barrier,
    sem: &'static Semaphore,
}

impl Objects {
    /// Those another program made. The memory stays mapped, as robust mutexes want it.
    fn at(memory: *mut Shared) -> Self {
        // SAFETY: the memory is mapped for ever, and the C program initialised every object in it.
        unsafe {
            Objects {
                memory,
                robust: Mutex::at(addr_of_mut!((*memory).robust)),
                inherit: Mutex::at(addr_of_mut!((*memory).inherit)),
                normal: Mutex::at(addr_of_mut!((*memory).normal)),
                cond: Condvar::at(addr_of_mut!((*memory).cond)),
                rwlock: RwLock::at(addr_of_mut!((*memory).rwlock)),
                barrier: Barrier::at(addr_of_mut!((*memory).barrier)),
                sem: Semaphore::at(addr_of_mut!((*memory).sem)),
            }
        }
    }

    fn init(memory: *mut Shared) -> Self {
        let inherit = Options {
            inherit_priority: true,
            ..Options::default()
        };
        let normal = Options {
            robust: false,
            kind: pthread::Kind::Normal,
            ..Options::default()
        };
        // SAFETY: fresh memory, mapped for ever, that nobody uses yet.
        unsafe {
            Mutex::init(addr_of_mut!((*memory).robust), Options::default()).unwrap();
            Mutex::init(addr_of_mut!((*memory).inherit), inherit).unwrap();
            Mutex::init(addr_of_mut!((*memory).normal), normal).unwrap();
            Condvar::init(addr_of_mut!((*memory).cond), true).unwrap();
            RwLock::init(addr_of_mut!((*memory).rwlock), true).unwrap();
            Barrier::init(addr_of_mut!((*memory).barrier), 2, true).unwrap();
            Semaphore::init(addr_of_mut!((*memory).sem), 0, true).unwrap();
        }
        Self::at(memory)
    }

    /// The numbers, under the lock that guards them.
    fn numbers(
        &self,
        change: impl FnOnce(&mut libc::c_long, &mut libc::c_long, &mut libc::c_long),
    ) {
        let _guard = self.robust.lock().unwrap().or_repair(|| ()).unwrap();
        self.held_numbers(change);
    }

    fn held_numbers(
        &self,
        change: impl FnOnce(&mut libc::c_long, &mut libc::c_long, &mut libc::c_long),
    ) {
        // SAFETY: the caller has locked the mutex that guards them, here and in the C program.
        unsafe {
            change(
                &mut *addr_of_mut!((*self.memory).a),
                &mut *addr_of_mut!((*self.memory).b),
                &mut *addr_of_mut!((*self.memory).flag),
            );
        }
    }
}

fn map(file: impl std::os::fd::AsFd) -> *mut Shared {
    // SAFETY: a new mapping at an address the kernel chooses.
    unsafe {
        rustix::mm::mmap(
            std::ptr::null_mut(),
            size_of::<Shared>(),
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
            file,
            0,
        )
    }
    .unwrap()
    .cast()
}

/// The C program; killed when dropped.
struct Peer {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(directory: &process::Directory, role: &str, path: &str) -> Self {
        let program = directory.file("peer");
        if !program.exists() {
            let source = include_str!("pthread/peer.c");
            process::compiled(directory, "peer", source, &["-pthread"]);
        }
        let mut process = std::process::Command::new(program)
            .args([role, path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut peer = Peer {
            commands: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
        };
        let layout = format!(
            "{} {}",
            size_of::<Shared>(),
            std::mem::offset_of!(Shared, sem)
        );
        assert_eq!(
            peer.answer(),
            layout,
            "the two languages disagree about the layout"
        );
        peer
    }

    fn begin(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn does(&mut self, command: &str) {
        self.begin(command);
        assert_eq!(self.answer(), "ok", "{command}");
    }

    fn fails(&mut self, command: &str, errno: i32) {
        self.begin(command);
        assert_eq!(self.answer(), format!("errno {errno}"), "{command}");
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits until it sleeps in a futex.
    fn sleeps(&self) {
        let path = format!("/proc/{}/syscall", self.process.id());
        process::eventually("the C program sleeps", || {
            std::fs::read_to_string(&path).is_ok_and(|text| process::is_in(&text, libc::SYS_futex))
        });
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A file of `/dev/shm`, as `shm_open(3)` makes them, removed when dropped.
struct Name(std::path::PathBuf);

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Runs `test` twice: the C program lays out POSIX shared memory; Rust lays out a memfd.
fn both_ways(test: impl Fn(&Objects, &mut dyn FnMut() -> Peer)) {
    let directory = process::Directory::new();

    let name = Name(std::path::Path::new("/dev/shm").join(process::unique("pthread")));
    let path = name.0.to_str().unwrap();
    let mut first = Some(Peer::start(&directory, "init", path));
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut next = || {
        first
            .take()
            .unwrap_or_else(|| Peer::start(&directory, "join", path))
    };
    test(&Objects::at(map(&file)), &mut next);

    let memfd = rustix::fs::memfd_create("pthread", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&memfd, size_of::<Shared>() as u64).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), memfd.as_raw_fd());
    let mut next = || Peer::start(&directory, "join", &path);
    test(&Objects::init(map(&memfd)), &mut next);
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(30);

#[test]
fn each_mutex_excludes_the_c_program_and_us_from_each_other() {
    both_ways(|objects, peer| {
        let mut peer = peer();
        let all = [
            ("robust", objects.robust),
            ("inherit", objects.inherit),
            ("normal", objects.normal),
        ];
        for (name, mutex) in all {
            peer.does(&format!("lock {name}"));
            assert!(mutex.try_lock().unwrap().is_none(), "{name}");
            let before = Instant::now();
            let error = mutex.lock_timeout(SHORT).err().unwrap();
            assert_eq!(error.kind(), Kind::TimedOut, "{name}");
            assert!(before.elapsed() >= SHORT, "{name}");
            peer.does(&format!("unlock {name}"));

            let guard = mutex.try_lock().unwrap().unwrap();
            peer.fails(&format!("try {name}"), libc::EBUSY);
            peer.begin(&format!("lock {name}"));
            peer.sleeps();
            drop(guard);
            assert_eq!(peer.answer(), "ok", "{name}");
            peer.does(&format!("unlock {name}"));
        }
    });
}

#[test]
fn forty_thousand_increments_from_two_languages_are_all_there() {
    both_ways(|objects, peer| {
        let mut peer = peer();
        for (name, mutex) in [("robust", objects.robust), ("inherit", objects.inherit)] {
            objects.held_numbers(|a, b, _| (*a, *b) = (0, 0));
            peer.begin(&format!("count {name}"));
            for _ in 0..20_000 {
                let _guard = mutex.lock().unwrap().or_repair(|| ()).unwrap();
                objects.held_numbers(|a, b, _| {
                    assert_eq!(a, b);
                    *a += 1;
                    *b += 1;
                });
            }
            assert_eq!(peer.answer(), "ok");
            objects.held_numbers(|a, b, _| assert_eq!((*a, *b), (40_000, 40_000)));
        }
    });
}

#[test]
fn the_next_owner_learns_that_the_c_program_was_killed_with_the_lock() {
    both_ways(|objects, peer| {
        for (name, mutex) in [("robust", objects.robust), ("inherit", objects.inherit)] {
            let mut owner = peer();
            owner.does(&format!("lock {name}"));
            owner.kill();
            match mutex.lock_timeout(LONG).unwrap() {
                Lock::Clean(_) => panic!("{name}: nobody said that the owner was killed"),
                Lock::Orphaned(orphan) => drop(orphan.repaired().unwrap()),
            }
            assert!(!mutex.lock_timeout(LONG).unwrap().is_orphaned(), "{name}");
        }
    });
}

#[test]
fn a_waiter_learns_that_the_c_program_was_killed_with_the_lock() {
    both_ways(|objects, peer| {
        let mut owner = peer();
        owner.does("lock robust");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| objects_lock(objects.robust));
            std::thread::sleep(SHORT);
            owner.kill();
            assert!(waiter.join().unwrap(), "it should be orphaned");
        });
    });
}

fn objects_lock(mutex: &Mutex) -> bool {
    let lock = mutex.lock_timeout(LONG).unwrap();
    let orphaned = lock.is_orphaned();
    drop(lock.or_repair(|| ()).unwrap());
    orphaned
}

#[test]
fn the_c_program_learns_that_we_were_killed_with_the_lock() {
    if process::part().is_some() {
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .open(process::argument("PATH"))
            .unwrap();
        let objects = Objects::at(map(&file));
        let _guard = objects.robust.lock().unwrap();
        process::say("locked");
        process::hear();
        return;
    }
    let directory = process::Directory::new();
    let name = Name(std::path::Path::new("/dev/shm").join(process::unique("pthread")));
    let path = name.0.to_str().unwrap();
    let mut peer = Peer::start(&directory, "init", path);
    let mut owner = process::play(
        "the_c_program_learns_that_we_were_killed_with_the_lock",
        "owner",
        &[("PATH", path)],
    )
    .start();
    owner.says("locked");
    peer.begin("lock robust");
    peer.sleeps();
    owner.kill();
    assert_eq!(peer.answer(), format!("errno {}", libc::EOWNERDEAD));
    peer.does("consistent robust");
    peer.does("unlock robust");
}

#[test]
fn a_lock_that_was_not_repaired_is_an_error_for_everybody() {
    both_ways(|objects, peer| {
        let mut owner = peer();
        owner.does("lock robust");
        owner.kill();
        drop(objects.robust.lock_timeout(LONG).unwrap());
        let error = objects.robust.lock_timeout(LONG).err().unwrap();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(
            error.to_string().starts_with("cannot lock pthread mutex: "),
            "{error}"
        );
        peer().fails("lock robust", libc::ENOTRECOVERABLE);
    });
}

#[test]
fn locking_twice_is_an_error_and_not_a_hang() {
    let mut memory = std::mem::MaybeUninit::uninit();
    // SAFETY: memory of our own that outlives the mutex.
    let mutex = unsafe { Mutex::init(memory.as_mut_ptr(), Options::default()).unwrap() };
    let _guard = mutex.lock().unwrap();
    assert_eq!(mutex.lock().err().unwrap().kind(), Kind::Deadlock);
    assert!(mutex.try_lock().unwrap().is_none());
    let mut memory = std::mem::MaybeUninit::uninit();
    let options = Options {
        kind: pthread::Kind::Recursive,
        ..Options::default()
    };
    // SAFETY: memory of our own that outlives the mutex.
    let mutex = unsafe { Mutex::init(memory.as_mut_ptr(), options).unwrap() };
    let outer = mutex.lock().unwrap();
    let inner = mutex.lock().unwrap();
    drop(inner);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| mutex.try_lock().unwrap().is_none());
        assert!(other.join().unwrap(), "the outer lock still holds");
    });
    drop(outer);
}

#[test]
fn a_condition_wakes_the_c_program_and_us() {
    both_ways(|objects, peer| {
        let mut peer = peer();
        objects.numbers(|_, _, flag| *flag = 0);
        for _ in 0..20 {
            peer.begin("wait");
            peer.sleeps();
            objects.numbers(|_, _, flag| *flag = 1);
            objects.cond.signal();
            assert_eq!(peer.answer(), "ok");
        }
        for _ in 0..20 {
            let mut guard = objects.robust.lock().unwrap().or_repair(|| ()).unwrap();
            peer.begin("signal");
            let mut came = false;
            while !came {
                let (lock, timed_out) = objects.cond.wait_timeout(guard, LONG).unwrap();
                assert!(!timed_out);
                guard = lock.or_repair(|| panic!("nobody died")).unwrap();
                objects.held_numbers(|_, _, flag| came = std::mem::take(flag) == 1);
            }
            drop(guard);
            assert_eq!(peer.answer(), "ok");
        }
        let guard = objects.robust.lock().unwrap().or_repair(|| ()).unwrap();
        let (lock, timed_out) = objects.cond.wait_timeout(guard, SHORT).unwrap();
        assert!(timed_out && !lock.is_orphaned());
        drop(lock);
        peer.does("lock robust");
        peer.does("unlock robust");
    });
}

#[test]
fn a_waiter_on_a_condition_learns_that_the_next_owner_was_killed() {
    both_ways(|objects, peer| {
        let mut owner = peer();
        let guard = objects.robust.lock().unwrap().or_repair(|| ()).unwrap();
        owner.begin("lock robust");
        owner.sleeps();
        std::thread::scope(|scope| {
            // Has the lock while the time-out passes, then dies with it.
            scope.spawn(|| {
                assert_eq!(owner.answer(), "ok");
                std::thread::sleep(2 * SHORT);
                owner.kill();
            });
            let (lock, _) = objects.cond.wait_timeout(guard, SHORT).unwrap();
            assert!(lock.is_orphaned());
            drop(lock.or_repair(|| ()).unwrap());
        });
    });
}

#[test]
fn readers_of_both_languages_read_together_and_a_writer_is_alone() {
    both_ways(|objects, peer| {
        let mut peer = peer();
        let lock = objects.rwlock;
        peer.does("read");
        let guard = lock.try_read().unwrap().unwrap();
        assert!(lock.try_write().unwrap().is_none());
        peer.does("rwunlock");
        peer.fails("trywrite", libc::EBUSY);
        drop(guard);
        peer.does("write");
        assert!(lock.try_read().unwrap().is_none());
        assert_eq!(
            lock.read_timeout(SHORT).err().unwrap().kind(),
            Kind::TimedOut
        );
        assert_eq!(
            lock.write_timeout(SHORT).err().unwrap().kind(),
            Kind::TimedOut
        );
        peer.does("rwunlock");
        let guard = lock.write().unwrap();
        assert_eq!(lock.read().err().unwrap().kind(), Kind::Deadlock);
        peer.begin("write");
        peer.sleeps();
        drop(guard);
        assert_eq!(peer.answer(), "ok");
        // What POSIX promises of a killed holder: nothing. The time-out is the only way on.
        peer.kill();
        assert_eq!(
            lock.write_timeout(SHORT).err().unwrap().kind(),
            Kind::TimedOut
        );
    });
}

#[test]
fn a_barrier_lets_both_languages_go_on_together() {
    both_ways(|objects, peer| {
        let mut peer = peer();
        for _ in 0..50 {
            peer.begin("barrier");
            objects.barrier.wait();
            assert_eq!(peer.answer(), "ok");
        }
    });
    let mut memory = std::mem::MaybeUninit::uninit();
    // SAFETY: memory of our own.
    let none = unsafe { Barrier::init(memory.as_mut_ptr(), 0, true) };
    assert_eq!(none.err().unwrap().kind(), Kind::BadInput);
}

#[test]
fn permits_go_both_ways() {
    both_ways(|objects, peer| {
        let mut peer = peer();
        let semaphore = objects.sem;
        for _ in 0..100 {
            peer.does("post");
        }
        assert_eq!(semaphore.value(), 100);
        for _ in 0..100 {
            semaphore.acquire_timeout(LONG).unwrap();
        }
        assert!(!semaphore.try_acquire().unwrap());
        assert_eq!(
            semaphore.acquire_timeout(SHORT).err().unwrap().kind(),
            Kind::TimedOut
        );
        peer.begin("take");
        peer.sleeps();
        semaphore.release().unwrap();
        assert_eq!(peer.answer(), "ok");
        assert_eq!(semaphore.value(), 0);
    });
}

#[test]
fn too_many_permits_are_an_error() {
    let mut memory = std::mem::MaybeUninit::uninit();
    // SAFETY: memory of our own that outlives the semaphore.
    unsafe {
        assert_eq!(
            Semaphore::init(memory.as_mut_ptr(), u32::MAX, false)
                .err()
                .unwrap()
                .kind(),
            Kind::BadInput
        );
        let full = Semaphore::init(memory.as_mut_ptr(), i32::MAX as u32, false).unwrap();
        assert_eq!(full.release().err().unwrap().kind(), Kind::Limit);
        assert_eq!(full.value(), i32::MAX as u32);
    }
}
