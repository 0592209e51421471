//! Syscall: what a sleeping thread asked of the kernel, number and six arguments, read without stopping it.

use std::io;

use super::text::{Words, hex, signed};

/// What `/proc/PID/task/TID/syscall` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Syscall {
    /// It runs, or has just been woken.
    Running,
    /// It sleeps, but not in a system call: a page fault, or stopped before its first instruction.
    Outside {
        /// Stack pointer.
        sp: u64,
        /// Instruction pointer.
        pc: u64,
    },
    /// It sleeps in a system call.
    In(Call),
}

/// A system call with its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Call {
    /// The number; which table it counts in depends on the program (a 32-bit program has other numbers). After a stop it may
    /// be that of `restart_syscall`, with the arguments of the call it restarts.
    pub number: i64,
    /// The six argument registers, whether the call uses them or not.
    pub args: [u64; 6],
    /// Stack pointer.
    pub sp: u64,
    /// Instruction pointer.
    pub pc: u64,
}

impl Syscall {
    /// The call, if it sleeps in one.
    #[must_use]
    pub fn call(&self) -> Option<&Call> {
        match self {
            Syscall::In(call) => Some(call),
            _ => None,
        }
    }
}

pub(super) fn parse(text: &[u8]) -> io::Result<Syscall> {
    if text.starts_with(b"running") {
        return Ok(Syscall::Running);
    }
    parse_numbers(text).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "cannot understand /proc/PID/syscall",
        )
    })
}

fn parse_numbers(text: &[u8]) -> Option<Syscall> {
    let mut words = Words::new(text);
    let number = signed(words.next()?)?;
    let mut registers = words.map_while(hex);
    if number == -1 {
        return Some(Syscall::Outside {
            sp: registers.next()?,
            pc: registers.next()?,
        });
    }
    let mut args = [0; 6];
    for arg in &mut args {
        *arg = registers.next()?;
    }
    Some(Syscall::In(Call {
        number,
        args,
        sp: registers.next()?,
        pc: registers.next()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_told_apart() {
        assert_eq!(parse(b"running\n").expect("known form"), Syscall::Running);
        assert_eq!(
            parse(b"-1 0x7f 0x40\n").expect("known form"),
            Syscall::Outside { sp: 0x7f, pc: 0x40 }
        );
        let call =
            parse(b"202 0x1 0x189 0x0 0x0 0x0 0xffffffff 0x7ffc 0x7f00\n").expect("known form");
        let call = *call.call().expect("in a call");
        assert_eq!(
            (call.number, call.args, call.sp, call.pc),
            (202, [1, 0x189, 0, 0, 0, 0xffff_ffff], 0x7ffc, 0x7f00)
        );
        assert!(parse(b"202 0x1\n").is_err());
    }
}
