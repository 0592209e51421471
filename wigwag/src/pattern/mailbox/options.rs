//! Options of a mailbox: how long a letter may be, for whom, and where it lies.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use wigwag_mailbox::{HEADER, size_for};

use super::{FACILITY, Mailbox};
use crate::error::{Kind, Result};
use crate::memory::memfd::Memfd;
use crate::memory::{Region, file, posix};
use crate::name::Name;

/// Bytes of a letter unless told otherwise: with the header they fill the smallest page.
pub(super) const MAX_LEN: usize = 4096 - HEADER;

/// How a mailbox is made or opened.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Options {
    max_len: Option<usize>,
    mode: Option<u32>,
    temporary: bool,
}

impl Options {
    /// The defaults: letters of up to 3968 bytes, for this user only, kept.
    pub fn new() -> Self {
        Options::default()
    }

    /// Bytes of the longest letter; rounded up to a multiple of 4.
    pub fn max_len(mut self, bytes: usize) -> Self {
        self.max_len = Some(bytes);
        self
    }

    /// Who else may use a new one: exactly this mode, whatever the umask. Otherwise 0600, less the umask. Either side must
    /// be allowed to read and to write.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Whether the name goes when the last handle from here is dropped. If the process is killed first, it stays.
    pub fn temporary(mut self, temporary: bool) -> Self {
        self.temporary = temporary;
        self
    }

    /// Makes a new, empty one. It is whole before it has its name: a creator that is killed leaves nothing.
    ///
    /// # Errors
    /// `AlreadyExists`; `Limit` when there is no room; `TooBig` from 4 GiB; `BadName`; `PermissionDenied`.
    #[doc(alias = "shm_open")]
    pub fn create(&self, name: impl AsRef<OsStr>) -> Result<Mailbox> {
        self.create_named(&parse(name.as_ref())?)
    }

    /// Opens one that exists, made by whatever program.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`; `Corrupt` when it is no mailbox, or truncated; `Unsupported` when it has another
    /// version of the layout.
    #[doc(alias = "shm_open")]
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<Mailbox> {
        self.open_named(&parse(name.as_ref())?)
    }

    /// Opens the one that exists, or makes it.
    ///
    /// # Errors
    /// Those of both; `AlreadyExists` when it exists for letters of another length than asked for.
    pub fn open_or_create(&self, name: impl AsRef<OsStr>) -> Result<Mailbox> {
        self.open_or_create_named(&parse(name.as_ref())?)
    }

    /// Makes one without a name, to be inherited or passed as a descriptor; sealed, so that nobody can take its pages away.
    ///
    /// # Errors
    /// `Limit` when there is no room; `TooBig` from 4 GiB.
    #[doc(alias = "memfd_create")]
    pub fn anonymous(&self) -> Result<Mailbox> {
        let (header, len) = self.image(&Name::None)?;
        let region = Memfd::create("wigwag-mailbox", len)
            .and_then(|region| region.write_at(0, &header).map(|()| region))
            .map_err(|error| error.with_noun(FACILITY.noun))?;
        Mailbox::attach(Box::new(region), Name::None)
    }

    pub(super) fn create_named(&self, name: &Name) -> Result<Mailbox> {
        let (header, len) = self.image(name)?;
        let region: Result<Box<dyn Region>> = match name {
            Name::Path(path) => self
                .file()
                .create_holding(path, len, &header)
                .map(|file| Box::new(file) as Box<dyn Region>),
            name => self
                .memory()
                .create_holding(name.clone(), len, &header)
                .map(|memory| Box::new(memory) as Box<dyn Region>),
        };
        let region = region.map_err(|error| error.with_noun(FACILITY.noun))?;
        Mailbox::attach(region, name.clone())
    }

    pub(super) fn open_named(&self, name: &Name) -> Result<Mailbox> {
        let region: Result<Box<dyn Region>> = match name {
            Name::Path(path) => self
                .file()
                .open(path)
                .map(|file| Box::new(file) as Box<dyn Region>),
            name => self
                .memory()
                .open_named(name.clone())
                .map(|memory| Box::new(memory) as Box<dyn Region>),
        };
        let region = region.map_err(|error| error.with_noun(FACILITY.noun))?;
        Mailbox::attach(region, name.clone())
    }

    pub(super) fn open_or_create_named(&self, name: &Name) -> Result<Mailbox> {
        loop {
            match self.open_named(name) {
                Err(error) if error.kind() == Kind::NotFound => {}
                Ok(found) => return self.as_asked(found, name),
                Err(error) => return Err(error),
            }
            match self.create_named(name) {
                // Somebody was faster: theirs is opened, unless it is gone again by then.
                Err(error) if error.kind() == Kind::AlreadyExists => {}
                done => return done,
            }
        }
    }

    /// One that existed must take the letters that were asked for.
    fn as_asked(&self, found: Mailbox, name: &Name) -> Result<Mailbox> {
        let rounded = self.max_len.map(|len| len.next_multiple_of(4));
        if rounded.is_none_or(|len| len == found.max_len()) {
            return Ok(found);
        }
        let why = format!("it exists for letters of up to {} bytes", found.max_len());
        Err(FACILITY.error(Kind::AlreadyExists, "create", name, why))
    }

    /// The first bytes of an empty mailbox, and how many it has in all.
    fn image(&self, name: &Name) -> Result<([u8; HEADER], u64)> {
        let max_len = self.max_len.unwrap_or(MAX_LEN);
        let Some(header) = wigwag_mailbox::header(max_len) else {
            let why = format!("a letter of {max_len} bytes is too long, 32 bits count them");
            return Err(FACILITY.error(Kind::TooBig, "create", name, why));
        };
        Ok((header, size_for(max_len) as u64))
    }

    fn memory(&self) -> posix::Options {
        let options = posix::Options::new().temporary(self.temporary);
        match self.mode {
            Some(mode) => options.mode(mode),
            None => options,
        }
    }

    fn file(&self) -> file::Options {
        // A truncation is noticed by the pages that are gone.
        let options = file::Options::new()
            .temporary(self.temporary)
            .trust_size(true);
        match self.mode {
            Some(mode) => options.mode(mode),
            None => options,
        }
    }
}

pub(super) fn parse(name: &OsStr) -> Result<Name> {
    Name::parse(&FACILITY, name.as_bytes())
}
