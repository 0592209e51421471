//! Create: makes named objects and leaves them there.

use std::ffi::OsString;

use wigwag::{Kind, catalog};

use crate::arguments;
use crate::failure::{Failure, Result};
use crate::render::Output;
use crate::report::Report;

/// Make named objects and leave them there
///
/// Depth, size, value, mode and so on stand in the address: mq:/jobs?depth=10&mode=0660.
/// What exists already is refused with exit code 1. Several addresses are all tried.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to make: mq:/jobs?depth=10, fifo:/tmp/f, shm:/frame?size=1M
    #[arg(required = true)]
    address: Vec<OsString>,

    /// What exists already is fine, and stays as it is
    #[arg(long)]
    exist_ok: bool,
}

pub(crate) fn run(args: Args, output: &Output) -> Result<Report> {
    each(&args.address, output, |object| {
        match catalog::create(&object.address) {
            Err(error) if args.exist_ok && error.kind() == Kind::AlreadyExists => Ok(()),
            outcome => outcome,
        }
    })
}

/// Does it for every address; tells each failure, and the first decides the exit code.
pub(super) fn each(
    addresses: &[OsString],
    output: &Output,
    act: impl Fn(&arguments::Object) -> wigwag::Result<()>,
) -> Result<Report> {
    let mut first = None;
    for address in addresses {
        let outcome = arguments::resolve(address).and_then(|object| act(&object));
        if let Err(error) = outcome {
            let code = output.tell(&Failure::Library(error));
            first.get_or_insert(code);
        }
    }
    match first {
        Some(code) => Err(Failure::Told(code)),
        None => Ok(Report::Done),
    }
}
