//! kcmp: whether two descriptors are one open description, which decides whose a flock or an OFD lock is; kcmp(2).

use std::io;

/// Whether `(pid, fd)` and `(pid, fd)` lead to the same open description. Needs the right to read both processes.
///
/// # Errors
/// `ENOSYS` on a kernel built without it; `EBADF` when a descriptor has been closed.
pub fn same_file(one: (u32, i32), other: (u32, i32)) -> io::Result<bool> {
    compare(0, one.0, other.0, one.1, other.1)
}

/// Whether two threads or processes share their address space (`vfork`, or `clone` with `CLONE_VM`).
pub fn same_memory(one: u32, other: u32) -> io::Result<bool> {
    compare(1, one, other, 0, 0)
}

/// Whether two threads or processes share their descriptor table.
pub fn same_descriptors(one: u32, other: u32) -> io::Result<bool> {
    compare(2, one, other, 0, 0)
}

fn compare(kind: libc::c_int, one: u32, other: u32, first: i32, second: i32) -> io::Result<bool> {
    // SAFETY: kcmp takes five numbers and touches no memory of the caller.
    let order = unsafe {
        libc::syscall(
            libc::SYS_kcmp,
            one.cast_signed(),
            other.cast_signed(),
            kind,
            libc::c_long::from(first),
            libc::c_long::from(second),
        )
    };
    if order == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(order == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    #[test]
    fn a_duplicate_is_the_same_description_and_a_second_open_is_not() {
        let file = std::fs::File::open("/proc/self/stat").expect("open");
        let duplicate = file.try_clone().expect("dup");
        let second = std::fs::File::open("/proc/self/stat").expect("open");
        let pid = std::process::id();
        let same = |other: &std::fs::File| {
            super::same_file((pid, file.as_raw_fd()), (pid, other.as_raw_fd())).expect("kcmp")
        };
        assert!(same(&duplicate));
        assert!(!same(&second));
    }
}
