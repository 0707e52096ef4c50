//! Writes results: tables for people, JSON for programs.
//!
//! Whatever a command writes goes through here, and so through [`screen`](crate::screen): most of it was said
//! by somebody else.

use std::io::{ErrorKind, Write as _};
use std::sync::OnceLock;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::screen;

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// Form of the result on stdout
    #[arg(long, value_enum, default_value = "table", value_name = "FORM")]
    pub output: Format,
}

/// Writes a line of a result for people to stdout.
pub fn print(text: &str) {
    write_out(&screen::line(text.trim_end()));
}

/// Writes a result of several lines to stdout, as [`table`] and [`pairs`] make it: line ends that somebody
/// else said are no more in it.
pub fn print_block(text: &str) {
    write_out(&screen::lines(text));
}

/// Writes a result for programs, JSON or TOML, to stdout.
pub fn print_document(text: &str) {
    write_out(&screen::document(text));
}

/// Why a result was not written, the first time that one was not.
static LOST: OnceLock<String> = OnceLock::new();

/// A reader that has gone away is no reason to fail; a result that nobody can read is one, for the end of the
/// command.
fn write_out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        LOST.get_or_init(|| error.to_string());
    }
}

/// Returns why a part of the result was not written.
pub fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}

/// Writes a document as indented JSON.
pub fn print_json(document: &impl Serialize) {
    print_document(&serde_json::to_string_pretty(document).unwrap_or_default());
}

/// Says on stderr why a command ends.
pub fn complain(message: &str) {
    note(&format!("nyc311: {message}"));
}

/// Says something on stderr, in one line, that is no result.
pub fn note(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", screen::line(message));
}

/// Lays rows out in columns; numbers are aligned to the right.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| screen::line(cell).into_owned()).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|cell| cell.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let is_number =
        |cell: &str| !cell.is_empty() && cell.chars().all(|c| c.is_ascii_digit() || c == ',' || c == '-');
    let right: Vec<bool> = (0..head.len())
        .map(|column| {
            !rows.is_empty() && rows.iter().filter_map(|row| row.get(column)).all(|cell| is_number(cell))
        })
        .collect();
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let mut out = String::new();
    for row in std::iter::once(&head).chain(&rows) {
        let cells = row.iter().zip(&widths).zip(&right).map(|((cell, width), right)| {
            if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// Lays out names and values, one pair a line.
pub fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:<width$}  {}\n", screen::line(value))).collect()
}

/// Writes a number with its thousands apart.
pub fn grouped(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        out.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Shows a value that may be missing.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_to_the_right() {
        let rows = vec![vec!["a".to_owned(), "7".to_owned()], vec!["long".to_owned(), "1,000".to_owned()]];
        assert_eq!(table(&["name", "rows"], &rows), "name   rows\na         7\nlong  1,000\n");
    }

    #[test]
    fn a_cell_forges_neither_a_line_nor_a_column() {
        let rows = vec![vec!["a\nb\u{202e}".to_owned(), "1".to_owned()]];
        assert_eq!(table(&["name", "rows"], &rows), "name          rows\na\\nb\\u{202e}     1\n");
        assert_eq!(pairs(&[("error", "x\nstate  succeeded".to_owned())]), "error  x\\nstate  succeeded\n");
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567, -1_000].map(grouped),
            ["0", "999", "1,000", "1,234,567", "-1,000"]
        );
    }
}
