//! Bare: what nothing can be faster than: a word in shared memory, a futex, a ring without any of a channel's promises.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::channel::control::{Memory, sleep, wake};
use crate::channel::sport::{BATCH, DEPTH, MESSAGE, Messages, Taken, Work};
use crate::channel::sport::{
    Sport, fill, message_receiver, read, receiver, round_trip, sender, signals,
};
use crate::channel::team::{Contestant, How, Place, nothing};

/// One word in one cache line, written by both in turn: the line goes to and fro, and nothing else.
pub const LINE: Contestant = Contestant {
    name: "cache line, bare",
    how: How::Processes {
        bring: nothing,
        join: line,
    },
};

/// The same with the pause that processors have for such loops. The looks of one then hinder the writes of the other
/// less, and with one line for both directions nothing but the line's way is left: which two one-way channels cannot do.
pub const PAUSING: Contestant = Contestant {
    name: "one cache line both ways, pausing",
    how: How::Processes {
        bring: nothing,
        join: pausing,
    },
};

/// A word for each direction, each in a line of its own, as two one-way channels must have.
pub const LINES: Contestant = Contestant {
    name: "a cache line each way, pausing",
    how: How::Processes {
        bring: nothing,
        join: lines,
    },
};

/// A buffer for each direction, filled in place and read, and a word that says so.
pub const BUFFER: Contestant = Contestant {
    name: "shared buffer, bare",
    how: How::Processes {
        bring: nothing,
        join: buffer,
    },
};

/// Each sleeps on a futex until the other wakes it.
pub const FUTEX: Contestant = Contestant {
    name: "futex, bare",
    how: How::Processes {
        bring: nothing,
        join: futex,
    },
};

/// A ring of fixed slots in shared memory; full or empty, it spins.
pub const RING: Contestant = Contestant {
    name: "ring, bare",
    how: How::Processes {
        bring: nothing,
        join: ring,
    },
};

/// A word in the free memory.
fn word(memory: &Memory, offset: usize) -> &AtomicU64 {
    // SAFETY: mapped and aligned; used as an atomic only.
    unsafe { &*memory.free(offset, 8).cast() }
}

/// Until the word is this.
#[inline(always)]
fn await_word(word: &AtomicU64, value: u64) {
    while word.load(Ordering::Acquire) != value {
        std::hint::spin_loop();
    }
}

fn line(place: &mut Place) -> io::Result<Work> {
    one_line(
        place,
        |word, value| {
            while word.load(Ordering::Acquire) != value {}
        },
    )
}

fn pausing(place: &mut Place) -> io::Result<Work> {
    one_line(place, await_word)
}

#[inline(always)]
fn one_line(place: &Place, await_word: impl Fn(&AtomicU64, u64) + 'static) -> io::Result<Work> {
    let memory = place.memory.clone();
    // The word goes on from burst to burst.
    let mut turn = place.part as u64;
    Ok(Box::new(move |count| {
        let word = word(&memory, 0);
        for _ in 0..count {
            // The first makes it odd and waits for the next even number; the other the other way about.
            await_word(word, turn);
            word.store(turn + 1, Ordering::Release);
            turn += 2;
        }
        if turn.is_multiple_of(2) {
            // The last answer counts.
            await_word(word, turn);
        }
        Ok(())
    }))
}

fn lines(place: &mut Place) -> io::Result<Work> {
    let (memory, part) = (place.memory.clone(), place.part);
    let mut turn = 0;
    Ok(Box::new(move |count| {
        let [mine, other] = [part, 1 - part].map(|part| word(&memory, 256 * part));
        for _ in 0..count {
            turn += 1;
            if part == 0 {
                mine.store(turn, Ordering::Release);
                await_word(other, turn);
            } else {
                await_word(other, turn);
                mine.store(turn, Ordering::Release);
            }
        }
        Ok(())
    }))
}

fn buffer(place: &mut Place) -> io::Result<Work> {
    const BUFFER: usize = (1 << 20) + 4096;
    let (mine, other) = (place.part * BUFFER, (1 - place.part) * BUFFER);
    let (memory, bytes) = (place.memory.clone(), place.sport.touched());
    let (mut sent, mut got) = (0, 0);
    let there = memory.clone();
    let send = move |number| {
        // SAFETY: the other reads it only when the word says so, and has answered what was in it before.
        unsafe { fill(memory.free(mine + 4096, bytes), bytes, number) };
        sent += 1;
        word(&memory, mine).store(sent, Ordering::Release);
        Ok(())
    };
    let recv = move || {
        got += 1;
        await_word(word(&there, other), got);
        // SAFETY: the other does not write until it has our answer.
        unsafe { read(there.free(other + 4096, bytes), bytes) }
    };
    Ok(round_trip(place.part, send, recv))
}

fn futex(place: &mut Place) -> io::Result<Work> {
    let (mine, other) = (64 * place.part, 64 * (1 - place.part));
    let memory = place.memory.clone();
    // SAFETY: mapped and aligned; used as an atomic only.
    let word = |memory: &Memory, offset| unsafe { &*memory.free(offset, 4).cast::<AtomicU32>() };
    let there = memory.clone();
    let mut got = 0_u32;
    let send = move || {
        let word: &AtomicU32 = word(&memory, other);
        word.fetch_add(1, Ordering::Release);
        wake(word);
        Ok(())
    };
    let recv = move || {
        while word(&there, mine).load(Ordering::Acquire) == got {
            sleep(word(&there, mine), got, None);
        }
        got += 1;
        Ok(())
    };
    let (part, mut rally) = (place.part, signals(place.part, send, recv));
    Ok(Box::new(move |count| {
        // Two who are both awake when they begin never sleep at all, as each answer comes before the other has gone to sleep: so
        // the first waits until the other sleeps.
        let start = Instant::now();
        while part == 0 && start.elapsed() < GONE_TO_SLEEP {
            std::hint::spin_loop();
        }
        rally(count)
    }))
}

/// Within that the other has gone to sleep; of a burst it is less than a hundredth.
const GONE_TO_SLEEP: Duration = Duration::from_micros(30);

/// One end of a ring: positions that count up for ever, each in a line of its own, and slots of `stride` bytes.
struct Ring {
    memory: Arc<Memory>,
    stride: usize,
    /// Our position, and the last that we saw of the other's.
    position: u64,
    seen: u64,
}

impl Ring {
    const DEPTH: u64 = DEPTH as u64;

    fn new(memory: Arc<Memory>, bytes: usize) -> Self {
        Ring {
            memory,
            // A message has its length before it.
            stride: if bytes == 8 {
                8
            } else {
                (8 + bytes).next_multiple_of(8)
            },
            position: 0,
            seen: 0,
        }
    }

    #[inline(always)]
    fn slot(&self, position: u64) -> *mut u8 {
        let index = (position % Self::DEPTH) as usize;
        self.memory.free(4096 + index * self.stride, self.stride)
    }

    /// Waits until so many slots can be filled.
    #[inline(always)]
    fn room(&mut self, slots: u64) {
        while self.position + slots > self.seen + Self::DEPTH {
            self.seen = word(&self.memory, 128).load(Ordering::Acquire);
            std::hint::spin_loop();
        }
    }

    /// Waits until so many slots are filled.
    #[inline(always)]
    fn full(&mut self, slots: u64) {
        while self.position + slots > self.seen {
            self.seen = word(&self.memory, 0).load(Ordering::Acquire);
            std::hint::spin_loop();
        }
    }

    /// Hands over so many slots, to the reader or back.
    #[inline(always)]
    fn advance(&mut self, slots: u64, end: usize) {
        self.position += slots;
        word(&self.memory, end).store(self.position, Ordering::Release);
    }

    #[inline(always)]
    fn send(&mut self, number: u64) {
        self.room(1);
        // SAFETY: there is room: the slot is ours until we advance.
        unsafe { self.slot(self.position).cast::<u64>().write(number) };
        self.advance(1, 0);
    }

    #[inline(always)]
    fn recv(&mut self) -> u64 {
        self.full(1);
        // SAFETY: it is full: the slot is ours until we advance.
        let number = unsafe { self.slot(self.position).cast::<u64>().read() };
        self.advance(1, 128);
        number
    }

    #[inline(always)]
    fn send_bytes(&mut self, message: &[u8; MESSAGE]) {
        self.room(1);
        let slot = self.slot(self.position);
        // SAFETY: as above; a slot is this long.
        unsafe {
            slot.cast::<u64>().write(MESSAGE as u64);
            slot.add(8).copy_from(message.as_ptr(), MESSAGE);
        }
        self.advance(1, 0);
    }

    #[inline(always)]
    fn recv_bytes(&mut self, taken: &mut Taken) -> io::Result<()> {
        self.full(1);
        let slot = self.slot(self.position);
        // SAFETY: as above; a slot is this long whatever its length says, which `take` checks.
        let took = unsafe {
            let length = slot.cast::<u64>().read() as usize;
            taken.take(std::slice::from_raw_parts(slot.add(8), length.min(MESSAGE)))
        };
        self.advance(1, 128);
        took
    }
}

fn ring(place: &mut Place) -> io::Result<Work> {
    let Sport::OneWay { bytes, batch } = place.sport else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let mut ring = Ring::new(place.memory.clone(), bytes);
    let messages = Messages::new();
    Ok(match (bytes, batch, place.part) {
        (8, false, 0) => sender(move |number| {
            ring.send(number);
            Ok(())
        }),
        (8, false, _) => receiver(move || Ok(ring.recv())),
        (8, true, 0) => Box::new(move |count| {
            let mut number = 0;
            while number < count {
                let slots = (BATCH as u64).min(count - number);
                ring.room(slots);
                for slot in 0..slots {
                    // SAFETY: as in `send`.
                    unsafe {
                        let slot = ring.slot(ring.position + slot);
                        slot.cast::<u64>().write(number);
                    }
                    number += 1;
                }
                ring.advance(slots, 0);
            }
            Ok(())
        }),
        (8, true, _) => Box::new(move |count| {
            let mut number = 0;
            while number < count {
                ring.full(1);
                let slots = (ring.seen - ring.position).min(BATCH as u64);
                for slot in 0..slots {
                    // SAFETY: as in `recv`.
                    let found = unsafe { ring.slot(ring.position + slot).cast::<u64>().read() };
                    crate::channel::sport::expect(found, number)?;
                    number += 1;
                }
                ring.advance(slots, 128);
            }
            Ok(())
        }),
        (_, _, 0) => sender(move |number| {
            ring.send_bytes(messages.get(number));
            Ok(())
        }),
        (_, _, _) => message_receiver(move |taken| ring.recv_bytes(taken)),
    })
}
