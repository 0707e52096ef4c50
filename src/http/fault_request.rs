//! What callers may ask for of a fault: the body that arms one.

use serde_json::Value;

use super::fields::{pointer, unknown_field};
use super::problem::Problem;
use crate::documents::FieldError;
use crate::faults::{Fault, FaultRequest};

/// Reads a fault out of a body, naming everything that is wrong with it at once; `null` is the same as
/// leaving a field out.
pub fn fault(body: &Value) -> Result<Fault, Problem> {
    let Value::Object(fields) = body else {
        return Err(Problem::invalid_field("", body.clone(), "is not an object"));
    };
    let unknown = fields
        .iter()
        .filter(|(name, _)| !FaultRequest::FIELDS.contains(&name.as_str()))
        .map(|(name, value)| unknown_field(&pointer(name), value.clone(), name, &FaultRequest::FIELDS))
        .collect::<Vec<_>>();
    let mut reader = Reader { fields, invalid: Vec::new() };
    let request = FaultRequest {
        stage: reader.text("stage"),
        point: reader.text("point"),
        fault: reader.text("fault"),
        error: reader.text("error"),
        delay: reader.text("delay"),
        skip: reader.whole("skip", 0),
        every: reader.whole("every", 1),
        count: reader.whole("count", 1),
        probability: reader.take("probability", "is not a number", Value::as_f64),
        seed: reader.whole("seed", 0),
        expires_in: reader.text("expires_in"),
    };
    let mut invalid = reader.invalid;
    let fault = match request.read() {
        Ok(fault) => Some(fault),
        Err(refusals) => {
            for refusal in refusals {
                let pointer = pointer(refusal.field);
                // What is of the wrong type looks as if it was missing.
                if invalid.iter().all(|known| known.pointer != pointer) {
                    let value = fields.get(refusal.field).cloned().unwrap_or(Value::Null);
                    invalid.push(FieldError { pointer, value, detail: refusal.detail });
                }
            }
            None
        }
    };
    match fault {
        Some(fault) if unknown.is_empty() && invalid.is_empty() => Ok(fault),
        _ => Err(Problem::fields(unknown, invalid)),
    }
}

/// Refuses parameters: whoever gives one means some of the faults, and would clear all.
pub fn no_parameters(query: &str) -> Result<(), Problem> {
    if query.is_empty() {
        return Ok(());
    }
    let detail = "is not known here: all faults are cleared, or one by its path, /v1/faults/{id}";
    let (name, value) = query.split_once('=').unwrap_or((query, ""));
    let unknown = FieldError { pointer: pointer(name), value: Value::from(value), detail: detail.to_owned() };
    Err(Problem::fields(vec![unknown], Vec::new()))
}

struct Reader<'a> {
    fields: &'a serde_json::Map<String, Value>,
    invalid: Vec<FieldError>,
}

impl Reader<'_> {
    fn take<T>(&mut self, name: &str, wrong: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.fields.get(name).filter(|value| !value.is_null())?;
        let taken = read(value);
        if taken.is_none() {
            let detail = wrong.to_owned();
            self.invalid.push(FieldError { pointer: pointer(name), value: value.clone(), detail });
        }
        taken
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.take(name, "is not a text", |value| value.as_str().map(str::to_owned))
    }

    fn whole(&mut self, name: &str, least: u64) -> Option<u64> {
        self.take(name, &format!("is not a whole number from {least} on"), |value| {
            // JSON has one kind of numbers: 2.0 is 2.
            value.as_u64().or_else(|| {
                let number = value.as_f64()?;
                let is_whole = number.fract() == 0.0 && (0.0..=9e15).contains(&number);
                is_whole.then_some(number as u64)
            })
        })
    }
}
