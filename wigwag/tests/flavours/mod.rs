//! Flavours: every flavour of channel, of numbers and of messages that say a number, behind one face, so that a test runs for all.
#![allow(dead_code)] // each test binary uses its share

use wigwag::Result;
use wigwag::pattern::channel::{Options, Waitable, broadcast, latest, many_to_many, one_to_one};

/// One flavour of channel, which carries numbers.
pub trait Face: Sized + Send + 'static {
    /// What the tests call it.
    const NAME: &'static str;
    type Sender: Waitable + Send + 'static;
    type Receiver: Waitable + Send + 'static;
    fn create(options: &Options, name: &str) -> Self;
    fn open(options: &Options, name: &str) -> Self;
    fn sender(&self) -> Result<Self::Sender>;
    fn receiver(&self) -> Result<Self::Receiver>;
    fn try_send(sender: &mut Self::Sender, number: u64) -> Result<bool>;
    fn try_recv(receiver: &mut Self::Receiver) -> Result<Option<u64>>;
    /// The same, noted before it is given back.
    fn try_recv_noted(receiver: &mut Self::Receiver, note: impl FnOnce(u64))
    -> Result<Option<u64>>;
    /// The same of what may be anything.
    fn try_recv_any(receiver: &mut Self::Receiver) -> Result<Option<u64>>;
    fn send(sender: &mut Self::Sender, number: u64) -> Result<()>;
    fn recv(receiver: &mut Self::Receiver) -> Result<u64>;

    /// Whether only the newest counts.
    fn is_latest() -> bool {
        Self::NAME.starts_with("latest")
    }

    /// Whether each receiver gets all.
    fn is_broadcast() -> bool {
        Self::NAME.starts_with("broadcast")
    }
}

/// What lies in a message that says a number: longer than the number, so that few fit into a page.
pub const LENGTH: usize = 200;

pub fn written(number: u64) -> [u8; LENGTH] {
    let mut bytes = [number as u8; LENGTH];
    bytes[..8].copy_from_slice(&number.to_ne_bytes());
    bytes
}

pub fn read(message: &[u8]) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&message[..8]);
    let number = u64::from_ne_bytes(number);
    assert_eq!(message, written(number), "a torn message");
    number
}

macro_rules! face {
    ($face:ident, $name:literal, $flavour:ident, $element:ty, $capacity:expr, $to:expr, $from:expr, $try_send:expr, $send:expr) => {
        pub struct $face($flavour::Channel<$element>);

        impl Face for $face {
            const NAME: &'static str = $name;
            type Sender = $flavour::Sender<$element>;
            type Receiver = $flavour::Receiver<$element>;

            fn create(options: &Options, name: &str) -> Self {
                let options = options.clone().capacity($capacity);
                $face(options.create(name).expect("create"))
            }

            fn open(options: &Options, name: &str) -> Self {
                $face(options.open(name).expect("open"))
            }

            fn sender(&self) -> Result<Self::Sender> {
                self.0.sender()
            }

            fn receiver(&self) -> Result<Self::Receiver> {
                self.0.receiver()
            }

            fn try_send(sender: &mut Self::Sender, number: u64) -> Result<bool> {
                $try_send(sender, $to(number))
            }

            fn try_recv(receiver: &mut Self::Receiver) -> Result<Option<u64>> {
                Ok(receiver.try_recv()?.map(|value| $from(&*value)))
            }

            fn try_recv_noted(
                receiver: &mut Self::Receiver,
                note: impl FnOnce(u64),
            ) -> Result<Option<u64>> {
                let value = receiver.try_recv()?;
                Ok(value.map(|value| {
                    let number = $from(&*value);
                    note(number);
                    number
                }))
            }

            fn try_recv_any(receiver: &mut Self::Receiver) -> Result<Option<u64>> {
                Ok(receiver
                    .try_recv()?
                    .map(|value| size_of_val(&*value) as u64))
            }

            fn send(sender: &mut Self::Sender, number: u64) -> Result<()> {
                $send(sender, $to(number))
            }

            fn recv(receiver: &mut Self::Receiver) -> Result<u64> {
                receiver.recv().map(|value| $from(&*value))
            }
        }
    };
}

/// The faces of one flavour.
macro_rules! faces {
    ($numbers:ident, $name:literal, $messages:ident, $other:literal, $flavour:ident) => {
        face!(
            $numbers,
            $name,
            $flavour,
            u64,
            4,
            |number| number,
            |value: &u64| *value,
            |sender: &mut $flavour::Sender<u64>, number| sender.try_send(number),
            |sender: &mut $flavour::Sender<u64>, number| sender.send(number)
        );
        face!(
            $messages,
            $other,
            $flavour,
            [u8],
            4096,
            written,
            read,
            |sender: &mut $flavour::Sender<[u8]>, bytes: [u8; LENGTH]| sender.try_send(&bytes),
            |sender: &mut $flavour::Sender<[u8]>, bytes: [u8; LENGTH]| sender.send(&bytes)
        );
    };
}

faces!(
    OneToOne,
    "one-to-one",
    OneToOneMessages,
    "one-to-one messages",
    one_to_one
);
faces!(
    Broadcast,
    "broadcast",
    BroadcastMessages,
    "broadcast messages",
    broadcast
);
faces!(
    ManyToMany,
    "many-to-many",
    ManyToManyMessages,
    "many-to-many messages",
    many_to_many
);
faces!(Latest, "latest", LatestMessages, "latest messages", latest);

/// `$run::<F>($argument)` for each flavour.
#[macro_export]
macro_rules! for_each_flavour {
    ($run:ident $(, $argument:expr)*) => {{
        use $crate::flavours::*;
        $run::<OneToOne>($($argument),*);
        $run::<OneToOneMessages>($($argument),*);
        $run::<Broadcast>($($argument),*);
        $run::<BroadcastMessages>($($argument),*);
        $run::<ManyToMany>($($argument),*);
        $run::<ManyToManyMessages>($($argument),*);
        $run::<Latest>($($argument),*);
        $run::<LatestMessages>($($argument),*);
    }};
}

/// `$run::<F>($argument)` for the flavour of this name.
#[macro_export]
macro_rules! for_the_flavour {
    ($name:expr, $run:ident $(, $argument:expr)*) => {{
        use $crate::flavours::*;
        match &*$name {
            OneToOne::NAME => $run::<OneToOne>($($argument),*),
            OneToOneMessages::NAME => $run::<OneToOneMessages>($($argument),*),
            Broadcast::NAME => $run::<Broadcast>($($argument),*),
            BroadcastMessages::NAME => $run::<BroadcastMessages>($($argument),*),
            ManyToMany::NAME => $run::<ManyToMany>($($argument),*),
            ManyToManyMessages::NAME => $run::<ManyToManyMessages>($($argument),*),
            Latest::NAME => $run::<Latest>($($argument),*),
            LatestMessages::NAME => $run::<LatestMessages>($($argument),*),
            other => panic!("no flavour is called {other}"),
        }
    }};
}
