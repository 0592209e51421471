//! Signals: a real-time signal with a value, queued to this process and received at a descriptor.

use std::os::fd::AsRawFd;

use wigwag::signal::{self, Receiver, Signal};

use super::{Case, MUST, bare};
use crate::duel::{Effort, duel};
use crate::row::Row;

/// The comparisons.
pub const CASES: &[Case] = &[("signal: queue and receive", queue)];

fn queue(effort: Effort, name: &str) -> wigwag::Result<Row> {
    let (ours, theirs) = (Signal::realtime(1)?, Signal::realtime(2)?);
    let (receiver, raw) = (Receiver::open(ours)?, Receiver::open(theirs)?);
    let pid = std::process::id().cast_signed();
    let mut info = [0_u8; 128];
    duel(
        effort,
        name,
        "sigqueue(3), read(2) of a signalfd",
        MUST,
        || {
            signal::queue(pid, ours, 7)?;
            receiver.recv().map(drop)
        },
        || {
            let value = libc::sigval {
                sival_ptr: std::ptr::without_provenance_mut(7),
            };
            // SAFETY: the pointer and length are those of a live array; nobody follows the value.
            unsafe {
                bare(libc::sigqueue(pid, theirs.number(), value))?;
                let (start, len) = (info.as_mut_ptr().cast(), info.len());
                bare(libc::read(raw.as_raw_fd(), start, len))?;
            }
            Ok(())
        },
    )
}
