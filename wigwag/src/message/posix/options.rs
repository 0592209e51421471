//! Options of a POSIX queue: how large, for whom, and which way it is open.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::{DEPTH, FACILITY, LENGTH, QUEUES, Queue, c_name, parse};
use crate::error::{Error, Kind, Result};
use crate::limit::{self, Limit};
use crate::name::Name;
use crate::opening::Way;
use crate::sys::mq;

/// How a queue is made and opened, in the manner of [`std::fs::OpenOptions`].
#[doc(alias = "mq_attr")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Options {
    depth: Option<usize>,
    max_len: Option<usize>,
    mode: Option<u32>,
    way: Way,
    temporary: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            depth: None,
            max_len: None,
            mode: None,
            way: Way::Both,
            temporary: false,
        }
    }
}

impl Options {
    /// As the kernel has it by default (`fs.mqueue.msg_default` messages of
    /// `fs.mqueue.msgsize_default` bytes), for this user only, open both ways.
    pub fn new() -> Self {
        Options::default()
    }

    /// Messages it may hold; at most `fs.mqueue.msg_max` without privilege.
    pub fn depth(mut self, messages: usize) -> Self {
        self.depth = Some(messages);
        self
    }

    /// Bytes a message may have; at most `fs.mqueue.msgsize_max` without privilege.
    pub fn max_len(mut self, bytes: usize) -> Self {
        self.max_len = Some(bytes);
        self
    }

    /// Who may open it, exactly this mode whatever the umask; `0o600` otherwise, less the umask.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Opens it to receive only or to send only, which needs only that permission.
    pub fn way(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    /// Removes the name when the queue is dropped.
    pub fn temporary(mut self, temporary: bool) -> Self {
        self.temporary = temporary;
        self
    }

    /// Makes a queue that did not exist.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`]; [`Kind::Limit`] with the limit that was reached: depth or length
    /// over what an unprivileged process may ask for, the bytes of all queues of the user, the
    /// queues of the machine, the descriptors of the process.
    #[doc(alias = "mq_open")]
    pub fn create(&self, name: impl AsRef<OsStr>) -> Result<Queue> {
        self.create_named(&parse(name.as_ref())?)
    }

    /// Opens a queue that exists, whatever its size.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::PermissionDenied`].
    #[doc(alias = "mq_open")]
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<Queue> {
        self.open_named(&parse(name.as_ref())?)
    }

    /// Opens a queue, making it if it does not exist.
    ///
    /// # Errors
    /// Those of both; [`Kind::AlreadyExists`] when it exists with another depth or length than
    /// asked for.
    #[doc(alias = "mq_open")]
    pub fn open_or_create(&self, name: impl AsRef<OsStr>) -> Result<Queue> {
        self.open_or_create_named(&parse(name.as_ref())?)
    }

    pub(super) fn open_named(&self, name: &Name) -> Result<Queue> {
        let adopted = mq::open(&c_name(name)?, self.access(), 0, None)
            .and_then(|fd| Queue::adopt(fd, name.clone(), self.temporary));
        adopted.map_err(|errno| match errno {
            Errno::MFILE => FACILITY
                .failed("open", name, errno)
                .with_detail(limit::OPEN_FILES.to_string()),
            errno => FACILITY.failed("open", name, errno),
        })
    }

    pub(super) fn create_named(&self, name: &Name) -> Result<Queue> {
        let size = self.size();
        let flags = self.access() | libc::O_CREAT | libc::O_EXCL;
        let fd = mq::open(&c_name(name)?, flags, self.mode.unwrap_or(0o600), size)
            .map_err(|errno| self.not_created(name, errno))?;
        let queue = Queue::adopt(fd, name.clone(), self.temporary)
            .map_err(|errno| self.not_created(name, errno))?;
        if let Some(mode) = self.mode {
            rustix::fs::fchmod(queue.as_fd(), mode.into())
                .map_err(|errno| queue.failed("set the mode of", errno))?;
        }
        Ok(queue)
    }

    pub(super) fn open_or_create_named(&self, name: &Name) -> Result<Queue> {
        loop {
            match self.open_named(name) {
                Ok(queue) => return self.as_asked(queue),
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
            match self.create_named(name) {
                // Somebody made it between our two looks.
                Err(error) if error.kind() == Kind::AlreadyExists => {}
                outcome => return outcome,
            }
        }
    }

    /// A queue that existed must have the size that was asked for.
    fn as_asked(&self, mut queue: Queue) -> Result<Queue> {
        let stat = queue.stat()?;
        let as_asked = self.depth.is_none_or(|depth| depth == stat.depth)
            && self.max_len.is_none_or(|len| len == stat.max_len);
        if as_asked {
            return Ok(queue);
        }
        queue.temporary = false;
        Err(FACILITY.error(
            Kind::AlreadyExists,
            "create",
            &queue.name,
            format!(
                "it exists with a depth of {} messages of {} bytes",
                stat.depth, stat.max_len
            ),
        ))
    }

    fn access(&self) -> i32 {
        match self.way {
            Way::In => libc::O_RDONLY,
            Way::Out => libc::O_WRONLY,
            Way::Both => libc::O_RDWR,
        }
    }

    /// Depth and length; `None` leaves both to the kernel.
    fn size(&self) -> Option<(usize, usize)> {
        if self.depth.is_none() && self.max_len.is_none() {
            return None;
        }
        Some((
            self.depth
                .unwrap_or_else(|| preset("msg_default", &DEPTH, 10)),
            self.max_len
                .unwrap_or_else(|| preset("msgsize_default", &LENGTH, 8192)),
        ))
    }

    #[cold]
    fn not_created(&self, name: &Name, errno: Errno) -> Error {
        let refused = |kind, cause: String| FACILITY.error(kind, "create", name, cause);
        let limited = |cause: String, limit: &Limit| {
            let setting = limit.name;
            refused(Kind::Limit, cause)
                .with_detail(limit.to_string())
                .with_hint(format!(
                    "the administrator can raise it: sysctl {setting}=NUMBER"
                ))
        };
        let over = |wanted: Option<usize>, limit: &Limit| {
            wanted.filter(|wanted| limit.value().is_some_and(|most| *wanted as u64 > most))
        };
        match errno {
            Errno::INVAL if self.depth == Some(0) || self.max_len == Some(0) => {
                refused(Kind::BadInput, "depth and length are numbers from 1".into())
            }
            Errno::INVAL | Errno::NOMEM | Errno::OVERFLOW => {
                if let Some(depth) = over(self.depth, &DEPTH) {
                    return limited(format!("a depth of {depth} messages is too great"), &DEPTH);
                }
                if let Some(len) = over(self.max_len, &LENGTH) {
                    return limited(format!("messages of {len} bytes are too long"), &LENGTH);
                }
                FACILITY.failed("create", name, errno)
            }
            Errno::NOSPC => limited("there are as many queues as may be".into(), &QUEUES),
            // One error for two limits: which, tells whether any other descriptor can be had.
            Errno::MFILE if can_open_another() => {
                let needs = self.size().map_or(String::new(), |(depth, len)| {
                    format!(", this one takes more than {}", depth.saturating_mul(len))
                });
                refused(
                    Kind::Limit,
                    format!("the queues of this user would take too many bytes{needs}"),
                )
                .with_detail(super::QUEUE_BYTES.to_string())
                .with_hint("raise it with ulimit -q, or make the queue smaller")
            }
            Errno::MFILE => refused(Kind::Limit, "too many open files".into())
                .with_detail(limit::OPEN_FILES.to_string()),
            errno => FACILITY.failed("create", name, errno),
        }
    }
}

/// The kernel's default for one number of a queue when only the other is given.
fn preset(setting: &str, most: &Limit, otherwise: usize) -> usize {
    let number = |text: String| text.trim().parse().ok();
    let preset = std::fs::read_to_string(format!("/proc/sys/fs/mqueue/{setting}"))
        .ok()
        .and_then(number)
        .unwrap_or(otherwise);
    let most = most.value().and_then(|most| usize::try_from(most).ok());
    preset.min(most.unwrap_or(preset))
}

fn can_open_another() -> bool {
    let another = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC);
    !matches!(another, Err(Errno::MFILE))
}
