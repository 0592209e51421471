//! Signal: which one, by number or name; real-time signals count from `RTMIN`.

use std::fmt;
use std::num::NonZeroI32;
use std::str::FromStr;

use super::FACILITY;
use crate::error::{Error, Kind, Result};

/// A signal: `USR1`, `SIGUSR1`, `10` and `RTMIN+3` are read as text.
///
/// ```
/// use wigwag::signal::Signal;
///
/// let signal: Signal = "RTMIN+3".parse()?;
/// assert_eq!(signal, Signal::realtime(3)?);
/// assert_eq!("usr1".parse::<Signal>()?.to_string(), "SIGUSR1");
/// # Ok::<(), wigwag::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(NonZeroI32);

macro_rules! signals {
    ($($name:ident = $number:ident, $doc:literal;)*) => {
        impl Signal {
            $(
                #[doc = $doc]
                pub const $name: Signal = Signal::fixed(libc::$number);
            )*
        }

        const NAMES: &[(&str, Signal)] = &[$((stringify!($name), Signal::$name)),*];
    };
}

signals! {
    HUP = SIGHUP, "The terminal is gone; daemons read their settings again.";
    INT = SIGINT, "Interrupt from the keyboard.";
    QUIT = SIGQUIT, "Quit from the keyboard, with a core dump.";
    ILL = SIGILL, "Illegal instruction.";
    TRAP = SIGTRAP, "Breakpoint.";
    ABRT = SIGABRT, "The process gave up.";
    BUS = SIGBUS, "Memory that is not there, such as behind a file that was cut.";
    FPE = SIGFPE, "Arithmetic error.";
    KILL = SIGKILL, "The end; cannot be caught or blocked.";
    USR1 = SIGUSR1, "For the program to use.";
    SEGV = SIGSEGV, "Memory that is not mapped.";
    USR2 = SIGUSR2, "For the program to use.";
    PIPE = SIGPIPE, "Nobody reads what was written.";
    ALRM = SIGALRM, "The timer of `alarm(2)`.";
    TERM = SIGTERM, "Please end.";
    CHLD = SIGCHLD, "A child ended or stopped.";
    CONT = SIGCONT, "Go on after a stop.";
    STOP = SIGSTOP, "Stop; cannot be caught or blocked.";
    TSTP = SIGTSTP, "Stop from the keyboard.";
    TTIN = SIGTTIN, "A background process read from the terminal.";
    TTOU = SIGTTOU, "A background process wrote to the terminal.";
    URG = SIGURG, "Urgent data at a socket.";
    XCPU = SIGXCPU, "`RLIMIT_CPU` is used up.";
    XFSZ = SIGXFSZ, "A file would be larger than `RLIMIT_FSIZE`.";
    VTALRM = SIGVTALRM, "The timer of CPU time.";
    PROF = SIGPROF, "The profiling timer.";
    WINCH = SIGWINCH, "The terminal has another size.";
    IO = SIGIO, "A descriptor is ready.";
    PWR = SIGPWR, "The power fails.";
    SYS = SIGSYS, "A bad system call.";
}

impl Signal {
    const fn fixed(number: i32) -> Self {
        match NonZeroI32::new(number) {
            Some(number) => Signal(number),
            None => panic!("signal numbers start at 1"),
        }
    }

    /// The real-time signal `RTMIN+n`. They queue: each one sent is delivered, the lowest number
    /// first and in order within one.
    ///
    /// # Errors
    /// [`Kind::BadInput`] when there are not so many.
    #[doc(alias = "SIGRTMIN")]
    pub fn realtime(n: u32) -> Result<Self> {
        let most = libc::SIGRTMAX() - libc::SIGRTMIN();
        match i32::try_from(n).ok().filter(|n| *n <= most) {
            Some(n) => Ok(Signal::fixed(libc::SIGRTMIN() + n)),
            None => Err(unknown(
                format!("RTMIN+{n}"),
                format!("the last real-time signal is RTMIN+{most}"),
            )),
        }
    }

    /// Whether each one sent is delivered; of others one stands for all that are pending.
    #[must_use]
    pub fn is_realtime(self) -> bool {
        self.number() >= libc::SIGRTMIN()
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0.get()
    }

    /// From a number the kernel gave.
    pub(super) fn from_kernel(number: i32) -> Self {
        Signal(NonZeroI32::new(number).unwrap_or(NonZeroI32::MAX))
    }
}

impl TryFrom<i32> for Signal {
    type Error = Error;

    /// Any number from 1 to `SIGRTMAX` but 32 and 33, which the C library keeps for itself.
    fn try_from(number: i32) -> Result<Self> {
        let realtime = libc::SIGRTMIN()..=libc::SIGRTMAX();
        match NonZeroI32::new(number) {
            Some(known) if (1..32).contains(&number) || realtime.contains(&number) => {
                Ok(Signal(known))
            }
            _ => Err(unknown(
                number,
                format!(
                    "a signal is a number from 1 to 31 or from {} to {}",
                    realtime.start(),
                    realtime.end()
                ),
            )),
        }
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> i32 {
        signal.number()
    }
}

impl FromStr for Signal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Ok(number) = text.parse::<i32>() {
            return Signal::try_from(number);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, signal)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(*signal);
        }
        let count = |rest: &str, sign| match rest.strip_prefix(sign) {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
            None if rest.is_empty() => Some(0),
            _ => None,
        };
        let up = name.strip_prefix("RTMIN").and_then(|rest| count(rest, '+'));
        let down = name.strip_prefix("RTMAX").and_then(|rest| count(rest, '-'));
        let realtime = (libc::SIGRTMAX() - libc::SIGRTMIN()).cast_unsigned();
        match (up, down.map(|n| realtime.checked_sub(n))) {
            (Some(n), _) | (_, Some(Some(n))) => Signal::realtime(n),
            _ => Err(unknown(
                text,
                "a signal is a name such as USR1 or RTMIN+3, or a number".into(),
            )),
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, first) = (self.number(), libc::SIGRTMIN());
        match NAMES.iter().find(|(_, signal)| signal == self) {
            Some((name, _)) => f.pad(&format!("SIG{name}")),
            None if number == first => f.pad("SIGRTMIN"),
            None if number > first => f.pad(&format!("SIGRTMIN+{}", number - first)),
            None => f.pad(&number.to_string()),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn unknown(written: impl fmt::Display, why: String) -> Error {
    FACILITY.error(Kind::BadInput, "understand", written, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_prints_as_it_is_read() {
        for number in (1..=31).chain(libc::SIGRTMIN()..=libc::SIGRTMAX()) {
            let Ok(signal) = Signal::try_from(number) else {
                panic!("{number}");
            };
            assert_eq!(signal.to_string().parse::<Signal>().unwrap(), signal);
            assert_eq!(number.to_string().parse::<Signal>().unwrap(), signal);
        }
        let last: Signal = "RTMAX".parse().unwrap();
        assert_eq!(last.number(), libc::SIGRTMAX());
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for bad in [
            "0",
            "-1",
            "32",
            "33",
            "65",
            "FOO",
            "SIG",
            "",
            "RTMIN+",
            "RTMIN+31",
            "RTMIN-1",
            "RTMIN++1",
            "RTMAX-31",
            "RTMAX+1",
            "4294967297",
        ] {
            let error = bad.parse::<Signal>().expect_err(bad);
            assert_eq!(error.kind(), Kind::BadInput, "{bad}");
        }
    }
}
