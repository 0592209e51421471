//! Answer: verdict, chain and advice, for people ([`Display`](std::fmt::Display)) and for programs ([`Why::to_json`]).

use crate::graph::{Finding, Unseen, Verdict, quoted};
use std::fmt;
use std::time::Duration;

/// Why one thread does not go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Why {
    /// Its process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// Its name.
    pub comm: String,
    /// The verdict.
    pub standing: Standing,
    /// The finding it is part of.
    pub finding: Option<Finding>,
    /// Who waits for whom, from the thread on down to the roots, nearest first.
    pub chain: Vec<Link>,
    /// What to do, in sentences.
    pub advice: Vec<String>,
    /// Processes that could not be looked into.
    pub unseen: Vec<Unseen>,
}

/// What a thread does or suffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It waits for itself, directly or through others.
    Deadlock,
    /// Nobody exists who could wake it.
    DeadEnd,
    /// Somebody has to act first, who may be stuck himself.
    Blocked,
    /// It waits for a person, the network, a client, a signal.
    WaitingForInput,
    /// It is stopped.
    Stopped,
    /// Its control group is frozen.
    Frozen,
    /// It sleeps for a time it chose.
    Sleeping,
    /// It runs, or ran between the looks.
    Running,
    /// It may not be looked into.
    Unknown,
}

/// One thread of the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Its process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// Its name.
    pub comm: String,
    /// What it waits by; `None`: it does not wait.
    pub facility: Option<&'static str>,
    /// For which object, with its fill where known.
    pub resource: String,
    /// Why that makes it wait.
    pub why: String,
    /// How long it has slept.
    pub since: Option<Duration>,
    /// The wait ends by itself.
    pub limited: bool,
    /// Who could end it.
    pub holders: Vec<Waking>,
    /// How many more could.
    pub more: usize,
    /// What it does instead of waiting for somebody here: it is a root.
    pub awaits: Option<String>,
    /// It is the thread that was asked about.
    pub start: bool,
}

/// One who could end a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waking {
    /// Its process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// Its name.
    pub comm: String,
    /// In which role: `owner`, `write end, descriptor 4`.
    pub role: String,
}

impl Standing {
    /// For people.
    #[must_use]
    pub fn headline(self) -> &'static str {
        match self {
            Standing::Deadlock => "DEADLOCK",
            Standing::DeadEnd => "DEAD END",
            Standing::Blocked => "BLOCKED BY",
            Standing::WaitingForInput => "WAITING FOR INPUT",
            Standing::Stopped => "STOPPED",
            Standing::Frozen => "FROZEN",
            Standing::Sleeping => "SLEEPING",
            Standing::Running => "RUNNING",
            Standing::Unknown => "UNKNOWN",
        }
    }

    /// For programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Standing::Deadlock => "deadlock",
            Standing::DeadEnd => "dead_end",
            Standing::Blocked => "blocked_by",
            Standing::WaitingForInput => "waiting_for_input",
            Standing::Stopped => "stopped",
            Standing::Frozen => "frozen",
            Standing::Sleeping => "sleeping",
            Standing::Running => "running",
            Standing::Unknown => "unknown",
        }
    }

    /// Whether this is a hang that will not end.
    #[must_use]
    pub fn is_alarm(self) -> bool {
        matches!(self, Standing::Deadlock | Standing::DeadEnd)
    }
}

impl Why {
    /// Whether it will not go on by itself: it is in a deadlock or a dead end, or behind one. `wigwag why` exits with 3.
    #[must_use]
    pub fn is_alarm(&self) -> bool {
        let finding = self.finding.as_ref();
        self.standing.is_alarm()
            || self.standing == Standing::Blocked
                && finding.is_some_and(|finding| finding.verdict.is_alarm())
    }

    /// The roots of the chain: threads that wait for nobody here.
    pub fn roots(&self) -> impl Iterator<Item = &Link> {
        self.chain
            .iter()
            .filter(|link| link.awaits.is_some() || link.holders.is_empty())
    }

    /// The verdict in one line.
    #[must_use]
    pub fn headline(&self) -> String {
        let word = self.standing.headline();
        let certainty = self
            .finding
            .as_ref()
            .map_or("", |finding| finding.certainty.word());
        let size = self
            .finding
            .as_ref()
            .map_or(0, |finding| finding.core.len());
        let first = self.chain.first();
        match self.standing {
            Standing::Deadlock if size == 1 => format!("{word}: it waits for itself ({certainty})"),
            Standing::Deadlock => {
                format!("{word}: {size} threads wait for each other ({certainty})")
            }
            Standing::DeadEnd => format!("{word}: nobody is left who could wake it ({certainty})"),
            Standing::Blocked => {
                let stuck = match self.finding.as_ref().map(|finding| finding.verdict) {
                    Some(Verdict::Stopped) => ", which is stopped".to_owned(),
                    Some(verdict) => format!(
                        ", and that by a {} ({certainty})",
                        verdict.word().replace('_', " ")
                    ),
                    None => String::new(),
                };
                let by = first.map(Link::held_by).unwrap_or_default();
                let root = self
                    .roots()
                    .find(|root| !root.start)
                    .filter(|_| self.finding.is_none());
                let root = root.map_or(String::new(), |root| match &root.awaits {
                    Some(does) => format!("; at the root {} {does}", root.name()),
                    None => String::new(),
                });
                format!("{word} {by}{stuck}{root}")
            }
            Standing::WaitingForInput => {
                let whom = first.map(|link| match &link.awaits {
                    Some(whom) => whom.clone(),
                    None if link.facility == Some("pty") => {
                        let by = link.held_by();
                        format!(
                            "what is typed at {}, whose other end is {by}",
                            link.resource
                        )
                    }
                    None => "waits for somebody to come".to_owned(),
                });
                format!("{word}: {}", whom.unwrap_or_default())
            }
            Standing::Stopped => format!("{word}: it goes on with SIGCONT"),
            Standing::Frozen => format!("{word}: its control group is frozen"),
            Standing::Sleeping => format!("{word}: for a time that it chose"),
            Standing::Running => {
                let how = first
                    .and_then(|link| link.awaits.clone())
                    .unwrap_or_default();
                format!("{word}: {how}")
            }
            Standing::Unknown => format!("{word}: it may not be looked into"),
        }
    }

    /// As JSON, version 1.
    #[must_use]
    pub fn to_json(&self) -> String {
        let list = |items: Vec<String>| format!("[{}]", items.join(","));
        let chain = self.chain.iter().map(Link::to_json).collect();
        let advice = self.advice.iter().map(|text| quoted(text)).collect();
        let certainty = self.finding.as_ref().map_or("null".to_owned(), |finding| {
            quoted(finding.certainty.word())
        });
        let unseen = self.unseen.iter().map(|unseen| {
            format!(
                r#"{{"pid":{},"reason":{}}}"#,
                unseen.pid,
                quoted(&unseen.reason)
            )
        });
        format!(
            r#"{{"version":1,"pid":{},"tid":{},"comm":{},"verdict":"{}","certainty":{certainty},"headline":{},"chain":{},"advice":{},"unseen":{}}}"#,
            self.pid,
            self.tid,
            quoted(&self.comm),
            self.standing.word(),
            quoted(&self.headline()),
            list(chain),
            list(advice),
            list(unseen.collect()),
        )
    }
}

impl Link {
    /// `comm[pid]`, with the thread where it is not the first.
    #[must_use]
    pub fn name(&self) -> String {
        name(&self.comm, self.pid, self.tid)
    }

    fn held_by(&self) -> String {
        let holders: Vec<String> = self
            .holders
            .iter()
            .map(|holder| match holder.role.as_str() {
                "" => name(&holder.comm, holder.pid, holder.tid),
                role => format!("{} ({role})", name(&holder.comm, holder.pid, holder.tid)),
            })
            .collect();
        let more = if self.more > 0 {
            format!(" and {} more", self.more)
        } else {
            String::new()
        };
        format!("{}{more}", holders.join(" or "))
    }

    fn to_json(&self) -> String {
        let holders: Vec<String> = self
            .holders
            .iter()
            .map(|holder| {
                format!(
                    r#"{{"pid":{},"tid":{},"comm":{},"role":{}}}"#,
                    holder.pid,
                    holder.tid,
                    quoted(&holder.comm),
                    quoted(&holder.role)
                )
            })
            .collect();
        format!(
            r#"{{"pid":{},"tid":{},"comm":{},"facility":{},"resource":{},"why":{},"since_s":{},"limited":{},"awaits":{},"holders":[{}],"more":{}}}"#,
            self.pid,
            self.tid,
            quoted(&self.comm),
            self.facility.map_or("null".to_owned(), quoted),
            quoted(&self.resource),
            quoted(&self.why),
            self.since.map_or("null".to_owned(), |since| format!(
                "{:.3}",
                since.as_secs_f64()
            )),
            self.limited,
            self.awaits.as_deref().map_or("null".to_owned(), quoted),
            holders.join(","),
            self.more,
        )
    }
}

fn name(comm: &str, pid: u32, tid: u32) -> String {
    let comm: String = comm
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if pid == tid {
        format!("{comm}[{pid}]")
    } else {
        format!("{comm}[{pid}] thread {tid}")
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())?;
        let Some(facility) = self.facility else {
            return write!(f, "  {}", self.awaits.as_deref().unwrap_or("runs"));
        };
        if let Some(since) = self.since {
            write!(f, "  {}", duration(since))?;
        }
        write!(f, "  {facility} {}: {}", self.resource, self.why)?;
        if self.limited {
            write!(f, ", with a time limit")?;
        }
        if !self.holders.is_empty() {
            write!(f, "  <- {}", self.held_by())?;
        }
        match &self.awaits {
            Some(awaits) => write!(f, "  <- {awaits}"),
            None if self.holders.is_empty() => write!(f, "  <- nobody"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline())?;
        writeln!(f)?;
        for link in &self.chain {
            writeln!(f, "  {link}")?;
        }
        if !self.advice.is_empty() {
            writeln!(f)?;
        }
        for advice in &self.advice {
            writeln!(f, "  {advice}")?;
        }
        if !self.unseen.is_empty() {
            writeln!(
                f,
                "\nnot seen: {} that may not be read",
                processes(self.unseen.len())
            )?;
        }
        Ok(())
    }
}

fn processes(count: usize) -> String {
    if count == 1 {
        "1 process".to_owned()
    } else {
        format!("{count} processes")
    }
}

fn duration(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}
