//! The mailbox: a poster or fetcher killed anywhere leaves no half letter, loses none that it posted, and frees its part.

use std::any::Any;
use std::time::Duration;

use wigwag::Wait;
use wigwag::pattern::mailbox::{Fetcher, Futex, Mailbox, Options, Poster};

use super::scene::{Scene, Stage, Verdict};
use super::step::{begin, end};
use crate::process;

const fn scene(name: &'static str, course: fn(&Stage<'_>, &dyn Any) -> Verdict) -> Scene {
    Scene {
        gate: "mailbox",
        name,
        sample: 40,
        make,
        act,
        course,
    }
}

pub const SCENES: &[Scene] = &[
    scene("creator", |stage, object| {
        let Box(_, name) = of(object);
        Mailbox::unlink(name).expect("make room");
        if !stage.kill(stage.victim("creates")) {
            return Verdict::Complete;
        }
        match Options::new().max_len(LEN).open_or_create(name) {
            Ok(mailbox) => aftermath(&mailbox, Before::Nothing),
            Err(_) => Verdict::Stuck,
        }
    }),
    scene("poster", |stage, object| {
        let Box(mailbox, _) = of(object);
        if !stage.kill(stage.victim("posts")) {
            return Verdict::Complete;
        }
        aftermath(mailbox, Before::PerhapsOne)
    }),
    scene("poster, the fetcher sleeps", |stage, object| {
        let Box(mailbox, _) = of(object);
        let mut waiter = stage.actor("waits");
        waiter.says("begins");
        waiter.sleeps_in(libc::SYS_futex);
        let done = !stage.kill(stage.victim("posts"));
        // It may have died before it posted, or before it rang: its successor does both.
        let Ok(mut poster) = poster(mailbox) else {
            return Verdict::Leaked;
        };
        if poster.post_timeout(&[9; LEN], LIMIT).is_err() {
            return Verdict::Stuck;
        }
        drop(poster);
        if waiter.line_or_end() != "whole" {
            return Verdict::Torn;
        }
        match aftermath(mailbox, Before::PerhapsOne) {
            Verdict::Good if done => Verdict::Complete,
            verdict => verdict,
        }
    }),
    scene("fetcher", |stage, object| {
        let Box(mailbox, _) = of(object);
        mailbox
            .poster_with(Futex, LIMIT.into())
            .and_then(|mut poster| poster.post(&[9; LEN]))
            .expect("post");
        if !stage.kill(stage.victim("fetches")) {
            return Verdict::Complete;
        }
        aftermath(mailbox, Before::PerhapsOne)
    }),
    scene("fetcher, the poster sleeps", |stage, object| {
        let Box(mailbox, _) = of(object);
        let first = mailbox
            .poster_with(Futex, LIMIT.into())
            .and_then(|mut poster| poster.post(&[8; LEN]));
        first.expect("post");
        let mut waiter = stage.actor("posts-second");
        waiter.says("begins");
        waiter.sleeps_in(libc::SYS_futex);
        let done = !stage.kill(stage.victim("fetches"));
        // A successor fetches the letter again, or the next.
        let mut buffer = [0; LEN];
        let Ok(mut fetcher) = fetcher(mailbox) else {
            return Verdict::Leaked;
        };
        loop {
            match fetcher.fetch_timeout(&mut buffer, LIMIT) {
                Ok(_) if buffer == [9; LEN] => break,
                Ok(_) if buffer == [8; LEN] => {}
                Ok(_) => return Verdict::Torn,
                Err(_) => return Verdict::Stuck,
            }
        }
        drop(fetcher);
        if waiter.line_or_end() != "posted" {
            return Verdict::Stuck;
        }
        match aftermath(mailbox, Before::Nothing) {
            Verdict::Good if done => Verdict::Complete,
            verdict => verdict,
        }
    }),
    scene("poster that was woken", |stage, object| {
        let Box(mailbox, _) = of(object);
        let first = mailbox
            .poster_with(Futex, LIMIT.into())
            .and_then(|mut poster| poster.post(&[9; LEN]));
        first.expect("post");
        let victim = stage.victim("posts");
        victim.run_into_futex();
        let mut buffer = [0; LEN];
        let fetched = mailbox
            .fetcher_with(Futex, LIMIT.into())
            .and_then(|mut fetcher| fetcher.try_fetch(&mut buffer));
        fetched.expect("fetch");
        victim.returns();
        if !stage.kill(victim) {
            return Verdict::Complete;
        }
        aftermath(mailbox, Before::PerhapsOne)
    }),
];

const LEN: usize = 61;
/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(10);

/// The mailbox and its name, which is removed.
struct Box(Mailbox, String);

impl Drop for Box {
    fn drop(&mut self) {
        let _ = Mailbox::unlink(&self.1);
    }
}

fn make(object: &str) -> std::boxed::Box<dyn Any> {
    let name = format!("/{object}");
    let mailbox = Options::new().max_len(LEN).create(&name).expect("create");
    std::boxed::Box::new(Box(mailbox, name))
}

fn of(object: &dyn Any) -> &Box {
    object.downcast_ref().expect("a mailbox")
}

fn act(part: &str, object: &str) {
    let name = format!("/{object}");
    let open = || Mailbox::open(&name).expect("open");
    let mut buffer = [0; LEN];
    match part {
        "creates" => {
            begin();
            let made = Options::new().max_len(LEN).open_or_create(&name);
            end();
            drop(made);
        }
        "posts" => {
            let mailbox = open();
            begin();
            let posted = mailbox
                .poster_with(Futex, LIMIT.into())
                .and_then(|mut poster| poster.post(&[9; LEN]));
            end();
            posted.expect("post");
        }
        "fetches" => {
            let mailbox = open();
            begin();
            let fetched = mailbox
                .fetcher_with(Futex, LIMIT.into())
                .and_then(|mut fetcher| fetcher.fetch(&mut buffer));
            end();
            fetched.expect("fetch");
        }
        "waits" => {
            process::say("begins");
            let fetched = open()
                .fetcher_with(Futex, LIMIT.into())
                .and_then(|mut fetcher| fetcher.fetch(&mut buffer));
            fetched.expect("fetch");
            process::say(if buffer == [9; LEN] { "whole" } else { "torn" });
        }
        "posts-second" => {
            process::say("begins");
            let posted = open()
                .poster_with(Futex, Wait::Forever)
                .and_then(|mut poster| poster.post(&[9; LEN]));
            posted.expect("post");
            process::say("posted");
        }
        part => panic!("no part {part}"),
    }
}

/// The parts that the dead had. Those that we dropped ourselves may be held for a moment by a process that another test
/// is about to start.
fn poster(mailbox: &Mailbox) -> wigwag::Result<Poster> {
    mailbox.poster_with(Futex, LIMIT.into())
}

fn fetcher(mailbox: &Mailbox) -> wigwag::Result<Fetcher> {
    mailbox.fetcher_with(Futex, LIMIT.into())
}

/// What may lie in it when somebody was killed.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    PerhapsOne,
}

/// Both parts are free, what lies there is whole, and letters go through.
fn aftermath(mailbox: &Mailbox, before: Before) -> Verdict {
    let (Ok(mut poster), Ok(mut fetcher)) = (poster(mailbox), fetcher(mailbox)) else {
        return Verdict::Leaked;
    };
    let mut buffer = [0; LEN];
    match fetcher.try_fetch(&mut buffer) {
        Ok(letter)
            if letter.length == LEN && buffer == [9; LEN] && before == Before::PerhapsOne => {}
        Ok(_) => return Verdict::Torn,
        Err(error) if error.kind() == wigwag::Kind::WouldBlock => {}
        Err(_) => return Verdict::Torn,
    }
    for byte in 1..=2 {
        if poster.try_post(&[byte; LEN]).is_err() {
            return Verdict::Stuck;
        }
        if fetcher.try_fetch(&mut buffer).is_err() || buffer != [byte; LEN] {
            return Verdict::Torn;
        }
    }
    Verdict::Good
}
