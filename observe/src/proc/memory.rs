//! Memory of another process, copied by the kernel in one call; the process is neither stopped nor told.
//!
//! Needs the right to trace it, as ptrace(2) has it (mode attach). A page that is paged out makes the call wait for the disk; a
//! page of a userfaultfd or a FUSE file would make it wait for a program: such an address is only known when it is too late, so
//! callers that must not hang read in a thread of their own. process_vm_readv(2).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Copies from `address` into `into`; returns how many bytes could be read, which may be fewer when a mapping ends.
pub fn read(pid: u32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let Ok(start) = usize::try_from(address) else {
        return read_far(pid, address, into);
    };
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let remote = libc::iovec {
        iov_base: start as *mut libc::c_void,
        iov_len: into.len(),
    };
    // SAFETY: `local` describes exactly the slice, which is writable for the call; `remote` is only an address in the other
    // process, which the kernel checks there.
    let count = unsafe {
        libc::process_vm_readv(
            pid.cast_signed(),
            &raw const local,
            1,
            &raw const remote,
            1,
            0,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// The same where a pointer of this 32-bit program does not reach. proc_pid_mem(5).
fn read_far(pid: u32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    File::open(format!("/proc/{pid}/mem"))?.read_at(into, address)
}

/// Exactly `N` bytes.
///
/// # Errors
/// `EFAULT` when not all of them are mapped, besides what [`read`] gives.
pub fn read_exact<const N: usize>(pid: u32, address: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    if read(pid, address, &mut bytes)? < N {
        return Err(io::Error::from_raw_os_error(libc::EFAULT));
    }
    Ok(bytes)
}

/// `N` words of 32 bits, in the machine's byte order.
pub fn read_words<const N: usize>(pid: u32, address: u64) -> io::Result<[u32; N]> {
    let mut words = [[0u8; 4]; N];
    if read(pid, address, words.as_flattened_mut())? < N * 4 {
        return Err(io::Error::from_raw_os_error(libc::EFAULT));
    }
    Ok(words.map(u32::from_ne_bytes))
}

/// A text up to its NUL, at most `limit` bytes: a path that a system call was given.
pub fn read_c_string(pid: u32, address: u64, limit: usize) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    while text.len() < limit {
        // Up to the end of the page: the next one may not be mapped.
        let here = address.wrapping_add(text.len() as u64);
        let room = (4096 - (here % 4096) as usize).min(limit - text.len());
        let start = text.len();
        text.resize(start + room, 0);
        let count = match read(pid, here, &mut text[start..]) {
            Ok(count) => count,
            Err(_) if start > 0 => 0,
            Err(error) => return Err(error),
        };
        text.truncate(start + count);
        if let Some(end) = text[start..].iter().position(|&byte| byte == 0) {
            text.truncate(start + end);
            return Ok(text);
        }
        if count < room {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_memory_reads_as_it_is() {
        let words = [1u32, 2, 3];
        let pid = std::process::id();
        assert_eq!(
            read_words::<3>(pid, words.as_ptr() as u64).expect("own memory"),
            words
        );
        let text = c"/tmp/fifo";
        assert_eq!(
            read_c_string(pid, text.as_ptr() as u64, 4096).expect("own memory"),
            b"/tmp/fifo"
        );
        assert_eq!(
            read_exact::<8>(pid, 8)
                .expect_err("not mapped")
                .raw_os_error(),
            Some(libc::EFAULT)
        );
    }
}
