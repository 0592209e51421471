//! A POSIX queue from its address: `mq:/jobs?depth=10&max_len=64K`.

use super::{Options, Queue};
use crate::error::{Kind, Result};
use crate::message::Messages;
use crate::opening::{Opening, Role, Target};

/// Whoever serves makes the queue if there is none.
pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn Messages>> {
    let options = read(target)?.way(opening.way);
    let queue = match opening.role {
        Role::Serve => make(target, &options)?,
        Role::Join => options
            .open_named(&target.name)
            .map_err(|error| match error.kind() {
                Kind::NotFound => error.with_hint("whoever serves or creates it comes first"),
                _ => error,
            })?,
    };
    Ok(Box::new(queue))
}

pub(crate) fn create(target: &Target) -> Result<()> {
    let options = read(target)?;
    if target.options.flag("temporary")? {
        return Err(target
            .options
            .bad("temporary", "nothing would stay of what is created here"));
    }
    options.create_named(&target.name).map(drop)
}

fn make(target: &Target, options: &Options) -> Result<Queue> {
    if target.options.flag("exclusive")? {
        options.create_named(&target.name)
    } else {
        options.open_or_create_named(&target.name)
    }
}

fn read(target: &Target) -> Result<Options> {
    let given = &target.options;
    let mut options = Options::new().temporary(given.flag("temporary")?);
    if let Some(depth) = given.value("depth")? {
        options = options.depth(depth);
    }
    if let Some(bytes) = given.bytes("max_len")? {
        let bytes = usize::try_from(bytes).map_err(|_| given.bad("max_len", "it is too great"))?;
        options = options.max_len(bytes);
    }
    if let Some(mode) = given.mode()? {
        options = options.mode(mode);
    }
    Ok(options)
}

/// Makes a queue, sends a message to itself and removes the queue.
pub(crate) fn probe() -> Result<()> {
    let unique = format!("/wigwag-probe-{}", std::process::id());
    let options = Options::new().depth(1).max_len(8).temporary(true);
    let queue = options.create(unique)?;
    queue.try_send(b"probe", 0)?;
    queue.try_recv(&mut [0; 8]).map(drop)
}
