//! Made name: the path of a socket that we make, removed when we end.

use std::cell::Cell;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use wigwag::facility::Naming;
use wigwag::{Kind, Role, catalog};

use crate::arguments::Object;
use crate::failure::Failure;

/// The path of a socket that we make, removed when we end, on whatever way: also while a peer is
/// waited for, when nobody but us is behind it.
#[derive(Debug)]
pub(crate) struct MadeName {
    path: Option<PathBuf>,
    /// What was there before is not ours.
    before: Option<(u64, u64)>,
    of_another: Cell<bool>,
}

impl MadeName {
    /// That of an object about to be opened; none when we do not make it, or it makes none.
    pub(crate) fn of(object: &Object, role: Role) -> Self {
        let made = role == Role::Serve && object.facility.naming == Naming::Socket;
        let path = made
            .then(|| catalog::resolve(&object.address).ok())
            .flatten()
            .and_then(|resolved| resolved.target.name.as_path().map(Path::to_owned));
        MadeName {
            before: path.as_deref().and_then(socket_at),
            path,
            of_another: Cell::new(false),
        }
    }

    /// It is not ours when opening failed because another process was faster.
    pub(crate) fn unless(&self, failure: &Failure) {
        if let Failure::Library(error) = failure
            && error.kind() == Kind::AlreadyExists
        {
            self.of_another.set(true);
        }
    }
}

impl Drop for MadeName {
    fn drop(&mut self) {
        let Some(path) = &self.path else { return };
        let now = socket_at(path);
        if now.is_some() && now != self.before && !self.of_another.get() {
            // Removed by somebody else in this moment: as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Which socket is at a path.
fn socket_at(path: &Path) -> Option<(u64, u64)> {
    let file = std::fs::symlink_metadata(path).ok()?;
    file.file_type()
        .is_socket()
        .then(|| (file.dev(), file.ino()))
}
