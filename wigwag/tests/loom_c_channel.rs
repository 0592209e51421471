//! `wigwag_channel.h` under loom: the compiled header itself is one end of a modelled channel, and the Rust code, or the header again, the other.
//!
//! Each atomic access, fence and system call of the header is a call of this file, which makes it on the atomics of the
//! model. The weakenings `c-…` leave one of them out or take its ordering away.
#![cfg(loom)]
#![allow(clippy::unwrap_used)]

mod loom_ends;

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::sync::OnceLock;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use loom_ends::{Receives, Sends, a_sender_leaves, values_go_through};
use wigwag::pattern::channel::one_to_one::cursor::model::{
    Model, Side, clear_and_wake, sleep, wake,
};

/// `struct checker`.
#[repr(C)]
struct Checker {
    load: extern "C" fn(*const c_void, usize, c_int, *const c_char) -> u64,
    store: extern "C" fn(*mut c_void, usize, u64, c_int, *const c_char),
    change: extern "C" fn(c_char, *mut c_void, u64, c_int, *const c_char) -> u64,
    fence: extern "C" fn(c_int, *const c_char),
    wait: extern "C" fn(*mut u32, u32) -> c_long,
    wake: extern "C" fn(*mut u32),
    clear_and_wake: extern "C" fn(*mut u32),
    membarrier: extern "C" fn() -> c_long,
}

/// What is exported by `loom_c_channel/model.c`.
struct Header {
    memory: extern "C" fn() -> *mut c_void,
    end: extern "C" fn(*mut c_void, c_int, u64) -> *mut c_void,
    wait: extern "C" fn(*mut c_void) -> c_int,
    position: extern "C" fn(*const c_void) -> u64,
    advance: extern "C" fn(*mut c_void),
    free: extern "C" fn(*mut c_void),
}

/// The header, compiled and loaded.
fn header() -> &'static Header {
    static HEADER: OnceLock<Header> = OnceLock::new();
    HEADER.get_or_init(|| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
        let object = std::env::temp_dir().join(format!("wigwag-model-{}.so", std::process::id()));
        let compiled = std::process::Command::new("cc")
            .args([
                "-std=c11",
                "-O1",
                "-Wall",
                "-Wno-unused-value",
                "-shared",
                "-fPIC",
                "-pthread",
            ])
            .arg(format!("-I{root}../include"))
            .arg("-o")
            .arg(&object)
            .arg(format!("{root}tests/loom_c_channel/model.c"))
            .status()
            .expect("cc is missing: install the package gcc (./test does)");
        assert!(compiled.success(), "the header does not compile");
        let path = std::ffi::CString::new(object.to_str().unwrap()).unwrap();
        // SAFETY: the path ends with NUL; loading it runs no code of its own.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!library.is_null(), "dlopen {path:?}");
        std::fs::remove_file(object).unwrap();
        // SAFETY: the library is never closed; the functions have these types in C.
        unsafe {
            let find = |name: &CStr| {
                let found = libc::dlsym(library, name.as_ptr());
                assert!(!found.is_null(), "{name:?}");
                found
            };
            let begin: extern "C" fn(*const Checker) = std::mem::transmute(find(c"model_begin"));
            begin(&raw const CHECKER);
            Header {
                memory: std::mem::transmute(find(c"model_memory")),
                end: std::mem::transmute(find(c"model_end")),
                wait: std::mem::transmute(find(c"model_wait")),
                position: std::mem::transmute(find(c"model_position")),
                advance: std::mem::transmute(find(c"model_advance")),
                free: std::mem::transmute(find(c"model_free")),
            }
        }
    })
}

static CHECKER: Checker = Checker {
    load,
    store,
    change,
    fence: fences,
    wait: waits,
    wake: wakes,
    clear_and_wake: rings,
    membarrier,
};

thread_local! {
    /// Where the memory is that C has, and the model whose words these are. All threads of a model are one of the machine.
    static SHARED: Cell<Option<(usize, *const Model)>> = const { Cell::new(None) };
}

/// A word of the model.
enum Word {
    Short(*const AtomicU32),
    Long(*const AtomicU64),
    /// Nothing depends on its order.
    Plain,
}

/// What of the model lies where C sees it. The offsets are those of `struct wigwag_channel_memory`.
fn word(place: usize) -> Word {
    let (base, model) = SHARED.get().expect("a model");
    // SAFETY: the end of C that asks has it.
    let model = unsafe { &*model };
    let offset = place - base;
    let (role, field) = (offset / 128 % 2, offset % 128);
    match (offset / 256, field) {
        (1, 8) => Word::Short(model.life(role)),
        (1, 12) => Word::Short(model.careful(role)),
        (1, 32) => Word::Short(model.rings(role)),
        (2, 0) => Word::Long(model.position(role)),
        _ => Word::Plain,
    }
}

fn short(place: *mut u32) -> *const AtomicU32 {
    match word(place.addr()) {
        Word::Short(word) => word,
        _ => panic!("no word to sleep on"),
    }
}

fn mutated(what: &str) -> bool {
    std::env::var("WIGWAG_MUTATION").is_ok_and(|mutation| mutation == what)
}

fn order(number: c_int) -> Ordering {
    match number {
        0 => Ordering::Relaxed,
        2 => Ordering::Acquire,
        3 => Ordering::Release,
        4 => Ordering::AcqRel,
        5 => Ordering::SeqCst,
        _ => panic!("no such order"),
    }
}

fn is(function: *const c_char, name: &str) -> bool {
    // SAFETY: `__func__` of C.
    unsafe { CStr::from_ptr(function) }.to_bytes() == name.as_bytes()
}

extern "C" fn load(place: *const c_void, size: usize, by: c_int, _: *const c_char) -> u64 {
    // SAFETY: the words live as long as the model; plain ones are in the memory of C, where no two threads are at a time.
    unsafe {
        match (word(place.addr()), size) {
            (Word::Short(word), 4) => (*word).load(order(by)).into(),
            (Word::Long(_), 8) if mutated("c-observe") => match word(place.addr()) {
                Word::Long(word) => (*word).load(Ordering::Relaxed),
                _ => unreachable!(),
            },
            (Word::Long(word), 8) => (*word).load(order(by)),
            (Word::Plain, 4) => place.cast::<u32>().read().into(),
            (Word::Plain, 8) => place.cast::<u64>().read(),
            _ => panic!("a word of another length"),
        }
    }
}

extern "C" fn store(place: *mut c_void, size: usize, value: u64, by: c_int, _: *const c_char) {
    // SAFETY: as above.
    unsafe {
        match (word(place.addr()), size) {
            // Of the words it only stores that the peer must be careful.
            (Word::Short(_), 4) if mutated("c-careful") => {}
            (Word::Short(word), 4) => (*word).store(value as u32, order(by)),
            (Word::Long(word), 8) => {
                let by = if mutated("c-publish") { 0 } else { by };
                (*word).store(value, order(by));
            }
            (Word::Plain, 4) => place.cast::<u32>().write(value as u32),
            (Word::Plain, 8) => place.cast::<u64>().write(value),
            _ => panic!("a word of another length"),
        }
    }
}

extern "C" fn change(
    how: c_char,
    place: *mut c_void,
    value: u64,
    by: c_int,
    _: *const c_char,
) -> u64 {
    let Word::Short(word) = word(place.addr()) else {
        panic!("no word that is changed");
    };
    let (value, by) = (value as u32, order(by));
    // SAFETY: as above.
    let word = unsafe { &*word };
    match how as u8 {
        b'+' => word.fetch_add(value, by).into(),
        b'|' if mutated("c-mark") => word.load(Ordering::SeqCst).into(),
        b'|' => word.fetch_or(value, by).into(),
        b'&' => word.fetch_and(value, by).into(),
        _ => panic!("no such change"),
    }
}

extern "C" fn fences(by: c_int, function: *const c_char) {
    let left_out = is(function, "wigwag_channel_ring") && mutated("c-fence")
        || is(function, "wigwag_channel_wait") && mutated("c-mark-fence");
    if !left_out {
        fence(order(by));
    }
}

extern "C" fn waits(word: *mut u32, expected: u32) -> c_long {
    // SAFETY: as above.
    sleep(unsafe { &*short(word) }, expected);
    0
}

extern "C" fn wakes(word: *mut u32) {
    // SAFETY: as above.
    wake(unsafe { &*short(word) });
}

extern "C" fn rings(word: *mut u32) {
    if !mutated("c-ring") {
        // SAFETY: as above.
        clear_and_wake(unsafe { &*short(word) });
    }
}

extern "C" fn membarrier() -> c_long {
    if !mutated("c-membarrier") {
        fence(Ordering::SeqCst);
    }
    0
}

/// What C has of a channel.
struct Memory(*mut c_void);

impl Memory {
    /// The memory behind which the words of a model are.
    fn of(model: &Arc<Model>) -> Self {
        let memory = (header().memory)();
        assert!(!memory.is_null());
        SHARED.set(Some((memory.addr(), &raw const **model)));
        Memory(memory)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        SHARED.take();
        (header().free)(self.0);
    }
}

/// An end that the header serves.
struct CEnd {
    side: Side,
    end: *mut c_void,
}

// SAFETY: the threads of a model are one thread of the machine.
unsafe impl Send for CEnd {}

impl CEnd {
    /// In the place of a Rust one.
    fn of(side: Side, memory: &Memory, role: usize, capacity: u64) -> Self {
        // As wigwag_channel_sit does.
        side.model().careful(role).store(2, Ordering::SeqCst);
        let end = (header().end)(memory.0, role as c_int, capacity);
        assert!(!end.is_null());
        CEnd { side, end }
    }
}

impl Sends for CEnd {
    fn send(&mut self, value: u64) -> bool {
        let there = (header().wait)(self.end) == 0;
        if there {
            let slot = (header().position)(self.end);
            self.side.model().write(slot, value);
            (header().advance)(self.end);
        }
        there
    }
}

impl Receives for CEnd {
    fn recv(&mut self) -> Option<u64> {
        match (header().wait)(self.end) {
            0 => {
                let value = self.side.model().read((header().position)(self.end));
                (header().advance)(self.end);
                Some(value)
            }
            error => {
                assert_eq!(error, -libc::EPIPE);
                None
            }
        }
    }
}

impl Drop for CEnd {
    fn drop(&mut self) {
        (header().free)(self.end);
    }
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    header();
    loom_ends::check(model);
}

/// Both sleep: C because the ring is empty, Rust because it is full.
#[test]
fn c_receives_what_rust_sends() {
    check(|| {
        let (sender, receiver) = Model::pair(1);
        let memory = Memory::of(receiver.model());
        values_go_through(2, sender, CEnd::of(receiver, &memory, 1, 1));
    });
}

/// The same the other way round.
#[test]
fn rust_receives_what_c_sends() {
    check(|| {
        let (sender, receiver) = Model::pair(1);
        let memory = Memory::of(sender.model());
        values_go_through(2, CEnd::of(sender, &memory, 0, 1), receiver);
    });
}

/// C at both ends.
#[test]
fn c_receives_what_c_sends() {
    check(|| {
        let (sender, receiver) = Model::pair(1);
        let memory = Memory::of(sender.model());
        let sender = CEnd::of(sender, &memory, 0, 1);
        values_go_through(2, sender, CEnd::of(receiver, &memory, 1, 1));
    });
}

/// A Rust sender that becomes careless sees that C marks its word meanwhile, or is seen to be careless.
#[test]
fn rust_that_becomes_careless_forgets_no_c_receiver() {
    check(|| {
        let (sender, receiver) = Model::pair(2);
        let memory = Memory::of(receiver.model());
        let receiver = CEnd::of(receiver, &memory, 1, 2);
        values_go_through(2, sender.careful(true), receiver);
    });
}

/// C gets all that Rust sent before it learns that Rust has left; and it does learn that.
#[test]
fn c_learns_that_rust_has_left_after_its_values() {
    check(|| {
        let (sender, receiver) = Model::pair(2);
        let memory = Memory::of(receiver.model());
        a_sender_leaves(sender, CEnd::of(receiver, &memory, 1, 2));
    });
}
