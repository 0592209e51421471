//! QueueLink: a client's end of a pair of queues.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{FACILITY, OWNER, SERVER, answer_queue, request_queue};
use crate::error::{Error, Kind, Result};
use crate::message::posix::{Options, Queue};
use crate::name::Name;
use crate::opening::Way;
use crate::pattern::rpc::frame::{self, HEAD, Head, Kind as What};
use crate::pattern::rpc::inbox::Got;
use crate::pattern::rpc::link::{End, Link};
use crate::pattern::rpc::number;
use crate::sys::{mq, patience};
use crate::wait::{Deadline, Wait};

/// How long the end of the server may stay unnoticed where its process is not known.
const LOOK: Duration = Duration::from_millis(50);
/// The same where it is: how long it may stay unnoticed that a server that lives has ended the connection.
const RARELY: Duration = Duration::from_secs(1);
/// How long a server that lives may take to say hello; another thread of it does that while calls go on.
const HELLO: Duration = Duration::from_secs(10);
/// How long a server may be between making its queue and taking its seat.
const START: Duration = Duration::from_millis(500);
/// Answers that may wait in our queue; further ones wait in the server.
const DEPTH: usize = 4;

/// A client's end of a pair of queues.
pub(super) struct QueueLink {
    requests: Queue,
    replies: Queue,
    key: u64,
    /// The process of the server.
    server: Option<OwnedFd>,
}

impl QueueLink {
    pub(super) fn connect(name: &Name, wait: Wait) -> Result<Self> {
        let failed = |errno| FACILITY.failed("connect to", name, errno);
        let path = request_queue(name);
        let requests =
            Options::new()
                .way(Way::Out)
                .open(&path)
                .map_err(|error| match error.kind() {
                    Kind::NotFound => {
                        FACILITY.error(Kind::NotFound, "connect to", name, "nobody serves it")
                    }
                    _ => error,
                })?;
        let deadline = Deadline::from(wait);
        let start = Deadline::from(Wait::For(START));
        while !OWNER.is_taken(requests.as_fd()).map_err(failed)? {
            if start.passed() || deadline.passed() {
                let why = "its server is gone";
                return Err(FACILITY.error(Kind::Disconnected, "connect to", name, why));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let [key, random] = number::randoms().map_err(failed)?;
        let hello = Head {
            word: random,
            client: key,
            ..Head::bare(What::Hello, 0)
        };
        let unwelcome = |why: Unwelcome| why.error(name, deadline);
        // First so that the server knows what to remove if we are killed in the middle.
        say(&requests, hello, deadline).map_err(unwelcome)?;
        let replies = Options::new()
            .depth(DEPTH)
            .max_len(requests.max_len())
            .mode(reply_mode(&requests).map_err(failed)?)
            .temporary(true)
            .create(answer_queue(name, random))?;
        OWNER.take(replies.as_fd()).map_err(failed)?;
        let mut link = QueueLink {
            requests,
            replies,
            key,
            server: None,
        };
        say(&link.requests, hello, deadline).map_err(unwelcome)?;
        link.welcome(deadline).map_err(unwelcome)?;
        // The server has it open. It has done so itself, unless it may not.
        let _ = Queue::unlink(answer_queue(name, random));
        link.server = SERVER.process(link.replies.as_fd());
        Ok(link)
    }

    /// Waits until the server has answered.
    fn welcome(&self, deadline: Deadline) -> Result<(), Unwelcome> {
        let patience = Deadline::from(Wait::For(HELLO));
        let mut welcome = None;
        loop {
            self.receive(&mut |got| {
                if let Got::Frame(head, body) = got {
                    welcome = Some((head, body));
                }
            })?;
            match welcome {
                Some((head, _)) if head.kind == What::Answer => return Ok(()),
                Some((_, why)) => {
                    let why = String::from_utf8_lossy(&why).into_owned();
                    return Err(Unwelcome::End(End::Malformed(why)));
                }
                None if deadline.passed() || patience.passed() => return Err(Unwelcome::Late),
                None => {}
            }
            self.sleep(true, false, Deadline::from(Wait::For(LOOK)))?;
            // It has not taken its seat in our queue yet, perhaps.
            if !OWNER.is_taken(self.requests.as_fd())? {
                return Err(Unwelcome::End(End::Gone));
            }
        }
    }

    /// Sleeps until something comes or there is room: whether that is so. The end of the server wakes too.
    fn sleep(&self, comes: bool, room: bool, deadline: Deadline) -> Result<bool, Errno> {
        let mut fds = Vec::with_capacity(3);
        if comes {
            fds.push(PollFd::new(&self.replies, PollFlags::IN));
        }
        if room {
            fds.push(PollFd::new(&self.requests, PollFlags::OUT));
        }
        let wanted = fds.len();
        fds.extend(
            self.server
                .iter()
                .map(|server| PollFd::new(server, PollFlags::IN)),
        );
        let left = deadline
            .remaining()
            .and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, left.as_ref()) {
            Ok(_) => Ok(fds[..wanted].iter().any(|fd| !fd.revents().is_empty())),
            Err(Errno::INTR) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}

/// Says hello when there is room.
fn say(requests: &Queue, hello: Head, deadline: Deadline) -> Result<(), Unwelcome> {
    let patience = Deadline::from(Wait::For(HELLO));
    loop {
        match mq::try_send(requests.as_fd(), &hello.bytes(), 0) {
            Ok(()) => return Ok(()),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if deadline.passed() || patience.passed() {
            return Err(Unwelcome::Late);
        }
        if !OWNER.is_taken(requests.as_fd())? {
            return Err(Unwelcome::End(End::Gone));
        }
        match patience::ready(requests.as_fd(), PollFlags::OUT, Wait::For(LOOK).into()) {
            Ok(()) | Err(Errno::TIMEDOUT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Why there is no connection.
enum Unwelcome {
    Late,
    End(End),
}

impl From<End> for Unwelcome {
    fn from(end: End) -> Self {
        Unwelcome::End(end)
    }
}

impl From<Errno> for Unwelcome {
    fn from(errno: Errno) -> Self {
        Unwelcome::End(errno.into())
    }
}

impl Unwelcome {
    #[cold]
    fn error(self, name: &Name, deadline: Deadline) -> Error {
        let error = |kind, why: String| FACILITY.error(kind, "connect to", name, why);
        match self {
            Unwelcome::Late if matches!(deadline, Deadline::Now) => {
                error(Kind::WouldBlock, "the server has to answer first".into())
            }
            Unwelcome::Late => error(Kind::TimedOut, "the server did not answer in time".into())
                .with_hint("it may lack the permission to open our queue, or be stopped"),
            Unwelcome::End(End::Failed(errno)) => FACILITY.failed("connect to", name, errno),
            Unwelcome::End(End::Malformed(why)) => error(Kind::Limit, why),
            Unwelcome::End(end) => error(Kind::Disconnected, end.to_string()),
        }
    }
}

/// Whether only we, or others too, may send to our queue: a server of another user must.
fn reply_mode(requests: &Queue) -> Result<u32, Errno> {
    let server = rustix::fs::fstat(requests)?.st_uid;
    let ours = rustix::process::geteuid().as_raw();
    Ok(if server == ours || server == 0 {
        0o600
    } else {
        0o622
    })
}

impl Link for QueueLink {
    fn try_send(&self, mut head: Head, body: &[u8]) -> Result<bool, End> {
        head.client = self.key;
        match mq::try_send(self.requests.as_fd(), &head.with(body), 0) {
            Ok(()) => Ok(true),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn receive(&self, deliver: &mut dyn FnMut(Got)) -> Result<bool, End> {
        let mut message = Vec::new();
        loop {
            let len = self.replies.max_len();
            match mq::receive_into(self.replies.as_fd(), &mut message, len, false) {
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(errno) => return Err(errno.into()),
            }
            // Where others may send to it, what they send is discarded: they do not know our number.
            if let Ok((head, body)) = frame::split(&message)
                && head.client == self.key
            {
                deliver(Got::Frame(head, body.to_vec()));
            }
        }
    }

    fn wait(&self, comes: bool, room: bool, deadline: Deadline) -> Result<(), End> {
        let most = if self.server.is_some() { RARELY } else { LOOK };
        let slice = match deadline.remaining() {
            Some(left) if left < most => deadline,
            _ => Deadline::from(Wait::For(most)),
        };
        if self.sleep(comes, room, slice)? {
            return Ok(());
        }
        if SERVER.is_taken(self.replies.as_fd())? {
            let ended = |process: &OwnedFd| patience::is_ready(process.as_fd(), PollFlags::IN);
            if self.server.as_ref().map(ended) == Some(Ok(true)) {
                // A child that it forked lives on with its seat: that is seen by looking only.
                std::thread::sleep(slice.remaining().unwrap_or(LOOK).min(LOOK));
            }
            return Ok(());
        }
        // What it said before it went is in our queue.
        let rest = mq::attributes(self.replies.as_fd())?.queued;
        if rest > 0 { Ok(()) } else { Err(End::Gone) }
    }

    fn longest(&self) -> (usize, &'static str) {
        let longest = self.requests.max_len().saturating_sub(HEAD);
        (longest, "max_len of the server, fs.mqueue.msgsize_max")
    }

    fn tells(&self) -> bool {
        // Nothing of the request queue, nor of the server's death.
        false
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.replies.as_fd()
    }
}
