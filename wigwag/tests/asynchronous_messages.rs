//! Under tokio: messages, signals and event counters wait without blocking the thread.
#![cfg(feature = "tokio")]

mod process;

use std::time::Duration;

use process::{PATIENCE, hear, part, play, say, unique};
use wigwag::gate::event::Event;
use wigwag::message::{Messages, Note, datagram, posix, seqpacket, udp};
use wigwag::signal::{self, Mask, Receiver, Signal};
use wigwag::{Async, Kind};

/// The receiver waits while a timer of the same thread still fires; then the message comes.
async fn hands_over<S, R>(sender: S, receiver: R)
where
    S: Messages + std::os::fd::AsFd,
    R: Messages + std::os::fd::AsFd,
{
    let (sender, receiver) = (
        Async::new(sender).expect("async"),
        Async::new(receiver).expect("async"),
    );
    let mut buffer = Vec::new();
    let early =
        tokio::time::timeout(Duration::from_millis(20), receiver.recv(&mut buffer, None)).await;
    assert!(early.is_err(), "nothing was sent yet");
    for number in 0..200_u32 {
        let body = number.to_le_bytes();
        let (sent, received) = tokio::join!(
            sender.send(&body, Note::default()),
            receiver.recv(&mut buffer, None)
        );
        sent.expect("send");
        assert!(received.expect("receive").is_some());
        assert_eq!(buffer, body);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn queues_and_sockets_hand_over_messages() {
    let name = format!("/{}", unique("async"));
    let queue = posix::Options::new()
        .depth(2)
        .max_len(64)
        .temporary(true)
        .create(&name)
        .expect("a queue");
    hands_over(posix::Queue::open(&name).expect("the queue"), queue).await;
    let (one, other) = datagram::pair().expect("a pair");
    hands_over(one, other).await;
    let (one, other) = seqpacket::pair().expect("a pair");
    hands_over(one, other).await;
    let receiver = udp::Socket::bind("127.0.0.1:0").expect("bind");
    let port = receiver.local().expect("its address").to_string();
    hands_over(udp::Socket::connect(port).expect("connect"), receiver).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_full_queue_makes_the_sending_task_wait_and_a_killed_peer_ends_the_connection() {
    let name = "a_full_queue_makes_the_sending_task_wait_and_a_killed_peer_ends_the_connection";
    if part().is_some() {
        let socket = seqpacket::Socket::connect(process::argument("NAME")).expect("connect");
        socket.send(b"here").expect("send");
        say("sent");
        hear();
        return;
    }
    let queue_name = format!("/{}", unique("async"));
    let queue = posix::Options::new()
        .depth(1)
        .max_len(8)
        .temporary(true)
        .create(&queue_name)
        .expect("a queue");
    let queue = Async::new(queue).expect("async");
    queue.send(b"first", Note::default()).await.expect("send");
    let full = tokio::time::timeout(
        Duration::from_millis(20),
        queue.send(b"second", Note::default()),
    )
    .await;
    assert!(full.is_err(), "it is full");
    assert_eq!(
        queue.get_ref().stat().expect("stat").queued,
        1,
        "a send that was given up was not made"
    );
    let too_big = queue
        .send(&[0; 9], Note::default())
        .await
        .expect_err("too big");
    assert_eq!(too_big.kind(), Kind::TooBig);

    let address = format!("@{}", unique("async"));
    let listener =
        Async::new(seqpacket::Listener::create(&address).expect("listen")).expect("async");
    let mut child = play(name, "peer", &[("NAME", &address)]).start();
    let socket = listener
        .when_readable(|listener| listener.try_accept())
        .await
        .expect("accept");
    let socket = Async::new(socket).expect("async");
    let mut buffer = Vec::new();
    socket
        .recv(&mut buffer, None)
        .await
        .expect("receive")
        .expect("a message");
    assert_eq!(buffer, b"here");
    child.says("sent");
    let (end, ()) = tokio::join!(
        tokio::time::timeout(PATIENCE, socket.recv(&mut buffer, None)),
        async {
            child.kill();
        }
    );
    let end = end.expect("at once");
    assert!(matches!(end, Ok(None)) || end.is_err_and(|error| error.kind() == Kind::Disconnected));
}

#[test]
fn signals_and_event_counters_wake_a_task() {
    // Blocked before the runtime has any thread, so that all of them inherit it.
    let wanted = Signal::realtime(5).expect("a real-time signal");
    let _mask = Mask::block(wanted).expect("block it");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let receiver = Async::new(Receiver::open(wanted).expect("a receiver")).expect("async");
        let (received, ()) = tokio::join!(receiver.when_readable(Receiver::try_recv), async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            // To this thread: the harness has others, which do not block it.
            signal::queue_thread(signal::this_thread(), wanted, 42).expect("queue it");
        });
        let received = received.expect("receive");
        assert_eq!((received.signal, received.value), (wanted, Some(42)));

        let event = Event::anonymous().expect("a counter");
        let other = event.try_clone().expect("a copy");
        let event = Async::new(event).expect("async");
        let taking = event.when_readable(|event| match event.try_take() {
            Ok(Some(count)) => Ok(count),
            Ok(None) => Err(wigwag::Error::new(
                Kind::WouldBlock,
                "take from",
                "event counter",
                "",
                "it is zero",
            )),
            Err(error) => Err(error),
        });
        let (count, ()) = tokio::join!(taking, async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            other.add(3).expect("add");
        });
        assert_eq!(count.expect("take"), 3);
    });
}
