//! Faults on request: what they are, which requests they hit, and what they do to an answer.

use std::str::FromStr;
use std::time::Duration;

use parking_lot::Mutex;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 429 with `Retry-After`.
    TooManyRequests,
    /// 500, or another `status`.
    ServerError,
    /// The answer comes after `delay`.
    Slow,
    /// The connection breaks in the middle of the body.
    Truncated,
    /// 200 with a page of HTML.
    NotJson,
    /// One more element in the page that is JSON and no usable row.
    MalformedRow,
    /// One more element in the page that is not quite JSON.
    BrokenRow,
    /// One row of the page comes twice.
    RepeatedRow,
    /// The page has no more than `rows`, whatever was asked for.
    Capped,
    /// `$order` is ignored: the page is the end of what was asked for, backwards.
    Unordered,
    /// The rows of the page stand in it backwards.
    Reversed,
    /// A replica answers that is `behind`.
    LaggingReplica,
}

/// A fault and the requests it hits: those after the first `skip`, every `every`th of them, at most `count`
/// times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub kind: FaultKind,
    #[serde(default)]
    pub skip: u64,
    #[serde(default = "one", deserialize_with = "every")]
    pub every: u64,
    /// None: for ever.
    #[serde(default, deserialize_with = "count")]
    pub count: Option<u64>,
    #[serde(default, with = "duration", skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    #[serde(default, with = "duration", skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    #[serde(default, with = "duration", skip_serializing_if = "Option::is_none")]
    pub behind: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The malformed row; without it they take turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<serde_json::Value>,
    /// The text of the broken row; without it they take turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Where in the page a row is put in: 0 is before the first. Without it, in the middle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<usize>,
}

fn one() -> u64 {
    1
}

fn every<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        0 => {
            Err(D::Error::custom("every is 0, and there is no request between two; write 1 for each request"))
        }
        every => Ok(every),
    }
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Option::deserialize(deserializer)? {
        Some(0) => {
            Err(D::Error::custom("count is 0, so the fault would hit nothing; leave it out to hit for ever"))
        }
        count => Ok(count),
    }
}

impl Fault {
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            skip: 0,
            every: 1,
            count: None,
            retry_after: None,
            delay: None,
            behind: None,
            status: None,
            row: None,
            text: None,
            rows: None,
            at: None,
        }
    }

    pub fn times(mut self, count: u64) -> Self {
        self.count = Some(count.max(1));
        self
    }

    pub fn after(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    pub fn every(mut self, every: u64) -> Self {
        self.every = every.max(1);
        self
    }
}

/// Reads `kind`, or `kind,key=value,…` with the fields of a fault:
/// `too_many_requests,count=2,retry_after=1s`.
impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut members = serde_json::Map::new();
        for (index, part) in text.split(',').enumerate() {
            let (name, value) = match (index, part.split_once('=')) {
                (0, None) => ("kind", part),
                (_, Some((name, value))) => (name, value),
                (_, None) => return Err(format!("`{part}` is not of the form key=value")),
            };
            let value = match value.parse::<u64>() {
                Ok(number) => number.into(),
                Err(_) => value.into(),
            };
            members.insert(name.trim().to_owned(), value);
        }
        serde_json::from_value(members.into()).map_err(|error| error.to_string())
    }
}

/// Durations as people write them: `500ms`, `2h`.
mod duration {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(duration) => serializer.collect_str(&humantime::format_duration(*duration)),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let read = |text: String| {
            nyc311_notation::quantity::duration(&text)
                .map_err(|error| D::Error::custom(format!("{text:?} {error}")))
        };
        text.map(read).transpose()
    }
}

/// The faults that are armed.
#[derive(Default)]
pub struct Faults {
    armed: Mutex<Vec<Armed>>,
}

struct Armed {
    fault: Fault,
    seen: u64,
    hits: u64,
}

impl Faults {
    pub fn add(&self, fault: Fault) {
        self.armed.lock().push(Armed { fault, seen: 0, hits: 0 });
    }

    pub fn clear(&self) {
        self.armed.lock().clear();
    }

    /// Returns the faults with what is left of their counts.
    pub fn list(&self) -> Vec<Fault> {
        let left = |armed: &Armed| Fault {
            count: armed.fault.count.map(|count| count - armed.hits),
            ..armed.fault.clone()
        };
        self.armed.lock().iter().map(left).collect()
    }

    /// Notes a request; returns the faults that hit it.
    pub fn strike(&self) -> Vec<Fault> {
        let mut armed = self.armed.lock();
        let mut striking = Vec::new();
        for candidate in armed.iter_mut() {
            candidate.seen += 1;
            let turn = candidate.seen.checked_sub(candidate.fault.skip + 1);
            if turn.is_some_and(|turn| turn.is_multiple_of(candidate.fault.every.max(1))) {
                candidate.hits += 1;
                striking.push(candidate.fault.clone());
            }
        }
        armed.retain(|armed| armed.fault.count.is_none_or(|count| armed.hits < count));
        striking
    }
}

/// Rows that are JSON and of no use.
const MALFORMED_ROWS: [&str; 6] = [
    r#"{"unique_key":"not a number","created_date":"2026-01-01T00:00:00.000","agency":"NYPD"}"#,
    "42",
    "null",
    r#"{"created_date":"2026-01-01T00:00:00.000","borough":"QUEENS"}"#,
    r#"["a","row"]"#,
    r#"{"unique_key":"1","created_date":"the day before yesterday","borough":"BRONX"}"#,
];

/// Rows that are not JSON and can be told apart.
const BROKEN_ROWS: [&str; 8] = [
    "{\"unique_key\":\"99000000\",\"created_date\":\"2026-01-01T00:00:00.000\",\"descriptor\":\"a\tb\"}",
    "{\"unique_key\":\"99000001\",\"created_date\":\"2026-01-01T00:00:00.000\",\"descriptor\":\"a\u{1}b\"}",
    "{\"unique_key\":\"99000002\",\"created_date\":\"2026-01-01T00:00:00.000\",\"descriptor\":\"a\0b\"}",
    r#"{"unique_key":"99000003","created_date":"2026-01-01T00:00:00.000","descriptor":"a\xb"}"#,
    r#"{"unique_key":"99000004","created_date":"2026-01-01T00:00:00.000","latitude":NaN}"#,
    r#"{"unique_key":"99000005","created_date":"2026-01-01T00:00:00.000","council_district":007}"#,
    r#"{"unique_key":"99000006","created_date":"2026-01-01T00:00:00.000","descriptor":"5" pipe"}"#,
    r#"{"unique_key":"99000007","created_date":"2026-01-01T00:00:00.000","agency":"NYPD",}"#,
];

/// Returns the row that is not quite JSON that the fault puts in.
pub fn broken_row(fault: &Fault, turn: u64) -> String {
    let in_turn = || BROKEN_ROWS[(turn % BROKEN_ROWS.len() as u64) as usize].to_owned();
    fault.text.clone().unwrap_or_else(in_turn)
}

/// Returns the row that the fault puts in.
pub fn malformed_row(fault: &Fault, turn: u64) -> String {
    match &fault.row {
        Some(row) => row.to_string(),
        None => MALFORMED_ROWS[(turn % MALFORMED_ROWS.len() as u64) as usize].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(fault: Fault, requests: usize) -> Vec<bool> {
        let faults = Faults::default();
        faults.add(fault);
        (0..requests).map(|_| !faults.strike().is_empty()).collect()
    }

    #[test]
    fn strikes_when_it_is_due() {
        let slow = || Fault::new(FaultKind::Slow);
        assert_eq!(hits(slow().times(2), 4), [true, true, false, false]);
        assert_eq!(hits(slow().after(1).times(1), 3), [false, true, false]);
        assert_eq!(hits(slow().every(2), 5), [true, false, true, false, true]);
    }

    #[test]
    fn is_written_as_one_word_or_more() {
        let fault: Fault = "too_many_requests,count=2,retry_after=1500ms,every=3".parse().unwrap();
        assert_eq!(fault.kind, FaultKind::TooManyRequests);
        assert_eq!(
            (fault.count, fault.every, fault.retry_after),
            (Some(2), 3, Some(Duration::from_millis(1500)))
        );
        assert_eq!("slow".parse::<Fault>().unwrap().delay, None);
        for wrong in ["", "nonsense", "slow,delay", "slow,delay=soon", "slow,what=1"] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
        for wrong in ["count", "every"] {
            let error = format!("slow,{wrong}=0").parse::<Fault>().unwrap_err();
            assert!(error.starts_with(&format!("{wrong} is 0")), "{error}");
        }
    }

    #[test]
    fn is_listed_as_it_is_given() {
        let fault: Fault = "lagging_replica,behind=2h,count=1".parse().unwrap();
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
    }
}
