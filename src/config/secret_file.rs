//! A secret in a file of its own, which a `..._FILE` variable names.

use super::error::SettingProblem;
use super::origin::SettingOrigin;

/// Reads a secret from the file that a variable names.
pub fn secret_of_file(
    path: &str,
    variable: &str,
    file: &str,
) -> Result<(String, SettingOrigin), Box<SettingProblem>> {
    let origin = SettingOrigin::SecretFile { variable: variable.to_owned(), file: file.to_owned() };
    let (detail, remedy) = match std::fs::read_to_string(file) {
        // The line end that editors and `echo` leave behind is no part of a secret.
        Ok(text) if !text.trim().is_empty() => return Ok((text.trim().to_owned(), origin)),
        Ok(_) => ("the file is empty".to_owned(), "write the secret into it"),
        Err(error) => (format!("cannot be read: {error}"), "name a text file that this user may read"),
    };
    Err(Box::new(SettingProblem {
        path: path.to_owned(),
        value: None,
        origin,
        detail,
        remedy: remedy.to_owned(),
    }))
}
