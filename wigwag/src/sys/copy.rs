//! Copy: bytes to and from pages that another process writes, or takes away, at the same time.
//!
//! Two things make `memcpy` wrong for shared memory.
//!
//! *Races.* In Rust's memory model a plain access to a byte that somebody else writes is undefined. What
//! is defined is a relaxed atomic access to each byte (RFC 3301, `atomic_memcpy`), and [`copy`] is that: one opaque
//! block of assembly which the compiler can neither split, repeat nor reason about, and of which nothing is claimed
//! but that each byte of the copy is one that stood there. A length of 1, 2, 4 or 8 at an address that
//! is a multiple of it is moved by single instructions, so an aligned number is never torn.
//!
//! *Pages that are gone.* When the file behind a shared mapping is truncated, or the file system
//! is full when a page is first touched, the kernel sends SIGBUS (`mmap(2)`). As the kernel does for its own access to
//! user memory, we know the address of every instruction that may fault: the handler of
//! [`bus_error`](super::bus_error) continues a fault inside [`copy`] at an instruction that returns *failed*. No
//! frame is skipped, so nothing is leaked and no lock stays held.
//!
//! On processors for which there is no assembly here, the kernel copies (`process_vm_readv(2)` from the process to
//! itself), which needs no handler, and costs a system call.
//!
//! `mmap(2)`, `sigaction(2)`, `process_vm_readv(2)`

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{copy, protect, resume};

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use by_kernel::{copy, protect, resume};

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use crate::sys::bus_error;

    /// Every instruction of [`run`] lies in so many bytes from its start; the assembler checks it.
    const SIZE: usize = 256;
    /// From here on the processor's own string copy is as fast as any loop, and it is one instruction.
    const STRING: usize = 1024;

    /// Copies `len` bytes; `false` when a page was not there, after an unknown part of the copy.
    ///
    /// # Safety
    /// All of `from` is mapped for reading and all of `to` for writing (by a mapping whose pages may
    /// nevertheless be gone, after [`protect`]), they do not overlap, and nobody holds a reference that
    /// forbids it: the private side is borrowed by the caller, the shared side is reached by pointers only.
    #[inline]
    pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> bool {
        // SAFETY: as the caller promises.
        unsafe { run(to, from, len) != 0 }
    }

    /// The whole copy. A leaf without a stack frame: at each instruction the return address is on top of
    /// the stack and no register is owed to the caller, so that [`failed`] may stand for the rest of it.
    #[unsafe(naked)]
    unsafe extern "sysv64" fn run(to: *mut u8, from: *const u8, len: usize) -> u32 {
        core::arch::naked_asm!(
            "2:",
            "cmp rdx, 16",
            "jb 4f",
            "cmp rdx, {string}",
            "ja 8f",
            // 16 bytes at a time; the last 16 may overlap those before them.
            "lea r8, [rdx - 16]",
            "xor eax, eax",
            "3:",
            "movdqu xmm0, [rsi + rax]",
            "movdqu [rdi + rax], xmm0",
            "add rax, 16",
            "cmp rax, r8",
            "jb 3b",
            "movdqu xmm0, [rsi + r8]",
            "movdqu [rdi + r8], xmm0",
            "mov eax, 1",
            "ret",
            // 8 to 15: the first 8 and the last 8.
            "4:",
            "cmp edx, 8",
            "jb 5f",
            "mov rax, [rsi]",
            "mov rcx, [rsi + rdx - 8]",
            "mov [rdi], rax",
            "mov [rdi + rdx - 8], rcx",
            "mov eax, 1",
            "ret",
            // 4 to 7.
            "5:",
            "cmp edx, 4",
            "jb 6f",
            "mov eax, [rsi]",
            "mov ecx, [rsi + rdx - 4]",
            "mov [rdi], eax",
            "mov [rdi + rdx - 4], ecx",
            "mov eax, 1",
            "ret",
            // 2 to 3.
            "6:",
            "cmp edx, 2",
            "jb 7f",
            "movzx eax, word ptr [rsi]",
            "movzx ecx, word ptr [rsi + rdx - 2]",
            "mov [rdi], ax",
            "mov [rdi + rdx - 2], cx",
            "mov eax, 1",
            "ret",
            // 1 or none.
            "7:",
            "test edx, edx",
            "jz 9f",
            "movzx eax, byte ptr [rsi]",
            "mov [rdi], al",
            "mov eax, 1",
            "ret",
            // The string copy is fastest to a multiple of 64: the first 64 bytes, then on from the next multiple.
            "8:",
            "movdqu xmm0, [rsi]",
            "movdqu xmm1, [rsi + 16]",
            "movdqu xmm2, [rsi + 32]",
            "movdqu xmm3, [rsi + 48]",
            "movdqu [rdi], xmm0",
            "movdqu [rdi + 16], xmm1",
            "movdqu [rdi + 32], xmm2",
            "movdqu [rdi + 48], xmm3",
            "mov eax, edi",
            "and eax, 63",
            "sub rax, 64",
            "sub rsi, rax",
            "sub rdi, rax",
            "lea rcx, [rdx + rax]",
            "rep movsb",
            "9:",
            "mov eax, 1",
            "ret",
            ".skip {size} - (. - 2b), 0xcc",
            string = const STRING,
            size = const SIZE,
        )
    }

    /// Where a faulting [`run`] goes on.
    #[unsafe(naked)]
    extern "sysv64" fn failed() -> u32 {
        core::arch::naked_asm!("xor eax, eax", "ret")
    }

    /// Makes [`copy`] survive pages that are gone, from now on, in the whole process.
    pub(crate) fn protect() {
        bus_error::install();
    }

    /// In the handler of a bus error: whether it came from [`copy`], which then goes on as one that failed.
    ///
    /// # Safety
    /// `context` is what the kernel gave the handler.
    pub(crate) unsafe fn resume(context: *mut libc::c_void) -> bool {
        // SAFETY: the kernel passes a valid ucontext_t, the handler's alone until it returns.
        let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        let here = &mut registers[libc::REG_RIP as usize];
        let run = run as *const () as usize;
        let ours = (run..run + SIZE).contains(&here.cast_unsigned().try_into().unwrap_or(0));
        if ours {
            *here = (failed as *const () as usize).cast_signed() as i64;
        }
        ours
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod by_kernel {
    /// Copies `len` bytes; `false` when a page was not there, after an unknown part of the copy.
    ///
    /// # Safety
    /// All of `from` is mapped for reading and all of `to` for writing, they do not overlap, and nobody
    /// holds a reference that forbids it.
    pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> bool {
        let mut done = 0;
        while done < len {
            let to = libc::iovec {
                // SAFETY: `done` is less than `len`, so the sum is inside.
                iov_base: unsafe { to.add(done) }.cast(),
                iov_len: len - done,
            };
            let from = libc::iovec {
                // SAFETY: as above.
                iov_base: unsafe { from.add(done) }.cast_mut().cast(),
                iov_len: len - done,
            };
            // SAFETY: the kernel checks every page of both sides and answers EFAULT; what it writes, the
            // caller allowed.
            let copied = unsafe {
                libc::process_vm_readv(libc::getpid(), &raw const to, 1, &raw const from, 1, 0)
            };
            match usize::try_from(copied) {
                Ok(0) => return false,
                Ok(bytes) => done += bytes,
                Err(_)
                    if std::io::Error::last_os_error().kind()
                        == std::io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Nothing to do: the kernel's own copy survives.
    #[cfg_attr(test, allow(dead_code))]
    pub(crate) fn protect() {}

    /// No bus error comes from here.
    ///
    /// # Safety
    /// None is needed.
    #[cfg_attr(test, allow(dead_code))]
    pub(crate) unsafe fn resume(_: *mut libc::c_void) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    type Copy = unsafe fn(*mut u8, *const u8, usize) -> bool;

    fn every_length_and_alignment_is_copied_exactly(copy: Copy) {
        let source: Vec<u8> = (0..4096_u32).map(|i| (i * 31 + i / 256) as u8).collect();
        let lengths = (0..80).chain([127, 128, 255, 1023, 1024, 1025, 1040, 3000]);
        for len in lengths {
            for (from, to) in [(0, 0), (1, 0), (0, 3), (7, 9)] {
                let mut target = vec![0xEE_u8; 4096];
                // SAFETY: both ranges lie inside live, distinct vectors (at most 9 + 3000 bytes).
                let copied =
                    unsafe { copy(target.as_mut_ptr().add(to), source.as_ptr().add(from), len) };
                assert!(copied);
                assert_eq!(
                    target[to..to + len],
                    source[from..from + len],
                    "{len} {from} {to}"
                );
                assert!(
                    target[..to]
                        .iter()
                        .chain(&target[to + len..])
                        .all(|b| *b == 0xEE),
                    "{len}"
                );
            }
        }
    }

    #[test]
    fn the_fast_copy_is_exact() {
        every_length_and_alignment_is_copied_exactly(super::copy);
    }

    #[test]
    fn the_kernels_copy_is_exact() {
        every_length_and_alignment_is_copied_exactly(super::by_kernel::copy);
    }

    #[test]
    fn a_page_that_is_gone_fails_the_copy_in_either_direction_and_at_any_length() {
        super::protect();
        let object = rustix::fs::memfd_create("gone", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&object, 4096).unwrap();
        // SAFETY: a new mapping, reached by the copies below only.
        let page = unsafe {
            use rustix::mm::{MapFlags, ProtFlags};
            let access = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap(
                std::ptr::null_mut(),
                4096,
                access,
                MapFlags::SHARED,
                &object,
                0,
            )
        };
        let page: *mut u8 = page.unwrap().cast();
        rustix::fs::ftruncate(&object, 0).unwrap();
        let mut private = vec![0_u8; 4096];
        for copy in [super::copy as Copy, super::by_kernel::copy as Copy] {
            for len in [1, 2, 3, 4, 7, 8, 15, 16, 17, 100, 1024, 1025, 4096] {
                // SAFETY: `len` is at most the 4096 bytes of both; pages may be gone after `protect`.
                unsafe {
                    assert!(!copy(private.as_mut_ptr(), page, len), "read {len}");
                    assert!(!copy(page, private.as_ptr(), len), "write {len}");
                }
            }
        }
        // SAFETY: mapped above, not used any more.
        unsafe { rustix::mm::munmap(page.cast(), 4096) }.unwrap();
    }
}
