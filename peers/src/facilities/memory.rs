//! Memory: a region opened, mapped and given back; and bytes copied in and out.

use std::ffi::CStr;
use std::ptr;

use wigwag::memory::{Region, anonymous, file, memfd, posix, sysv};

use super::{Case, MUST, bare, c_name, failed, unique};
use crate::duel::{Effort, duel};
use crate::row::Row;

/// The comparisons.
pub const CASES: &[Case] = &[
    ("shm: open, map, unmap 64 KiB", shm),
    ("sysv-shm: attach, detach 64 KiB", sysv_shm),
    ("file: open, map, unmap 64 KiB", mapped_file),
    ("memfd: make, map, unmap 64 KiB", make_memfd),
    ("anon: map, unmap 64 KiB", anon),
    ("memory: copy 4 KiB in and out", copy),
    ("memory: copy 64 B in and out", copy_small),
];

const LEN: usize = 64 << 10;

/// Maps what a descriptor is of, as long as it is, gives it back, and closes it.
fn map_and_back(fd: libc::c_int) -> wigwag::Result<()> {
    // SAFETY: a stat of zeroes is valid, fstat fills it; a new mapping of the kernel's choice is unmapped as it was
    // made; the descriptor is ours to close.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        bare(libc::fstat(fd, &raw mut stat))?;
        map(fd, stat.st_size as usize, libc::MAP_SHARED)?;
        bare(libc::close(fd))?;
    }
    Ok(())
}

fn map(fd: libc::c_int, len: usize, flags: libc::c_int) -> wigwag::Result<()> {
    // SAFETY: a new mapping of the kernel's choice, unmapped as it was made.
    unsafe {
        let pages = libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            fd,
            0,
        );
        if pages == libc::MAP_FAILED {
            return Err(failed());
        }
        bare(libc::munmap(pages, len))?;
    }
    Ok(())
}

fn shm(effort: Effort, name: &str) -> wigwag::Result<Row> {
    let path = format!("/{}", unique("shm"));
    let _kept = posix::Options::new()
        .temporary(true)
        .create(&path, LEN as u64)?;
    let c_path = c_name(&path);
    duel(
        effort,
        name,
        "shm_open(3), fstat(2), mmap(2), munmap(2), close(2)",
        MUST,
        || posix::SharedMemory::open(&path).map(drop),
        || {
            // SAFETY: the name ends with NUL.
            map_and_back(bare(unsafe {
                libc::shm_open(c_path.as_ptr(), libc::O_RDWR, 0)
            })?)
        },
    )
}

fn sysv_shm(effort: Effort, name: &str) -> wigwag::Result<Row> {
    let key = 0x7177_0000 | (std::process::id() as i32 & 0xffff);
    let _kept = sysv::Options::new()
        .temporary(true)
        .create(key, LEN as u64)?;
    duel(
        effort,
        name,
        "shmget(2), shmctl(2), shmat(2), shmdt(2)",
        MUST,
        || sysv::SharedMemory::open(key).map(drop),
        || {
            // SAFETY: shmctl fills the structure; the attachment is detached as it was made.
            unsafe {
                let id = bare(libc::shmget(key, 0, 0))?;
                let mut stat: libc::shmid_ds = std::mem::zeroed();
                bare(libc::shmctl(id, libc::IPC_STAT, &raw mut stat))?;
                let pages = libc::shmat(id, ptr::null(), 0);
                if pages as isize == -1 {
                    return Err(failed());
                }
                bare(libc::shmdt(pages))?;
            }
            Ok(())
        },
    )
}

fn mapped_file(effort: Effort, name: &str) -> wigwag::Result<Row> {
    let path = std::env::temp_dir().join(unique("file"));
    let _kept = file::Options::new()
        .temporary(true)
        .create(&path, LEN as u64)?;
    let c_path = c_name(&path.to_string_lossy());
    duel(
        effort,
        name,
        "open(2), fstat(2), mmap(2), munmap(2), close(2)",
        MUST,
        || file::MappedFile::open(&path).map(drop),
        || {
            // SAFETY: the path ends with NUL.
            map_and_back(bare(unsafe {
                libc::open(c_path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC)
            })?)
        },
    )
}

fn make_memfd(effort: Effort, name: &str) -> wigwag::Result<Row> {
    const LABEL: &CStr = c"peers";
    duel(
        effort,
        name,
        "memfd_create(2), fallocate(2), fcntl(2), mmap(2), munmap(2), close(2)",
        MUST,
        || memfd::Memfd::create("peers", LEN as u64).map(drop),
        || {
            // SAFETY: the label ends with NUL; the descriptor is ours to close.
            unsafe {
                let fd = bare(libc::memfd_create(
                    LABEL.as_ptr(),
                    libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
                ))?;
                bare(libc::fallocate(fd, 0, 0, LEN as i64))?;
                let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
                bare(libc::fcntl(fd, libc::F_ADD_SEALS, seals))?;
                map(fd, LEN, libc::MAP_SHARED)?;
                bare(libc::close(fd))?;
            }
            Ok(())
        },
    )
}

fn anon(effort: Effort, name: &str) -> wigwag::Result<Row> {
    duel(
        effort,
        name,
        "mmap(2), munmap(2)",
        MUST,
        || anonymous::Anonymous::create(LEN as u64).map(drop),
        || map(-1, LEN, libc::MAP_SHARED | libc::MAP_ANONYMOUS),
    )
}

fn copy(effort: Effort, name: &str) -> wigwag::Result<Row> {
    copied::<4096>(effort, name)
}

fn copy_small(effort: Effort, name: &str) -> wigwag::Result<Row> {
    copied::<64>(effort, name)
}

fn copied<const SIZE: usize>(effort: Effort, name: &str) -> wigwag::Result<Row> {
    let region = memfd::Memfd::create("peers", LEN as u64)?;
    let mut bare_pages = vec![0_u8; LEN];
    let (mut ours, mut theirs) = ([7_u8; SIZE], [7_u8; SIZE]);
    let pages = bare_pages.as_mut_ptr();
    duel(
        effort,
        name,
        "memcpy(3)",
        MUST,
        || {
            region.write_at(SIZE, &ours)?;
            region.read_at(SIZE, &mut ours)
        },
        || {
            // SAFETY: both are live and as long as is copied; they do not overlap.
            unsafe {
                libc::memcpy(
                    pages.add(SIZE).cast(),
                    theirs.as_ptr().cast(),
                    std::hint::black_box(SIZE),
                );
                libc::memcpy(
                    theirs.as_mut_ptr().cast(),
                    pages.add(SIZE).cast(),
                    std::hint::black_box(SIZE),
                );
            }
            std::hint::black_box(&theirs);
            Ok(())
        },
    )
}
