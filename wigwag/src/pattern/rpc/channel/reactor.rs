//! Reactor: the lobby of a server and the channels of its clients.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{
    Bytes, FACILITY, LONGEST, Marked, Patience, Peer, Receiver, Sender, lobby, longest, options,
    pair,
};
use crate::error::{Kind, Result};
use crate::memory::posix::SharedMemory;
use crate::name::{NAME_MAX, Name};
use crate::pattern::rpc::desk::Desk;
use crate::pattern::rpc::frame::{self, Code, HEAD, Head, Kind as What};
use crate::pattern::rpc::outbox::{Outbox, Sent, Way};
use crate::pattern::rpc::server::Reactor;
use crate::sys::futex;
use crate::wait::{Deadline, Wait};

/// Requests of one client read at one time.
const AT_ONCE: usize = 16;
/// How long clients that take their time may take after the server was stopped.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long it sleeps when it cannot sleep on everybody, or not surely.
const NAP: Duration = Duration::from_millis(5);

/// The channels of a server.
pub(super) struct Channels {
    name: Name,
    capacity: u64,
    /// The channel is kept for its name.
    lobby: Option<(Bytes, Receiver)>,
    /// The number of the one in the lobby, who makes its channels.
    coming: Option<u64>,
    clients: HashMap<u64, Member>,
    next: u64,
    most: usize,
    /// How often the desk had rung when we last asked it.
    heard: u32,
    patience: Patience,
}

struct Member {
    requests: Receiver,
    answers: Answers,
    outbox: Arc<Outbox>,
    /// Whether answers wait for room.
    behind: bool,
    /// Whether it has as many calls waiting as it may.
    paused: bool,
}

#[derive(Clone)]
struct Answers(Arc<Mutex<Sender>>);

impl Answers {
    fn with<R>(&self, act: impl FnOnce(&mut Sender) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Way for Answers {
    fn push(&self, frame: &[u8]) -> Result<usize, Errno> {
        let sent = self.with(|answers| {
            if frame.len() > answers.longest() {
                // An answer that does not fit must not stop those behind it.
                return answers.try_send(&too_long(frame, longest(answers.capacity())));
            }
            answers.try_send(frame)
        });
        match sent {
            Ok(true) => Ok(frame.len()),
            Ok(false) => Err(Errno::AGAIN),
            Err(_) => Err(Errno::PIPE),
        }
    }
}

/// Takes the names of channels away; those who have them open keep them.
fn remove(paths: &[String; 2]) {
    for path in paths {
        // It may not have come so far as to make it.
        let _ = SharedMemory::unlink(path);
    }
}

/// The error that goes instead of an answer.
fn too_long(frame: &[u8], longest: usize) -> Vec<u8> {
    let id = frame
        .first_chunk()
        .and_then(|head| Head::read(head).ok())
        .map_or(0, |head| head.id);
    let head = Head {
        word: Code::TooBig as u64,
        ..Head::bare(What::Error, id)
    };
    let len = frame.len() - HEAD;
    head.with(format!("the answer has {len} bytes, the longest has {longest}").as_bytes())
}

impl Channels {
    pub(super) fn new(name: &Name, capacity: u64, most: usize) -> Result<Self> {
        let [path, _] = pair(name, 0);
        if path.len() - 1 > NAME_MAX {
            let why = format!(
                "the names of its channels would have {} bytes, the longest has {NAME_MAX}",
                path.len() - 1
            );
            return Err(FACILITY.error(Kind::BadName, "listen at", name, why));
        }
        let mut channels = Channels {
            name: name.clone(),
            capacity,
            lobby: None,
            coming: None,
            clients: HashMap::new(),
            next: 1,
            most,
            heard: 0,
            patience: Patience(Patience::MOST),
        };
        channels.open()?;
        Ok(channels)
    }

    /// Makes the lobby.
    fn open(&mut self) -> Result<()> {
        let made = options().capacity(self.capacity).temporary(true);
        let channel: Bytes = made.create(lobby(&self.name)).map_err(|error| {
            if error.kind() != Kind::AlreadyExists {
                return error;
            }
            let why = "a server that lives has the name";
            FACILITY.error(Kind::AlreadyExists, "listen at", &self.name, why)
        })?;
        let receiver = channel.receiver()?;
        self.lobby = Some((channel, receiver));
        Ok(())
    }

    /// Takes what has come; whether anything has.
    fn look(&mut self, desk: &Desk) -> Result<bool> {
        let mut found = false;
        let rung = desk.rung();
        if rung != self.heard {
            self.heard = rung;
            found = true;
            for key in desk.changed() {
                self.review(key, desk);
            }
        }
        found |= self.look_into_lobby(desk)?;
        let mut gone = Vec::new();
        for (key, member) in &mut self.clients {
            if member.behind && member.outbox.flush() != Sent::Waits {
                member.behind = false;
                found = true;
            }
            match member.read(*key, desk) {
                Some(read) => found |= read,
                None => gone.push(*key),
            }
        }
        found |= !gone.is_empty();
        gone.into_iter().for_each(|key| self.end(key, desk));
        Ok(found)
    }

    fn look_into_lobby(&mut self, desk: &Desk) -> Result<bool> {
        let Some((channel, lobby)) = &mut self.lobby else {
            return Ok(false);
        };
        let said = match lobby.try_recv() {
            // Who was in it has left, and said nothing more.
            Err(error) if error.kind() == Kind::Disconnected && channel.receivers() > 0 => {
                Some(None)
            }
            // Somebody wrote where nobody may: our seat is lost, or the positions.
            Err(_) => None,
            Ok(_) if channel.receivers() == 0 => None,
            Ok(said) => Some(said.map(|said| frame::split(&said).ok().map(|(head, _)| head))),
        };
        let Some(said) = said else {
            // The name goes with it, and a new one takes its place. Who is in stays in.
            self.lobby = None;
            self.coming = None;
            return self.open().map(|()| true);
        };
        // Nothing, and nobody any more: it was killed, or gave up.
        let left = || self.coming.is_some() && !lobby.is_connected();
        if said.is_none() && !left() {
            return Ok(false);
        }
        match said.flatten() {
            Some(head) if head.kind == What::Hello && self.coming == Some(head.word) => {
                self.coming = None;
                self.welcome(head, desk);
            }
            other => {
                if let Some(number) = self.coming.take() {
                    remove(&pair(&self.name, number));
                }
                self.coming = other
                    .filter(|head| head.kind == What::Hello)
                    .map(|head| head.word);
            }
        }
        Ok(true)
    }

    /// Lets a client in. One that has not made its channels gets no answer.
    fn welcome(&mut self, hello: Head, desk: &Desk) {
        let paths = pair(&self.name, hello.word);
        let ends = || {
            let [requests, answers] = paths.each_ref().map(|path| options().open::<Bytes>(path));
            Ok::<_, crate::Error>((requests?.receiver()?, answers?.sender()?))
        };
        let ends = ends();
        // Whoever is killed from now on leaves nothing.
        remove(&paths);
        let Ok((requests, answers)) = ends else {
            return;
        };
        let answers = Answers(Arc::new(Mutex::new(answers)));
        let outbox = Arc::new(Outbox::new(answers.clone()));
        if self.clients.len() >= self.most {
            let why = format!("the server has {} clients, as many as it takes", self.most);
            desk.refuse(&outbox, 0, Code::TooMany, &why);
            return;
        }
        let key = self.next;
        self.next += 1;
        desk.enter(key, outbox.clone(), None);
        outbox.send(Head::bare(What::Answer, 0), &[]);
        let member = Member {
            requests,
            answers,
            outbox,
            behind: false,
            paused: false,
        };
        self.clients.insert(key, member);
    }

    fn review(&mut self, key: u64, desk: &Desk) {
        let Some(member) = self.clients.get_mut(&key) else {
            return;
        };
        match member.outbox.flush() {
            Sent::Whole => member.behind = false,
            Sent::Waits => member.behind = true,
            Sent::Broken => return self.end(key, desk),
        }
        member.paused = !desk.has_room(key);
    }

    fn end(&mut self, key: u64, desk: &Desk) {
        if let Some(member) = self.clients.remove(&key) {
            desk.leave(key);
            drop(member);
        }
    }

    /// Sleeps until somebody does something, or is gone.
    fn sleep(&mut self, desk: &Desk, deadline: Deadline) -> Result<()> {
        let mut peers = Vec::new();
        let mut joins = None;
        if let Some((_, lobby)) = &self.lobby {
            let region = lobby.region().clone();
            let seen = region
                .roster()
                .joins
                .load(std::sync::atomic::Ordering::SeqCst);
            joins = Some((region, seen));
            peers.push(Peer::sender(lobby));
        }
        for member in self.clients.values() {
            peers.push(Peer::sender(&member.requests));
            if member.behind {
                peers.push(member.answers.with(|answers| Peer::receiver(answers)));
            }
        }
        let marked: Vec<Marked> = peers.into_iter().filter_map(Peer::mark).collect();
        let heard = self.heard;
        // What came before the marks, or before somebody went.
        if self.look(desk)? {
            return Ok(());
        }
        let mut words = vec![(desk.bell(), heard)];
        words.extend(
            joins
                .iter()
                .map(|(region, seen)| (&region.roster().joins, *seen)),
        );
        words.extend(marked.iter().map(Marked::word));
        let all = words.len() <= futex::MOST_WORDS;
        words.truncate(futex::MOST_WORDS);
        let sure = all && marked.iter().all(|marked| marked.sure);
        let most = if sure { LONGEST } else { NAP };
        if futex::wait_any(&words, deadline, most) == futex::Sleep::TimedOut {
            let gone = |member: &Member| Peer::sender(&member.requests).is_gone();
            let gone: Vec<u64> = self
                .clients
                .iter()
                .filter_map(|(key, member)| gone(member).then_some(*key))
                .collect();
            gone.into_iter().for_each(|key| self.end(key, desk));
        }
        Ok(())
    }
}

impl Member {
    /// Reads what it has sent, as far as there is room for it: whether there was something; `None` when it is gone.
    fn read(&mut self, key: u64, desk: &Desk) -> Option<bool> {
        let mut found = false;
        for _ in 0..AT_ONCE {
            if self.paused {
                break;
            }
            let taken = match self.requests.try_recv() {
                Ok(Some(message)) => {
                    frame::split(&message).map(|(head, body)| (head, body.to_vec()))
                }
                Ok(None) => break,
                // Looked at below.
                Err(error) if error.kind() == Kind::Disconnected => break,
                Err(_) => return None,
            };
            found = true;
            let taken = match taken {
                Ok((head, _)) if head.kind == What::Bye => return None,
                Ok((head, body)) => desk.submit(key, head, body),
                Err(malformed) => Err(malformed),
            };
            if let Err(frame::Malformed(why)) = taken {
                let why = format!("the server got what is no frame: {why}");
                desk.refuse(&self.outbox, 0, Code::Malformed, &why);
                return None;
            }
            self.paused = !desk.has_room(key);
        }
        // Of one that is gone nothing is begun any more.
        (self.requests.is_connected() || !self.paused && self.requests.level() > 0).then_some(found)
    }
}

impl Reactor for Channels {
    fn turn(&mut self, desk: &Desk, limit: Option<Duration>) -> Result<()> {
        let deadline = Deadline::from(Wait::from(limit));
        let mut patience = Patience(self.patience.0);
        let looked = patience.look(|| match self.look(desk) {
            Ok(false) => None,
            outcome => Some(outcome),
        });
        self.patience = patience;
        match looked {
            Some(outcome) => outcome.map(drop),
            None => self.sleep(desk, deadline),
        }
    }

    fn farewell(&mut self, desk: &Desk) {
        // The name goes first, so that whoever comes now is told that nobody is here.
        self.lobby = None;
        if let Some(number) = self.coming.take() {
            remove(&pair(&self.name, number));
        }
        for member in self.clients.values() {
            member.outbox.send(Head::bare(What::Bye, 0), &[]);
        }
        let patience = Instant::now() + FAREWELL;
        let waits = |member: &Member| {
            member.outbox.flush() == Sent::Waits && member.requests.is_connected()
        };
        while self.clients.values().any(waits) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
        for key in self.clients.keys().copied().collect::<Vec<_>>() {
            self.end(key, desk);
        }
    }
}
