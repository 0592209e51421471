//! Kernel: a pipe and Unix sockets, by bare system calls.
//!
//! In the rows of busy waiting they do not block but ask again at once. A stream of messages is written one
//! by one; a receiver of a pipe or stream socket takes as many as there are with one call, which is their fastest way.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use crate::channel::sport::{BATCH, MESSAGE, Messages, Sport, Work};
use crate::channel::sport::{
    expect, fill, message_receiver, read, receiver, round_trip, sender, taker,
};
use crate::channel::team::{Contestant, How, Place};

pub const PIPE: Contestant = Contestant {
    name: "pipe",
    how: How::Processes { bring: pipes, join },
};

pub const STREAM: Contestant = Contestant {
    name: "Unix stream socket",
    how: How::Processes {
        bring: stream_pair,
        join,
    },
};

pub const SEQPACKET: Contestant = Contestant {
    name: "Unix seqpacket socket",
    how: How::Processes {
        bring: seqpacket_pair,
        join,
    },
};

/// A stream socket with a name.
pub const NAMED: Contestant = Contestant {
    name: "Unix stream socket",
    how: How::Once(set_up),
};

/// What each part reads from, then what each writes to.
fn pipes(sport: Sport) -> io::Result<Vec<OwnedFd>> {
    let (there, back) = (io::pipe()?, io::pipe()?);
    if !matches!(sport, Sport::RoundTrip { .. }) {
        // All use one: a pipe may have many ends.
        let (from, to) = (OwnedFd::from(there.0), OwnedFd::from(there.1));
        let parts = 0..sport.cores().len();
        let froms = parts.clone().map(|_| from.try_clone());
        let tos = parts.map(|_| to.try_clone());
        return froms.chain(tos).collect();
    }
    Ok(vec![
        back.0.into(),
        there.0.into(),
        there.1.into(),
        back.1.into(),
    ])
}

fn stream_pair(_: Sport) -> io::Result<Vec<OwnedFd>> {
    pair(libc::SOCK_STREAM)
}

fn seqpacket_pair(_: Sport) -> io::Result<Vec<OwnedFd>> {
    pair(libc::SOCK_SEQPACKET)
}

fn pair(kind: libc::c_int) -> io::Result<Vec<OwnedFd>> {
    let mut ends = [0; 2];
    // SAFETY: the call gets two live numbers, which become new descriptors of ours.
    let [one, other] = unsafe {
        let kind = kind | libc::SOCK_CLOEXEC;
        if libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        ends.map(|fd| OwnedFd::from_raw_fd(fd))
    };
    Ok(vec![one.try_clone()?, other.try_clone()?, one, other])
}

/// One direction: whole messages by read(2) and write(2).
struct End(File);

impl End {
    #[inline(always)]
    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.0.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn recv(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let mut got = 0;
        while got < bytes.len() {
            got += self.recv_some(&mut bytes[got..])?;
        }
        Ok(())
    }

    #[inline(always)]
    fn recv_some(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

/// Messages out of as many bytes as one call brings.
struct Buffered {
    end: End,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl Buffered {
    fn new(end: End, bytes: usize) -> Self {
        let buffer = vec![0; bytes * BATCH];
        let (from, to) = (0, 0);
        Buffered {
            end,
            buffer,
            from,
            to,
        }
    }

    #[inline(always)]
    fn next(&mut self, bytes: usize) -> io::Result<&[u8]> {
        while self.to - self.from < bytes {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
            self.to += self.end.recv_some(&mut self.buffer[self.to..])?;
        }
        self.from += bytes;
        Ok(&self.buffer[self.from - bytes..self.from])
    }
}

fn join(place: &mut Place) -> io::Result<Work> {
    let Place { sport, part, .. } = *place;
    let ends: Vec<End> = place.fds.drain(..).map(|fd| End(fd.into())).collect();
    if sport.busy() {
        for end in &ends {
            // SAFETY: takes numbers; the descriptor is open.
            unsafe { libc::fcntl(end.0.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        }
    }
    let parts = sport.cores().len();
    let mut ends = ends.into_iter();
    let missing = || io::Error::from(io::ErrorKind::InvalidInput);
    let mut from = ends.nth(part).ok_or_else(missing)?;
    let mut to = ends.nth(parts - 1).ok_or_else(missing)?;
    let bytes = sport.bytes();
    Ok(match sport {
        Sport::RoundTrip { .. } => {
            let (mut out, mut back) = (vec![0_u64; bytes / 8], vec![0_u64; bytes / 8]);
            let send = move |number| {
                // SAFETY: the words of a vector, as bytes.
                unsafe {
                    fill(out.as_mut_ptr().cast(), bytes, number);
                    to.send(std::slice::from_raw_parts(out.as_ptr().cast(), bytes))
                }
            };
            // SAFETY: the words of a vector, as bytes; any are numbers.
            let recv = move || unsafe {
                let start = back.as_mut_ptr().cast::<u8>();
                from.recv(std::slice::from_raw_parts_mut(start, bytes))?;
                read(start, bytes)
            };
            round_trip(part, send, recv)
        }
        Sport::OneWay { .. } if sport.sends(part) => {
            if bytes == MESSAGE {
                let messages = Messages::new();
                sender(move |number| to.send(messages.get(number)))
            } else {
                sender(move |number| to.send(&number.to_ne_bytes()))
            }
        }
        Sport::OneWay { .. } => {
            let mut buffered = Buffered::new(from, bytes);
            if bytes == MESSAGE {
                message_receiver(move |taken| taken.take(buffered.next(bytes)?))
            } else {
                receiver(move || number(buffered.next(bytes)?))
            }
        }
        _ if sport.sends(part) => sender(move |number| to.send(&number.to_ne_bytes())),
        _ => taker(move || {
            let mut bytes = [0; 8];
            from.recv(&mut bytes)?;
            Ok(u64::from_ne_bytes(bytes))
        }),
    })
}

fn number(bytes: &[u8]) -> io::Result<u64> {
    let bytes = bytes.try_into().map_err(io::Error::other)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Bound, connected, accepted, eight bytes sent and received.
fn set_up(name: &str) -> io::Result<Duration> {
    let path = std::env::temp_dir().join(name);
    let start = Instant::now();
    let listener = UnixListener::bind(&path)?;
    let mut to = UnixStream::connect(&path)?;
    let (mut from, _) = listener.accept()?;
    let mut bytes = [0; 8];
    to.write_all(&5_u64.to_ne_bytes())?;
    from.read_exact(&mut bytes)?;
    let took = start.elapsed();
    std::fs::remove_file(&path)?;
    expect(u64::from_ne_bytes(bytes), 5)?;
    Ok(took)
}
