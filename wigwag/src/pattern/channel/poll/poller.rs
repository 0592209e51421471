//! Poller: the thread behind a descriptor, which sleeps in place of an end and raises the event when an attempt is worth while.
//!
//! It owns no end: it looks at the shared memory as a guest, claims nothing, and says only that an attempt may succeed. What goes
//! between it and the thread of the end are two words of this process, and no lock:
//!
//! | word | written by | says |
//! |---|---|---|
//! | `wanted` | the end, when it has nothing; 0 by the poller, before it raises the event | whether somebody waits, and for what |
//! | `changed` | the end, after that | that the poller is to look anew: it sleeps on this too |
//!
//! The end lowers the event *before* it says what it wants, so it takes away nothing that is raised for that. The poller reads
//! `changed` first and looks last; between them it marks the life words of those who can end the wait, as every sleeper does
//! (see [`bell`]). So of two things that happen at once, each finds the other: a change after the look rings the mark,
//! and a new wish after `wanted` was read changes `changed`.

use std::time::Duration;

use super::event::Event;
use crate::pattern::channel::bell;
use crate::pattern::channel::ends::End;
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering, mutated};
use crate::sys::futex::{self, MOST_WORDS, Sleep};
use crate::sys::keeper::State;
use crate::wait::Deadline;

/// The same while a process is dying, of which something may still run.
const DYING: Duration = Duration::from_millis(1);

/// What a look at the shared memory says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// An attempt is worth while: there is something, or nobody who could change that there is nothing.
    Ready,
    /// There is nothing; one of those who are [concerned](Sight::concerns) will change that, or somebody who comes.
    Nothing,
    /// There is nothing, and nobody will ring when that changes: a process is dying.
    Soon,
}

/// How an end's wait looks to one who is not the end.
pub(crate) trait Sight: Send {
    /// Whether the holder of this seat can end the wait: a matter of loads, asked often. Where more are concerned than one can sleep for, *each* of them must act
    /// before the wait ends, so that it does not matter for whom the poller sleeps first.
    fn concerns(&self, end: &End, wanted: u64) -> bool;

    /// Whether only the death of the holder can end the wait, and nothing that it does.
    fn mourns(&self, _: &End) -> bool {
        false
    }

    /// Whether an attempt is worth while.
    fn look(&mut self, wanted: u64) -> Look;
}

/// What an end and its poller share.
#[derive(Debug)]
pub(crate) struct Poller {
    event: Event,
    wanted: AtomicU64,
    changed: AtomicU32,
    /// Whether the thread is to end.
    stop: AtomicU32,
}

impl Poller {
    /// One of which nothing is wanted, and whose event is raised: try first.
    pub(crate) fn new() -> Result<Self, rustix::io::Errno> {
        Ok(Poller {
            event: Event::new()?,
            wanted: AtomicU64::new(0),
            changed: AtomicU32::new(0),
            stop: AtomicU32::new(0),
        })
    }

    /// What it raises.
    pub(crate) fn event(&self) -> &Event {
        &self.event
    }

    /// That an attempt had nothing, and for what it waits: not 0.
    pub(crate) fn arm(&self, wanted: u64) {
        if !mutated("poll-lower") {
            self.event.lower();
        }
        self.wanted.store(wanted.max(1), Ordering::SeqCst);
        if mutated("poll-lower") {
            self.event.lower();
        }
        self.look_anew();
    }

    /// Lets the thread end.
    pub(crate) fn stop(&self) {
        self.stop.store(1, Ordering::SeqCst);
        self.look_anew();
    }

    fn look_anew(&self) {
        if !mutated("poll-changed") {
            self.changed.fetch_add(1, Ordering::SeqCst);
        }
        if !mutated("poll-wake") {
            futex::wake(&self.changed, 1);
        }
    }

    /// Raises the event; nothing is wanted any more.
    fn tell(&self) {
        if !mutated("poll-wanted") {
            self.wanted.store(0, Ordering::SeqCst);
        }
        self.event.raise();
        if mutated("poll-wanted") {
            self.wanted.store(0, Ordering::SeqCst);
        }
    }

    /// What the thread does until it is to stop. `joins` changes whenever somebody comes.
    pub(crate) fn run(&self, ends: &[End], joins: &AtomicU32, sight: &mut dyn Sight) {
        let (mut words, mut heard, mut mourned) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let changed = self.changed.load(Ordering::SeqCst);
            if self.stop.load(Ordering::SeqCst) != 0 {
                return;
            }
            let wanted = self.wanted.load(Ordering::SeqCst);
            if wanted == 0 {
                futex::wait(&self.changed, changed, Deadline::Never);
                continue;
            }
            let early = mutated("poll-recheck").then(|| sight.look(wanted));
            words.clear();
            heard.clear();
            mourned.clear();
            words.push((&self.changed, changed));
            words.push((joins, joins.load(Ordering::SeqCst)));
            let mut round = bell::ROUND;
            for end in ends.iter().filter(|end| sight.concerns(end, wanted)) {
                if words.len() + 2 > MOST_WORDS {
                    break;
                }
                // Others may sleep on the same word, the end itself too: the number of rings tells what the mark does not.
                let rings = end.rings.load(Ordering::SeqCst);
                let (state, mark, sure) = bell::mark(&end.life);
                if state == State::Alive {
                    if !sure {
                        round = bell::NAP;
                    }
                    words.push(end.life.watched(mark));
                    if !mutated("poll-rings") {
                        words.push((&end.rings, rings));
                    }
                    heard.push(end);
                } else {
                    // The kernel woke one of those who slept there; the others are to know, too.
                    end.life.pass_on();
                }
            }
            for end in ends.iter().filter(|end| sight.mourns(end)) {
                if words.len() == MOST_WORDS {
                    break;
                }
                let (state, mark) = end.grave.mark();
                match state {
                    State::Alive => words.push(end.grave.watched(mark)),
                    _ => end.grave.pass_on(),
                }
                mourned.push(end);
            }
            // The last look: for what came before the marks, or before a death.
            match early.unwrap_or_else(|| sight.look(wanted)) {
                Look::Ready => {
                    self.tell();
                    continue;
                }
                Look::Soon => round = DYING,
                // Who has come to be concerned since we marked the words: nobody would ring.
                Look::Nothing if words.len() + 2 <= MOST_WORDS => {
                    let unheard = |end: &End| {
                        sight.concerns(end, wanted)
                            && end.life.state() == State::Alive
                            && !heard.iter().any(|known| std::ptr::eq(*known, end))
                    };
                    if ends.iter().any(unheard) {
                        continue;
                    }
                }
                Look::Nothing => {}
            }
            let slept = futex::wait_any(&words, Deadline::Never, round);
            // It may have been for us that the kernel woke nobody else, whatever we find now.
            let lives = heard.iter().map(|end: &&End| &end.life);
            let graves = mourned.iter().map(|end: &&End| &end.grave);
            for word in lives.chain(graves) {
                if word.state() != State::Alive {
                    word.pass_on();
                }
            }
            if slept == Sleep::Gone {
                // The attempt says what is wrong.
                self.tell();
            }
        }
    }
}
