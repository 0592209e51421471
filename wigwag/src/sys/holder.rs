//! Holder: the thread or process that holds something, as one 64-bit word that names no later one.
//!
//! A gate that writes its holder with the same store that takes it leaves no instant in which it is taken
//! by nobody. Bits 0–21 are the thread id (the kernel's greatest is 2²²), bits 22–61 its start in
//! clock ticks since boot, bits 62 and 63 are for marks of the gate. 0 is nobody.
//!
//! A peer can write any number; then the holder is whoever that names, or nobody alive.

#[cfg(not(loom))]
use std::cell::Cell;

#[cfg(not(loom))]
use crate::sys::process::{self, Identity};

const TID: u64 = (1 << 22) - 1;
#[cfg(not(loom))]
const START: u64 = (1 << 40) - 1;
/// What a gate may add to the word.
pub(crate) const MARKS: u64 = 3 << 62;

/// A thread, or a process by the id it shares with its first thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder(u64);

#[cfg(not(loom))]
fn packed(identity: Identity) -> Holder {
    Holder(u64::from(identity.pid) & TID | (identity.start & START) << 22)
}

impl Holder {
    /// The calling thread: for what the thread that took it must give back.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn thread() -> Holder {
        thread_local! {
            static OWN: Cell<u64> = const { Cell::new(0) };
        }
        let tid = crate::sys::robust::current().tid();
        let own = OWN.get();
        if own & TID == u64::from(tid) {
            return Holder(own);
        }
        let start = process::start_time(tid).unwrap_or(0);
        let holder = packed(Identity { pid: tid, start });
        OWN.set(holder.0);
        holder
    }

    /// This process: for what any of its threads may give back.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn process() -> Holder {
        packed(Identity::own())
    }

    /// What a word says, without its marks; `None` when it says nobody.
    pub(crate) fn in_word(word: u64) -> Option<Holder> {
        (word & !MARKS != 0).then_some(Holder(word & !MARKS))
    }

    /// The word, without marks.
    #[inline]
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    /// Its thread or process id.
    pub(crate) fn id(self) -> u32 {
        (self.0 & TID) as u32
    }

    #[cfg(not(loom))]
    fn identity(self) -> Identity {
        Identity {
            pid: self.id(),
            start: self.0 >> 22 & START,
        }
    }

    /// Whether it is the calling thread; in the child of a `fork` it is not.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        #[cfg(not(loom))]
        return crate::sys::robust::current().tid() == self.id();
        #[cfg(loom)]
        return Self::thread() == self;
    }

    /// Whether that thread still runs. Unknown is yes.
    #[cfg(not(loom))]
    pub(crate) fn thread_is_alive(self) -> bool {
        self.identity().is_alive()
    }

    /// Whether any thread of that process still runs. Unknown is yes.
    #[cfg(not(loom))]
    pub(crate) fn process_is_alive(self) -> bool {
        if self.thread_is_alive() {
            return true;
        }
        // The first thread may end before the others; it stays as a corpse among them.
        let Identity { pid, start } = self.identity();
        process::start_time(pid) == Some(start)
            && std::fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|tasks| tasks.count() > 1)
    }
}

#[cfg(loom)]
impl Holder {
    pub(crate) fn thread() -> Holder {
        // "ThreadId(1)"
        let name = format!("{:?}", loom::thread::current().id());
        let digits: String = name.chars().filter(char::is_ascii_digit).collect();
        Holder(digits.parse::<u64>().unwrap_or(0) + 1)
    }

    pub(crate) fn process() -> Holder {
        Self::thread()
    }

    pub(crate) fn thread_is_alive(self) -> bool {
        !DEAD.lock().expect("a model").contains(&self.0)
    }

    pub(crate) fn process_is_alive(self) -> bool {
        self.thread_is_alive()
    }
}

#[cfg(loom)]
loom::lazy_static! {
    static ref DEAD: loom::sync::Mutex<Vec<u64>> = loom::sync::Mutex::new(Vec::new());
}

/// For models: the calling thread is killed, and does nothing more. Who naps looks around once for it.
#[cfg(loom)]
pub(crate) fn die() {
    DEAD.lock().expect("a model").push(Holder::thread().0);
    crate::sys::futex::end_naps();
}

/// How many were killed in this model.
#[cfg(loom)]
pub(crate) fn deaths() -> usize {
    DEAD.lock().expect("a model").len()
}

/// Whether a thread with this id runs, whoever it is. Unknown is yes.
pub(crate) fn is_alive(id: u32) -> bool {
    #[cfg(not(loom))]
    return process::is_alive(id);
    #[cfg(loom)]
    return Holder(u64::from(id)).thread_is_alive();
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_alive_until_it_has_ended() {
        let own = Holder::thread();
        assert_eq!(Holder::in_word(own.word() | MARKS), Some(own));
        assert!(own.thread_is_alive());
        let other = std::thread::spawn(Holder::thread).join().expect("a thread");
        assert_ne!(own, other);
        let patience = std::time::Instant::now();
        while other.thread_is_alive() {
            assert!(patience.elapsed() < std::time::Duration::from_secs(30));
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_process_is_one_whichever_thread_asks() {
        let own = Holder::process();
        assert_eq!(own.id(), std::process::id());
        let other = std::thread::spawn(Holder::process)
            .join()
            .expect("a thread");
        assert_eq!(own, other);
        assert!(own.process_is_alive());
    }

    #[test]
    fn numbers_that_name_nobody_are_nobody_alive() {
        assert_eq!(Holder::in_word(0), None);
        assert_eq!(Holder::in_word(MARKS), None);
        for word in [u64::MAX, 1 << 22, TID, 0x0123_4567_89ab_cdef] {
            assert!(
                !Holder::in_word(word).expect("not 0").thread_is_alive(),
                "{word:x}"
            );
        }
    }
}
