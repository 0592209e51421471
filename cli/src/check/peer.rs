//! Peer: the second process of a check, which is this program run again.
//!
//! It is told what to do on its standard input, a [`Task`] a line, and answers each with `done`
//! or with what went wrong. When the first process is gone, so is this one.

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::time::Instant;

use wigwag::catalog::{self, Entry};
use wigwag::facility::{Direction, Family, Naming};
use wigwag::gate::Gate;
use wigwag::gate::posix::Options;
use wigwag::guarantees::Guarantees;
use wigwag::memory::{Region, Segment};
use wigwag::pattern::channel;
use wigwag::{Address, Endpoint, Kind, Opening, Role, Way};

use super::calls::{Answerer, Caller};
use super::gate::Contest;
use super::hall::{self, Hall};
use super::meeting::Addresses;
use super::messages::{self, Exchange};
use super::play::{Fault, PATIENCE, Play, Result, Task};
use super::region::Memory;
use super::signal::Signals;
use super::stream::{self, Streams};
use crate::failure::{self, Failure};
use crate::report::Report;

/// Where in memory an unnamed semaphore lies, away from what is counted there.
const SEMAPHORE: usize = 4096;

/// The second process of a check
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    facility: String,
    /// Where to receive
    #[arg(long)]
    there: Option<String>,
    /// Where to send
    #[arg(long)]
    back: Option<String>,
    /// Where to count the entries of a gate
    #[arg(long)]
    counters: Option<String>,
}

pub(crate) fn run(args: Args) -> failure::Result<Report> {
    // Whatever it waits for: nobody is left who wants to know when the first process is gone.
    let with_us = Some(rustix::process::Signal::KILL);
    let outcome = rustix::process::set_parent_process_death_signal(with_us)
        .map_err(|errno| Fault(errno.to_string()))
        .and_then(|()| joined(&args));
    let outcome = outcome.and_then(|mut play| {
        serve(
            &mut *play,
            &mut io::stdin().lock(),
            &mut io::stdout().lock(),
        )
    });
    match outcome {
        Ok(()) => Ok(Report::Done),
        Err(fault) => {
            // If nobody hears it, nobody is left who wants to know.
            let _ = writeln!(io::stdout(), "{fault}");
            Err(Failure::Told(crate::exit::ERROR))
        }
    }
}

fn joined(args: &Args) -> Result<Box<dyn Play>> {
    let entry = catalog::find(&args.facility)
        .ok_or_else(|| Fault(format!("there is no facility {}", args.facility)))?;
    let parsed = |text: &Option<String>| text.as_deref().map(str::parse::<Address>).transpose();
    let theirs = Addresses {
        there: parsed(&args.there)?,
        back: parsed(&args.back)?,
        counters: parsed(&args.counters)?,
    };
    open(entry, Side::Second, &theirs, || {
        rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get())
    })
}

/// Does one task after the other until there are no more.
pub(super) fn serve(
    play: &mut dyn Play,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<()> {
    writeln!(out, "ready")?;
    out.flush()?;
    for line in input.lines() {
        line?.parse::<Task>()?.run(play)?;
        writeln!(out, "done")?;
        out.flush()?;
    }
    Ok(())
}

/// Which of the two processes this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    First,
    Second,
}

/// Opens the objects of a check, in the same order on both sides, since opening may wait for
/// the other. The second process makes the name of `there`, the first that of `back`.
pub(crate) fn open(
    entry: &'static Entry,
    side: Side,
    addresses: &Addresses,
    other: impl FnOnce() -> i32,
) -> Result<Box<dyn Play>> {
    let facility = entry.facility;
    // Memory and gates have no ends.
    let ends = facility.boundary.is_some();
    let calls = matches!(entry.open, Some(catalog::Open::Calls));
    let (role, way) = match (side, facility.direction) {
        (Side::First, _) if calls => (Role::Join, Way::Both),
        (Side::Second, _) if calls => (Role::Serve, Way::Both),
        _ if !ends => (Role::Join, Way::Both),
        (Side::First, Some(Direction::TwoWay)) => (Role::Join, Way::Both),
        (Side::Second, Some(Direction::TwoWay)) => (Role::Serve, Way::Both),
        (Side::First, _) => (Role::Join, Way::Out),
        (Side::Second, _) => (Role::Serve, Way::In),
    };
    let Some(there) = &addresses.there else {
        return match facility.family {
            Family::Signal => Ok(Box::new(Signals::with(other())?)),
            Family::Gate => {
                let memory = memory(addresses)?;
                // Made by the first process before the second is told to use it.
                let semaphore = match side {
                    Side::First => Options::new().init(&*memory, SEMAPHORE, 1)?,
                    Side::Second => Options::new().attach(&*memory, SEMAPHORE)?,
                };
                let semaphore: Box<dyn Gate> = Box::new(semaphore);
                Ok(Box::new(Contest::new(Box::new(semaphore), memory)))
            }
            _ => Err(Fault(format!(
                "nobody knows how to come to a {}",
                facility.noun
            ))),
        };
    };
    if facility.naming == Naming::InMemory {
        return hall::play(facility.id, side, hall(there)?, memory(addresses)?);
    }
    let promised = promised(entry, there);
    let there = meet(there, role, way)?;
    let back = match (&addresses.back, side) {
        (None, _) => None,
        (Some(back), Side::First) => Some(meet(back, Role::Serve, Way::In)?),
        (Some(back), Side::Second) => Some(meet(back, Role::Join, Way::Out)?),
    };
    Ok(match (there, back) {
        (Endpoint::Stream(both), None) => Box::new(Streams::new(stream::Ends::TwoWay(both))),
        (Endpoint::Stream(there), Some(Endpoint::Stream(back))) => {
            let (out, back) = turned(side, there, back);
            Box::new(Streams::new(stream::Ends::OneWay { out, back }))
        }
        (Endpoint::Messages(both), None) => {
            let ends = messages::Ends::TwoWay(both);
            Box::new(Exchange::new(ends, facility, &promised))
        }
        (Endpoint::Messages(there), Some(Endpoint::Messages(back))) => {
            let (out, back) = turned(side, there, back);
            let ends = messages::Ends::OneWay { out, back };
            Box::new(Exchange::new(ends, facility, &promised))
        }
        (Endpoint::Region(region), _) => Box::new(Memory::new(region)?),
        (Endpoint::Client(client), _) => Box::new(Caller::new(client)),
        (Endpoint::Server(server), _) => Box::new(Answerer::new(server)?),
        (Endpoint::Gate(gate), _) => Box::new(Contest::new(Box::new(gate), memory(addresses)?)),
        _ => return Err(Fault("the two directions are of different kinds".into())),
    })
}

/// What the object at an address promises, of whatever flavour it is.
fn promised(entry: &Entry, address: &Address) -> Guarantees {
    let asked = address.options().get("flavour");
    let flavour = channel::FLAVOURS
        .iter()
        .find(|(name, _)| asked == Some(*name));
    flavour.map_or(entry.facility.guarantees, |(_, promised)| *promised)
}

/// The segment behind the descriptor that an address names.
fn hall(address: &Address) -> Result<Segment<Hall>> {
    let number = address.options().value::<u32>("fd")?;
    let none = || Fault(format!("{address} names no descriptor"));
    let path = format!("/proc/self/fd/{}", number.ok_or_else(none)?);
    let memory = File::options().read(true).write(true).open(path)?;
    Ok(Segment::from_fd(memory)?)
}

/// The memory to count in.
fn memory(addresses: &Addresses) -> Result<Box<dyn Region>> {
    let none = || Fault("there is no memory to count in".into());
    let counters = addresses.counters.as_ref().ok_or_else(none)?;
    match meet(counters, Role::Join, Way::Both)? {
        Endpoint::Region(memory) => Ok(memory),
        _ => Err(none()),
    }
}

/// The end to send through first, then the end to receive from.
fn turned<T>(side: Side, there: T, back: T) -> (T, T) {
    match side {
        Side::First => (there, back),
        Side::Second => (back, there),
    }
}

/// Opens one object; who joins waits until the other side has made the name.
fn meet(address: &Address, role: Role, way: Way) -> Result<Endpoint> {
    let start = Instant::now();
    loop {
        let opening = Opening {
            role,
            way,
            wait: PATIENCE.into(),
        };
        match catalog::open(address, opening) {
            Err(error)
                if role == Role::Join
                    && matches!(error.kind(), Kind::NotFound | Kind::Disconnected)
                    && start.elapsed() < PATIENCE =>
            {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            outcome => return Ok(outcome?),
        }
    }
}
