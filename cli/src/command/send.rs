//! Send: messages to a queue or socket, bytes to a stream, contents to memory.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};

use rustix::event::PollFlags;
use rustix::io::Errno;
use wigwag::facility::{Direction, Naming};
use wigwag::memory::Region;
use wigwag::message::{Messages, Note};
use wigwag::stream::Stream;
use wigwag::{Endpoint, Kind, Opening, Role, Wait, Way};

use crate::arguments::{self, Object};
use crate::ending::Ending;
use crate::failure::{Failure, Result};
use crate::made_name::MadeName;
use crate::patience::{self, Limit};
use crate::report::Report;

/// Send messages, or bytes, or the contents of memory
///
/// Each MESSAGE is one message: the bytes of the argument, nothing added. Without MESSAGE,
/// standard input is one message exactly as it is, or one a record with --lines or --null.
/// On a stream the bytes are written as they come, and the stream is closed after them; with
/// --lines or --null each MESSAGE is followed by a newline or a NUL. Into memory, the bytes are
/// written one after the other from --offset on.
/// A socket is connected to; --listen waits for a peer to connect instead.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to: mq:/jobs, unix:@app, channel:/camera, shm:/frame
    address: OsString,

    /// What to send; standard input without it
    message: Vec<OsString>,

    /// Each line of standard input is one message, without its newline
    #[arg(short, long)]
    lines: bool,

    /// Each record that a NUL ends is one message, without its NUL
    #[arg(short = '0', long, conflicts_with = "lines")]
    null: bool,

    /// The priority, where messages have one: higher is received first
    #[arg(short, long)]
    priority: Option<u32>,

    /// The type, where messages have one, from 1
    #[arg(short, long = "type", value_name = "TYPE")]
    kind: Option<i64>,

    /// Where in memory to begin, in bytes
    #[arg(long, value_name = "BYTES")]
    offset: Option<usize>,

    /// Make the name and wait for a peer, instead of going to one
    #[arg(long)]
    listen: bool,

    #[command(flatten)]
    limit: Limit,
}

impl Args {
    fn note(&self) -> Note {
        Note {
            priority: self.priority,
            kind: self.kind,
        }
    }

    /// What ends a record of standard input.
    fn end(&self) -> Option<u8> {
        match self {
            Args { lines: true, .. } => Some(b'\n'),
            Args { null: true, .. } => Some(0),
            _ => None,
        }
    }
}

pub(crate) fn run(args: Args) -> Result<Report> {
    let object = arguments::resolve(&args.address)?;
    let opening = Opening {
        role: if args.listen { Role::Serve } else { Role::Join },
        way: Way::Out,
        wait: args.limit.wait(),
    };
    check_options(&args, &object)?;
    let ending = Ending::noted()?;
    let name = MadeName::of(&object, opening.role);
    let endpoint = args.limit.attempts(|wait| {
        super::open(&object, Opening { wait, ..opening }, &ending)
            .inspect_err(|error| name.unless(error))
    })?;
    match endpoint {
        Endpoint::Messages(messages) => send(&args, &object, &*messages, &ending)?,
        Endpoint::Stream(stream) => write(&args, &object, stream, &ending)?,
        Endpoint::Region(region) => fill(&args, &object, &*region, &ending)?,
        Endpoint::Gate(_) | Endpoint::Client(_) | Endpoint::Server(_) => {
            return Err(super::no_data(&object));
        }
    }
    Ok(Report::Done)
}

/// What has no meaning for this kind of object is refused before anything is opened.
fn check_options(args: &Args, object: &Object) -> Result<()> {
    let wrong = |option: &str, why: &str| {
        Err(Failure::Usage(format!(
            "{option} has no meaning for {}: {why}",
            object.address
        )))
    };
    if !object.is_messages() {
        if args.priority.is_some() {
            return wrong("--priority", "it carries no messages");
        }
        if args.kind.is_some() {
            return wrong("--type", "it carries no messages");
        }
    }
    if args.offset.is_some() && !object.is_memory() {
        return wrong("--offset", "it is no memory");
    }
    if args.listen && !object.is_made_by_one_end() {
        return wrong("--listen", "nobody connects to it");
    }
    if object.is_memory() && args.limit.wait() != Wait::Forever {
        return wrong("a time-out", "writing to memory never waits");
    }
    Ok(())
}

fn send(args: &Args, object: &Object, messages: &dyn Messages, ending: &Ending) -> Result<()> {
    let mut sent = 0_usize;
    let mut one = |message: &[u8]| -> Result<()> {
        ending.ends(|| {
            let done = messages.send_with(message, args.note(), args.limit.wait());
            done.map_err(|error| match sent {
                0 => error,
                1 => error.with_hint("one message was sent before"),
                n => error.with_hint(format!("{n} messages were sent before")),
            })
        })?;
        sent += 1;
        Ok(())
    };
    if !args.message.is_empty() {
        return args.message.iter().try_for_each(|message| {
            one(std::os::unix::ffi::OsStrExt::as_bytes(message.as_os_str()))
        });
    }
    records(args.end(), object, messages.max_len(), ending, one)
}

/// The records of standard input, none read further than it can be sent.
fn records(
    end: Option<u8>,
    object: &Object,
    longest: usize,
    ending: &Ending,
    mut one: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut input = Input::new(ending);
    let mut record = Vec::new();
    loop {
        record.clear();
        // One for the end of the record, one more to see that it is too long.
        let mut bounded = (&mut input).take((longest as u64).saturating_add(2));
        let read = match end {
            Some(end) => bounded.read_until(end, &mut record),
            None => bounded.read_to_end(&mut record),
        };
        if read.map_err(|error| not_read(ending, &error))? == 0 && end.is_some() {
            return Ok(());
        }
        if end.is_some_and(|end| record.last() == Some(&end)) {
            record.pop();
        }
        if record.len() > longest {
            return Err(wigwag::Error::new(
                Kind::TooBig,
                "send to",
                object.facility.noun,
                object.name(),
                format!("a message of standard input is longer than {longest} bytes"),
            )
            .into());
        }
        one(&record)?;
        if end.is_none() {
            return Ok(());
        }
    }
}

fn write(args: &Args, object: &Object, mut stream: Box<dyn Stream>, ending: &Ending) -> Result<()> {
    if args.message.is_empty() {
        copy(args, object, &mut stream, ending)?;
    }
    for message in &args.message {
        put(
            args,
            object,
            &mut stream,
            ending,
            std::os::unix::ffi::OsStrExt::as_bytes(message.as_os_str()),
        )?;
        if let Some(end) = args.end() {
            put(args, object, &mut stream, ending, &[end])?;
        }
    }
    let failed = |error| Failure::io(format_args!("write to {}", object.address), &error);
    stream.flush().map_err(failed)?;
    stream.finish().map_err(failed)?;
    if object.facility.direction == Some(Direction::TwoWay)
        && object.facility.naming != Naming::Terminal
    {
        linger(object, &mut stream, ending);
    }
    Ok(())
}

fn copy(args: &Args, object: &Object, stream: &mut Box<dyn Stream>, ending: &Ending) -> Result<()> {
    let mut input = Input::new(ending);
    let mut last = None;
    loop {
        let bytes = match input.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(not_read(ending, &error)),
        };
        if bytes.is_empty() {
            break;
        }
        put(args, object, stream, ending, bytes)?;
        last = bytes.last().copied();
        let taken = bytes.len();
        input.consume(taken);
    }
    match args.end() {
        // The last record is ended like the others.
        Some(end) if last.is_some_and(|last| last != end) => {
            put(args, object, stream, ending, &[end])
        }
        _ => Ok(()),
    }
}

/// Writes all of it; with a time-out, in pieces that do not block once there is room.
fn put(
    args: &Args,
    object: &Object,
    stream: &mut Box<dyn Stream>,
    ending: &Ending,
    bytes: &[u8],
) -> Result<()> {
    const PIECE: usize = wigwag::stream::pipe::ATOMIC;
    let failed = |error: io::Error| {
        if let Err(ended) = ending.check() {
            return ended;
        }
        let error = wigwag::Error::os("write to", object.facility.noun, object.name(), &error);
        Failure::Library(error)
    };
    if args.limit.wait() == Wait::Forever {
        return write_all(stream, ending, bytes).map_err(failed);
    }
    for piece in bytes.chunks(PIECE) {
        patience::ready(
            object,
            stream.as_fd(),
            PollFlags::OUT,
            args.limit.wait(),
            ending,
        )?;
        write_all(stream, ending, piece).map_err(failed)?;
    }
    Ok(())
}

/// Writes all of it, unless we are to end meanwhile.
fn write_all(stream: &mut Box<dyn Stream>, ending: &Ending, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted && ending.check().is_ok() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Standard input; reading it ends when we are to end.
struct Input<'a>(&'a Ending);

impl<'a> Input<'a> {
    fn new(ending: &'a Ending) -> BufReader<Self> {
        BufReader::new(Input(ending))
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(rustix::stdio::stdin(), &mut *buffer) {
                Err(Errno::INTR) if self.0.check().is_ok() => {}
                // Whoever reads in a loop would go on after an interruption.
                Err(Errno::INTR) => return Err(io::Error::other("a signal ended the wait")),
                // It is closed, which is no input.
                Err(Errno::BADF) => return Ok(0),
                outcome => return Ok(outcome?),
            }
        }
    }
}

/// Why standard input could not be read.
fn not_read(ending: &Ending, error: &io::Error) -> Failure {
    match ending.check() {
        Err(ended) => ended,
        Ok(()) => Failure::io("read standard input", error),
    }
}

/// Takes what the peer still says: to close a socket with something unread resets the
/// connection, and the peer could lose what it has not read yet.
fn linger(object: &Object, stream: &mut Box<dyn Stream>, ending: &Ending) {
    const QUIET: std::time::Duration = std::time::Duration::from_millis(500);
    let mut scratch = [0; 4096];
    while patience::ready(
        object,
        stream.as_fd(),
        PollFlags::IN,
        Wait::For(QUIET),
        ending,
    )
    .is_ok()
    {
        if !matches!(stream.read(&mut scratch), Ok(1..)) {
            return;
        }
    }
}

fn fill(args: &Args, object: &Object, region: &dyn Region, ending: &Ending) -> Result<()> {
    let offset = args.offset.unwrap_or(0);
    let room = region.len().saturating_sub(offset);
    let mut bytes = Vec::new();
    for message in &args.message {
        bytes.extend(std::os::unix::ffi::OsStrExt::as_bytes(message.as_os_str()));
        bytes.extend(args.end());
    }
    if args.message.is_empty() {
        Input::new(ending)
            .take((room as u64).saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| not_read(ending, &error))?;
    }
    if offset > region.len() || bytes.len() > room {
        return Err(wigwag::Error::new(
            Kind::TooBig,
            "write to",
            object.facility.noun,
            object.name(),
            format!("{room} bytes are left from offset {offset} on, and there is more to write"),
        )
        .into());
    }
    region.write_at(offset, &bytes)?;
    Ok(region.flush()?)
}
