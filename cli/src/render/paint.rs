//! Paint: words in colour, where that is wanted.

/// Paints words, or leaves them alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    pub(crate) fn new(wanted: bool) -> Self {
        Paint(wanted)
    }

    fn with(self, code: &str, words: &str) -> String {
        if self.0 && !words.is_empty() {
            format!("\x1b[{code}m{words}\x1b[0m")
        } else {
            words.to_owned()
        }
    }

    pub(crate) fn heading(self, words: &str) -> String {
        self.with("1", words)
    }

    pub(crate) fn good(self, words: &str) -> String {
        self.with("32", words)
    }

    pub(crate) fn bad(self, words: &str) -> String {
        self.with("1;31", words)
    }

    pub(crate) fn doubtful(self, words: &str) -> String {
        self.with("33", words)
    }

    pub(crate) fn faint(self, words: &str) -> String {
        self.with("2", words)
    }
}
