//! Observe: what looking costs: the graph of a crowded machine, `wigwag ls` beside `lsfd`, `wigwag why`.
//!
//! The crowd is [`PROCESSES`] processes of this program with [`THREADS`] threads, asleep in futexes, pipes, polls and
//! naps, and [`DESCRIPTORS`] descriptors between them. Whoever looks is a process of its own too, so that its peak of memory
//! is that of one look and its start is no warmer than a command's. The interval between the looks is chosen by the
//! user and not counted. Of a bound that is absolute the row has the bound as `theirs`.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wigwag_observe::WaitGraph;
use wigwag_observe::waits::Options;

use crate::duel::{Effort, median};
use crate::row::{Must, Row};

/// Tells a process which part it plays.
const PART: &str = "PEERS_OBSERVE";

/// In the crowd, all together.
const PROCESSES: usize = 10;
const THREADS: usize = 2_000;
const DESCRIPTORS: usize = 10_000;

/// Bounds of both looks with the graph in that crowd.
const LOOK_MS: f64 = 250.0;
const LOOK_MB: f64 = 100.0;
/// Bound of `wigwag why` without its interval.
const WHY_MS: f64 = 50.0;

/// In another process: plays its part, and returns true when it is over. False in the first.
pub fn partner() -> bool {
    let Ok(part) = std::env::var(PART) else {
        return false;
    };
    let played = match &part[..] {
        "crowd" => crowd(),
        "look" => look(),
        _ => Err(io::Error::other(format!("no part {part}"))),
    };
    if let Err(error) = played {
        eprintln!("peers: {part}: {error}");
    }
    true
}

/// One process of the crowd; it ends with its standard input.
fn crowd() -> io::Result<()> {
    allow_descriptors(DESCRIPTORS / PROCESSES + 64)?;
    let threads = THREADS / PROCESSES;
    let mut left = DESCRIPTORS / PROCESSES - 3;
    for number in 0..threads - 1 {
        let (reader, writer) = io::pipe()?;
        left -= 2;
        // The writer stays open here: whoever reads sleeps, and no end ever comes.
        let _ = writer.into_raw_fd();
        std::thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(move || sleep(number % 4, reader))?;
    }
    while left > 0 {
        // SAFETY: takes numbers.
        if unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
        left -= 1;
    }
    say(b"r")?;
    io::stdin().read(&mut [0]).map(drop)
}

/// Sleeps for ever, in one of four ways.
fn sleep(way: usize, mut pipe: io::PipeReader) {
    static LOCK: Mutex<()> = Mutex::new(());
    static NEVER: Condvar = Condvar::new();
    match way {
        0 => {
            let mut guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                guard = NEVER.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
        }
        1 => drop(pipe.read(&mut [0])),
        2 => {
            let mut poll = libc::pollfd {
                fd: pipe.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one valid entry, which the call gets the count of.
            unsafe { libc::poll(&raw mut poll, 1, -1) };
        }
        _ => std::thread::sleep(Duration::from_secs(3600)),
    }
}

/// Raises the limit to the highest one allowed.
fn allow_descriptors(wanted: usize) -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the calls get the address of a limit that lives.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return Err(io::Error::last_os_error());
        }
        limit.rlim_cur = limit.rlim_max;
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    if (limit.rlim_max as usize) < wanted {
        return Err(io::Error::other(format!(
            "a process may open {} descriptors and {wanted} are needed: raise ulimit -Hn",
            limit.rlim_max
        )));
    }
    Ok(())
}

fn say(word: &[u8]) -> io::Result<()> {
    io::stdout().write_all(word)?;
    io::stdout().flush()
}

/// Looks twice and solves the graph; says how long that took without the interval, and the peak of its memory.
fn look() -> io::Result<()> {
    let options = Options::default();
    let start = Instant::now();
    let graph = WaitGraph::capture(&options)?;
    let findings = graph.findings();
    let took = start.elapsed().saturating_sub(options.interval);
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.split_whitespace().next())
        .ok_or_else(|| io::Error::other("no VmHWM in /proc/self/status"))?;
    say(format!(
        "{} {peak} {} {}",
        took.as_secs_f64() * 1e3,
        graph.threads().len(),
        findings.len()
    )
    .as_bytes())
}

/// A process that plays a part, or another program; killed when dropped.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn part(part: &str) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(PART, part);
    Ok(command)
}

/// All processes of the crowd, when each is ready.
fn gather() -> io::Result<Vec<Victim>> {
    let mut crowd = Vec::new();
    for _ in 0..PROCESSES {
        let child = part("crowd")?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        crowd.push(Victim(child));
    }
    for Victim(child) in &mut crowd {
        let ready = child
            .stdout
            .as_mut()
            .map_or(Ok(0), |out| out.read(&mut [0]));
        if ready? == 0 {
            return Err(io::Error::other("a process of the crowd did not get ready"));
        }
    }
    Ok(crowd)
}

/// Every comparison whose name is wanted.
pub fn rows(effort: Effort, wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<Row>> {
    let rounds = (effort.rounds / 20).max(5);
    let mut rows = Vec::new();
    let ls = "wigwag ls";
    if wanted(ls) {
        rows.push(listings(ls, rounds)?);
    }
    let why = "wigwag why PID, without the interval";
    if wanted(why) {
        rows.push(answers(why, rounds)?);
    }
    let crowded = "wigwag ls, in the crowd";
    let looks = [
        "both looks with the graph, in the crowd",
        "peak of its memory",
    ];
    if !wanted(crowded) && !looks.into_iter().any(wanted) {
        return Ok(rows);
    }
    let crowd = gather()?;
    if wanted(crowded) {
        rows.push(listings(crowded, rounds)?);
    }
    if looks.into_iter().any(wanted) {
        let [mut times, mut peaks] = [const { Vec::new() }; 2];
        for _ in 0..rounds {
            let (time, peak) = one_look()?;
            times.push(time);
            peaks.push(peak);
        }
        let [time, memory] = looks;
        rows.push(bound(time, &mut times, "at most 250 ms", LOOK_MS, "ms"));
        rows.push(bound(memory, &mut peaks, "at most 100 MB", LOOK_MB, "MB"));
    }
    drop(crowd);
    Ok(rows)
}

/// Milliseconds and megabytes of a look by a new process, which has to have seen the crowd.
fn one_look() -> io::Result<(f64, f64)> {
    let output = part("look")?.stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text
        .split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect();
    match numbers[..] {
        [time, kilobytes, threads, _] if threads >= THREADS as f64 => {
            Ok((time, kilobytes * 1024.0 / 1e6))
        }
        _ => Err(io::Error::other(format!(
            "a look did not see the crowd: {text:?}"
        ))),
    }
}

fn bound(name: &str, found: &mut [f64], peer: &str, most: f64, unit: &'static str) -> Row {
    let ours = median(found);
    Row {
        name: name.into(),
        peer: peer.into(),
        ours,
        theirs: most,
        unit,
        ratio: ours / most,
        must: Must::AtMost(1.0),
    }
}

/// `wigwag ls` and `lsfd` in turn.
fn listings(name: &str, rounds: u32) -> io::Result<Row> {
    let wigwag = wigwag()?;
    let ours = || milliseconds(Command::new(&wigwag).arg("ls"));
    let theirs = || milliseconds(&mut Command::new("lsfd"));
    let [mut our_times, mut their_times, mut ratios] = [const { Vec::new() }; 3];
    for round in 0..rounds {
        let (our_time, their_time) = if round % 2 == 0 {
            let our_time = ours()?;
            (our_time, theirs()?)
        } else {
            let their_time = theirs()?;
            (ours()?, their_time)
        };
        our_times.push(our_time);
        their_times.push(their_time);
        ratios.push(our_time / their_time);
    }
    Ok(Row {
        name: name.into(),
        peer: "lsfd of util-linux".into(),
        ours: median(&mut our_times),
        theirs: median(&mut their_times),
        unit: "ms",
        ratio: median(&mut ratios),
        must: Must::AtMost(0.5),
    })
}

/// `wigwag why` about a process that waits for its input.
fn answers(name: &str, rounds: u32) -> io::Result<Row> {
    let wigwag = wigwag()?;
    let cat = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let cat = Victim(cat);
    let interval = Options::default().interval;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let mut command = Command::new(&wigwag);
        command
            .args(["why", "--interval", &interval.as_millis().to_string()])
            .arg(cat.0.id().to_string());
        times.push(milliseconds(&mut command)? - interval.as_secs_f64() * 1e3);
    }
    Ok(bound(name, &mut times, "at most 50 ms", WHY_MS, "ms"))
}

/// From the start of a command to its end; it has to end well, or with an answer.
fn milliseconds(command: &mut Command) -> io::Result<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let program = Path::new(command.get_program()).display().to_string();
    let start = Instant::now();
    let status = command.stderr(Stdio::inherit()).status().map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("{program}: {error}; install its package (lsfd: util-linux)"),
        )
    })?;
    let took = start.elapsed();
    // 4: `wigwag ls` without the rights for a table of the kernel.
    match status.code() {
        Some(0 | 4) => Ok(took.as_secs_f64() * 1e3),
        _ => Err(io::Error::other(format!("{program} failed: {status}"))),
    }
}

/// The command, of the same build as this program.
fn wigwag() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("wigwag");
    if path.exists() {
        Ok(path)
    } else {
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!(
                "{} is missing: cargo build --release -p wigwag-cli",
                path.display()
            ),
        ))
    }
}
