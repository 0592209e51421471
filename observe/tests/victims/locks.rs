//! Locks of Rust's std, optimised, in a process one thread of which is never stuck: `rustc -O locks.rs && ./locks CASE`.

use std::sync::{Arc, Barrier, Mutex, RwLock};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// What a program might guard, with the locks where they happen to lie.
#[derive(Default)]
struct Shared {
    _before: [u64; 5],
    one: Mutex<Vec<u64>>,
    two: Mutex<Vec<u64>>,
    first: RwLock<Vec<u64>>,
    second: RwLock<Vec<u64>>,
}

static ONE: Mutex<u64> = Mutex::new(0);
static TWO: Mutex<u64> = Mutex::new(0);

unsafe extern "C" {
    fn gettid() -> i32;
}

fn role(name: &str) {
    println!("role {name} {} {}", std::process::id(), unsafe { gettid() });
}

fn main() {
    let case = std::env::args().nth(1).expect("a case");
    let shared = Arc::new(Shared::default());
    let met = Arc::new(Barrier::new(2));
    let (there, met_there) = (shared.clone(), met.clone());
    match case.as_str() {
        "mutex" => {
            pair(
                move || {
                    let one = shared.one.lock().unwrap();
                    met.wait();
                    let mut two = shared.two.lock().unwrap();
                    two.extend(one.iter());
                },
                move || {
                    let two = there.two.lock().unwrap();
                    met_there.wait();
                    let mut one = there.one.lock().unwrap();
                    one.extend(two.iter());
                },
            );
        }
        "rwlock" => {
            pair(
                move || {
                    let first = shared.first.read().unwrap();
                    met.wait();
                    let mut second = shared.second.write().unwrap();
                    second.extend(first.iter());
                },
                move || {
                    let second = there.second.write().unwrap();
                    met_there.wait();
                    let mut first = there.first.write().unwrap();
                    first.extend(second.iter());
                },
            );
        }
        "static" => {
            pair(
                move || {
                    let one = ONE.lock().unwrap();
                    met.wait();
                    *TWO.lock().unwrap() += *one;
                },
                move || {
                    let two = TWO.lock().unwrap();
                    met_there.wait();
                    *ONE.lock().unwrap() += *two;
                },
            );
        }
        // A waits for what C holds, who sleeps; B waits for A and has used before what C holds.
        "held" | "runs" => {
            let third = shared.clone();
            let start = Arc::new(Barrier::new(2));
            let started = start.clone();
            spawn(move || {
                start.wait();
                let mut two = third.two.lock().unwrap();
                role("C");
                met.wait();
                loop {
                    match case.as_str() {
                        "held" => sleep(Duration::from_secs(1000)),
                        _ => two.push(std::hint::black_box(1)),
                    }
                    two.truncate(9);
                }
            });
            pair(
                move || {
                    let one = shared.one.lock().unwrap();
                    met_there.wait();
                    sleep(Duration::from_millis(300));
                    let mut two = shared.two.lock().unwrap();
                    two.extend(one.iter());
                },
                move || {
                    there.two.lock().unwrap().push(1);
                    started.wait();
                    sleep(Duration::from_millis(200));
                    let mut one = there.one.lock().unwrap();
                    one.push(2);
                },
            );
        }
        "handed" => {
            for name in ["A", "B", "C", "D"] {
                let shared = shared.clone();
                spawn(move || {
                    role(name);
                    loop {
                        let mut one = shared.one.lock().unwrap();
                        let mut two = shared.two.lock().unwrap();
                        one.push(two.len() as u64);
                        two.push(1);
                        (one.truncate(3), two.truncate(3));
                        sleep(Duration::from_micros(two.len() as u64 * 100));
                    }
                });
            }
        }
        _ => panic!("no case {case}"),
    }
    loop {
        sleep(Duration::from_secs(1000));
    }
}

fn pair(a: impl FnOnce() + Send + 'static, b: impl FnOnce() + Send + 'static) {
    let tell = |name: &'static str, what: Box<dyn FnOnce() + Send>| {
        spawn(move || {
            role(name);
            what();
            panic!("it went on");
        });
    };
    tell("A", Box::new(a));
    tell("B", Box::new(b));
}
