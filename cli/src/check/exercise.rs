//! Exercise: one facility from its first byte to its end.

use std::time::{Duration, Instant};

use wigwag::catalog::Entry;
use wigwag::pattern::channel;

use super::fork::Forked;
use super::meeting::Meeting;
use super::peer::{self, Side};
use super::play::{About, Fault, Play, Result, Task};
use super::sample::Samples;
use super::scene::Scene;
use super::second::Second;
use super::verdict::{Check, Figures, Unit, Verdict};

/// How long each measurement goes on.
const BRIEFLY: Duration = Duration::from_millis(100);

/// What a round trip carries, in bytes.
const SMALL: usize = 64;

/// The flavours in which a facility is checked; of most there is one, without a name.
pub(crate) fn flavours(entry: &Entry) -> Vec<Option<&'static str>> {
    if entry.facility.id == channel::FACILITY.id {
        channel::FLAVOURS.map(|(name, _)| Some(name)).to_vec()
    } else {
        vec![None]
    }
}

/// Checks one facility.
pub(crate) fn check(entry: &'static Entry, flavour: Option<&'static str>, scene: &Scene) -> Check {
    let facility = entry.facility;
    let told = |verdict, why, figures| Check {
        scheme: facility.id,
        title: facility.title,
        flavour,
        family: facility.family.to_string(),
        verdict,
        why,
        figures,
    };
    if let Err(error) = (entry.probe)() {
        return told(Verdict::NotUsable, Some(error.to_string()), None);
    }
    let outcome = run(entry, flavour, scene);
    match (outcome, scene.clear()) {
        (Ok(figures), Ok(())) => told(Verdict::Works, None, Some(figures)),
        (Err(fault), _) => told(Verdict::Fails, Some(fault.to_string()), None),
        (Ok(figures), Err(fault)) => {
            let why = format!("it works, but what was made cannot be removed: {fault}");
            told(Verdict::Fails, Some(why), Some(figures))
        }
    }
}

fn run(entry: &'static Entry, flavour: Option<&str>, scene: &Scene) -> Result<Figures> {
    if let Some(forked) = scene.forked(entry.facility.id) {
        let Forked { mut second, play } = forked?;
        scene.enter(second.process());
        second.hear("ready")?;
        return exercise(play, &mut second);
    }
    let (mut second, ours) = scene.with_meeting(
        || Meeting::new(entry, flavour),
        |meeting| {
            let second = Second::start(entry.facility.id, meeting)?;
            meeting.is_handed();
            Ok::<_, Fault>((second, meeting.ours()))
        },
    )??;
    let process = second.process();
    scene.enter(process.clone());
    let outcome = (|| {
        let play = peer::open(entry, Side::First, &ours, || process.id().unwrap_or(0))?;
        scene.meeting(Meeting::is_open);
        second.hear("ready")?;
        exercise(play, &mut second)
    })();
    outcome.map_err(|fault| match second.last_words() {
        // What went wrong over there came first.
        Some(words) => Fault(format!("{fault}; in the second process: {words}")),
        None => fault,
    })
}

/// Small, brief, large, the other way, the end.
fn exercise(play: Box<dyn Play>, second: &mut Second) -> Result<Figures> {
    let mut run = Run {
        play,
        second,
        figures: Figures::default(),
    };
    match run.play.about() {
        About::Bytes => run.converse()?,
        About::Entries => run.contend()?,
        About::Signals => run.signal()?,
    }
    run.second.tell(Task::Ended)?;
    run.play.finish()?;
    run.second.done()?;
    Ok(run.figures)
}

struct Run<'a> {
    play: Box<dyn Play>,
    second: &'a mut Second,
    figures: Figures,
}

impl Run<'_> {
    /// A facility that carries something.
    fn converse(&mut self) -> Result<()> {
        let small = SMALL.min(self.play.large());
        // One byte, then odd sizes: what is only right for multiples of something shows.
        for size in [1, 7, small] {
            self.ask(3, size, &mut Samples::default())?;
        }
        let mut samples = Samples::default();
        let count = self.rounds(|run, count| run.ask(count, small, &mut Samples::default()))?;
        self.ask(count, small, &mut samples)?;
        self.figures.round_trip = samples;

        let large = self.play.large();
        let count = self.rounds(|run, count| run.pour(count, large))?;
        let took = self.pour(count, large)?;
        self.figures.rate_per_second = (count * large as u64) as f64 / took.as_secs_f64();
        self.figures.rate_unit = Unit::Bytes;
        self.drain(4, large)
    }

    /// A gate: both want in, as often and as fast as they can.
    fn contend(&mut self) -> Result<()> {
        const MOST_ROUNDS: u32 = 100;
        let mut entries = 0;
        let mut both = |run: &mut Self, count: u64, samples: &mut Samples| {
            let took = run.ask(count, 0, samples)?;
            entries += 2 * count;
            run.play.settle(entries)?;
            Ok::<Duration, Fault>(took)
        };
        let count = self.rounds(|run, count| both(run, count, &mut Samples::default()))?;
        let mut samples = Samples::default();
        let took = both(self, count, &mut samples)?;
        self.figures.round_trip = samples;
        self.figures.rate_per_second = (2 * count) as f64 / took.as_secs_f64();
        self.figures.rate_unit = Unit::Entries;
        // On a busy machine one may be through before the other begins.
        for _ in 0..MOST_ROUNDS {
            if self.play.settle(entries)? >= 2 {
                return Ok(());
            }
            let mut both = |run: &mut Self| {
                run.ask(count, 0, &mut Samples::default())?;
                entries += 2 * count;
                Ok::<(), Fault>(())
            };
            both(self)?;
        }
        Err(Fault("the gate was never handed over".into()))
    }

    /// Signals: a word of data there and back, then as many as will be queued.
    fn signal(&mut self) -> Result<()> {
        let mut samples = Samples::default();
        let count = self.rounds(|run, count| run.ask(count, 0, &mut Samples::default()))?;
        self.ask(count, 0, &mut samples)?;
        self.figures.round_trip = samples;
        let count = self.rounds(|run, count| run.pour(count, 0))?;
        let took = self.pour(count, 0)?;
        self.figures.rate_per_second = count as f64 / took.as_secs_f64();
        self.figures.rate_unit = Unit::Signals;
        self.drain(4, 0)
    }

    /// How many times something can be done briefly: tried with more and more until it takes long enough to tell.
    fn rounds(
        &mut self,
        mut attempt: impl FnMut(&mut Self, u64) -> Result<Duration>,
    ) -> Result<u64> {
        const MOST: u64 = 200_000;
        let mut count = 4;
        loop {
            let took = attempt(self, count)?;
            let fits = BRIEFLY.as_secs_f64() / took.as_secs_f64().max(1e-9) * count as f64;
            if took > BRIEFLY / 8 || count >= MOST {
                return Ok((fits as u64).clamp(4, MOST));
            }
            count *= 8;
        }
    }

    fn ask(&mut self, count: u64, size: usize, samples: &mut Samples) -> Result<Duration> {
        let start = Instant::now();
        self.second.tell(Task::Answer(count, size))?;
        self.play.ask(count, size, samples)?;
        self.second.done()?;
        // There and back; of a gate, both went in.
        self.count(2 * count, size);
        Ok(start.elapsed())
    }

    fn pour(&mut self, count: u64, size: usize) -> Result<Duration> {
        let start = Instant::now();
        self.second.tell(Task::Drain(count, size))?;
        self.play.pour(count, size)?;
        self.second.done()?;
        self.count(count, size);
        Ok(start.elapsed())
    }

    fn drain(&mut self, count: u64, size: usize) -> Result<()> {
        self.second.tell(Task::Pour(count, size))?;
        self.play.drain(count, size)?;
        self.second.done()?;
        self.count(count, size);
        Ok(())
    }

    fn count(&mut self, transfers: u64, size: usize) {
        self.figures.verified_transfers += transfers;
        self.figures.verified_bytes += transfers * size as u64;
    }
}
