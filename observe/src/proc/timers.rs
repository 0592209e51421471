//! Timers: the POSIX timers of a process, whose signals may end what it waits for; timer_create(2), proc_pid_timers(5).
//!
//! Whether one is running is not told, and those of alarm(2) and setitimer(2) are not in the list.

use std::io;

use super::text::{decimal, signed};
use super::{Process, Scratch};

/// A timer of timer_create(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PosixTimer {
    /// The signal it sends.
    pub signal: u32,
    /// To whom: a process, or one thread of it, by its number in its own pid namespace; 0 for nobody.
    pub to: u32,
    /// `to` is a thread.
    pub to_thread: bool,
    /// Of which clock, as clock_gettime(2) numbers them; negative for the processor time of somebody.
    pub clock: i32,
}

impl PosixTimer {
    /// Whether it goes on while the process sleeps; one that counts processor time does not.
    #[must_use]
    pub fn runs_in_sleep(&self) -> bool {
        self.clock >= 0
            && !matches!(
                self.clock,
                libc::CLOCK_PROCESS_CPUTIME_ID | libc::CLOCK_THREAD_CPUTIME_ID
            )
    }
}

impl Process {
    /// Its POSIX timers. `ENOENT` where the kernel was built without `CONFIG_CHECKPOINT_RESTORE`.
    pub fn timers(&self, scratch: &mut Scratch) -> io::Result<Vec<PosixTimer>> {
        Ok(parse(scratch.read_all(self.dir(), "timers")?))
    }
}

/// ```text
/// ID: 1
/// signal: 60/00007fff86e452a8
/// notify: signal/pid.2634
/// ClockID: 0
/// ```
fn parse(text: &[u8]) -> Vec<PosixTimer> {
    let mut timers: Vec<PosixTimer> = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let number = |bytes: &[u8]| {
            let number = decimal(bytes).and_then(|number| u32::try_from(number).ok());
            number.unwrap_or(0)
        };
        if name == b"ID" {
            timers.push(PosixTimer {
                signal: 0,
                to: 0,
                to_thread: false,
                clock: 0,
            });
        }
        let Some(timer) = timers.last_mut() else {
            continue;
        };
        match name {
            b"signal" => {
                let end = value.iter().position(|&byte| byte == b'/');
                timer.signal = number(&value[..end.unwrap_or(value.len())]);
            }
            b"notify" => {
                if let Some(to) = value.strip_prefix(b"signal/") {
                    timer.to_thread = to.starts_with(b"tid.");
                    timer.to = number(to.get(4..).unwrap_or_default());
                }
            }
            b"ClockID" => {
                let clock = signed(value).and_then(|clock| i32::try_from(clock).ok());
                timer.clock = clock.unwrap_or(0);
            }
            _ => {}
        }
    }
    timers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_manual_is_read() {
        let text = b"ID: 1\nsignal: 60/00007fff86e452a8\nnotify: signal/pid.2634\nClockID: 0\nID: 0\nsignal: 32/00007fff86e452a8\nnotify: signal/tid.2635\nClockID: 1\nID: 2\nsignal: 0/0\nnotify: none/pid.1\nClockID: -6\n";
        let timer = |signal, to, to_thread, clock| PosixTimer {
            signal,
            to,
            to_thread,
            clock,
        };
        let timers = [
            timer(60, 2634, false, 0),
            timer(32, 2635, true, 1),
            timer(0, 0, false, -6),
        ];
        assert_eq!(parse(text), timers);
        assert!(timers[0].runs_in_sleep() && !timers[2].runs_in_sleep());
        assert_eq!(parse(b""), []);
    }
}
