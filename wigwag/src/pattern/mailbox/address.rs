//! A mailbox from its address: `mailbox:/orders?max_len=64`, `mailbox:/run/box/in`, `mailbox:./in`.
//!
//! As messages: a letter's kind is the type of a message. Who sends first is the poster until it closes, who receives first the
//! fetcher; others wait for that as for anything else.

use rustix::io::Errno;

use super::super::side::Side;
use super::{FACILITY, Fetcher, Futex, Mailbox, Options, Poster};
use crate::error::{Error, Kind, Result};
use crate::memory::address::probe;
use crate::memory::{file, posix};
use crate::message::{Messages, Note, Received};
use crate::name::Name;
use crate::opening::{Opening, Role, Target};
use crate::wait::{Deadline, Wait};

/// Whoever serves makes the mailbox if there is none.
pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn Messages>> {
    let options = read(target)?;
    let mailbox = match opening.role {
        Role::Serve if target.options.flag("exclusive")? => options.create_named(&target.name)?,
        Role::Serve => options.open_or_create_named(&target.name)?,
        Role::Join => options
            .open_named(&target.name)
            .map_err(|error| match error.kind() {
                Kind::NotFound => error.with_hint("whoever serves or creates it comes first"),
                _ => error,
            })?,
    };
    Ok(Box::new(Ends {
        mailbox,
        poster: Side::new(),
        fetcher: Side::new(),
    }))
}

pub(crate) fn create(target: &Target) -> Result<()> {
    let options = read(target)?;
    if target.options.flag("temporary")? {
        let why = "nothing would stay of what is created here";
        return Err(target.options.bad("temporary", why));
    }
    options.create_named(&target.name).map(drop)
}

pub(crate) fn unlink(name: &Name) -> Result<()> {
    let removed = match name {
        Name::Path(path) => file::MappedFile::unlink(path),
        name => posix::SharedMemory::unlink_named(name),
    };
    removed.map_err(|error| error.with_noun(FACILITY.noun))
}

fn read(target: &Target) -> Result<Options> {
    let given = &target.options;
    let mut options = Options::new().temporary(given.flag("temporary")?);
    if let Some(bytes) = given.bytes("max_len")? {
        let bytes = usize::try_from(bytes).map_err(|_| given.bad("max_len", "it is too great"))?;
        options = options.max_len(bytes);
    }
    if let Some(mode) = given.mode()? {
        options = options.mode(mode);
    }
    Ok(options)
}

/// Makes one without a name and sends a letter to itself.
pub(crate) fn probe() -> Result<()> {
    let name = format!("/{}", probe::unique());
    let mailbox = Options::new().max_len(8).temporary(true).create(name)?;
    mailbox.poster()?.try_post(b"probe")?;
    mailbox.fetcher()?.try_fetch(&mut [0; 8]).map(drop)
}

/// An open mailbox; each side is claimed when it is first used.
struct Ends {
    mailbox: Mailbox,
    poster: Side<Poster>,
    fetcher: Side<Fetcher>,
}

impl Messages for Ends {
    fn send_with(&self, message: &[u8], note: Note, wait: Wait) -> Result<()> {
        let kind = match note {
            Note {
                priority: Some(_), ..
            } => return Err(self.bad("send to", "its letters have no priority")),
            Note { kind, .. } => kind.unwrap_or(0),
        };
        let kind = u32::try_from(kind)
            .map_err(|_| self.bad("send to", "the kind of a letter is a number of 32 bits"))?;
        let deadline = Deadline::from(wait);
        let mut poster = self
            .poster
            .enter(deadline)
            .map_err(|errno| self.busy("send to", errno))?;
        let poster = match &mut *poster {
            Some(poster) => poster,
            none => none.insert(self.mailbox.poster_with(Futex, deadline.wait())?),
        };
        poster.post_with(kind, message, deadline.wait())
    }

    fn recv_with(
        &self,
        buffer: &mut Vec<u8>,
        kind: Option<i64>,
        wait: Wait,
    ) -> Result<Option<Received>> {
        if kind.is_some() {
            let why = "there is one letter: it cannot be chosen by its type";
            return Err(self.bad("receive from", why));
        }
        let deadline = Deadline::from(wait);
        let mut fetcher = self
            .fetcher
            .enter(deadline)
            .map_err(|errno| self.busy("receive from", errno))?;
        let fetcher = match &mut *fetcher {
            Some(fetcher) => fetcher,
            none => none.insert(self.mailbox.fetcher_with(Futex, deadline.wait())?),
        };
        buffer.resize(self.mailbox.max_len(), 0);
        let letter = fetcher
            .fetch_with(buffer, deadline.wait())
            .inspect_err(|_| buffer.clear())?;
        buffer.truncate(letter.length);
        let note = Note {
            kind: Some(letter.kind.into()).filter(|kind| *kind != 0),
            priority: None,
        };
        Ok(Some(Received {
            note,
            ..Received::default()
        }))
    }

    fn max_len(&self) -> usize {
        self.mailbox.max_len()
    }
}

impl Ends {
    /// Another thread has that side.
    fn busy(&self, action: &'static str, errno: Errno) -> Error {
        FACILITY.failed(action, self.mailbox.shared.name(), errno)
    }

    fn bad(&self, action: &'static str, why: &str) -> Error {
        self.mailbox.shared.error(Kind::BadInput, action, why)
    }
}
