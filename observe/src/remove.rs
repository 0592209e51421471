//! Removal of an object by its address, refused while somebody uses it.
//!
//! What is removed is the name: those who have the object open keep it until they close it. A System V queue or set is different:
//! it is gone at once, and whoever waits for it gets `EIDRM`. Nothing else in this crate changes anything.
//!
//! ```no_run
//! use wigwag_observe::{Snapshot, remove};
//!
//! remove(&"mq:/jobs".parse()?, false)?;
//! for object in Snapshot::capture()?.leaks() {
//!     println!("{}", object.remove(false)?);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use wigwag::catalog;
use wigwag::facility::Persistence;
use wigwag::pattern::rpc;
use wigwag::{Address, Error, Kind, Name, Result};

use crate::Snapshot;
use crate::capture::patterns::{PATTERNS, lies_in};
use crate::object::{Holder, Object};
use crate::proc::mqueue;

/// What was removed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[must_use]
pub struct Removed {
    /// Its address.
    pub address: String,
    /// Who had it when it was removed by force.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<Holder>,
}

impl fmt::Display for Removed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "removed {}", self.address)?;
        if !self.users.is_empty() {
            write!(out, ", which {} had in use", who(&self.users))?;
        }
        Ok(())
    }
}

/// Removes the object at `address`.
///
/// # Errors
/// [`Kind::NotFound`] when there is none; [`Kind::WouldBlock`] when somebody uses it and `force` is not set; [`Kind::Unsupported`] for
/// a facility whose objects have no name of their own; [`Kind::PermissionDenied`] when it is somebody else's.
pub fn remove(address: &Address, force: bool) -> Result<Removed> {
    // Of a server, what lies around is what carries its calls.
    if let Some(carrier) = rpc::carrier(address) {
        catalog::resolve(address)?;
        return remove(&carrier, force);
    }
    match find_unused(address, force)? {
        (_, Some(object)) => object.remove(force),
        // A FIFO that nobody has open, or the file of a socket that is gone, is only a name in the file system.
        (resolved, None) => unlink(resolved.entry.facility.id, &resolved.target.name, None)
            .map(|()| Removed {
                address: address.to_string(),
                users: Vec::new(),
            })
            .map_err(|error| failed(address, &error)),
    }
}

/// Whether [`remove()`] would find the object at `address` and not refuse; removes nothing. Permission is not looked at.
///
/// # Errors
/// As for [`remove()`].
pub fn removable(address: &Address, force: bool) -> Result<()> {
    if let Some(carrier) = rpc::carrier(address) {
        catalog::resolve(address)?;
        return removable(&carrier, force);
    }
    match find_unused(address, force)? {
        (_, Some(object)) => object.unused(force),
        (_, None) if Object::at_rest(address)?.is_some() => Ok(()),
        (_, None) => Err(failed(address, &rustix::io::Errno::NOENT.into())),
    }
}

/// Looks at an object that is in use, before it is believed that it is.
const LOOKS: u32 = 3;

/// What [`find`] finds, looked at again when it is in use: another program that only looks, as this one does, may have had it open for
/// an instant.
fn find_unused(address: &Address, force: bool) -> Result<(catalog::Resolved, Option<Object>)> {
    let mut looks = 1;
    loop {
        let found = find(address)?;
        let in_use = matches!(&found.1, Some(object) if object.unused(force).is_err());
        if !in_use || looks == LOOKS {
            return Ok(found);
        }
        looks += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The object at an address, if it is more than a name in the file system.
fn find(address: &Address) -> Result<(catalog::Resolved, Option<Object>)> {
    let mut resolved = catalog::resolve(address)?;
    resolved.target.name = resolved.kernel_name("remove")?;
    let facility = resolved.entry.facility.id;
    // A pattern in memory is found by the address of the memory, too.
    let patterns = PATTERNS.iter().filter(|pattern| lies_in(pattern, facility));
    let snapshot = Snapshot::builder()
        .facilities(patterns.copied().chain([facility]))
        .capture()
        .map_err(|error| failed(address, &error))?;
    let found = snapshot
        .objects
        .into_iter()
        .find(|object| object.is_at(&resolved));
    Ok((resolved, found))
}

impl Object {
    /// Whether this is the object that is meant: a System V object answers to its key and to its identifier, a path may be relative.
    pub(crate) fn is_at(&self, meant: &catalog::Resolved) -> bool {
        let meant_id = meant.entry.facility.id;
        let is_it = self.facility == meant_id || lies_in(self.facility, meant_id);
        if !is_it || self.address.is_none() {
            return false;
        }
        match &meant.target.name {
            Name::Id(id) => u64::try_from(*id).is_ok_and(|id| self.id == Some(id)),
            Name::Key(key) => {
                let key = i64::from(key.cast_unsigned());
                self.get("key") == Some(&crate::object::Value::Number(key))
            }
            Name::Path(path) => std::path::absolute(path)
                .is_ok_and(|path| self.name.as_bytes() == path.as_os_str().as_bytes()),
            name => self.name.as_bytes() == name.to_bytes(),
        }
    }

    /// The FIFO, socket or file at a path, which no process need have open; nothing when there is none, or for what is no path.
    ///
    /// # Errors
    /// When the address is none, or the path cannot be looked at, or leads to a file of another kind.
    pub fn at_rest(address: &Address) -> Result<Option<Object>> {
        let resolved = catalog::resolve(address)?;
        let facility = resolved.entry.facility.id;
        let kind = match facility {
            "fifo" => libc::S_IFIFO,
            "unix" | "unix-dgram" | "unix-seqpacket" => libc::S_IFSOCK,
            "file" | "mailbox" => libc::S_IFREG,
            _ => return Ok(None),
        };
        let Some(path) = resolved.target.name.as_path() else {
            return Ok(None);
        };
        let failed =
            |error: &io::Error| Error::os("look at", resolved.entry.facility.noun, address, error);
        let path = std::path::absolute(path).map_err(|error| failed(&error))?;
        let stat = match rustix::fs::lstat(&path) {
            Ok(stat) => stat,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(failed(&errno.into())),
        };
        if stat.st_mode & libc::S_IFMT != kind {
            let why = "there is a file of another kind under this name";
            let noun = resolved.entry.facility.noun;
            return Err(Error::new(Kind::BadInput, "look at", noun, address, why));
        }
        let name = path.into_os_string().into_encoded_bytes();
        let mut object =
            Object::new(facility, name.as_slice(), Persistence::FileSystem).addressable();
        object.id = Some(stat.st_ino);
        object.uid = Some(stat.st_uid);
        object.user = crate::capture::users::name(stat.st_uid);
        object.mode = Some(stat.st_mode & 0o7777);
        object.state = Some("not open".into());
        Ok(Some(object))
    }

    /// Refuses what somebody uses.
    fn unused(&self, force: bool) -> Result<()> {
        let attached = self
            .fill
            .iter()
            .any(|fill| fill.unit == crate::object::Unit::Attachments && fill.level > 0);
        // A semaphore still counts a waiter that was killed.
        let waited = !self.waiters.is_empty() || self.facility != "sem" && self.is_waited_for();
        if force || (self.holders.is_empty() && !waited && !attached) {
            return Ok(());
        }
        let users = match (self.holders.as_slice(), self.waiters.first()) {
            ([], Some(waiter)) => format!("{} [{}] waits for it", waiter.comm, waiter.pid),
            ([], None) => "it is in use by a process that cannot be seen".into(),
            (holders, _) => format!("it is in use by {}", who(holders)),
        };
        let address = self.address.as_deref().unwrap_or_default();
        let error = Error::new(Kind::WouldBlock, "remove", "object", address, users);
        Err(error.with_hint("end those processes first, or remove it by force"))
    }

    /// Removes this object, as it was seen in its snapshot; one that has taken its name since is left alone.
    ///
    /// # Errors
    /// As for [`remove()`].
    pub fn remove(&self, force: bool) -> Result<Removed> {
        let Some(text) = &self.address else {
            let why = "it has no name here: it goes when the last process closes it";
            return Err(Error::new(
                Kind::Unsupported,
                "remove",
                self.facility,
                &self.name,
                why,
            ));
        };
        self.unused(force)?;
        let address: Address = text.parse()?;
        let resolved = catalog::resolve(&address)?;
        // The identifier, not the key: the key may belong to a newer object already.
        let name = match (
            &resolved.target.name,
            self.id.and_then(|id| i32::try_from(id).ok()),
        ) {
            (Name::Key(_), Some(id)) => Name::Id(id),
            (name, _) => name.clone(),
        };
        unlink(self.facility, &name, self.id).map_err(|error| failed(&address, &error))?;
        Ok(Removed {
            address: text.clone(),
            users: self.holders.clone(),
        })
    }
}

fn who(holders: &[Holder]) -> String {
    let mut names: Vec<_> = holders
        .iter()
        .map(|holder| format!("{} [{}]", holder.comm, holder.pid))
        .collect();
    names.dedup();
    match names.len() {
        0..=3 => names.join(", "),
        more => format!("{} and {} more", names[..3].join(", "), more - 3),
    }
}

fn failed(address: &Address, error: &io::Error) -> Error {
    Error::os("remove", "object", address, error)
}

/// Removes the name; `id` is the inode number it must still lead to.
fn unlink(facility: &str, name: &Name, id: Option<u64>) -> io::Result<()> {
    let unsupported = || {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it has no name of its own",
        ))
    };
    match (facility, name) {
        ("mq", Name::Slash(name)) => {
            let bare = name.strip_prefix(b"/").unwrap_or(name);
            if let Some(id) = id
                && let Ok(directory) = mqueue::open_directory()
            {
                same_file(
                    rustix::fs::statat(&directory, bare, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?
                        .st_ino,
                    id,
                )?;
            }
            let path = CString::new(name.clone())?;
            // SAFETY: the name is a C string that lives through the call.
            check(unsafe { libc::mq_unlink(path.as_ptr()) })
        }
        ("shm" | "sem" | "channel" | "mailbox", Name::Slash(name)) => {
            let bare = name.strip_prefix(b"/").unwrap_or(name);
            let prefix: &[u8] = if facility == "sem" {
                b"/dev/shm/sem."
            } else {
                b"/dev/shm/"
            };
            unlink_path(&[prefix, bare].concat(), id, |kind| kind == libc::S_IFREG)
        }
        ("fifo", Name::Path(path)) => unlink_path(path.as_os_str().as_bytes(), id, |kind| {
            kind == libc::S_IFIFO
        }),
        // The inode of a socket is not that of its file.
        ("unix" | "unix-dgram" | "unix-seqpacket", Name::Path(path)) => {
            unlink_path(path.as_os_str().as_bytes(), None, |kind| {
                kind == libc::S_IFSOCK
            })
        }
        ("file" | "mailbox", Name::Path(path)) => {
            unlink_path(path.as_os_str().as_bytes(), id, |kind| {
                kind == libc::S_IFREG
            })
        }
        ("sysv-mq", name) => {
            // SAFETY: msgget takes two numbers.
            let id = identifier(name, |key| unsafe { libc::msgget(key, 0) })?;
            // SAFETY: IPC_RMID takes no structure.
            check(unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) })
        }
        ("sysv-sem", name) => {
            // SAFETY: semget takes three numbers.
            let id = identifier(name, |key| unsafe { libc::semget(key, 0, 0) })?;
            // SAFETY: IPC_RMID takes no fourth argument.
            check(unsafe { libc::semctl(id, 0, libc::IPC_RMID) })
        }
        ("sysv-shm", name) => {
            // SAFETY: shmget takes three numbers.
            let id = identifier(name, |key| unsafe { libc::shmget(key, 0, 0) })?;
            // SAFETY: IPC_RMID takes no structure.
            check(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) })
        }
        _ => unsupported(),
    }
}

fn identifier(name: &Name, get: impl Fn(libc::key_t) -> libc::c_int) -> io::Result<libc::c_int> {
    match name {
        Name::Id(id) => Ok(*id),
        Name::Key(key) => {
            let id = get(*key);
            check(id)?;
            Ok(id)
        }
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn unlink_path(
    path: &[u8],
    id: Option<u64>,
    kind_is_right: impl Fn(u32) -> bool,
) -> io::Result<()> {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let stat = rustix::fs::lstat(path)?;
    if !kind_is_right(stat.st_mode & libc::S_IFMT) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "there is a file of another kind under this name",
        ));
    }
    if let Some(id) = id {
        same_file(stat.st_ino, id)?;
    }
    Ok(rustix::fs::unlink(path)?)
}

fn same_file(found: u64, seen: u64) -> io::Result<()> {
    if found == seen {
        return Ok(());
    }
    Err(io::Error::other(
        "another object has taken its name meanwhile: look again",
    ))
}
