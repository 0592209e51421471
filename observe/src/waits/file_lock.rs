//! File lock: a request waits for *every* conflicting lock, and each of those for *any* process that has the description.
//!
//! `/proc/locks` names who took a lock; after fork that may be somebody who is long dead. The holders of flock and open file
//! description locks are therefore found by the `lock:` lines of the descriptors.

use super::abi::{Abi, Sys};
use super::ask::{Ask, Need, live};
use super::machine::{Holder, Machine};
use super::pipe::same_file;
use crate::graph::{Clause, State, Waker};
use crate::proc::locks::LockKind;
use crate::proc::{FileFacts, FileId, LockLine, kcmp};

/// What is asked for.
struct Request {
    kind: LockKind,
    exclusive: bool,
    start: u64,
    end: Option<u64>,
}

/// A lock that an open description has.
struct Held {
    holders: Vec<Holder>,
    line: LockLine,
}

/// Blocked in flock(2) or fcntl(2).
pub(super) fn waiting(ask: &Ask<'_>) -> State {
    let (pid, fd) = (ask.seen.pid, ask.fd(0));
    let facts = ask.machine.facts(pid, fd);
    let path = ask.machine.fd(pid, fd).and_then(|fd| fd.link.path());
    let (Some(facts), Some(path)) = (facts, path) else {
        return live(format!("locks descriptor {fd}, which is not known"));
    };
    let Some(request) = request(ask, facts) else {
        return live("in fcntl, but for no lock");
    };
    let facility = match request.kind {
        LockKind::Flock => "flock",
        LockKind::Ofd => "ofd",
        _ => "lockf",
    };
    let mut resource = String::from_utf8_lossy(path).into_owned();
    if request.kind != LockKind::Flock {
        let end = request.end.map_or("end".to_owned(), |end| end.to_string());
        resource.push_str(&format!(" bytes {}..{end}", request.start));
    }
    let mode = if request.exclusive {
        "exclusive"
    } else {
        "shared"
    };
    let why = format!(
        "asks for an {mode} lock on {}",
        if request.kind == LockKind::Flock {
            "the file"
        } else {
            "a range"
        }
    );
    let why = why.replace("an shared", "a shared");

    let holders = same_file(ask.machine, path, facts);
    let mut clauses = Vec::new();
    let mut described: usize = 0;
    for held in held(ask.machine, &holders) {
        described += 1;
        let own = held.holders.iter().any(|holder| {
            holder.pid == pid
                && (holder.fd == fd
                    || kcmp::same_file((pid, fd), (pid, holder.fd)).unwrap_or(false))
        });
        if request.conflicts(&held.line) && !own {
            let wakers = super::descriptor::wakers(&held.holders, "holds it", |_| true);
            clauses.push(Clause::any(wakers));
        }
    }
    let mut files: Vec<FileId> = holders
        .iter()
        .filter_map(|holder| ask.machine.fdinfo(holder.pid, holder.fd))
        .flat_map(|info| {
            info.locks
                .iter()
                .filter_map(|line| line.file)
                .collect::<Vec<_>>()
        })
        .collect();
    files.push(facts.id);
    let mut unseen = 0usize;
    for line in &ask.machine.locks().lines {
        if line.waits()
            || !line.file.is_some_and(|file| files.contains(&file))
            || !request.conflicts(line)
        {
            continue;
        }
        match line.kind {
            LockKind::Posix if line.pid == pid.cast_signed() && request.kind == LockKind::Posix => {
            }
            LockKind::Posix => match u32::try_from(line.pid)
                .ok()
                .filter(|pid| ask.machine.processes.contains_key(pid))
            {
                Some(owner) => clauses.push(Clause::one(
                    Waker::process(owner).role("owner of the range"),
                )),
                None => unseen += 1,
            },
            _ => unseen += 1,
        }
    }
    if clauses.is_empty() {
        let whom = if unseen > described {
            "a holder that cannot be seen"
        } else {
            "a holder that is not known"
        };
        return Need::world(facility, resource, why, whom).wait();
    }
    let first = clauses.remove(0);
    let mut state = Need::new(facility, resource, why, first).wait();
    if let State::Waiting(wait) = &mut state {
        wait.clauses.extend(clauses);
    }
    state
}

impl Request {
    fn conflicts(&self, line: &LockLine) -> bool {
        let same_world = match (self.kind, line.kind) {
            (LockKind::Flock, LockKind::Flock) => true,
            (LockKind::Flock, _) | (_, LockKind::Flock) => false,
            (_, LockKind::Posix | LockKind::Ofd) => true,
            _ => false,
        };
        same_world && (self.exclusive || line.exclusive) && line.overlaps(self.start, self.end)
    }
}

/// The locks of the descriptions behind these descriptors; descriptors of one description are put together.
fn held(machine: &Machine, holders: &[Holder]) -> Vec<Held> {
    let mut all: Vec<Held> = Vec::new();
    for &holder in holders {
        let Some(info) = machine.fdinfo(holder.pid, holder.fd) else {
            continue;
        };
        for line in info
            .locks
            .iter()
            .filter(|line| matches!(line.kind, LockKind::Flock | LockKind::Ofd))
        {
            let same = |held: &&mut Held| {
                let other = held.holders[0];
                let alike = held.line.kind == line.kind
                    && held.line.start == line.start
                    && held.line.end == line.end
                    && held.line.exclusive == line.exclusive;
                // Where we may not ask, an exclusive lock can have one description only; shared ones stay apart if their takers differ.
                alike
                    && kcmp::same_file((other.pid, other.fd), (holder.pid, holder.fd))
                        .unwrap_or(line.exclusive || held.line.pid == line.pid)
            };
            match all.iter_mut().find(same) {
                Some(held) => held.holders.push(holder),
                None => all.push(Held {
                    holders: vec![holder],
                    line: line.clone(),
                }),
            }
        }
    }
    all
}

fn request(ask: &Ask<'_>, facts: FileFacts) -> Option<Request> {
    if ask.sys == Sys::Flock {
        let exclusive = match ask.int(1) & !libc::LOCK_NB {
            libc::LOCK_EX => true,
            libc::LOCK_SH => false,
            _ => return None,
        };
        return Some(Request {
            kind: LockKind::Flock,
            exclusive,
            start: 0,
            end: None,
        });
    }
    // The 64-bit forms have numbers of their own in 32-bit programs.
    let (kind, wide) = match (ask.int(1), ask.abi) {
        (7, Abi::Native) => (LockKind::Posix, true),
        (7, Abi::Compat) => (LockKind::Posix, false),
        (14, Abi::Compat) => (LockKind::Posix, true),
        (38, _) => (LockKind::Ofd, true),
        _ => return None,
    };
    let bytes = ask.bytes(ask.arg(2), 32)?;
    let short = |at: usize| i16::from_ne_bytes([bytes[at], bytes[at + 1]]);
    let int =
        |at: usize| i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let long = |at: usize| i64::from_ne_bytes(std::array::from_fn(|byte| bytes[at + byte]));
    let (start, length) = match (ask.abi, wide) {
        (Abi::Native, _) => (long(8), long(16)),
        (Abi::Compat, true) => (long(4), long(12)),
        (Abi::Compat, false) => (i64::from(int(4)), i64::from(int(8))),
    };
    let origin = match i32::from(short(2)) {
        libc::SEEK_SET => 0,
        libc::SEEK_CUR => ask.machine.fdinfo(ask.seen.pid, ask.fd(0))?.pos,
        _ => i64::try_from(facts.size).ok()?,
    };
    let first = origin.checked_add(start)?;
    let (first, end) = match length {
        0 => (first, None),
        length if length > 0 => (
            first,
            Some(u64::try_from(first.checked_add(length - 1)?).ok()?),
        ),
        length => (
            first.checked_add(length)?,
            Some(u64::try_from(first.checked_sub(1)?).ok()?),
        ),
    };
    let exclusive = i32::from(short(0)) == libc::F_WRLCK;
    Some(Request {
        kind,
        exclusive,
        start: u64::try_from(first).ok()?,
        end,
    })
}
