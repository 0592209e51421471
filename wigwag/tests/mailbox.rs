//! Mailboxes between processes: every promise of `pattern::mailbox`, with a C program on the other end too.

mod process;
mod refusal;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::{Duration, Instant};

use process::{
    Directory, PATIENCE, alone, argument, become_nobody, compiled_by, hear, part, play, say,
    unique, unshared,
};
use refusal::{LONG, SHORT, refusal};
use rustix::event::{PollFd, PollFlags};
use wigwag::pattern::mailbox::{
    Bell, Eventfd, Fetcher, Function, Futex, Letter, Mailbox, Options, Polled, Poster, Side, Signal,
};
use wigwag::{Kind, Wait, signal};

/// A name in shared memory, removed at the end.
struct Name(String);

impl Name {
    fn new() -> Self {
        Name(format!("/{}", unique("mailbox")))
    }

    fn path(&self) -> String {
        format!("/dev/shm{}", self.0)
    }

    fn file(&self) -> std::fs::File {
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).open(self.path());
        file.expect("the object")
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = Mailbox::unlink(&self.0);
    }
}

/// A letter whose bytes tell which it is, of a length that changes.
fn letter(number: u32, most: usize) -> Vec<u8> {
    let len = number.wrapping_mul(2_654_435_761) as usize % (most + 1);
    (0..len)
        .map(|at| (at as u32 * 31 + number * 7) as u8)
        .collect()
}

fn take<B: Bell>(fetcher: &mut Fetcher<B>) -> (Letter, Vec<u8>) {
    let mut buffer = vec![0; fetcher.mailbox().max_len()];
    let letter = fetcher.fetch_timeout(&mut buffer, LONG).expect("a letter");
    buffer.truncate(letter.length);
    (letter, buffer)
}

#[test]
fn ten_thousand_letters_arrive_whole_once_and_in_order_both_ways() {
    let test = "ten_thousand_letters_arrive_whole_once_and_in_order_both_ways";
    const COUNT: u32 = 10_000;
    const MOST: usize = 500;
    if part().is_some() {
        let mut there = Mailbox::open(argument("THERE"))
            .expect("open")
            .fetcher()
            .expect("ours");
        let mut back = Mailbox::open(argument("BACK"))
            .expect("open")
            .poster()
            .expect("ours");
        for number in 0..COUNT {
            let (with, body) = take(&mut there);
            assert_eq!((with.kind, with.number), (number, number.wrapping_add(1)));
            assert_eq!(body, letter(number, MOST));
            let reversed: Vec<u8> = body.into_iter().rev().collect();
            back.post_with(number, &reversed, LONG.into())
                .expect("post");
        }
        return;
    }
    let (there, back) = (Name::new(), Name::new());
    let options = Options::new().max_len(MOST);
    let mut to = options
        .create(&there.0)
        .expect("create")
        .poster()
        .expect("ours");
    let mut from = options
        .create(&back.0)
        .expect("create")
        .fetcher()
        .expect("ours");
    let child = play(test, "echo", &[("THERE", &there.0), ("BACK", &back.0)]).start();
    for number in 0..COUNT {
        let body = letter(number, MOST);
        to.post_with(number, &body, LONG.into()).expect("post");
        let (with, mut answer) = take(&mut from);
        answer.reverse();
        assert_eq!((with.kind, answer), (number, body));
    }
    child.succeeds();
}

#[test]
fn one_way_every_letter_arrives_though_nobody_answers() {
    let test = "one_way_every_letter_arrives_though_nobody_answers";
    const COUNT: u32 = 10_000;
    if part().is_some() {
        let mut poster = Mailbox::open(argument("BOX"))
            .expect("open")
            .poster()
            .expect("ours");
        for number in 0..COUNT {
            poster
                .post_timeout(&letter(number, 100), LONG)
                .expect("post");
        }
        return;
    }
    let name = Name::new();
    let mailbox = Options::new().max_len(100).create(&name.0).expect("create");
    let mut fetcher = mailbox.fetcher().expect("ours");
    let child = play(test, "poster", &[("BOX", &name.0)]).start();
    for number in 0..COUNT {
        assert_eq!(take(&mut fetcher).1, letter(number, 100), "{number}");
    }
    refusal(
        fetcher.try_fetch(&mut [0; 100]),
        Kind::WouldBlock,
        "no letter",
    );
    child.succeeds();
}

#[test]
fn a_name_is_made_once_opened_by_all_and_removed_once() {
    let directory = Directory::new();
    let file = directory.file("box");
    let shared = Name::new();
    for name in [shared.0.as_str(), file.to_str().expect("text")] {
        refusal(Mailbox::open(name), Kind::NotFound, name);
        refusal(Mailbox::unlink(name), Kind::NotFound, "mailbox");
        let made = Options::new().max_len(61).create(name).expect("create");
        assert_eq!(made.max_len(), 64, "whole words");
        refusal(Mailbox::create(name), Kind::AlreadyExists, "mailbox");
        refusal(
            Options::new().max_len(8).open_or_create(name),
            Kind::AlreadyExists,
            "64 bytes",
        );
        let same = Options::new()
            .max_len(62)
            .open_or_create(name)
            .expect("the same");
        made.poster().expect("ours").post(b"x").expect("post");
        assert!(same.stat().expect("stat").full);
        Mailbox::unlink(name).expect("unlink");
        refusal(Mailbox::open(name), Kind::NotFound, name);
        // Those who have it open go on using it.
        assert_eq!(take(&mut same.fetcher().expect("ours")).1, b"x");
        drop(Options::new().temporary(true).create(name).expect("anew"));
        refusal(Mailbox::open(name), Kind::NotFound, name);
    }
    for odd in ["", "x", "/", "/..", "//x/"] {
        let error = Mailbox::open(odd).expect_err("no such name");
        assert!(
            matches!(error.kind(), Kind::BadName | Kind::NotFound),
            "{error}"
        );
    }
    refusal(
        Options::new().max_len(usize::MAX / 2).create("/x"),
        Kind::TooBig,
        if usize::BITS == 64 {
            "32 bits"
        } else {
            "an address space"
        },
    );
}

#[test]
fn one_posts_and_one_fetches_until_they_are_dropped_or_killed() {
    let test = "one_posts_and_one_fetches_until_they_are_dropped_or_killed";
    if part().is_some_and(|part| part == "both") {
        let mailbox = Mailbox::open(argument("BOX")).expect("open");
        let _parts = (
            mailbox.poster().expect("ours"),
            mailbox.fetcher().expect("ours"),
        );
        say("both");
        hear();
        return;
    }
    // A process that another test is about to start has copies of our claims for a moment.
    if !alone(test) {
        return;
    }
    let name = Name::new();
    let mailbox = Mailbox::create(&name.0).expect("create");
    let ours = (
        mailbox.poster().expect("ours"),
        mailbox.fetcher().expect("ours"),
    );
    refusal(mailbox.poster(), Kind::WouldBlock, "somebody else posts");
    let again = Mailbox::open(&name.0).expect("open");
    refusal(again.fetcher(), Kind::WouldBlock, "somebody else fetches");
    refusal(
        again.fetcher_with(Polled, SHORT.into()).map(drop),
        Kind::TimedOut,
        "somebody else fetches",
    );
    drop(ours);
    let mut child = play(test, "both", &[("BOX", &name.0)]).start();
    child.says("both");
    let stat = mailbox.stat().expect("stat");
    assert!(stat.poster && stat.fetcher && !stat.full);
    refusal(mailbox.poster(), Kind::WouldBlock, "somebody else posts");
    // Whoever waits for it has it when the process is dead.
    let waiting = std::thread::spawn(move || again.poster_with(Polled, Wait::Forever).map(drop));
    std::thread::sleep(SHORT);
    assert!(!waiting.is_finished());
    child.kill();
    waiting.join().expect("no panic").expect("the part");
    mailbox.fetcher().expect("ours");
    let stat = mailbox.stat().expect("stat");
    assert!(!stat.poster && !stat.fetcher);
}

#[test]
fn waiting_ends_at_its_limit_and_what_does_not_fit_is_refused_and_stays() {
    let mailbox = Options::new().max_len(8).anonymous().expect("create");
    let (mut poster, mut fetcher) = (
        mailbox.poster().expect("ours"),
        mailbox.fetcher().expect("ours"),
    );
    let start = Instant::now();
    refusal(
        fetcher.try_fetch(&mut [0; 8]),
        Kind::WouldBlock,
        "no letter",
    );
    refusal(
        fetcher.fetch_timeout(&mut [0; 8], SHORT),
        Kind::TimedOut,
        "no letter came",
    );
    refusal(fetcher.discard(), Kind::WouldBlock, "no letter");
    refusal(
        poster.post(b"123456789"),
        Kind::TooBig,
        "9 bytes, the longest has 8",
    );
    poster.post(b"12345678").expect("post");
    refusal(
        poster.try_post(b""),
        Kind::WouldBlock,
        "a letter lies in it",
    );
    refusal(
        poster.post_timeout(b"", SHORT),
        Kind::TimedOut,
        "nobody fetched",
    );
    assert!(start.elapsed() >= SHORT * 2);
    refusal(
        fetcher.fetch(&mut [0; 7]),
        Kind::TooBig,
        "7 bytes of the buffer",
    );
    let mut buffer = [0; 8];
    let peeked = fetcher.peek(&mut buffer).expect("it stays");
    assert_eq!(fetcher.fetch(&mut buffer).expect("fetch"), peeked);
    assert_eq!(&buffer, b"12345678");
}

#[test]
fn a_side_sleeps_until_it_is_woken() {
    let test = "a_side_sleeps_until_it_is_woken";
    if let Some(part) = part() {
        let mailbox = Mailbox::open(argument("BOX")).expect("open");
        if part == "fetcher" {
            let mut buffer = [0; 64];
            mailbox
                .fetcher()
                .expect("ours")
                .fetch(&mut buffer)
                .expect("fetch");
        } else {
            mailbox
                .poster_with(Futex, LONG.into())
                .expect("ours")
                .post(b"second")
                .expect("post");
        }
        return;
    }
    let name = Name::new();
    let mailbox = Mailbox::create(&name.0).expect("create");
    let child = play(test, "fetcher", &[("BOX", &name.0)]).start();
    child.sleeps_in(libc::SYS_futex);
    let mut poster = mailbox.poster().expect("ours");
    poster.post(b"first").expect("post");
    child.succeeds();
    poster.post(b"first").expect("post");
    drop(poster);
    let child = play(test, "poster", &[("BOX", &name.0)]).start();
    child.sleeps_in(libc::SYS_futex);
    let mut fetcher = mailbox.fetcher().expect("ours");
    assert_eq!(take(&mut fetcher).1, b"first");
    assert_eq!(take(&mut fetcher).1, b"second");
    child.succeeds();
}

#[test]
fn a_letter_that_was_peeked_at_by_one_who_died_comes_again() {
    let test = "a_letter_that_was_peeked_at_by_one_who_died_comes_again";
    if part().is_some() {
        let mut fetcher = Mailbox::open(argument("BOX"))
            .expect("open")
            .fetcher()
            .expect("ours");
        fetcher.peek(&mut [0; 64]).expect("a letter");
        say("seen");
        hear();
        return;
    }
    let name = Name::new();
    let mailbox = Mailbox::create(&name.0).expect("create");
    mailbox
        .poster()
        .expect("ours")
        .post_with(5, b"once", Wait::Not)
        .expect("post");
    let mut child = play(test, "peeks", &[("BOX", &name.0)]).start();
    child.says("seen");
    child.kill();
    let mut fetcher = mailbox.fetcher().expect("ours");
    let mut buffer = [0; 4];
    let letter = fetcher.peek(&mut buffer).expect("it is still there");
    assert_eq!((letter.number, letter.kind, &buffer), (1, 5, b"once"));
    fetcher.discard().expect("dealt with");
    refusal(fetcher.peek(&mut buffer), Kind::WouldBlock, "no letter");
}

/// Posters that are killed at any moment: what arrives is whole, and no number comes twice.
#[test]
fn a_poster_killed_at_any_moment_leaves_no_half_letter() {
    let test = "a_poster_killed_at_any_moment_leaves_no_half_letter";
    const LEN: usize = 3000;
    if part().is_some() {
        let mailbox = Mailbox::open(argument("BOX")).expect("open");
        let mut poster = mailbox.poster_with(Futex, Wait::Forever).expect("ours");
        say("posts");
        for byte in (0..=255_u8).cycle() {
            poster.post(&[byte; LEN]).expect("post");
        }
        return;
    }
    let name = Name::new();
    let mailbox = Mailbox::create(&name.0).expect("create");
    let mut fetcher = mailbox.fetcher().expect("ours");
    let mut last = 0;
    for round in 0..25_u64 {
        let mut child = play(test, "poster", &[("BOX", &name.0)]).start();
        child.says("posts");
        let end = Instant::now() + Duration::from_micros(300 + round * 731 % 4000);
        let mut killed = false;
        loop {
            let mut buffer = [0; LEN];
            match fetcher.fetch_timeout(
                &mut buffer,
                Duration::from_millis(if killed { 0 } else { 20 }),
            ) {
                Ok(letter) => {
                    assert_eq!(letter.length, LEN);
                    assert!(buffer.iter().all(|byte| *byte == buffer[0]), "torn");
                    assert!(letter.number > last, "{} after {last}", letter.number);
                    last = letter.number;
                }
                Err(error) => assert_eq!(error.kind(), Kind::TimedOut, "{error}"),
            }
            if killed {
                break;
            }
            if Instant::now() > end {
                child.kill();
                killed = true;
            }
        }
    }
    assert!(last > 25);
    mailbox
        .poster()
        .expect("it is free")
        .post(b"after all")
        .expect("post");
}

const ECHO: &str = r#"
#define WIGWAG_MAILBOX_FUTEX
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "wigwag_mailbox.h"

static int attached(wigwag_mailbox *box, const char *path) {
    struct stat st;
    int fd = open(path, O_RDWR);
    if (fd < 0 || fstat(fd, &st)) return -1;
    void *at = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return wigwag_mailbox_attach(box, at, st.st_size);
}

int main(int argc, char **argv) {
    wigwag_mailbox from, to;
    wigwag_letter letter;
    static unsigned char buffer[4096];
    if (argc != 4 || attached(&from, argv[1]) || attached(&to, argv[2])) return 2;
    for (int n = atoi(argv[3]); n; n--) {
        if (wigwag_mailbox_fetch(&from, buffer, sizeof buffer, &letter)) return 3;
        for (unsigned i = 0; i < letter.length; i++) buffer[i] ^= 0x55;
        if (wigwag_mailbox_post(&to, letter.kind + 1, buffer, letter.length)) return 4;
    }
    return 0;
}
"#;

#[test]
fn a_c_program_with_the_header_alone_exchanges_letters() {
    exchanges_letters("cc", "gcc", "-std=c11");
}

#[test]
fn a_cpp_program_with_the_header_alone_exchanges_letters() {
    exchanges_letters("c++", "g++", "-std=c++17");
}

fn exchanges_letters(compiler: &str, package: &str, standard: &str) {
    const COUNT: u32 = 2000;
    let directory = Directory::new();
    let include = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/../include");
    let strict = [
        standard,
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        include,
    ];
    let program = compiled_by(compiler, package, &directory, "echo", ECHO, &strict);
    let shared = Name::new();
    let file = directory.file("back");
    let mut to = Mailbox::create(&shared.0)
        .expect("create")
        .poster()
        .expect("ours");
    let mut from = Mailbox::create(&file)
        .expect("create")
        .fetcher()
        .expect("ours");
    let mut child = Command::new(program)
        .arg(shared.path())
        .arg(&file)
        .arg(COUNT.to_string())
        .spawn()
        .expect("start it");
    for number in 0..COUNT {
        let body = letter(number, 3968);
        to.post_with(number, &body, LONG.into()).expect("post");
        let (with, answer) = take(&mut from);
        let back: Vec<u8> = answer.iter().map(|byte| byte ^ 0x55).collect();
        assert_eq!((with.kind, back), (number + 1, body));
    }
    assert!(child.wait().expect("its end").success());
}

/// Sends this many letters to a child and gets each back, over mailboxes without names.
fn by_descriptors<B: Bell>(
    test: &str,
    bell: impl Fn(u32) -> B,
    more: &[(&str, &str)],
    inherit: &[&OwnedFd],
) {
    let mailboxes = [0, 1].map(|_| Options::new().max_len(32).anonymous().expect("create"));
    let objects = mailboxes
        .each_ref()
        .map(|mailbox| mailbox.as_fd().try_clone_to_owned().expect("a copy"));
    let mut numbers: Vec<i32> = Vec::new();
    for fd in objects.iter().chain(inherit.iter().copied()) {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()).expect("inheritable");
        numbers.push(fd.as_raw_fd());
    }
    let numbers: Vec<String> = numbers.iter().map(i32::to_string).collect();
    let numbers = numbers.join(",");
    let own = std::process::id().to_string();
    let told = [&[("FDS", numbers.as_str()), ("OTHER", own.as_str())], more].concat();
    let mut child = play(test, "echo", &told).start();
    let pid = child.pid().cast_unsigned();
    child.says("ready");
    let [there, back] = mailboxes;
    let mut poster = there.poster_with(bell(pid), Wait::Not).expect("ours");
    let mut fetcher = back.fetcher_with(bell(pid), Wait::Not).expect("ours");
    for number in 0..300_u32 {
        poster
            .post_with(number, &number.to_le_bytes(), LONG.into())
            .expect("post");
        if number % 50 == 0 {
            // Long enough that the other side sleeps.
            std::thread::sleep(Duration::from_millis(2));
        }
        let (with, body) = take(&mut fetcher);
        assert_eq!((with.kind, body), (number, number.to_le_bytes().to_vec()));
    }
    child.succeeds();
}

/// The descriptors that the child inherited, in order.
fn inherited() -> Vec<OwnedFd> {
    let duplicate = |number: &str| {
        let number: i32 = number.parse().expect("a number");
        // SAFETY: the test passed this descriptor, and nobody else in this process uses it.
        unsafe { std::os::fd::FromRawFd::from_raw_fd(number) }
    };
    argument("FDS").split(',').map(duplicate).collect()
}

fn echo<B: Bell>(mailboxes: [OwnedFd; 2], bell: impl Fn() -> B) {
    let [there, back] = mailboxes.map(|fd| Mailbox::from_fd(fd).expect("a mailbox"));
    let mut fetcher: Fetcher<B> = there.fetcher_with(bell(), Wait::Not).expect("ours");
    let mut poster: Poster<B> = back.poster_with(bell(), Wait::Not).expect("ours");
    say("ready");
    for _ in 0..300 {
        let (with, body) = take(&mut fetcher);
        poster
            .post_with(with.kind, &body, LONG.into())
            .expect("post");
    }
}

/// Both counters of a bell.
fn counters(bell: &Eventfd) -> [OwnedFd; 2] {
    [Side::Poster, Side::Fetcher].map(|side| {
        let descriptor = bell.descriptor(side);
        descriptor.try_clone_to_owned().expect("a copy")
    })
}

fn bell_of(counters: &[OwnedFd]) -> Eventfd {
    let copy = |at: usize| counters[at].try_clone().expect("a copy");
    Eventfd::from_fds(copy(0), copy(1)).expect("counters")
}

#[test]
fn the_bell_may_be_an_eventfd() {
    let test = "the_bell_may_be_an_eventfd";
    // One bell for each mailbox, taken in the order there, back.
    let next = std::sync::atomic::AtomicUsize::new(0);
    let bell = |counters: &[OwnedFd]| {
        let at = next.fetch_add(2, std::sync::atomic::Ordering::Relaxed);
        bell_of(&counters[at..])
    };
    if part().is_some() {
        let mut fds = inherited();
        let counters = fds.split_off(2);
        return echo(fds.try_into().expect("two"), || bell(&counters));
    }
    let made: Vec<OwnedFd> = (0..2)
        .flat_map(|_| counters(&Eventfd::new().expect("counters")))
        .collect();
    by_descriptors(test, |_| bell(&made), &[], &made.iter().collect::<Vec<_>>());
}

#[test]
fn an_eventfd_is_polled_beside_others() {
    let mailbox = Options::new().max_len(8).anonymous().expect("create");
    let bell = Eventfd::new().expect("counters");
    let theirs = bell_of(&counters(&bell));
    let mut fetcher = mailbox.fetcher_with(bell, Wait::Not).expect("ours");
    let mut poster = mailbox.poster_with(theirs, Wait::Not).expect("ours");
    assert!(!fetcher.listen().expect("whole"), "nothing is there");
    poster.post(b"ring").expect("post");
    let descriptor = fetcher.bell().descriptor(Side::Fetcher);
    let mut fds = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    let ready = rustix::event::poll(&mut fds, Some(&LONG.try_into().expect("a time")));
    assert_eq!(ready, Ok(1));
    fetcher.bell().clear(Side::Fetcher).expect("silent");
    assert!(
        fetcher.listen().expect("whole"),
        "it is there, no bell will come"
    );
    assert!(!poster.listen().expect("whole"), "it is full");
    fetcher.fetch(&mut [0; 8]).expect("fetch");
    let descriptor = poster.bell().descriptor(Side::Poster);
    let mut fds = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    assert_eq!(
        rustix::event::poll(&mut fds, Some(&LONG.try_into().expect("a time"))),
        Ok(1)
    );
}

#[test]
fn the_bell_may_be_a_signal() {
    let test = "the_bell_may_be_a_signal";
    let which = signal::Signal::realtime(4).expect("one");
    if let Some(part) = part() {
        if part == "alone" {
            signal::Mask::block(which).expect("block").keep();
            return by_descriptors(
                test,
                |pid| Signal::new(which, pid).expect("a bell"),
                &[],
                &[],
            );
        }
        let other: u32 = argument("OTHER").parse().expect("a number");
        return echo(inherited().try_into().expect("two"), || {
            Signal::new(which, other).expect("a bell")
        });
    }
    // All threads of both processes must block it from the start: they inherit the mask.
    play(test, "alone", &[])
        .with(refusal::blocking(which))
        .start()
        .succeeds();
}

#[test]
fn without_a_bell_both_sides_look_again() {
    let test = "without_a_bell_both_sides_look_again";
    if part().is_some() {
        return echo(inherited().try_into().expect("two"), || Polled);
    }
    by_descriptors(test, |_| Polled, &[], &[]);
}

#[test]
fn the_bell_may_be_a_function() {
    let mailbox = Options::new().anonymous().expect("create");
    let rung = std::sync::atomic::AtomicU32::new(0);
    let ring = |side| {
        assert_eq!(side, Side::Fetcher);
        rung.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    let never = |_: Side, _: Option<Duration>| {
        Err(wigwag::Error::new(
            Kind::Unsupported,
            "wait at",
            "register",
            "7",
            "no interrupt is wired",
        ))
    };
    let mut poster = mailbox
        .poster_with(Function::new(ring, never), Wait::Not)
        .expect("ours");
    poster.post(b"nobody sleeps").expect("post");
    assert_eq!(rung.load(std::sync::atomic::Ordering::Relaxed), 0);
    refusal(
        poster.post(b"no room"),
        Kind::Unsupported,
        "no interrupt is wired",
    );
    let mut fetcher = mailbox.fetcher().expect("ours");
    take(&mut fetcher);
    fetcher.listen().expect("whole");
    poster.post(b"somebody listens").expect("post");
    assert_eq!(rung.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn what_is_no_mailbox_is_refused_with_the_reason() {
    let name = Name::new();
    drop(
        Options::new()
            .max_len(8000)
            .create(&name.0)
            .expect("create"),
    );
    let file = name.file();
    let write = |at: u64, bytes: &[u8]| file.write_all_at(bytes, at).expect("write");
    write(0, b"wbox");
    refusal(Mailbox::open(&name.0), Kind::Corrupt, "holds no mailbox");
    write(0, b"WBOX\x02");
    refusal(Mailbox::open(&name.0), Kind::Unsupported, "version 2");
    write(4, &1_u32.to_le_bytes());
    for capacity in [8001_u32, 8004, u32::MAX, u32::MAX - 3] {
        write(8, &capacity.to_le_bytes());
        refusal(Mailbox::open(&name.0), Kind::Corrupt, "8128 bytes");
    }
    write(8, &8000_u32.to_le_bytes());
    Mailbox::open(&name.0).expect("as it was");
    for (len, why) in [(8127, "8127 bytes"), (127, "127 bytes"), (0, "no bytes")] {
        file.set_len(len).expect("truncate");
        let error = Mailbox::open(&name.0).expect_err("truncated");
        assert!(error.to_string().contains(why), "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
    file.set_len(9000).expect("lengthen");
    refusal(Mailbox::open(&name.0), Kind::Corrupt, "holds no mailbox");
    let directory = Directory::new();
    let path = directory.file(".");
    refusal(Mailbox::open(path), Kind::BadInput, "directory");
}

#[test]
fn a_mailbox_that_is_truncated_while_it_is_used_is_an_error_and_no_crash() {
    for round in 0..4 {
        let name = Name::new();
        let mailbox = Options::new()
            .max_len(20_000)
            .create(&name.0)
            .expect("create");
        let (mut poster, mut fetcher) = (
            mailbox.poster().expect("ours"),
            mailbox.fetcher().expect("ours"),
        );
        if round % 2 == 1 {
            poster.post(&[7; 20_000]).expect("post");
        }
        name.file()
            .set_len([0, 0, 8192, 8192][round])
            .expect("truncate");
        let (refused, action) = if round % 2 == 1 {
            (
                fetcher.fetch_timeout(&mut [0; 20_000], SHORT).map(drop),
                "fetch from",
            )
        } else {
            (poster.post_timeout(&[7; 20_000], SHORT), "post to")
        };
        let error = refused.expect_err("pages are gone");
        assert_eq!(
            (error.kind(), error.action()),
            (Kind::Corrupt, action),
            "{error}"
        );
        assert!(
            error.to_string().contains("somebody truncated it to"),
            "{error}"
        );
        // And so it stays.
        refusal(poster.try_post(b""), Kind::Corrupt, "truncated");
        refusal(
            fetcher.fetch_timeout(&mut [0; 9], SHORT),
            Kind::Corrupt,
            "truncated",
        );
        refusal(mailbox.stat(), Kind::Corrupt, "truncated");
    }
}

#[test]
fn whatever_a_hostile_peer_writes_there_are_wrong_letters_or_errors() {
    let test = "whatever_a_hostile_peer_writes_there_are_wrong_letters_or_errors";
    if part().is_some() {
        let file = Name(argument("BOX"));
        let object = file.file();
        std::mem::forget(file);
        say("ready");
        let mut random = 88_172_645_463_325_252_u64;
        loop {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = (random >> 40) % 32 * 4;
            let value = [0, 1, 2, 64, 0x8000_0000, u32::MAX, random as u32][(random % 7) as usize];
            object
                .write_all_at(&value.to_le_bytes(), at)
                .expect("scribble");
        }
    }
    let name = Name::new();
    let mailbox = Options::new().max_len(64).create(&name.0).expect("create");
    let (mut poster, mut fetcher) = (
        mailbox.poster().expect("ours"),
        mailbox.fetcher().expect("ours"),
    );
    let mut child = play(test, "scribbles", &[("BOX", &name.0)]).start();
    child.says("ready");
    let mut buffer = [0; 64];
    let end = Instant::now() + Duration::from_millis(700);
    let (mut good, mut bad) = (0, 0);
    let brief = Duration::from_micros(50);
    while Instant::now() < end {
        let outcomes = [
            poster.try_post(&[1; 64]),
            poster.post_timeout(&[2; 3], brief),
            fetcher
                .try_fetch(&mut buffer)
                .map(|letter| assert!(letter.length <= 64)),
            fetcher.fetch_timeout(&mut buffer, brief).map(drop),
            fetcher.peek(&mut buffer).map(drop),
            fetcher.discard(),
            mailbox.stat().map(drop),
            Mailbox::open(&name.0).map(drop),
        ];
        for outcome in outcomes {
            match outcome {
                Ok(()) => good += 1,
                Err(error) => {
                    let expected = [
                        Kind::Corrupt,
                        Kind::WouldBlock,
                        Kind::TimedOut,
                        Kind::Unsupported,
                    ];
                    assert!(expected.contains(&error.kind()), "{error}");
                    bad += 1;
                }
            }
        }
    }
    assert!(good > 0 && bad > 0);
}

#[test]
fn another_user_needs_permission_and_another_pid_namespace_does_not_matter() {
    let test = "another_user_needs_permission_and_another_pid_namespace_does_not_matter";
    if let Some(part) = part() {
        let name = argument("BOX");
        match part.as_str() {
            "stranger" => {
                become_nobody();
                refusal(Mailbox::open(&name), Kind::PermissionDenied, &name);
            }
            "guest" => {
                become_nobody();
                Mailbox::open(&name)
                    .expect("open")
                    .poster()
                    .expect("ours")
                    .post(b"by a guest")
                    .expect("post");
            }
            _ => Mailbox::open(&name)
                .expect("open")
                .poster()
                .expect("ours")
                .post(b"from a container")
                .expect("post"),
        }
        return;
    }
    let name = Name::new();
    let mailbox = Options::new().mode(0).create(&name.0).expect("create");
    play(test, "stranger", &[("BOX", &name.0)])
        .start()
        .succeeds();
    Mailbox::unlink(&name.0).expect("unlink");
    drop(mailbox);
    let mailbox = Options::new().mode(0o666).create(&name.0).expect("create");
    let mut fetcher = mailbox.fetcher().expect("ours");
    play(test, "guest", &[("BOX", &name.0)]).start().succeeds();
    assert_eq!(take(&mut fetcher).1, b"by a guest");
    let wrapper = [unshared("-pf"), vec!["--mount-proc"]].concat();
    play(test, "contained", &[("BOX", &name.0)])
        .through("util-linux", &wrapper)
        .start()
        .succeeds();
    assert_eq!(take(&mut fetcher).1, b"from a container");
}

#[test]
fn several_that_start_at_once_get_one_mailbox() {
    let test = "several_that_start_at_once_get_one_mailbox";
    if part().is_some() {
        say("here");
        hear();
        let mailbox = Options::new()
            .max_len(4)
            .open_or_create(argument("BOX"))
            .expect("open");
        let mut poster = mailbox.poster_with(Polled, Wait::Forever).expect("ours");
        return poster
            .post_timeout(&std::process::id().to_le_bytes(), PATIENCE)
            .expect("post");
    }
    for _ in 0..3 {
        let name = Name::new();
        let arguments = [("BOX", &name.0[..])];
        let mut rivals: Vec<_> = (0..5).map(|_| play(test, "", &arguments).start()).collect();
        let mut pids: Vec<_> = rivals.iter().map(process::Child::pid).collect();
        rivals.iter_mut().for_each(|rival| rival.says("here"));
        rivals.iter_mut().for_each(|rival| rival.tell("go"));
        process::eventually("it is made", || Mailbox::open(&name.0).is_ok());
        let mailbox = Mailbox::open(&name.0).expect("open");
        let mut fetcher = mailbox.fetcher().expect("ours");
        let mut senders: Vec<i32> = (0..5)
            .map(|_| i32::from_le_bytes(take(&mut fetcher).1.try_into().expect("four bytes")))
            .collect();
        senders.sort_unstable();
        pids.sort_unstable();
        assert_eq!(senders, pids);
        rivals.into_iter().for_each(process::Child::succeeds);
    }
}
