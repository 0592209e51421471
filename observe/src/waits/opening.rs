//! Opening: a FIFO waits for a partner at the other end; a leased file for the lease holder to let go.

use super::abi::Sys;
use super::ask::{Ask, Need, live};
use super::kernel;
use crate::graph::{Clause, Outside, State, Waker};
use crate::proc::locks::LockKind;
use crate::proc::memory;
use rustix::fs::{AtFlags, StatxFlags, statx};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// Blocked in open(2).
pub(super) fn opening(ask: &Ask<'_>) -> State {
    if let Some(state) = kernel::served(ask) {
        return state;
    }
    let wchan = ask.wchan();
    let (path, flags) = match ask.sys {
        Sys::Open => (ask.arg(0), ask.int(1)),
        _ => (ask.arg(1), ask.int(2)),
    };
    let path = memory::read_c_string(ask.thread.tid, path, 4096).unwrap_or_default();
    let shown = String::from_utf8_lossy(&path).into_owned();
    if wchan.contains("break_lease") {
        return lease(ask, shown);
    }
    if !wchan.contains("wait_for_partner") && !wchan.contains("fifo_open") {
        return live("opens a file");
    }
    let links = file(ask, path).map_or(1, |(links, _)| links);
    let partner = if flags & libc::O_ACCMODE == libc::O_RDONLY {
        "writer"
    } else {
        "reader"
    };
    let why = format!("opens the FIFO, which has no {partner}");
    let outside = if links == 0 {
        Outside::Closed
    } else {
        Outside::Named
    };
    Need::new("fifo", shown, why, Clause::default().outside(outside)).wait()
}

/// Number of names and inode of a file that the thread was able to look up itself.
fn file(ask: &Ask<'_>, path: Vec<u8>) -> Option<(u32, u64)> {
    let base = if path.starts_with(b"/") {
        format!("/proc/{}/root/.", ask.thread.tid)
    } else if ask.sys == Sys::OpenAt && ask.fd(0) >= 0 {
        format!("/proc/{}/fd/{}", ask.thread.tid, ask.fd(0))
    } else {
        format!("/proc/{}/cwd", ask.thread.tid)
    };
    let mut full = PathBuf::from(base).into_os_string().into_vec();
    full.push(b'/');
    full.extend_from_slice(&path);
    let stat = statx(
        rustix::fs::CWD,
        full,
        AtFlags::STATX_DONT_SYNC,
        StatxFlags::BASIC_STATS,
    )
    .ok()?;
    Some((stat.stx_nlink, stat.stx_ino))
}

fn lease(ask: &Ask<'_>, path: String) -> State {
    let holders: Vec<Waker> = ask
        .machine
        .locks()
        .lines
        .iter()
        .filter(|line| line.kind == LockKind::Lease && &*line.state == "BREAKING" && !line.waits())
        .filter_map(|line| u32::try_from(line.pid).ok())
        .map(|pid| Waker::process(pid).role("has a lease on it"))
        .collect();
    let limit = std::fs::read_to_string("/proc/sys/fs/lease-break-time").unwrap_or_default();
    let mut need = Need::new(
        "lease",
        path,
        "opens a file that is leased",
        Clause::any(holders),
    );
    // The kernel takes the lease away after that many seconds.
    need.limited = limit.trim() != "0";
    need.wait()
}
