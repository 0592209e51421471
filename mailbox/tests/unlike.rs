//! Unlike processors: this 64-bit program and a 32-bit ARM one exchange letters over one mapped file.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::mm::{MapFlags, ProtFlags};
use rustix::thread::futex;
use wigwag_mailbox::{Called, Doorbell, Fault, HEADER, Mailbox, Side, Word};

const PART: usize = 8192;
const PATIENCE: Duration = Duration::from_secs(30);

/// The bell of Linux, across processes.
struct Futex(Instant);

impl Doorbell for Futex {
    fn ring(&self, _: Side, flag: &Word) {
        futex::wake(flag, futex::Flags::empty(), u32::MAX >> 1).expect("wake");
    }

    fn wait(&self, _: Side, flag: &Word, seen: u32, _: u32) -> Called {
        let limit = rustix::time::Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        let _ = futex::wait(flag, futex::Flags::empty(), seen, Some(&limit));
        if self.0.elapsed() > PATIENCE {
            Called::GiveUp
        } else {
            Called::Again
        }
    }
}

struct Polls(Instant);

impl Doorbell for Polls {
    fn ring(&self, _: Side, _: &Word) {}

    fn wait(&self, _: Side, _: &Word, _: u32, _: u32) -> Called {
        std::thread::sleep(Duration::from_micros(20));
        if self.0.elapsed() > PATIENCE {
            Called::GiveUp
        } else {
            Called::Again
        }
    }
}

struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn mapped(path: &Path) -> *mut u8 {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .expect("make a file");
    file.set_len(2 * PART as u64).expect("size it");
    // SAFETY: a fresh mapping of the kernel's choice, kept until the process ends.
    let memory = unsafe {
        rustix::mm::mmap(
            std::ptr::null_mut(),
            2 * PART,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
            &file,
            0,
        )
    };
    memory.expect("map it").cast()
}

fn compiled(compiler: &str, package: &str, name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let output = Command::new(compiler)
        .args([
            "-std=gnu11",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-static",
            "-I",
        ])
        .arg(root.join("../include"))
        .arg("-o")
        .arg(&program)
        .arg(root.join("tests/echo.c"))
        .output()
        .unwrap_or_else(|error| {
            panic!("{compiler}: {error}; install the package {package} (./test does)")
        });
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    program
}

/// Posts letters of every size to `other`, and requires each back reversed.
fn exchange(name: &str, mut other: Command, bell: &impl Doorbell, polled: bool, word_size: &str) {
    let file =
        File(std::env::temp_dir().join(format!("wigwag-mailbox-{name}-{}", std::process::id())));
    let memory = mapped(&file.0);
    // SAFETY: two halves of a mapping that is never unmapped, touched only through mailboxes.
    let (to, from) = unsafe {
        (
            Mailbox::format(memory, PART, PART - HEADER).expect("a mailbox"),
            Mailbox::format(memory.add(PART), PART, PART - HEADER).expect("a mailbox"),
        )
    };
    other
        .arg(&file.0)
        .arg(if polled { "p" } else { "f" })
        .stderr(Stdio::piped());
    let mut child = Killed(
        other
            .spawn()
            .unwrap_or_else(|error| panic!("{other:?}: {error}; install qemu-user (./test does)")),
    );

    let mut buffer = vec![0; PART];
    let sizes = (0..70)
        .chain([1000, 4095, 4096, 8000, PART - HEADER])
        .cycle()
        .take(2000);
    for (turn, size) in sizes.enumerate() {
        let letter: Vec<u8> = (0..size).map(|at| (at * 31 + turn * 7) as u8).collect();
        let kind = turn as u32 * 2 + 1;
        to.post(kind, &letter, bell).expect("post");
        let got = from.fetch(&mut buffer, bell).expect("fetch");
        assert_eq!(
            (got.kind, got.length, got.number),
            (kind + 1, size, turn as u32 + 1)
        );
        assert!(
            letter.iter().rev().eq(&buffer[..size]),
            "letter {turn} of {size} bytes"
        );
    }
    to.post(0, b"", bell).expect("the end");
    let status = child.0.wait().expect("its end");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.0.stderr.take().expect("its words"), &mut said)
        .expect("its words");
    assert!(status.success(), "{said}");
    assert!(said.contains(&format!("word size {word_size}")), "{said}");
}

#[test]
fn a_32_bit_arm_program_and_this_one_exchange_letters_by_futex() {
    let program = compiled(
        "arm-linux-gnueabihf-gcc",
        "gcc-arm-linux-gnueabihf",
        "echo-arm-f",
    );
    let mut qemu = Command::new("qemu-arm");
    qemu.arg(program);
    exchange("arm-futex", qemu, &Futex(Instant::now()), false, "4");
}

#[test]
fn a_32_bit_arm_program_and_this_one_exchange_letters_by_polling() {
    let program = compiled(
        "arm-linux-gnueabihf-gcc",
        "gcc-arm-linux-gnueabihf",
        "echo-arm-p",
    );
    let mut qemu = Command::new("qemu-arm");
    qemu.arg(program);
    exchange("arm-polled", qemu, &Polls(Instant::now()), true, "4");
}

#[test]
fn a_native_c_program_and_this_one_exchange_letters_by_futex() {
    let program = compiled("cc", "gcc", "echo-native");
    exchange(
        "native",
        Command::new(program),
        &Futex(Instant::now()),
        false,
        &size_of::<usize>().to_string(),
    );
}

#[test]
fn rubbish_is_an_error_and_never_more() {
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut memory = vec![0_u64; 64];
    let size = memory.len() * 8;
    let start = memory.as_mut_ptr().cast::<u8>();
    // SAFETY: the memory outlives both, and this thread alone touches it.
    let mailbox = unsafe { Mailbox::format(start, size, 300) }.expect("a mailbox");
    let mut buffer = [0; 512];
    for _ in 0..20_000 {
        let at = next() as usize % size;
        // SAFETY: inside the memory; no reference to it lives.
        unsafe { start.add(at).write(next() as u8 & 3) };
        let _ = mailbox.try_post(1, &buffer[..next() as usize % 512], &Futex(Instant::now()));
        if let Ok(letter) = mailbox.try_fetch(&mut buffer, &Futex(Instant::now())) {
            assert!(letter.length <= 300);
        }
        // SAFETY: as for the first.
        let _ = unsafe { Mailbox::attach(start, size) };
    }
}

#[test]
fn memory_that_is_no_mailbox_is_refused() {
    let mut memory = vec![0_u64; 64];
    let start = memory.as_mut_ptr().cast::<u8>();
    // SAFETY: the memory outlives all of them, and this thread alone touches it.
    unsafe {
        assert_eq!(Mailbox::attach(start, 512).unwrap_err(), Fault::NotYet);
        assert_eq!(Mailbox::attach(start, 100).unwrap_err(), Fault::Memory);
        assert_eq!(Mailbox::format(start, 512, 512).unwrap_err(), Fault::Memory);
        assert_eq!(
            Mailbox::format(start.add(1), 500, 64).unwrap_err(),
            Fault::Memory
        );
        Mailbox::format(start, 512, 300).expect("a mailbox");
        assert_eq!(Mailbox::attach(start, 256).unwrap_err(), Fault::Memory);
        start.add(4).write(9);
        assert_eq!(Mailbox::attach(start, 512).unwrap_err(), Fault::Version(9));
    }
}
