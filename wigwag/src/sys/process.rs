//! Process: who somebody is, so that a reused process id is not taken for him.
//!
//! A bare pid names whoever has it now. An [`Identity`] is the pid with the time at which that process
//! started, valid within one pid namespace and one boot; both are asked for here too.
//!
//! `proc_pid_stat(5)`, `pid_namespaces(7)`, `random(4)`.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A process that no other can be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// Its id in our pid namespace.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot; 0 when `/proc` did not say.
    pub(crate) start: u64,
}

static PID: AtomicU32 = AtomicU32::new(0);
static START: AtomicU64 = AtomicU64::new(0);

impl Identity {
    /// This process.
    pub(crate) fn own() -> Identity {
        if PID.load(Ordering::Acquire) == 0 {
            after_fork();
            let pid = std::process::id();
            START.store(start_time(pid).unwrap_or(0), Ordering::Relaxed);
            PID.store(pid, Ordering::Release);
        }
        Identity {
            pid: PID.load(Ordering::Relaxed),
            start: START.load(Ordering::Relaxed),
        }
    }

    /// Whether it still runs. Unknown is yes: a living owner must never be taken for dead.
    pub(crate) fn is_alive(self) -> bool {
        if !exists(self.pid) {
            return false;
        }
        match stat(self.pid) {
            // Another process has its id now, or it is a corpse that its parent has not buried.
            Some((state, start)) => {
                !matches!(state, b'Z' | b'X') && (self.start == 0 || self.start == start)
            }
            // Hidden by the mount option hidepid, or gone just now.
            None => exists(self.pid),
        }
    }
}

/// Makes the child of a `fork` forget who its parent was. `_Fork(3)` and a raw `clone(2)` do not call
/// it: after those a child must not touch a gate before it calls `exec`.
pub(crate) fn after_fork() {
    extern "C" fn child() {
        PID.store(0, Ordering::Relaxed);
        super::robust::forget();
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler only stores to atomics and to const-initialised thread-locals, which is
        // allowed in the child of a threaded process. It can fail for want of memory only; then a forked
        // child would be taken for its parent, which the assertion does not let happen.
        let failed = unsafe { libc::pthread_atfork(None, None, Some(child)) };
        assert!(failed == 0, "no memory for a fork handler");
    });
}

/// Whether a process or thread has this id.
pub(crate) fn exists(pid: u32) -> bool {
    // 0 and negative numbers would mean groups of processes.
    let Some(pid) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    else {
        return false;
    };
    rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

/// Whether a process or thread with this id runs, whoever it is; a corpse that nobody has buried does not. Unknown is yes.
pub(crate) fn is_alive(pid: u32) -> bool {
    Identity { pid, start: 0 }.is_alive()
}

/// Whether `tid` is a thread of this process.
pub(crate) fn is_own_thread(tid: u32) -> bool {
    // SAFETY: signal 0 only asks whether the thread exists.
    let answer = unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), tid, 0) };
    tid != 0 && answer == 0
}

/// When a process started, in clock ticks since boot.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    stat(pid).map(|(_, start)| start)
}

/// State letter and start time.
fn stat(pid: u32) -> Option<(u8, u64)> {
    let line = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything, parentheses too.
    let after = line.iter().rposition(|byte| *byte == b')')? + 2;
    let mut fields = line.get(after..)?.split(|byte| *byte == b' ');
    let state = *fields.next()?.first()?;
    // Field 22 of the line; the state is field 3.
    let start = std::str::from_utf8(fields.nth(18)?)
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some((state, start))
}

/// Which pid namespace our ids are counted in.
pub(crate) fn pid_namespace() -> io::Result<u64> {
    Ok(std::fs::metadata("/proc/self/ns/pid")?.ino())
}

/// Which boot this is.
pub(crate) fn boot_id() -> io::Result<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let mut id = [0; 16];
    for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(pair, 16).unwrap_or(0);
    }
    Ok(id)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_an_older_namesake_is_not() {
        let own = Identity::own();
        assert!(own.is_alive());
        assert!(
            !Identity {
                start: own.start + 1,
                ..own
            }
            .is_alive()
        );
        assert!(!Identity { pid: 0, start: 0 }.is_alive());
        assert!(
            !Identity {
                pid: u32::MAX,
                start: 0
            }
            .is_alive()
        );
    }

    #[test]
    fn a_corpse_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().expect("true");
        let identity = Identity {
            pid: child.id(),
            start: start_time(child.id()).unwrap_or(0),
        };
        let patience = std::time::Instant::now();
        while identity.is_alive() {
            assert!(patience.elapsed() < std::time::Duration::from_secs(30));
            std::thread::yield_now();
        }
        child.wait().expect("bury it");
        assert!(!identity.is_alive());
    }

    #[test]
    fn a_thread_is_told_from_those_of_others() {
        let tid = rustix::thread::gettid()
            .as_raw_nonzero()
            .get()
            .cast_unsigned();
        assert!(is_own_thread(tid));
        assert!(!is_own_thread(1));
    }
}
