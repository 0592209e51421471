//! Sport: what the contestants of a row all do, told to each part as one value.

use std::io;
use std::time::Duration;

/// Slots of a queue, where a contestant lets us choose.
pub const DEPTH: usize = 1024;
/// Values handed over at once, in the rows of batches.
pub const BATCH: usize = 64;
/// Of a byte message.
pub const MESSAGE: usize = 100;

/// Does so many operations.
pub type Work = Box<dyn FnMut(u64) -> io::Result<()>>;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sport {
    /// A message of `bytes` to the other and its answer of the same size.
    RoundTrip {
        bytes: usize,
        touch: Touch,
        wait: Wait,
    },
    /// A stream of messages from the first to the second, one at a time or in batches.
    OneWay { bytes: usize, batch: bool },
    /// Two send numbers and two receive them, with one queue between the four.
    ManyToMany,
    /// A process that has done nothing yet creates, opens, sends and receives; all is removed outside the measured time.
    SetUp,
}

/// How much of a message is written and read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Touch {
    All,
    /// The first eight bytes.
    Header,
}

/// How a receiver waits, and where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wait {
    /// Never sleeps; two cores.
    Busy,
    /// Sleeps when there is nothing, both parts on one core.
    OneCore,
    /// The same on two cores.
    TwoCores,
}

impl Sport {
    /// The core of each part.
    pub fn cores(self) -> &'static [usize] {
        match self {
            Sport::RoundTrip {
                wait: Wait::OneCore,
                ..
            } => &[0, 0],
            Sport::RoundTrip { .. } | Sport::OneWay { .. } => &[0, 1],
            Sport::ManyToMany => &[0, 1, 0, 1],
            Sport::SetUp => &[0],
        }
    }

    /// Whether the part sends in a stream.
    pub fn sends(self, part: usize) -> bool {
        part < self.senders()
    }

    /// How many send at once.
    pub fn senders(self) -> usize {
        (self.cores().len() / 2).max(1)
    }

    /// The bytes of a message.
    pub fn bytes(self) -> usize {
        match self {
            Sport::RoundTrip { bytes, .. } | Sport::OneWay { bytes, .. } => bytes,
            Sport::ManyToMany | Sport::SetUp => 8,
        }
    }

    /// How many of them a part touches.
    pub fn touched(self) -> usize {
        match self {
            Sport::RoundTrip {
                touch: Touch::Header,
                ..
            } => 8,
            _ => self.bytes(),
        }
    }

    /// Whether the parts spin.
    pub fn busy(self) -> bool {
        matches!(
            self,
            Sport::RoundTrip {
                wait: Wait::Busy,
                ..
            }
        )
    }

    /// Whether more is better: its rows are rates.
    pub fn is_rate(self) -> bool {
        matches!(self, Sport::OneWay { .. } | Sport::ManyToMany)
    }

    /// How long a burst takes: long against its start, short against a time slice.
    pub fn burst(self) -> Duration {
        Duration::from_micros(match self {
            Sport::RoundTrip { bytes, .. } if bytes > 1 << 18 => 4000,
            // Who sleeps gives up its time slice by itself.
            Sport::RoundTrip {
                wait: Wait::OneCore | Wait::TwoCores,
                ..
            } => 4000,
            // The waiters of four parts on two cores take turns by the time slice.
            Sport::ManyToMany => 10_000,
            _ => 1000,
        })
    }
}

/// A part of a round trip: the first sends a number and wants it back, the other sends back what it gets.
#[inline(always)]
pub fn round_trip(
    part: usize,
    mut send: impl FnMut(u64) -> io::Result<()> + 'static,
    mut recv: impl FnMut() -> io::Result<u64> + 'static,
) -> Work {
    if part == 0 {
        Box::new(move |count| {
            for number in 0..count {
                send(number)?;
                expect(recv()?, number)?;
            }
            Ok(())
        })
    } else {
        Box::new(move |count| {
            for _ in 0..count {
                let number = recv()?;
                send(number)?;
            }
            Ok(())
        })
    }
}

/// A part of a round trip of signals, which carry nothing.
#[inline(always)]
pub fn signals(
    part: usize,
    mut send: impl FnMut() -> io::Result<()> + 'static,
    mut recv: impl FnMut() -> io::Result<()> + 'static,
) -> Work {
    Box::new(move |count| {
        for _ in 0..count {
            if part == 0 {
                send()?;
                recv()?;
            } else {
                recv()?;
                send()?;
            }
        }
        Ok(())
    })
}

/// A sender of numbers in order.
#[inline(always)]
pub fn sender(mut send: impl FnMut(u64) -> io::Result<()> + 'static) -> Work {
    Box::new(move |count| {
        for number in 0..count {
            send(number)?;
        }
        Ok(())
    })
}

/// A receiver of numbers in order.
#[inline(always)]
pub fn receiver(mut recv: impl FnMut() -> io::Result<u64> + 'static) -> Work {
    Box::new(move |count| {
        for number in 0..count {
            expect(recv()?, number)?;
        }
        Ok(())
    })
}

/// A receiver of numbers in any order: the other one gets the rest.
#[inline(always)]
pub fn taker(mut recv: impl FnMut() -> io::Result<u64> + 'static) -> Work {
    Box::new(move |count| {
        let mut sum = 0_u64;
        for _ in 0..count {
            sum = sum.wrapping_add(recv()?);
        }
        std::hint::black_box(sum);
        Ok(())
    })
}

/// That the right number came.
#[inline(always)]
pub fn expect(found: u64, wanted: u64) -> io::Result<()> {
    if found == wanted {
        Ok(())
    } else {
        Err(wrong(found, wanted))
    }
}

#[cold]
fn wrong(found: u64, wanted: u64) -> io::Error {
    io::Error::other(format!("message {found} came in place of {wanted}"))
}

/// Writes a number into each word.
///
/// # Safety
/// `bytes` at `to` can be written, and it is a multiple of 8 like the address.
#[inline(always)]
pub unsafe fn fill(to: *mut u8, bytes: usize, number: u64) {
    // SAFETY: by the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(to.cast::<u64>(), bytes / 8) }.fill(number);
}

/// Reads all words, which are one number; that number.
///
/// # Safety
/// `bytes` at `from` can be read and nobody writes them; a multiple of 8, at least one, like the address.
#[inline(always)]
pub unsafe fn read(from: *const u8, bytes: usize) -> io::Result<u64> {
    // SAFETY: by the caller's promise.
    let words = unsafe { std::slice::from_raw_parts(from.cast::<u64>(), bytes / 8) };
    let number = words[0];
    let sum = words
        .iter()
        .fold(0, |sum: u64, word| sum.wrapping_add(*word));
    expect(sum, number.wrapping_mul(words.len() as u64))?;
    Ok(number)
}

/// Byte messages to be sent, each with its place among them in its first eight bytes. They are written long before: a
/// number written just before its message is read as wider words would hold up every sender.
pub struct Messages(Vec<[u8; MESSAGE]>);

impl Messages {
    /// A power of two.
    const COUNT: u64 = 256;

    pub fn new() -> Self {
        let message = |number: u64| {
            let mut message = [7; MESSAGE];
            message[..8].copy_from_slice(&number.to_ne_bytes());
            message
        };
        Messages((0..Self::COUNT).map(message).collect())
    }

    /// The one to be sent as this number.
    #[inline(always)]
    pub fn get(&self, number: u64) -> &[u8; MESSAGE] {
        &self.0[(number % Self::COUNT) as usize]
    }
}

/// A receiver of such messages, in order.
#[inline(always)]
pub fn message_receiver(mut recv: impl FnMut(&mut Taken) -> io::Result<()> + 'static) -> Work {
    let mut taken = Taken([0; MESSAGE]);
    Box::new(move |count| {
        for number in 0..count {
            recv(&mut taken)?;
            let [a, b, c, d, e, f, g, h, ..] = *std::hint::black_box(&taken.0);
            let found = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
            expect(found, number % Messages::COUNT)?;
        }
        Ok(())
    })
}

/// Where a received message goes.
pub struct Taken([u8; MESSAGE]);

impl Taken {
    /// Takes it whole.
    #[inline(always)]
    pub fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() != MESSAGE {
            return Err(io::Error::other("a message of another length came"));
        }
        self.0.copy_from_slice(bytes);
        Ok(())
    }
}
