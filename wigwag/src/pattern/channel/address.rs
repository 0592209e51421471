//! A channel from its address: `channel:/camera?capacity=1M&full=drop-newest`, for messages of bytes.
//!
//! The flavour of one that exists is found out, so whoever sends or receives need not say it. Who finds nobody at the
//! other side waits for somebody; that all are gone is told to one who has met them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use super::super::side::Side;
use super::ends::Role as Part;
use super::flavour::{Flavour, sealed};
use super::options::Options;
use super::region::Region;
use super::{FACILITY, broadcast, latest, many_to_many, one_to_one};
use crate::error::{Kind, Result};
use crate::interrupt::ENDED;
use crate::memory::address::probe;
use crate::memory::posix;
use crate::memory::segment::Trust;
use crate::message::{Messages, Note, Received};
use crate::name::Name;
use crate::opening::{Opening, Role, Target, Way};
use crate::sys::atomic::Ordering;
use crate::sys::futex::Sleep;
use crate::wait::{Deadline, Wait};

/// A channel of bytes, of whatever flavour.
pub(super) trait Bytes: Send + Sync {
    /// Its memory.
    fn region(&self) -> &Arc<Region>;

    /// The longest message in bytes.
    fn longest(&self) -> usize;

    /// Takes an end that sends.
    fn sends(&self) -> Result<Box<dyn Sends>>;

    /// Takes an end that receives; where it can be chosen, from so many of the newest messages on.
    fn receives(&self, last: u64) -> Result<Box<dyn Receives>>;
}

/// An end that sends.
pub(super) trait Sends: Send {
    /// As the channel was made when it is full; `Disconnected` when it is full and nobody is there who could receive.
    fn put(&mut self, message: &[u8], wait: Wait) -> Result<()>;
}

/// An end that receives.
pub(super) trait Receives: Send {
    /// Replaces what is in `buffer`, and tells how many were missed directly before it; `Disconnected` when there is
    /// nothing and nobody who could send.
    fn take_into(&mut self, buffer: &mut Vec<u8>, wait: Wait) -> Result<u64>;

    /// How many never came because it was full.
    fn lost(&self) -> u64;
}

/// Replaces what is in `buffer`.
pub(super) fn fill(buffer: &mut Vec<u8>, message: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(message);
}

/// A flavour by its name.
struct Named {
    name: &'static str,
    make: fn(&Options, &OsStr, Verb) -> Result<Box<dyn Bytes>>,
}

/// The flavours that carry messages of bytes; the first is made unless another is asked for.
const FLAVOURS: &[Named] = &[
    named::<one_to_one::Channel<[u8]>>(),
    named::<many_to_many::Channel<[u8]>>(),
    named::<broadcast::Channel<[u8]>>(),
    named::<latest::Channel<[u8]>>(),
];

const fn named<C: Flavour + Bytes + 'static>() -> Named {
    Named {
        name: <C::Form as sealed::Form>::NAME,
        make: make::<C>,
    }
}

/// What is done with a name.
#[derive(Clone, Copy)]
enum Verb {
    Create,
    Open,
    OpenOrCreate,
}

fn make<C: Flavour + Bytes + 'static>(
    options: &Options,
    name: &OsStr,
    verb: Verb,
) -> Result<Box<dyn Bytes>> {
    let channel: C = match verb {
        Verb::Create => options.create(name)?,
        Verb::Open => options.open(name)?,
        Verb::OpenOrCreate => options.open_or_create(name)?,
    };
    Ok(Box::new(channel))
}

/// Whoever serves makes the channel if there is none.
pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn Messages>> {
    let options = read(target)?;
    let asked = flavour(target)?;
    let name = OsString::from_vec(target.name.to_bytes());
    let channel = match opening.role {
        Role::Serve if target.options.flag("exclusive")? => {
            (asked.unwrap_or(&FLAVOURS[0]).make)(&options, &name, Verb::Create)?
        }
        Role::Serve => match existing(&options, &name, asked) {
            Err(error) if error.kind() == Kind::NotFound => {
                (asked.unwrap_or(&FLAVOURS[0]).make)(&options, &name, Verb::OpenOrCreate)?
            }
            found => found?,
        },
        Role::Join => existing(&options, &name, asked).map_err(|error| match error.kind() {
            Kind::NotFound => error.with_hint("whoever serves or creates it comes first"),
            _ => error,
        })?,
    };
    let ends = Ends {
        sender: Side::new(),
        receiver: Side::new(),
        channel,
        last: last(target)?,
    };
    // Whoever counts the ends sees this one from now on, and who has no seat for it says so now.
    match opening.way {
        Way::In => ends.receiving(Deadline::Now, |_| Ok(()))?,
        Way::Out => ends.sending(Deadline::Now, |_| Ok(()))?,
        Way::Both => {}
    }
    Ok(Box::new(ends))
}

/// The one of that name, of the flavour asked for or of any.
fn existing(options: &Options, name: &OsStr, asked: Option<&Named>) -> Result<Box<dyn Bytes>> {
    let trusting = options.clone().trust(Trust::Peers);
    let wary = options.clone().trust(Trust::Nobody);
    let mut other = None;
    for flavour in FLAVOURS {
        let wanted = asked.is_none_or(|asked| asked.name == flavour.name);
        for options in [&trusting, &wary] {
            // One that is only looked at stays.
            let options = options.clone();
            let options = if wanted {
                options
            } else {
                options.temporary(false)
            };
            match (flavour.make)(&options, name, Verb::Open) {
                // It holds something else, or for other programs.
                Err(error) if error.kind() == Kind::BadInput => drop(other.get_or_insert(error)),
                Ok(_) if !wanted => {
                    let why = format!("it is one of the flavour {}", flavour.name);
                    let error = FACILITY.error(Kind::BadInput, "open", name.display(), why);
                    return Err(error.with_hint("name no other flavour in the address"));
                }
                outcome => return outcome,
            }
        }
    }
    Err(other.unwrap_or_else(|| {
        let why = "it is of no known flavour";
        FACILITY.error(Kind::BadInput, "open", name.display(), why)
    }))
}

pub(crate) fn create(target: &Target) -> Result<()> {
    let options = read(target)?;
    if target.options.flag("temporary")? {
        let why = "nothing would stay of what is created here";
        return Err(target.options.bad("temporary", why));
    }
    last(target)?;
    let name = OsString::from_vec(target.name.to_bytes());
    let flavour = flavour(target)?.unwrap_or(&FLAVOURS[0]);
    // What is made to be left there has no end that lives in it, and may have messages.
    (flavour.make)(&options.keep(), &name, Verb::Create).map(drop)
}

pub(crate) fn unlink(name: &Name) -> Result<()> {
    posix::SharedMemory::unlink_named(name).map_err(|error| error.with_noun(FACILITY.noun))
}

/// The flavour that was asked for.
fn flavour(target: &Target) -> Result<Option<&'static Named>> {
    let Some(asked) = target.options.get("flavour") else {
        return Ok(None);
    };
    let found = FLAVOURS.iter().find(|flavour| flavour.name == asked);
    found.map(Some).ok_or_else(|| {
        let names: Vec<&str> = FLAVOURS.iter().map(|flavour| flavour.name).collect();
        let why = format!("the flavours are {}", names.join(", "));
        target.options.bad("flavour", &why)
    })
}

/// How many of the newest messages a new receiver gets first.
fn last(target: &Target) -> Result<u64> {
    Ok(target.options.value("last")?.unwrap_or(0))
}

fn read(target: &Target) -> Result<Options> {
    let given = &target.options;
    let mut options = Options::new().temporary(given.flag("temporary")?);
    if let Some(bytes) = given.bytes("capacity")? {
        options = options.capacity(bytes);
    }
    if let Some(full) = given.value("full")? {
        options = options.full(full);
    }
    if let Some(seats) = given.value("seats")? {
        options = options.seats(seats);
    }
    if let Some(mode) = given.mode()? {
        options = options.mode(mode);
    }
    options = match given.get("trust") {
        None | Some("peers") => options,
        Some("nobody") => options.trust(Trust::Nobody),
        Some(_) => return Err(given.bad("trust", "it is peers or nobody")),
    };
    Ok(options)
}

/// Makes one under a name and sends a message to itself.
pub(crate) fn probe() -> Result<()> {
    let name = format!("/{}", probe::unique());
    let options = Options::new().capacity(1).temporary(true);
    let channel: one_to_one::Channel<[u8]> = options.create(name)?;
    let (mut sender, mut receiver) = (channel.sender()?, channel.receiver()?);
    sender.try_send(b"probe")?;
    receiver.try_recv().map(drop)
}

/// An end, and who of the other side has been met.
struct End<T> {
    end: T,
    /// How many had come there before this end did.
    before: u32,
    met: bool,
}

impl<T> End<T> {
    fn new(region: &Region, other: Part, take: impl FnOnce() -> Result<T>) -> Result<Self> {
        let before = region.roster().came(other).load(Ordering::SeqCst);
        Ok(End {
            end: take()?,
            before,
            met: false,
        })
    }
}

/// An open channel; an end is taken when it is first used, or at once by who opens it for that.
struct Ends {
    // Before the channel, which may go with its name.
    sender: Side<End<Box<dyn Sends>>>,
    receiver: Side<End<Box<dyn Receives>>>,
    channel: Box<dyn Bytes>,
    /// How many of the newest messages a new receiver gets first.
    last: u64,
}

impl Ends {
    /// Does something with the end that sends.
    fn sending<R>(
        &self,
        deadline: Deadline,
        act: impl FnOnce(&mut End<Box<dyn Sends>>) -> Result<R>,
    ) -> Result<R> {
        let region = self.channel.region();
        let entered = self.sender.enter(deadline);
        let mut sender = entered.map_err(|errno| region.failed("send to", errno))?;
        act(match &mut *sender {
            Some(end) => end,
            none => none.insert(End::new(region, Part::Receiver, || self.channel.sends())?),
        })
    }

    /// Does something with the end that receives.
    fn receiving<R>(
        &self,
        deadline: Deadline,
        act: impl FnOnce(&mut End<Box<dyn Receives>>) -> Result<R>,
    ) -> Result<R> {
        let region = self.channel.region();
        let entered = self.receiver.enter(deadline);
        let mut receiver = entered.map_err(|errno| region.failed("receive from", errno))?;
        act(match &mut *receiver {
            Some(end) => end,
            none => none.insert(End::new(region, Part::Sender, || {
                self.channel.receives(self.last)
            })?),
        })
    }

    /// Attempts until the outcome is another than that nobody is at the other side, who has not been met yet.
    fn until_met<R>(
        &self,
        met: &mut bool,
        before: u32,
        other: Part,
        action: &'static str,
        deadline: Deadline,
        mut attempt: impl FnMut(Wait) -> Result<R>,
    ) -> Result<R> {
        let region = self.channel.region();
        loop {
            let joins = region.roster().joins.load(Ordering::SeqCst);
            *met |= region.count(other) > 0;
            let alone = match attempt(deadline.wait()) {
                Err(error) if error.kind() == Kind::Disconnected && !*met => error,
                outcome => {
                    // Who came, did something and went between two looks has been met, too.
                    let came = || region.roster().came(other).load(Ordering::SeqCst);
                    *met |= outcome.is_ok() && came() != before;
                    return outcome;
                }
            };
            match region.await_join(joins, deadline) {
                Sleep::Woken | Sleep::Changed => {}
                Sleep::Gone => return region.is_there(action).and(Err(alone)),
                Sleep::Interrupted => return Err(region.error(Kind::Interrupted, action, ENDED)),
                Sleep::TimedOut => {
                    let kind = match deadline {
                        Deadline::Now => Kind::WouldBlock,
                        _ => Kind::TimedOut,
                    };
                    let why = format!("it has no {}", other.noun());
                    return Err(region.error(kind, action, why));
                }
            }
        }
    }
}

impl Messages for Ends {
    fn send_with(&self, message: &[u8], note: Note, wait: Wait) -> Result<()> {
        if note != Note::default() {
            let why = "its messages have no priority and no type";
            return Err(self.channel.region().error(Kind::BadInput, "send to", why));
        }
        let deadline = Deadline::from(wait);
        self.sending(deadline, |End { end, before, met }| {
            self.until_met(met, *before, Part::Receiver, "send to", deadline, |wait| {
                end.put(message, wait)
            })
        })
    }

    fn recv_with(
        &self,
        buffer: &mut Vec<u8>,
        kind: Option<i64>,
        wait: Wait,
    ) -> Result<Option<Received>> {
        let region = self.channel.region();
        if kind.is_some() {
            let why = "its messages have no type to choose by";
            return Err(region.error(Kind::BadInput, "receive from", why));
        }
        let deadline = Deadline::from(wait);
        let received = self.receiving(deadline, |End { end, before, met }| {
            self.until_met(
                met,
                *before,
                Part::Sender,
                "receive from",
                deadline,
                |wait| {
                    let missed = end.take_into(buffer, wait)?;
                    Ok(Received {
                        missed,
                        lost: end.lost(),
                        ..Received::default()
                    })
                },
            )
        });
        match received {
            Ok(received) => Ok(Some(received)),
            Err(error) if error.kind() == Kind::Disconnected => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn max_len(&self) -> usize {
        self.channel.longest()
    }
}
