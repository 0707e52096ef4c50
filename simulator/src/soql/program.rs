//! Typed expressions, and what they come to for a row.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

use super::columns::{ColumnType, KnownColumns};
use super::parse::{Comparison, Expression};
use super::query_error::QueryError;
use crate::row_id::hidden_number;

/// A value of a row or of a literal. Local times are as if they were UTC.
#[derive(Clone, Debug)]
pub enum Datum {
    Null,
    Boolean(bool),
    Text(String),
    Number(f64),
    Time(Timestamp),
    /// An id, as the number that it hides: that is what the source compares.
    RowNumber(u64),
}

impl Datum {
    /// Orders all values, nulls last as the source does.
    pub fn total_order(&self, other: &Self) -> Ordering {
        self.compare(other).unwrap_or_else(|| self.rank().cmp(&other.rank()))
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Boolean(_) => 0,
            Self::Number(_) => 1,
            Self::Text(_) => 2,
            Self::Time(_) => 3,
            Self::RowNumber(_) => 4,
            Self::Null => 5,
        }
    }

    /// Compares values of one type; a null compares with nothing.
    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Boolean(left), Self::Boolean(right)) => Some(left.cmp(right)),
            (Self::Text(left), Self::Text(right)) => Some(left.cmp(right)),
            (Self::Number(left), Self::Number(right)) => Some(left.total_cmp(right)),
            (Self::Time(left), Self::Time(right)) => Some(left.cmp(right)),
            (Self::RowNumber(left), Self::RowNumber(right)) => Some(left.cmp(right)),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncation {
    Year,
    Month,
    Day,
}

#[derive(Clone, Debug)]
pub enum Node {
    /// An index into the program's columns.
    Column(usize),
    Constant(Datum),
    Truncated(Truncation, Box<Node>),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    In {
        value: Box<Node>,
        of: Vec<Node>,
    },
    IsNull(Box<Node>),
}

/// Fetches the values of one row.
pub trait Row {
    fn value(&mut self, column: usize) -> Datum;
}

impl Node {
    pub fn evaluate(&self, row: &mut impl Row) -> Datum {
        match self {
            Self::Column(column) => row.value(*column),
            Self::Constant(value) => value.clone(),
            Self::Truncated(unit, of) => match of.evaluate(row) {
                Datum::Time(local) => Datum::Time(truncate(local, *unit)),
                _ => Datum::Null,
            },
            Self::Not(of) => truth(of.truth(row).map(|value| !value)),
            Self::And(parts) => truth(all(parts.iter().map(|part| part.truth(row)))),
            Self::Or(parts) => {
                truth(all(parts.iter().map(|part| part.truth(row).map(|value| !value))).map(|none| !none))
            }
            Self::Compare(comparison, left, right) => {
                let ordering = left.evaluate(row).compare(&right.evaluate(row));
                truth(ordering.map(|ordering| holds(*comparison, ordering)))
            }
            Self::In { value, of } => {
                let value = value.evaluate(row);
                let equal =
                    |other: &Node, row: &mut _| value.compare(&other.evaluate(row)).map(Ordering::is_eq);
                truth(all(of.iter().map(|other| equal(other, row).map(|equal| !equal))).map(|none| !none))
            }
            Self::IsNull(of) => Datum::Boolean(matches!(of.evaluate(row), Datum::Null)),
        }
    }

    /// Returns the truth of a condition, none where a null leaves it open.
    pub fn truth(&self, row: &mut impl Row) -> Option<bool> {
        match self.evaluate(row) {
            Datum::Boolean(value) => Some(value),
            _ => None,
        }
    }
}

fn truth(value: Option<bool>) -> Datum {
    value.map_or(Datum::Null, Datum::Boolean)
}

/// Joins three-valued truths: false wins over unknown, unknown over true.
fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut joined = Some(true);
    for part in parts {
        match part {
            Some(true) => {}
            Some(false) => return Some(false),
            None => joined = None,
        }
    }
    joined
}

fn holds(comparison: Comparison, ordering: Ordering) -> bool {
    match comparison {
        Comparison::Less => ordering.is_lt(),
        Comparison::LessOrEqual => ordering.is_le(),
        Comparison::Equal => ordering.is_eq(),
        Comparison::NotEqual => ordering.is_ne(),
        Comparison::GreaterOrEqual => ordering.is_ge(),
        Comparison::Greater => ordering.is_gt(),
    }
}

fn truncate(at: Timestamp, unit: Truncation) -> Timestamp {
    let local = Offset::UTC.to_datetime(at);
    let date = match unit {
        Truncation::Year => Date::new(local.year(), 1, 1).unwrap_or(local.date()),
        Truncation::Month => local.date().first_of_month(),
        Truncation::Day => local.date(),
    };
    Offset::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight())).unwrap_or(at)
}

/// Reads a local time, `2026-05-19T02:45:00.000`, or a date, as if it were UTC.
pub fn read_floating(text: &str) -> Option<Timestamp> {
    if text.ends_with(['Z', 'z']) {
        return None;
    }
    text.parse::<DateTime>().ok().and_then(|local| Offset::UTC.to_timestamp(local).ok())
}

/// Reads a point in time; one without an offset is taken for UTC, as the source does.
pub fn read_fixed(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().or_else(|| read_floating(text))
}

/// Writes a local time as the source does.
pub fn write_floating(local: Timestamp) -> String {
    format!("{:.3}", Offset::UTC.to_datetime(local))
}

/// Writes a point in time as the source does: with milliseconds, and more digits where it has more.
pub fn write_fixed(at: Timestamp) -> String {
    match at.subsec_nanosecond() % 1_000_000 {
        0 => format!("{at:.3}"),
        nanosecond if nanosecond % 1_000 == 0 => format!("{at:.6}"),
        _ => format!("{at:.9}"),
    }
}

/// Turns trees into typed nodes and notes the columns that they read.
pub struct Compiler<'a> {
    known: &'a KnownColumns,
    pub columns: Vec<(String, ColumnType)>,
}

impl<'a> Compiler<'a> {
    pub fn new(known: &'a KnownColumns) -> Self {
        Self { known, columns: Vec::new() }
    }

    pub fn column(&mut self, name: &str) -> Result<(usize, ColumnType), QueryError> {
        let kind = self.known.kind(name).ok_or_else(|| QueryError::no_such_column(name))?;
        let index = self.columns.iter().position(|(column, _)| column == name).unwrap_or_else(|| {
            self.columns.push((name.to_owned(), kind));
            self.columns.len() - 1
        });
        Ok((index, kind))
    }

    pub fn condition(&mut self, expression: &Expression) -> Result<Node, QueryError> {
        match self.expression(expression)? {
            (node, ColumnType::Boolean) => Ok(node),
            (_, kind) => Err(QueryError::type_mismatch(format!("expected boolean, found {}", kind.name()))),
        }
    }

    pub fn expression(&mut self, expression: &Expression) -> Result<(Node, ColumnType), QueryError> {
        Ok(match expression {
            Expression::Column(name) => {
                let (index, kind) = self.column(name)?;
                (Node::Column(index), kind)
            }
            Expression::Text(text) => (Node::Constant(Datum::Text(text.clone())), ColumnType::Text),
            Expression::Number(number) => (Node::Constant(Datum::Number(*number)), ColumnType::Number),
            Expression::Boolean(value) => (Node::Constant(Datum::Boolean(*value)), ColumnType::Boolean),
            Expression::Call { function, arguments } => self.call(function, arguments)?,
            Expression::Not(of) => (Node::Not(Box::new(self.condition(of)?)), ColumnType::Boolean),
            Expression::And(parts) => (Node::And(self.conditions(parts)?), ColumnType::Boolean),
            Expression::Or(parts) => (Node::Or(self.conditions(parts)?), ColumnType::Boolean),
            Expression::Compare(comparison, left, right) => {
                let (left, right) = self.alike(left, right)?;
                (Node::Compare(*comparison, Box::new(left), Box::new(right)), ColumnType::Boolean)
            }
            Expression::In { value, of, negated } => {
                let mut members = Vec::with_capacity(of.len());
                for member in of {
                    members.push(self.alike(value, member)?.1);
                }
                let value = Box::new(self.expression(value)?.0);
                (negate(Node::In { value, of: members }, *negated), ColumnType::Boolean)
            }
            Expression::IsNull { value, negated } => {
                let value = Box::new(self.expression(value)?.0);
                (negate(Node::IsNull(value), *negated), ColumnType::Boolean)
            }
        })
    }

    fn conditions(&mut self, parts: &[Expression]) -> Result<Vec<Node>, QueryError> {
        parts.iter().map(|part| self.condition(part)).collect()
    }

    fn call(&mut self, function: &str, arguments: &[Expression]) -> Result<(Node, ColumnType), QueryError> {
        let unit = match function {
            "date_trunc_y" => Truncation::Year,
            "date_trunc_ym" => Truncation::Month,
            "date_trunc_ymd" => Truncation::Day,
            _ => return Err(QueryError::no_such_function(function)),
        };
        let [argument] = arguments else {
            return Err(QueryError::type_mismatch(format!("{function} takes one argument")));
        };
        match self.expression(argument)? {
            (node, ColumnType::FloatingTimestamp) => {
                Ok((Node::Truncated(unit, Box::new(node)), ColumnType::FloatingTimestamp))
            }
            (_, kind) => Err(QueryError::type_mismatch(format!("{function} cannot take {}", kind.name()))),
        }
    }

    /// Compiles two sides of a comparison; a literal text takes the type of the other side.
    fn alike(&mut self, left: &Expression, right: &Expression) -> Result<(Node, Node), QueryError> {
        let (mut left_node, mut left_kind) = self.expression(left)?;
        let (mut right_node, mut right_kind) = self.expression(right)?;
        if let Expression::Text(text) = right {
            (right_node, right_kind) = (Node::Constant(read_literal(text, left_kind)?), left_kind);
        } else if let Expression::Text(text) = left {
            (left_node, left_kind) = (Node::Constant(read_literal(text, right_kind)?), right_kind);
        }
        if left_kind != right_kind || left_kind == ColumnType::Location {
            let detail = format!("{} cannot be compared with {}", left_kind.name(), right_kind.name());
            return Err(QueryError::type_mismatch(detail));
        }
        Ok((left_node, right_node))
    }
}

fn negate(node: Node, negated: bool) -> Node {
    if negated { Node::Not(Box::new(node)) } else { node }
}

/// Reads a literal text as a value of another type.
fn read_literal(text: &str, kind: ColumnType) -> Result<Datum, QueryError> {
    let value = match kind {
        ColumnType::Text => Some(Datum::Text(text.to_owned())),
        ColumnType::Number => text.trim().parse().ok().map(Datum::Number),
        ColumnType::FloatingTimestamp => read_floating(text).map(Datum::Time),
        ColumnType::FixedTimestamp => read_fixed(text).map(Datum::Time),
        ColumnType::RowIdentifier => Some(Datum::RowNumber(hidden_number(text.as_bytes()))),
        ColumnType::Boolean | ColumnType::Location => None,
    };
    value.ok_or_else(|| QueryError::type_mismatch(format!("'{text}' is not a {}", kind.name())))
}

#[cfg(test)]
mod tests {
    use super::super::parse::filter;
    use super::*;

    struct Fixed(Vec<Datum>);

    impl Row for Fixed {
        fn value(&mut self, column: usize) -> Datum {
            self.0[column].clone()
        }
    }

    fn truth_of(clause: &str, values: Vec<Datum>) -> Option<bool> {
        let columns = KnownColumns::default();
        Compiler::new(&columns).condition(&filter(clause).unwrap()).unwrap().truth(&mut Fixed(values))
    }

    fn refused(clause: &str) -> &'static str {
        let columns = KnownColumns::default();
        Compiler::new(&columns).condition(&filter(clause).unwrap()).unwrap_err().code
    }

    #[test]
    fn literals_take_the_type_of_the_column() {
        let midnight = read_floating("2026-01-01").unwrap();
        for clause in [
            "created_date = '2026-01-01'",
            "created_date >= '2026-01-01T00:00:00.000'",
            "'2026-01-02' > created_date",
            "created_date in ('2025-01-01', '2026-01-01')",
            "created_date between '2025-12-31' and '2026-01-01'",
            "date_trunc_ym(created_date) = '2026-01-01'",
        ] {
            assert_eq!(truth_of(clause, vec![Datum::Time(midnight)]), Some(true), "{clause}");
        }
        assert_eq!(
            truth_of(":updated_at > '2026-01-01T00:00:00.000Z'", vec![Datum::Time(midnight)]),
            Some(false)
        );
        assert_eq!(truth_of("latitude < 41", vec![Datum::Number(40.5)]), Some(true));
    }

    #[test]
    fn a_null_leaves_a_condition_open() {
        assert_eq!(truth_of("agency = 'NYPD'", vec![Datum::Null]), None);
        assert_eq!(truth_of("not agency = 'NYPD'", vec![Datum::Null]), None);
        assert_eq!(truth_of("agency is null", vec![Datum::Null]), Some(true));
        assert_eq!(truth_of("agency is not null or agency = 'X'", vec![Datum::Null]), None);
        assert_eq!(truth_of("agency = 'X' or agency is null", vec![Datum::Null]), Some(true));
        assert_eq!(truth_of("agency not in ('X')", vec![Datum::Text("Y".into())]), Some(true));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(refused("no_such = 'x'"), "query.soql.no-such-column");
        assert_eq!(refused("upper(agency) = 'X'"), "query.soql.no-such-function");
        for clause in [
            "agency",
            "agency = 1",
            "created_date > 'yesterday'",
            "created_date > '2026-01-01T00:00:00Z'",
            "location = 'x'",
            "agency = created_date",
            "date_trunc_ym(agency) = '2026-01-01'",
            "not agency",
        ] {
            assert_eq!(refused(clause), "query.soql.type-mismatch", "{clause}");
        }
    }

    #[test]
    fn months_begin_at_their_first_day() {
        let local = read_floating("2026-03-08T02:30:00.000").unwrap();
        assert_eq!(write_floating(truncate(local, Truncation::Month)), "2026-03-01T00:00:00.000");
        assert_eq!(write_floating(truncate(local, Truncation::Year)), "2026-01-01T00:00:00.000");
        assert_eq!(write_floating(truncate(local, Truncation::Day)), "2026-03-08T00:00:00.000");
    }
}
