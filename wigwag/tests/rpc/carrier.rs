//! Carrier: an address of each, and a server of a test in a process of its own.

use std::time::Duration;

use crate::process::{self, Child, argument, hear, play, say, unique};
use rustix::event::{PollFd, PollFlags, Timespec};
use wigwag::pattern::rpc::{Refusal, Request, Server};

/// An address of its own for each carrier.
pub fn addresses() -> Vec<String> {
    vec![
        format!("rpc+unix:@{}", unique("rpc")),
        "rpc+tcp:127.0.0.1:0".into(),
        // Small: the queues of a user are bounded by RLIMIT_MSGQUEUE.
        format!("rpc+mq:/{}?depth=8&max_len=2048", unique("rpc")),
        format!("rpc+channel:/{}?capacity=16K", unique("rpc")),
    ]
}

/// Does something with each carrier.
pub fn each(mut act: impl FnMut(&str)) {
    for address in addresses() {
        eprintln!("over {address}");
        let _left = Left(&address);
        act(&address);
    }
}

/// Removes what a killed server left, also when the test fails.
pub struct Left<'a>(pub &'a str);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if self.0.starts_with("rpc+mq:") || self.0.starts_with("rpc+channel:") {
            let address = self.0.parse().expect("an address");
            // Gone, if the server ended in the ordinary way.
            let _ = wigwag::catalog::unlink(&address);
        }
    }
}

/// The same address for the next server: the port that the kernel chose, or the options.
pub fn again<'a>(address: &'a str, at: &'a str) -> &'a str {
    if at.starts_with("rpc+tcp:") {
        at
    } else {
        address
    }
}

/// An address with one more option.
pub fn with(address: &str, option: &str) -> String {
    let end = if address.contains('?') { '&' } else { '?' };
    format!("{address}{end}{option}")
}

/// A server of `test` in its own process, which handles so many calls at once, and its address.
pub fn server(test: &str, address: &str, workers: usize) -> (Child, String) {
    let workers = workers.to_string();
    let arguments = [("address", address), ("workers", &workers[..])];
    let mut child = play(test, "server", &arguments).start();
    let at = child.line();
    (child, at)
}

/// Plays the server: 1 worker is iterative.
pub fn serve() {
    let server = Server::listen(&argument("address")).expect("a server");
    say(server.address());
    let stopper = server.stopper();
    std::thread::spawn(move || {
        // The test says when it is enough, or ends.
        hear();
        stopper.stop();
    });
    let workers: usize = argument("workers").parse().expect("a number");
    match workers {
        1 => server.serve(handle),
        more => server.serve_concurrent(more, handle),
    }
    .expect("serve");
    say("served");
}

/// What the servers of the tests do, by the first word.
pub fn handle(request: Request) -> Result<Vec<u8>, Refusal> {
    let text = String::from_utf8_lossy(request.bytes()).into_owned();
    let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
    match word {
        "echo" => Ok(request.bytes()[5..].to_vec()),
        "refuse" => Err(Refusal::new(rest)),
        "panic" => panic!("as it was asked to"),
        // Milliseconds, then what to answer.
        "sleep" => {
            let (time, answer) = rest.split_once(' ').unwrap_or((rest, ""));
            let time = Duration::from_micros(time.parse()?);
            std::thread::sleep(time);
            Ok(answer.into())
        }
        // As long as nobody cancels it.
        "wait" => {
            say("waits");
            let cancelled = request.cancellation().wait_timeout(process::PATIENCE);
            say(if cancelled {
                "cancelled"
            } else {
                "not cancelled"
            });
            // Later than its caller gives up by its own clock.
            std::thread::sleep(Duration::from_millis(20));
            Ok(rest.into())
        }
        // The same by a descriptor, asked for before and after.
        "watch" => {
            say("waits");
            for _ in 0..2 {
                let cancelled = request.cancellation().descriptor()?;
                let mut fds = [PollFd::new(&cancelled, PollFlags::IN)];
                let limit = Timespec::try_from(process::PATIENCE)?;
                let count = rustix::event::poll(&mut fds, Some(&limit))?;
                say(if count == 1 {
                    "cancelled"
                } else {
                    "not cancelled"
                });
            }
            Ok(Vec::new())
        }
        "left" => Ok(format!("{:?}", request.remaining()).into()),
        "caller" => Ok(format!("{:?}", request.caller()).into()),
        "long" => Ok(vec![b'x'; rest.parse()?]),
        word => Err(Refusal::new(format!("there is no {word}"))),
    }
}
