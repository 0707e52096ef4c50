//! Settings of the faults that tests of crashes arm.

use super::form::{Described, Form, Shown, Switch};
use super::section::settings;
use super::written::Written;
use crate::faults::{FORM, Fault, parse};

settings! {
    /// Where the program breaks on purpose.
    FaultSettings "faults" {
        enabled: bool = false, Switch,
            "Whether faults may be armed, for tests of crashes.",
            "A process that serves anybody is not to be broken by a setting alone.";
        at_start: Vec<Fault> = Vec::new(), Faults,
            "Where the program breaks, and how, from its start on; `src/faults/point.rs` lists the points.",
            "Refused unless faults.enabled is set; a point that does not exist would never be reached.";
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
