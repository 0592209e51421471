//! Recv: messages from a queue or socket, bytes from a stream, the contents of memory.
//!
//! A message that was taken is printed and flushed before anything else happens, and none is
//! taken for a reader that is gone.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::AsFd;

use rustix::event::PollFlags;
use wigwag::facility::Naming;
use wigwag::memory::Region;
use wigwag::message::{Messages, Received};
use wigwag::stream::Stream;
use wigwag::{Endpoint, Kind, Opening, Role, Wait, Way};

use crate::arguments::{self, Object};
use crate::ending::Ending;
use crate::failure::{Failure, Result};
use crate::made_name::MadeName;
use crate::patience::{self, Limit};
use crate::render::messages::{Form, Printer};
use crate::render::{self, Output};
use crate::report::Report;

/// Receive messages, or bytes, or the contents of memory
///
/// Takes one message and prints it with a newline after it. From a stream it copies until the
/// end; of memory it prints the contents. A socket is made, and waits for a peer; --connect
/// goes to one instead. Each message is flushed before the next is taken. What a full channel
/// dropped or overwrote is told on standard error.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where from: mq:/jobs, unix:@app, channel:/camera, shm:/frame
    address: OsString,

    /// Take so many messages
    #[arg(short = 'n', long, value_name = "N")]
    number: Option<u64>,

    /// Take messages for ever, or until all senders of a connection are gone
    #[arg(short, long, conflicts_with = "number")]
    follow: bool,

    /// Print the exact bytes, nothing after a message
    #[arg(long)]
    raw: bool,

    /// Print a NUL after each message
    #[arg(short = '0', long, conflicts_with = "raw")]
    null: bool,

    /// Print a JSON object a line: body, priority, type, sender, missed, lost
    #[arg(long, conflicts_with_all = ["raw", "null"])]
    pub(crate) json: bool,

    /// Choose by type, where messages have one: this type; -N the lowest type up to N
    #[arg(short, long = "type", value_name = "TYPE")]
    kind: Option<i64>,

    /// Where in memory to begin, in bytes
    #[arg(long, value_name = "BYTES")]
    offset: Option<usize>,

    /// How much of memory to print, in bytes
    #[arg(long, value_name = "BYTES")]
    length: Option<usize>,

    /// Go to a socket that exists, instead of making it
    #[arg(long)]
    connect: bool,

    #[command(flatten)]
    limit: Limit,
}

pub(crate) fn run(args: Args, output: &Output) -> Result<Report> {
    let object = arguments::resolve(&args.address)?;
    check_options(&args, &object)?;
    let ending = Ending::noted()?.with_reader()?;
    // A terminal without a name is made here; with one it is somebody's.
    let terminal = object.facility.naming == Naming::Terminal && object.address.name().is_empty();
    let role = if args.connect || !(object.is_made_by_one_end() || terminal) {
        Role::Join
    } else {
        Role::Serve
    };
    let opening = Opening {
        role,
        way: Way::In,
        wait: args.limit.wait(),
    };
    let name = MadeName::of(&object, role);
    let mut printer = Printer::new(form(&args));
    let endpoint = args.limit.attempts(|wait| {
        super::open(&object, Opening { wait, ..opening }, &ending)
            .inspect_err(|error| name.unless(error))
    })?;
    match endpoint {
        Endpoint::Messages(messages) => {
            let mut losses = Losses::default();
            let mut print = |body: &[u8], received: &Received| {
                if !args.json
                    && let Some(words) = losses.before(received)
                {
                    output.say(words);
                }
                printer.message(body, received)
            };
            let taken = take(&args, &object, &*messages, &mut print, &ending);
            if !args.json
                && let Some(words) = losses.all(&object)
            {
                output.say(words);
            }
            taken?;
        }
        Endpoint::Stream(stream) => copy(&args, &object, stream, &mut printer, &ending)?,
        Endpoint::Region(region) => show(&args, &object, &*region, &mut printer)?,
        Endpoint::Gate(_) | Endpoint::Client(_) | Endpoint::Server(_) => {
            return Err(super::no_data(&object));
        }
    }
    Ok(Report::Done)
}

fn form(args: &Args) -> Form {
    match args {
        Args { json: true, .. } => Form::Json,
        Args { raw: true, .. } => Form::Raw,
        Args { null: true, .. } => Form::Null,
        _ => Form::Line,
    }
}

fn check_options(args: &Args, object: &Object) -> Result<()> {
    let wrong = |option: &str, why: &str| {
        Err(Failure::Usage(format!(
            "{option} has no meaning for {}: {why}",
            object.address
        )))
    };
    if !object.is_messages() {
        for (given, option) in [
            (args.number.is_some(), "-n"),
            (args.follow, "--follow"),
            (args.null, "--null"),
            (args.kind.is_some(), "--type"),
            (args.json && !object.is_memory(), "--json"),
        ] {
            if given {
                return wrong(option, "it carries no messages");
            }
        }
    }
    if (args.offset.is_some() || args.length.is_some()) && !object.is_memory() {
        let given = args.offset.map_or("--length", |_| "--offset");
        return wrong(given, "it is no memory");
    }
    if args.connect && !object.is_made_by_one_end() {
        return wrong("--connect", "nobody listens at it");
    }
    if object.is_memory() && args.limit.wait() != Wait::Forever {
        return wrong("a time-out", "reading memory never waits");
    }
    Ok(())
}

fn take(
    args: &Args,
    object: &Object,
    messages: &dyn Messages,
    mut print: impl FnMut(&[u8], &Received) -> io::Result<()>,
    ending: &Ending,
) -> Result<()> {
    let number = if args.follow {
        u64::MAX
    } else {
        args.number.unwrap_or(1)
    };
    let mut body = Vec::new();
    for taken in 0..number {
        let wait = args.limit.wait();
        let received = ending.ends(|| messages.recv_with(&mut body, args.kind, wait))?;
        match received {
            Some(received) => print(&body, &received)?,
            None if args.follow => return Ok(()),
            None => {
                return Err(wigwag::Error::new(
                    Kind::Disconnected,
                    "receive from",
                    object.facility.noun,
                    object.name(),
                    format!("all senders are gone after {taken} of {number} messages"),
                )
                .into());
            }
        }
    }
    Ok(())
}

/// What never came because a channel was full.
#[derive(Default)]
struct Losses {
    /// Told before the message in whose place they were.
    told: u64,
    so_far: u64,
}

impl Losses {
    /// What is to be told before a message.
    fn before(&mut self, received: &Received) -> Option<String> {
        self.so_far = received.lost;
        // Where nothing can be full, what was missed is what nobody wanted any more.
        if received.missed == 0 || received.lost == 0 {
            return None;
        }
        self.told += received.missed;
        let lost = messages(received.missed);
        Some(format!(
            "{lost} overwritten before the next one was received"
        ))
    }

    /// What is to be told at the end.
    fn all(&self, object: &Object) -> Option<String> {
        let untold = self.so_far.saturating_sub(self.told);
        let lost = || messages(untold);
        (untold > 0).then(|| format!("{} lost so far because {} was full", lost(), object.address))
    }
}

fn messages(number: u64) -> String {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    render::count(number, "message was", "messages were")
}

fn copy(
    args: &Args,
    object: &Object,
    mut stream: Box<dyn Stream>,
    printer: &mut Printer,
    ending: &Ending,
) -> Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        patience::ready(
            object,
            stream.as_fd(),
            PollFlags::IN,
            args.limit.wait(),
            ending,
        )?;
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(read) => printer.bytes(&bytes[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let error =
                    wigwag::Error::os("read from", object.facility.noun, object.name(), &error);
                return Err(error.into());
            }
        }
    }
}

fn show(args: &Args, object: &Object, region: &dyn Region, printer: &mut Printer) -> Result<()> {
    let offset = args.offset.unwrap_or(0);
    let all = region.len().checked_sub(offset);
    let length = args
        .length
        .or(all)
        .filter(|length| all.is_some_and(|all| *length <= all));
    let Some(length) = length else {
        return Err(wigwag::Error::new(
            Kind::BadInput,
            "read",
            object.facility.noun,
            object.name(),
            format!(
                "it has {} bytes, and not that many from offset {offset} on",
                region.len()
            ),
        )
        .into());
    };
    let mut bytes = vec![0; length];
    region.read_at(offset, &mut bytes)?;
    Ok(printer.message(&bytes, &wigwag::message::Received::default())?)
}
