//! A System V queue from its address: `sysv-mq:0x1234`, `sysv-mq:#7`, `sysv-mq:/path?project=2`.

use super::{Options, Queue, Select};
use crate::error::{Kind, Result};
use crate::message::Messages;
use crate::name::Name;
use crate::opening::{Opening, Role, Target};

/// Whoever serves makes the queue if there is none.
pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn Messages>> {
    let options = read(target)?;
    let queue = match (opening.role, &target.name) {
        (Role::Serve, Name::Key(_) | Name::Path(_)) => make(target, &options)?,
        (_, name) => options
            .open_named(name)
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
    make(target, &options).map(drop)
}

pub(crate) fn unlink(name: &Name) -> Result<()> {
    Options::new().open_named(name)?.remove()
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
    if let Some(mode) = given.mode()? {
        options = options.mode(mode);
    }
    if let Some(project) = given.value::<u8>("project")? {
        if !matches!(target.name, Name::Path(_)) {
            return Err(given.bad("project", "only a path has a project"));
        }
        options = options.project(project);
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
