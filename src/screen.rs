//! Makes text from outside harmless where a terminal may show it: what the source, the brokers, the database
//! or another service say could otherwise clear the screen, set its title, or reverse what stands beside it.
//!
//! Nothing is lost by it: a character that a terminal would obey or hide is written as its escape.

use std::borrow::Cow;
use std::io::{self, Write};

/// Whether a terminal obeys or hides the character instead of showing it: controls (C0, DEL, C1), marks and
/// overrides of direction, and what has no width.
fn is_hazardous(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

fn escaped(text: &str, keep: fn(char) -> bool, escape: fn(char, &mut String)) -> Cow<'_, str> {
    let harmful = |c: char| is_hazardous(c) && !keep(c);
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if harmful(c) { escape(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Writes `\n`, `\t`, `\u{1b}`.
fn for_people(c: char, out: &mut String) {
    out.extend(c.escape_default());
}

/// Writes what JSON and TOML read inside a text: `\u001b`.
fn for_programs(c: char, out: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}

/// Escapes one line or one cell of a table: a line end in it is not of our layout.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false, for_people)
}

/// Escapes text whose line ends are of our layout.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n', for_people)
}

/// Escapes a document of JSON or TOML, which a reader reads as before: such characters are only in its texts.
pub fn document(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n', for_programs)
}

/// How lines of the log are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEscapes {
    Text,
    /// The escapes that colour a line are the log's own: in what is logged, it has replaced them already.
    ColouredText,
    Json,
}

/// Takes whole lines of the log and writes them harmless.
pub struct LogWriter<W>(pub W, pub LogEscapes);

impl<W: Write> Write for LogWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let (text, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
        let safe = match self.1 {
            LogEscapes::Text => line(text),
            LogEscapes::ColouredText => escaped(text, |c| c == '\u{1b}', for_people),
            LogEscapes::Json => escaped(text, |_| false, for_programs),
        };
        self.0.write_all(format!("{safe}{end}").as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ESC, BEL, CR, LF, TAB, DEL, C1, and what changes the direction or has no width.
    const HARMFUL: &str = "\u{1b}\u{7}\r\n\t\0\u{7f}\u{80}\u{9b}\u{9f}\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}";

    #[test]
    fn what_a_terminal_obeys_or_hides_is_shown_instead() {
        assert_eq!(line("\u{1b}]0;title\u{7}"), "\\u{1b}]0;title\\u{7}");
        for c in HARMFUL.chars() {
            let text = format!("a{c}b");
            assert!(!line(&text).contains(c), "{c:?}");
            assert_eq!(lines(&text).contains(c), c == '\n', "{c:?}");
            assert_eq!(document(&text).contains(c), c == '\n', "{c:?}");
        }
    }

    #[test]
    fn what_people_write_is_left_alone() {
        for text in ["", "Noise - Residential", "Ñandú 東京 🗽 é", "a\\nb", "naïve — “quoted”"]
        {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn an_escaped_document_reads_as_before() {
        let value = serde_json::json!({ HARMFUL: [HARMFUL, "\u{e0001}"] });
        let written = document(&serde_json::to_string_pretty(&value).unwrap()).into_owned();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), value);
        assert!(!written.contains(|c| is_hazardous(c) && c != '\n'), "{written:?}");
        let toml = toml::Value::String("a\u{9b}\u{202e}".to_owned()).to_string();
        assert_eq!(
            toml::from_str::<toml::Table>(&document(&format!("x = {toml}"))).unwrap()["x"].as_str(),
            Some("a\u{9b}\u{202e}")
        );
    }

    #[test]
    fn a_line_of_the_log_stays_one_line_and_keeps_only_its_own_colours() {
        let written = |escapes, text: &str| {
            let mut writer = LogWriter(Vec::new(), escapes);
            writer.write_all(text.as_bytes()).unwrap();
            String::from_utf8(writer.0).unwrap()
        };
        assert_eq!(written(LogEscapes::Text, "a\u{1b}\nb\u{202e}\n"), "a\\u{1b}\\nb\\u{202e}\n");
        assert_eq!(written(LogEscapes::ColouredText, "\u{1b}[2ma\u{9b}\n"), "\u{1b}[2ma\\u{9b}\n");
        assert_eq!(written(LogEscapes::Json, "{\"a\":\"\u{9b}\"}\n"), "{\"a\":\"\\u009b\"}\n");
    }
}
