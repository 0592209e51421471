//! Text: numbers and words out of the kernel's ASCII tables, without copying.

/// The decimal number that `bytes` is, entirely.
pub(crate) fn decimal(bytes: &[u8]) -> Option<u64> {
    number(bytes, 10)
}

/// The decimal number that `bytes` is, with an optional minus sign.
pub(crate) fn signed(bytes: &[u8]) -> Option<i64> {
    match bytes.strip_prefix(b"-") {
        Some(digits) => 0i64.checked_sub_unsigned(decimal(digits)?),
        None => i64::try_from(decimal(bytes)?).ok(),
    }
}

/// The hexadecimal number that `bytes` is, with or without `0x`.
pub(crate) fn hex(bytes: &[u8]) -> Option<u64> {
    number(bytes.strip_prefix(b"0x").unwrap_or(bytes), 16)
}

/// The octal number that `bytes` is.
pub(crate) fn octal(bytes: &[u8]) -> Option<u64> {
    number(bytes, 8)
}

fn number(bytes: &[u8], radix: u64) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for &byte in bytes {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => return None,
        };
        if u64::from(digit) >= radix {
            return None;
        }
        value = value.checked_mul(radix)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// The lines of a table, without their newline.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
}

/// Words separated by any number of blanks.
#[derive(Clone)]
pub(crate) struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a [u8]) -> Self {
        Words(line)
    }

    /// What has not been read yet, without leading blanks.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0.trim_ascii_start()
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.trim_ascii_start();
        if start.is_empty() {
            return None;
        }
        let end = start
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(start.len());
        let (word, rest) = start.split_at(end);
        self.0 = rest;
        Some(word)
    }
}

/// `field` of a line `field:   value`, trimmed.
pub(crate) fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
}

/// Undoes the kernel's `\ooo` escapes of blanks and newlines in names.
pub(crate) fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'\\'
            && let Some(code) = tail.get(..3).and_then(octal)
            && let Ok(byte) = u8::try_from(code)
        {
            plain.push(byte);
            rest = &tail[3..];
        } else {
            plain.push(first);
            rest = tail;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_words_or_nothing() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal(b"18446744073709551616"), None);
        assert_eq!(decimal(b"12a"), None);
        assert_eq!(decimal(b""), None);
        assert_eq!(signed(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(hex(b"0xfe"), Some(0xfe));
        assert_eq!(octal(b"0100002"), Some(0o100_002));
        assert_eq!(octal(b"8"), None);
    }

    #[test]
    fn a_newline_in_a_name_comes_back() {
        assert_eq!(unescape(b"/tmp/a\\012b\\9"), b"/tmp/a\nb\\9");
    }
}
