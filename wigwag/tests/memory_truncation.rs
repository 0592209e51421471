//! A region that is truncated while it is used: an error for whoever uses it, never a crash, never silent loss.

#![allow(clippy::unwrap_used)] // what the tests share, too

mod process;

use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use process::{Directory, hear, part, play, say, unique};
use wigwag::Kind;
use wigwag::memory::file::{self, MappedFile};
use wigwag::memory::memfd::{self, Memfd, Seals};
use wigwag::memory::posix::SharedMemory;
use wigwag::memory::{Mapping, Region};

const LEN: usize = 64 << 10;

/// Truncates and restores the file again and again until told to stop.
fn truncate_for_ever(path: &str) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    say("ready");
    let stop = std::thread::spawn(hear);
    let mut len = 0;
    while !stop.is_finished() {
        len = (len * 5 + 4099) % LEN as u64;
        file.set_len(len).unwrap();
        std::thread::yield_now();
        file.set_len(LEN as u64).unwrap();
    }
    file.set_len(0).unwrap();
    say("gone");
    hear();
}

/// Reads and writes all over while a peer does that; only success and `Corrupt` may come out, and at last the latter.
fn survives(test: &str, path: &str, region: &impl Region) {
    let mut child = play(test, "truncate", &[("PATH", path)]).start();
    child.says("ready");
    let (mut good, mut bad) = (0_u32, 0_u32);
    let mut bytes = vec![1; 9000];
    let end = Instant::now() + Duration::from_millis(400);
    let mut at = 0;
    while Instant::now() < end || good == 0 {
        at = (at * 13 + 4093) % (LEN - bytes.len());
        let len = [1, 8, 700, 9000][at % 4];
        let results = [
            region.read_at(at, &mut bytes[..len]),
            region.write_at(at, &bytes[..len]),
        ];
        for result in results {
            match result {
                Ok(()) => good += 1,
                Err(error) => {
                    // "a page could not be had" when the peer had restored it before we asked for the size.
                    assert!(
                        matches!(error.kind(), Kind::Corrupt | Kind::Limit),
                        "{error}"
                    );
                    bad += 1;
                }
            }
        }
    }
    assert!(good > 0);
    child.tell("stop");
    child.says("gone");
    let error = region.read_at(LEN - 8, &mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(
        error
            .to_string()
            .contains("truncated it to 0 bytes; bytes 65528 to 65536 are gone"),
        "{error}"
    );
    assert_eq!(
        region.write_at(0, &[1; 3]).unwrap_err().kind(),
        Kind::Corrupt
    );
    child.tell("end");
    child.succeeds();
    println!("{good} good, {bad} refused");
}

#[test]
fn a_truncated_file_is_an_error_and_not_a_crash() {
    if part().is_some() {
        return truncate_for_ever(&process::argument("PATH"));
    }
    let test = "a_truncated_file_is_an_error_and_not_a_crash";
    let directory = Directory::new();
    let path = directory.file("table");
    let region = MappedFile::create(&path, LEN as u64).unwrap();
    survives(test, path.to_str().unwrap(), &region);
    assert_eq!(region.flush().unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn a_truncated_file_whose_size_is_trusted_is_no_crash_either() {
    if part().is_some() {
        return truncate_for_ever(&process::argument("PATH"));
    }
    let test = "a_truncated_file_whose_size_is_trusted_is_no_crash_either";
    let directory = Directory::new();
    let path = directory.file("table");
    let region = file::Options::new()
        .trust_size(true)
        .create(&path, LEN as u64)
        .unwrap();
    survives(test, path.to_str().unwrap(), &region);
}

#[test]
fn truncated_posix_memory_is_an_error_and_not_a_crash() {
    if part().is_some() {
        return truncate_for_ever(&process::argument("PATH"));
    }
    let test = "truncated_posix_memory_is_an_error_and_not_a_crash";
    let name = format!("/{}", unique("truncated"));
    let region = SharedMemory::create(&name, LEN as u64).unwrap();
    survives(test, &format!("/dev/shm{name}"), &region);
    SharedMemory::unlink(&name).unwrap();
}

#[test]
fn an_unsealed_memfd_is_an_error_and_a_sealed_one_cannot_be_truncated() {
    if part().is_some() {
        return truncate_for_ever(&process::argument("PATH"));
    }
    let test = "an_unsealed_memfd_is_an_error_and_a_sealed_one_cannot_be_truncated";
    let path = |memfd: &Memfd| {
        let number = std::os::fd::AsRawFd::as_raw_fd(&memfd.as_fd());
        format!("/proc/{}/fd/{number}", std::process::id())
    };
    let open = memfd::Options::new()
        .seals(Seals::NONE)
        .create("open", LEN as u64)
        .unwrap();
    survives(test, &path(&open), &open);
    let sealed = Memfd::create("sealed", LEN as u64).unwrap();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(path(&sealed))
        .unwrap();
    for len in [0, LEN as u64 - 1, LEN as u64 + 1] {
        let refused = file.set_len(len).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    }
    sealed.write_at(0, &vec![3; LEN]).unwrap();
}

#[test]
fn the_rest_of_the_last_page_is_not_lost_silently() {
    let directory = Directory::new();
    let path = directory.file("table");
    let region = MappedFile::create(&path, 4096).unwrap();
    let trusting = file::Options::new().trust_size(true).open(&path).unwrap();
    region.write_at(200, b"there").unwrap();
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(100)
        .unwrap();
    // No fault tells: the page is still there.
    let mut bytes = [7; 5];
    assert_eq!(
        region.read_at(200, &mut bytes).unwrap_err().kind(),
        Kind::Corrupt
    );
    let error = region.write_at(98, b"over").unwrap_err();
    assert!(
        error.to_string().contains("truncated it to 100 bytes"),
        "{error}"
    );
    region.write_at(96, b"in").unwrap();
    // Whoever trusts the size learns of it when he asks for his bytes to be kept.
    trusting.write_at(200, b"lost").unwrap();
    let error = trusting.flush().unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    trusting.flush_range(0, 100).unwrap();
}

#[test]
fn a_bus_error_of_somebody_else_still_ends_the_process() {
    if part().is_some() {
        // With our handler installed, a truncated page is touched by something that is not our copy.
        let region = memfd::Options::new()
            .seals(Seals::NONE)
            .create("ours", 4096)
            .unwrap();
        let object = rustix::fs::memfd_create("theirs", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        // SAFETY: a new mapping; the access is meant to fault.
        unsafe {
            use rustix::mm::{MapFlags, ProtFlags, mmap};
            let page = mmap(
                std::ptr::null_mut(),
                4096,
                ProtFlags::READ,
                MapFlags::SHARED,
                &object,
                0,
            );
            let page: *const u8 = page.unwrap().cast();
            rustix::fs::ftruncate(&region, 0).unwrap();
            assert!(region.read_at(0, &mut [0]).is_err());
            say("touching");
            say(&format!("survived: {}", page.read_volatile()));
        }
        return;
    }
    let test = "a_bus_error_of_somebody_else_still_ends_the_process";
    let mut child = play(test, "touch", &[]).start();
    child.says("touching");
    assert_eq!(child.ends().signal(), Some(libc::SIGBUS));
}

#[test]
fn a_bus_signal_that_somebody_sends_has_its_old_effect() {
    if let Some(part) = part() {
        extern "C" fn theirs(_: libc::c_int) {
            say("theirs");
        }
        let before = match &part[..] {
            "theirs" => theirs as *const () as usize,
            // Rust's own handler, for overflowing stacks, takes a first signal for a fault.
            _ => libc::SIG_DFL,
        };
        // SAFETY: the handler only writes to standard error, in a thread that does nothing else.
        unsafe { libc::signal(libc::SIGBUS, before) };
        let _ours = memfd::Options::new()
            .seals(Seals::NONE)
            .create("ours", 4096)
            .unwrap();
        // SAFETY: takes a number.
        unsafe { libc::raise(libc::SIGBUS) };
        say("after");
        return;
    }
    let test = "a_bus_signal_that_somebody_sends_has_its_old_effect";
    let mut child = play(test, "theirs", &[]).start();
    child.says("theirs");
    child.says("after");
    child.succeeds();
    let mut child = play(test, "default", &[]).start();
    assert_eq!(child.ends().signal(), Some(libc::SIGBUS));
}

#[test]
fn many_threads_of_one_process_survive_at_once() {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    let region = memfd::Options::new()
        .seals(Seals::NONE)
        .create("many", LEN as u64)
        .unwrap();
    let mapping: &Mapping = region.mapping();
    let (refused, stop) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (refused, stop) = (&refused, &stop);
            scope.spawn(move || {
                let mut bytes = vec![0; 5000];
                let mut at = thread * 4096;
                while !stop.load(Ordering::Relaxed) {
                    at = (at + 977) % (LEN - 5000);
                    let read = mapping.read_at(at, &mut bytes);
                    if read.and_then(|()| mapping.write_at(at, &bytes)).is_err() {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for _ in 0..500 {
            rustix::fs::ftruncate(&region, 0).unwrap();
            rustix::fs::ftruncate(&region, LEN as u64).unwrap();
        }
        rustix::fs::ftruncate(&region, 0).unwrap();
        let before = refused.load(Ordering::Relaxed);
        process::eventually("all threads are refused", || {
            refused.load(Ordering::Relaxed) > before + 8
        });
        stop.store(true, Ordering::Relaxed);
    });
}
