//! Wait: what one thread needs before it can run: all of its clauses, each by any of its wakers.
//!
//! The danger is to know too little. A waker that is left out makes a phantom deadlock; one too many only makes us silent.
//! So a derivation adds everybody who *could* end the wait, and says by [`Tier`] and [`Outside`] how much it assumes.

use std::time::Duration;

/// What a thread waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// The facility, in the words of the catalog: `mutex`, `pipe`, `flock` …
    pub facility: &'static str,
    /// Which object: address, path or inode, with its fill where known.
    pub resource: String,
    /// One sentence: why this thread cannot go on.
    pub why: String,
    /// How long the thread has slept; unknown if nobody asked. By the scheduler's clock, which may be off by some ten
    /// milliseconds from one processor to another.
    pub since: Option<Duration>,
    /// All must be satisfied. No clause: the wait ends at once.
    pub clauses: Vec<Clause>,
    /// The wait ends by itself after this time limit, or is known to be limited.
    pub limited: bool,
    /// The thread wakes from time to time to look around and goes on waiting. Whether it has a time limit besides cannot be
    /// seen, which rules out *proven*.
    pub naps: bool,
    /// A handler of `SIGALRM` could interrupt it: alarm(2) is a time limit that cannot be seen, which rules out *proven*.
    pub alarmed: bool,
    /// A signal handler of the process could end this wait (post the semaphore, write the pipe).
    pub by_handler: bool,
    /// The thread does not wait but is held: stopped, or frozen.
    pub halted: bool,
}

/// A condition of a [`Wait`]: any of its wakers can satisfy it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Clause {
    /// Those who could act. Empty and closed: nobody can.
    pub wakers: Vec<Waker>,
    /// Whether somebody who is not in the graph could.
    pub outside: Outside,
}

/// One who could end a wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Waker {
    /// Which thread or threads.
    pub who: Who,
    /// How much it takes to count this one.
    pub tier: Tier,
    /// In which role: `owner`, `write end, descriptor 4`.
    pub role: String,
}

/// A thread, or any of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// This thread.
    Thread(u32),
    /// Any thread of this process, the waiting one included.
    Process(u32),
    /// Any *other* thread of this process.
    Others(u32),
    /// Any of a set shared by many waits.
    Group(GroupId),
}

/// A set of wakers in a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupId(pub(super) usize);

/// With which certainty a waker counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Could act, but only in an unusual way (shut down the reader's own socket, receive a descriptor in flight). It counts
    /// only when the finding is to be [proven](super::Certainty::Proven).
    Possible,
    /// Could act in the usual way. Counts always, unless a hint is believed.
    Evident,
    /// Probably the only one that will act (it took the semaphore last). Believed only for a
    /// [suspicion](super::Certainty::Suspect).
    Hint,
}

/// Whether somebody who is not in the graph could satisfy a clause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Outside {
    /// Nobody: the object has no name, all who have it are known.
    #[default]
    Closed,
    /// A stranger who opens the object by its name. Rules out *proven*.
    Named,
    /// Anybody, without opening anything (System V: an id is enough). Rules out all but *suspect*, and that needs a hint.
    Anyone,
    /// The world: a person, the network, a timer, a device, or what we do not understand. The wait counts as live.
    World(String),
}

impl Wait {
    /// A wait without clauses: add them.
    #[must_use]
    pub fn new(
        facility: &'static str,
        resource: impl Into<String>,
        why: impl Into<String>,
    ) -> Wait {
        Wait {
            facility,
            resource: resource.into(),
            why: why.into(),
            since: None,
            clauses: Vec::new(),
            limited: false,
            naps: false,
            alarmed: false,
            by_handler: false,
            halted: false,
        }
    }

    /// Adds a condition.
    #[must_use]
    pub fn clause(mut self, clause: Clause) -> Wait {
        self.clauses.push(clause);
        self
    }

    /// Marks the wait as ending by itself after a time.
    #[must_use]
    pub fn limited(mut self, limited: bool) -> Wait {
        self.limited = limited;
        self
    }

    /// Marks the wait as one that a signal handler could end.
    #[must_use]
    pub fn by_handler(mut self) -> Wait {
        self.by_handler = true;
        self
    }

    /// A wait for the world.
    #[must_use]
    pub fn world(
        facility: &'static str,
        resource: impl Into<String>,
        why: impl Into<String>,
        whom: impl Into<String>,
    ) -> Wait {
        Wait::new(facility, resource, why)
            .clause(Clause::default().outside(Outside::World(whom.into())))
    }

    /// Whom of the world it waits for, if one clause does.
    #[must_use]
    pub fn awaits_world(&self) -> Option<&str> {
        self.clauses
            .iter()
            .find_map(|clause| match &clause.outside {
                Outside::World(whom) => Some(whom.as_str()),
                _ => None,
            })
    }

    /// Same object, same wakers: the text and the time do not count.
    pub(crate) fn agrees(&self, other: &Wait) -> bool {
        // Unusual wakers are looked for in the second look only.
        let usual = |clause: &Clause| -> Vec<(Who, Tier)> {
            let usual = clause
                .wakers
                .iter()
                .filter(|waker| waker.tier != Tier::Possible);
            usual.map(|waker| (waker.who, waker.tier)).collect()
        };
        let same = |one: &Clause, other: &Clause| {
            one.outside == other.outside && usual(one) == usual(other)
        };
        self.facility == other.facility
            && self.limited == other.limited
            && self.halted == other.halted
            && self.clauses.len() == other.clauses.len()
            && self
                .clauses
                .iter()
                .zip(&other.clauses)
                .all(|(one, other)| same(one, other))
    }
}

impl Clause {
    /// Only this one can.
    #[must_use]
    pub fn one(waker: Waker) -> Clause {
        Clause {
            wakers: vec![waker],
            outside: Outside::Closed,
        }
    }

    /// Any of these can.
    #[must_use]
    pub fn any(wakers: impl IntoIterator<Item = Waker>) -> Clause {
        Clause {
            wakers: wakers.into_iter().collect(),
            outside: Outside::Closed,
        }
    }

    /// Says who else could; the wider of this and what was said before.
    #[must_use]
    pub fn outside(mut self, outside: Outside) -> Clause {
        if outside.width() >= self.outside.width() {
            self.outside = outside;
        }
        self
    }
}

impl Outside {
    fn width(&self) -> u8 {
        match self {
            Outside::Closed => 0,
            Outside::Named => 1,
            Outside::Anyone => 2,
            Outside::World(_) => 3,
        }
    }
}

impl Waker {
    fn new(who: Who) -> Waker {
        Waker {
            who,
            tier: Tier::Evident,
            role: String::new(),
        }
    }

    /// This thread.
    #[must_use]
    pub fn thread(tid: u32) -> Waker {
        Waker::new(Who::Thread(tid))
    }

    /// Any thread of this process.
    #[must_use]
    pub fn process(pid: u32) -> Waker {
        Waker::new(Who::Process(pid))
    }

    /// Any other thread of this process.
    #[must_use]
    pub fn others(pid: u32) -> Waker {
        Waker::new(Who::Others(pid))
    }

    /// Any of a set.
    #[must_use]
    pub fn group(group: GroupId) -> Waker {
        Waker::new(Who::Group(group))
    }

    /// In which role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Waker {
        self.role = role.into();
        self
    }

    /// With which certainty.
    #[must_use]
    pub fn tier(mut self, tier: Tier) -> Waker {
        self.tier = tier;
        self
    }
}
