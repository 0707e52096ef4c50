//! Writes the members of a row straight into the page.

/// An object in the making.
pub struct RowWriter<'a> {
    pub out: &'a mut Vec<u8>,
}

impl RowWriter<'_> {
    /// Writes a member whose value is ready for JSON, with a comma before it.
    pub fn text(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.open(name);
        self.out.extend_from_slice(value.as_ref());
        self.out.push(b'"');
    }

    pub fn some(&mut self, name: &str, value: Option<impl AsRef<[u8]>>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    pub fn number(&mut self, name: &str, value: u64) {
        self.open(name);
        digits(value, 1, self.out);
        self.out.push(b'"');
    }

    pub fn local_time(&mut self, name: &str, local_ms: i64) {
        self.open(name);
        date_time(local_ms, self.out);
        self.out.push(b'"');
    }

    pub fn instant(&mut self, name: &str, at_ms: i64) {
        self.open(name);
        date_time(at_ms, self.out);
        self.out.extend_from_slice(b"Z\"");
    }

    /// Begins a member and its text.
    pub fn open(&mut self, name: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":\"");
    }
}

/// Writes a number with at least `width` digits.
pub fn digits(mut value: u64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = [b'0'; 20];
    let mut first = buffer.len();
    while value > 0 {
        first -= 1;
        buffer[first] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&buffer[first.min(buffer.len() - width)..]);
}

/// Writes degrees given in parts of 10^14, with all their digits as the city does.
pub fn degrees(value_e14: i64, out: &mut Vec<u8>) {
    const ONE: u64 = 100_000_000_000_000;
    if value_e14 < 0 {
        out.push(b'-');
    }
    digits(value_e14.unsigned_abs() / ONE, 1, out);
    out.push(b'.');
    digits(value_e14.unsigned_abs() % ONE, 14, out);
}

/// Writes `YYYY-MM-DDTHH:MM:SS.mmm`.
fn date_time(at_ms: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(at_ms.div_euclid(86_400_000));
    let of_day = at_ms.rem_euclid(86_400_000) as u64;
    digits(year, 4, out);
    for (mark, value) in [
        (b'-', month),
        (b'-', day),
        (b'T', of_day / 3_600_000),
        (b':', of_day / 60_000 % 60),
        (b':', of_day / 1_000 % 60),
    ] {
        out.push(mark);
        digits(value, 2, out);
    }
    out.push(b'.');
    digits(of_day % 1_000, 3, out);
}

/// Turns days since 1970 into year, month and day. (Hinnant's `civil_from_days`; a time-zone library would
/// cost more than the rest of the row.)
fn civil(day: i64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year.max(0) as u64, month as u64, day as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soql::write_floating;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for at_ms in (-2_300_000_000_000..4_000_000_000_000).step_by(86_399_999_983 / 7) {
            assert_eq!(
                written(|out| date_time(at_ms, out)),
                write_floating(crate::stamp::at_millisecond(at_ms))
            );
        }
    }

    #[test]
    fn numbers_keep_their_width() {
        assert_eq!(written(|out| digits(0, 1, out)), "0");
        assert_eq!(written(|out| digits(7, 5, out)), "00007");
        assert_eq!(written(|out| digits(u64::MAX, 1, out)), u64::MAX.to_string());
        assert_eq!(written(|out| degrees(-7_386_104_035_092_012, out)), "-73.86104035092012");
        assert_eq!(written(|out| degrees(4_000_000_000_000_001, out)), "40.00000000000001");
    }
}
