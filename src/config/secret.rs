//! A value that must not appear in logs, errors or `--print-config`.

use std::fmt;

/// What stands in the place of a secret wherever it would be shown.
pub const HIDDEN: &str = "***";

/// Text that shows itself only through [`Secret::expose`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret itself; call it where it is used, never where it is shown.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Shows what an operator needs to tell one address from another: the URL without password and
    /// parameters, if it is one.
    pub fn redacted(&self) -> String {
        let Ok(mut url) = reqwest::Url::parse(&self.0) else { return HIDDEN.to_owned() };
        if url.host_str().is_none() || url.password().is_some() && url.set_password(Some(HIDDEN)).is_err() {
            return HIDDEN.to_owned();
        }
        if url.query().is_some() {
            url.set_query(Some(HIDDEN));
        }
        url.to_string()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_hidden_from_debug_and_display() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    }

    #[test]
    fn redacted_address_keeps_host_and_database_but_not_password() {
        let shown = Secret::new("postgresql://nyc:hunter2@db:5432/nyc311?sslpassword=hunter3").redacted();
        assert_eq!(shown, "postgresql://nyc:***@db:5432/nyc311?***");
        assert_eq!(Secret::new("host=db password=hunter2").redacted(), "***");
        assert_eq!(Secret::new("hunter2").redacted(), "***");
    }
}
