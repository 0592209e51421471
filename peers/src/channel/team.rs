//! Team: the parts of one contestant, each a process or a thread pinned to a core, asleep between its bursts.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::control::Memory;
use super::sport::{Sport, Work};

/// Tells a process which part it plays.
const PART: &str = "PEERS_CHANNEL";

/// One who takes part in a contest.
#[derive(Clone, Copy)]
pub struct Contestant {
    pub name: &'static str,
    pub how: How,
}

/// What its parts are.
#[derive(Clone, Copy)]
pub enum How {
    /// This program again, with descriptors that all parts inherit.
    Processes {
        bring: fn(Sport) -> io::Result<Vec<OwnedFd>>,
        join: fn(&mut Place) -> io::Result<Work>,
    },
    /// Threads of this process.
    Threads(fn(Sport) -> Vec<Entry>),
    /// Another program, which knows [`super::control`]; it gets what to do, a name, its part, its core and the descriptor of the memory.
    Program(fn() -> io::Result<PathBuf>),
    /// A new process each time, which does it once, with this name, and says how long it took.
    Once(fn(&str) -> io::Result<Duration>),
}

/// Becomes the work of a part, in its thread.
pub type Entry = Box<dyn FnOnce() -> io::Result<Work> + Send>;

/// What a process knows when it joins.
pub struct Place {
    pub sport: Sport,
    pub part: usize,
    /// A name that no other team has.
    pub name: String,
    pub memory: Arc<Memory>,
    /// What `bring` made.
    pub fds: Vec<OwnedFd>,
    /// What the part before said.
    pub heard: String,
    /// A word without spaces for the part after.
    pub say: String,
}

/// No descriptors.
pub fn nothing(_: Sport) -> io::Result<Vec<OwnedFd>> {
    Ok(Vec::new())
}

/// All parts, until it is dropped.
pub struct Team {
    memory: Arc<Memory>,
    processes: Vec<Child>,
    threads: Vec<JoinHandle<()>>,
    /// Operations of a burst.
    count: u64,
    /// What starts a process, where each burst is one.
    once: Option<String>,
}

impl Team {
    /// Starts the parts of the contestant, which a process finds again by `number`, and finds how much makes a burst.
    pub fn start(contestant: Contestant, sport: Sport, number: &str) -> io::Result<Self> {
        static TEAMS: AtomicU32 = AtomicU32::new(0);
        let team = TEAMS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{team}", super::stem());
        let cores = sport.cores();
        let mut team = Team {
            memory: Arc::new(Memory::create(cores.len())?),
            processes: Vec::new(),
            threads: Vec::new(),
            count: 1,
            once: None,
        };
        match contestant.how {
            How::Once(_) => team.once = Some(format!("{number} 0 {name} - -")),
            How::Processes { bring, .. } => {
                let fds = bring(sport)?;
                let mut heard = "-".to_owned();
                for part in 0..cores.len() {
                    // The words of `Place`, in the order that `partner` reads them.
                    let mut command = Command::new(std::env::current_exe()?);
                    let inherited = inheritable(fds.iter().map(AsFd::as_fd))?;
                    let memory = inheritable([team.memory.as_fd()])?;
                    let numbers: Vec<String> = (memory.iter().chain(&inherited))
                        .map(|fd| fd.as_raw_fd().to_string())
                        .collect();
                    command.env(
                        PART,
                        format!("{number} {part} {name} {heard} {}", numbers.join(",")),
                    );
                    heard = team.spawn(command)?;
                }
            }
            How::Program(build) => {
                let program = build()?;
                for (part, core) in cores.iter().enumerate() {
                    let memory = inheritable([team.memory.as_fd()])?;
                    let mut command = Command::new(&program);
                    command
                        .arg(if sport.is_rate() {
                            "one-way"
                        } else {
                            "round-trip"
                        })
                        .arg(&name)
                        .args([part, *core, memory[0].as_raw_fd() as usize].map(|n| n.to_string()));
                    team.spawn(command)?;
                }
            }
            How::Threads(enter) => {
                for (part, entry) in enter(sport).into_iter().enumerate() {
                    let memory = team.memory.clone();
                    team.threads.push(std::thread::spawn(move || {
                        let played = pin(cores[part])
                            .and_then(|()| entry())
                            .and_then(|mut work| memory.play(part, &mut work));
                        if let Err(error) = played {
                            eprintln!("peers: part {part}: {error}");
                        }
                    }));
                }
            }
        }
        if team.once.is_none() {
            team.calibrate(sport)?;
        }
        Ok(team)
    }

    /// Starts a process and waits for its word.
    fn spawn(&mut self, mut command: Command) -> io::Result<String> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take();
        self.processes.push(child);
        let mut line = String::new();
        if let Some(out) = out {
            BufReader::new(out).read_line(&mut line)?;
        }
        match line.trim_end().strip_prefix("ready ") {
            Some(word) => Ok(word.to_owned()),
            None => Err(io::Error::other("a part did not get ready")),
        }
    }

    fn calibrate(&mut self, sport: Sport) -> io::Result<()> {
        // The first has what is only done once.
        self.memory.burst(1)?;
        let wanted = sport.burst().as_nanos() as f64;
        while self.memory.burst(self.count)? < wanted / 2.0 && self.count < 1 << 28 {
            self.count *= 2;
        }
        Ok(())
    }

    /// Nanoseconds of an operation.
    pub fn burst(&mut self) -> io::Result<f64> {
        if let Some(words) = &self.once {
            let mut command = Command::new(std::env::current_exe()?);
            command.env(PART, words);
            return self.spawn(command)?.parse().map_err(io::Error::other);
        }
        Ok(self.memory.burst(self.count)? / self.count as f64)
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.memory.stop();
        // Each leaves in order, so that it removes what it made; one that hangs is killed.
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3)
            && (self.processes.iter_mut()).any(|child| matches!(child.try_wait(), Ok(None)))
        {
            std::thread::sleep(Duration::from_micros(200));
        }
        for child in &mut self.processes {
            let _ = child.kill();
            let _ = child.wait();
        }
        // A thread that hangs cannot be ended: the program ends with an error then, and with it the thread.
        for thread in self.threads.drain(..) {
            if thread.is_finished() || start.elapsed() < Duration::from_secs(3) {
                let _ = thread.join();
            }
        }
    }
}

/// The same descriptors under numbers that a new process keeps.
fn inheritable<'a>(
    fds: impl IntoIterator<Item = std::os::fd::BorrowedFd<'a>>,
) -> io::Result<Vec<OwnedFd>> {
    let copy = |fd: std::os::fd::BorrowedFd<'_>| {
        // SAFETY: an open descriptor; the copy is new and ours.
        unsafe {
            match libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD, 3) {
                -1 => Err(io::Error::last_os_error()),
                fd => Ok(OwnedFd::from_raw_fd(fd)),
            }
        }
    };
    fds.into_iter().map(copy).collect()
}

/// Puts this thread on a core.
fn pin(core: usize) -> io::Result<()> {
    // SAFETY: a set of numbers; the call gets its address and size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        if libc::sched_setaffinity(0, size_of_val(&set), &raw const set) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// In another process: plays its part, and returns true when it is over. False in the first.
pub fn partner() -> bool {
    let Ok(words) = std::env::var(PART) else {
        return false;
    };
    // It sleeps until the referee says stop, who may be gone.
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if let Err(error) = play(&words) {
        eprintln!("peers: {words}: {error}");
    }
    true
}

fn play(words: &str) -> io::Result<()> {
    let words: Vec<&str> = words.split(' ').collect();
    let [number, part, name, heard, fds] = words[..] else {
        return Err(io::Error::other("not the words of a part"));
    };
    let (contestant, sport) = super::found(number)?;
    let join = match contestant.how {
        How::Processes { join, .. } => join,
        How::Once(once) => {
            pin(0)?;
            return writeln!(io::stdout(), "ready {}", once(name)?.as_nanos());
        }
        How::Threads(_) | How::Program(_) => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let part = part.parse().map_err(io::Error::other)?;
    let mut fds = fds.split(',').map(|fd| -> io::Result<OwnedFd> {
        let fd = fd.parse().map_err(io::Error::other)?;
        // SAFETY: takes numbers. The referee made it for this process, which nobody else in it knows.
        Ok(unsafe {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            OwnedFd::from_raw_fd(fd)
        })
    });
    let memory = fds.next().ok_or(io::ErrorKind::InvalidInput)??;
    // Before anything looks at the cores it may use.
    pin(sport.cores()[part])?;
    let mut place = Place {
        sport,
        part,
        name: name.to_owned(),
        memory: Arc::new(Memory::map(memory)?),
        fds: fds.collect::<io::Result<_>>()?,
        heard: heard.to_owned(),
        say: "-".to_owned(),
    };
    let mut work = join(&mut place)?;
    writeln!(io::stdout(), "ready {}", place.say)?;
    place.memory.play(part, &mut work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::sport::{receiver, sender};

    const SPORT: Sport = Sport::OneWay {
        bytes: 8,
        batch: false,
    };

    fn pair(wrong: u64) -> Vec<Entry> {
        let (to, from) = std::sync::mpsc::channel();
        vec![
            Box::new(move || {
                Ok(sender(move |number| {
                    to.send(number + wrong).map_err(io::Error::other)
                }))
            }),
            Box::new(move || Ok(receiver(move || from.recv().map_err(io::Error::other)))),
        ]
    }

    fn team(enter: fn(Sport) -> Vec<Entry>) -> io::Result<Team> {
        let (name, how) = ("threads", How::Threads(enter));
        Team::start(Contestant { name, how }, SPORT, "")
    }

    #[test]
    fn a_burst_takes_time_and_the_parts_end_with_their_team() {
        let mut team = team(|_| pair(0)).unwrap();
        assert!(team.burst().unwrap() > 0.0);
        drop(team);
    }

    #[test]
    fn a_wrong_message_ends_the_burst() {
        assert!(team(|_| pair(1)).is_err());
    }
}
