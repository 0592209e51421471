//! Watchdog: a thread that looks at the machine from time to time and calls back when a deadlock involves this process.
//!
//! The other threads need not cooperate, nor the other processes: it is found from outside, as `wigwag deadlocks` would.
//!
//! ```
//! use std::time::Duration;
//! use wigwag_observe::watchdog::Watchdog;
//!
//! let watchdog = Watchdog::start(Duration::from_secs(10), |graph, finding| {
//!     eprintln!("{}", graph.findings_to_json(std::slice::from_ref(finding)));
//!     std::process::abort();
//! })?;
//! # drop(watchdog);
//! # Ok::<(), std::io::Error>(())
//! ```

use crate::graph::{Finding, WaitGraph};
use crate::waits::Options;
use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A running watchdog. Dropped, it ends.
#[derive(Debug)]
#[must_use = "dropped, the watchdog ends"]
pub struct Watchdog {
    ended: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts to look every `period`, and calls `bark` once for each deadlock or dead end with a thread of this process in
    /// it or behind it. A look takes about as long as `wigwag deadlocks` does and holds no lock of the program.
    ///
    /// `bark` runs on the watchdog's thread, while the deadlocked threads are still stuck: it must not take what they have.
    ///
    /// # Errors
    /// If no thread can be started, or `/proc` cannot be read.
    pub fn start(
        period: Duration,
        mut bark: impl FnMut(&WaitGraph, &Finding) + Send + 'static,
    ) -> io::Result<Watchdog> {
        crate::proc::ProcFs::open()?;
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let told = Arc::clone(&ended);
        let watch = move || {
            let me = rustix::thread::gettid().as_raw_pid().cast_unsigned();
            let options = Options {
                bystanders: vec![me],
                ..Options::default()
            };
            let mut known: HashSet<Vec<u32>> = HashSet::new();
            loop {
                let (ended, wake) = &*told;
                let guard = ended.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = wake.wait_timeout_while(guard, period, |ended| !*ended);
                if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                    return;
                }
                let Ok(graph) = WaitGraph::capture(&options) else {
                    continue;
                };
                let ours = |tid: &u32| {
                    graph
                        .thread(*tid)
                        .is_some_and(|thread| thread.pid == std::process::id())
                };
                for finding in graph.findings() {
                    let concerns = finding.core.iter().chain(&finding.behind).any(ours);
                    if concerns && finding.verdict.is_alarm() && known.insert(finding.core.clone())
                    {
                        bark(&graph, &finding);
                    }
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("wigwag-watchdog".to_owned())
            .spawn(watch)?;
        Ok(Watchdog {
            ended,
            thread: Some(thread),
        })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let (ended, wake) = &*self.ended;
        *ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // Dropped by its own call-back, it ends after that.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}
