//! Options: the `key=value` part of an address, read with an error that names the option.

use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use crate::error::{Error, Kind, Result};

/// The options of an address, in the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Options(Vec<(String, String)>);

impl Options {
    /// The text of an option; empty when it was written without a value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// Sets an option, replacing its earlier value.
    pub fn set(&mut self, key: &str, value: &str) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((key.to_owned(), value.to_owned())),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&key[..], &value[..]))
    }

    /// An option that says yes by standing there: `temporary`, `temporary=yes`, `temporary=no`.
    ///
    /// # Errors
    /// [`Kind::BadInput`] when it is neither.
    pub fn flag(&self, key: &str) -> Result<bool> {
        match self.get(key) {
            None | Some("0" | "no" | "false" | "off") => Ok(false),
            Some("" | "1" | "yes" | "true" | "on") => Ok(true),
            Some(_) => Err(self.bad(key, "it is yes or no")),
        }
    }

    /// A value of any type that is read from text.
    ///
    /// # Errors
    /// [`Kind::BadInput`] with the type's own words, where they are for people.
    pub fn value<T: FromStr<Err: Display>>(&self, key: &str) -> Result<Option<T>> {
        self.get(key)
            .map(|text| {
                text.parse().map_err(|error: T::Err| {
                    let why = error.to_string();
                    // The words of a number are about the type, not about what was written.
                    let why = match why.as_str() {
                        "invalid digit found in string"
                        | "cannot parse integer from empty string" => "it is a whole number from 0",
                        why => why,
                    };
                    self.bad(key, why)
                })
            })
            .transpose()
    }

    /// A number of bytes: `4096`, `64K`, `1M`, `2G` (powers of 1024).
    ///
    /// # Errors
    /// [`Kind::BadInput`] when it is none, or does not fit.
    pub fn bytes(&self, key: &str) -> Result<Option<u64>> {
        let Some(text) = self.get(key) else {
            return Ok(None);
        };
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
            "" | "B" => 0,
            "K" | "KB" | "KIB" => 10,
            "M" | "MB" | "MIB" => 20,
            "G" | "GB" | "GIB" => 30,
            "T" | "TB" | "TIB" => 40,
            _ => return Err(self.bad(key, "a size is a number with K, M, G or T after it")),
        };
        digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(1 << shift))
            .map(Some)
            .ok_or_else(|| self.bad(key, "a size is a number of bytes, 64K or 1M"))
    }

    /// A file mode in octal: `0600`.
    ///
    /// # Errors
    /// [`Kind::BadInput`] when it is none.
    pub fn mode(&self) -> Result<Option<u32>> {
        let Some(text) = self.get("mode") else {
            return Ok(None);
        };
        let digits = text.strip_prefix("0o").unwrap_or(text);
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if mode <= 0o7777 && !digits.starts_with('+') => Ok(Some(mode)),
            _ => Err(self.bad("mode", "a mode is octal, such as 0600")),
        }
    }

    /// A range of bytes: `0..100`, `100..` (to the end of the file, wherever that will be).
    ///
    /// # Errors
    /// [`Kind::BadInput`] when it is none, is empty, or goes backwards.
    pub fn range(&self, key: &str) -> Result<Option<Range<u64>>> {
        let Some(text) = self.get(key) else {
            return Ok(None);
        };
        let bad = || {
            self.bad(
                key,
                "a range is START..END in bytes, such as 0..100 or 100..",
            )
        };
        let (start, end) = text.split_once("..").ok_or_else(bad)?;
        let start = if start.is_empty() {
            0
        } else {
            start.parse().map_err(|_| bad())?
        };
        let end = if end.is_empty() {
            u64::MAX
        } else {
            end.parse().map_err(|_| bad())?
        };
        if start >= end {
            return Err(self.bad(
                key,
                "the range is empty: its end must be greater than its start",
            ));
        }
        Ok(Some(start..end))
    }

    /// The error for a value that has no meaning.
    pub(crate) fn bad(&self, key: &str, why: &str) -> Error {
        let written = match self.get(key) {
            None | Some("") => key.to_owned(),
            Some(value) => format!("{key}={value}"),
        };
        Error::new(Kind::BadInput, "understand", "option", written, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, value: &str) -> Options {
        let mut options = Options::default();
        options.set(key, value);
        options
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(of("size", "64K").bytes("size").unwrap(), Some(65536));
        assert_eq!(of("size", "3").bytes("size").unwrap(), Some(3));
        assert_eq!(of("depth", "3").bytes("size").unwrap(), None);
        for bad in [
            "",
            "K",
            "-1",
            "1.5M",
            "99999999999999999999",
            "16777216T",
            "1X",
        ] {
            let error = of("size", bad).bytes("size").unwrap_err();
            assert!(error.to_string().contains("option size"), "{error}");
        }
    }

    #[test]
    fn ranges_are_half_open_and_never_empty() {
        assert_eq!(of("range", "0..100").range("range").unwrap(), Some(0..100));
        assert_eq!(
            of("range", "7..").range("range").unwrap(),
            Some(7..u64::MAX)
        );
        for bad in ["", "5", "5..5", "6..5", "a..b", "-1..2"] {
            assert!(of("range", bad).range("range").is_err(), "{bad}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(of("mode", "0640").mode().unwrap(), Some(0o640));
        for bad in ["9", "-1", "+7", "777777", "rw"] {
            assert!(of("mode", bad).mode().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_flag_is_yes_by_standing_there() {
        assert!(of("temporary", "").flag("temporary").unwrap());
        assert!(!of("temporary", "no").flag("temporary").unwrap());
        assert!(of("temporary", "perhaps").flag("temporary").is_err());
    }
}
