//! Under tokio: tasks call without blocking their thread, and a dropped future cancels its call.

use std::time::Duration;

use crate::carrier::{each, serve, server};
use crate::process::{PATIENCE, part};
use wigwag::pattern::rpc::Client;
use wigwag::{Async, Kind};

/// Runs it on one thread, so that one that blocks would block all.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(async {
            tokio::time::timeout(PATIENCE, future)
                .await
                .expect("in time")
        })
}

#[test]
fn many_tasks_call_through_one_client_and_each_gets_its_own_answer() {
    if part().is_some() {
        return serve();
    }
    each(|address| {
        let test = "asynchronous::many_tasks_call_through_one_client_and_each_gets_its_own_answer";
        let (_child, at) = server(test, address, 3);
        run(async {
            let client = Client::connect(&at).expect("connect");
            let client = std::sync::Arc::new(Async::new(client).expect("async"));
            let tasks: Vec<_> = (0..40_u32)
                .map(|task| {
                    let client = client.clone();
                    tokio::spawn(async move {
                        for number in 0..25 {
                            let micros = (task * 7 + number * 13) % 5 / 4 * 700;
                            let body = format!("sleep {micros} {task}.{number}");
                            let answer = client.call(body.as_bytes()).await.expect("call");
                            assert_eq!(answer, format!("{task}.{number}").as_bytes());
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("a task");
            }
        });
    });
}

#[test]
fn large_calls_and_a_thread_that_calls_too_do_not_lose_each_other() {
    if part().is_some() {
        return serve();
    }
    let test = "asynchronous::large_calls_and_a_thread_that_calls_too_do_not_lose_each_other";
    let (_child, at) = server(test, &crate::carrier::addresses()[0], 3);
    let client = Client::connect(&at).expect("connect");
    let beside = client.clone();
    let thread = std::thread::spawn(move || {
        for number in 0..2000 {
            let answer = beside
                .call(format!("echo {number}").as_bytes())
                .expect("call");
            assert_eq!(answer, number.to_string().as_bytes());
        }
    });
    run(async {
        let client = Async::new(client).expect("async");
        for len in [1_000_000, 3, 2_000_000, 70_000] {
            let body = [&b"echo "[..], &vec![b'x'; len]].concat();
            let (one, other) = tokio::join!(client.call(&body), client.call(b"echo small"));
            assert_eq!(one.expect("call").len(), len);
            assert_eq!(other.expect("call"), b"small");
        }
    });
    thread.join().expect("the thread");
}

#[test]
fn a_dropped_future_cancels_and_a_killed_server_is_told() {
    if part().is_some() {
        return serve();
    }
    each(|address| {
        let test = "asynchronous::a_dropped_future_cancels_and_a_killed_server_is_told";
        let (mut child, at) = server(test, address, 2);
        run(async {
            let client = Async::new(Client::connect(&at).expect("connect")).expect("async");
            let call = client.call(b"wait ");
            let early = tokio::time::timeout(Duration::from_millis(200), call).await;
            assert!(early.is_err(), "it goes on");
            child.says("waits");
            child.says("cancelled");
            let kill = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                child.kill();
            };
            let (outcome, ()) = tokio::join!(client.call(b"wait "), kill);
            assert_eq!(outcome.expect_err("it is gone").kind(), Kind::Disconnected);
        });
    });
}
