//! System V shared memory: a region under a key, with a count of who has it attached.
//!
//! Nobody can shrink it under a map. It stays, with or without users, until it is removed; a removed one loses its key at
//! once and its memory when the last process has detached it.
//!
//! ```
//! use wigwag::memory::{Region, sysv::{Options, SharedMemory}};
//!
//! let ours = Options::new().temporary(true).create(wigwag::Key::Private, 4096)?;
//! let theirs = SharedMemory::open(wigwag::Key::Id(ours.id()))?; // in another process
//! ours.write_at(0, b"hello")?;
//! let mut bytes = [0; 5];
//! theirs.read_at(0, &mut bytes)?;
//! assert_eq!(&bytes, b"hello");
//! assert_eq!(ours.stat()?.attached, 2);
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! `sysvipc(7)`, `shmget(2)`, `shmop(2)`, `shmctl(2)`

use std::sync::Arc;

use rustix::io::Errno;

use super::{Access, Mapping, Region, huge, mapping};
use crate::error::{Error, Kind, Result};
use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees};
use crate::key::Key;
use crate::limit::{self, Limit, Source};
use crate::sys::shm;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "sysv-shm",
    title: "System V shared memory",
    noun: "System V shared memory",
    family: Family::Memory,
    naming: Naming::Key,
    unnamed_form: true,
    persistence: Persistence::Kernel,
    boundary: None,
    direction: Some(Direction::Many),
    reach: Reach::Host,
    pollable: false,
    named_by: "key",
    lives: "removal or reboot",
    carries: "a mapped region",
    limits: &[SEGMENTS, BYTES, PAGES, limit::MAPS],
    guarantees: Guarantees {
        durability: Durability::Kernel,
        ..Guarantees::MEMORY
    },
    man: "sysvipc(7)",
};

/// Segments of an IPC namespace.
pub(crate) const SEGMENTS: Limit = Limit {
    name: "kernel.shmmni",
    bounds: "System V segments of the machine",
    source: Source::Sysctl("/proc/sys/kernel/shmmni", 0),
    errnos: &[libc::ENOSPC],
};

/// Bytes of one segment.
pub(crate) const BYTES: Limit = Limit {
    name: "kernel.shmmax",
    bounds: "bytes of one segment",
    source: Source::Sysctl("/proc/sys/kernel/shmmax", 0),
    errnos: &[],
};

/// Pages of all segments.
pub(crate) const PAGES: Limit = Limit {
    name: "kernel.shmall",
    bounds: "pages in all segments of the machine",
    source: Source::Sysctl("/proc/sys/kernel/shmall", 0),
    errnos: &[libc::ENOSPC],
};

/// How a segment is made or opened.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    mode: u32,
    access: Access,
    huge: Option<u64>,
    temporary: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: 0o600,
            access: Access::ReadWrite,
            huge: None,
            temporary: false,
        }
    }
}

impl Options {
    /// The defaults: read and write, for this user only, kept.
    pub fn new() -> Self {
        Options::default()
    }

    /// Who else may attach a new one, exactly (there is no umask here); 0600 otherwise.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// What this map of it is for.
    #[doc(alias = "SHM_RDONLY")]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// A new one made of huge pages of so many bytes, one of [`huge::sizes`].
    #[doc(alias = "SHM_HUGETLB")]
    pub fn huge(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.huge = bytes.into();
        self
    }

    /// Whether it is removed when this handle is dropped. If the process is killed first, it stays.
    pub fn temporary(mut self, temporary: bool) -> Self {
        self.temporary = temporary;
        self
    }

    /// Makes a new one of `len` zero bytes.
    ///
    /// # Errors
    /// `AlreadyExists`; `Limit`, naming it; `NotFound` when the key's file does not exist.
    #[doc(alias = "shmget")]
    pub fn create(&self, key: impl Into<Key>, len: u64) -> Result<SharedMemory> {
        let key = key.into();
        let size = mapping::mappable(len, &FACILITY, &key.name(0))?;
        let Some(number) = number(&key, "create")? else {
            return Err(FACILITY.error(
                Kind::BadName,
                "create",
                &key,
                "the kernel chooses identifiers; give a key",
            ));
        };
        let mut flags = (self.mode & 0o777).cast_signed() | libc::IPC_CREAT | libc::IPC_EXCL;
        if let Some(bytes) = self.huge {
            let bits = huge::size_bits(bytes, len, &FACILITY, &key.name(0))?;
            flags |= libc::SHM_HUGETLB | bits.cast_signed();
        }
        let id =
            shm::get(number, size, flags).map_err(|errno| self.create_failed(&key, len, errno))?;
        SharedMemory::attach(id, &key, self).inspect_err(|_| {
            let _ = shm::remove(id);
        })
    }

    /// Attaches one that exists, with the size it has.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`; `Removed`.
    #[doc(alias = "shmat")]
    pub fn open(&self, key: impl Into<Key>) -> Result<SharedMemory> {
        let key = key.into();
        SharedMemory::attach(find(&key, "open")?, &key, self)
    }

    /// Attaches the one that exists, or makes it.
    ///
    /// # Errors
    /// As for both; `BadInput` when the one that exists has fewer than `len` bytes.
    pub fn open_or_create(&self, key: impl Into<Key>, len: u64) -> Result<SharedMemory> {
        let key = key.into();
        if key == Key::Private {
            return self.create(key, len);
        }
        loop {
            match self.open(key.clone()) {
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Removed) => {}
                Ok(found) if (found.len() as u64) < len => {
                    let why = format!("it exists with {} bytes, fewer than {len}", found.len());
                    return Err(found.mapping.error(Kind::BadInput, "open", why));
                }
                done => return done,
            }
            match self.create(key.clone(), len) {
                Err(error) if error.kind() == Kind::AlreadyExists => {}
                done => return done,
            }
        }
    }

    #[cold]
    fn create_failed(&self, key: &Key, len: u64, errno: Errno) -> Error {
        let error = FACILITY.failed("create", key, errno);
        match (errno, self.huge) {
            (Errno::NOMEM | Errno::NOSPC, Some(bytes)) => huge::explain(error, bytes),
            (Errno::INVAL, _) if BYTES.value().is_some_and(|limit| len > limit) => {
                error.with_kind(Kind::Limit).with_detail(BYTES.to_string())
            }
            (Errno::PERM, Some(_)) => {
                error.with_hint("huge pages are for root, or for the group in vm.hugetlb_shm_group")
            }
            _ => error,
        }
    }
}

/// What the kernel knows of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its size in bytes.
    pub len: u64,
    /// How many maps of it there are, in all processes.
    #[doc(alias = "shm_nattch")]
    pub attached: u64,
    /// Its permissions.
    pub mode: u32,
    /// Whether it was removed: it has no key any more, and goes with its last map.
    #[doc(alias = "SHM_DEST")]
    pub removed: bool,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The process that made it.
    pub creator: i32,
    /// The process that attached or detached it last; 0 for none.
    pub last: i32,
}

/// A region under a key.
#[derive(Debug)]
#[doc(alias = "shmget")]
pub struct SharedMemory {
    mapping: Arc<Mapping>,
    id: i32,
    temporary: bool,
}

impl SharedMemory {
    /// Makes a new one of `len` zero bytes for this user only; with [`Key::Private`], one that only its identifier names.
    ///
    /// # Errors
    /// As [`Options::create`].
    pub fn create(key: impl Into<Key>, len: u64) -> Result<Self> {
        Options::default().create(key, len)
    }

    /// Attaches one that exists, with the size it has, for reading and writing.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(key: impl Into<Key>) -> Result<Self> {
        Options::default().open(key)
    }

    /// Attaches the one that exists, or makes it.
    ///
    /// # Errors
    /// As [`Options::open_or_create`].
    pub fn open_or_create(key: impl Into<Key>, len: u64) -> Result<Self> {
        Options::default().open_or_create(key, len)
    }

    /// Removes one: its key at once, its memory when the last process has detached it.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied` for anybody but owner, creator and root.
    #[doc(alias = "IPC_RMID")]
    pub fn unlink(key: impl Into<Key>) -> Result<()> {
        let key = key.into();
        let id = find(&key, "remove")?;
        shm::remove(id).map_err(|errno| failed("remove", &key, errno))
    }

    fn attach(id: i32, key: &Key, options: &Options) -> Result<Self> {
        let read_only = options.access == Access::ReadOnly;
        let base = shm::attach(id, read_only).map_err(|errno| failed("attach", key, errno))?;
        // As long as we have it attached, its identifier cannot come to mean another one.
        let stat = match shm::stat(id) {
            Ok(stat) => stat,
            Err(errno) => {
                // SAFETY: attached above, nothing points into it.
                let _ = unsafe { shm::detach(base.as_ptr().cast()) };
                return Err(failed("inspect", key, errno));
            }
        };
        // SAFETY: `base` was attached above, to the segment that has this size, and is handed over.
        let mapping = unsafe {
            Mapping::attached(
                base,
                stat.shm_segsz,
                options.access,
                &FACILITY,
                key.name(id),
            )
        };
        Ok(SharedMemory {
            mapping: Arc::new(mapping),
            id,
            temporary: options.temporary,
        })
    }

    /// Its identifier, by which others can attach it without a key.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// What the kernel knows of it.
    ///
    /// # Errors
    /// What `shmctl(2)` says.
    #[doc(alias = "IPC_STAT")]
    pub fn stat(&self) -> Result<Stat> {
        let stat = shm::stat(self.id).map_err(|errno| self.mapping.failed("inspect", errno))?;
        Ok(Stat {
            len: stat.shm_segsz as u64,
            #[allow(clippy::useless_conversion)] // 32 bits on some machines
            attached: stat.shm_nattch.into(),
            mode: u32::from(stat.shm_perm.mode) & 0o777,
            removed: u32::from(stat.shm_perm.mode) & SHM_DEST.cast_unsigned() != 0,
            uid: stat.shm_perm.uid,
            gid: stat.shm_perm.gid,
            creator: stat.shm_cpid,
            last: stat.shm_lpid,
        })
    }

    /// Removes it: its key at once, its memory when the last process has detached it.
    ///
    /// # Errors
    /// `PermissionDenied` for anybody but owner, creator and root; `Removed` when somebody did already.
    #[doc(alias = "IPC_RMID")]
    pub fn remove(&self) -> Result<()> {
        shm::remove(self.id).map_err(|errno| self.mapping.failed("remove", errno))
    }
}

impl Region for SharedMemory {
    #[inline]
    fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        if self.temporary {
            let _ = shm::remove(self.id);
        }
    }
}

/// In the mode of a segment that was removed (`linux/shm.h`).
const SHM_DEST: i32 = 0o1000;

fn number(key: &Key, action: &'static str) -> Result<Option<i32>> {
    key.number()
        .map_err(|cause| FACILITY.failed(action, key, cause))
}

fn find(key: &Key, action: &'static str) -> Result<i32> {
    match (key, number(key, action)?) {
        (Key::Id(id), _) => Ok(*id),
        (Key::Private, _) | (_, None) => Err(FACILITY.error(
            Kind::BadName,
            action,
            key,
            "a private one is found by its identifier only",
        )),
        (_, Some(number)) => shm::get(number, 0, 0).map_err(|errno| failed(action, key, errno)),
    }
}

#[cold]
fn failed(action: &'static str, key: &Key, errno: Errno) -> Error {
    match errno {
        Errno::INVAL => FACILITY.error(
            Kind::NotFound,
            action,
            key,
            "there is none with this identifier",
        ),
        errno => FACILITY.failed(action, key, errno),
    }
}
