//! Gates: the gates in memory against those of POSIX threads, between two processes, alternating in one run.
//!
//! | file | what |
//! |---|---|
//! | [`mod@arena`] | the memory in which all of them lie |
//! | [`mod@partner`] | the second process |
//! | [`mod@contest`] | both at one gate at the same time |
//! | [`mod@exchange`] | one wakes the other, and back |
//! | the others | a gate each: what is done with ours and with theirs, and what must come of it |

mod arena;
mod condvar;
mod contest;
mod exchange;
mod mutex;
mod partner;
mod rwlock;
mod semaphore;

use std::io;

use self::arena::Arena;
pub use self::partner::partner;
use crate::cores::{Place, allowed};
use crate::duel::Effort;
use crate::row::Row;

/// What all rows are made with, and those that are made.
struct Bench<'a> {
    arena: &'a Arena,
    /// Of the arena's segment.
    name: &'a str,
    effort: Effort,
    wanted: &'a dyn Fn(&str) -> bool,
    rows: Vec<Row>,
}

impl Bench<'_> {
    /// Adds a row, if one of that name is wanted.
    fn add(&mut self, name: &str, make: impl FnOnce(&Self) -> io::Result<Row>) -> io::Result<()> {
        if (self.wanted)(name) {
            let row = make(self)?;
            self.rows.push(row);
        }
        Ok(())
    }
}

/// Every comparison whose name is wanted.
pub fn rows(effort: Effort, wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<Row>> {
    // Asked before any process is pinned.
    allowed();
    let name = format!("/peers-{}", std::process::id());
    let arena = Arena::create(&name)?;
    let mut bench = Bench {
        arena: &arena,
        name: &name,
        effort,
        wanted,
        rows: Vec::new(),
    };
    mutex::rows(&mut bench)?;
    rwlock::rows(&mut bench)?;
    for place in [Place::OneCore, Place::TwoCores] {
        semaphore::rows(&mut bench, place)?;
        condvar::rows(&mut bench, place)?;
    }
    Ok(bench.rows)
}
