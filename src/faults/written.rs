//! Faults as one text, for the setting `faults.at_start`: the words of the API in one line.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use nyc311_notation::quantity::written;

use super::fault::{EXPIRES_IN, Fault, FaultKind, FaultRequest, Target};
use super::plan::MOST_ARMED;

/// Says how faults are written.
pub const FORM: &str = "faults as `writer:commit:after=abort` or, for the third visit of the point, \
                        `writer:commit:after=abort@3`, separated by commas; kinds are `abort`, `panic`, \
                        `error` or `error:deadlock`, `hang` and `delay:500ms`, for a stage by its name \
                        (`writer=kill`) `kill` too, and `enricher=corrupt`; behind it may stand \
                        `;every=2;count=3;probability=0.1;seed=7;expires_in=10m`";

/// Why a text names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error("has {0:?}, which is not POINT=KIND or POINT=KIND@VISIT")]
    Form(String),
    #[error("has the visit {0:?}, which is not a whole number from 1 on")]
    Visit(String),
    #[error("has {0:?}, which is none of every=, count=, probability=, seed= and expires_in= with its value")]
    Option(String),
    #[error("{detail}")]
    Refused { detail: String },
    #[error("has more than {MOST_ARMED} faults")]
    TooMany,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(failure) => write!(formatter, "error:{failure}"),
            Self::Delay(delay) => write!(formatter, "delay:{}", written(*delay)),
            _ => self.harm().fmt(formatter),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}=", self.target.name())?;
        match (self.target, self.kind) {
            // A stage fails in one way only.
            (Target::Stage(_), FaultKind::Error(_)) => formatter.write_str("error")?,
            (_, kind) => kind.fmt(formatter)?,
        }
        if self.skip > 0 {
            write!(formatter, "@{}", self.skip + 1)?;
        }
        for (name, number) in [("every", self.every), ("count", self.count)] {
            if number > NonZeroU64::MIN {
                write!(formatter, ";{name}={number}")?;
            }
        }
        if let Some(chance) = self.chance {
            write!(formatter, ";probability={};seed={}", chance.probability, chance.seed)?;
        }
        if self.expires_in != EXPIRES_IN {
            write!(formatter, ";expires_in={}", written(self.expires_in))?;
        }
        Ok(())
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (name, told) = text.split_once('=').ok_or_else(|| FaultError::Form(text.to_owned()))?;
        let mut parts = told.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let (kind, visit) = match kind.split_once('@') {
            None => (kind, NonZeroU64::MIN),
            Some((kind, visit)) => (kind, visit.parse().map_err(|_| FaultError::Visit(visit.to_owned()))?),
        };
        let mut request = FaultRequest { skip: Some(visit.get() - 1), ..FaultRequest::default() };
        request.place(name);
        let (kind, detail) = match kind.split_once(':') {
            None => (kind, None),
            Some((kind, detail)) => (kind, Some(detail.to_owned())),
        };
        request.fault = Some(kind.to_owned());
        match kind {
            "delay" => request.delay = detail,
            _ => request.error = detail,
        }
        for option in parts {
            take_option(&mut request, option).ok_or_else(|| FaultError::Option(option.to_owned()))?;
        }
        request.read().map_err(|refusals| FaultError::Refused {
            detail: refusals
                .first()
                .map(|refusal| in_words(refusal.field, &refusal.detail))
                .unwrap_or_default(),
        })
    }
}

/// What is wrong with a point, a stage or a kind names it already.
fn in_words(field: &str, detail: &str) -> String {
    match field {
        "point" | "stage" | "fault" => detail.to_owned(),
        _ => format!("has a fault whose {field} {detail}"),
    }
}

fn take_option(request: &mut FaultRequest, option: &str) -> Option<()> {
    let (name, value) = option.split_once('=')?;
    match name {
        "every" => request.every = Some(value.parse().ok()?),
        "count" => request.count = Some(value.parse().ok()?),
        "probability" => request.probability = Some(value.parse().ok()?),
        "seed" => request.seed = Some(value.parse().ok()?),
        "expires_in" => request.expires_in = Some(value.to_owned()),
        _ => return None,
    }
    Some(())
}

/// Reads faults that are separated by commas; an empty text has none.
///
/// # Errors
/// The first that is none.
pub fn parse(text: &str) -> Result<Vec<Fault>, FaultError> {
    let each = text.split(',').map(str::trim).filter(|each| !each.is_empty());
    let faults: Vec<Fault> = each.map(str::parse).collect::<Result<_, _>>()?;
    if faults.len() > MOST_ARMED { Err(FaultError::TooMany) } else { Ok(faults) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::faults::failure::Failure;
    use crate::faults::point::Point;

    #[test]
    fn faults_are_read_as_they_are_written() {
        let text = "writer:commit:after=abort,writer:commit:after=delay:500ms@3,poller:finish:before=hang@2,\
                    writer:commit:before=error:deadlock@5;every=2;count=3;probability=0.25;seed=7;expires_in=10m,\
                    writer=kill,poller=error,enricher=corrupt;count=4";
        let faults = parse(text).unwrap();
        assert_eq!(faults.len(), 7);
        let committed = Target::Point(Point::named("writer:commit:after"));
        assert_eq!((faults[0].target, faults[0].kind, faults[0].skip), (committed, FaultKind::Abort, 0));
        assert_eq!((faults[1].kind, faults[1].skip), (FaultKind::Delay(Duration::from_millis(500)), 2));
        assert_eq!(faults[3].kind, FaultKind::Error(Failure::Deadlock));
        assert_eq!(faults[3].expires_in, Duration::from_secs(600));
        assert_eq!(faults[6].target, Target::RawRecords);
        let written: Vec<String> = faults.iter().map(Fault::to_string).collect();
        assert_eq!(written.join(","), text);
        let spaced = parse(" writer:commit:after=panic , writer:commit:after=error@2 ; count=2 ,").unwrap();
        assert_eq!((spaced.len(), spaced[1].count.get()), (2, 2));
        assert_eq!(spaced[1].kind, FaultKind::Error(Failure::Refused), "what is not named is the plain one");
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
            ("riter=kill", "names the stage \"riter\", which does not exist; write one of control, poller"),
            ("writer:commit:after=explode", "has the kind \"explode\", which does not exist"),
            ("writer:commit:after=kill", "kills a stage; name a stage in place of the point"),
            ("writer=corrupt", "on their way into the enricher; name it as the stage"),
            ("writer:commit:after=delay", "has a fault whose delay is missing; write how long"),
            ("writer:commit:after=delay:5", "has a fault whose delay has no unit"),
            ("writer:commit:after=delay:2h", "has a fault whose delay is not above 0 and at most 60 m"),
            ("writer:commit:after=abort:deadlock", "error belongs to the fault error alone"),
            (
                "poller:finish:before=error:no_leader",
                "which poller:finish:before does not have; write one of refused",
            ),
            ("writer=error:deadlock", "and a stage is none"),
            ("writer:commit:after=abort@0", "has the visit \"0\", which is not a whole number from 1 on"),
            ("writer:commit:after=abort@x", "has the visit \"x\", which is not a whole number from 1 on"),
            ("writer:commit:after=abort;often", "has \"often\", which is none of every="),
            ("writer:commit:after=abort;count=x", "has \"count=x\", which is none of every="),
            ("writer:commit:after=abort;count=0", "count is not a whole number from 1 to 9007199254740991"),
            ("writer:commit:after=abort;seed=1", "seed decides nothing without a probability"),
            (
                "writer:commit:after=abort;probability=NaN",
                "probability is not a number above 0 and at most 1",
            ),
            ("writer:commit:after=abort;expires_in=1d", "expires_in is not above 0 and at most 60 m"),
            (&"writer=kill,".repeat(65), "has more than 64 faults"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
