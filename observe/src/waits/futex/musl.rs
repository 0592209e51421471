//! musl: recursive, error-checking, robust and priority-inheriting mutexes have their owner in the lock word, the normal one has not.

use super::{LOCK_PI, TID, WAIT, WAITERS, Word, glibc, narrow};
use crate::graph::{Clause, Waker};
use crate::waits::ask::Need;

/// `EBUSY` with the bit for waiters: a normal mutex that is locked.
const NORMAL_LOCKED: u32 = WAITERS | 16;

/// What of musl the word belongs to.
pub(super) fn need(word: &Word<'_>) -> Option<Need> {
    if word.command == LOCK_PI {
        let [lock] = word.ask.words::<1>(word.address)?;
        return Some(word.owned("mutex", word.address - 4, word.owner(lock & TID)));
    }
    if word.command != WAIT {
        return None;
    }
    mutex(word)
        .or_else(|| join(word))
        .or_else(|| semaphore(word))
        .or_else(|| stdio(word))
        .or_else(|| readers(word))
        .or_else(|| condition(word))
        // Who waits for nobody's lock sleeps on a word of its own for another reason.
        .or_else(|| glibc::parked(word).filter(|need| !need.clause.wakers.is_empty()))
}

fn mutex(word: &Word<'_>) -> Option<Need> {
    if word.expected & WAITERS == 0 {
        return None;
    }
    // Type and lock word; the thread sleeps on the second.
    let base = word.address.checked_sub(4)?;
    let [kind, lock, waiters] = word.ask.words::<3>(base)?;
    if kind & !0xff != 0
        || waiters == 0
        || waiters > 1 << 22
        || lock & WAITERS == 0 && lock & TID == 0
    {
        return None;
    }
    if word.expected == NORMAL_LOCKED && kind & 3 == 0 {
        let mut need = word.anybody(
            "mutex",
            "is locked; a normal mutex of musl does not record by whom",
            "may own it",
        );
        need.resource = word.resource(base);
        return Some(need);
    }
    if kind & 3 == 0 {
        return None;
    }
    Some(word.owned("mutex", base, word.owner(lock & TID)))
}

/// `struct pthread` of musl: a pointer to itself first, the thread id and the state that a joiner sleeps on further down.
fn join(word: &Word<'_>) -> Option<Need> {
    let (state, tid) = if narrow(word) { (32, 24) } else { (56, 48) };
    let base = word.address.checked_sub(state)?;
    if word.ask.pointer(base)? != base {
        return None;
    }
    let [tid] = word.ask.words::<1>(base + tid)?;
    let super::owner::Owner::Living(joined) = word.living_owner(tid)? else {
        return None;
    };
    let wakers = joined
        .iter()
        .map(|&tid| Waker::thread(tid).role("must end"));
    Some(Need::new(
        "join",
        format!("thread {tid}"),
        "waits for a thread to end",
        Clause::any(wakers),
    ))
}

/// The lock of a `FILE` is its owner's thread id, with a bit for waiters.
fn stdio(word: &Word<'_>) -> Option<Need> {
    let [lock] = word.ask.words::<1>(word.address)?;
    if !word.private || lock != word.expected || lock & !TID != MAYBE_WAITERS {
        return None;
    }
    let owner = word.living_owner(lock & TID)?;
    Some(word.owned("stdio", word.address, owner))
}

/// `MAYBE_WAITERS` of musl's stdio.
const MAYBE_WAITERS: u32 = 0x4000_0000;
/// More readers than there are.
const CROWD: u32 = 1 << 20;

/// A readers–writer lock that readers have: their number with the bit for waiters, how many wait, private flag. One that a writer
/// has cannot be told from a semaphore, nor readers from an owner with that number.
fn readers(word: &Word<'_>) -> Option<Need> {
    let [lock, waiters, private] = word.ask.words::<3>(word.address)?;
    let fits = lock == word.expected
        && lock & WAITERS != 0
        && (1..CROWD).contains(&(lock & !WAITERS))
        && waiters == word.crowd(&word.place)
        && matches!(private, 0 | 0x80)
        && word.living_owner(lock & TID).is_none();
    let count = lock & !WAITERS;
    let why = format!("is locked by {count} readers; musl does not record by whom");
    fits.then(|| word.anybody("rwlock", &why, "may own it"))
}

/// Who waits for a condition of its process sleeps on a word of its own stack that says 2.
fn condition(word: &Word<'_>) -> Option<Need> {
    let sp = word.ask.call.sp;
    let own = (sp..sp + 512).contains(&word.address) && word.expected == 2;
    own.then(|| {
        word.anybody("condvar", "waits for a signal", "may signal")
            .by_handler()
    })
}

/// Value (all ones: none, and somebody waits; newer versions set the top bit), number of waiters, private flag.
fn semaphore(word: &Word<'_>) -> Option<Need> {
    let [value, waiters, private] = word.ask.words::<3>(word.address)?;
    let fits = (value == u32::MAX || value == WAITERS)
        && word.expected == value
        && waiters == word.crowd(&word.place)
        && matches!(private, 0 | 0x80);
    if !fits {
        return None;
    }
    Some(
        word.anybody(
            "sem",
            "waits for a permit; the semaphore is 0 and records no owner",
            "may post",
        )
        .by_handler(),
    )
}
