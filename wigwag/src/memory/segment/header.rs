//! Header: the first bytes of a segment, which say whether a program may understand the rest.
//!
//! Fixed numbers, little or big endian as the machine is, never changed after the segment is ready; so they are
//! read once into a private copy and checked there. What does not match is refused: another type, another version
//! of this layout, another byte order, a libc or word size whose robust list our locks cannot join, ids counted in
//! another pid namespace, a boot that is over. A program of another word size is welcome where all agree on the layout: no
//! type with a `usize` in it, and no robust list.

use std::mem::offset_of;

use crate::error::Kind;
use crate::shared::{Death, Shared};
use crate::sys::holder::Holder;
use crate::sys::{process, robust};

/// Where the value begins; a page, so that its alignment is any type's.
pub(crate) const VALUE: usize = 4096;
/// Where the table of the gates begins: the number of records in 8 bytes, then the records, as far as there is room: its
/// [`Sort`](crate::shared::Sort) in the highest byte of 8 and the offset of its word in the others, then its path, cut off
/// or filled up with zeros. Only an observer reads it, and believes nothing.
pub(super) const GATES: usize = 1024;
/// Bytes of a record.
pub(super) const GATE: usize = 32;
/// Records that there is room for.
pub(super) const MOST_GATES: usize = (VALUE - GATES - 8) / GATE;
/// What a segment begins with.
const MAGIC: [u8; 8] = *b"wigwag\r\n";
/// Version of this header and of the gates' layouts.
const ABI: u32 = 1;
/// Reads differently on a machine of the other byte order.
const ORDER: u32 = 0x0102_0304;

/// How far the creator got. Zero is a memory that nobody has begun to use.
pub(super) const MAKING: u32 = 1;
pub(super) const READY: u32 = 2;

/// The first bytes of a segment.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Header {
    pub(super) magic: [u8; 8],
    pub(super) state: u32,
    abi: u32,
    /// Who makes or made it.
    pub(super) creator: u64,
    order: u32,
    word_size: u32,
    layout: u64,
    size: u64,
    /// From a lock's node to its word in libc's robust list; 0 for a segment without nodes.
    robust: i32,
    trusting: u32,
    pid_namespace: u64,
    boot: [u8; 16],
    type_name: [u8; 96],
}

pub(super) const STATE: usize = offset_of!(Header, state);
pub(super) const CREATOR: usize = offset_of!(Header, creator);
pub(super) const BYTES: usize = size_of::<Header>();
const _: () = assert!(BYTES == 176 && BYTES <= VALUE && STATE == 8 && CREATOR == 16);

/// What a segment holds, as its header says it.
pub(crate) struct Sort<'a> {
    /// Hash of what its bytes mean.
    pub(crate) layout: u64,
    /// How many bytes it has behind the header; `None` when each segment says it for itself.
    pub(crate) size: Option<u64>,
    /// What it is called.
    pub(crate) name: &'a str,
}

impl Sort<'_> {
    /// Of a segment that holds a `T`.
    pub(super) fn of<T: Shared>() -> Self {
        Sort {
            layout: T::LAYOUT.hash(),
            size: Some(size_of::<T>() as u64),
            name: std::any::type_name::<T>(),
        }
    }
}

/// What is to be done where `/proc` did not answer.
pub(super) fn hint_for_proc(error: &std::io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => {
            "close descriptors, or let the process have more (ulimit -n)"
        }
        _ => "mount /proc",
    }
}

/// What an answer that `/proc` did not give is.
fn unknown(error: &std::io::Error) -> Kind {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => Kind::Limit,
        _ => Kind::Unsupported,
    }
}

/// What was found at a name.
pub(super) enum Found {
    /// Nothing was written there yet.
    Blank,
    /// A creator began and did not finish.
    Unfinished,
    /// A segment.
    Ready,
    /// Something else.
    Foreign,
}

impl Header {
    /// The header of a new segment with `size` bytes of a sort, not yet ready.
    pub(super) fn new(
        sort: &Sort<'_>,
        size: u64,
        death: Death,
        trusting: bool,
    ) -> std::io::Result<Self> {
        let mut type_name = [0; 96];
        let name = sort.name.as_bytes();
        let len = name.len().min(type_name.len());
        type_name[..len].copy_from_slice(&name[..len]);
        Ok(Header {
            magic: MAGIC,
            state: MAKING,
            abi: ABI,
            creator: Holder::process().word(),
            order: ORDER,
            word_size: usize::BITS,
            layout: sort.layout,
            size,
            robust: match death {
                Death::Kernel => robust::OFFSET as i32,
                Death::Watched => 0,
            },
            trusting: trusting.into(),
            pid_namespace: process::pid_namespace()?,
            boot: process::boot_id()?,
            type_name,
        })
    }

    /// Its bytes.
    pub(super) fn to_bytes(self) -> [u8; BYTES] {
        // SAFETY: repr(C) of numbers and byte arrays, and their sizes add up to the whole: no padding.
        unsafe { std::mem::transmute(self) }
    }

    /// From bytes as they were found.
    pub(super) fn from_bytes(bytes: [u8; BYTES]) -> Self {
        // SAFETY: all bit patterns are valid in each field.
        unsafe { std::mem::transmute(bytes) }
    }

    /// What these bytes are, of an object that has `len` of them.
    pub(super) fn found(&self, len: u64) -> Found {
        match (self.magic, self.state) {
            _ if len == 0 => Found::Blank,
            (MAGIC, READY) => Found::Ready,
            (MAGIC, MAKING) => Found::Unfinished,
            _ => Found::Foreign,
        }
    }

    /// Whether nobody has written what it is; it may have a creator.
    pub(super) fn is_blank(&self) -> bool {
        self.magic == [0; 8] && self.state == 0
    }

    /// Whether this program may use a ready segment of `len` bytes as one of a sort; or why not, and what to change.
    pub(super) fn check(
        &self,
        sort: &Sort<'_>,
        len: u64,
        trusting: bool,
    ) -> Result<(), (Kind, String, &'static str)> {
        if self.abi != ABI || self.order != ORDER {
            let why = format!(
                "it has layout version {:#x}, byte order {:#x}; this program knows {ABI:#x}, {ORDER:#x}",
                self.abi, self.order
            );
            return Err((
                Kind::Unsupported,
                why,
                "build all its programs with one version of wigwag",
            ));
        }
        let other = self.word_size != usize::BITS;
        let known = matches!(self.word_size, 32 | 64);
        if other && (self.robust != 0 || !known) {
            let why = format!(
                "it was made by a {}-bit program and its locks are in robust lists, this one has {} bits",
                self.word_size,
                usize::BITS
            );
            return Err((
                Kind::Unsupported,
                why,
                "use programs of one word size, or create it with Death::Watched",
            ));
        }
        let size = sort.size.unwrap_or(self.size);
        if self.layout != sort.layout || self.size != size {
            let why = format!(
                "it holds another type{}: {} of {} bytes, layout {:016x}, and not {} of {} bytes, layout {:016x}",
                if other {
                    ", as a program of another word size counts"
                } else {
                    ""
                },
                self.type_name(),
                self.size,
                self.layout,
                sort.name,
                size,
                sort.layout
            );
            return Err((
                Kind::BadInput,
                why,
                "build all its programs from one declaration of the type, or remove the segment",
            ));
        }
        if len < (VALUE as u64).saturating_add(size) {
            let why = format!(
                "it was truncated to {len} bytes, of {}",
                (VALUE as u64).saturating_add(size)
            );
            return Err((Kind::Corrupt, why, "remove it and create it again"));
        }
        if self.robust != 0 && self.robust as isize != robust::OFFSET {
            let why = format!(
                "its locks join the robust list of a libc with offset {}, the one of this program has {}",
                self.robust,
                robust::OFFSET
            );
            return Err((
                Kind::Unsupported,
                why,
                "link all its programs with one libc, or create it with Death::Watched",
            ));
        }
        if self.robust != 0 && !robust::current().has_list() {
            let why =
                "the kernel has no robust list of this thread that our locks could join".to_owned();
            return Err((
                Kind::Unsupported,
                why,
                "use a thread that libc made, or create it with Death::Watched",
            ));
        }
        if (self.trusting != 0) != trusting {
            let [made, here] = [self.trusting != 0, trusting]
                .map(|yes| if yes { "trust" } else { "do not trust" });
            let why = format!(
                "its creator meant for programs that {made} each other, this one was told to {here} them"
            );
            return Err((
                Kind::BadInput,
                why,
                "open it with the trust it was created with",
            ));
        }
        match process::pid_namespace() {
            Ok(own) if own == self.pid_namespace => {}
            Ok(own) => {
                let why = format!(
                    "the owners of its locks are counted in pid namespace {}, this process is in {own}",
                    self.pid_namespace
                );
                return Err((
                    Kind::Unsupported,
                    why,
                    "start the containers with one pid namespace (docker: --pid, Kubernetes: shareProcessNamespace)",
                ));
            }
            Err(error) => {
                let why = format!("the pid namespace is unknown: {error}");
                return Err((unknown(&error), why, hint_for_proc(&error)));
            }
        }
        match process::boot_id() {
            Ok(boot) if boot == self.boot => Ok(()),
            Ok(_) => Err((
                Kind::Corrupt,
                "it is from an earlier boot, and nobody knows who held its locks".to_owned(),
                "copy what you need out of the file, remove it and create it again",
            )),
            Err(error) => {
                let why = format!("the boot is unknown: {error}");
                Err((unknown(&error), why, hint_for_proc(&error)))
            }
        }
    }

    /// How many bytes it says that it has behind the header.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The process that makes or made it.
    pub(super) fn creator_pid(&self) -> u32 {
        Holder::in_word(self.creator).map_or(0, Holder::id)
    }

    fn type_name(&self) -> String {
        let name = self.type_name.iter().take_while(|byte| **byte != 0);
        name.map(|byte| {
            if byte.is_ascii_graphic() || *byte == b' ' {
                char::from(*byte)
            } else {
                '?'
            }
        })
        .collect()
    }
}
