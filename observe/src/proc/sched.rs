//! Sched: when a thread last ran, in the scheduler's own clock, which only a comparison with our own thread translates.

use std::io;
use std::time::Duration;

use rustix::fs::CWD;

use super::file::Scratch;
use super::text::{Words, decimal, field, lines};

/// The three numbers of `schedstat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SchedStat {
    /// Time on a processor, nanoseconds.
    pub run: u64,
    /// Time ready but waiting for a processor, nanoseconds.
    pub wait: u64,
    /// How many times it was put on a processor.
    pub slices: u64,
}

pub(super) fn parse_schedstat(text: &[u8]) -> io::Result<SchedStat> {
    let mut words = Words::new(text).map(decimal);
    let mut next = || {
        words.next().flatten().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "cannot understand schedstat")
        })
    };
    Ok(SchedStat {
        run: next()?,
        wait: next()?,
        slices: next()?,
    })
}

/// `se.exec_start` in nanoseconds; the kernel prints milliseconds with six decimals.
pub(super) fn parse_exec_start(text: &[u8]) -> io::Result<u64> {
    lines(text)
        .find_map(|line| match field(line)? {
            (b"se.exec_start", value) => {
                let mut halves = value.split(|&byte| byte == b'.');
                let milliseconds = decimal(halves.next()?)?;
                let rest = halves.next().and_then(decimal).unwrap_or(0);
                milliseconds.checked_mul(1_000_000)?.checked_add(rest)
            }
            _ => None,
        })
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "no se.exec_start in /proc/PID/sched",
            )
        })
}

/// The scheduler's present, learnt from our own thread.
#[derive(Debug, Clone, Copy)]
pub struct SchedClock {
    now: u64,
}

impl SchedClock {
    /// Reads the clock. Precise to about one tick of the kernel's timer (1 to 10 ms) for threads that ran last on our processor.
    /// Each processor has a clock of its own, from which the time is missing that interrupts and the host of a virtual
    /// machine took: between two of them some ten milliseconds (54 were seen on a busy virtual machine) may be wanting.
    pub fn now(scratch: &mut Scratch) -> io::Result<Self> {
        // The kernel notes the time when it looks at the running thread: giving way makes it look.
        std::thread::yield_now();
        Ok(SchedClock {
            now: parse_exec_start(scratch.read_all(CWD, "/proc/thread-self/sched")?)?,
        })
    }

    /// How long ago `last_ran` (of [`Task::last_ran`](super::Task::last_ran)) was; zero when it is later.
    #[must_use]
    pub fn since(&self, last_ran: u64) -> Duration {
        Duration::from_nanos(self.now.saturating_sub(last_ran))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_the_last_run_is_in_nanoseconds() {
        let text = b"cat (4535, #threads: 1)\n-----\nse.exec_start      :       1929099.550619\n";
        assert_eq!(parse_exec_start(text).expect("a line"), 1_929_099_550_619);
        assert!(parse_exec_start(b"").is_err());
    }
}
