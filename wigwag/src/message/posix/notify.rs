//! Notice: the kernel tells once that a message came to an empty queue, by signal, thread or descriptor.
//!
//! Right order: register, then receive until the queue is empty, then wait. A notice comes only
//! when an empty queue gets a message while nobody waits in a receive; it comes once, and has to
//! be [armed](Notice::rearm) again *before* the queue is emptied, or a message in between is
//! never told. One process at a time can be registered with a queue.
//!
//! `mq_notify(3)`. The descriptor form hands the kernel a netlink socket, as the C library does
//! for its threads; here it needs no thread.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;

use super::{FACILITY, Queue};
use crate::error::{Error, Kind, Result};
use crate::sys::{mq, patience};
use crate::wait::{Deadline, Wait};

/// A registration whose notice arrives at a descriptor: readable in `poll(2)` when it came.
#[derive(Debug)]
#[must_use = "dropping it takes the registration back"]
pub struct Notice<'q> {
    queue: &'q Queue,
    socket: OwnedFd,
    armed: AtomicBool,
}

impl Queue {
    /// Registers this process: the notice arrives at a descriptor.
    ///
    /// ```
    /// # use wigwag::message::posix::Options;
    /// # let name = format!("/doc-notice-{}", std::process::id());
    /// # let queue = Options::new().temporary(true).create(&name)?;
    /// let notice = queue.notice()?;
    /// queue.send(b"hello")?;
    /// notice.wait()?;
    /// # Ok::<(), wigwag::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`] when a process is registered.
    #[doc(alias = "mq_notify")]
    pub fn notice(&self) -> Result<Notice<'_>> {
        let socket = mq::notification_socket().map_err(|errno| self.not_registered(errno))?;
        mq::notify_by_socket(self.as_fd(), socket.as_fd())
            .map_err(|errno| self.not_registered(errno))?;
        Ok(Notice {
            queue: self,
            socket,
            armed: AtomicBool::new(true),
        })
    }

    /// Registers this process: the notice is a signal (its number, or a
    /// [`Signal`](crate::signal::Signal)), with `value` as its data and the code `SI_MESGQ`.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`] when a process is registered; [`Kind::BadInput`] for a number that
    /// is no signal.
    #[doc(alias = "mq_notify")]
    #[doc(alias = "SIGEV_SIGNAL")]
    pub fn notify_signal(&self, signal: impl Into<i32>, value: i32) -> Result<()> {
        mq::notify_by_signal(self.as_fd(), signal.into(), value)
            .map_err(|errno| self.not_registered(errno))
    }

    /// Registers this process: the notice runs `act` in a thread of its own, which waits from
    /// now on. It ends without running it when the registration is taken back or the queue closed.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`] when a process is registered; [`Kind::Limit`] when no thread can
    /// be started.
    #[doc(alias = "mq_notify")]
    #[doc(alias = "SIGEV_THREAD")]
    pub fn notify_thread(&self, act: impl FnOnce() + Send + 'static) -> Result<()> {
        let socket = mq::notification_socket().map_err(|errno| self.not_registered(errno))?;
        let theirs = socket.try_clone();
        mq::notify_by_socket(self.as_fd(), socket.as_fd())
            .map_err(|errno| self.not_registered(errno))?;
        let wait = move |socket: OwnedFd| {
            if let Ok(true) = told(socket.as_fd(), Deadline::Never) {
                act();
            }
        };
        theirs
            .and_then(|socket| {
                std::thread::Builder::new()
                    .name("mq_notify".into())
                    .spawn(move || wait(socket))
            })
            .map(drop)
            .map_err(|cause| {
                let _ = mq::unnotify(self.as_fd());
                FACILITY
                    .failed("start a thread to watch", &self.name, cause)
                    .with_kind(Kind::Limit)
            })
    }

    /// Takes this process's registration back, whichever form it has; nothing if there is none.
    ///
    /// # Errors
    /// What `mq_notify(3)` says.
    pub fn unnotify(&self) -> Result<()> {
        mq::unnotify(self.as_fd()).map_err(|errno| self.failed("stop watching", errno))
    }

    #[cold]
    fn not_registered(&self, errno: Errno) -> Error {
        match errno {
            Errno::BUSY => FACILITY.error(
                Kind::AlreadyExists,
                "watch",
                &self.name,
                "a process is registered for its notice already",
            ),
            Errno::INVAL => FACILITY.error(
                Kind::BadInput,
                "watch",
                &self.name,
                "there is no such signal",
            ),
            errno => self.failed("watch", errno),
        }
    }
}

impl Notice<'_> {
    /// Waits until a message came to the empty queue.
    ///
    /// # Errors
    /// [`Kind::Removed`] when the registration was taken back.
    pub fn wait(&self) -> Result<()> {
        self.wait_until(Deadline::Never)
    }

    /// Whether one came by now.
    ///
    /// # Errors
    /// [`Kind::WouldBlock`] when none did; [`Kind::Removed`] when the registration was taken back.
    pub fn try_wait(&self) -> Result<()> {
        self.wait_until(Deadline::Now)
    }

    /// Waits at most this long.
    ///
    /// # Errors
    /// [`Kind::TimedOut`]; [`Kind::Removed`] when the registration was taken back.
    pub fn wait_timeout(&self, limit: Duration) -> Result<()> {
        self.wait_until(Wait::For(limit).into())
    }

    /// Registers again after a notice came.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`] when another process was faster.
    pub fn rearm(&self) -> Result<()> {
        mq::notify_by_socket(self.queue.as_fd(), self.socket.as_fd())
            .map_err(|errno| self.queue.not_registered(errno))?;
        self.armed.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn wait_until(&self, deadline: Deadline) -> Result<()> {
        let refused = |kind, cause| FACILITY.error(kind, "watch", &self.queue.name, cause);
        match told(self.socket.as_fd(), deadline) {
            Ok(came) => {
                self.armed.store(false, Ordering::Relaxed);
                if came {
                    return Ok(());
                }
                Err(refused(Kind::Removed, "the registration was taken back"))
            }
            Err(Errno::AGAIN) => Err(refused(Kind::WouldBlock, "no message came")),
            Err(Errno::TIMEDOUT) => Err(refused(Kind::TimedOut, "no message came within the time")),
            Err(errno) => Err(self.queue.failed("watch", errno)),
        }
    }
}

/// Waits for the notice: whether a message came, otherwise the registration was taken back.
fn told(socket: BorrowedFd<'_>, deadline: Deadline) -> Result<bool, Errno> {
    patience::retry(socket, PollFlags::IN, deadline, || mq::notified(socket))
}

impl AsFd for Notice<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Notice<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Drop for Notice<'_> {
    fn drop(&mut self) {
        // A notice that came has ended the registration; what is registered now is another's.
        if *self.armed.get_mut() && mq::notified(self.socket.as_fd()).is_err() {
            let _ = mq::unnotify(self.queue.as_fd());
        }
    }
}
