//! iceoryx2: publish and subscribe, polled and lossless; and its events, which it sleeps with.

use std::io;
use std::time::{Duration, Instant};

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;

use crate::channel::sport::{DEPTH, Messages, Sport, Work};
use crate::channel::sport::{
    expect, fill, message_receiver, read, receiver, round_trip, sender, signals,
};
use crate::channel::team::{Contestant, How, Place, nothing};

pub const SAMPLES: Contestant = Contestant {
    name: "iceoryx2",
    how: How::Processes {
        bring: nothing,
        join: samples,
    },
};

pub const EVENTS: Contestant = Contestant {
    name: "iceoryx2 events",
    how: How::Processes {
        bring: nothing,
        join: events,
    },
};

pub const NAMED: Contestant = Contestant {
    name: "iceoryx2",
    how: How::Once(set_up),
};

type Service = ipc::Service;
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A node whose files begin with what all of this run begin with.
fn node(name: &str) -> Result<Node<Service>> {
    set_log_level(LogLevel::Fatal);
    // A part that was killed leaves files: they are removed in the end.
    let stem = name.rsplit_once('-').map_or(name, |(stem, _)| stem);
    let mut config = Config::default();
    config.global.prefix = FileName::new(format!("{stem}_").as_bytes())?;
    let root = std::env::temp_dir().join(stem);
    config
        .global
        .set_root_path(&Path::new(root.as_os_str().as_encoded_bytes())?);
    Ok(NodeBuilder::new()
        .config(&config)
        .signal_handling_mode(SignalHandlingMode::Disabled)
        .create()?)
}

/// Samples of this type wait in line at most so many.
fn publisher<T: std::fmt::Debug + ZeroCopySend + 'static>(
    node: &Node<Service>,
    name: &str,
    depth: usize,
) -> Result<Publisher<Service, T, ()>> {
    let service = node
        .service_builder(&name.try_into()?)
        .publish_subscribe::<T>()
        .enable_safe_overflow(false)
        .subscriber_max_buffer_size(depth)
        .max_publishers(1)
        .max_subscribers(1)
        .open_or_create()?;
    Ok(service
        .publisher_builder()
        .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
        .create()?)
}

fn subscriber<T: std::fmt::Debug + ZeroCopySend + 'static>(
    node: &Node<Service>,
    name: &str,
    depth: usize,
) -> Result<Subscriber<Service, T, ()>> {
    let service = node
        .service_builder(&name.try_into()?)
        .publish_subscribe::<T>()
        .enable_safe_overflow(false)
        .subscriber_max_buffer_size(depth)
        .max_publishers(1)
        .max_subscribers(1)
        .open_or_create()?;
    Ok(service.subscriber_builder().create()?)
}

fn samples(place: &mut Place) -> io::Result<Work> {
    let joined = match place.sport {
        Sport::RoundTrip { bytes: 8, .. } => two_ways::<1>(place),
        Sport::RoundTrip { bytes: 64, .. } => two_ways::<8>(place),
        Sport::RoundTrip { bytes: 65_536, .. } => two_ways::<8192>(place),
        Sport::RoundTrip {
            bytes: 1_048_576, ..
        } => two_ways::<131_072>(place),
        Sport::OneWay { bytes: 8, .. } => numbers(place),
        Sport::OneWay { .. } => messages(place),
        _ => Err("not in its contests".into()),
    };
    joined.map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// Round trips of so many words.
fn two_ways<const WORDS: usize>(place: &Place) -> Result<Work> {
    let node = node(&place.name)?;
    let names = ["there", "back"].map(|way| format!("{}/{way}", place.name));
    let [to, from] = [&names[place.part], &names[1 - place.part]];
    let to = publisher::<[u64; WORDS]>(&node, to, 2)?;
    let from = subscriber::<[u64; WORDS]>(&node, from, 2)?;
    let bytes = place.sport.touched();
    let send = move |number| {
        let mut sample = to.loan_uninit().map_err(failed)?;
        let start = sample.payload_mut().as_mut_ptr().cast();
        // SAFETY: the payload is this long. What is not filled are words of shared memory, and any are numbers.
        let sample = unsafe {
            fill(start, bytes, number);
            sample.assume_init()
        };
        sample.send().map_err(failed)?;
        Ok(())
    };
    let recv = move || {
        // The node has to live as long as its ports.
        let _node = &node;
        loop {
            if let Some(sample) = from.receive().map_err(failed)? {
                // SAFETY: the payload is this long.
                return unsafe { read(sample.payload().as_ptr().cast(), bytes) };
            }
        }
    };
    Ok(round_trip(place.part, send, recv))
}

fn numbers(place: &Place) -> Result<Work> {
    let node = node(&place.name)?;
    if place.sport.sends(place.part) {
        let to = publisher::<u64>(&node, &place.name, DEPTH)?;
        return Ok(sender(move |number| {
            let _node = &node;
            let sample = to.loan_uninit().map_err(failed)?;
            sample.write_payload(number).send().map_err(failed)?;
            Ok(())
        }));
    }
    let from = subscriber::<u64>(&node, &place.name, DEPTH)?;
    Ok(receiver(move || {
        let _node = &node;
        loop {
            if let Some(sample) = from.receive().map_err(failed)? {
                return Ok(*sample);
            }
        }
    }))
}

/// Byte messages: slices of any length up to one that is chosen in advance.
fn messages(place: &Place) -> Result<Work> {
    let node = node(&place.name)?;
    let service = node
        .service_builder(&place.name.as_str().try_into()?)
        .publish_subscribe::<[u8]>()
        .enable_safe_overflow(false)
        .subscriber_max_buffer_size(DEPTH)
        .max_publishers(1)
        .max_subscribers(1)
        .open_or_create()?;
    let messages = Messages::new();
    if place.sport.sends(place.part) {
        let to = service
            .publisher_builder()
            .initial_max_slice_len(place.sport.bytes())
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()?;
        return Ok(sender(move |number| {
            let _node = &node;
            let bytes = messages.get(number);
            let sample = to.loan_slice_uninit(bytes.len()).map_err(failed)?;
            sample.write_from_slice(bytes).send().map_err(failed)?;
            Ok(())
        }));
    }
    let from = service.subscriber_builder().create()?;
    Ok(message_receiver(move |taken| {
        let _node = &node;
        loop {
            if let Some(sample) = from.receive().map_err(failed)? {
                return taken.take(&sample);
            }
        }
    }))
}

/// Notifications there and back. They carry no value.
fn events(place: &mut Place) -> io::Result<Work> {
    let ports = || -> Result<(Node<Service>, Notifier<Service>, Listener<Service>)> {
        let node = node(&place.name)?;
        let names = ["there", "back"].map(|way| format!("{}/{way}", place.name));
        let event = |name: &str| -> Result<_> {
            Ok(node
                .service_builder(&name.try_into()?)
                .event()
                .open_or_create()?)
        };
        let notifier = event(&names[place.part])?.notifier_builder().create()?;
        let listener = event(&names[1 - place.part])?.listener_builder().create()?;
        Ok((node, notifier, listener))
    };
    let (node, notifier, listener) = ports().map_err(failed)?;
    let send = move || {
        let _node = &node;
        notifier.notify().map_err(failed)?;
        Ok(())
    };
    // A wait without an end can miss its notification and last for ever.
    let recv = move || {
        let second = Duration::from_secs(1);
        while listener.timed_wait(|_| (), second).map_err(failed)? == 0 {}
        Ok(())
    };
    Ok(signals(place.part, send, recv))
}

/// Node, service, both ports, eight bytes sent and received.
fn set_up(name: &str) -> io::Result<Duration> {
    let once = || -> Result<Duration> {
        let start = Instant::now();
        let node = node(name)?;
        let from = subscriber::<u64>(&node, name, 64)?;
        let to = publisher::<u64>(&node, name, 64)?;
        to.loan_uninit()?.write_payload(5).send()?;
        let sample = from.receive()?.ok_or("nothing was received")?;
        let took = start.elapsed();
        expect(*sample, 5)?;
        Ok(took)
    };
    once().map_err(failed)
}

/// Both ports of a service, alive.
pub fn ends(name: &str) -> io::Result<Box<dyn std::any::Any>> {
    let both = || -> Result<_> {
        let node = node(name)?;
        let from = subscriber::<u64>(&node, name, DEPTH)?;
        let to = publisher::<u64>(&node, name, DEPTH)?;
        Ok((node, from, to))
    };
    Ok(Box::new(both().map_err(failed)?))
}
