//! Inbox: the frames of a byte stream, put together from whatever pieces arrive.
//!
//! No memory is taken because a head promises bytes: it grows with those that have come. A body that
//! is longer than may be is passed over, and the frames behind it are read.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::frame::{HEAD, Head, Malformed};

/// The largest piece that is read at once into a body.
const PIECE: usize = 256 * 1024;
const BUFFER: usize = 16 * 1024;

/// What came.
#[derive(Debug)]
pub(super) enum Got {
    /// A frame.
    Frame(Head, Vec<u8>),
    /// One whose body is passed over because it is too long.
    TooBig(Head),
}

/// What has come of the next frames.
pub(super) struct Inbox {
    longest: usize,
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
    /// A frame of which not all has come.
    partial: Option<(Head, Vec<u8>)>,
    /// Bytes to pass over.
    skip: u64,
    /// Since when a frame is not whole.
    since: Option<Instant>,
}

impl Inbox {
    pub(super) fn new(longest: usize) -> Self {
        Inbox {
            longest,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            from: 0,
            to: 0,
            partial: None,
            skip: 0,
            since: None,
        }
    }

    /// Reads once what is there; 0 is the end of the stream.
    pub(super) fn fill(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        let read = |into: &mut [u8]| loop {
            match rustix::net::recv(socket, &mut *into, RecvFlags::DONTWAIT) {
                Err(Errno::INTR) => {}
                outcome => return outcome.map(|(count, _)| count),
            }
        };
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
            if let Some((head, body)) = &mut self.partial {
                let have = body.len();
                let left = head.len as usize - have;
                if left >= BUFFER {
                    // Without a copy. What is reserved has at most the size of what has come, and a piece.
                    body.resize(have + left.min(PIECE), 0);
                    let outcome = read(&mut body[have..]);
                    body.truncate(have + outcome.unwrap_or(0));
                    return outcome;
                }
            }
        } else if self.from > 0 {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        let count = read(&mut self.buffer[self.to..])?;
        self.to += count;
        Ok(count)
    }

    /// The next frame of what was read; `None` when it is not whole.
    pub(super) fn next(&mut self) -> Result<Option<Got>, Malformed> {
        let got = self.pull()?;
        let waits = self.partial.is_some() || self.skip > 0 || self.from < self.to;
        self.since = match (&got, self.since) {
            (None, Some(since)) if waits => Some(since),
            (None, None) if waits => Some(Instant::now()),
            _ => None,
        };
        Ok(got)
    }

    /// Since when a frame has not come whole.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    fn pull(&mut self) -> Result<Option<Got>, Malformed> {
        let here = self.to - self.from;
        let passed = here.min(usize::try_from(self.skip).unwrap_or(here));
        self.from += passed;
        self.skip -= passed as u64;
        if self.partial.is_none() {
            let Some((head, _)) = self.buffer[self.from..self.to].split_first_chunk::<HEAD>()
            else {
                return Ok(None);
            };
            let head = Head::read(head)?;
            self.from += HEAD;
            if head.len as usize > self.longest {
                self.skip = head.len.into();
                return Ok(Some(Got::TooBig(head)));
            }
            self.partial = Some((head, Vec::new()));
        }
        let Some((head, mut body)) = self.partial.take() else {
            return Ok(None);
        };
        let left = head.len as usize - body.len();
        let taken = left.min(self.to - self.from);
        if taken > 0 {
            body.extend_from_slice(&self.buffer[self.from..self.from + taken]);
            self.from += taken;
        }
        if taken == left {
            return Ok(Some(Got::Frame(head, body)));
        }
        self.partial = Some((head, body));
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Kind;
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn frames_come_whole_however_the_stream_is_cut() {
        let (here, there) = crate::stream::unix::pair().expect("a pair");
        let bodies: Vec<Vec<u8>> = [0_usize, 1, 31, 32, 16_384, 100_000, 5]
            .iter()
            .map(|len| (0..*len).map(|at| at as u8).collect())
            .collect();
        let mut bytes = Vec::new();
        for (id, body) in (1..).zip(&bodies) {
            bytes.extend(Head::bare(Kind::Call, id).with(body));
        }
        let writer = std::thread::spawn(move || {
            use std::io::Write;
            for piece in bytes.chunks(777) {
                (&here).write_all(piece).expect("write");
            }
        });
        let mut inbox = Inbox::new(50_000);
        let mut got = Vec::new();
        loop {
            match inbox.fill(there.as_fd()) {
                Ok(0) => break,
                Ok(_) => {}
                Err(Errno::AGAIN) => std::thread::yield_now(),
                Err(errno) => panic!("{errno}"),
            }
            while let Some(next) = inbox.next().expect("frames") {
                got.push(next);
            }
        }
        writer.join().expect("the writer");
        assert_eq!(got.len(), bodies.len());
        for ((id, body), got) in (1..).zip(&bodies).zip(&got) {
            match got {
                Got::Frame(head, came) => assert_eq!((head.id, came), (id, body)),
                Got::TooBig(head) => assert_eq!((head.id, head.len), (id, 100_000)),
            }
        }
        assert!(matches!(got[5], Got::TooBig(_)));
    }
}
