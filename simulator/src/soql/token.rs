//! Cuts a SoQL clause into words.

use super::query_error::QueryError;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A name as written, without back-quotes; `quoted` keeps it from being a keyword.
    Name {
        text: String,
        quoted: bool,
    },
    Text(String),
    Number(f64),
    Symbol(&'static str),
}

/// A token and the character where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    pub token: Token,
    pub at: usize,
}

/// Longer ones first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 14] = ["<=", ">=", "<>", "!=", "==", ":*", "=", "<", ">", "(", ")", ",", "*", "-"];

pub fn tokens(clause: &str) -> Result<Vec<Placed>, QueryError> {
    let mut found = Vec::new();
    let mut rest = clause;
    loop {
        rest = rest.trim_start();
        let at = clause.len() - rest.len();
        let Some(first) = rest.chars().next() else { return Ok(found) };
        let column = clause[..at].chars().count();
        let (token, length) = if first == '\'' {
            text(rest).ok_or_else(|| QueryError::syntax(clause, column, "the text is not closed"))?
        } else if first == '`' {
            let end = rest[1..]
                .find('`')
                .ok_or_else(|| QueryError::syntax(clause, column, "the name is not closed"))?;
            (Token::Name { text: rest[1..=end].to_owned(), quoted: true }, end + 2)
        } else if first.is_ascii_digit() || first == '.' {
            let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len());
            let number = rest[..length]
                .parse()
                .map_err(|_| QueryError::syntax(clause, column, "this is not a number"))?;
            (Token::Number(number), length)
        } else if let Some(length) = name(rest) {
            (Token::Name { text: rest[..length].to_owned(), quoted: false }, length)
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            (Token::Symbol(symbol), symbol.len())
        } else {
            return Err(QueryError::syntax(clause, column, "illegal character"));
        };
        found.push(Placed { token, at: column });
        rest = &rest[length..];
    }
}

/// Reads a quoted text; a doubled quote stands for one.
fn text(rest: &str) -> Option<(Token, usize)> {
    let mut value = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != '\'' {
            value.push(character);
        } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
            value.push('\'');
        } else {
            return Some((Token::Text(value), at + 1));
        }
    }
    None
}

/// Returns the length of the name at the beginning: `agency`, `:updated_at`, `:@computed_region_f5dn_yrer`.
fn name(rest: &str) -> Option<usize> {
    let prefix = if rest.starts_with(":@") {
        2
    } else if rest.starts_with(':') {
        1
    } else {
        0
    };
    let letters = &rest[prefix..];
    let first = letters.chars().next()?;
    if !(first.is_ascii_alphabetic() || first == '_') {
        return None;
    }
    let length =
        letters.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$')).unwrap_or(letters.len());
    Some(prefix + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(clause: &str) -> Vec<Token> {
        tokens(clause).unwrap().into_iter().map(|placed| placed.token).collect()
    }

    fn plain(text: &str) -> Token {
        Token::Name { text: text.to_owned(), quoted: false }
    }

    #[test]
    fn reads_the_paging_query() {
        assert_eq!(
            words(":updated_at >='T' AND (:id> 'I')"),
            [
                plain(":updated_at"),
                Token::Symbol(">="),
                Token::Text("T".into()),
                plain("AND"),
                Token::Symbol("("),
                plain(":id"),
                Token::Symbol(">"),
                Token::Text("I".into()),
                Token::Symbol(")"),
            ]
        );
    }

    #[test]
    fn a_doubled_quote_is_one() {
        assert_eq!(words("'O''Hara' ''"), [Token::Text("O'Hara".into()), Token::Text(String::new())]);
    }

    #[test]
    fn stars_and_names_of_all_kinds() {
        assert_eq!(
            words(":*,*, `in`,:@computed_region_a"),
            [
                Token::Symbol(":*"),
                Token::Symbol(","),
                Token::Symbol("*"),
                Token::Symbol(","),
                Token::Name { text: "in".into(), quoted: true },
                Token::Symbol(","),
                plain(":@computed_region_a"),
            ]
        );
    }

    #[test]
    fn what_is_no_word_is_refused() {
        for clause in ["'open", "`open", "a ; b", "1a", "é"] {
            assert!(tokens(clause).is_err(), "{clause}");
        }
    }
}
