//! Robust list: the robust mutexes a thread holds right now, and the one it is acquiring, from the list it registered with the kernel.
//!
//! Only robust mutexes of 64-bit programs are in it: entry minus the list's offset is the futex word. get_robust_list(2).

use std::io;

use super::memory;

/// What the list says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RobustList {
    /// Addresses of the futex words of the mutexes it holds.
    pub held: Vec<u64>,
    /// The one it is just taking or giving back.
    pub pending: Option<u64>,
}

/// A list longer than this is believed to be a loop.
const LIMIT: usize = 2048;

/// Reads the list of thread `tid`. Needs the right to trace it.
pub fn list(tid: u32) -> io::Result<RobustList> {
    if usize::BITS != 64 {
        // What the kernel shows a 32-bit program are the lists of 32-bit programs.
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut head = 0u64;
    let mut length = 0usize;
    // SAFETY: the kernel writes one pointer and one size to the two places, which are as large on 64-bit machines.
    let result = unsafe {
        libc::syscall(
            libc::SYS_get_robust_list,
            tid.cast_signed(),
            &raw mut head,
            &raw mut length,
        )
    };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    let mut robust = RobustList::default();
    if head == 0 {
        return Ok(robust);
    }
    // struct robust_list_head: next, offset of the futex word, pending.
    let [next, offset, pending] = words::<3>(tid, head)?;
    // The lowest bit of an entry marks a priority-inheriting mutex.
    let futex = |entry: u64| (entry & !1).wrapping_add(offset);
    robust.pending = (pending != 0).then(|| futex(pending));
    let mut entry = next;
    while entry & !1 != head && robust.held.len() < LIMIT {
        robust.held.push(futex(entry));
        [entry] = words::<1>(tid, entry & !1)?;
    }
    Ok(robust)
}

fn words<const N: usize>(pid: u32, address: u64) -> io::Result<[u64; N]> {
    let mut words = [[0u8; 8]; N];
    if memory::read(pid, address, words.as_flattened_mut())? < N * 8 {
        return Err(io::Error::from_raw_os_error(libc::EFAULT));
    }
    Ok(words.map(u64::from_ne_bytes))
}
