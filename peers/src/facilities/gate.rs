//! Gates: entered and left, with nobody in the way.

use std::cell::UnsafeCell;
use std::os::fd::{AsFd, AsRawFd};

use wigwag::gate::{event, file_lock, posix, sysv};
use wigwag::memory::{anonymous, memfd};

use super::{Case, MUST, bare, c_name, unique};
use crate::duel::{Effort, duel};
use crate::row::Row;

/// The comparisons.
pub const CASES: &[Case] = &[
    ("sem: acquire and release", named),
    ("sem-unnamed: acquire and release", unnamed),
    ("sysv-sem: acquire and release, undone", set),
    ("flock: lock and unlock", whole_file),
    ("lockf: lock and unlock", record),
    ("ofd: lock and unlock", ofd),
    ("eventfd: add and take", event),
];

fn named(effort: Effort, name: &str) -> wigwag::Result<Row> {
    let path = format!("/{}", unique("sem"));
    let ours = posix::Options::new().temporary(true).create(&path, 1)?;
    // SAFETY: the name ends with NUL; without O_CREAT there are no further arguments.
    let theirs = unsafe { libc::sem_open(c_name(&path).as_ptr(), 0) };
    if theirs == libc::SEM_FAILED {
        return Err(super::failed());
    }
    let row = duel(
        effort,
        name,
        "sem_wait(3), sem_post(3)",
        MUST,
        || ours.acquire().map(drop),
        || {
            // SAFETY: opened above and not yet closed.
            unsafe {
                bare(libc::sem_wait(theirs))?;
                bare(libc::sem_post(theirs))?;
            }
            Ok(())
        },
    );
    // SAFETY: opened above, and used by nobody any more.
    unsafe { libc::sem_close(theirs) };
    row
}

fn unnamed(effort: Effort, name: &str) -> wigwag::Result<Row> {
    let region = anonymous::Anonymous::create(4096)?;
    let ours = posix::Semaphore::init(&region, 0, 1)?;
    // SAFETY: a sem_t of zeroes is storage for sem_init, which makes it valid; it does not move.
    let theirs: Box<UnsafeCell<libc::sem_t>> =
        Box::new(UnsafeCell::new(unsafe { std::mem::zeroed() }));
    // SAFETY: as above.
    bare(unsafe { libc::sem_init(theirs.get(), 1, 1) })?;
    duel(
        effort,
        name,
        "sem_wait(3), sem_post(3)",
        MUST,
        || ours.acquire().map(drop),
        || {
            // SAFETY: initialised above, and it lives until the end.
            unsafe {
                bare(libc::sem_wait(theirs.get()))?;
                bare(libc::sem_post(theirs.get()))?;
            }
            Ok(())
        },
    )
}

fn set(effort: Effort, name: &str) -> wigwag::Result<Row> {
    let ours = sysv::Options::new()
        .temporary(true)
        .create(wigwag::Key::Private, &[1])?;
    let change = |by| libc::sembuf {
        sem_num: 0,
        sem_op: by,
        sem_flg: libc::SEM_UNDO as i16,
    };
    duel(
        effort,
        name,
        "semop(2)",
        MUST,
        || ours.acquire(0).map(drop),
        || {
            let (mut take, mut give) = (change(-1), change(1));
            // SAFETY: one live operation each.
            unsafe {
                bare(libc::semop(ours.id(), &raw mut take, 1))?;
                bare(libc::semop(ours.id(), &raw mut give, 1))?;
            }
            Ok(())
        },
    )
}

fn whole_file(effort: Effort, name: &str) -> wigwag::Result<Row> {
    let mut ours = lock(file_lock::Style::Flock)?;
    let theirs = lock(file_lock::Style::Flock)?;
    let fd = theirs.as_fd().as_raw_fd();
    duel(
        effort,
        name,
        "flock(2)",
        MUST,
        || ours.lock().map(drop),
        || {
            // SAFETY: the descriptor is open.
            unsafe {
                bare(libc::flock(fd, libc::LOCK_EX))?;
                bare(libc::flock(fd, libc::LOCK_UN))?;
            }
            Ok(())
        },
    )
}

fn record(effort: Effort, name: &str) -> wigwag::Result<Row> {
    ranged(effort, name, file_lock::Style::Record, libc::F_SETLKW)
}

fn ofd(effort: Effort, name: &str) -> wigwag::Result<Row> {
    ranged(effort, name, file_lock::Style::Ofd, libc::F_OFD_SETLKW)
}

fn ranged(
    effort: Effort,
    name: &str,
    style: file_lock::Style,
    command: libc::c_int,
) -> wigwag::Result<Row> {
    let mut ours = lock(style)?;
    let theirs = lock(style)?;
    let fd = theirs.as_fd().as_raw_fd();
    let set = |kind: libc::c_int| {
        // SAFETY: a struct flock of zeroes is valid; the descriptor is open, the structure live.
        unsafe {
            let mut lock: libc::flock = std::mem::zeroed();
            lock.l_type = kind as libc::c_short;
            bare(libc::fcntl(fd, command, &raw mut lock))
        }
    };
    duel(
        effort,
        name,
        "fcntl(2)",
        MUST,
        || ours.lock().map(drop),
        || {
            set(libc::F_WRLCK)?;
            set(libc::F_UNLCK).map(drop)
        },
    )
}

/// A lock on a file of its own, in memory.
fn lock(style: file_lock::Style) -> wigwag::Result<file_lock::FileLock> {
    let file = memfd::Memfd::create("peers", 4096)?.try_clone_fd()?;
    file_lock::Options::new().style(style).from_fd(file)
}

fn event(effort: Effort, name: &str) -> wigwag::Result<Row> {
    let ours = event::Event::anonymous()?;
    let theirs = event::Event::anonymous()?;
    let fd = theirs.as_fd().as_raw_fd();
    duel(
        effort,
        name,
        "write(2), read(2)",
        MUST,
        || {
            ours.add(1)?;
            ours.take().map(drop)
        },
        || {
            let mut count = 1_u64;
            // SAFETY: eight live bytes each.
            unsafe {
                bare(libc::write(fd, (&raw const count).cast(), 8))?;
                bare(libc::read(fd, (&raw mut count).cast(), 8))?;
            }
            Ok(())
        },
    )
}
