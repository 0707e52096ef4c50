//! How a time is written wherever others read it: in headers, answers and files.

use jiff::Timestamp;

/// Renders a time in UTC with milliseconds.
pub fn to_millis(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::to_millis;

    #[test]
    fn times_have_milliseconds_always() {
        assert_eq!(to_millis("2026-01-01T00:00:00Z".parse().unwrap()), "2026-01-01T00:00:00.000Z");
        assert_eq!(to_millis("2026-01-01T00:00:00.1234567Z".parse().unwrap()), "2026-01-01T00:00:00.123Z");
    }
}
