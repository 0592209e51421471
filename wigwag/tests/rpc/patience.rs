//! Patience: deadlines are kept on both sides, and who does not wait any more is not worked for.

use std::time::{Duration, Instant};

use crate::carrier::{each, serve, server};
use crate::process::part;
use crate::refusal::{LONG, SHORT, refusal};
use wigwag::pattern::rpc::Client;
use wigwag::{Kind, Wait};

#[test]
fn a_call_ends_at_its_deadline_and_its_handler_knows() {
    if part().is_some() {
        return serve();
    }
    each(|address| {
        let test = "patience::a_call_ends_at_its_deadline_and_its_handler_knows";
        let (mut child, at) = server(test, address, 1);
        let client = Client::connect(&at).expect("connect");
        let start = Instant::now();
        refusal(
            client.call_timeout(b"wait ", SHORT),
            Kind::TimedOut,
            "no answer came",
        );
        assert!(start.elapsed() >= SHORT && start.elapsed() < LONG);
        child.says("waits");
        child.says("cancelled");
        // The late answer disturbs nobody.
        assert_eq!(client.call(b"echo on").expect("call"), b"on");
        refusal(
            client.call_with(b"echo", Wait::Not),
            Kind::WouldBlock,
            "waited for",
        );
        refusal(
            client.call_timeout(b"echo", Duration::ZERO),
            Kind::TimedOut,
            "within the time",
        );
    });
}

#[test]
fn the_handler_knows_how_much_time_is_left() {
    if part().is_some() {
        return serve();
    }
    each(|address| {
        let test = "patience::the_handler_knows_how_much_time_is_left";
        let (_child, at) = server(test, address, 1);
        let client = Client::connect(&at).expect("connect");
        assert_eq!(client.call(b"left").expect("call"), b"None");
        let left = client.call_timeout(b"left", LONG).expect("call");
        let left = String::from_utf8(left).expect("text");
        let seconds: f64 = left
            .trim_start_matches("Some(")
            .trim_end_matches("s)")
            .parse()
            .unwrap_or_else(|_| panic!("{left}"));
        assert!(seconds > 5.0 && seconds <= LONG.as_secs_f64(), "{left}");
        // Nor is one of a thousand years cut, which no frame can say.
        let ages = Duration::from_secs(1000 * 365 * 86_400);
        let left = client.call_timeout(b"left", ages).expect("call");
        assert!(
            left.starts_with(b"Some(1844674407"),
            "{}",
            String::from_utf8_lossy(&left)
        );
        // Beyond the end of every clock is no deadline.
        let left = client.call_timeout(b"left", Duration::MAX).expect("call");
        assert_eq!(left, b"None");
    });
}

#[test]
fn what_is_too_late_when_its_turn_comes_is_not_begun() {
    if part().is_some() {
        return serve();
    }
    each(|address| {
        let test = "patience::what_is_too_late_when_its_turn_comes_is_not_begun";
        let (mut child, at) = server(test, address, 1);
        let client = Client::connect(&at).expect("connect");
        let busy = client.start(b"sleep 300000 done").expect("start");
        let mut late = client.start_timeout(b"wait ", SHORT).expect("start");
        std::thread::sleep(Duration::from_millis(150));
        // Still asked for: it is the server that does not begin it.
        let error = late.wait_timeout(LONG).expect_err("too late");
        assert_eq!(error.kind(), Kind::TimedOut, "{error}");
        assert_eq!(busy.wait().expect("wait"), b"done");
        assert_eq!(client.call(b"echo on").expect("call"), b"on");
        child.tell("enough");
        child.says("served");
    });
}

#[test]
fn a_cancelled_call_is_known_to_its_handler_also_where_only_one_is_handled_at_a_time() {
    if part().is_some() {
        return serve();
    }
    let test = "patience::a_cancelled_call_is_known_to_its_handler_also_where_only_one_is_handled_at_a_time";
    each(|address| {
        for workers in [1, 3] {
            let (mut child, at) = server(test, address, workers);
            let client = Client::connect(&at).expect("connect");
            let running = client.start(b"wait ").expect("start");
            child.says("waits");
            let waiting = client.start(b"wait ").expect("start");
            if workers > 1 {
                child.says("waits");
            }
            // One that was not begun never is; one that was is cancelled too.
            drop(waiting);
            if workers > 1 {
                child.says("cancelled");
            }
            running.cancel();
            child.says("cancelled");
            assert_eq!(client.call(b"echo on").expect("call"), b"on");
            child.tell("enough");
            child.says("served");
        }
    });
}

#[test]
fn a_handler_can_poll_for_the_cancellation_and_the_death_of_its_caller() {
    let test = "patience::a_handler_can_poll_for_the_cancellation_and_the_death_of_its_caller";
    match part().as_deref() {
        Some("server") => return serve(),
        Some(_) => {
            let client = Client::connect(&crate::process::argument("at")).expect("connect");
            return drop(client.call(b"watch "));
        }
        None => {}
    }
    each(|address| {
        let (mut child, at) = server(test, address, 1);
        let client = Client::connect(&at).expect("connect");
        let pending = client.start(b"watch ").expect("start");
        child.says("waits");
        pending.cancel();
        child.says("cancelled");
        child.says("cancelled");
        let mut other = crate::process::play(test, "client", &[("at", &at)]).start();
        child.says("waits");
        other.kill();
        child.says("cancelled");
        child.says("cancelled");
        child.tell("enough");
        child.says("served");
    });
}

#[test]
fn a_pending_call_can_be_asked_again_and_again() {
    if part().is_some() {
        return serve();
    }
    each(|address| {
        let test = "patience::a_pending_call_can_be_asked_again_and_again";
        let (_child, at) = server(test, address, 2);
        let client = Client::connect(&at).expect("connect");
        let mut slow = client.start(b"sleep 200000 slow").expect("start");
        assert!(slow.try_wait().expect("it goes on").is_none());
        assert!(
            slow.wait_timeout(Duration::from_millis(20))
                .expect("it goes on")
                .is_none()
        );
        let quick = client.start(b"echo quick").expect("start");
        assert_eq!(quick.wait().expect("wait"), b"quick");
        let answer = slow.wait_timeout(LONG).expect("an answer");
        assert_eq!(answer.as_deref(), Some(&b"slow"[..]));
        refusal(slow.try_wait(), Kind::BadInput, "taken before");
    });
}

#[test]
fn calls_that_are_given_up_at_any_moment_disturb_no_other() {
    if part().is_some() {
        return serve();
    }
    let test = "patience::calls_that_are_given_up_at_any_moment_disturb_no_other";
    each(|address| {
        for workers in [1, 4] {
            let (mut child, at) = server(test, address, workers);
            let client = Client::connect(&at).expect("connect");
            std::thread::scope(|scope| {
                for thread in 0..8_u64 {
                    let client = client.clone();
                    scope.spawn(move || {
                        let mut random = 0x9e37_79b9_7f4a_7c15 ^ thread << 20;
                        for number in 0..300 {
                            random ^= random << 13;
                            random ^= random >> 7;
                            random ^= random << 17;
                            let (micros, limit) = (random >> 8 & 255, random >> 16 & 511);
                            let body = format!("sleep {micros} {thread}.{number}");
                            let right = format!("{thread}.{number}");
                            let limit = Duration::from_micros(limit);
                            match random % 5 {
                                0 => match client.call_timeout(body.as_bytes(), limit) {
                                    Ok(answer) => assert_eq!(answer, right.as_bytes()),
                                    Err(error) => {
                                        assert_eq!(error.kind(), Kind::TimedOut, "{error}")
                                    }
                                },
                                1 => drop(client.start(body.as_bytes()).expect("start")),
                                2 => {
                                    let mut pending = client.start(body.as_bytes()).expect("start");
                                    if let Some(answer) = pending.wait_timeout(limit).expect("wait")
                                    {
                                        assert_eq!(answer, right.as_bytes());
                                    }
                                }
                                _ => {
                                    let answer = client.call_timeout(body.as_bytes(), LONG);
                                    assert_eq!(answer.expect("call"), right.as_bytes());
                                }
                            }
                        }
                    });
                }
            });
            assert_eq!(client.call_timeout(b"echo on", LONG).expect("call"), b"on");
            child.tell("enough");
            child.says("served");
        }
    });
}
