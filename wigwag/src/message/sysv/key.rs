//! Key: the 32-bit number that names a System V queue, chosen or derived from a file.

use std::path::{Path, PathBuf};

use super::FACILITY;
use crate::error::{Kind, Result};
use crate::name::Name;
use crate::sys::msg;

/// The key of a System V object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// A number, not 0.
    Number(i32),
    /// Derived from a file that exists, and a project number. Different files can give the same
    /// key, and a file that is replaced gives another: all who use it must see the same file.
    #[doc(alias = "ftok")]
    Path(PathBuf, u8),
}

impl From<i32> for Key {
    fn from(number: i32) -> Self {
        Key::Number(number)
    }
}

impl From<&Path> for Key {
    /// With project 1.
    fn from(path: &Path) -> Self {
        Key::Path(path.to_owned(), 1)
    }
}

impl Key {
    /// The number, for `msgget(2)`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the path leads to no file; [`Kind::BadInput`] for number or project 0.
    pub fn number(&self) -> Result<i32> {
        let name = self.name();
        let bad = |why| FACILITY.error(Kind::BadName, "name", &name, why);
        match self {
            Key::Number(0) => Err(bad("key 0 is IPC_PRIVATE, which names nothing")),
            Key::Number(number) => Ok(*number),
            Key::Path(_, 0) => Err(bad("a project is a number from 1 to 255")),
            Key::Path(path, project) => msg::key_of(path, *project)
                .map_err(|errno| FACILITY.failed("derive a key from the path of", &name, errno)),
        }
    }

    pub(super) fn name(&self) -> Name {
        match self {
            Key::Number(number) => Name::Key(*number),
            Key::Path(path, _) => Name::Path(path.clone()),
        }
    }
}
