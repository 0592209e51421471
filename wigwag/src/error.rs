//! Error: what was tried, on which object, why it failed, and what to change.
//!
//! One type for the whole library. Where a caller must branch it asks [`Error::kind`];
//! where the outcome is not a failure (a lock whose owner died, an end of file) the
//! return type says so instead.
//!
//! ```
//! use wigwag::{Kind, message::posix};
//!
//! let error = posix::Queue::open("/no-such-queue").unwrap_err();
//! assert_eq!(error.kind(), Kind::NotFound);
//! assert!(error.to_string().starts_with("cannot open message queue /no-such-queue: "));
//! ```

use std::{borrow::Cow, fmt, io};

/// `Result` with the library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why it failed, for a caller who must branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// No object has that name.
    NotFound,
    /// An object of that name exists already.
    AlreadyExists,
    /// The object exists, this user may not do that with it.
    PermissionDenied,
    /// It would have to wait, and was told not to.
    WouldBlock,
    /// It waited as long as it was told to.
    TimedOut,
    /// A signal handler ran, and the program wants waits to end then ([`interrupt`](crate::interrupt)).
    Interrupted,
    /// The message or the request is larger than the object allows.
    TooBig,
    /// The name cannot be a name of this facility.
    BadName,
    /// The address cannot be understood.
    BadAddress,
    /// An argument or option has no meaning here.
    BadInput,
    /// This kernel, build or facility cannot do it.
    Unsupported,
    /// Nobody is at the other end, or no longer.
    Disconnected,
    /// The other side got it, and answered with an error.
    Refused,
    /// The object was removed while it was in use.
    Removed,
    /// A limit of the kernel, the user or the process was reached.
    Limit,
    /// Waiting would close a circle of waiters.
    Deadlock,
    /// The state of the object cannot be trusted: damaged, truncated, foreign or hostile.
    Corrupt,
    /// The object does not promise what was required of it.
    Unmet,
    /// Something else; the message has the operating system's words.
    Other,
}

/// What was tried, on which object, why it failed, and what to change.
///
/// Printed as `cannot create message queue /jobs: too many open files
/// (fs.mqueue.queues_max is 256)`.
pub struct Error(Box<Inner>);

struct Inner {
    action: &'static str,
    noun: &'static str,
    object: String,
    kind: Kind,
    os: Option<i32>,
    cause: Cow<'static, str>,
    detail: Option<String>,
    hint: Option<Cow<'static, str>>,
}

impl Error {
    /// An error that no system call reported.
    #[cold]
    pub fn new(
        kind: Kind,
        action: &'static str,
        noun: &'static str,
        object: impl fmt::Display,
        cause: impl Into<String>,
    ) -> Self {
        Error(Box::new(Inner {
            action,
            noun,
            object: printable(&object.to_string()),
            kind,
            os: None,
            cause: Cow::Owned(cause.into()),
            detail: None,
            hint: None,
        }))
    }

    /// An error with the operating system's cause.
    #[cold]
    pub fn os(
        action: &'static str,
        noun: &'static str,
        object: impl fmt::Display,
        cause: &io::Error,
    ) -> Self {
        let mut error = Error::new(kind_of(cause), action, noun, object, os_words(cause));
        error.0.os = cause.raw_os_error();
        error
    }

    /// Why it failed.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What was tried: `"create"`.
    #[must_use]
    pub fn action(&self) -> &str {
        self.0.action
    }

    /// The name of the object, as it is printed; empty when it has none.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.0.object
    }

    /// The `errno` value of the system call, where one failed.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.os
    }

    /// What to change, where we know it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Replaces the kind.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Says of which facility's object it is told.
    #[must_use]
    pub(crate) fn with_noun(mut self, noun: &'static str) -> Self {
        self.0.noun = noun;
        self
    }

    /// Says of which object it is told.
    #[must_use]
    pub(crate) fn with_object(mut self, object: impl fmt::Display) -> Self {
        self.0.object = printable(&object.to_string());
        self
    }

    /// Adds a fact in parentheses: the limit that was reached and its value.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds what to change.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            action,
            noun,
            object,
            cause,
            ..
        } = &*self.0;
        write!(f, "cannot {action} {noun}")?;
        if !object.is_empty() {
            write!(f, " {object}")?;
        }
        write!(f, ": {cause}")?;
        if let Some(detail) = &self.0.detail {
            write!(f, " ({detail})")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.kind)
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            Kind::NotFound => io::ErrorKind::NotFound,
            Kind::AlreadyExists => io::ErrorKind::AlreadyExists,
            Kind::PermissionDenied => io::ErrorKind::PermissionDenied,
            Kind::WouldBlock => io::ErrorKind::WouldBlock,
            Kind::TimedOut => io::ErrorKind::TimedOut,
            Kind::Interrupted => io::ErrorKind::Interrupted,
            Kind::TooBig | Kind::BadName | Kind::BadAddress | Kind::BadInput | Kind::Unmet => {
                io::ErrorKind::InvalidInput
            }
            Kind::Unsupported => io::ErrorKind::Unsupported,
            Kind::Disconnected => io::ErrorKind::BrokenPipe,
            Kind::Deadlock => io::ErrorKind::Deadlock,
            Kind::Corrupt => io::ErrorKind::InvalidData,
            Kind::Refused | Kind::Removed | Kind::Limit | Kind::Other => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

fn kind_of(cause: &io::Error) -> Kind {
    let Some(errno) = cause.raw_os_error() else {
        return match cause.kind() {
            io::ErrorKind::TimedOut => Kind::TimedOut,
            io::ErrorKind::UnexpectedEof => Kind::Disconnected,
            io::ErrorKind::InvalidInput => Kind::BadInput,
            _ => Kind::Other,
        };
    };
    match errno {
        libc::ENOENT | libc::ENXIO => Kind::NotFound,
        libc::EEXIST | libc::EADDRINUSE => Kind::AlreadyExists,
        libc::EACCES | libc::EPERM => Kind::PermissionDenied,
        libc::EAGAIN | libc::ENOMSG => Kind::WouldBlock,
        libc::ETIMEDOUT => Kind::TimedOut,
        libc::EINTR => Kind::Interrupted,
        libc::EMSGSIZE | libc::E2BIG | libc::EFBIG => Kind::TooBig,
        libc::ENAMETOOLONG => Kind::BadName,
        libc::EINVAL => Kind::BadInput,
        libc::ENOSYS | libc::EOPNOTSUPP | libc::EAFNOSUPPORT => Kind::Unsupported,
        libc::EPIPE | libc::ECONNREFUSED | libc::ECONNRESET | libc::ENOTCONN | libc::ESRCH => {
            Kind::Disconnected
        }
        libc::EIDRM => Kind::Removed,
        libc::EMFILE
        | libc::ENFILE
        | libc::ENOSPC
        | libc::ENOMEM
        | libc::EDQUOT
        | libc::ENOBUFS => Kind::Limit,
        libc::EDEADLK => Kind::Deadlock,
        _ => Kind::Other,
    }
}

/// The system's words without ` (os error N)`, in lower case as part of a sentence.
fn os_words(cause: &io::Error) -> String {
    // The system speaks of connections and resources where there are none.
    match cause.raw_os_error() {
        Some(libc::ETIMEDOUT) => return "timed out".into(),
        Some(libc::EAGAIN) => return "it would have to wait".into(),
        _ => {}
    }
    let mut words = cause.to_string();
    if let Some(errno) = cause.raw_os_error() {
        let suffix = format!(" (os error {errno})");
        if let Some(bare) = words.strip_suffix(&suffix) {
            words.truncate(bare.len());
        }
    }
    let mut letters = words.chars();
    match letters.next() {
        // "RPC struct is bad" keeps its capitals.
        Some(first) if !letters.clone().next().is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => words,
    }
}

/// One line whatever the name holds: control characters are escaped, very long names cut.
fn printable(object: &str) -> String {
    const LONGEST: usize = 160;
    let mut line: String = object
        .chars()
        .flat_map(|c| -> Box<dyn Iterator<Item = char>> {
            if c.is_control() {
                Box::new(c.escape_default())
            } else {
                Box::new(std::iter::once(c))
            }
        })
        .take(LONGEST + 1)
        .collect();
    if line.chars().count() > LONGEST {
        line = line.chars().take(LONGEST - 1).collect();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_operation_object_cause_limit_and_remedy() {
        let cause = io::Error::from_raw_os_error(libc::EMFILE);
        let error = Error::os("create", "message queue", "/jobs", &cause)
            .with_detail("fs.mqueue.queues_max is 256")
            .with_hint("remove unused queues with wigwag rm");
        assert_eq!(
            error.to_string(),
            "cannot create message queue /jobs: too many open files \
             (fs.mqueue.queues_max is 256); remove unused queues with wigwag rm"
        );
        assert_eq!(error.kind(), Kind::Limit);
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    }

    #[test]
    fn a_hostile_name_stays_one_line() {
        let error = Error::new(Kind::BadName, "open", "pipe", "a\nb\u{1b}[31m", "odd");
        assert_eq!(error.to_string().lines().count(), 1);
        let error = Error::new(Kind::BadName, "open", "pipe", "x".repeat(5000), "odd");
        assert!(error.to_string().len() < 300);
    }

    #[test]
    fn converts_into_io_error_and_keeps_its_words() {
        let error = Error::new(
            Kind::TimedOut,
            "receive from",
            "message queue",
            "/q",
            "timed out",
        );
        let io: io::Error = error.into();
        assert_eq!(io.kind(), io::ErrorKind::TimedOut);
        assert_eq!(
            io.to_string(),
            "cannot receive from message queue /q: timed out"
        );
    }
}
