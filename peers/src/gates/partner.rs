//! Partner: the second process, which is this program again, on a core of its own or on the same one.
//!
//! Each side has its own partner, asleep at its gate while the other side is timed.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::arena::Arena;
use super::{condvar, contest, mutex, semaphore};
use crate::cores::run_on;

const VARIABLE: &str = "PEERS_PARTNER";
/// How long a partner may take to do what it is told.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a partner does, with its name: again and again, or until it is over.
pub type Part = (&'static str, Act);

#[derive(Clone, Copy)]
pub enum Act {
    Forever(fn(&Arena) -> io::Result<()>),
    /// Given what it calls when it has begun.
    Once(fn(&Arena, &dyn Fn() -> io::Result<()>) -> io::Result<()>),
}

fn parts() -> impl Iterator<Item = &'static Part> {
    [
        &contest::PARTS[..],
        &mutex::PARTS,
        &semaphore::PARTS,
        &condvar::PARTS,
    ]
    .into_iter()
    .flatten()
}

/// In the second process: plays its part, and returns true when it is over. False in the first.
pub fn partner() -> bool {
    let Ok(told) = std::env::var(VARIABLE) else {
        return false;
    };
    if let Err(error) = play(&told) {
        eprintln!("peers: the partner: {error}");
    }
    true
}

fn play(told: &str) -> io::Result<()> {
    let mut words = told.split(' ');
    let (Some(part), Some(core), Some(name)) = (words.next(), words.next(), words.next()) else {
        return Err(io::Error::other(format!("what is {told}?")));
    };
    let arena = Arena::open(name)?;
    run_on(&[core.parse().map_err(io::Error::other)?])?;
    let ready = || {
        io::stdout()
            .write_all(b"r")
            .and_then(|()| io::stdout().flush())
    };
    match parts().find(|(known, _)| *known == part) {
        Some((_, Act::Once(act))) => act(&arena, &ready),
        Some((_, Act::Forever(act))) => {
            ready()?;
            // Until it is killed.
            loop {
                act(&arena)?;
            }
        }
        None => Err(io::Error::other(format!("no part {part}"))),
    }
}

/// The second process; killed when dropped.
pub struct Partner(Child);

impl Partner {
    /// Starts it, and waits until it is ready.
    pub fn start(part: &str, core: usize, name: &str) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(VARIABLE, format!("{part} {core} {name}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let ready = child
            .stdout
            .as_mut()
            .map_or(Ok(0), |out| out.read(&mut [0]));
        let partner = Partner(child);
        match ready? {
            0 => Err(io::Error::other(format!(
                "the partner for {part} did not start"
            ))),
            _ => Ok(partner),
        }
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Sends it the signal that nobody survives.
    pub fn kill(&mut self) -> io::Result<()> {
        self.0.kill()
    }

    /// Spins until it has done what it was told; an error when it has ended instead, so that nobody waits for it for ever.
    pub fn until(&mut self, done: impl Fn() -> bool) -> io::Result<()> {
        let start = Instant::now();
        for turn in 0_u32.. {
            if done() {
                break;
            }
            std::hint::spin_loop();
            if turn % 4096 != 4095 {
                continue;
            }
            if let Some(status) = self.0.try_wait()? {
                return Err(io::Error::other(format!("the partner ended: {status}")));
            }
            if start.elapsed() > PATIENCE {
                return Err(io::Error::other("the partner does not do what it is told"));
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
