//! Calls: every request and every answer whole and in its place, with one at a time and with several in flight.
//!
//! The second process serves from the moment it has the name; what it is told to do is only to wait until so many
//! calls were handled. What goes wrong in its handler comes to the first as an error.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use wigwag::pattern::rpc::{Client, Pending, Refusal, Request, Server, Stopper};

use super::pattern::{PIECE, Pattern};
use super::play::{Fault, PATIENCE, Play, Result};
use super::sample::Samples;

/// Answered with what was sent.
const THERE_AND_BACK: u8 = 0;
/// Answered with nothing.
const THERE: u8 = 1;
/// Answered with as many bytes as it says.
const BACK: u8 = 2;
/// Calls in flight while only one direction is measured.
const WINDOW: usize = 16;

/// Who calls.
pub(crate) struct Caller {
    client: Client,
    pattern: Pattern,
    sent: u64,
    received: u64,
}

impl Caller {
    pub(crate) fn new(client: Client) -> Self {
        Caller {
            client,
            pattern: Pattern::new(),
            sent: 0,
            received: 0,
        }
    }

    fn request(&mut self, what: u8, size: usize) -> Vec<u8> {
        let mut request = vec![what];
        request.extend(self.pattern.bytes(self.sent, size));
        self.sent += size as u64;
        request
    }

    fn take(&mut self, answer: &[u8], size: usize) -> Result<()> {
        if answer.len() != size {
            let len = answer.len();
            return Err(Fault(format!("an answer of {size} bytes came with {len}")));
        }
        self.pattern.check(self.received, answer)?;
        self.received += size as u64;
        Ok(())
    }

    /// Calls so often, with several in flight, and takes answers of this size in the order of the calls.
    fn flight(
        &mut self,
        count: u64,
        answer: usize,
        request: impl Fn(&mut Self) -> Vec<u8>,
    ) -> Result<()> {
        let mut flight = VecDeque::<Pending>::new();
        for _ in 0..count {
            if flight.len() == WINDOW
                && let Some(first) = flight.pop_front()
            {
                self.take(&first.wait()?, answer)?;
            }
            let request = request(self);
            flight.push_back(self.client.start_timeout(&request, PATIENCE)?);
        }
        for pending in flight {
            self.take(&pending.wait()?, answer)?;
        }
        Ok(())
    }
}

impl Play for Caller {
    fn ask(&mut self, count: u64, size: usize, samples: &mut Samples) -> Result<()> {
        for _ in 0..count {
            let request = self.request(THERE_AND_BACK, size);
            let start = Instant::now();
            let answer = self.client.call_timeout(&request, PATIENCE)?;
            samples.add(start.elapsed());
            self.take(&answer, size)?;
        }
        Ok(())
    }

    fn answer(&mut self, _: u64, _: usize) -> Result<()> {
        Err(Fault("who calls does not answer".into()))
    }

    fn pour(&mut self, count: u64, size: usize) -> Result<()> {
        self.flight(count, 0, |caller| caller.request(THERE, size))
    }

    fn drain(&mut self, count: u64, size: usize) -> Result<()> {
        let request = [&[BACK][..], &(size as u64).to_le_bytes()].concat();
        self.flight(count, size, |_| request.clone())
    }

    fn large(&self) -> usize {
        // With the byte that says what is wanted.
        (self.client.max_request() - 1).min(PIECE)
    }
}

/// Who serves.
pub(crate) struct Answerer {
    handled: Arc<Handled>,
    stopper: Stopper,
    serving: Option<JoinHandle<wigwag::Result<()>>>,
    expected: u64,
}

#[derive(Default)]
struct Handled {
    count: Mutex<u64>,
    grew: Condvar,
}

impl Handled {
    fn count(&self) -> MutexGuard<'_, u64> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answerer {
    pub(crate) fn new(server: Server) -> Result<Self> {
        let stopper = server.stopper();
        let handled = Arc::<Handled>::default();
        let theirs = handled.clone();
        let serving = std::thread::Builder::new().spawn(move || {
            let pattern = Pattern::new();
            let (mut received, mut sent) = (0, 0);
            server.serve(|request| {
                let answer = handle(&request, &pattern, &mut received, &mut sent);
                *theirs.count() += 1;
                theirs.grew.notify_one();
                answer
            })
        })?;
        Ok(Answerer {
            handled,
            stopper,
            serving: Some(serving),
            expected: 0,
        })
    }

    fn wait(&mut self, count: u64) -> Result<()> {
        self.expected += count;
        let expected = self.expected;
        let handled = self.handled.count();
        let waited = self
            .handled
            .grew
            .wait_timeout_while(handled, PATIENCE, |handled| *handled < expected);
        let (handled, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *handled == expected {
            return Ok(());
        }
        Err(Fault(format!("{} of {expected} calls came", *handled)))
    }
}

fn handle(
    request: &Request,
    pattern: &Pattern,
    received: &mut u64,
    sent: &mut u64,
) -> Result<Vec<u8>, Refusal> {
    let odd = || Refusal::new("it is no request of a check");
    let [what, body @ ..] = request.bytes() else {
        return Err(odd());
    };
    let mut give = |size: usize| {
        let answer = pattern.bytes(*sent, size);
        *sent += size as u64;
        answer
    };
    match *what {
        THERE_AND_BACK | THERE => {
            let wrong = pattern.check(*received, body);
            wrong.map_err(|wrong| Refusal::new(format!("in the request {wrong}")))?;
            *received += body.len() as u64;
            Ok(match *what {
                THERE => Vec::new(),
                _ => give(body.len()),
            })
        }
        BACK => {
            let size = body.try_into().map_err(|_| odd())?;
            Ok(give(u64::from_le_bytes(size) as usize))
        }
        _ => Err(odd()),
    }
}

impl Play for Answerer {
    fn ask(&mut self, _: u64, _: usize, _: &mut Samples) -> Result<()> {
        Err(Fault("who answers does not call".into()))
    }

    fn answer(&mut self, count: u64, _: usize) -> Result<()> {
        self.wait(count)
    }

    fn pour(&mut self, count: u64, _: usize) -> Result<()> {
        self.wait(count)
    }

    fn drain(&mut self, count: u64, _: usize) -> Result<()> {
        self.wait(count)
    }

    fn ended(&mut self) -> Result<()> {
        self.stopper.stop();
        match self.serving.take().map(JoinHandle::join) {
            Some(Ok(served)) => Ok(served?),
            _ => Err(Fault("the server broke off".into())),
        }
    }
}
