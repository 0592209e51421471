//! Mapping: a stretch of another process's memory; the shared ones are known by device, inode and offset, not by address or path.

use std::io;

use super::text::{Words, decimal, hex, lines, unescape};
use super::{Device, FileId, Process, Scratch};

/// One line of `/proc/PID/maps`, still in the reader's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapLine<'a> {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// `rwxp` or `rwxs`.
    pub permissions: [u8; 4],
    /// Offset in the file.
    pub offset: u64,
    /// The file; all zero for anonymous private memory.
    pub file: FileId,
    /// Path or name as the kernel prints it, with its escapes; empty for anonymous memory.
    pub name: &'a [u8],
}

impl MapLine<'_> {
    /// Whether writes are seen by others that map the same.
    #[must_use]
    pub fn shared(&self) -> bool {
        self.permissions[3] == b's'
    }

    /// A copy that outlives the buffer.
    #[must_use]
    pub fn to_mapping(self) -> Mapping {
        let name = unescape(self.name);
        let (name, deleted) = match name.strip_suffix(b" (deleted)") {
            Some(name) => (name.into(), true),
            None => (name.into(), false),
        };
        let [read, write, execute, shared] = self.permissions;
        Mapping {
            start: self.start,
            end: self.end,
            readable: read == b'r',
            writable: write == b'w',
            executable: execute == b'x',
            shared: shared == b's',
            offset: self.offset,
            file: self.file,
            name,
            deleted,
        }
    }
}

/// A mapping of another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// May be read.
    pub readable: bool,
    /// May be written.
    pub writable: bool,
    /// May be executed.
    pub executable: bool,
    /// Writes are seen by others that map the same.
    pub shared: bool,
    /// Offset in the file.
    pub offset: u64,
    /// The file; anonymous shared memory has an inode of its own too, a System V segment its id.
    pub file: FileId,
    /// Path or name, without the mark of deletion.
    pub name: Box<[u8]>,
    /// The name is gone.
    pub deleted: bool,
}

impl Mapping {
    /// Offset in the file of an address inside the mapping: with the file, the identity of a shared futex.
    #[must_use]
    pub fn offset_of(&self, address: u64) -> Option<u64> {
        (self.start..self.end)
            .contains(&address)
            .then(|| self.offset + (address - self.start))
    }
}

impl Process {
    /// Hands each mapping to `each`, in ascending order, until it returns `false`.
    pub fn for_each_mapping(
        &self,
        scratch: &mut Scratch,
        mut each: impl FnMut(&MapLine<'_>) -> bool,
    ) -> io::Result<()> {
        for line in lines(scratch.read_all(self.dir(), "maps")?) {
            if let Some(line) = parse(line)
                && !each(&line)
            {
                break;
            }
        }
        Ok(())
    }

    /// The mappings that `keep` accepts, such as [`MapLine::shared`].
    pub fn mappings(
        &self,
        scratch: &mut Scratch,
        keep: impl Fn(&MapLine<'_>) -> bool,
    ) -> io::Result<Vec<Mapping>> {
        let mut mappings = Vec::new();
        self.for_each_mapping(scratch, |line| {
            if keep(line) {
                mappings.push(line.to_mapping());
            }
            true
        })?;
        Ok(mappings)
    }
}

/// `7f6e-7f70 rw-s 00001000 00:01 60    /SYSV00007b03 (deleted)`
fn parse(line: &[u8]) -> Option<MapLine<'_>> {
    let mut words = Words::new(line);
    let range = words.next()?;
    let dash = range.iter().position(|&byte| byte == b'-')?;
    let permissions = words.next()?.first_chunk().copied()?;
    let offset = hex(words.next()?)?;
    let device = words.next()?;
    let colon = device.iter().position(|&byte| byte == b':')?;
    let device = Device {
        major: hex(&device[..colon])?.try_into().ok()?,
        minor: hex(&device[colon + 1..])?.try_into().ok()?,
    };
    let ino = decimal(words.next()?)?;
    Some(MapLine {
        start: hex(&range[..dash])?,
        end: hex(&range[dash + 1..])?,
        permissions,
        offset,
        file: FileId { device, ino },
        name: words.rest(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_segment_is_known_by_inode_and_offset() {
        let line = parse(b"7f6e00000000-7f6e00002000 rw-s 00001000 00:01 60                         /SYSV00007b03 (deleted)").expect("a line");
        assert!(line.shared());
        let mapping = line.to_mapping();
        assert_eq!(
            (mapping.file.ino, &*mapping.name, mapping.deleted),
            (60, b"/SYSV00007b03".as_slice(), true)
        );
        assert_eq!(mapping.offset_of(0x7f6e_0000_0010), Some(0x1010));
        assert_eq!(mapping.offset_of(0x7f6e_0000_2000), None);
        assert_eq!(
            parse(b"7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0")
                .expect("a line")
                .name,
            b""
        );
    }
}
