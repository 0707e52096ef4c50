//! The two forms of libpq's connection strings, taken apart as far as needed to take parameters out of them.

/// A parameter that was taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    pub value: String,
}

/// Takes those parameters out of a connection string that `wanted` names; returns what is left, as it was
/// written. What is no connection string stays whole.
pub fn split(text: &str, wanted: &dyn Fn(&str) -> bool) -> (String, Vec<Parameter>) {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        split_url(text, wanted)
    } else {
        split_pairs(text, wanted)
    }
}

fn split_url(text: &str, wanted: &dyn Fn(&str) -> bool) -> (String, Vec<Parameter>) {
    // A question mark in a password is none that parameters follow.
    let credentials = text.find('@').map_or(0, |at| at + 1);
    let Some(mark) = text[credentials..].find('?').map(|at| credentials + at) else {
        return (text.to_owned(), Vec::new());
    };
    let mut taken = Vec::new();
    let mut left = Vec::new();
    for pair in text[mark + 1..].split('&') {
        match pair.split_once('=').map(|(name, value)| (decoded(name), decoded(value))) {
            Some((Some(name), Some(value))) if wanted(&name) => taken.push(Parameter { name, value }),
            _ => left.push(pair),
        }
    }
    let address = &text[..mark];
    if left.is_empty() {
        (address.to_owned(), taken)
    } else {
        (format!("{address}?{}", left.join("&")), taken)
    }
}

/// Reads what percent signs stand for; none where that is no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'%').then(|| after.get(..2)).flatten();
        let byte = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

fn split_pairs(text: &str, wanted: &dyn Fn(&str) -> bool) -> (String, Vec<Parameter>) {
    let mut taken = Vec::new();
    let mut left = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((pair, parameter, after)) = next_pair(rest) {
        if wanted(&parameter.name) {
            taken.push(parameter);
            left.push(' ');
        } else {
            left.push_str(pair);
        }
        rest = after;
    }
    left.push_str(rest);
    (left, taken)
}

/// Reads `name = value` or `name = 'quoted value'`, where a backslash takes the next letter as it is; none
/// where nothing of that form follows.
fn next_pair(text: &str) -> Option<(&str, Parameter, &str)> {
    let (name, behind) = text.split_once('=')?;
    let value_text = behind.trim_start();
    let quoted = value_text.starts_with('\'');
    let mut value = String::new();
    let mut letters = value_text.char_indices().skip(usize::from(quoted));
    let mut end = value_text.len();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.push(letters.next()?.1),
            '\'' if quoted => {
                end = at + 1;
                break;
            }
            letter if !quoted && letter.is_whitespace() => {
                end = at;
                break;
            }
            letter => value.push(letter),
        }
    }
    let after = &value_text[end..];
    let pair = &text[..text.len() - after.len()];
    Some((pair, Parameter { name: name.trim().to_owned(), value }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> (String, Vec<(String, String)>) {
        let (left, taken) = split(text, &|name| name.starts_with("ssl"));
        (left, taken.into_iter().map(|parameter| (parameter.name, parameter.value)).collect())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn parameters_are_taken_out_of_a_url_and_the_rest_stays_as_it_was() {
        assert_eq!(taken("postgresql://u:p@h/d"), ("postgresql://u:p@h/d".to_owned(), vec![]));
        assert_eq!(
            taken("postgres://u:a?sslx=1%26@h:1/d?sslmode=verify-ca&options=-c%20a%3Db&sslkey=%2Fa%20b"),
            (
                "postgres://u:a?sslx=1%26@h:1/d?options=-c%20a%3Db".to_owned(),
                vec![pair("sslmode", "verify-ca"), pair("sslkey", "/a b")]
            )
        );
        assert_eq!(
            taken("postgresql://h/d?sslmode=require"),
            ("postgresql://h/d".to_owned(), vec![pair("sslmode", "require")])
        );
    }

    #[test]
    fn parameters_are_taken_out_of_pairs_and_the_rest_stays_as_it_was() {
        let (left, parameters) =
            taken(r"host=h password='it\'s sslmode=no' sslmode = 'verify-full' sslkey=/a\ b user=u");
        assert_eq!(parameters, [pair("sslmode", "verify-full"), pair("sslkey", "/a b")]);
        let words: Vec<&str> = left.split_whitespace().collect();
        assert_eq!(words, ["host=h", r"password='it\'s", "sslmode=no'", "user=u"]);
        assert_eq!(taken("hunter2"), ("hunter2".to_owned(), vec![]));
    }
}
