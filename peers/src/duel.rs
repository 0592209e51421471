//! Duel: two ways of doing the same, timed in turn so that a noisy machine troubles both alike.
//!
//! A round times a short burst of one and at once a burst of the other, and every other round the
//! other way about; its ratio compares neighbours in time. The median of the rounds' ratios
//! is steady where neither's own median is. A burst takes about [`BURST`], shorter than a time slice.

use std::time::{Duration, Instant};

use crate::row::{Must, Row};

/// How long a burst takes.
const BURST: Duration = Duration::from_micros(400);

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Alternations.
    pub rounds: u32,
}

/// Times `ours` against `theirs`; each call does the operation once.
pub fn duel<E>(
    effort: Effort,
    name: &str,
    peer: &str,
    must: Must,
    mut ours: impl FnMut() -> Result<(), E>,
    mut theirs: impl FnMut() -> Result<(), E>,
) -> Result<Row, E> {
    let repeat = calibrated(&mut theirs)?;
    burst(repeat, &mut ours)?;
    let (mut our_times, mut their_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..effort.rounds {
        let (our_time, their_time) = if round % 2 == 0 {
            let our_time = burst(repeat, &mut ours)?;
            (our_time, burst(repeat, &mut theirs)?)
        } else {
            let their_time = burst(repeat, &mut theirs)?;
            (burst(repeat, &mut ours)?, their_time)
        };
        our_times.push(our_time);
        their_times.push(their_time);
        ratios.push(our_time / their_time);
    }
    Ok(Row {
        name: name.to_owned(),
        peer: peer.to_owned(),
        ours: median(&mut our_times),
        theirs: median(&mut their_times),
        unit: "ns",
        ratio: median(&mut ratios),
        must,
    })
}

/// How many operations make a burst.
fn calibrated<E>(operation: &mut impl FnMut() -> Result<(), E>) -> Result<u32, E> {
    let mut repeat = 1;
    loop {
        let nanos = burst(repeat, operation)? * f64::from(repeat);
        if nanos >= BURST.as_nanos() as f64 || repeat >= 1 << 24 {
            return Ok(repeat);
        }
        repeat *= 2;
    }
}

/// Nanoseconds of one operation, over `repeat` of them.
fn burst<E>(repeat: u32, operation: &mut impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let start = Instant::now();
    for _ in 0..repeat {
        operation()?;
    }
    Ok(start.elapsed().as_nanos() as f64 / f64::from(repeat))
}

/// The middle value.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_do_the_same_number_of_operations_but_for_finding_it() {
        let (mut ours, mut theirs) = (0_u64, 0_u64);
        let row = duel::<()>(
            Effort { rounds: 7 },
            "name",
            "peer",
            Must::AtMost(1.0),
            || {
                ours += 1;
                std::thread::sleep(Duration::from_micros(50));
                Ok(())
            },
            || {
                theirs += 1;
                std::thread::sleep(Duration::from_micros(50));
                Ok(())
            },
        )
        .unwrap();
        assert!(
            ours >= 8 && theirs >= ours - 1 && row.ratio > 0.0,
            "{ours} {theirs} {row:?}"
        );
    }

    #[test]
    fn the_median_is_the_middle_and_an_error_ends_the_duel() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert!(median(&mut []).is_nan());
        let failed = duel(
            Effort { rounds: 5 },
            "",
            "",
            Must::AtMost(1.0),
            || Err("no"),
            || Ok(()),
        );
        assert_eq!(failed.unwrap_err(), "no");
    }
}
