//! Robust list: what makes the kernel free the locks of a thread that was killed, at whatever instruction.
//!
//! Each thread may register one list of the locks it holds; at its death the kernel walks it and puts
//! `FUTEX_OWNER_DIED` into each word that holds the thread's id. libc has registered that list already, for
//! its own robust mutexes, and a second registration would silently replace it. So locks of ours **join libc's
//! list**: their node lies where libc's offset expects it, and they are linked as libc links its own.
//!
//! Order of steps (any other loses a lock to a kill): set *pending*; take the word; link. Set *pending*; unlink; free
//! the word; clear *pending*. While a lock is held *pending* may go on naming it: the kernel frees a lock that is both
//! linked and pending once. After its end nothing may be pending, since its memory may then become something else.
//!
//! Every store before a compare-and-swap or swap is a store it waits for, so none is made that says nothing new:
//! `prev` of the first node is never read, and left as it is; who links in front of it writes it.
//!
//! 32-bit programs have no list that our locks could join; there owners are watched ([`Death::Watched`](crate::shared::Death)).
//!
//! The list serves memory whose peers are trusted only: its nodes are pointers of this process that lie in
//! memory which a peer can write.
//!
//! `get_robust_list(2)`, `Documentation/locking/robust-futex-ABI.rst` of the kernel.

use std::cell::Cell;
use std::sync::atomic::{AtomicPtr, Ordering, compiler_fence};

/// From a lock's first byte to the `next` of its node.
pub(crate) const NEXT: usize = 32;
/// From a lock's first byte to its word: where libc's list expects it.
pub(crate) const WORD: usize = if cfg!(target_env = "musl") { 4 } else { 0 };
/// From a node's `next` to the lock's word, as registered by libc. Processes of which this differs cannot share locks.
pub(crate) const OFFSET: isize = WORD as isize - NEXT as isize;
/// How many locks of ours one thread may hold: half of what the kernel walks, since libc may have some too.
pub(crate) const MOST_HELD: u32 = 1024;
/// Beside the first, which is not counted.
const ROOM: u32 = MOST_HELD - 1;

/// A pointer in shared memory, for its owner only. It takes 8 bytes in a 32-bit program too, so that what follows lies at the same
/// place for all.
#[repr(C, align(8))]
pub(crate) struct Wide<T>(pub(crate) AtomicPtr<T>);

impl<T> Wide<T> {
    pub(crate) const fn null() -> Self {
        Wide(AtomicPtr::new(std::ptr::null_mut()))
    }
}

/// The node of a lock, in the lock.
#[repr(C)]
pub(crate) struct Link {
    prev: Wide<Next>,
    next: Wide<Untyped>,
}

/// The part the kernel follows; bit 0 of a pointer to it marks a priority-inheriting lock.
type Next = AtomicPtr<Untyped>;
#[repr(transparent)]
pub(crate) struct Untyped(());

impl Link {
    pub(crate) const fn new() -> Self {
        Link {
            prev: Wide::null(),
            next: Wide::null(),
        }
    }

    /// As the node of a lock whose word alone says all.
    #[inline(always)]
    pub(crate) fn plain(&self) -> Node<'_> {
        Node { link: self, tag: 0 }
    }

    /// As the node of a lock that the kernel hands over itself, since it lends priorities.
    #[inline(always)]
    pub(crate) fn inheriting(&self) -> Node<'_> {
        Node {
            link: self,
            tag: INHERITS,
        }
    }
}

/// The bit of an entry that tells the kernel of a priority-inheriting lock.
const INHERITS: usize = 1;

/// A link and which kind of lock it is of.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    link: &'a Link,
    tag: usize,
}

impl Node<'_> {
    #[inline(always)]
    fn entry(self) -> *mut Untyped {
        let next: *const Next = &raw const self.link.next.0;
        next.cast_mut()
            .cast::<Untyped>()
            .map_addr(|address| address | self.tag)
    }
}

/// `struct robust_list_head`.
#[repr(C)]
struct Head {
    list: Next,
    offset: isize,
    pending: Next,
}

struct Own {
    tid: Cell<u32>,
    head: Cell<*const Head>,
    /// How many more locks it may link, within one or two where libc's are among them; none without a list.
    room: Cell<u32>,
}

thread_local! {
    // Without a destructor and const, so that reading it is one instruction.
    static OWN: Own = const { Own { tid: Cell::new(0), head: Cell::new(std::ptr::null()), room: Cell::new(0) } };
}

/// The calling thread. Neither `Send` nor `Sync`: it holds the thread's own list.
#[derive(Clone, Copy)]
pub(crate) struct Current {
    tid: u32,
    head: *const Head,
}

/// The calling thread.
#[cfg(loom)]
pub(crate) fn current() -> Current {
    Current {
        tid: super::holder::Holder::thread().id(),
        head: std::ptr::null(),
    }
}

/// The calling thread as far as it is known already: an id of 0 before its first call of [`current`]. A thread that
/// holds a lock is known, except in the child of a `fork`, which holds none.
#[inline(always)]
pub(crate) fn known() -> Current {
    #[cfg(loom)]
    return current();
    #[cfg(not(loom))]
    OWN.with(|own| Current {
        tid: own.tid.get(),
        head: own.head.get(),
    })
}

/// The calling thread.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) fn current() -> Current {
    OWN.with(|own| {
        let tid = own.tid.get();
        if tid == 0 {
            return meet(own);
        }
        Current {
            tid,
            head: own.head.get(),
        }
    })
}

#[cold]
#[inline(never)]
#[cfg(not(loom))]
fn meet(own: &Own) -> Current {
    super::process::after_fork();
    own.tid.set(thread_id());
    own.head.set(head_of_libc());
    own.room
        .set(if own.head.get().is_null() { 0 } else { ROOM });
    Current {
        tid: own.tid.get(),
        head: own.head.get(),
    }
}

/// In the child of a `fork`: it is another thread and holds nothing.
pub(super) fn forget() {
    OWN.with(|own| {
        let head = own.head.get();
        if !head.is_null() {
            // SAFETY: the thread is the copy of one that libc made, with its head at the same place. What was held
            // there is not held here, and may be unmapped.
            unsafe {
                (*head)
                    .pending
                    .store(std::ptr::null_mut(), Ordering::Relaxed)
            };
        }
        own.tid.set(0);
        own.head.set(std::ptr::null());
        own.room.set(0);
    });
}

#[cfg(not(loom))]
fn thread_id() -> u32 {
    rustix::thread::gettid()
        .as_raw_nonzero()
        .get()
        .cast_unsigned()
}

#[cfg(not(loom))]
/// The list libc registered for this thread, if its offset is the one our locks are made for.
fn head_of_libc() -> *const Head {
    // That of a 32-bit program has another offset, and glibc keeps no `prev` there.
    if usize::BITS != 64 {
        return std::ptr::null();
    }
    #[cfg(target_env = "musl")]
    register_with_musl();
    let mut head: *const Head = std::ptr::null();
    let mut size = 0_usize;
    // SAFETY: both pointers are valid for writing; 0 means the calling thread.
    let failed =
        unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut size) };
    if failed != 0 || head.is_null() || size != size_of::<Head>() {
        return std::ptr::null();
    }
    // SAFETY: libc registered this head for this thread and keeps it as long as the thread lives.
    match unsafe { (*head).offset } {
        OFFSET => head,
        _ => std::ptr::null(),
    }
}

/// musl registers its list at a thread's first lock of a mutex that is shared by processes; this is one.
#[cfg(target_env = "musl")]
fn register_with_musl() {
    // SAFETY: a mutex on the stack is initialised, locked, unlocked and destroyed by the one thread that knows it.
    unsafe {
        let mut attributes: libc::pthread_mutexattr_t = std::mem::zeroed();
        let mut mutex: libc::pthread_mutex_t = std::mem::zeroed();
        libc::pthread_mutexattr_init(&raw mut attributes);
        libc::pthread_mutexattr_setrobust(&raw mut attributes, libc::PTHREAD_MUTEX_ROBUST);
        libc::pthread_mutexattr_setpshared(&raw mut attributes, libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_mutex_init(&raw mut mutex, &raw const attributes);
        if libc::pthread_mutex_lock(&raw mut mutex) == 0 {
            libc::pthread_mutex_unlock(&raw mut mutex);
        }
        libc::pthread_mutex_destroy(&raw mut mutex);
        libc::pthread_mutexattr_destroy(&raw mut attributes);
    }
}

impl Current {
    /// Its thread id.
    #[inline(always)]
    pub(crate) fn tid(self) -> u32 {
        self.tid
    }

    /// Whether the kernel walks a list for this thread that our locks can join. A thread that libc did not
    /// make (a raw `clone`, some language runtimes) has none.
    #[inline(always)]
    pub(crate) fn has_list(self) -> bool {
        !self.head.is_null()
    }

    /// Whether it has a list and may take one more lock into it.
    #[inline(always)]
    pub(crate) fn has_room(self) -> bool {
        OWN.with(|own| own.room.get() != 0)
    }

    /// From here until the next `begin` or [`end`](Self::end) the kernel looks at this lock too, linked or not.
    ///
    /// # Safety
    /// The thread has a list. The link lies [`NEXT`] bytes into a lock, and stays mapped until `end`.
    #[inline(always)]
    pub(crate) unsafe fn begin(self, node: Node<'_>) {
        // SAFETY: the head is libc's for this thread, which is the calling one as `Current` does not leave it.
        unsafe { (*self.head).pending.store(node.entry(), Ordering::Relaxed) };
        compiler_fence(Ordering::SeqCst);
    }

    /// [`begin`](Self::begin), where mostly nothing else was begun since this lock was taken.
    ///
    /// # Safety
    /// As for `begin`.
    #[inline(always)]
    pub(crate) unsafe fn begin_again(self, node: Node<'_>) {
        // SAFETY: as for `begin`.
        unsafe {
            if (*self.head).pending.load(Ordering::Relaxed) != node.entry() {
                self.begin(node);
            }
        }
        compiler_fence(Ordering::SeqCst);
    }

    /// The operation is complete, and nothing is pending.
    ///
    /// # Safety
    /// The thread has a list.
    #[inline(always)]
    pub(crate) unsafe fn end(self) {
        compiler_fence(Ordering::SeqCst);
        // SAFETY: as for `begin`.
        unsafe {
            (*self.head)
                .pending
                .store(std::ptr::null_mut(), Ordering::Relaxed)
        };
    }

    /// Links a lock that was just taken, at the head.
    ///
    /// # Safety
    /// After `begin` of this lock; it is not linked, and stays mapped while it is.
    #[inline(always)]
    pub(crate) unsafe fn link(self, node: Node<'_>) {
        // SAFETY: the head as for `begin`. What the list links are nodes of locks that this thread holds, libc's
        // or ours, which stay mapped while they are held; libc's have `prev` in the word before `next` too.
        unsafe {
            let first = (*self.head).list.load(Ordering::Relaxed);
            node.link.next.0.store(first, Ordering::Relaxed);
            match self.prev_of(first) {
                Some(prev) => {
                    (*prev).store(untagged(node.entry()).cast(), Ordering::Relaxed);
                    OWN.with(|own| own.room.set(own.room.get() - 1));
                }
                // The only one: what was counted before is over. A store is saved where none is needed.
                None => OWN.with(|own| {
                    if own.room.get() != ROOM {
                        own.room.set(ROOM);
                    }
                }),
            }
            compiler_fence(Ordering::SeqCst);
            (*self.head).list.store(node.entry(), Ordering::Relaxed);
        }
    }

    /// Takes a lock that is about to be freed out of the list.
    ///
    /// # Safety
    /// Between `begin` and `end` of this lock, which this thread linked, through the same mapping.
    #[inline(always)]
    pub(crate) unsafe fn unlink(self, node: Node<'_>) {
        // SAFETY: as for `link`; the neighbours of a linked node are linked nodes or the head.
        unsafe {
            let next = node.link.next.0.load(Ordering::Relaxed);
            let next_knows = self.prev_of(next);
            if (*self.head).list.load(Ordering::Relaxed) == node.entry() {
                (*self.head).list.store(next, Ordering::Relaxed);
                if let Some(prev_of_next) = next_knows {
                    (*prev_of_next).store(self.head.cast_mut().cast(), Ordering::Relaxed);
                    OWN.with(|own| own.room.set(own.room.get() + 1));
                }
            } else {
                let prev = node.link.prev.0.load(Ordering::Relaxed);
                if let Some(prev_of_next) = next_knows {
                    (*prev_of_next).store(prev, Ordering::Relaxed);
                }
                OWN.with(|own| own.room.set(own.room.get() + 1));
                let prev: *const Next = untagged(prev.cast()).cast();
                (*prev).store(next, Ordering::Relaxed);
            }
        }
        compiler_fence(Ordering::SeqCst);
    }

    /// Where the node with this entry keeps its `prev`; the head has none that must be kept.
    ///
    /// # Safety
    /// `entry` was read from the list of this thread.
    #[inline(always)]
    unsafe fn prev_of(self, entry: *mut Untyped) -> Option<*const AtomicPtr<Next>> {
        let entry = untagged(entry);
        if entry.cast_const().cast() == self.head {
            return None;
        }
        // SAFETY: both libcs and we keep `prev` in the word before `next`.
        Some(unsafe { entry.cast::<AtomicPtr<Next>>().sub(1) })
    }
}

#[inline(always)]
fn untagged(entry: *mut Untyped) -> *mut Untyped {
    entry.map_addr(|address| address & !1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_thread_of_this_libc_has_a_list_that_fits() {
        let has = usize::BITS == 64;
        assert_eq!(current().has_list(), has);
        let (one, other) = (
            current().tid(),
            std::thread::spawn(|| (current().has_list(), current().tid())),
        );
        let (has_list, tid) = other.join().expect("a thread");
        assert_eq!(has_list, has);
        assert_ne!(tid, one);
    }
}
