//! LockLine: a line of `/proc/locks`, held or queued; one that cannot be understood costs only itself.
//!
//! The process number is the one that *took* the lock: after a fork it may be dead while its child still holds it, and an open
//! file description lock has -1. Who holds a lock now is in the [`FdInfo::locks`](super::FdInfo::locks) of the descriptors.
//! proc_locks(5); line format of the kernel's fs/locks.c.

use std::io;

use super::text::{Words, decimal, hex, lines, signed};
use super::{Device, FileId, ProcFs, Scratch};

/// Kind of lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockKind {
    /// flock(2), owned by an open description.
    Flock,
    /// fcntl(2) `F_SETLK`, owned by a process.
    Posix,
    /// fcntl(2) `F_OFD_SETLK`, owned by an open description.
    Ofd,
    /// fcntl(2) `F_SETLEASE`.
    Lease,
    /// A delegation, an NFS server's lease.
    Delegation,
    /// Another word.
    Other,
}

/// One lock, or one that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockLine {
    /// Number of the lock in the table; all that wait for it have the same.
    pub number: u64,
    /// 0: held; n: waits behind the nearest line above with n−1.
    pub depth: u32,
    /// Kind.
    pub kind: LockKind,
    /// `ADVISORY`, `MANDATORY`; of a lease `ACTIVE`, `BREAKING`, `BREAKER`.
    pub state: Box<str>,
    /// Whether others are excluded.
    pub exclusive: bool,
    /// Who took it or waits for it: -1 for an open description, 0 for one not visible here.
    pub pid: i32,
    /// The file; a breaker's line has none.
    pub file: Option<FileId>,
    /// First byte.
    pub start: u64,
    /// Last byte; `None` up to the end of the file, however it grows.
    pub end: Option<u64>,
}

impl LockLine {
    /// Whether it is queued, not held.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.depth > 0
    }

    /// Whether the ranges have a byte in common.
    #[must_use]
    pub fn overlaps(&self, start: u64, end: Option<u64>) -> bool {
        self.end.is_none_or(|last| start <= last) && end.is_none_or(|last| self.start <= last)
    }
}

/// The table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locks {
    /// The lines in the kernel's order.
    pub lines: Vec<LockLine>,
    /// Lines that could not be understood, verbatim.
    pub odd: Vec<String>,
}

impl Locks {
    /// Index of the line that line `index` waits behind.
    #[must_use]
    pub fn blocker(&self, index: usize) -> Option<usize> {
        let line = self.lines.get(index)?;
        let above = line.depth.checked_sub(1)?;
        self.lines[..index]
            .iter()
            .rposition(|other| other.number == line.number && other.depth == above)
    }
}

/// Reads `/proc/locks`. Locks whose taker is in no pid namespace of ours are not in it, nor those that wait for them.
pub fn read(proc: &ProcFs, scratch: &mut Scratch) -> io::Result<Locks> {
    Ok(parse(proc.read("locks", scratch)?))
}

fn parse(text: &[u8]) -> Locks {
    let mut locks = Locks::default();
    for line in lines(text) {
        match parse_line(line) {
            Some(line) => locks.lines.push(line),
            None => locks.odd.push(String::from_utf8_lossy(line).into_owned()),
        }
    }
    locks
}

/// `4:  -> FLOCK  ADVISORY  READ 20515 fe:00:10029308 0 EOF`
pub(super) fn parse_line(line: &[u8]) -> Option<LockLine> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let number = decimal(line[..colon].trim_ascii())?;
    let body = line[colon + 1..]
        .strip_prefix(b" ")
        .unwrap_or(&line[colon + 1..]);
    let indent = body.iter().take_while(|&&byte| byte == b' ').count();
    let (depth, body) = match body[indent..].strip_prefix(b"->") {
        Some(rest) => (u32::try_from(indent).ok()? + 1, rest),
        None => (0, body),
    };
    let mut words = Words::new(body);
    let kind = match words.next()? {
        b"FLOCK" => LockKind::Flock,
        b"POSIX" | b"ACCESS" => LockKind::Posix,
        b"OFDLCK" => LockKind::Ofd,
        b"LEASE" => LockKind::Lease,
        b"DELEG" => LockKind::Delegation,
        _ => LockKind::Other,
    };
    let state = String::from_utf8_lossy(words.next()?).into();
    let exclusive = matches!(words.next()?, b"WRITE" | b"RW");
    let pid = signed(words.next()?)?.try_into().ok()?;
    let file = file(words.next()?);
    let start = decimal(words.next()?)?;
    let end = match words.next()? {
        b"EOF" => None,
        end => Some(decimal(end)?),
    };
    Some(LockLine {
        number,
        depth,
        kind,
        state,
        exclusive,
        pid,
        file,
        start,
        end,
    })
}

/// `fe:00:10029308`, or `<none>:0` for a breaker of a lease.
fn file(word: &[u8]) -> Option<FileId> {
    let mut parts = word.split(|&byte| byte == b':');
    let major = hex(parts.next()?)?.try_into().ok()?;
    let minor = hex(parts.next()?)?.try_into().ok()?;
    Some(FileId {
        device: Device { major, minor },
        ino: decimal(parts.next()?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
1: LEASE  BREAKING  READ 20513 fe:00:10029311 0 EOF
1: -> LEASE  BREAKER   READ 20518 <none>:0 0 EOF
2: OFDLCK ADVISORY  WRITE -1 fe:00:10029310 0 EOF
3: POSIX  ADVISORY  WRITE 20511 fe:00:10029309 10 29
3: -> POSIX  ADVISORY  WRITE 20516 fe:00:10029309 0 14
odd line
4: FLOCK  ADVISORY  WRITE 20510 fe:00:10029308 0 EOF
4: -> FLOCK  ADVISORY  WRITE 20514 fe:00:10029308 0 EOF
4:  -> FLOCK  ADVISORY  READ 20515 fe:00:10029308 0 EOF
4: -> FLOCK  ADVISORY  READ 20517 fe:00:10029308 0 EOF
";

    #[test]
    fn an_odd_line_costs_only_itself() {
        let locks = parse(TABLE);
        assert_eq!(locks.odd, ["odd line"]);
        assert_eq!(locks.lines.len(), 9);
        assert_eq!(locks.lines[1].file, None);
        assert_eq!(locks.lines[1].pid, 20518);
        assert_eq!((locks.lines[3].start, locks.lines[3].end), (10, Some(29)));
        assert_eq!(locks.lines[2].pid, -1);
    }

    #[test]
    fn each_waiter_knows_the_line_it_waits_behind() {
        let locks = parse(TABLE);
        let behind: Vec<_> = (0..9).map(|index| locks.blocker(index)).collect();
        assert_eq!(
            behind,
            [
                None,
                Some(0),
                None,
                None,
                Some(3),
                None,
                Some(5),
                Some(6),
                Some(5)
            ]
        );
    }

    #[test]
    fn ranges_that_touch_do_not_overlap() {
        let line = parse_line(b"3: POSIX  ADVISORY  WRITE 1 fe:00:9 10 29").expect("a line");
        assert!(line.overlaps(0, Some(10)) && line.overlaps(29, None) && line.overlaps(0, None));
        assert!(!line.overlaps(0, Some(9)) && !line.overlaps(30, None));
    }
}
