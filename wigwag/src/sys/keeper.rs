//! Keeper: a thread that does nothing but die with its process, so that the kernel tells the peers at once.
//!
//! Each end of a channel has a [`Life`] word in the shared memory, which holds the keeper's thread id as long as the
//! process lives. The words are on the robust list of the keeper: when the process is killed, at whatever
//! instruction of whatever thread, the kernel marks each with `FUTEX_OWNER_DIED` and wakes who sleeps on it. So a peer that
//! sleeps on the life word of another learns of a death without looking again and again. The same word is
//! the bell: who lives there rings it when there is something new ([`Life::ring`]). One word is enough because the
//! kernel takes the sleepers' mark away and wakes them in one call (`FUTEX_WAKE_OP`), so that no kill comes between.
//!
//! The keeper is a thread of its own because a robust list belongs to a thread, and the end of a channel may move
//! between threads. It takes no robust mutex of libc, ever; so its list may be ours instead of libc's.
//!
//! | word | meaning |
//! |---|---|
//! | 0 | nobody, or left in order |
//! | tid | lives |
//! | tid, bit 31 | lives, and somebody sleeps on the word |
//! | bit 30 set | was killed |
//!
//! The link of the list lies beside the word, where a hostile peer can write. The true list is private; the links are
//! only ever written, never followed, by us. The kernel follows them when the process is dead: a peer that scribbles on
//! them can at worst keep other peers from being told, as it can by writing their positions.
//!
//! `get_robust_list(2)`, `Documentation/locking/robust-futex-ABI.rst` of the kernel.

#[cfg(not(loom))]
use std::ptr;
#[cfg(not(loom))]
use std::sync::atomic::AtomicPtr;
#[cfg(not(loom))]
use std::sync::{Mutex, PoisonError};

use super::atomic::{AtomicU32, Ordering};
use super::futex;
use super::process;
use super::robust::Wide;

/// Set by the kernel when the owner died.
const DIED: u32 = 1 << 30;
/// Set by who sleeps on the word; without it the kernel wakes nobody.
const WAITERS: u32 = 1 << 31;
/// Fewer than the kernel walks (2048).
#[cfg(not(loom))]
const MOST: usize = 2000;

/// A word in shared memory that says whether the process at one end lives, and on which the others sleep.
#[repr(C, align(16))]
pub(crate) struct Life {
    /// Where the keeper's list goes on; bits of the owner's address space, meaningless to others. The kernel reads as many as a
    /// pointer of the owner has, since it is the owner's own list that leads there.
    next: Wide<Life>,
    word: AtomicU32,
    /// Whether its owner must look at the word after each change.
    pub(crate) careful: AtomicU32,
}

/// From a link to its word.
#[cfg(not(loom))]
const OFFSET: isize = std::mem::offset_of!(Life, word) as isize;
#[cfg(not(loom))]
const _: () = assert!(OFFSET == 8 && size_of::<Life>() == 16);

/// What a life word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody is there, or who was there has left.
    Nobody,
    /// Somebody lives there.
    Alive,
    /// Who was there was killed.
    Killed,
}

impl State {
    fn of(word: u32) -> Self {
        match word & !WAITERS {
            0 => State::Nobody,
            word if word & DIED != 0 => State::Killed,
            _ => State::Alive,
        }
    }
}

/// That somebody is going to sleep on a life word: what it must still be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(u32);

impl Life {
    /// One of nobody.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Life {
            next: Wide::null(),
            word: AtomicU32::new(0),
            careful: AtomicU32::new(0),
        }
    }

    /// The word, for a model of who uses it in another way.
    #[cfg(loom)]
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.word
    }

    /// What it says now.
    #[inline]
    pub(crate) fn state(&self) -> State {
        State::of(self.word.load(Ordering::Acquire))
    }

    /// The same for memory that somebody may have scribbled over: whether there is such a thread at all.
    pub(crate) fn state_in_doubt(&self) -> State {
        let word = self.word.load(Ordering::Acquire);
        match State::of(word) {
            State::Alive if !process::exists(word & !WAITERS) => State::Killed,
            state => state,
        }
    }

    /// Marks it, so that its owner and the kernel wake who sleeps on it; what it said before the mark.
    pub(crate) fn mark(&self) -> (State, Mark) {
        let before = self.word.fetch_or(WAITERS, Ordering::SeqCst);
        (State::of(before), Mark(before | WAITERS))
    }

    /// Whether somebody may sleep on it.
    #[inline]
    pub(crate) fn is_marked(&self) -> bool {
        self.word.load(Ordering::Relaxed) & WAITERS != 0
    }

    /// The word and what it is while nothing happens, for a sleep on several.
    pub(crate) fn watched(&self, mark: Mark) -> (&AtomicU32, u32) {
        (&self.word, mark.0)
    }

    /// Takes the mark away and wakes all who sleep, as one: a kill cannot come between.
    pub(crate) fn ring(&self) {
        futex::clear_and_wake(&self.word, WAITERS);
    }

    /// Wakes all who sleep: the kernel wakes only one when the owner dies, who passes it on.
    pub(crate) fn pass_on(&self) {
        futex::wake(&self.word, u32::MAX);
    }
}

/// That this process lives at one end; ends in order when dropped.
#[derive(Debug)]
pub(crate) struct Alive {
    life: *const Life,
    #[cfg(not(loom))]
    keeper: usize,
}

// SAFETY: the pointer is to atomics in shared memory and to private lists behind a lock.
unsafe impl Send for Alive {}
// SAFETY: as above.
unsafe impl Sync for Alive {}

#[cfg(loom)]
impl Alive {
    /// A thread of the model lives there.
    pub(crate) unsafe fn at(life: &Life) -> std::io::Result<Alive> {
        life.word.store(1, Ordering::Release);
        Ok(Alive { life })
    }
}

#[cfg(loom)]
impl Drop for Alive {
    fn drop(&mut self) {
        // SAFETY: `at` was promised that it stays until now.
        let life = unsafe { &*self.life };
        // Not a store: loom would let it change places with the mark of a sleeper.
        life.word.swap(0, Ordering::AcqRel);
        life.pass_on();
    }
}

#[cfg(not(loom))]
impl Alive {
    /// Writes this process into `life`, replacing whoever was there.
    ///
    /// # Safety
    /// `life` stays mapped until this is dropped, and is in the list of no other end of this process.
    pub(crate) unsafe fn at(life: &Life) -> std::io::Result<Alive> {
        let mut keepers = KEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
        forget_parent(&mut keepers);
        let keeper = match keepers
            .list
            .iter()
            .position(|keeper| keeper.ends.len() < MOST)
        {
            Some(keeper) => keeper,
            None => {
                keepers.list.push(Keeper::start()?);
                keepers.list.len() - 1
            }
        };
        keepers.list[keeper].add(life);
        drop(keepers);
        // Whoever still sleeps there since the last one died.
        life.pass_on();
        Ok(Alive { life, keeper })
    }
}

#[cfg(not(loom))]
impl Drop for Alive {
    fn drop(&mut self) {
        let mut keepers = KEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
        if keepers.process != std::process::id() {
            // In the child of a fork: the end is the parent's.
            return;
        }
        // SAFETY: `at` was promised that it stays mapped until now.
        let life = unsafe { &*self.life };
        if let Some(keeper) = keepers.list.get_mut(self.keeper) {
            keeper.remove(life);
        }
        drop(keepers);
        life.pass_on();
    }
}

#[cfg(not(loom))]
/// `struct robust_list_head` of the kernel.
#[repr(C)]
struct Head {
    first: AtomicPtr<Life>,
    offset: isize,
    pending: AtomicPtr<Life>,
}

#[cfg(not(loom))]
struct Keeper {
    tid: u32,
    /// Never freed: the kernel reads it when the process is dead.
    head: &'static Head,
    /// The true list, in its order.
    ends: Vec<*const Life>,
}

#[cfg(not(loom))]
// SAFETY: the pointers are to atomics, and only used under the lock.
unsafe impl Send for Keeper {}

#[cfg(not(loom))]
struct Keepers {
    process: u32,
    list: Vec<Keeper>,
}

#[cfg(not(loom))]
static KEEPERS: Mutex<Keepers> = Mutex::new(Keepers {
    process: 0,
    list: Vec::new(),
});

#[cfg(not(loom))]
/// A fork leaves the child without the parent's threads, so without keepers.
fn forget_parent(keepers: &mut Keepers) {
    if keepers.process != std::process::id() {
        keepers.process = std::process::id();
        keepers.list.clear();
    }
}

#[cfg(not(loom))]
impl Keeper {
    fn start() -> std::io::Result<Keeper> {
        let head: &'static Head = Box::leak(Box::new(Head {
            first: AtomicPtr::new(ptr::null_mut()),
            offset: OFFSET,
            pending: AtomicPtr::new(ptr::null_mut()),
        }));
        // An empty list points at itself.
        head.first
            .store(ptr::from_ref(head).cast_mut().cast(), Ordering::Relaxed);
        super::membarrier::register_if_quick();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .name("wigwag-keeper".into())
            .stack_size(64 << 10)
            .spawn(move || {
                // No signal is for this thread.
                // SAFETY: both sets are live; sigfillset initialises the one that is read.
                unsafe {
                    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
                    libc::sigfillset(all.as_mut_ptr());
                    libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), ptr::null_mut());
                }
                // SAFETY: `head` lives for ever and is a valid, empty list; this thread uses no robust mutex of libc, whose
                // list this replaces.
                let done = unsafe {
                    libc::syscall(
                        libc::SYS_set_robust_list,
                        ptr::from_ref(head),
                        size_of::<Head>(),
                    )
                };
                let tid = match done {
                    0 => Ok(rustix::thread::gettid()
                        .as_raw_nonzero()
                        .get()
                        .cast_unsigned()),
                    _ => Err(std::io::Error::last_os_error()),
                };
                let lives = tid.is_ok();
                let _ = tell.send(tid);
                if !lives {
                    return;
                }
                super::membarrier::register();
                loop {
                    std::thread::park();
                }
            })?;
        let tid = told
            .recv()
            .map_err(|_| std::io::Error::other("the keeper thread ended"))??;
        Ok(Keeper {
            tid,
            head,
            ends: Vec::new(),
        })
    }

    /// Pending, word, link: a kill between any two leaves a word the kernel still finds.
    fn add(&mut self, life: &Life) {
        let node = ptr::from_ref(life).cast_mut();
        self.head.pending.store(node, Ordering::Release);
        life.word.store(self.tid, Ordering::Release);
        life.next
            .0
            .store(self.head.first.load(Ordering::Relaxed), Ordering::Release);
        self.head.first.store(node, Ordering::Release);
        self.head.pending.store(ptr::null_mut(), Ordering::Release);
        self.ends.insert(0, node);
    }

    /// Pending, unlink, word.
    fn remove(&mut self, life: &Life) {
        let node = ptr::from_ref(life).cast_mut();
        self.head.pending.store(node, Ordering::Release);
        if let Some(at) = self.ends.iter().position(|end| ptr::eq(*end, node)) {
            self.ends.remove(at);
            let next = match self.ends.get(at) {
                Some(next) => next.cast_mut(),
                None => ptr::from_ref(self.head).cast_mut().cast(),
            };
            let before = match at.checked_sub(1).and_then(|before| self.ends.get(before)) {
                // SAFETY: an end in the list stays mapped until it is removed.
                Some(before) => unsafe { &(**before).next.0 },
                None => &self.head.first,
            };
            before.store(next, Ordering::Release);
        }
        life.word.store(0, Ordering::Release);
        self.head.pending.store(ptr::null_mut(), Ordering::Release);
    }
}
