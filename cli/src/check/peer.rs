//! Peer: the second process of a check, which is this program run again.
//!
//! It is told what to do on its standard input, a [`Task`] a line, and answers each with `done`
//! or with what went wrong. When the first process is gone, so is this one.

use std::io::{self, BufRead, Write};
use std::time::Instant;

use wigwag::catalog::{self, Entry};
use wigwag::facility::Direction;
use wigwag::{Address, Endpoint, Kind, Opening, Role, Way};

use super::gate::Contest;
use super::meeting::Addresses;
use super::messages::{self, Exchange};
use super::play::{Fault, PATIENCE, Play, Result, Task};
use super::region::Memory;
use super::stream::{self, Streams};
use crate::failure::{self, Failure};
use crate::report::Report;

/// The second process of a check
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to receive
    there: String,
    /// Where to send
    #[arg(long)]
    back: Option<String>,
    /// Where to count the entries of a gate
    #[arg(long)]
    counters: Option<String>,
}

pub(crate) fn run(args: Args) -> failure::Result<Report> {
    match serve(&args) {
        Ok(()) => Ok(Report::Done),
        Err(fault) => {
            say(&fault.to_string());
            Err(Failure::Told(crate::exit::ERROR))
        }
    }
}

fn serve(args: &Args) -> Result<()> {
    let parsed = |text: &Option<String>| text.as_deref().map(str::parse::<Address>).transpose();
    let theirs = Addresses {
        there: args.there.parse()?,
        back: parsed(&args.back)?,
        counters: parsed(&args.counters)?,
    };
    let mut play = open(Side::Second, &theirs)?;
    say("ready");
    for line in io::stdin().lock().lines() {
        line?.parse::<Task>()?.run(&mut *play)?;
        say("done");
    }
    Ok(())
}

/// One line for the first process; that it is gone is noticed by reading.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", line.replace('\n', " "));
    let _ = out.flush();
}

/// Which of the two processes this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    First,
    Second,
}

/// Opens the objects of a check, in the same order on both sides, since opening may wait for
/// the other. The second process makes the name of `there`, the first that of `back`.
pub(crate) fn open(side: Side, addresses: &Addresses) -> Result<Box<dyn Play>> {
    let entry = catalog::resolve(&addresses.there)?.entry;
    let (role, way) = match (side, entry.facility.direction) {
        (Side::First, Some(Direction::TwoWay)) => (Role::Join, Way::Both),
        (Side::Second, Some(Direction::TwoWay)) => (Role::Serve, Way::Both),
        (Side::First, _) => (Role::Join, Way::Out),
        (Side::Second, _) => (Role::Serve, Way::In),
    };
    let there = meet(&addresses.there, role, way)?;
    let back = match (&addresses.back, side) {
        (None, _) => None,
        (Some(back), Side::First) => Some(meet(back, Role::Serve, Way::In)?),
        (Some(back), Side::Second) => Some(meet(back, Role::Join, Way::Out)?),
    };
    play(entry, side, there, back, addresses.counters.as_ref())
}

fn play(
    entry: &'static Entry,
    side: Side,
    there: Endpoint,
    back: Option<Endpoint>,
    counters: Option<&Address>,
) -> Result<Box<dyn Play>> {
    Ok(match (there, back) {
        (Endpoint::Stream(both), None) => Box::new(Streams::new(stream::Ends::TwoWay(both))),
        (Endpoint::Stream(there), Some(Endpoint::Stream(back))) => {
            let (out, back) = turned(side, there, back);
            Box::new(Streams::new(stream::Ends::OneWay { out, back }))
        }
        (Endpoint::Messages(both), None) => {
            let ends = messages::Ends::TwoWay(both);
            Box::new(Exchange::new(ends, entry.facility.guarantees.delivery))
        }
        (Endpoint::Messages(there), Some(Endpoint::Messages(back))) => {
            let (out, back) = turned(side, there, back);
            let ends = messages::Ends::OneWay { out, back };
            Box::new(Exchange::new(ends, entry.facility.guarantees.delivery))
        }
        (Endpoint::Region(region), _) => Box::new(Memory::new(region)?),
        (Endpoint::Gate(gate), _) => {
            let counters = counters.ok_or_else(|| Fault("there is nowhere to count".into()))?;
            match meet(counters, Role::Join, Way::Both)? {
                Endpoint::Region(counters) => Box::new(Contest::new(gate, counters)),
                _ => return Err(Fault("it takes memory to count in".into())),
            }
        }
        _ => return Err(Fault("the two directions are of different kinds".into())),
    })
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
