//! Samples: times of single operations, kept one by one; a few thousand need no histogram.

use std::time::Duration;

/// Nanoseconds, in the order in which they were measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<u64>);

impl Samples {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0
            .push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest sample that so many percent do not exceed (nearest rank); 0 without samples.
    pub(crate) fn percentile(&self, percent: f64) -> u64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_by_nearest_rank() {
        let mut samples = Samples::default();
        assert_eq!(samples.percentile(50.0), 0);
        for nanos in (1..=100).rev() {
            samples.add(Duration::from_nanos(nanos));
        }
        assert_eq!(samples.percentile(50.0), 50);
        assert_eq!(samples.percentile(99.0), 99);
        assert_eq!(samples.percentile(100.0), 100);
        assert_eq!(samples.percentile(0.0), 1);
    }
}
