//! Name: what an object is called, any bytes at all; shown with its odd bytes escaped so that one name is always one line.

use std::fmt;

use serde::{Serialize, Serializer};

/// A name in the kernel's bytes.
///
/// `Display` escapes control characters and bytes that are not UTF-8 (`\n`, `\x7f`); `Serialize` gives the exact text when it is
/// UTF-8 and the escaped one otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name(Vec<u8>);

impl Name {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }

    pub(crate) fn odd_bytes(&self) -> Option<Vec<u8>> {
        self.as_str().is_none().then(|| self.0.clone())
    }
}

impl From<&[u8]> for Name {
    fn from(bytes: &[u8]) -> Self {
        Name(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Name {
    fn from(bytes: Vec<u8>) -> Self {
        Name(bytes)
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Name(text.into_bytes())
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name(text.as_bytes().to_vec())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() {
                    shown.extend(character.escape_default());
                } else {
                    shown.push(character);
                }
            }
            for byte in chunk.invalid() {
                shown.push_str(&format!("\\x{byte:02x}"));
            }
        }
        out.pad(&shown)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_str() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_whatever_is_in_it() {
        assert_eq!(
            Name::from(b"a\nb\xffc\x1b[1m".as_slice()).to_string(),
            "a\\nb\\xffc\\u{1b}[1m"
        );
        assert_eq!(Name::from("grün").to_string(), "grün");
    }
}
