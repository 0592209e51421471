//! Status: `/proc/PID/status`, the one table that gives a process's numbers in every pid namespace and its signal masks.

use super::text::{Words, decimal, field, hex, lines};

/// A set of signals, as the kernel prints it: bit n−1 is signal n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// Whether signal `number` is in it.
    #[must_use]
    pub fn contains(self, number: u32) -> bool {
        (1..=64).contains(&number) && self.0 >> (number - 1) & 1 == 1
    }

    /// The numbers in it, ascending.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (1..=64).filter(move |&number| self.contains(number))
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The lines of `status` that matter here; proc_pid_status(5). A line that is absent stays at its default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Thread group, that is the process number.
    pub tgid: u32,
    /// Parent process.
    pub ppid: u32,
    /// Who traces it; 0 for nobody.
    pub tracer: u32,
    /// Real, effective, saved and file system user.
    pub uids: [u32; 4],
    /// Real, effective, saved and file system group.
    pub gids: [u32; 4],
    /// Number of the thread in each pid namespace, from the reader's inwards.
    pub ns_pids: Vec<u32>,
    /// Number of its process in each of them.
    pub ns_tgids: Vec<u32>,
    /// Signals queued for the real user of the process, all its processes together.
    pub queued: u64,
    /// How many may be queued.
    pub queue_limit: u64,
    /// Pending for this thread.
    pub pending: SignalSet,
    /// Pending for the process.
    pub shared_pending: SignalSet,
    /// Blocked by this thread.
    pub blocked: SignalSet,
    /// Ignored by the process.
    pub ignored: SignalSet,
    /// Caught by the process.
    pub caught: SignalSet,
    /// Effective capabilities.
    pub capabilities: u64,
    /// Context switches by going to sleep.
    pub voluntary_switches: u64,
    /// Context switches by losing the processor.
    pub involuntary_switches: u64,
}

pub(super) fn parse(text: &[u8]) -> Status {
    let mut status = Status::default();
    for line in lines(text) {
        let Some((name, value)) = field(line) else {
            continue;
        };
        let number = || decimal(value).unwrap_or(0);
        let small = || number().try_into().unwrap_or(0);
        let mask = || SignalSet(hex(value).unwrap_or(0));
        match name {
            b"Tgid" => status.tgid = small(),
            b"PPid" => status.ppid = small(),
            b"TracerPid" => status.tracer = small(),
            b"Uid" => status.uids = four(value),
            b"Gid" => status.gids = four(value),
            b"NSpid" => status.ns_pids = numbers(value),
            b"NStgid" => status.ns_tgids = numbers(value),
            b"SigQ" => {
                let mut parts = value
                    .split(|&byte| byte == b'/')
                    .map(|part| decimal(part).unwrap_or(0));
                status.queued = parts.next().unwrap_or(0);
                status.queue_limit = parts.next().unwrap_or(0);
            }
            b"SigPnd" => status.pending = mask(),
            b"ShdPnd" => status.shared_pending = mask(),
            b"SigBlk" => status.blocked = mask(),
            b"SigIgn" => status.ignored = mask(),
            b"SigCgt" => status.caught = mask(),
            b"CapEff" => status.capabilities = hex(value).unwrap_or(0),
            b"voluntary_ctxt_switches" => status.voluntary_switches = number(),
            b"nonvoluntary_ctxt_switches" => status.involuntary_switches = number(),
            _ => {}
        }
    }
    status
}

fn numbers(value: &[u8]) -> Vec<u32> {
    Words::new(value)
        .filter_map(decimal)
        .filter_map(|number| number.try_into().ok())
        .collect()
}

fn four(value: &[u8]) -> [u32; 4] {
    let mut all = [0; 4];
    for (place, number) in all.iter_mut().zip(numbers(value)) {
        *place = number;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_and_namespaced_numbers_are_read() {
        let status = parse(b"Name:\tx\nTgid:\t7\nUid:\t1\t2\t3\t4\nNSpid:\t70\t7\nSigQ:\t2/3000\nSigCgt:\t0000000000004202\nodd\n");
        assert_eq!(status.uids, [1, 2, 3, 4]);
        assert_eq!(status.ns_pids, [70, 7]);
        assert_eq!((status.queued, status.queue_limit), (2, 3000));
        assert_eq!(status.caught.iter().collect::<Vec<_>>(), [2, 10, 15]);
    }
}
