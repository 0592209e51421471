//! Scene: what has to be put away when a check is interrupted or stuck.
//!
//! A thread of its own watches: an interrupt ends the second process, removes the objects and
//! ends us; a facility that is stuck loses its second process, which sets the first one free.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wigwag::signal::Receiver;

use super::fork::{self, Forked};
use super::meeting::Meeting;
use super::play::Result;
use super::second::Process;
use super::signal::Signals;
use crate::exit;
use crate::interrupt::Interrupts;

/// Longer than all waits of one facility that end by themselves.
const STUCK: Duration = Duration::from_secs(12);

/// What is on the scene now.
#[derive(Clone, Default)]
pub(crate) struct Scene(Arc<Mutex<Props>>);

#[derive(Default)]
struct Props {
    /// Forked before there were threads, until its turn comes.
    forked: Option<Result<Forked>>,
    /// Held back in all threads.
    signals: Option<Result<Receiver>>,
    meeting: Option<Meeting>,
    second: Option<(Process, Instant)>,
}

impl Props {
    fn clear(&mut self) -> Result<()> {
        if let Some((second, _)) = self.second.take() {
            second.end();
        }
        match self.meeting.take() {
            Some(mut meeting) => meeting.clean(),
            None => Ok(()),
        }
    }
}

impl Scene {
    /// A scene that is watched from now on.
    ///
    /// To be made while there is only one thread: it forks first.
    pub(crate) fn watched(interrupts: Interrupts) -> crate::failure::Result<Self> {
        let scene = Scene::default();
        scene.props().forked = Some(fork::anonymous());
        // The threads that are started from here on hold it back too, and do not die of it.
        scene.props().signals = Some(Signals::held_back());
        let watched = scene.clone();
        crate::failure::thread(move || watched.watch(&interrupts))?;
        Ok(scene)
    }

    fn props(&self) -> MutexGuard<'_, Props> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The second process that was forked for this facility, if it is one that needs that.
    pub(crate) fn forked(&self, id: &str) -> Option<Result<Forked>> {
        if id == "anon" {
            self.props().forked.take()
        } else {
            None
        }
    }

    /// Makes a meeting part of the scene and does something with it.
    pub(crate) fn with_meeting<T>(
        &self,
        make: impl FnOnce() -> Result<Meeting>,
        act: impl FnOnce(&mut Meeting) -> T,
    ) -> Result<T> {
        let mut props = self.props();
        // Made while the scene is locked, so that no interrupt finds half of it.
        Ok(act(props.meeting.insert(make()?)))
    }

    /// Does something with the meeting that is there.
    pub(crate) fn meeting<T>(&self, act: impl FnOnce(&mut Meeting) -> T) -> Option<T> {
        self.props().meeting.as_mut().map(act)
    }

    /// The second process is there from now on.
    pub(crate) fn enter(&self, second: Process) {
        self.props().second = Some((second, Instant::now()));
    }

    /// Puts everything away.
    pub(crate) fn clear(&self) -> Result<()> {
        self.props().clear()
    }

    fn watch(&self, interrupts: &Interrupts) {
        loop {
            if let Some(signal) = interrupts.next(Duration::from_millis(200)) {
                // Locked until we are gone: the other thread, set free by this, must not make the next meeting.
                let mut props = self.props();
                // What cannot be removed now cannot be told to anybody who waits.
                let _ = props.clear();
                let code = exit::SIGNALLED.wrapping_add(signal.number() as u8);
                std::process::exit(code.into());
            }
            let mut props = self.props();
            if let Some((second, _)) = props.second.take_if(|(_, since)| since.elapsed() > STUCK) {
                second.end();
                if let Some(meeting) = &mut props.meeting {
                    // Told when everything is put away; this sets free who waits at it.
                    let _ = meeting.clean();
                }
            }
        }
    }
}
