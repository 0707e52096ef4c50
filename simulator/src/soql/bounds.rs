//! Finds in a filter what it says about the source's order, so that a page is found by bisection and not by a
//! scan.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::columns::ColumnType;
use super::parse::Comparison;
use super::program::{Datum, Node};
use crate::stamp::{Stamp, just_after};

/// A half-open range of stamps, and what is left to ask of each row inside.
#[derive(Debug)]
pub struct Bounds {
    pub from: Stamp,
    /// None: to the end.
    pub until: Option<Stamp>,
    pub rest: Vec<Node>,
    /// The least `created_date` that is asked for, as if it were UTC; it is in `rest` all the same.
    pub created_from: Timestamp,
}

impl Bounds {
    pub fn find(filter: Option<Node>, columns: &[(String, ColumnType)]) -> Self {
        let mut bounds = Self {
            from: Stamp::first_at(Timestamp::MIN),
            until: None,
            rest: Vec::new(),
            created_from: Timestamp::MIN,
        };
        let parts = match filter {
            None => Vec::new(),
            Some(Node::And(parts)) => parts,
            Some(other) => vec![other],
        };
        let mut pairs = Vec::new();
        for part in parts {
            if let Some((
                "created_date",
                Comparison::GreaterOrEqual | Comparison::Greater,
                Datum::Time(local),
            )) = comparison(&part, columns)
            {
                bounds.created_from = bounds.created_from.max(*local);
            }
            match comparison(&part, columns) {
                Some((":updated_at", comparison, Datum::Time(at))) => bounds.narrow(comparison, *at, part),
                _ => match pair(&part, columns) {
                    Some(stamp) => pairs.push((part, stamp)),
                    None => bounds.rest.push(part),
                },
            }
        }
        // `:updated_at > T or :id > I` says something about the order only together with `:updated_at >= T`.
        for (part, stamp) in pairs {
            match stamp.updated_at.cmp(&bounds.from.updated_at) {
                Ordering::Less => {}
                Ordering::Equal => bounds.raise(stamp.next()),
                Ordering::Greater => bounds.rest.push(part),
            }
        }
        bounds
    }

    fn raise(&mut self, from: Stamp) {
        self.from = self.from.max(from);
    }

    fn lower(&mut self, until: Stamp) {
        self.until = Some(self.until.map_or(until, |known| known.min(until)));
    }

    fn narrow(&mut self, comparison: Comparison, at: Timestamp, part: Node) {
        let (at, after) = (Stamp::first_at(at), Stamp::first_at(just_after(at)));
        match comparison {
            Comparison::GreaterOrEqual => self.raise(at),
            Comparison::Greater => self.raise(after),
            Comparison::Less => self.lower(at),
            Comparison::LessOrEqual => self.lower(after),
            Comparison::Equal => {
                self.raise(at);
                self.lower(after);
            }
            Comparison::NotEqual => self.rest.push(part),
        }
    }
}

/// Recognises `column <op> constant`.
fn comparison<'a>(
    node: &'a Node,
    columns: &'a [(String, ColumnType)],
) -> Option<(&'a str, Comparison, &'a Datum)> {
    let Node::Compare(comparison, left, right) = node else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Node::Column(column), Node::Constant(value)) => {
            Some((columns.get(*column)?.0.as_str(), *comparison, value))
        }
        _ => None,
    }
}

/// Recognises `:updated_at > T or :id > I`.
fn pair(node: &Node, columns: &[(String, ColumnType)]) -> Option<Stamp> {
    let Node::Or(parts) = node else { return None };
    let [later, same] = parts.as_slice() else { return None };
    match (comparison(later, columns)?, comparison(same, columns)?) {
        (
            (":updated_at", Comparison::Greater, Datum::Time(updated_at)),
            (":id", Comparison::Greater, Datum::RowNumber(row_number)),
        ) => Some(Stamp { updated_at: *updated_at, row_number: *row_number }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::KnownColumns;
    use super::super::parse::filter;
    use super::super::program::Compiler;
    use super::*;
    use crate::row_id::{hidden_number, write_id};
    use crate::stamp::at_millisecond;

    const AT: &str = "1970-01-01T00:00:01.000Z";

    fn bounds(clause: &str) -> Bounds {
        let known = KnownColumns::default();
        let mut compiler = Compiler::new(&known);
        let node = compiler.condition(&filter(clause).unwrap()).unwrap();
        Bounds::find(Some(node), &compiler.columns)
    }

    fn id(number: u64) -> String {
        let mut id = Vec::new();
        write_id(number, &mut id);
        String::from_utf8(id).unwrap()
    }

    fn stamp(updated_at_ms: i64, row_number: u64) -> Stamp {
        Stamp { updated_at: at_millisecond(updated_at_ms), row_number }
    }

    #[test]
    fn the_paging_filter_leaves_nothing_to_scan_for() {
        let found = bounds(&format!(
            ":updated_at >= '{AT}' AND (:updated_at > '{AT}' OR :id > '{}') AND :updated_at < '1970-01-01T00:00:09Z'",
            id(7)
        ));
        assert_eq!((found.from, found.until), (stamp(1_000, 8), Some(stamp(9_000, 0))));
        assert!(found.rest.is_empty());
    }

    #[test]
    fn the_pair_alone_is_asked_of_each_row() {
        let found = bounds(&format!(":updated_at > '{AT}' OR :id > '{}'", id(7)));
        assert_eq!((found.from.updated_at, found.rest.len()), (Timestamp::MIN, 1));
    }

    #[test]
    fn all_comparisons_narrow() {
        let (at, after) = (at_millisecond(1_000), "1970-01-01T00:00:01.000000001Z".parse().unwrap());
        for (operator, from, until) in [
            (">=", Some(at), None),
            (">", Some(after), None),
            ("<", None, Some(at)),
            ("<=", None, Some(after)),
            ("=", Some(at), Some(after)),
        ] {
            let found = bounds(&format!(":updated_at {operator} '{AT}'"));
            assert_eq!(found.from.updated_at, from.unwrap_or(Timestamp::MIN), "{operator}");
            assert_eq!(found.until.map(|until| until.updated_at), until, "{operator}");
            assert!(found.rest.is_empty());
        }
        assert_eq!(bounds(&format!(":updated_at != '{AT}'")).rest.len(), 1);
    }

    #[test]
    fn other_conditions_stay() {
        let found =
            bounds(&format!("agency = 'DOT' AND :updated_at > '{AT}' AND (agency is null OR :id > 'row-1')"));
        assert!(found.from.updated_at > at_millisecond(1_000));
        assert_eq!(found.rest.len(), 2);
        assert_ne!(hidden_number(b"row-1"), hidden_number(b"row-2"));
    }
}
