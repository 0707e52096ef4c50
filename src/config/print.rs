//! What `--print-config` shows: every setting, its value, and where it came from, as a file that could be
//! read again.

use std::fmt::Write as _;

use super::reading::Effective;
use crate::screen;

/// Writes the list as TOML.
pub fn render(effective: &[Effective]) -> String {
    let mut out = String::new();
    let mut section = "";
    for line in effective {
        let (head, key) = line.path.split_once('.').unwrap_or(("", line.path));
        if head != section {
            let _ = writeln!(out, "{}[{head}]", if section.is_empty() { "" } else { "\n" });
            section = head;
        }
        let origin = line.origin.to_string();
        let origin = screen::line(&origin);
        let _ = match &line.toml {
            Some(value) => writeln!(out, "{key} = {value}  # {origin}"),
            None => writeln!(out, "# {key} is not set  # {origin}"),
        };
    }
    out
}
