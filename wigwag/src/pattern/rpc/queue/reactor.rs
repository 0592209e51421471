//! Reactor: the request queue of a server and the answer queues of its clients.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::{FACILITY, OWNER, SERVER, answer_queue, make, request_queue};
use crate::error::Result;
use crate::message::posix::{Options, Queue};
use crate::name::Name;
use crate::opening::Way as Open;
use crate::pattern::rpc::desk::Desk;
use crate::pattern::rpc::frame::{self, Code, Head, Kind as What};
use crate::pattern::rpc::outbox::{Outbox, Sent, Way};
use crate::pattern::rpc::server::Reactor;
use crate::sys::mq;

const WAKE: u64 = 0;
const REQUESTS: u64 = 1;
/// How long the end of a client may stay unnoticed where its process is not known; how long it may where it is, and it
/// lives. Also how often those are looked for that do not come in.
const LOOK: Duration = Duration::from_millis(200);
const RARELY: Duration = Duration::from_secs(1);
/// In the number of an event: it is the client's process, not its queue.
const PROCESS: u64 = 1 << 63;
/// Requests read at one time.
const AT_ONCE: usize = 64;
/// Calls of all clients that may wait; then they wait in the queue.
const MOST_WAITING: usize = 256;
/// Bytes of answers that a client may leave untaken before its connection is ended: since all share one queue,
/// it cannot just be left alone.
const MOST_BEHIND: usize = 4 << 20;
/// How many clients may be coming in at one time; how long one may take to make its answer queue, and to come.
const MOST_COMING: usize = 64;
const COMING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// How long clients that take their time may take after the server was stopped.
const FAREWELL: Duration = Duration::from_secs(1);

/// The queues of a server.
pub(super) struct Queues {
    name: Name,
    requests: Option<Queue>,
    epoll: OwnedFd,
    /// By the number they mark their frames with.
    clients: HashMap<u64, Member>,
    /// Those who make their answer queues: the number in its name, and since when.
    coming: HashMap<u64, (u64, Instant)>,
    /// Which client has which key at the desk.
    numbers: HashMap<u64, u64>,
    next: u64,
    most: usize,
    reading: bool,
    look: Instant,
}

struct Member {
    key: u64,
    replies: Arc<Queue>,
    outbox: Arc<Outbox>,
    behind: bool,
    process: Option<OwnedFd>,
}

/// The answer queue of a client, with the number by which it knows that a frame is ours.
struct Replies {
    queue: Arc<Queue>,
    client: u64,
}

impl Replies {
    fn try_send(&self, mut head: Head, body: &[u8]) -> Result<(), Errno> {
        head.client = self.client;
        mq::try_send(self.queue.as_fd(), &head.with(body), 0)
    }
}

impl Way for Replies {
    fn push(&self, frame: &[u8]) -> Result<usize, Errno> {
        let (head, body) = frame::split(frame).map_err(|_| Errno::INVAL)?;
        match self.try_send(head, body) {
            Ok(()) => Ok(frame.len()),
            // An answer that no queue takes must not stop those behind it.
            Err(Errno::MSGSIZE) => {
                let error = Head {
                    word: Code::TooBig as u64,
                    ..Head::bare(What::Error, head.id)
                };
                let why = format!(
                    "the answer has {} bytes, the longest has {}",
                    body.len(),
                    self.queue.max_len().saturating_sub(frame::HEAD)
                );
                self.try_send(error, why.as_bytes()).map(|()| frame.len())
            }
            Err(errno) => Err(errno),
        }
    }
}

impl Queues {
    pub(super) fn new(name: &Name, options: &Options, most: usize, desk: &Desk) -> Result<Self> {
        let requests = make(name, options)?;
        let watched = || {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            let data = epoll::EventData::new_u64;
            epoll::add(&epoll, desk.wake(), data(WAKE), epoll::EventFlags::IN)?;
            epoll::add(&epoll, &requests, data(REQUESTS), epoll::EventFlags::IN)?;
            Ok::<_, Errno>(epoll)
        };
        let watched = watched().map_err(|errno| FACILITY.failed("listen at", name, errno));
        Ok(Queues {
            name: name.clone(),
            epoll: watched.inspect_err(|_| {
                let _ = Queue::unlink(request_queue(name));
            })?,
            requests: Some(requests),
            clients: HashMap::new(),
            coming: HashMap::new(),
            numbers: HashMap::new(),
            next: REQUESTS + 1,
            most,
            reading: true,
            look: Instant::now(),
        })
    }

    fn read(&mut self, desk: &Desk) -> Result<()> {
        let mut message = Vec::new();
        for _ in 0..AT_ONCE {
            if desk.waiting() >= MOST_WAITING {
                self.watch_requests(false);
                break;
            }
            let Some(requests) = &self.requests else {
                break;
            };
            match mq::receive_into(requests.as_fd(), &mut message, requests.max_len(), false) {
                Ok(_) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(FACILITY.failed("receive at", &self.name, errno)),
            }
            // Nobody can be told of what is no frame: it says from whom it is.
            let Ok((head, body)) = frame::split(&message) else {
                continue;
            };
            match (head.kind, self.clients.get(&head.client)) {
                (What::Hello, None) => self.hello(head, desk),
                (What::Bye, Some(_)) => self.end(head.client, desk),
                (_, Some(member)) => {
                    let key = member.key;
                    if desk.submit(key, head, body.to_vec()).is_err() {
                        let why = "the server got what is no frame of a client";
                        desk.refuse(&member.outbox, 0, Code::Malformed, why);
                        self.end(head.client, desk);
                    }
                }
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// A client says hello before it makes its answer queue, so that we know what to remove if it is killed there, and
    /// again when it has made it.
    fn hello(&mut self, hello: Head, desk: &Desk) {
        match self.coming.get(&hello.client) {
            Some((number, _)) if *number == hello.word => {
                self.coming.remove(&hello.client);
                self.welcome(hello, desk);
            }
            Some(_) => {}
            None if self.coming.len() < MOST_COMING => {
                let since = Instant::now();
                self.coming.insert(hello.client, (hello.word, since));
            }
            // It gets no answer, and gives up.
            None => {}
        }
    }

    /// Removes the answer queues of those who have had so much time and do not live any more.
    fn give_up(&mut self, after: Duration) {
        let name = &self.name;
        self.coming.retain(|_, (number, since)| {
            let waited = since.elapsed();
            if waited < after {
                return true;
            }
            let path = answer_queue(name, *number);
            let left =
                Queue::open(&path).is_ok_and(|queue| OWNER.is_taken(queue.as_fd()) == Ok(false));
            if left {
                let _ = Queue::unlink(&path);
            }
            !left && waited < COMING.1
        });
    }

    /// Lets a client in that says hello. One whose answer queue is not there, or whose owner does not live, gets
    /// no answer.
    fn welcome(&mut self, hello: Head, desk: &Desk) {
        if hello.client == 0 {
            return;
        }
        let path = answer_queue(&self.name, hello.word);
        let Ok(replies) = Options::new().way(Open::Out).open(&path) else {
            return;
        };
        let lives = OWNER.is_taken(replies.as_fd()) == Ok(true);
        // Both have it open: whoever is killed from now on leaves nothing. Of another user the directory does not
        // let us, and the client does it when it is welcome.
        let _ = Queue::unlink(&path);
        if !lives || SERVER.take(replies.as_fd()) != Ok(true) {
            return;
        }
        let replies = Arc::new(replies);
        let outbox = Arc::new(Outbox::new(Replies {
            queue: replies.clone(),
            client: hello.client,
        }));
        if self.clients.len() >= self.most {
            let why = format!("the server has {} clients, as many as it takes", self.most);
            desk.refuse(&outbox, 0, Code::TooMany, &why);
            return;
        }
        let key = self.next;
        self.next += 1;
        let data = epoll::EventData::new_u64(key);
        if epoll::add(&self.epoll, &replies, data, epoll::EventFlags::empty()).is_err() {
            return;
        }
        let process = OWNER.process(replies.as_fd()).filter(|process| {
            let data = epoll::EventData::new_u64(key | PROCESS);
            epoll::add(&self.epoll, process, data, epoll::EventFlags::IN).is_ok()
        });
        desk.enter(key, outbox.clone(), None);
        outbox.send(Head::bare(What::Answer, 0), &[]);
        let member = Member {
            key,
            replies,
            outbox,
            behind: false,
            process,
        };
        self.clients.insert(hello.client, member);
        self.numbers.insert(key, hello.client);
    }

    /// Forgets a client.
    fn end(&mut self, number: u64, desk: &Desk) {
        let Some(member) = self.clients.remove(&number) else {
            return;
        };
        self.numbers.remove(&member.key);
        desk.leave(member.key);
        let _ = epoll::delete(&self.epoll, &member.replies);
        if let Some(process) = &member.process {
            let _ = epoll::delete(&self.epoll, process);
        }
        SERVER.leave(member.replies.as_fd());
    }

    /// Sends what waits for a client, and watches for room if not all went.
    fn review(&mut self, key: u64, desk: &Desk) {
        let Some(number) = self.numbers.get(&key).copied() else {
            return;
        };
        let Some(member) = self.clients.get_mut(&number) else {
            return;
        };
        let behind = match member.outbox.flush() {
            Sent::Whole => false,
            Sent::Waits if member.outbox.backlog() <= MOST_BEHIND => true,
            Sent::Waits | Sent::Broken => return self.end(number, desk),
        };
        if behind != member.behind {
            let mut interest = epoll::EventFlags::empty();
            interest.set(epoll::EventFlags::OUT, behind);
            let data = epoll::EventData::new_u64(key);
            let _ = epoll::modify(&self.epoll, &member.replies, data, interest);
            member.behind = behind;
        }
    }

    /// The process of a client has ended: so has the client, unless a child that it forked lives on with its seat.
    fn bury(&mut self, key: u64, desk: &Desk) {
        let Some(number) = self.numbers.get(&key).copied() else {
            return;
        };
        let Some(member) = self.clients.get_mut(&number) else {
            return;
        };
        if OWNER.is_taken(member.replies.as_fd()) == Ok(false) {
            return self.end(number, desk);
        }
        if let Some(process) = member.process.take() {
            let _ = epoll::delete(&self.epoll, &process);
        }
    }

    fn watch_requests(&mut self, reading: bool) {
        if let Some(requests) = &self.requests
            && reading != self.reading
        {
            let mut interest = epoll::EventFlags::empty();
            interest.set(epoll::EventFlags::IN, reading);
            let data = epoll::EventData::new_u64(REQUESTS);
            let _ = epoll::modify(&self.epoll, requests, data, interest);
            self.reading = reading;
        }
    }

    /// Ends the connections of clients that are gone.
    fn look(&mut self, desk: &Desk) {
        let known = self.clients.values().all(|member| member.process.is_some());
        let rarely = known && self.coming.is_empty();
        self.look = Instant::now() + if rarely { RARELY } else { LOOK };
        self.give_up(COMING.0);
        let gone = |member: &Member| OWNER.is_taken(member.replies.as_fd()) == Ok(false);
        let gone: Vec<u64> = self
            .clients
            .iter()
            .filter_map(|(number, member)| gone(member).then_some(*number))
            .collect();
        gone.into_iter().for_each(|number| self.end(number, desk));
    }
}

impl Reactor for Queues {
    fn turn(&mut self, desk: &Desk, limit: Option<Duration>) -> Result<()> {
        let now = Instant::now();
        if self.look <= now {
            self.look(desk);
        }
        self.watch_requests(desk.waiting() < MOST_WAITING);
        let waits = !self.clients.is_empty() || !self.coming.is_empty();
        let due = waits.then(|| self.look.saturating_duration_since(now));
        let limit = [limit, due].into_iter().flatten().min();
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut events = Vec::with_capacity(64);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(FACILITY.failed("wait at", &self.name, errno)),
        }
        for event in events {
            match event.data.u64() {
                WAKE => desk
                    .changed()
                    .into_iter()
                    .for_each(|key| self.review(key, desk)),
                REQUESTS => self.read(desk)?,
                key if key & PROCESS != 0 => self.bury(key & !PROCESS, desk),
                key => self.review(key, desk),
            }
        }
        Ok(())
    }

    fn farewell(&mut self, desk: &Desk) {
        // The name goes first, so that whoever comes now is told that nobody is here.
        if self.requests.is_some() {
            let _ = Queue::unlink(request_queue(&self.name));
        }
        self.give_up(Duration::ZERO);
        for member in self.clients.values() {
            member.outbox.send(Head::bare(What::Bye, 0), &[]);
        }
        let patience = Instant::now() + FAREWELL;
        let lives = |member: &Member| OWNER.is_taken(member.replies.as_fd()) == Ok(true);
        while self
            .clients
            .values()
            .any(|member| member.outbox.flush() == Sent::Waits && lives(member))
            && Instant::now() < patience
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        for number in self.clients.keys().copied().collect::<Vec<_>>() {
            self.end(number, desk);
        }
        // With it its seat.
        self.requests = None;
    }
}
