//! Gates: entered and left, with nobody in the way.

use std::cell::UnsafeCell;

use wigwag::gate::posix;
use wigwag::memory::anonymous;

use super::{Case, MUST, bare, c_name, unique};
use crate::duel::{Effort, duel};
use crate::row::Row;

/// The comparisons.
pub const CASES: &[Case] = &[
    ("sem: acquire and release", named),
    ("sem-unnamed: acquire and release", unnamed),
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
