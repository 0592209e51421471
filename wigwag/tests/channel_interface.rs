//! One interface: the same steps, word for word, with each flavour of channel.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use wigwag::Kind;
use wigwag::pattern::channel::{Full, Options, broadcast, latest, many_to_many, one_to_one};

const SHORT: Duration = Duration::from_millis(20);

macro_rules! one_by_one {
    ($($flavour:ident)*) => { $({
        let options = Options::new().capacity(4).full(Full::Wait);
        let channel: $flavour::Channel<u32> = options.anonymous().unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        assert_eq!((channel.senders(), channel.receivers(), channel.full()), (1, 1, Full::Wait));
        assert_eq!((sender.capacity(), receiver.capacity(), channel.capacity()), (4, 4, 4));
        assert!(receiver.try_recv().unwrap().is_none());
        assert_eq!(receiver.recv_timeout(SHORT).map(|value| *value).unwrap_err().kind(), Kind::TimedOut);
        sender.send(1).unwrap();
        assert!(sender.try_send(2).unwrap());
        sender.send_timeout(3, SHORT).unwrap();
        let mut loan = sender.loan().unwrap();
        *loan = 4;
        loan.send();
        assert_eq!((sender.level(), receiver.level(), sender.lost(), receiver.lost()), (4, 4, 0, 0));
        assert!(!sender.try_send(5).unwrap());
        assert!(sender.try_loan().unwrap().is_none());
        assert_eq!(sender.send_timeout(5, SHORT).unwrap_err().kind(), Kind::TimedOut);
        assert_eq!(*receiver.recv().unwrap(), 1);
        assert_eq!(*receiver.try_recv().unwrap().unwrap(), 2);
        assert_eq!(*receiver.recv_timeout(SHORT).unwrap(), 3);
        assert_eq!(*receiver.recv().unwrap(), 4);
        assert!(sender.is_connected() && receiver.is_connected());
        let shown = r#"{ channel: "", level: 0, is_connected: true, .. }"#;
        assert_eq!(format!("{sender:?} {receiver:?}"), format!("Sender {shown} Receiver {shown}"));
        sender.close();
        assert_eq!(receiver.recv().map(|value| *value).unwrap_err().kind(), Kind::Disconnected);
        let gone = receiver.try_recv().map(|value| value.map(|value| *value)).unwrap_err();
        assert_eq!(gone.kind(), Kind::Disconnected);
        // Also where no time is left to wait.
        let gone = receiver.recv_timeout(Duration::ZERO).map(|value| *value).unwrap_err();
        assert_eq!(gone.kind(), Kind::Disconnected);
        assert!(!receiver.is_connected());
        receiver.close();

        // What is dropped is counted; an attempt of a loan drops nothing.
        let channel: $flavour::Channel<u32> =
            options.clone().full(Full::DropNewest).anonymous().unwrap();
        let (mut sender, receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        (0..5).for_each(|n| sender.send(n).unwrap());
        assert!(!sender.try_send(5).unwrap());
        assert_eq!((sender.lost(), receiver.lost()), (2, 2));
        assert!(sender.try_loan().unwrap().is_none());
        assert_eq!(sender.lost(), 2);
        assert_eq!(sender.loan().map(drop).unwrap_err().kind(), Kind::WouldBlock);
        assert_eq!(sender.lost(), 3);

        let channel: $flavour::Channel<[u8]> = Options::new().capacity(4096).anonymous().unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        assert!(sender.longest() > 1000);
        assert_eq!(sender.send(&[0; 5000]).unwrap_err().kind(), Kind::TooBig);
        sender.send(b"one").unwrap();
        assert!(sender.try_send(b"").unwrap());
        sender.send_timeout(b"three", SHORT).unwrap();
        let mut loan = sender.loan(100).unwrap();
        loan.fill(4);
        loan.truncate(4);
        loan.send();
        drop(sender.try_loan(7).unwrap().unwrap());
        assert_eq!(&*receiver.recv().unwrap(), b"one");
        assert_eq!(&*receiver.try_recv().unwrap().unwrap(), b"");
        assert_eq!(&*receiver.recv_timeout(SHORT).unwrap(), b"three");
        assert_eq!(&*receiver.recv().unwrap(), [4; 4]);
        assert!(receiver.try_recv().unwrap().is_none());
        drop(sender);
        assert_eq!(receiver.recv().map(drop).unwrap_err().kind(), Kind::Disconnected);
    })* };
}

#[test]
fn one_by_one() {
    one_by_one!(one_to_one many_to_many broadcast);
}

#[test]
fn more_than_the_machine_has_is_refused_before_the_kernel_kills_for_it() {
    let options = Options::new().capacity(1 << 40);
    let unnamed = options.anonymous::<one_to_one::Channel<[u8]>>();
    let name = format!("/too-much-{}", std::process::id());
    let named = options.create::<broadcast::Channel<[u8]>>(&name);
    for refused in [unnamed.unwrap_err(), named.unwrap_err()] {
        assert_eq!(refused.kind(), Kind::Limit, "{refused}");
        assert!(refused.to_string().contains("memory"), "{refused}");
    }
    let left = Options::new().open::<broadcast::Channel<[u8]>>(&name);
    assert_eq!(left.unwrap_err().kind(), Kind::NotFound);
}

macro_rules! in_batches {
    ($($flavour:ident)*) => { $({
        let (mut sender, mut receiver) = $flavour::pair::<u32>(8).unwrap();
        assert!(receiver.try_recv_many().unwrap().is_none());
        assert_eq!(sender.send_many(&[1, 2, 3]).unwrap(), 3);
        let mut loan = sender.loan_many(3).unwrap();
        loan.copy_from_slice(&[4, 5, 9]);
        loan.send(2);
        assert_eq!(sender.loan_many(0).map(drop).unwrap_err().kind(), Kind::BadInput);
        assert_eq!(*receiver.recv_many().unwrap(), [1, 2, 3, 4, 5]);
        assert_eq!(sender.try_send_many(&[6, 7, 8]).unwrap(), 3);
        assert_eq!(*receiver.try_recv_many().unwrap().unwrap(), [6, 7, 8]);
        let ten: Vec<_> = (0..10).collect();
        assert_eq!(sender.try_send_many(&ten).unwrap(), 8);
        assert_eq!(sender.try_send_many(&ten[8..]).unwrap(), 0);
        assert_eq!(*receiver.recv_many().unwrap(), ten[..8]);
        drop(sender);
        assert_eq!(receiver.recv_many().map(drop).unwrap_err().kind(), Kind::Disconnected);
        assert_eq!(receiver.try_recv_many().map(drop).unwrap_err().kind(), Kind::Disconnected);

        let (mut sender, mut receiver) = $flavour::pair::<[u8]>(4096).unwrap();
        assert_eq!(sender.longest(), receiver.longest());
        assert!(receiver.try_recv_many().unwrap().is_none());
        assert_eq!(sender.send_many(&[&b"one"[..], b"", b"three"]).unwrap(), 3);
        assert_eq!(sender.try_send_many(&[vec![4; 1500], vec![5; 1500], vec![6; 1500]]).unwrap(), 2);
        let mut batch = receiver.recv_many().unwrap();
        assert_eq!(batch.next().unwrap(), Some(&b"one"[..]));
        assert_eq!(batch.next().unwrap(), Some(&b""[..]));
        drop(batch);
        let mut batch = receiver.try_recv_many().unwrap().unwrap();
        assert_eq!(batch.next().unwrap(), Some(&b"three"[..]));
        assert_eq!(batch.next().unwrap(), Some(&[4; 1500][..]));
        assert_eq!(batch.next().unwrap(), Some(&[5; 1500][..]));
        assert_eq!(batch.next().unwrap(), None);
        drop(batch);
        drop(sender);
        assert_eq!(receiver.recv_many().map(drop).unwrap_err().kind(), Kind::Disconnected);
        assert_eq!(receiver.try_recv_many().map(drop).unwrap_err().kind(), Kind::Disconnected);
    })* };
}

#[test]
fn in_batches() {
    in_batches!(one_to_one many_to_many broadcast);
}

#[test]
fn the_newest_only() {
    let (mut sender, mut receiver) = latest::pair::<u32>(8).unwrap();
    assert_eq!((sender.capacity(), receiver.capacity()), (8, 8));
    assert!(receiver.try_recv().unwrap().is_none());
    assert_eq!(
        receiver.recv_timeout(SHORT).unwrap_err().kind(),
        Kind::TimedOut
    );
    assert_eq!((sender.level(), sender.lost()), (0, 0));
    sender.send(1).unwrap();
    let mut loan = sender.loan().unwrap();
    *loan = 2;
    loan.send();
    assert_eq!((sender.level(), sender.lost()), (1, 0));
    assert_eq!((receiver.level(), receiver.lost()), (2, 0));
    assert_eq!(*receiver.recv().unwrap(), 2);
    assert_eq!((receiver.level(), receiver.lost()), (0, 1));
    // As the others have it, though it is never full and of many the last is the newest.
    assert!(sender.try_send(3).unwrap());
    sender.send_timeout(4, SHORT).unwrap();
    let mut loan = sender.try_loan().unwrap().unwrap();
    *loan = 5;
    loan.send();
    assert_eq!(*receiver.recv_many().unwrap(), [5]);
    assert!(receiver.try_recv_many().unwrap().is_none());
    assert_eq!(sender.send_many(&[6, 7]).unwrap(), 2);
    assert_eq!(sender.try_send_many(&[8, 9]).unwrap(), 2);
    let mut loan = sender.loan_many(3).unwrap();
    assert_eq!(loan.len(), 1);
    loan[0] = 2;
    loan.send(3);
    sender.loan_many(1).unwrap().send(0);
    assert_eq!(
        sender.loan_many(0).map(drop).unwrap_err().kind(),
        Kind::BadInput
    );
    let batch = receiver.try_recv_many().unwrap().unwrap();
    assert_eq!((&*batch, batch.missed()), (&[2][..], 4));
    assert!(sender.is_connected() && receiver.is_connected());
    sender.close();
    assert_eq!(receiver.recv().unwrap_err().kind(), Kind::Disconnected);
    assert_eq!(receiver.try_recv().unwrap_err().kind(), Kind::Disconnected);
    let gone = receiver.recv_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(gone.kind(), Kind::Disconnected);
    assert_eq!(receiver.latest().unwrap().as_deref(), Some(&2));
    receiver.close();

    let (mut sender, mut receiver) = latest::pair::<[u8]>(64).unwrap();
    assert_eq!((sender.longest(), receiver.longest()), (64, 64));
    assert_eq!(sender.send(&[0; 65]).unwrap_err().kind(), Kind::TooBig);
    sender.send(b"one").unwrap();
    let mut loan = sender.loan(64).unwrap();
    loan.fill(2);
    loan.truncate(2);
    loan.send();
    assert_eq!(&*receiver.recv().unwrap(), [2, 2]);
    assert!(sender.try_send(b"three").unwrap());
    sender.send_timeout(b"four", SHORT).unwrap();
    drop(sender.try_loan(7).unwrap().unwrap());
    assert_eq!(sender.send_many(&["five", "six"]).unwrap(), 2);
    assert_eq!(sender.try_send_many(&["seven"]).unwrap(), 1);
    let mut batch = receiver.try_recv_many().unwrap().unwrap();
    assert_eq!(batch.missed(), 4);
    assert_eq!(batch.next().unwrap(), Some(&b"seven"[..]));
    assert_eq!(batch.next().unwrap(), None);
    sender.send(b"eight").unwrap();
    assert_eq!(
        receiver.recv_many().unwrap().next().unwrap(),
        Some(&b"eight"[..])
    );
}
