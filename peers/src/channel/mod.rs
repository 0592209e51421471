//! Channel: the channel against everything that carries messages on one machine, alternating in one run.
//!
//! A run starts the parts of all contestants of a row, pinned to core 0 and 1, asleep; then bursts of one after the
//! other are timed, in an order that rotates. A ratio compares neighbours in time. What a row shows is the median of
//! [`RUNS`] runs, each with new processes and new channels; a run's figure is the median of its rounds.

mod contestants;
mod control;
mod sport;
mod team;

use std::io;

use contestants::{bare, boost, iceoryx2, ipc_channel, kernel, threads};
use sport::{Sport, Touch, Wait};
use team::{Contestant, Team};

use crate::duel::{Effort, median};
use crate::row::Must::{self, AtLeast, AtMost, Shown};
use crate::row::Row;

pub use team::partner;

/// Each with new processes.
const RUNS: u32 = 7;

/// One thing to do, and who does it.
struct Contest {
    name: &'static str,
    sport: Sport,
    ours: Option<Contestant>,
    others: &'static [(Contestant, Must)],
}

const fn trip(bytes: usize, touch: Touch, wait: Wait) -> Sport {
    Sport::RoundTrip { bytes, touch, wait }
}

const KIB_64: usize = 64 << 10;
const MIB: usize = 1 << 20;

/// The rows.
const CONTESTS: &[Contest] = &[
    Contest {
        name: "round trip, 8 B, busy waiting",
        sport: trip(8, Touch::All, Wait::Busy),
        ours: None,
        others: &[
            (bare::LINE, AtMost(1.5)),
            (iceoryx2::SAMPLES, AtMost(0.4)),
            (threads::CROSSBEAM, Shown),
            (threads::STD, Shown),
            (ipc_channel::CHANNEL, Shown),
            (kernel::STREAM, Shown),
            (kernel::PIPE, Shown),
        ],
    },
    Contest {
        name: "round trip, 64 B, busy waiting",
        sport: trip(64, Touch::All, Wait::Busy),
        ours: None,
        others: &[
            (bare::LINE, AtMost(1.5)),
            (bare::BUFFER, Shown),
            (iceoryx2::SAMPLES, AtMost(0.4)),
            (kernel::STREAM, Shown),
        ],
    },
    Contest {
        name: "round trip, 64 KiB, filled and read",
        sport: trip(KIB_64, Touch::All, Wait::Busy),
        ours: None,
        others: &[
            (iceoryx2::SAMPLES, AtMost(1.0)),
            (bare::BUFFER, Shown),
            (ipc_channel::CHANNEL, Shown),
            (kernel::STREAM, Shown),
            (kernel::PIPE, Shown),
        ],
    },
    Contest {
        name: "round trip, 1 MiB, filled and read",
        sport: trip(MIB, Touch::All, Wait::Busy),
        ours: None,
        others: &[
            (iceoryx2::SAMPLES, AtMost(1.0)),
            (bare::BUFFER, Shown),
            (ipc_channel::CHANNEL, Shown),
            (kernel::STREAM, Shown),
            (kernel::PIPE, Shown),
        ],
    },
    Contest {
        name: "round trip, 64 KiB, header only",
        sport: trip(KIB_64, Touch::Header, Wait::Busy),
        ours: None,
        others: &[(iceoryx2::SAMPLES, AtMost(1.0)), (bare::BUFFER, Shown)],
    },
    Contest {
        name: "round trip, 1 MiB, header only",
        sport: trip(MIB, Touch::Header, Wait::Busy),
        ours: None,
        others: &[(iceoryx2::SAMPLES, AtMost(1.0)), (bare::BUFFER, Shown)],
    },
    Contest {
        name: "one way, 8 B",
        sport: Sport::OneWay {
            bytes: 8,
            batch: false,
        },
        ours: None,
        others: &[
            (threads::RTRB, AtLeast(1.0)),
            (iceoryx2::SAMPLES, AtLeast(10.0)),
            (bare::RING, Shown),
            (threads::CROSSBEAM, Shown),
            (threads::STD, Shown),
            (kernel::PIPE, Shown),
        ],
    },
    Contest {
        name: "one way, 8 B, in batches",
        sport: Sport::OneWay {
            bytes: 8,
            batch: true,
        },
        ours: None,
        others: &[(threads::RTRB, AtLeast(1.0)), (bare::RING, Shown)],
    },
    Contest {
        name: "one way, messages of 100 B",
        sport: Sport::OneWay {
            bytes: sport::MESSAGE,
            batch: false,
        },
        ours: None,
        others: &[
            (bare::RING, AtLeast(40.0 / 54.0)),
            (kernel::STREAM, AtLeast(5.0)),
            (kernel::PIPE, AtLeast(5.0)),
            (kernel::SEQPACKET, AtLeast(5.0)),
            (iceoryx2::SAMPLES, Shown),
            (threads::CROSSBEAM, Shown),
            (boost::QUEUE, Shown),
            (ipc_channel::CHANNEL, Shown),
        ],
    },
    Contest {
        name: "round trip, 8 B, asleep, one core",
        sport: trip(8, Touch::All, Wait::OneCore),
        ours: None,
        others: ASLEEP,
    },
    Contest {
        name: "round trip, 8 B, asleep, two cores",
        sport: trip(8, Touch::All, Wait::TwoCores),
        ours: None,
        others: ASLEEP,
    },
    Contest {
        name: "many to many, 2 and 2",
        sport: Sport::ManyToMany,
        ours: None,
        others: &[(threads::CROSSBEAM, AtLeast(1.0)), (kernel::PIPE, Shown)],
    },
    Contest {
        name: "set-up to first message",
        sport: Sport::SetUp,
        ours: None,
        others: &[
            (iceoryx2::NAMED, AtMost(0.2)),
            (ipc_channel::NAMED, Shown),
            (kernel::NAMED, Shown),
        ],
    },
];

const ASLEEP: &[(Contestant, Must)] = &[
    (bare::FUTEX, AtMost(1.1)),
    (iceoryx2::EVENTS, AtMost(1.0)),
    (boost::QUEUE, AtMost(1.0)),
    (kernel::PIPE, Shown),
    (kernel::STREAM, Shown),
    (ipc_channel::CHANNEL, Shown),
    (threads::CROSSBEAM, Shown),
    (threads::STD, Shown),
];

impl Contest {
    /// Ours first.
    fn contestants(&self) -> impl Iterator<Item = Contestant> + '_ {
        let others = self.others.iter().map(|(contestant, _)| *contestant);
        self.ours.into_iter().chain(others)
    }
}

/// Who plays, and what, by the number that a process is told.
fn found(number: &str) -> io::Result<(Contestant, Sport)> {
    let unknown = || io::Error::other(format!("no contestant {number}"));
    let (contest, contestant) = number.split_once('/').ok_or_else(unknown)?;
    let number = |text: &str| text.parse().ok();
    let contest = number(contest)
        .and_then(|contest: usize| CONTESTS.get(contest))
        .ok_or_else(unknown)?;
    let contestant = number(contestant)
        .and_then(|contestant| contest.contestants().nth(contestant))
        .ok_or_else(unknown)?;
    Ok((contestant, contest.sport))
}

/// What the names of this run begin with; a part gets it by its name.
fn stem() -> String {
    format!("peers-{}", std::process::id())
}

/// Every comparison whose name is wanted.
pub fn rows(effort: Effort, wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (number, contest) in CONTESTS.iter().enumerate() {
        if wanted(contest.name) {
            let found = hold(number, contest, effort).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", contest.name))
            });
            iceoryx2::clean_up();
            rows.extend(found?);
        }
    }
    Ok(rows)
}

/// One contest: a row for each of the others.
fn hold(number: usize, contest: &Contest, effort: Effort) -> io::Result<Vec<Row>> {
    let count = contest.contestants().count();
    let rounds = (effort.rounds / 10).max(5) as usize;
    // By contestant, of each run: its figure, and its ratio to ours.
    let mut figures = vec![Vec::new(); count];
    let mut ratios = vec![Vec::new(); count];
    for _ in 0..RUNS {
        let mut teams = Vec::new();
        for (index, contestant) in contest.contestants().enumerate() {
            let team = Team::start(contestant, contest.sport, &format!("{number}/{index}"));
            teams.push(team.map_err(|error| about(contestant, &error))?);
        }
        let mut times = vec![Vec::new(); count];
        for round in 0..rounds {
            for turn in 0..count {
                let index = (round + turn) % count;
                let time = teams[index].burst();
                let contestant = contest.contestants().nth(index);
                times[index].push(time.map_err(|error| match contestant {
                    Some(contestant) => about(contestant, &error),
                    None => error,
                })?);
            }
        }
        for (index, times) in times.iter().enumerate() {
            figures[index].push(median(&mut times.clone()));
        }
        for index in 0..count {
            let of = times[0].iter().zip(&times[index]);
            let mut of: Vec<f64> = of.map(|(ours, theirs)| ours / theirs).collect();
            ratios[index].push(median(&mut of));
        }
    }
    let ours = median(&mut figures[0]);
    let (unit, scale): (_, fn(f64, Sport) -> f64) = match contest.sport {
        sport if sport.is_rate() => ("M/s", |time, sport| 1e3 * sport.senders() as f64 / time),
        Sport::SetUp => ("µs", |time, _| time / 1e3),
        Sport::RoundTrip {
            wait: Wait::OneCore | Wait::TwoCores,
            ..
        } => ("µs", |time, _| time / 1e3),
        _ => ("ns", |time, _| time),
    };
    let row = |(index, (other, must)): (usize, &(Contestant, Must))| {
        let index = index + count - contest.others.len();
        let ratio = median(&mut ratios[index].clone());
        Row {
            name: contest.name.into(),
            peer: other.name.into(),
            ours: scale(ours, contest.sport),
            theirs: scale(median(&mut figures[index].clone()), contest.sport),
            unit,
            ratio: if contest.sport.is_rate() {
                1.0 / ratio
            } else {
                ratio
            },
            must: *must,
        }
    };
    Ok(contest.others.iter().enumerate().map(row).collect())
}

fn about(contestant: Contestant, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", contestant.name))
}
