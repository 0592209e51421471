//! A System V queue from its address: `sysv-mq:0x1234`, `sysv-mq:#7`, `sysv-mq:/path?project=2`.

use super::{Options, Queue, Select};
use crate::error::{Kind, Result};
use crate::key::Key;
use crate::message::Messages;
use crate::name::Name;
use crate::opening::{Opening, Role, Target};

/// Whoever serves makes the queue if there is none.
pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn Messages>> {
    let options = read(target)?;
    let queue = match (opening.role, Key::meant(target)?) {
        (Role::Serve, Key::Number(_) | Key::File(..)) => make(target, &options)?,
        (_, key) => options.open(key).map_err(|error| match error.kind() {
            // Not a path that leads nowhere.
            Kind::NotFound if error.action() == "open" => {
                error.with_hint("whoever serves or creates it comes first")
            }
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
    options.create(Key::meant(target)?).map(drop)
}

pub(crate) fn unlink(name: &Name) -> Result<()> {
    Queue::unlink(Key::of(name, Key::PROJECT))
}

fn make(target: &Target, options: &Options) -> Result<Queue> {
    if target.options.flag("exclusive")? {
        options.create(Key::meant(target)?)
    } else {
        options.open_or_create(Key::meant(target)?)
    }
}

fn read(target: &Target) -> Result<Options> {
    let given = &target.options;
    let mut options = Options::new().temporary(given.flag("temporary")?);
    if let Some(mode) = given.mode()? {
        options = options.mode(mode);
    }
    if let Some(bytes) = given.bytes("capacity")? {
        options = options.capacity(bytes);
    }
    Ok(options)
}

/// Makes a queue, sends a message to itself and removes the queue.
pub(crate) fn probe() -> Result<()> {
    let queue = Options::new().temporary(true).private()?;
    queue.try_send(1, b"probe")?;
    queue.try_recv(Select::Any, &mut [0; 8]).map(drop)
}
