//! Step: a child whose operation is executed instruction by instruction, and killed after any of them.
//!
//! The child calls [`begin`], does the operation, calls [`end`]; the test follows it with `ptrace(2)`.

use std::time::Instant;

use crate::process::{self, Child, PATIENCE};

fn trap() {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    // SAFETY: a breakpoint; the tracer sees it.
    unsafe {
        std::arch::asm!("int3")
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
    // SAFETY: a signal to this thread; the tracer sees it.
    unsafe {
        libc::raise(libc::SIGTRAP);
    }
}

/// In the child: from here on the test steps.
#[inline(never)]
pub fn begin() {
    // SAFETY: no pointers.
    let tid = unsafe {
        libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
        libc::syscall(libc::SYS_gettid)
    };
    process::say(&format!("steps {tid}"));
    trap();
}

/// In the child: the operation is complete.
#[inline(never)]
pub fn end() {
    trap();
    // The test kills it before this returns.
    std::thread::sleep(PATIENCE);
}

/// Where a victim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// In the operation.
    Inside,
    /// Behind it.
    End,
}

/// A stopped child.
pub struct Victim {
    child: Child,
    tid: i32,
}

impl Victim {
    /// Waits until `child` has begun.
    pub fn of(mut child: Child) -> Self {
        let line = child.line();
        let tid = line
            .strip_prefix("steps ")
            .unwrap_or_else(|| panic!("the victim says {line}"));
        let victim = Victim {
            child,
            tid: tid.parse().expect("a thread id"),
        };
        assert_eq!(
            victim.stopped(),
            Some(libc::SIGTRAP),
            "it begins with a trap"
        );
        let options = libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD;
        victim.ptrace(libc::PTRACE_SETOPTIONS, options as usize);
        victim
    }

    fn ptrace(&self, request: libc::c_uint, data: usize) {
        // SAFETY: a request without pointers to a stopped child of this thread.
        let answer = unsafe { libc::ptrace(request, self.tid, 0, data) };
        assert_eq!(
            answer,
            0,
            "ptrace {request}: {}",
            std::io::Error::last_os_error()
        );
    }

    /// Waits for its next stop and returns the signal; none when it ended.
    fn stopped(&self) -> Option<i32> {
        let mut status = 0;
        // SAFETY: the pointer is valid for writing.
        let answer = unsafe { libc::waitpid(self.tid, &raw mut status, libc::__WALL) };
        assert_eq!(
            answer,
            self.tid,
            "waitpid: {}",
            std::io::Error::last_os_error()
        );
        libc::WIFSTOPPED(status).then(|| libc::WSTOPSIG(status))
    }

    fn is_breakpoint(&self) -> bool {
        // SAFETY: a structure of numbers; the pointer is valid for writing.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::ptrace(libc::PTRACE_GETSIGINFO, self.tid, 0, &raw mut info);
            // The breakpoint of x86 says SI_KERNEL, raise() SI_TKILL; a step TRAP_TRACE, and TRAP_BRKPT over a system call.
            matches!(info.si_code, 0x80 | libc::SI_TKILL)
        }
    }

    /// Executes at most `count` instructions.
    pub fn step(&self, count: usize) -> At {
        for _ in 0..count {
            self.ptrace(libc::PTRACE_SINGLESTEP, 0);
            match self.stopped() {
                Some(libc::SIGTRAP) if self.is_breakpoint() => return At::End,
                Some(libc::SIGTRAP) => {}
                other => panic!("the victim was stopped by {other:?}"),
            }
        }
        At::Inside
    }

    /// Executes at most `count` instructions, but does not make it sleep; whether it could go so far.
    pub fn step_until_asleep(&self, count: usize) -> bool {
        for _ in 0..count {
            if self.is_at_futex_wait() {
                return false;
            }
            if self.step(1) == At::End {
                return false;
            }
        }
        true
    }

    /// Whether the next instruction is the system call that sleeps.
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    fn is_at_futex_wait(&self) -> bool {
        // SAFETY: a structure of numbers; the pointer is valid, and the child is stopped.
        let registers = unsafe {
            let mut registers: libc::user_regs_struct = std::mem::zeroed();
            libc::ptrace(libc::PTRACE_GETREGS, self.tid, 0, &raw mut registers);
            registers
        };
        #[cfg(target_arch = "x86_64")]
        let (place, number, operation) = (registers.rip, registers.rax, registers.rsi);
        #[cfg(target_arch = "x86")]
        let (place, number, operation) = (registers.eip, registers.eax, registers.ecx);
        // SAFETY: the child is stopped; its memory is only read.
        let code = unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, self.tid, place, 0) };
        // The bytes of `syscall`, and of `sysenter` and `int 0x80` in 32-bit programs.
        matches!(code & 0xffff, 0x050f | 0x340f | 0x80cd)
            && process::is_in(&number.to_string(), libc::SYS_futex)
            && matches!(operation & 0x7f, 0 | 6 | 9 | 13)
    }

    /// Lets it run into the futex on which it waits, and returns when it sleeps there.
    pub fn run_into_futex(&self) {
        loop {
            self.ptrace(libc::PTRACE_SYSCALL, 0);
            assert_eq!(
                self.stopped(),
                Some(libc::SIGTRAP | 0x80),
                "it enters a system call"
            );
            // Both the entry and the exit stop here; the call is in /proc at the entry only while it is being made.
            if self.in_futex_wait() {
                break;
            }
        }
        self.ptrace(libc::PTRACE_SINGLESTEP, 0);
        let start = Instant::now();
        while !self.sleeps() {
            assert!(start.elapsed() < PATIENCE, "the victim does not sleep");
        }
    }

    fn in_futex_wait(&self) -> bool {
        let text =
            std::fs::read_to_string(format!("/proc/{}/syscall", self.tid)).unwrap_or_default();
        let mut words = text.split(' ');
        let number = words.next().unwrap_or_default();
        let operation = words
            .nth(1)
            .and_then(|word| i64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
        // FUTEX_WAIT, FUTEX_LOCK_PI, FUTEX_WAIT_BITSET, FUTEX_LOCK_PI2
        process::is_in(number, libc::SYS_futex)
            && operation.is_some_and(|operation| matches!(operation & 0x7f, 0 | 6 | 9 | 13))
    }

    fn sleeps(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{0}/task/{0}/stat", self.tid))
            .unwrap_or_default();
        // Its nap may be over already: then it is stopped behind the call.
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" S") || rest.starts_with(" t"))
    }

    /// After [`run_into_futex`](Self::run_into_futex) and a wake-up: waits until it is back from the kernel.
    pub fn returns(&self) {
        assert_eq!(
            self.stopped(),
            Some(libc::SIGTRAP),
            "it returns from the system call"
        );
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(self) {}
}

impl Drop for Victim {
    /// The traced thread must be buried before its process can be.
    fn drop(&mut self) {
        // SAFETY: no pointers.
        unsafe { libc::kill(self.child.pid(), libc::SIGKILL) };
        let mut status = 0;
        // SAFETY: the pointer is valid for writing.
        while unsafe { libc::waitpid(self.tid, &raw mut status, libc::__WALL) } == self.tid
            && libc::WIFSTOPPED(status)
        {}
        self.child.kill();
    }
}
