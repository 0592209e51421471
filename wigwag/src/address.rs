//! Address: one line that says which object of which facility, `scheme:name?option=value&…`.
//!
//! Any facility can be opened from one: `mq:/jobs?depth=10`, `fifo:/tmp/f`,
//! `unix:@abstract`, `tcp:localhost:80`, `sysv-mq:0x1234`, `ofd:/var/lib/db?range=0..100`.
//! `scheme://…` means the same. A byte that is no text, and a `?`, `%` or control character
//! in a name, is written `%XX`. Parsing checks the form only; the
//! [catalog](crate::catalog) knows the schemes and options.
//!
//! ```
//! use wigwag::Address;
//!
//! let address: Address = "mq:///jobs?depth=10".parse()?;
//! assert_eq!(address.scheme(), "mq");
//! assert_eq!(address.name(), b"/jobs");
//! assert_eq!(address.options().get("depth"), Some("10"));
//! assert_eq!(address.to_string(), "mq:/jobs?depth=10");
//! # Ok::<(), wigwag::Error>(())
//! ```

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::error::{Error, Kind, Result};
use crate::options::Options;

/// Which object of which facility, with options.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    scheme: String,
    name: Vec<u8>,
    options: Options,
}

impl Address {
    /// The address of `name` under `scheme`, without options.
    ///
    /// # Errors
    /// [`Kind::BadAddress`] when `scheme` is not letters, digits, `+`, `-` and `.` after a letter.
    pub fn new(scheme: &str, name: impl Into<Vec<u8>>) -> Result<Self> {
        let name = name.into();
        if !is_scheme(scheme) {
            return Err(bad(
                scheme,
                "a scheme is a letter, then letters, digits, +, - and .",
            ));
        }
        Ok(Address {
            scheme: scheme.to_ascii_lowercase(),
            name,
            options: Options::default(),
        })
    }

    /// The same address with one more option.
    #[must_use]
    pub fn with_option(mut self, key: &str, value: &str) -> Self {
        self.options.set(key, value);
        self
    }

    /// Which facility: `"mq"`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The name's bytes, decoded; empty when it has none.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// What stands after the `?`.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(bad(
                text,
                "the scheme is missing: write scheme:name, such as mq:/jobs",
            )
            .with_hint("wigwag facilities lists the schemes"));
        };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (name, options) = match rest.split_once('?') {
            Some((name, options)) => (name, Some(options)),
            None => (rest, None),
        };
        let mut address = Address::new(scheme, decode(name)).map_err(|_| {
            bad(
                text,
                "a scheme is a letter, then letters, digits, +, - and .",
            )
        })?;
        for option in options
            .unwrap_or_default()
            .split('&')
            .filter(|option| !option.is_empty())
        {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let decoded = |part: &str| {
                String::from_utf8(decode(part))
                    .map_err(|_| bad(text, "an option is not UTF-8 text"))
            };
            let key = decoded(key)?;
            if key.is_empty() {
                return Err(bad(text, "an option has no name: write ?option=value"));
            }
            if address.options.get(&key).is_some() {
                return Err(bad(text, &format!("the option {key} is given twice")));
            }
            address.options.set(&key, &decoded(value)?);
        }
        Ok(address)
    }
}

impl TryFrom<&OsStr> for Address {
    type Error = Error;

    /// As from text; bytes that are no text must be written `%XX`.
    fn try_from(text: &OsStr) -> Result<Self> {
        match text.to_str() {
            Some(text) => text.parse(),
            None => Err(bad(&text.to_string_lossy(), "it is not UTF-8")
                .with_hint("write each byte that is no text as %XX, such as %FF")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if self.name.starts_with(b"//") {
            // Otherwise the name's own slashes would be taken for those of `scheme://`.
            f.write_str("//")?;
        }
        encode(f, &self.name, b"?%")?;
        for (index, (key, value)) in self.options.iter().enumerate() {
            f.write_char(if index == 0 { '?' } else { '&' })?;
            encode(f, key.as_bytes(), b"?%&=")?;
            if !value.is_empty() {
                f.write_char('=')?;
                encode(f, value.as_bytes(), b"%&")?;
            }
        }
        Ok(())
    }
}

fn bad(address: &str, why: &str) -> Error {
    Error::new(Kind::BadAddress, "understand", "address", address, why)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// A `%` that two hexadecimal digits do not follow stands for itself.
fn decode(text: &str) -> Vec<u8> {
    let hex = |byte: Option<&u8>| byte.and_then(|b| (*b as char).to_digit(16));
    let mut bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    while let [first, rest @ ..] = bytes {
        match (first, hex(rest.first()), hex(rest.get(1))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                bytes = &rest[2..];
            }
            _ => {
                decoded.push(*first);
                bytes = rest;
            }
        }
    }
    decoded
}

fn encode(f: &mut fmt::Formatter<'_>, bytes: &[u8], special: &[u8]) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || (c.is_ascii() && special.contains(&(c as u8))) {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    write!(f, "%{byte:02X}")?;
                }
            } else {
                f.write_char(c)?;
            }
        }
        for byte in chunk.invalid() {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}
