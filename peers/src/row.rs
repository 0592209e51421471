//! Row: one comparison, what it must be, and whether it is.

use serde::Serialize;

/// What the ratio of ours to theirs must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Must {
    /// At most this: times, where less is better.
    AtMost(f64),
    /// At least this: rates, where more is better.
    AtLeast(f64),
    /// Whatever it is: it is there to be seen.
    Shown,
}

/// One comparison.
#[derive(Debug, Clone)]
pub struct Row {
    /// What is done: `"pipe: write and read 64 B"`.
    pub name: String,
    /// Against whom: `"write(2), read(2)"`.
    pub peer: String,
    /// Our median.
    pub ours: f64,
    /// Their median.
    pub theirs: f64,
    /// Of both: `"ns"`.
    pub unit: &'static str,
    /// The median of the rounds' ratios, ours to theirs.
    pub ratio: f64,
    /// What the ratio must be.
    pub must: Must,
}

impl Row {
    /// Whether the ratio is what it must be.
    pub fn holds(&self) -> bool {
        match self.must {
            Must::AtMost(most) => self.ratio <= most,
            Must::AtLeast(least) => self.ratio >= least,
            Must::Shown => true,
        }
    }

    /// That in a word.
    pub fn verdict(&self) -> &'static str {
        match self.must {
            Must::Shown => "-",
            _ if self.holds() => "yes",
            _ => "NO",
        }
    }
}

impl std::fmt::Display for Must {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Must::AtMost(most) => write!(f, "<= {most}"),
            Must::AtLeast(least) => write!(f, ">= {}", (least * 1000.0).round() / 1000.0),
            Must::Shown => write!(f, "-"),
        }
    }
}

#[derive(Serialize)]
struct Json<'a> {
    name: &'a str,
    peer: &'a str,
    ours: f64,
    theirs: f64,
    unit: &'a str,
    ratio: f64,
    must: String,
    holds: bool,
}

/// Prints the rows as one JSON list.
pub fn print_json(rows: &[Row]) {
    let list: Vec<Json<'_>> = rows
        .iter()
        .map(|row| Json {
            name: &row.name,
            peer: &row.peer,
            ours: row.ours,
            theirs: row.theirs,
            unit: row.unit,
            ratio: row.ratio,
            must: row.must.to_string(),
            holds: row.holds(),
        })
        .collect();
    match serde_json::to_string_pretty(&list) {
        Ok(text) => println!("{text}"),
        Err(error) => eprintln!("peers: cannot print JSON: {error}"),
    }
}

/// Prints the rows for people.
pub fn print_table(rows: &[Row]) {
    let width =
        |of: fn(&Row) -> usize, least: usize| rows.iter().map(of).max().unwrap_or(0).max(least);
    let name = width(|row| row.name.chars().count(), 4);
    let peer = width(|row| row.peer.chars().count(), 4);
    println!(
        "{:name$}  {:peer$}  {:>10}  {:>10}  unit  {:>6}  {:>8}  holds",
        "what", "peer", "ours", "theirs", "ratio", "must"
    );
    for row in rows {
        println!(
            "{:name$}  {:peer$}  {:>10.1}  {:>10.1}  {:4}  {:>6.3}  {:>8}  {}",
            row.name,
            row.peer,
            row.ours,
            row.theirs,
            row.unit,
            row.ratio,
            row.must.to_string(),
            row.verdict(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_holds_on_the_right_side_of_its_bound() {
        let row = |ratio, must| Row {
            name: String::new(),
            peer: String::new(),
            ours: 1.0,
            theirs: 1.0,
            unit: "ns",
            ratio,
            must,
        };
        assert!(row(1.03, Must::AtMost(1.03)).holds());
        assert!(!row(1.04, Must::AtMost(1.03)).holds());
        assert!(row(10.0, Must::AtLeast(10.0)).holds());
        assert!(!row(9.9, Must::AtLeast(10.0)).holds());
    }
}
