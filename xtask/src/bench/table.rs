//! Rows: medians side by side, their ratios, and whether what is aimed at holds.

use super::sample::{Sample, median};
use std::time::Duration;

/// What a row is to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    /// At most so many times the bare client.
    OfBare(f64),
    /// At most so many times the reference.
    OfReference(f64),
    /// At most so much of the reference's memory.
    Memory(f64),
    /// At most so much of the reference's work of processors.
    Processor(f64),
}

/// One line of the table.
#[derive(Debug, Default)]
pub(crate) struct Row {
    what: String,
    aims: Vec<Aim>,
    /// Runs of this project's program.
    pub(crate) ours: Vec<Sample>,
    /// Runs of the bare client.
    pub(crate) bare: Vec<Duration>,
    /// Runs of the reference.
    pub(crate) reference: Vec<Sample>,
}

/// Prints the titles.
pub(crate) fn head() {
    println!(
        "{:<28} {:>11} {:>11} {:>11} {:>7} {:>9} {:>17}",
        "", "ours", "bare", "reference", "/bare", "/reference", "MiB ours/ref."
    );
}

impl Row {
    /// A row without runs.
    pub(crate) fn new(what: impl Into<String>, aims: &[Aim]) -> Self {
        Self { what: what.into(), aims: aims.to_vec(), ..Self::default() }
    }

    /// Whether it is to be shown.
    pub(crate) fn has_title(&self) -> bool {
        !self.what.is_empty()
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        println!("{}", self.text());
    }

    fn text(&self) -> String {
        let time = |samples: &[Sample]| median(samples.iter().map(|sample| sample.time));
        let memory = |samples: &[Sample]| median(samples.iter().map(|sample| sample.memory));
        let ours = time(&self.ours);
        let bare = (!self.bare.is_empty()).then(|| median(self.bare.iter().copied()));
        let reference = (!self.reference.is_empty()).then(|| time(&self.reference));
        let of_bare = bare.map(|bare| ratio(ours, bare));
        let of_reference = reference.map(|reference| ratio(ours, reference));
        let memories = (memory(&self.ours), memory(&self.reference));
        let of_memory = (memories.0 > 0 && memories.1 > 0).then(|| memories.0 as f64 / memories.1 as f64);
        let processor = |samples: &[Sample]| median(samples.iter().map(|sample| sample.processor));
        let processors = (processor(&self.ours), processor(&self.reference));
        let of_processor = (!processors.1.is_zero()).then(|| ratio(processors.0, processors.1));
        let aims: Vec<String> = self
            .aims
            .iter()
            .filter_map(|aim| {
                let (name, value, limit) = match aim {
                    Aim::OfBare(limit) => ("bare", of_bare?, *limit),
                    Aim::OfReference(limit) => ("reference", of_reference?, *limit),
                    Aim::Memory(limit) => ("memory", of_memory?, *limit),
                    Aim::Processor(limit) => ("processor", of_processor?, *limit),
                };
                let verdict = if value <= limit { "holds" } else { "MISSED" };
                Some(match aim {
                    Aim::Processor(_) => {
                        let [ours, reference] = [processors.0, processors.1].map(|time| time.as_secs_f64());
                        format!("{name} {ours:.2} s / {reference:.2} s = {value:.2} <= {limit:.2} {verdict}")
                    }
                    _ => format!("{name} <= {limit:.2} {verdict}"),
                })
            })
            .collect();
        let memory = match of_memory {
            Some(_) => format!("{:.1} / {:.1}", memories.0 as f64 / 1024.0, memories.1 as f64 / 1024.0),
            None => String::new(),
        };
        format!(
            "{:<28} {:>11} {:>11} {:>11} {:>7} {:>9} {memory:>17}  {}",
            self.what,
            milliseconds(Some(ours)),
            milliseconds(bare),
            milliseconds(reference),
            times(of_bare),
            times(of_reference),
            aims.join(", ")
        )
        .trim_end()
        .to_owned()
    }
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64().max(f64::EPSILON)
}

fn milliseconds(time: Option<Duration>) -> String {
    time.map_or_else(String::new, |time| format!("{:.1} ms", time.as_secs_f64() * 1e3))
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_medians_ratios_and_whether_aims_hold() {
        let sample = |time, memory| Sample {
            time: Duration::from_millis(time),
            memory,
            processor: Duration::from_millis(time * 2),
        };
        let aims = [Aim::OfBare(1.1), Aim::OfReference(0.2), Aim::Memory(0.5), Aim::Processor(0.6)];
        let mut row = Row::new("up", &aims);
        row.ours = vec![sample(100, 10_240), sample(110, 10_240), sample(900, 10_240)];
        row.bare = vec![Duration::from_millis(105)];
        row.reference = vec![sample(220, 51_200)];
        let text = row.text();
        assert_eq!(
            text.split_whitespace().collect::<Vec<_>>().join(" "),
            "up 110.0 ms 105.0 ms 220.0 ms 1.05x 0.50x 10.0 / 50.0 bare <= 1.10 holds, reference <= 0.20 MISSED, memory <= 0.50 holds, \
             processor 0.22 s / 0.44 s = 0.50 <= 0.60 holds"
        );
    }
}
