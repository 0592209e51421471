//! Channel: the channel against everything that carries messages on one machine, alternating in one run.
//!
//! A run starts the parts of all contestants of a row, pinned to core 0 and 1, asleep; then bursts of one after the
//! other are timed, in an order that rotates. A ratio compares neighbours in time. What a row shows is the median of
//! [`RUNS`] runs, each with new processes and new channels; a run's figure is the median of its rounds.

mod contestants;
mod control;
mod footprint;
mod sport;
mod team;

use std::io;
use std::path::PathBuf;

use contestants::{bare, boost, iceoryx2, ipc_channel, kernel, ours, threads};
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
    ours: Contestant,
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
        ours: ours::SPIN,
        others: &[
            (bare::LINE, AtMost(1.5)),
            (bare::PAUSING, Shown),
            (bare::LINES, AtMost(1.5)),
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
        ours: ours::SPIN,
        others: &[
            (bare::LINE, AtMost(1.5)),
            (bare::PAUSING, Shown),
            (bare::BUFFER, Shown),
            (iceoryx2::SAMPLES, AtMost(0.4)),
            (kernel::STREAM, Shown),
        ],
    },
    Contest {
        name: "round trip, 64 KiB, filled and read",
        sport: trip(KIB_64, Touch::All, Wait::Busy),
        ours: ours::SPIN,
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
        ours: ours::SPIN,
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
        ours: ours::SPIN,
        others: &[(iceoryx2::SAMPLES, AtMost(1.0)), (bare::BUFFER, Shown)],
    },
    Contest {
        name: "round trip, 1 MiB, header only",
        sport: trip(MIB, Touch::Header, Wait::Busy),
        ours: ours::SPIN,
        others: &[
            (iceoryx2::SAMPLES, AtMost(1.0)),
            (ours::SMALL, AtMost(1.1)),
            (bare::BUFFER, Shown),
        ],
    },
    Contest {
        name: "one way, 8 B",
        sport: Sport::OneWay {
            bytes: 8,
            batch: false,
        },
        ours: ours::ADAPTIVE,
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
        ours: ours::ADAPTIVE,
        others: &[(threads::RTRB, AtLeast(1.0)), (bare::RING, Shown)],
    },
    Contest {
        name: "one way, messages of 100 B",
        sport: Sport::OneWay {
            bytes: sport::MESSAGE,
            batch: false,
        },
        ours: ours::ADAPTIVE,
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
        name: "round trip, 8 B, adaptive, one core",
        sport: trip(8, Touch::All, Wait::OneCore),
        ours: ours::ADAPTIVE,
        others: ASLEEP,
    },
    Contest {
        name: "round trip, 8 B, adaptive, two cores",
        sport: trip(8, Touch::All, Wait::TwoCores),
        ours: ours::ADAPTIVE,
        others: ASLEEP,
    },
    Contest {
        name: "round trip, 8 B, asleep, one core",
        sport: trip(8, Touch::All, Wait::OneCore),
        ours: ours::BLOCK,
        others: ASLEEP,
    },
    Contest {
        name: "round trip, 8 B, asleep, two cores",
        sport: trip(8, Touch::All, Wait::TwoCores),
        ours: ours::BLOCK,
        others: ASLEEP,
    },
    Contest {
        name: "many to many, 2 and 2",
        sport: Sport::ManyToMany,
        ours: ours::MANY,
        others: &[(threads::CROSSBEAM, AtLeast(1.0)), (kernel::PIPE, Shown)],
    },
    Contest {
        name: "set-up to first message",
        sport: Sport::SetUp,
        ours: ours::NAMED,
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
        std::iter::once(self.ours).chain(others)
    }

    /// Of the figures of all contestants, and the ratios of ours to each; none are rows that do not hold.
    fn rows(&self, figures: &[f64], ratios: &[f64]) -> Vec<Row> {
        let rate = self.sport.is_rate();
        let (unit, per_unit) = match self.sport {
            _ if rate => ("M/s", 1e3 * self.sport.senders() as f64),
            Sport::RoundTrip { .. } => ("ns", 1.0),
            _ => ("µs", 1e3),
        };
        let figure = |index: usize| {
            let time = figures.get(index).copied().unwrap_or(f64::NAN);
            if rate {
                per_unit / time
            } else {
                time / per_unit
            }
        };
        let row = |(index, (other, must)): (usize, &(Contestant, Must))| {
            let ratio = ratios.get(index + 1).copied().unwrap_or(f64::NAN);
            Row {
                name: self.name.into(),
                peer: other.name.into(),
                ours: figure(0),
                theirs: figure(index + 1),
                unit,
                ratio: if rate { 1.0 / ratio } else { ratio },
                must: *must,
            }
        };
        let rows = self.others.iter().enumerate().map(row);
        // One who could not come has no figure and no row.
        rows.filter(|row| figures.is_empty() || !row.theirs.is_nan())
            .collect()
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

/// Removes what parts have left that were killed.
fn clean_up() {
    for directory in [PathBuf::from("/dev/shm"), std::env::temp_dir()] {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let of_ours = name.strip_prefix(&stem()).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('-') || rest.starts_with('_')
            });
            if of_ours {
                let _ = std::fs::remove_file(entry.path());
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Every comparison whose name is wanted.
pub fn rows(effort: Effort, wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (number, contest) in CONTESTS.iter().enumerate() {
        if wanted(contest.name) {
            let found = hold(number, contest, effort);
            clean_up();
            rows.extend(found.unwrap_or_else(|error| {
                // The others are worth having; these do not hold.
                eprintln!("peers: {}: {error}", contest.name);
                contest.rows(&[], &[])
            }));
        }
    }
    let found = footprint::rows(wanted);
    clean_up();
    rows.extend(found?);
    Ok(rows)
}

/// One contest: a row for each of the others.
fn hold(number: usize, contest: &Contest, effort: Effort) -> io::Result<Vec<Row>> {
    let count = contest.contestants().count();
    let rounds = (effort.rounds / 10).max(5) as usize;
    // By contestant, of each run: its figure, and ours to it.
    let mut figures = vec![Vec::new(); count];
    let mut ratios = vec![Vec::new(); count];
    for _ in 0..RUNS {
        let mut teams = Vec::new();
        for (index, contestant) in contest.contestants().enumerate() {
            match Team::start(contestant, contest.sport, &format!("{number}/{index}")) {
                Ok(team) => teams.push((index, team)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    eprintln!("peers: without {}: {error}", contestant.name);
                }
                Err(error) => return Err(about(contestant, &error)),
            }
        }
        let joined = teams.len();
        let mut times = vec![Vec::new(); count];
        for round in 0..rounds {
            for turn in 0..joined {
                let (index, team) = &mut teams[(round + turn) % joined];
                let contestant = || contest.contestants().nth(*index);
                let time = team.burst();
                times[*index].push(time.map_err(|error| match contestant() {
                    Some(contestant) => about(contestant, &error),
                    None => error,
                })?);
            }
        }
        for index in 0..count {
            figures[index].push(median(&mut times[index].clone()));
            let of = times[0].iter().zip(&times[index]);
            let mut of: Vec<f64> = of.map(|(ours, theirs)| ours / theirs).collect();
            ratios[index].push(median(&mut of));
        }
    }
    let middle = |of: Vec<Vec<f64>>| -> Vec<f64> {
        of.into_iter().map(|mut runs| median(&mut runs)).collect()
    };
    Ok(contest.rows(&middle(figures), &middle(ratios)))
}

fn about(contestant: Contestant, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", contestant.name))
}
