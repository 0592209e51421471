//! Serve: answers calls with what a command prints.
//!
//! A request that nobody waits for any more takes its command with it: the command runs in a process group of
//! its own, which is killed.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use wigwag::pattern::rpc::{Refusal, Request};
use wigwag::stream::{Input, Output as _, pipe};
use wigwag::{Endpoint, Opening, Role, Wait, Way};

use crate::failure::{self, Failure, Result};
use crate::interrupt::Interrupts;
use crate::render::Output;
use crate::report::Report;

/// Bytes of an error that are kept of what a command says.
const WORDS: usize = 4096;
/// Signals are waited for so long at a time: for ever.
const LONG: Duration = Duration::from_secs(1 << 30);

/// Answer calls with what a command prints
///
/// The request is the command's standard input, its standard output the answer. When it ends with another exit status
/// than 0, the caller gets an error: its status, and what it said on standard error. It is killed, with
/// all processes of its group, when the caller does not wait any more or --timeout is over. Its environment has
/// WIGWAG_CALLER_PID, _UID and _GID where the kernel vouches for them (rpc+unix). SIGINT, SIGTERM and SIGHUP end
/// the server when the calls that were begun are answered; a second one ends it at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where: rpc+unix:/run/app.sock, rpc+tcp:localhost:7777, rpc+mq:/app
    address: OsString,

    /// Answer each request with itself
    #[arg(long, conflicts_with = "command")]
    echo: bool,

    /// Answer so many calls at once
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    concurrent: u16,

    /// Kill a command after so many seconds, a fraction is allowed; its caller gets an error
    #[arg(long, value_name = "SECONDS", value_parser = crate::arguments::seconds, conflicts_with = "echo")]
    timeout: Option<Duration>,

    /// The command that answers
    #[arg(
        required_unless_present = "echo",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<OsString>,
}

pub(crate) fn run(args: Args, output: &Output) -> Result<Report> {
    let object = super::call::answering(&args.address)?;
    // Before there is a thread, and before there is a name that has to go.
    let interrupts = Interrupts::hold()?;
    let opening = Opening {
        role: Role::Serve,
        way: Way::Both,
        wait: Wait::Forever,
    };
    let Endpoint::Server(server) = wigwag::open(&object.address, opening)? else {
        return Err(Failure::Usage(format!(
            "{} answers no calls",
            object.address
        )));
    };
    output.say(format_args!("serving {}", server.address()));
    let stopper = server.stopper();
    let interrupts = Arc::new(interrupts);
    let heard = interrupts.clone();
    // Not waited for: it ends with this process.
    failure::thread(move || {
        loop {
            if let Some(signal) = heard.next(LONG) {
                if stopper.is_stopping() {
                    let code = crate::exit::SIGNALLED;
                    std::process::exit(code.wrapping_add(signal.number() as u8).into());
                }
                stopper.stop();
            }
        }
    })?;
    let handle = |request: Request| match &args.command[..] {
        [] => Ok(request.into_bytes()),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments);
            interrupts.let_through(&mut command);
            answer(command, request, args.timeout)
        }
    };
    match args.concurrent {
        1 => server.serve(handle)?,
        more => server.serve_concurrent(more.into(), handle)?,
    }
    Ok(Report::Done)
}

/// Runs the command on the request.
fn answer(
    mut command: Command,
    request: Request,
    timeout: Option<Duration>,
) -> Result<Vec<u8>, Refusal> {
    if let Some(caller) = request.caller() {
        command
            .env("WIGWAG_CALLER_PID", caller.pid.to_string())
            .env("WIGWAG_CALLER_UID", caller.uid.to_string())
            .env("WIGWAG_CALLER_GID", caller.gid.to_string());
    }
    let program = command.get_program().to_string_lossy().into_owned();
    let mut run = Run::start(command).map_err(|error| {
        Refusal::new(format!(
            "cannot run {program}: {}",
            crate::failure::words(&error)
        ))
    })?;
    let cancelled = request.cancellation().descriptor()?;
    let until = timeout.and_then(|limit| Instant::now().checked_add(limit));
    let mut late = false;
    loop {
        let ours = until.map(|until| until.saturating_duration_since(Instant::now()));
        // Once killed it ends soon, and nothing else is to be waited for.
        let left = [ours, request.remaining()].into_iter().flatten().min();
        let left = left.filter(|_| !run.killed);
        if run.step(request.bytes(), &cancelled, left)? {
            break;
        }
        late = until.is_some_and(|until| until <= Instant::now());
        if late || request.is_cancelled() {
            run.kill();
        }
    }
    let status = run.child.wait()?;
    if late {
        return Err(Refusal::new(format!(
            "{program} took too long and was killed"
        )));
    }
    if status.success() {
        // What it says beside its answer is for who runs the server.
        let _ = io::stderr().write_all(&run.words);
        return Ok(std::mem::take(&mut run.answer));
    }
    let words = String::from_utf8_lossy(&run.words);
    let how = how(status);
    Err(Refusal::new(match words.trim() {
        "" => format!("{program} {how}"),
        words => format!("{program} {how}: {words}"),
    }))
}

/// A command that runs, and what goes in and comes out of it.
struct Run {
    child: Child,
    process: OwnedFd,
    stdin: Option<pipe::Writer>,
    stdout: Option<pipe::Reader>,
    stderr: Option<pipe::Reader>,
    /// How much of the request it has.
    given: usize,
    answer: Vec<u8>,
    words: Vec<u8>,
    ended: bool,
    killed: bool,
}

impl Run {
    fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let pid = Pid::from_child(&child);
        Ok(Run {
            process: pidfd_open(pid, PidfdFlags::empty()).inspect_err(|_| {
                let _ = child.kill();
                let _ = child.wait();
            })?,
            stdin: child.stdin.take().map(|end| OwnedFd::from(end).into()),
            stdout: child.stdout.take().map(|end| OwnedFd::from(end).into()),
            stderr: child.stderr.take().map(|end| OwnedFd::from(end).into()),
            child,
            given: 0,
            answer: Vec::new(),
            words: Vec::new(),
            ended: false,
            killed: false,
        })
    }

    /// Moves what can be moved, or waits for that, for the caller to cancel, or so long; whether it has ended, and all
    /// of its answer is here.
    fn step(
        &mut self,
        request: &[u8],
        cancelled: &OwnedFd,
        left: Option<Duration>,
    ) -> io::Result<bool> {
        // Once it has ended, there is only its output to wait for.
        let way = if self.ended {
            PollFlags::empty()
        } else {
            PollFlags::IN
        };
        let mut fds = vec![PollFd::new(&self.process, way)];
        let ends = [
            self.stdin.as_ref().map(|end| (end.as_fd(), PollFlags::OUT)),
            self.stdout.as_ref().map(|end| (end.as_fd(), PollFlags::IN)),
            self.stderr.as_ref().map(|end| (end.as_fd(), PollFlags::IN)),
        ];
        for (fd, way) in ends.into_iter().flatten() {
            fds.push(PollFd::from_borrowed_fd(fd, way));
        }
        if !self.killed {
            fds.push(PollFd::new(cancelled, PollFlags::IN));
        }
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.ended |= fds[0].revents().contains(PollFlags::IN);
        if let Some(stdin) = &mut self.stdin {
            match stdin.try_write(&request[self.given..]) {
                Ok(count) => self.given += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A command that does not read all of it is right to.
                Err(_) => self.given = request.len(),
            }
        }
        if self.given == request.len() {
            self.stdin = None;
        }
        take(&mut self.stdout, &mut self.answer, usize::MAX)?;
        take(&mut self.stderr, &mut self.words, WORDS)?;
        // What escaped a killed group may hold the pipe for ever.
        let whole = self.stdout.is_none() || self.killed;
        Ok(self.ended && whole)
    }

    /// Ends it and what it has started.
    fn kill(&mut self) {
        if !std::mem::replace(&mut self.killed, true) {
            // Not yet waited for, so its group is its own.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

/// Reads what is there, and closes at the end; what is over `most` is not kept.
fn take(from: &mut Option<pipe::Reader>, into: &mut Vec<u8>, most: usize) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    while let Some(reader) = from {
        match reader.try_read(&mut piece) {
            Ok(0) => *from = None,
            Ok(count) => {
                let room = most.saturating_sub(into.len());
                into.extend_from_slice(&piece[..count.min(room)]);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}
