//! Namespaces: which one a process is in, and a look at tables from inside another one, on a thread that is given up for it.

use std::io;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Process;

/// Kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Network: sockets, abstract names.
    Network,
    /// IPC: System V objects, POSIX queues.
    Ipc,
    /// Processes.
    Pid,
    /// Mounts.
    Mount,
    /// Users.
    User,
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Kind::Network => "ns/net",
            Kind::Ipc => "ns/ipc",
            Kind::Pid => "ns/pid",
            Kind::Mount => "ns/mnt",
            Kind::User => "ns/user",
        }
    }
}

/// Inode number of the namespace a process is in: equal numbers, same namespace.
pub fn of(process: &Process, kind: Kind) -> io::Result<u64> {
    Ok(statat(process.dir(), kind.path(), AtFlags::empty())?.st_ino)
}

/// Runs `look` inside the network or IPC namespace of a process. Needs `CAP_SYS_ADMIN`.
///
/// A new thread enters the namespace and ends afterwards, so that the caller stays where it is.
///
/// # Errors
/// When the namespace cannot be entered; a mount, user or pid namespace cannot be entered by one thread.
pub fn inside<T: Send>(
    process: &Process,
    kind: Kind,
    look: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let flag = match kind {
        Kind::Network => LinkNameSpaceType::Network,
        Kind::Ipc => LinkNameSpaceType::InterProcessCommunication,
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    let namespace: OwnedFd = openat(
        process.dir(),
        kind.path(),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let enter = || {
        move_into_link_name_space(namespace.as_fd(), Some(flag))?;
        look()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, enter)?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
