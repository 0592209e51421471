//! Calls: each answer goes to its call, whatever the order, from however many threads.

use std::time::{Duration, Instant};

use crate::carrier::{Left, addresses, each, handle, serve, server, with};
use crate::process::part;
use crate::refusal::{LONG, refusal};
use wigwag::Kind;
use wigwag::pattern::rpc::{Client, Options, Server};

#[test]
fn a_call_comes_back_with_its_answer_or_with_the_words_of_the_refusal() {
    if part().is_some() {
        return serve();
    }
    each(|address| {
        let test = "calls::a_call_comes_back_with_its_answer_or_with_the_words_of_the_refusal";
        let (mut child, at) = server(test, address, 1);
        let client = Client::connect(&at).expect("connect");
        assert_eq!(client.call(b"echo hello").expect("call"), b"hello");
        assert_eq!(client.call(b"echo ").expect("call"), b"");
        refusal(client.call(b"refuse it rains"), Kind::Refused, "it rains");
        refusal(client.call(b"panic "), Kind::Refused, "panicked");
        refusal(client.call(b"shout"), Kind::Refused, "there is no shout");
        assert_eq!(
            client.call_timeout(b"echo again", LONG).expect("call"),
            b"again"
        );
        child.tell("enough");
        // What the handler's panic printed comes before.
        while child.line() != "served" {}
        child.succeeds();
        refusal(client.call(b"echo"), Kind::Disconnected, "the server");
    });
}

#[test]
fn ten_thousand_calls_of_eight_threads_each_get_their_own_answer() {
    if part().is_some() {
        return serve();
    }
    const THREADS: usize = 8;
    const EACH: usize = 1250;
    each(|address| {
        let test = "calls::ten_thousand_calls_of_eight_threads_each_get_their_own_answer";
        let (mut child, at) = server(test, address, 4);
        let client = Client::connect(&at).expect("connect");
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let client = client.clone();
                scope.spawn(move || {
                    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ (thread as u64) << 7;
                    for number in 0..EACH {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        // Most at once, some later than those behind them.
                        let micros = if random.is_multiple_of(8) {
                            random >> 8 & 1023
                        } else {
                            0
                        };
                        let body = format!("sleep {micros} {thread}.{number}");
                        let answer = client.call_timeout(body.as_bytes(), LONG).expect("call");
                        assert_eq!(answer, format!("{thread}.{number}").as_bytes());
                    }
                });
            }
        });
        child.tell("enough");
        child.says("served");
        child.succeeds();
    });
}

#[test]
fn a_thousand_calls_may_be_in_flight_before_the_first_is_waited_for() {
    if part().is_some() {
        return serve();
    }
    each(|address| {
        let test = "calls::a_thousand_calls_may_be_in_flight_before_the_first_is_waited_for";
        let (_child, at) = server(test, address, 2);
        let client = Client::connect(&at).expect("connect");
        // More than all buffers on the way hold: while there is no room, answers are taken.
        let body = |number: u32| format!("echo {number:01000}");
        let pending: Vec<_> = (0..1000)
            .map(|number| client.start(body(number).as_bytes()).expect("start"))
            .collect();
        for (number, pending) in (0..1000_u32).zip(pending).rev() {
            assert_eq!(pending.wait().expect("wait"), &body(number).as_bytes()[5..]);
        }
    });
}

#[test]
fn large_requests_and_answers_arrive_whole_beside_small_ones() {
    if part().is_some() {
        return serve();
    }
    for address in &addresses()[..2] {
        let test = "calls::large_requests_and_answers_arrive_whole_beside_small_ones";
        let (_child, at) = server(test, address, 3);
        let client = Client::connect(&at).expect("connect");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..20_usize {
                    let body: Vec<u8> = (0..3_000_000).map(|at| (at * 7 + round) as u8).collect();
                    let request = [b"echo ", &body[..]].concat();
                    assert!(client.call(&request).expect("call") == body);
                }
            });
            for number in 0..500 {
                let answer = client
                    .call(format!("echo {number}").as_bytes())
                    .expect("call");
                assert_eq!(answer, number.to_string().as_bytes());
            }
        });
    }
}

#[test]
fn what_is_too_long_is_refused_with_the_limit_and_the_next_call_goes_through() {
    if part().is_some() {
        return serve();
    }
    let test = "calls::what_is_too_long_is_refused_with_the_limit_and_the_next_call_goes_through";
    for address in &addresses()[..2] {
        let (_child, at) = server(test, &with(address, "max_request=100K"), 2);
        let client = Options::new()
            .max_answer(50_000)
            .connect(&at)
            .expect("connect");
        let waiting = client.start(b"sleep 50000 meanwhile").expect("start");
        for _ in 0..3 {
            let long = vec![b'x'; 1_000_000];
            refusal(
                client.call(&long),
                Kind::TooBig,
                "the longest has 102400 (max_request",
            );
            refusal(
                client.call(b"long 60000"),
                Kind::TooBig,
                "60000 bytes, more than this client takes",
            );
            assert_eq!(client.call(b"echo small").expect("call"), b"small");
        }
        assert_eq!(waiting.wait().expect("wait"), b"meanwhile");
    }
    let address = &addresses()[2];
    let _left = Left(address);
    let (_child, at) = server(test, &address.replace("2048", "1024"), 2);
    let client = Client::connect(&at).expect("connect");
    refusal(
        client.call(&[b'x'; 993]),
        Kind::TooBig,
        "the longest has 992 (max_len of the server, fs.mqueue",
    );
    refusal(
        client.call(b"long 993"),
        Kind::TooBig,
        "993 bytes, the longest has 992",
    );
    assert_eq!(client.call(b"long 992").expect("call").len(), 992);
    let address = &addresses()[3];
    let _left = Left(address);
    let (_child, at) = server(test, address, 2);
    let client = Client::connect(&at).expect("connect");
    let (longest, over) = (16_384 - 36, 16_384 - 35);
    refusal(
        client.call(&vec![b'x'; over]),
        Kind::TooBig,
        "the longest has 16348 (capacity of the server)",
    );
    let says = "16349 bytes, the longest has 16348";
    refusal(
        client.call(format!("long {over}").as_bytes()),
        Kind::TooBig,
        says,
    );
    let echo = [&b"echo "[..], &vec![b'x'; longest - 5]].concat();
    for _ in 0..3 {
        assert_eq!(client.call(&echo).expect("call").len(), longest - 5);
        let answer = client.call(format!("long {longest}").as_bytes());
        assert_eq!(answer.expect("call").len(), longest);
    }
}

#[test]
fn values_go_as_they_lie_in_memory() {
    let server = Server::listen(&addresses()[0]).expect("a server");
    let stopper = server.stopper();
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            server.serve(|request| {
                let [one, other]: [u64; 2] = request.value()?;
                Ok(wigwag::pattern::rpc::bytes(&(one * other)))
            })
        });
        let client = Client::connect(server.address()).expect("connect");
        assert_eq!(
            client.call_value::<[u64; 2], u64>(&[6, 7]).expect("call"),
            42
        );
        refusal(
            client.call(b"odd"),
            Kind::Refused,
            "the request has 3 bytes",
        );
        refusal(
            client.call_value::<[u64; 2], u32>(&[6, 7]),
            Kind::Corrupt,
            "the answer has 8 bytes",
        );
        stopper.stop();
        serving.join().expect("no panic").expect("serve");
    });
}

#[test]
fn a_quiet_call_is_answered_without_waiting_for_a_clock() {
    // No polling interval may hide in a call.
    each(|address| {
        let server = Server::listen(address).expect("a server");
        let stopper = server.stopper();
        std::thread::scope(|scope| {
            scope.spawn(|| server.serve(handle));
            let client = Client::connect(server.address()).expect("connect");
            let mut fastest = Duration::MAX;
            for _ in 0..200 {
                let start = Instant::now();
                client.call(b"echo x").expect("call");
                fastest = fastest.min(start.elapsed());
            }
            eprintln!("{address}: fastest {fastest:?}");
            assert!(fastest < Duration::from_millis(1), "{fastest:?}");
            stopper.stop();
        });
    });
}
