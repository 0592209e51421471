//! SlowMounts: file systems whose server may be dead, so that a file on one is never asked about itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::proc::text::{Words, lines, unescape};
use crate::proc::{Process, Scratch, namespace};

/// File systems that ask a server or a program.
const SLOW: &[&[u8]] = &[
    b"nfs",
    b"nfs4",
    b"cifs",
    b"smb3",
    b"9p",
    b"ceph",
    b"afs",
    b"fuse",
    b"fuseblk",
    b"coda",
    b"orangefs",
    b"lustre",
];

/// Mount points of such file systems, by mount namespace.
pub(super) struct SlowMounts {
    own: u64,
    known: Mutex<HashMap<u64, Arc<Vec<Vec<u8>>>>>,
}

impl SlowMounts {
    pub(super) fn new(own: u64) -> Self {
        SlowMounts {
            own,
            known: Mutex::default(),
        }
    }

    pub(super) fn is_own(&self, space: u64) -> bool {
        space == self.own
    }

    /// Mount points that the process sees.
    pub(super) fn of(&self, process: &Process, scratch: &mut Scratch) -> Arc<Vec<Vec<u8>>> {
        let space = namespace::of(process, namespace::Kind::Mount).unwrap_or(self.own);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || {
            Arc::new(
                process
                    .read("mountinfo", scratch)
                    .map(points)
                    .unwrap_or_default(),
            )
        };
        Arc::clone(known.entry(space).or_insert_with(read))
    }
}

/// Whether `path` lies on one of the mounts.
pub(super) fn covers(points: &[Vec<u8>], path: &[u8]) -> bool {
    points.iter().any(|point| {
        path.strip_prefix(point.as_slice())
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'/' || point == b"/")
    })
}

/// `36 35 98:0 /root /point opts shared:1 - ext3 /dev/root rw`
fn points(table: &[u8]) -> Vec<Vec<u8>> {
    lines(table)
        .filter_map(|line| {
            let mut words = Words::new(line);
            let point = words.nth(4)?;
            let kind = words.skip_while(|word| *word != b"-").nth(1)?;
            let slow = SLOW.contains(&kind) || kind.starts_with(b"fuse.");
            slow.then(|| unescape(point))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_that_ask_somebody_are_slow() {
        let table = b"24 1 254:0 / / rw - ext4 /dev/vda rw\n30 24 0:40 / /mnt/a\\040b rw shared:1 - nfs4 h:/x rw\n31 24 0:41 / /f rw - fuse.sshfs x rw\n";
        let points = points(table);
        assert_eq!(points, [b"/mnt/a b".to_vec(), b"/f".to_vec()]);
        assert!(covers(&points, b"/mnt/a b/c") && covers(&points, b"/f"));
        assert!(!covers(&points, b"/foo"));
    }
}
