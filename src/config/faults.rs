//! Settings of the faults that are armed on purpose.

use super::form::{Described, Form, Shown, Switch};
use super::section::settings;
use super::written::Written;
use crate::faults::{FORM, Fault, parse};

settings! {
    /// Where the program breaks on purpose.
    FaultSettings "faults" {
        enabled: bool = false, Switch,
            "Whether faults may be armed, by `faults.at_start` and by `POST /v1/faults`.",
            "Off, nothing can break the program on purpose: the API answers 403, and `faults.at_start` is refused.";
        at_start: Vec<Fault> = Vec::new(), Faults,
            "Where the program breaks, and how, from its start on, in every command; `nyc311 fault list` lists the points.",
            "Refused unless faults.enabled is set; a point that does not exist would never be reached. Each ends by itself, after five minutes if it does not say otherwise.";
    }
}

/// Faults at points of the program, or none.
struct Faults;

impl Described for Faults {
    fn allowed(&self) -> String {
        FORM.to_owned()
    }
}

impl Form<Vec<Fault>> for Faults {
    fn read(&self, written: &Written) -> Result<Vec<Fault>, String> {
        parse(written.text()?).map_err(|error| error.to_string())
    }

    fn shown(&self, value: &Vec<Fault>) -> Option<Shown> {
        let written: Vec<String> = value.iter().map(Fault::to_string).collect();
        (!written.is_empty()).then(|| Shown::Text(written.join(",")))
    }
}
