//! How a time is written wherever others read it: in headers, answers and files.

use jiff::Timestamp;

/// Renders a time in UTC with milliseconds.
pub fn to_millis(time: Timestamp) -> String {
    format!("{time:.3}")
}
