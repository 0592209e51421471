//! Scribbler: a peer that writes random bytes over whole channels, while others use them.
//!
//! Errors and wrong data are allowed; a panic, a crash, or a wait beyond its time-out is not.
#![allow(dead_code)] // each test binary uses its share

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use wigwag::{Error, Kind};

use crate::process;

/// What who uses a spoiled channel waits at most.
pub const LIMIT: Duration = Duration::from_millis(2);
/// A time-out on a loaded machine.
const LATE: Duration = Duration::from_secs(10);
/// The header and the setup are read at opening only, and checked there.
const SETUP: u64 = 4096 + 128;
/// Behind them the words of seats and flavours, which are few.
const WORDS: u64 = 2560;

/// What may be said about a channel that somebody spoils.
pub fn borne<T>(outcome: Result<T, Error>) -> Option<T> {
    let expected = [
        Kind::TimedOut,
        Kind::Corrupt,
        Kind::Disconnected,
        Kind::Limit,
        Kind::Removed,
        Kind::WouldBlock,
    ];
    match outcome {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(expected.contains(&error.kind()), "{error}");
            None
        }
    }
}

/// The whole test, of which this process plays the part that it was started for: channels of these names are made, and
/// two users use each of them again and again. `uses` says how much came of it.
pub fn spoils<C>(
    test: &str,
    names: &[&str],
    makes: impl Fn(&dyn Fn(&str) -> String) -> C,
    uses: impl Fn(&dyn Fn(&str) -> String) -> usize,
) {
    match process::part().as_deref() {
        Some("scribble") => scribble(&process::argument("OBJECT"), names),
        Some(_) => use_on(&process::argument("OBJECT"), uses),
        None => {
            let name = format!("/{}", process::unique("hostile"));
            let _channels = makes(&named(&name));
            let play = |part| process::play(test, part, &[("OBJECT", &name)]).start();
            let mut users = [play("use"), play("use")];
            users.iter_mut().for_each(|user| user.says("uses"));
            let mut peer = play("scribble");
            peer.says("scribbles");
            let mut all = 0;
            for mut user in users {
                let said = user.line();
                let done = said.strip_prefix("done ").map(str::parse::<u64>);
                let Some(Ok(done)) = done else {
                    panic!("the user says: {said}");
                };
                all += done;
                user.succeeds();
            }
            println!("{all} done");
            assert!(all > 0, "nobody did anything");
        }
    }
}

fn named(name: &str) -> impl Fn(&str) -> String {
    move |which| format!("{name}-{which}")
}

fn use_on(name: &str, uses: impl Fn(&dyn Fn(&str) -> String) -> usize) {
    process::say("uses");
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(4) {
        let turn = Instant::now();
        done += uses(&named(name));
        assert!(turn.elapsed() < LATE, "a time-out did not hold");
    }
    process::say(&format!("done {done}"));
}

fn scribble(name: &str, names: &[&str]) -> ! {
    let open = |which: &&str| {
        let mut options = File::options();
        let path = format!("/dev/shm{name}-{which}");
        options.read(true).write(true).open(path).expect("open")
    };
    let files: Vec<File> = names.iter().map(open).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    process::say("scribbles");
    loop {
        for _ in 0..32 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let file = &files[(random >> 40) as usize % files.len()];
            write_somewhere(file, random);
        }
        if random % 8 == 1 {
            // As good as new, so that there is something to be spoiled.
            for file in &files {
                let length = file.metadata().expect("its length").len();
                let zeros = vec![0; (length - SETUP) as usize];
                file.write_all_at(&zeros, SETUP).expect("write");
            }
        }
        std::thread::sleep(Duration::from_micros(random % 1000));
    }
}

fn write_somewhere(file: &File, random: u64) {
    let length = file.metadata().expect("its length").len();
    let until = match random & 6 {
        0 => length,
        _ => length.min(SETUP + WORDS),
    };
    let at = SETUP + random % (until - SETUP - 8);
    let (at, count) = match random >> 62 {
        // Not even a word.
        0 => (at, 1 + (random >> 59) as usize % 8),
        _ => (at & !7, 8),
    };
    let mut bytes = random.to_ne_bytes();
    match random & 7 {
        0 | 1 => {}
        // Small numbers are positions that might be.
        2 => bytes = (random >> 56).to_ne_bytes(),
        // A word that is almost what it was.
        3..=5 => {
            file.read_exact_at(&mut bytes, at).expect("read");
            bytes[(random >> 33) as usize % 8] ^= 1 << (random >> 37 & 7);
        }
        _ => bytes = [0; 8],
    }
    file.write_all_at(&bytes[..count], at).expect("write");
}
