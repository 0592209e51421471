//! Key: which System V object is meant: by number, by identifier, or by a file that stands for a number.
//!
//! ```
//! use wigwag::Key;
//!
//! let by_number: Key = 0x1234.into();
//! let by_file = Key::file("/etc/passwd", b'w'); // ftok(3)
//! assert_ne!(by_number, by_file);
//! ```
//!
//! `sysvipc(7)`, `ftok(3)`

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::name::Name;
use crate::opening::Target;

/// Which System V object is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[doc(alias = "ftok")]
pub enum Key {
    /// None: a new object that only its identifier names.
    #[doc(alias = "IPC_PRIVATE")]
    Private,
    /// A number that the programs agreed on.
    Number(i32),
    /// The identifier of an object that exists, as `ipcs(1)` shows it.
    Id(i32),
    /// The number that `ftok(3)` makes of a file that exists and a project, which is any byte but 0.
    /// Two files can give the same number; a file that is made anew gives another.
    File(PathBuf, u8),
}

impl Key {
    /// The project when none is given.
    pub const PROJECT: u8 = 1;

    /// The number that a file and a project stand for.
    #[must_use]
    pub fn file(path: impl AsRef<Path>, project: u8) -> Self {
        Key::File(path.as_ref().to_owned(), project)
    }

    /// What a name of a System V facility means; a path with this project.
    pub(crate) fn of(name: &Name, project: u8) -> Self {
        match name {
            Name::Key(key) => Key::Number(*key),
            Name::Id(id) => Key::Id(*id),
            Name::Path(path) => Key::File(path.clone(), project),
            _ => Key::Private,
        }
    }

    /// What an address means, its option `project` with it.
    pub(crate) fn meant(target: &Target) -> Result<Self> {
        let bad = |why| Err(target.options.bad("project", why));
        match target.options.value::<u8>("project")? {
            Some(0) => bad("it is a number from 1 to 255"),
            Some(_) if !matches!(target.name, Name::Path(_)) => {
                bad("only a path has a project, a key is complete")
            }
            project => Ok(Key::of(&target.name, project.unwrap_or(Key::PROJECT))),
        }
    }

    /// What an object is called that was found by this key and has this identifier.
    pub(crate) fn name(&self, id: i32) -> Name {
        match self {
            Key::Private => Name::Id(id),
            Key::Number(number) => Name::Key(*number),
            Key::Id(id) => Name::Id(*id),
            Key::File(path, _) => Name::Path(path.clone()),
        }
    }

    /// The number for `shmget`, `semget` and `msgget`; `None` when there is an identifier already.
    pub(crate) fn number(&self) -> io::Result<Option<i32>> {
        Ok(match self {
            Key::Private => Some(0),
            Key::Number(key) => Some(*key),
            Key::Id(_) => None,
            Key::File(path, project) => {
                let file = std::fs::metadata(path)?;
                // The formula of glibc and musl, so that C programs find the same object.
                let number =
                    file.ino() & 0xFFFF | (file.dev() & 0xFF) << 16 | u64::from(*project) << 24;
                Some((number as u32).cast_signed())
            }
        })
    }
}

impl From<i32> for Key {
    /// 0 is `IPC_PRIVATE`.
    fn from(number: i32) -> Self {
        match number {
            0 => Key::Private,
            number => Key::Number(number),
        }
    }
}

impl From<&Path> for Key {
    /// With project 1.
    fn from(path: &Path) -> Self {
        Key::file(path, Key::PROJECT)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Private => Ok(()),
            Key::Number(key) => write!(f, "{key:#x}"),
            Key::Id(id) => write!(f, "#{id}"),
            Key::File(path, _) => write!(f, "{}", path.display()),
        }
    }
}
