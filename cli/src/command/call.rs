//! Call: asks a server and prints its answer.

use std::ffi::OsString;
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use wigwag::catalog::Open;
use wigwag::message::Received;
use wigwag::pattern::rpc::Client;
use wigwag::{Endpoint, Opening, Role, Way};

use crate::arguments::{self, Object};
use crate::failure::{Failure, Result};
use crate::patience::Hope;
use crate::render::messages::{Form, Printer};
use crate::report::Report;

/// Ask a server and print its answer
///
/// Each REQUEST is one call: the bytes of the argument, nothing added. Without REQUEST, standard input is one
/// request exactly as it is, or one a line with --lines. Calls are made one after the other, and each
/// answer is printed with a newline after it, unless it ends with one. Exit code 1 when the server refuses (its words are
/// printed), is not there, or goes; 124 when no answer comes in time: then the server is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whom: rpc+unix:/run/app.sock, rpc+tcp:host:7777, rpc+mq:/app
    address: OsString,

    /// What to ask; standard input without it
    request: Vec<OsString>,

    /// Each line of standard input is one request, without its newline
    #[arg(short, long, conflicts_with = "request")]
    lines: bool,

    #[command(flatten)]
    hope: Hope,

    /// Print the exact bytes of the answer, nothing after them
    #[arg(long)]
    raw: bool,

    /// Give up a call after so many seconds, a fraction is allowed, and exit 124
    #[arg(long, value_name = "SECONDS", value_parser = crate::arguments::seconds)]
    timeout: Option<Duration>,
}

pub(crate) fn run(args: Args) -> Result<Report> {
    let object = answering(&args.address)?;
    let connected = args.hope.attempts(args.timeout.into(), |wait| {
        let opening = Opening {
            role: Role::Join,
            way: Way::Both,
            wait,
        };
        Ok(wigwag::open(&object.address, opening)?)
    });
    let Endpoint::Client(client) = connected? else {
        return Err(no_server(&object));
    };
    let ask = |request: &[u8]| -> Result<()> {
        let answer = client.call_with(request, args.timeout.into())?;
        // What a command printed is a line already.
        let exact = args.raw || answer.ends_with(b"\n");
        let mut printer = Printer::new(if exact { Form::Raw } else { Form::Line });
        Ok(printer.message(&answer, &Received::default())?)
    };
    let unreadable = |error: io::Error| Failure::io("read standard input", &error);
    if args.lines {
        let mut input = io::stdin().lock();
        let mut line = Vec::new();
        while input.read_until(b'\n', &mut line).map_err(unreadable)? > 0 {
            ask(line.strip_suffix(b"\n").unwrap_or(&line))?;
            line.clear();
        }
    } else if args.request.is_empty() {
        ask(&whole_input(&client).map_err(unreadable)?)?;
    } else {
        args.request
            .iter()
            .try_for_each(|request| ask(request.as_bytes()))?;
    }
    Ok(Report::Done)
}

/// Standard input, of which not much more is read than can be sent.
fn whole_input(client: &Client) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let most = client.max_request() as u64 + 1;
    io::stdin().lock().take(most).read_to_end(&mut request)?;
    Ok(request)
}

/// The object at an address at which calls are made.
pub(super) fn answering(address: &std::ffi::OsStr) -> Result<Object> {
    let object = arguments::resolve(address)?;
    match object.entry.open {
        Some(Open::Calls) => Ok(object),
        _ => Err(no_server(&object)),
    }
}

fn no_server(object: &Object) -> Failure {
    let schemes: Vec<&str> = wigwag::catalog::CATALOG
        .iter()
        .filter(|entry| matches!(entry.open, Some(Open::Calls)))
        .map(|entry| entry.facility.id)
        .collect();
    Failure::Usage(format!(
        "{} answers no calls; these do: {}",
        object.address,
        schemes.join(", ")
    ))
}
