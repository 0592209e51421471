//! System V objects: the three tables of `/proc/sysvipc`, readable by everybody, and one semaphore at a time with semctl(2).
//!
//! Process numbers are those of the observer's pid namespace, 0 when the process is not in it. The tables are those of the
//! reading thread's IPC namespace. proc_sysvipc(5), semctl(2).

use std::io;

use super::text::{Words, decimal, lines, signed};
use super::{ProcFs, Scratch};

/// What the three kinds have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Common {
    /// The key, 0 for `IPC_PRIVATE`.
    pub key: u32,
    /// The identifier that system calls take.
    pub id: i32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Owner's group.
    pub gid: u32,
    /// Creator.
    pub cuid: u32,
    /// Creator's group.
    pub cgid: u32,
    /// Last change of owner or permissions, or creation; seconds since 1970.
    pub changed: i64,
}

/// A message queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Key, id, owner.
    pub common: Common,
    /// Bytes in it.
    pub bytes: u64,
    /// Messages in it.
    pub messages: u64,
    /// Last sender, 0 for none.
    pub last_sender: u32,
    /// Last receiver, 0 for none.
    pub last_receiver: u32,
    /// Last send, seconds since 1970, 0 for never.
    pub sent: i64,
    /// Last receive, 0 for never.
    pub received: i64,
}

/// A set of semaphores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    /// Key, id, owner.
    pub common: Common,
    /// Number of semaphores in it.
    pub count: u32,
    /// Last operation, seconds since 1970, 0 for never.
    pub operated: i64,
}

/// A segment of shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Key, id, owner. The mode has `0o1000` when it goes at the last detach, `0o2000` when it is locked in memory.
    pub common: Common,
    /// Size in bytes.
    pub size: u64,
    /// Creator.
    pub creator: u32,
    /// Who attached or detached last, 0 for nobody.
    pub last: u32,
    /// Number of attachments, also from other pid namespaces.
    pub attached: u64,
    /// Last attach, seconds since 1970, 0 for never.
    pub attached_at: i64,
    /// Last detach, 0 for never.
    pub detached_at: i64,
    /// Bytes in memory.
    pub resident: u64,
    /// Bytes swapped out.
    pub swapped: u64,
}

/// `SHM_DEST`: removed, goes at the last detach.
pub const REMOVED: u32 = 0o1000;

impl Segment {
    /// Whether it has been removed and only lives until the last detach.
    #[must_use]
    pub fn removed(&self) -> bool {
        self.common.mode & REMOVED != 0
    }
}

/// One semaphore of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Semaphore {
    /// Its number in the set.
    pub number: u32,
    /// Its value.
    pub value: u32,
    /// Threads that wait for it to grow.
    pub waiting_for_more: u32,
    /// Threads that wait for it to be zero.
    pub waiting_for_zero: u32,
    /// The last process that changed it, 0 for none visible.
    pub last: u32,
}

/// All message queues.
pub fn queues(proc: &ProcFs, scratch: &mut Scratch) -> io::Result<Vec<Queue>> {
    table(proc, "sysvipc/msg", scratch, |row| {
        let (key, id, mode) = row.head()?;
        let (bytes, messages) = (row.number()?, row.number()?);
        let (last_sender, last_receiver) = (row.pid()?, row.pid()?);
        let (owner, [sent, received, changed]) = (row.owner()?, row.times()?);
        let common = owner.with(key, id, mode, changed);
        Some(Queue {
            common,
            bytes,
            messages,
            last_sender,
            last_receiver,
            sent,
            received,
        })
    })
}

/// All semaphore sets.
pub fn sets(proc: &ProcFs, scratch: &mut Scratch) -> io::Result<Vec<Set>> {
    table(proc, "sysvipc/sem", scratch, |row| {
        let (key, id, mode) = row.head()?;
        let count = row.pid()?;
        let (owner, [operated, changed]) = (row.owner()?, row.times()?);
        Some(Set {
            common: owner.with(key, id, mode, changed),
            count,
            operated,
        })
    })
}

/// All segments.
pub fn segments(proc: &ProcFs, scratch: &mut Scratch) -> io::Result<Vec<Segment>> {
    table(proc, "sysvipc/shm", scratch, |row| {
        let (key, id, mode) = row.head()?;
        let size = row.number()?;
        let (creator, last, attached) = (row.pid()?, row.pid()?, row.number()?);
        let (owner, [attached_at, detached_at, changed]) = (row.owner()?, row.times()?);
        let (resident, swapped) = (row.number().unwrap_or(0), row.number().unwrap_or(0));
        let common = owner.with(key, id, mode, changed);
        Some(Segment {
            common,
            size,
            creator,
            last,
            attached,
            attached_at,
            detached_at,
            resident,
            swapped,
        })
    })
}

struct Row<'a>(Words<'a>);

struct Owner([u32; 4]);

impl Owner {
    fn with(&self, key: u32, id: i32, mode: u32, changed: i64) -> Common {
        let [uid, gid, cuid, cgid] = self.0;
        Common {
            key,
            id,
            mode,
            uid,
            gid,
            cuid,
            cgid,
            changed,
        }
    }
}

impl Row<'_> {
    fn number(&mut self) -> Option<u64> {
        decimal(self.0.next()?)
    }

    fn pid(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn head(&mut self) -> Option<(u32, i32, u32)> {
        // The kernel prints the key as a signed number.
        let key = i32::try_from(signed(self.0.next()?)?).ok()?.cast_unsigned();
        let id = i32::try_from(signed(self.0.next()?)?).ok()?;
        let mode = super::text::octal(self.0.next()?)?.try_into().ok()?;
        Some((key, id, mode))
    }

    fn owner(&mut self) -> Option<Owner> {
        Some(Owner([self.pid()?, self.pid()?, self.pid()?, self.pid()?]))
    }

    fn times<const N: usize>(&mut self) -> Option<[i64; N]> {
        let mut times = [0; N];
        for time in &mut times {
            *time = signed(self.0.next()?)?;
        }
        Some(times)
    }
}

fn table<T>(
    proc: &ProcFs,
    path: &str,
    scratch: &mut Scratch,
    parse: impl Fn(&mut Row<'_>) -> Option<T>,
) -> io::Result<Vec<T>> {
    let text = match proc.read(path, scratch) {
        Ok(text) => text,
        // A kernel without System V IPC has no objects of it.
        Err(error) if super::gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(lines(text)
        .skip(1)
        .filter_map(|line| parse(&mut Row(Words::new(line))))
        .collect())
}

/// One semaphore: value, numbers of waiters, last process; needs read permission.
pub fn semaphore(id: i32, number: u32) -> io::Result<Semaphore> {
    let get = |command| {
        // SAFETY: these four commands take no fourth argument and write to no memory of ours.
        let value = unsafe { libc::semctl(id, number.cast_signed(), command) };
        u32::try_from(value).map_err(|_| io::Error::last_os_error())
    };
    Ok(Semaphore {
        number,
        value: get(libc::GETVAL)?,
        waiting_for_more: get(libc::GETNCNT)?,
        waiting_for_zero: get(libc::GETZCNT)?,
        last: get(libc::GETPID)?,
    })
}

/// How many bytes a queue can hold (`msg_qbytes`), which the table does not tell; needs read permission.
pub fn queue_limit(id: i32) -> io::Result<u64> {
    let mut state = std::mem::MaybeUninit::<libc::msqid_ds>::uninit();
    // SAFETY: IPC_STAT fills the structure it is given, entirely, when it succeeds.
    let state = unsafe {
        if libc::msgctl(id, libc::IPC_STAT, state.as_mut_ptr()) == -1 {
            return Err(io::Error::last_os_error());
        }
        state.assume_init()
    };
    // 32 bits on some machines.
    #[allow(clippy::useless_conversion)]
    Ok(state.msg_qbytes.into())
}
