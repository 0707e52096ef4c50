//! Where and why a text is not JSON.

/// Says where a text stops being JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The index of the byte that breaks the grammar; the length of the text where it ends too early.
    pub at: usize,
    /// The text ended where more was due, as it does when an answer is cut off.
    pub ended: bool,
    /// What JSON has in this place.
    pub expected: &'static str,
    /// The row of the page that it is in or follows, counted from 1; 0 outside of rows.
    pub row: usize,
}

impl JsonError {
    #[cold]
    pub(crate) fn new(text: &[u8], at: usize, expected: &'static str) -> Self {
        Self { at: at.min(text.len()), ended: at >= text.len(), expected, row: 0 }
    }

    pub(crate) fn in_row(self, row: usize) -> Self {
        Self { row, ..self }
    }
}

pub(crate) const VALUE: &str = "a value";
pub(crate) const NAME: &str = "the name of a field in double quotes";
pub(crate) const COLON: &str = "a colon after the name of a field";
pub(crate) const COMMA_OR_BRACE: &str = "a comma or `}`";
pub(crate) const COMMA_OR_BRACKET: &str = "a comma or `]`";
pub(crate) const CLOSING_QUOTE: &str = "the closing quote of a text";
