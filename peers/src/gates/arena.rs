//! Arena: the one segment in which our gates and those of POSIX threads lie, each on cache lines of its own.

use std::io;
use std::sync::atomic::AtomicU64;

use wigwag::gate::{Condvar, Mutex, RwLock, Semaphore};
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;

use super::contest::Whistle;

wigwag::shared! {
    /// Our gates, and what the two processes tell each other.
    pub struct Ours {
        theirs: [AtomicU64; THEIRS],
        pub mutex: Mutex<Ledger>,
        pub inheriting: Mutex<Ledger>,
        pub ping: Semaphore,
        pub pong: Semaphore,
        pub turn: Mutex<u64>,
        pub pinged: Condvar,
        pub ponged: Condvar,
        pub rwlock: RwLock<u64>,
        pub whistle: Whistle,
    }
}

/// What a mutex guards: who had it last, and how often it went from one to the other.
pub type Ledger = [u64; 2];

/// Notes that `who` has the mutex now.
#[inline(always)]
pub fn sign(ledger: &mut Ledger, who: u64) {
    if ledger[0] != who {
        *ledger = [who, ledger[1] + 1];
    }
}

/// Begins on a cache line of its own, as our mutexes and locks do.
#[repr(C, align(64))]
pub struct Line<T>(pub T);

/// The gates of POSIX threads, each with what it guards; they lie in the words at the beginning of [`Ours`].
#[repr(C)]
pub struct Theirs {
    pub mutex: Line<(libc::pthread_mutex_t, Ledger)>,
    pub inheriting: Line<(libc::pthread_mutex_t, Ledger)>,
    pub ping: Line<libc::sem_t>,
    pub pong: Line<libc::sem_t>,
    pub lock: Line<(libc::pthread_mutex_t, u64)>,
    pub pinged: Line<libc::pthread_cond_t>,
    pub ponged: Line<libc::pthread_cond_t>,
    pub rwlock: Line<(libc::pthread_rwlock_t, u64)>,
}

const THEIRS: usize = size_of::<Theirs>().div_ceil(8);

/// Where the gates are.
pub struct Arena {
    pub ours: Segment<Ours>,
    pub theirs: *mut Theirs,
    /// What threads of one process use.
    pub std: Line<std::sync::Mutex<Ledger>>,
}

impl Arena {
    fn of(ours: Segment<Ours>) -> Self {
        let theirs = ours.theirs.as_ptr().cast_mut().cast();
        let std = Line(std::sync::Mutex::new([0; 2]));
        Arena { ours, theirs, std }
    }

    /// The one that another process created.
    pub fn open(name: &str) -> wigwag::Result<Self> {
        Ok(Self::of(Segment::open(name)?))
    }

    /// A new one, removed when it is dropped.
    pub fn create(name: &str) -> wigwag::Result<Self> {
        let value = Ours {
            mutex: Mutex::new([0; 2]),
            inheriting: Mutex::inheriting([0; 2]),
            ping: Semaphore::new(0),
            pong: Semaphore::new(0),
            turn: Mutex::new(0),
            pinged: Condvar::new(),
            ponged: Condvar::new(),
            rwlock: RwLock::new(0),
            whistle: Whistle::new(),
            theirs: [const { AtomicU64::new(0) }; THEIRS],
        };
        let arena = Self::of(Options::new().temporary(true).create(name, value)?);
        arena.init_theirs();
        Ok(arena)
    }

    /// Makes theirs as new. A partner that is killed while it waits breaks `pthread_cond_t` for who comes next.
    pub fn init_theirs(&self) {
        // SAFETY: the objects lie in words of the segment that nothing else uses, aligned for them, and nobody
        // uses them yet or any more. The attributes are initialised before they are used.
        unsafe {
            let mut mutex = std::mem::zeroed();
            libc::pthread_mutexattr_init(&raw mut mutex);
            libc::pthread_mutexattr_setpshared(&raw mut mutex, libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_mutexattr_setrobust(&raw mut mutex, libc::PTHREAD_MUTEX_ROBUST);
            libc::pthread_mutex_init(&raw mut (*self.theirs).mutex.0.0, &raw const mutex);
            libc::pthread_mutex_init(&raw mut (*self.theirs).lock.0.0, &raw const mutex);
            libc::pthread_mutexattr_setprotocol(&raw mut mutex, libc::PTHREAD_PRIO_INHERIT);
            libc::pthread_mutex_init(&raw mut (*self.theirs).inheriting.0.0, &raw const mutex);
            let mut cond = std::mem::zeroed();
            libc::pthread_condattr_init(&raw mut cond);
            libc::pthread_condattr_setpshared(&raw mut cond, libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_cond_init(&raw mut (*self.theirs).pinged.0, &raw const cond);
            libc::pthread_cond_init(&raw mut (*self.theirs).ponged.0, &raw const cond);
            let mut rwlock = std::mem::zeroed();
            libc::pthread_rwlockattr_init(&raw mut rwlock);
            libc::pthread_rwlockattr_setpshared(&raw mut rwlock, libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_rwlock_init(&raw mut (*self.theirs).rwlock.0.0, &raw const rwlock);
            libc::sem_init(&raw mut (*self.theirs).ping.0, 1, 0);
            libc::sem_init(&raw mut (*self.theirs).pong.0, 1, 0);
        }
    }
}

/// An error number as a result.
pub fn checked(errno: i32) -> io::Result<()> {
    match errno {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}
