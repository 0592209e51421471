//! Affordable: whether pages that lie in memory only can all be had, asked before they are taken one by one.
//!
//! The kernel gives pages of tmpfs, of POSIX shared memory and of memfds until there are none, and then kills processes, any of them, to
//! get some back. So what is plainly too much is refused first. What is less can still be too much: others take theirs meanwhile.
//!
//! `tmpfs(5)`, `proc_meminfo(5)`

use std::os::fd::BorrowedFd;

use rustix::fs::fstatfs;

/// Less than this is not worth the look.
const WORTH_A_LOOK: u64 = 64 << 20;
/// `TMPFS_MAGIC` of `linux/magic.h`.
const TMPFS: i64 = 0x0102_1994;

/// If so many bytes for this object are more than the machine has left: how many that are.
pub(crate) fn beyond(object: BorrowedFd<'_>, len: u64) -> Option<u64> {
    if len < WORTH_A_LOOK {
        return None;
    }
    let system = fstatfs(object).ok()?;
    #[allow(clippy::unnecessary_cast)] // another type for each processor
    let in_memory = system.f_type as i64 == TMPFS;
    let left = available(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    (in_memory && len > left).then_some(left)
}

/// What can be had without anybody being killed, by `/proc/meminfo`.
fn available(text: &str) -> Option<u64> {
    let bytes = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        let number = line.trim().strip_suffix(" kB")?;
        number.parse::<u64>().ok()?.checked_mul(1024)
    };
    let swap = bytes("SwapFree:").unwrap_or(0);
    bytes("MemAvailable:").map(|memory| memory.saturating_add(swap))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_is_left_is_memory_and_swap() {
        let text = "MemTotal:  100 kB\nMemAvailable:   7 kB\nSwapTotal: 9 kB\nSwapFree:  2 kB\n";
        assert_eq!(available(text), Some(9 * 1024));
        assert_eq!(available("MemAvailable: 3 kB\n"), Some(3 * 1024));
        assert_eq!(available("MemTotal: 3 kB\n"), None);
    }

    #[test]
    fn more_than_a_machine_can_have_is_refused_and_little_is_not_looked_at() {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let object = rustix::fs::memfd_create("affordable", flags).expect("a memfd");
        assert!(beyond(object.as_fd(), 1 << 60).is_some_and(|left| left < 1 << 60));
        assert_eq!(beyond(object.as_fd(), 1 << 20), None);
    }
}
