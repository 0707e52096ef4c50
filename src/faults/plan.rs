//! What is to happen at which visit of which point, and how that is written.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use nyc311_notation::quantity::parse_duration;

use super::point::Point;

/// Says how faults are written.
pub const FORM: &str = "faults as `writer:commit:after=abort` or, for the third visit of the point, \
                        `writer:commit:after=abort@3`, separated by commas; kinds are `abort`, `panic`, `error`, `hang` \
                        and `delay:500ms`";

/// What a point does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    Abort,
    Panic,
    Error,
    Hang,
    Delay(Duration),
}

/// One fault: it strikes once, at one visit of its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub point: Point,
    pub kind: FaultKind,
    /// Which visit, counted from 1 on.
    pub visit: NonZeroU32,
}

/// Why a text names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error("has {0:?}, which is not POINT=KIND or POINT=KIND@VISIT")]
    Form(String),
    #[error("names the point {name:?}, which does not exist; the nearest name is {nearest}")]
    UnknownPoint { name: String, nearest: Point },
    #[error("has the kind {0:?}, which does not exist")]
    UnknownKind(String),
    #[error("has a delay that {0}")]
    Delay(String),
    #[error("has the visit {0:?}, which is not a whole number from 1 on")]
    Visit(String),
    #[error("has two faults for visit {visit} of {point}")]
    Twice { point: Point, visit: NonZeroU32 },
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abort => formatter.write_str("abort"),
            Self::Panic => formatter.write_str("panic"),
            Self::Error => formatter.write_str("error"),
            Self::Hang => formatter.write_str("hang"),
            Self::Delay(delay) => write!(formatter, "delay:{}ms", delay.as_millis()),
        }
    }
}

impl FromStr for FaultKind {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        Ok(match text.split_once(':') {
            None if text == "abort" => Self::Abort,
            None if text == "panic" => Self::Panic,
            None if text == "error" => Self::Error,
            None if text == "hang" => Self::Hang,
            Some(("delay", delay)) => {
                Self::Delay(parse_duration(delay).map_err(|error| FaultError::Delay(error.to_string()))?)
            }
            _ => return Err(FaultError::UnknownKind(text.to_owned())),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.point, self.kind)?;
        match self.visit {
            NonZeroU32::MIN => Ok(()),
            visit => write!(formatter, "@{visit}"),
        }
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (name, told) = text.split_once('=').ok_or_else(|| FaultError::Form(text.to_owned()))?;
        let (kind, visit) = match told.split_once('@') {
            None => (told, NonZeroU32::MIN),
            Some((kind, visit)) => (kind, visit.parse().map_err(|_| FaultError::Visit(visit.to_owned()))?),
        };
        let point = Point::find(name).ok_or_else(|| FaultError::UnknownPoint {
            name: name.to_owned(),
            nearest: Point::nearest(name),
        })?;
        Ok(Self { point, kind: kind.parse()?, visit })
    }
}

/// Reads faults that are separated by commas; an empty text has none.
///
/// # Errors
/// The first that is none, or that no visit would ever come to.
pub fn parse(text: &str) -> Result<Vec<Fault>, FaultError> {
    let mut faults: Vec<Fault> = Vec::new();
    for written in text.split(',').map(str::trim).filter(|written| !written.is_empty()) {
        let fault: Fault = written.parse()?;
        if faults.iter().any(|other| (other.point, other.visit) == (fault.point, fault.visit)) {
            return Err(FaultError::Twice { point: fault.point, visit: fault.visit });
        }
        faults.push(fault);
    }
    Ok(faults)
}

/// A fault, and how many visits of its point are to come until it strikes.
#[derive(Debug)]
struct Armed {
    point: Point,
    kind: FaultKind,
    visits_left: u32,
}

/// What is armed.
#[derive(Debug)]
pub(super) struct Plan(Vec<Armed>);

impl Plan {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn arm(&mut self, Fault { point, kind, visit }: Fault) {
        self.0.push(Armed { point, kind, visits_left: visit.get() });
    }

    /// Counts a visit; returns what it is to do, which is armed no longer.
    pub(super) fn due(&mut self, point: Point) -> Option<FaultKind> {
        for armed in self.0.iter_mut().filter(|armed| armed.point == point) {
            armed.visits_left = armed.visits_left.saturating_sub(1);
        }
        let due = self.0.iter().position(|armed| armed.visits_left == 0)?;
        Some(self.0.remove(due).kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: Point = Point::named("writer:commit:after");

    #[test]
    fn faults_are_read_as_they_are_written() {
        let text = "writer:commit:after=abort,writer:commit:after=delay:500ms@3,poller:finish:before=hang@2";
        let faults = parse(text).unwrap();
        assert_eq!(faults.len(), 3);
        assert_eq!(
            (faults[0].point, faults[0].kind, faults[0].visit.get()),
            (COMMITTED, FaultKind::Abort, 1)
        );
        assert_eq!(
            (faults[1].kind, faults[1].visit.get()),
            (FaultKind::Delay(Duration::from_millis(500)), 3)
        );
        let written: Vec<String> = faults.iter().map(Fault::to_string).collect();
        assert_eq!(written.join(","), text);
        assert_eq!(parse(" writer:commit:after=panic , writer:commit:after=error@2 ,").unwrap().len(), 2);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn what_is_no_fault_is_refused_with_what_is_wrong() {
        for (text, expected) in [
            (
                "writer:commit:after",
                "has \"writer:commit:after\", which is not POINT=KIND or POINT=KIND@VISIT",
            ),
            ("writer:comit:after=abort", "the nearest name is writer:commit:after"),
            ("writer:commit:after=explode", "has the kind \"explode\", which does not exist"),
            ("writer:commit:after=delay", "has the kind \"delay\", which does not exist"),
            ("writer:commit:after=delay:5", "has a delay that has no unit"),
            ("writer:commit:after=abort@0", "has the visit \"0\", which is not a whole number from 1 on"),
            ("writer:commit:after=abort@x", "has the visit \"x\", which is not a whole number from 1 on"),
            (
                "writer:commit:after=abort,writer:commit:after=hang",
                "has two faults for visit 1 of writer:commit:after",
            ),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn each_fault_strikes_once_at_its_visit() {
        let mut plan = Plan::new();
        for fault in parse("writer:commit:after=error@3,writer:commit:after=panic@2").unwrap() {
            plan.arm(fault);
        }
        let other = Point::named("writer:commit:before");
        assert_eq!(plan.due(other), None);
        let struck: Vec<_> = (0..3).map(|_| plan.due(COMMITTED)).collect();
        assert_eq!(struck, [None, Some(FaultKind::Panic), Some(FaultKind::Error)]);
        assert!(plan.is_empty());
        assert_eq!(plan.due(COMMITTED), None);
    }
}
