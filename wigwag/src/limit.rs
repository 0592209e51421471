//! Limit: a bound the kernel sets on a facility, with its present value and the error that tells it was reached.

use std::fmt;

/// The type of the `RLIMIT_` constants, of which each libc has its own.
#[cfg(target_env = "musl")]
type Resource = libc::c_int;
#[cfg(not(target_env = "musl"))]
type Resource = libc::__rlimit_resource_t;

/// Where the present value of a limit is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A field (counted from 0) of a file under `/proc/sys`.
    Sysctl(&'static str, usize),
    /// The soft limit of this process, `getrlimit(2)`: the resource's number.
    Rlimit(Resource),
    /// A constant of the kernel.
    Fixed(u64),
}

/// A bound on a facility.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The name to look up and to change: `"fs.mqueue.queues_max"`, `"RLIMIT_MSGQUEUE"`.
    pub name: &'static str,
    /// What it bounds, with the unit.
    pub bounds: &'static str,
    /// Where its value is read.
    pub source: Source,
    /// The `errno` values by which a call says that this limit was reached.
    pub errnos: &'static [i32],
}

impl Limit {
    /// The value in force for this process now; `None` when it is unlimited or cannot be read.
    #[must_use]
    pub fn value(&self) -> Option<u64> {
        match self.source {
            Source::Sysctl(path, field) => {
                let text = std::fs::read_to_string(path).ok()?;
                text.split_whitespace().nth(field)?.parse().ok()
            }
            Source::Rlimit(resource) => soft_limit(resource),
            Source::Fixed(value) => Some(value),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value() {
            Some(value) => write!(f, "{} is {value}", self.name),
            None => write!(f, "see {}", self.name),
        }
    }
}

fn soft_limit(resource: Resource) -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a live, writable rlimit; getrlimit(2) writes nothing else.
    let done = unsafe { libc::getrlimit(resource, &raw mut limit) } == 0;
    // 32 bits on some machines.
    #[allow(clippy::useless_conversion)]
    (done && limit.rlim_cur != libc::RLIM_INFINITY).then(|| limit.rlim_cur.into())
}

/// The limit on open descriptors of a process, which bounds every facility with one.
pub(crate) const OPEN_FILES: Limit = Limit {
    name: "RLIMIT_NOFILE",
    bounds: "open descriptors of the process",
    source: Source::Rlimit(libc::RLIMIT_NOFILE),
    errnos: &[libc::EMFILE],
};

/// The limit on open files of the machine.
pub(crate) const MACHINE_FILES: Limit = Limit {
    name: "fs.file-max",
    bounds: "open files of the machine",
    source: Source::Sysctl("/proc/sys/fs/file-max", 0),
    errnos: &[libc::ENFILE],
};

/// The limit on mappings of a process, which bounds every kind of memory.
pub(crate) const MAPS: Limit = Limit {
    name: "vm.max_map_count",
    bounds: "mappings of one process",
    source: Source::Sysctl("/proc/sys/vm/max_map_count", 0),
    errnos: &[libc::ENOMEM],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_from_where_it_says() {
        let open_files = OPEN_FILES.value().expect("a soft limit of descriptors");
        assert!(open_files >= 64);
        assert_eq!(
            OPEN_FILES.to_string(),
            format!("RLIMIT_NOFILE is {open_files}")
        );
        assert!(MACHINE_FILES.value().is_some());
    }

    #[test]
    fn a_limit_that_cannot_be_read_is_still_named() {
        let limit = Limit {
            name: "kernel.none",
            source: Source::Sysctl("/proc/sys/kernel/there is none", 0),
            ..OPEN_FILES
        };
        assert_eq!(limit.to_string(), "see kernel.none");
    }
}
