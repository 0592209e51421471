//! Readers of what the kernel tells about other processes: one file per interface, lossless, and never a stop or a write.
//!
//! | need | use |
//! |---|---|
//! | which processes there are | [`ProcFs::open`], [`ProcFs::pids`], [`ProcFs::process`] → [`Process`] |
//! | a process that cannot be mistaken for a later one | [`Process::identity`] → [`Identity`] |
//! | its threads | [`Process::tids`], [`Process::task`] → [`Task`] |
//! | state, parent, start time | [`Process::stat`], [`Task::stat`] → [`Stat`] |
//! | users, signal masks, tracer, numbers in other pid namespaces | [`Process::status`], [`Task::status`] → [`Status`] |
//! | did it run between two looks | [`Task::schedstat`] → [`SchedStat`] |
//! | how long has it been asleep | [`Task::last_ran`] with [`SchedClock`] |
//! | the system call it sleeps in, with arguments | [`Task::syscall`] → [`Syscall`] |
//! | the kernel function it sleeps in | [`Task::wchan`] |
//! | its descriptors, with direction | [`Process::fds`] → [`Fd`] with [`Link`] |
//! | more about one descriptor: flags, locks, epoll interest, eventfd count | [`Process::fdinfo`] → [`FdInfo`] |
//! | the file behind a descriptor: device, inode, type | [`Process::fd_file`] → [`FileFacts`] |
//! | its mappings | [`Process::mappings`] → [`Mapping`] |
//! | its POSIX timers | [`Process::timers`] → [`PosixTimer`] |
//! | its memory | [`memory::read`], [`memory::read_words`] |
//! | all file locks and who queues behind them | [`locks::read`] → [`LockLine`] |
//! | System V queues, sets, segments | [`sysvipc::queues`], [`sysvipc::sets`], [`sysvipc::segments`]; one semaphore: [`sysvipc::semaphore`] |
//! | Unix sockets with peers and queues | [`unix_diag::sockets`] → [`UnixSocket`] |
//! | TCP and UDP sockets | [`inet_diag::sockets`] → [`InetSocket`] |
//! | POSIX queues, also with no mount | [`mqueue::open_directory`] |
//! | fill of a pipe, socket, queue of another process | [`probe::Borrowed`] |
//! | namespaces, and a look from inside another one | [`namespace`] |
//! | is it frozen | [`cgroup::frozen`] |
//! | robust mutexes it holds | [`robust::list`] |
//! | are two descriptors one open description | [`kcmp::same_file`] |
//!
//! Everything here returns [`std::io::Result`]. [`gone`] and [`denied`] tell the two errors apart that are no errors at all:
//! the process has ended meanwhile, or it is somebody else's. A [`Process`] holds its `/proc/PID` directory open, so that a
//! new process with the same number is never read by mistake: reads after the end fail with `ESRCH`.
//!
//! Nothing here follows a link in `/proc/PID/fd` with an open: that would add a reader or writer to a pipe.

pub(crate) mod abi;
pub(crate) mod brief;
mod fd;
mod fdinfo;
mod file;
mod maps;
mod process;
mod sched;
mod stat;
mod status;
mod syscall;
mod task;
pub(crate) mod text;
mod timers;

pub mod cgroup;
pub mod inet_diag;
pub mod kcmp;
pub mod locks;
pub mod memory;
pub mod mqueue;
pub mod namespace;
mod netlink;
pub mod probe;
pub mod robust;
pub mod sysvipc;
pub mod unix_diag;

pub(crate) use fd::facts;
pub use fd::{Access, Device, Fd, FileFacts, FileId, Link};
pub use fdinfo::{EpollTarget, FdInfo, Timer};
pub use file::Scratch;
pub use inet_diag::InetSocket;
pub use locks::{LockKind, LockLine, Locks};
pub use maps::{MapLine, Mapping};
pub use process::{Identity, ProcFs, Process};
pub use sched::{SchedClock, SchedStat};
pub use stat::{Stat, TaskState};
pub use status::{SignalSet, Status};
pub use syscall::{Call, Syscall};
pub use task::Task;
pub use timers::PosixTimer;
pub use unix_diag::UnixSocket;

/// Whether the error only says that the process or thread has ended.
#[must_use]
pub fn gone(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT))
}

/// Whether the error only says that the process is not ours to look into.
#[must_use]
pub fn denied(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM))
}
