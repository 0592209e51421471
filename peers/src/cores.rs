//! Cores: where two processes run, and how long other work kept them from running there.
//!
//! Left to itself the scheduler puts two who wake each other now on one core and now on two, where a wake-up costs
//! ten times as much. So whoever is compared is pinned, both sides alike.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

/// The cores that this process may use, as it was started.
pub fn allowed() -> &'static [usize] {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    ALLOWED.get_or_init(|| {
        // SAFETY: a set of bits, all of them valid when zero; the call gets its address and size.
        let set = unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::sched_getaffinity(0, size_of_val(&set), &raw mut set);
            set
        };
        // SAFETY: inside the set.
        let is_in = |core: &usize| unsafe { libc::CPU_ISSET(*core, &set) };
        (0..libc::CPU_SETSIZE as usize).filter(is_in).collect()
    })
}

/// Puts the calling thread on these cores.
pub fn run_on(cores: &[usize]) -> io::Result<()> {
    // SAFETY: a set of bits; the calls get its address and size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for core in cores {
            libc::CPU_SET(*core, &mut set);
        }
        if libc::sched_setaffinity(0, size_of_val(&set), &raw const set) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Where the two processes of a comparison run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// Both on one core.
    OneCore,
    /// Each on a core of its own.
    TwoCores,
}

impl Place {
    /// The core of this process and that of its partner.
    pub fn cores(self) -> io::Result<[usize; 2]> {
        match (self, allowed()) {
            (Place::OneCore, [first, ..]) => Ok([*first; 2]),
            (Place::TwoCores, [first, second, ..]) => Ok([*first, *second]),
            _ => Err(io::Error::other(
                "two processes are compared on two cores, and this one may use one only: see taskset(1)",
            )),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Place::OneCore => "one core",
            Place::TwoCores => "two cores",
        })
    }
}

/// Sets whether the calling thread runs before all ordinary work of the machine, which it may if root started it; else nothing
/// changes, and more is measured in vain.
pub fn run_first(first: bool) {
    let (policy, priority) = if first {
        (libc::SCHED_FIFO, 1)
    } else {
        (libc::SCHED_OTHER, 0)
    };
    let mut param: libc::sched_param = {
        // SAFETY: numbers, of which zero is valid.
        unsafe { std::mem::zeroed() }
    };
    param.sched_priority = priority;
    // SAFETY: gets the address of a live structure.
    unsafe { libc::sched_setscheduler(0, policy, &raw const param) };
}

/// How long the first thread of a process has been ready to run without running.
pub fn delay(pid: u32) -> io::Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let nanoseconds = text
        .split(' ')
        .nth(1)
        .and_then(|number| number.parse().ok());
    let unknown =
        || io::Error::other("the kernel does not count how long a process waits for a core");
    Ok(Duration::from_nanos(nanoseconds.ok_or_else(unknown)?))
}

/// How long a process has run.
pub fn run_time(pid: u32) -> io::Result<Duration> {
    let mut clock = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both get the addresses of live values.
    unsafe {
        let pid = pid.try_into().map_err(io::Error::other)?;
        match libc::clock_getcpuclockid(pid, &raw mut clock) {
            0 => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
        if libc::clock_gettime(clock, &raw mut time) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}
