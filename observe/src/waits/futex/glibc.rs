//! glibc: mutexes and stdio locks record their owner, rwlocks their writer; conditions, semaphores and barriers nobody.
//!
//! Layouts: `struct __pthread_mutex_s`, `__pthread_rwlock_arch_t`, `__pthread_cond_s` (until 2.40), `struct new_sem`,
//! `struct pthread_barrier`, for x86-64 and i386.

use super::owner::Owner;
use super::{
    LOCK_PI, LOCK_PI2, Place, TID, WAIT, WAIT_BITSET, WAIT_REQUEUE_PI, WAITERS, Word, narrow,
};
use crate::graph::{Clause, Waker};
use crate::waits::ask::Need;

/// Largest number the kernel gives a thread.
const PID_LIMIT: u32 = 1 << 22;
/// `PTHREAD_MUTEX_ROBUST_NORMAL_NP` in a mutex's kind.
const ROBUST: u32 = 16;

/// What of glibc the word belongs to.
pub(super) fn need(word: &Word<'_>) -> Option<Need> {
    match word.command {
        LOCK_PI | LOCK_PI2 => priority_inheriting(word),
        WAIT_REQUEUE_PI => Some(word.anybody("condvar", "waits for a signal", "may signal")),
        // First what is certain by a pointer that leads back to itself: half of that pointer, by chance a small number,
        // would pass for the owner of a mutex.
        WAIT => stdio(word)
            .or_else(|| mutex(word))
            .or_else(|| robust(word))
            .or_else(|| barrier(word)),
        WAIT_BITSET if word.realtime => join(word)
            .or_else(|| semaphore(word))
            .or_else(|| parked(word))
            .or_else(|| rwlock(word))
            .or_else(|| condition(word))
            .or_else(|| mutex(word))
            .or_else(|| robust(word)),
        _ => None,
    }
}

/// The mutex fields behind a lock word: count, owner, users, kind.
fn fields(word: &Word<'_>) -> Option<(u32, u32, u32, u32)> {
    let [_, count, owner, fourth, fifth, _] = word.ask.words::<6>(word.address)?;
    let (users, kind) = if narrow(word) {
        (fifth, fourth)
    } else {
        (fourth, fifth)
    };
    (kind & !0x3ff == 0).then_some((count, owner, users, kind))
}

fn mutex(word: &Word<'_>) -> Option<Need> {
    if word.expected != 2 {
        return None;
    }
    let (_, owner, users, kind) = fields(word)?;
    let [lock] = word.ask.words::<1>(word.address)?;
    if owner == 0
        || owner >= PID_LIMIT
        || users == 0
        || users > PID_LIMIT
        || kind & ROBUST != 0
        || lock > 2
    {
        return None;
    }
    Some(word.owned("mutex", word.address, word.owner(owner)))
}

fn robust(word: &Word<'_>) -> Option<Need> {
    if word.expected & WAITERS == 0 {
        return None;
    }
    let (_, _, _, kind) = fields(word)?;
    let [lock] = word.ask.words::<1>(word.address)?;
    if kind & ROBUST == 0 || lock & TID == 0 {
        return None;
    }
    match word.owner(lock & TID) {
        // The kernel hands a robust lock on when its owner dies: then our view is what is incomplete.
        Owner::Gone(_) => None,
        owner => Some(word.owned("mutex", word.address, owner)),
    }
}

fn priority_inheriting(word: &Word<'_>) -> Option<Need> {
    let [lock] = word.ask.words::<1>(word.address)?;
    let owner = word.owner(lock & TID);
    Some(match owner {
        Owner::Gone(_) => word.anybody(
            "mutex",
            "waits for a lock whose owner is not known",
            "may own it",
        ),
        owner => word.owned("mutex", word.address, owner),
    })
}

/// After `EDEADLK` from a priority-inheriting lock, a C library parks the thread for ever on a word of its own stack.
pub(super) fn parked(word: &Word<'_>) -> Option<Need> {
    let sp = word.ask.call.sp;
    let on_own_stack = (sp..sp + 256).contains(&word.address) && word.expected == 0;
    if !on_own_stack {
        return None;
    }
    // Which mutex it is only a register tells. The kernel refused because the owner waits, directly or not, for us.
    let machine = word.ask.machine;
    let waiters: Vec<Waker> = machine
        .processes
        .values()
        .flat_map(|seen| seen.threads.iter().map(move |thread| (seen, thread)))
        .filter(|(_, thread)| thread.tid != word.ask.thread.tid)
        .filter(|(seen, thread)| {
            let ask = crate::waits::ask::Ask::about(machine, seen, thread);
            ask.sys == crate::waits::abi::Sys::Futex
                && matches!(ask.arg(1) as u32 & 0x7f, LOCK_PI | LOCK_PI2)
                && ask
                    .words::<1>(ask.arg(0))
                    .is_some_and(|[lock]| lock & TID == word.ask.thread.tid)
        })
        .map(|(_, thread)| Waker::thread(thread.tid).role("waits for a lock of this thread"))
        .collect();
    let why = "locked a priority-inheriting mutex and was refused: that would have been a deadlock";
    Some(Need::new(
        "mutex",
        "a priority-inheriting mutex",
        why,
        Clause::any(waiters),
    ))
}

/// `_IO_lock_t`: lock, count, and a pointer to the owner's `struct pthread`.
fn stdio(word: &Word<'_>) -> Option<Need> {
    if word.expected != 2 {
        return None;
    }
    let owner = word.ask.pointer(word.address + 8)?;
    let tid = thread_of(word, owner)?;
    let owner = word.living_owner(tid)?;
    Some(word.owned("stdio", word.address, owner))
}

/// The thread id in a `struct pthread`, which has a pointer to itself.
fn thread_of(word: &Word<'_>, pthread: u64) -> Option<u32> {
    let (own, tid) = if narrow(word) {
        (0x8, 0x68)
    } else {
        (0x10, 0x2d0)
    };
    if pthread == 0 || word.ask.pointer(pthread + own)? != pthread {
        return None;
    }
    Some(word.ask.words::<1>(pthread + tid)?[0])
}

fn join(word: &Word<'_>) -> Option<Need> {
    if word.private || word.expected == 0 || matches!(word.place, Place::Shared { .. }) {
        return None;
    }
    let distance = if narrow(word) { 0x68 } else { 0x2d0 };
    let tid = thread_of(word, word.address.checked_sub(distance)?)?;
    let joined = match word.living_owner(word.expected)? {
        Owner::Living(tids) if tid == word.expected => tids,
        _ => return None,
    };
    let wakers = joined
        .iter()
        .map(|&tid| Waker::thread(tid).role("must end"));
    Some(Need::new(
        "join",
        format!("thread {}", joined[0]),
        "waits for a thread to end",
        Clause::any(wakers),
    ))
}

fn semaphore(word: &Word<'_>) -> Option<Need> {
    let (value, waiters, private) = if narrow(word) {
        let [value, private, _, waiters] = word.ask.words::<4>(word.address)?;
        (value & !1, waiters, private)
    } else {
        let [value, waiters, private, _] = word.ask.words::<4>(word.address)?;
        (value, waiters, private)
    };
    let crowd = word.crowd(&word.place);
    // A waiter that was killed is counted for ever; only a file of sem_open(3) is known for what it is without the count.
    let named = word
        .mapping
        .as_ref()
        .is_some_and(|(name, _)| name.starts_with("/dev/shm/sem."));
    let counted = waiters == crowd || named && (crowd..1 << 22).contains(&waiters);
    let fits =
        matches!(private, 0 | 0x80) && (private == 0) == word.private && value == 0 && counted;
    if !fits {
        return None;
    }
    let need = word.anybody(
        "sem",
        "waits for a permit; the semaphore is 0 and records no owner",
        "may post",
    );
    Some(need.by_handler())
}

fn condition(word: &Word<'_>) -> Option<Need> {
    // A waiter expects that no signal is there; newer versions have the group's number in the word, which is even.
    if word.expected & 1 != 0 {
        return None;
    }
    let base = [40u64, 44].into_iter().find_map(|offset| {
        let base = word.address.checked_sub(offset)?;
        let [references] = word.ask.words::<1>(base + 36)?;
        let other = if offset == 40 { 4 } else { -4 };
        let waiters = word.crowd(&word.place) + word.crowd(&word.beside(other));
        let shared = references & 1 == 1;
        (references >> 3 == waiters && shared != word.private).then_some(base)
    })?;
    let mut need = word.anybody(
        "condvar",
        "waits for a signal on a condition variable",
        "may signal",
    );
    need.resource = word.resource(base);
    Some(need)
}

fn rwlock(word: &Word<'_>) -> Option<Need> {
    if !matches!(word.expected, 2 | 3) {
        return None;
    }
    [8u64, 12].into_iter().find_map(|offset| {
        let base = word.address.checked_sub(offset)?;
        let [
            readers,
            writers,
            phase,
            writers_futex,
            pad,
            pad_too,
            sixth,
            seventh,
        ] = word.ask.words::<8>(base)?;
        // The 32-bit one keeps flags and shared in bytes before the writer.
        let (writer, shared) = if narrow(word) {
            (seventh, sixth >> 8 & 0xff)
        } else {
            (sixth, seventh)
        };
        let fits = phase <= 3
            && pad == 0
            && pad_too == 0
            && writers_futex <= 3
            && shared <= 1
            && (shared == 0) == word.private
            && readers >> 3 < PID_LIMIT
            && writers < PID_LIMIT
            && writer < PID_LIMIT
            && (readers != 0 || writers != 0);
        if !fits {
            return None;
        }
        let who = if offset == 8 && word.expected == 3 {
            "reads"
        } else {
            "writes"
        };
        if writer != 0 {
            let owner = word.owner(writer);
            let mut need = word.owned("rwlock", base, owner);
            need.why = format!("{who}; the lock {}", need.why);
            return Some(need);
        }
        let why = format!(
            "{who}; {} readers have the lock, which does not record them",
            readers >> 3
        );
        let mut need = word.anybody("rwlock", &why, "may be a reader");
        need.resource = word.resource(base);
        Some(need)
    })
}

fn barrier(word: &Word<'_>) -> Option<Need> {
    // in, current_round, count, shared, out; the thread sleeps on current_round.
    let [entered, round, count, shared, _] = word.ask.words::<5>(word.address.checked_sub(4)?)?;
    let arrived = entered.wrapping_sub(round);
    let fits = round == word.expected
        && count > 1
        && arrived < count
        && arrived == word.crowd(&word.place)
        && matches!(shared, 0 | 0x80)
        && (shared == 0) == word.private;
    if !fits {
        return None;
    }
    let why = format!("waits at a barrier, where {arrived} of {count} have arrived");
    let mut need = word.anybody("barrier", &why, "may arrive");
    need.resource = word.resource(word.address - 4);
    Some(need)
}
