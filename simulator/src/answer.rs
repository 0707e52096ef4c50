//! Carries out a query over a table.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use nyc311_domain::is_system_field;
use nyc311_json::loose_members;
use serde_json::{Map, Value as Json};

use crate::soql::{
    Aggregate, Answer, ColumnType, Datum, GroupValue, Node, Part, Projection, Query, Row, RowOrder, extreme,
    read_fixed, read_floating, write_fixed, write_floating,
};
use crate::stamp::{Stamp, at_millisecond};
use crate::table::Table;

/// A page as JSON, and where its rows lie in it.
#[derive(Debug)]
pub struct Served {
    pub body: Vec<u8>,
    pub rows: Vec<Range<usize>>,
}

impl Served {
    fn begin(rows: usize) -> Self {
        let mut body = Vec::with_capacity(rows * 1_500 + 4);
        body.push(b'[');
        Self { body, rows: Vec::with_capacity(rows) }
    }

    /// Adds what `write` writes as one row. The source puts each row on a line of its own.
    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.rows.is_empty() {
            self.body.extend_from_slice(b"\n,");
        }
        let start = self.body.len();
        write(&mut self.body);
        self.rows.push(start..self.body.len());
    }

    fn end(mut self) -> Self {
        self.body.extend_from_slice(b"]\n");
        self
    }

    /// Returns the page with another row put in before row `index`.
    pub fn with_row(&self, index: usize, row: &[u8]) -> Self {
        let mut page = Self::begin(self.rows.len() + 1);
        for (place, range) in self.rows.iter().enumerate() {
            if place == index {
                page.push(|body| body.extend_from_slice(row));
            }
            page.push(|body| body.extend_from_slice(&self.body[range.clone()]));
        }
        if index >= self.rows.len() {
            page.push(|body| body.extend_from_slice(row));
        }
        page.end()
    }

    /// Returns the answer with its rows backwards.
    pub fn reversed(&self) -> Self {
        let mut page = Self::begin(self.rows.len());
        for range in self.rows.iter().rev() {
            page.push(|body| body.extend_from_slice(&self.body[range.clone()]));
        }
        page.end()
    }
}

/// Answers a query as the source would when its clock reads `now_ms`.
pub fn answer(table: &dyn Table, query: &Query, now_ms: i64) -> Served {
    let mut first = query.bounds.from;
    if table.publishes_after_creation() {
        first = first.max(Stamp::first_at(query.bounds.created_from));
    }
    let from = table.first_at_or_after(first);
    let until = query.bounds.until.map_or(table.len(), |until| table.first_at_or_after(until)).max(from);
    let walk = Walk { table, query, now_ms };
    match &query.answer {
        Answer::Groups { keys, aggregates, columns, order } => {
            let mut groups = BTreeMap::new();
            walk.each(from..until, |row| {
                let key = GroupKey(keys.iter().map(|key| key.evaluate(row)).collect());
                let sums: &mut Vec<Sum> =
                    groups.entry(key).or_insert_with(|| vec![Sum::new(); aggregates.len()]);
                for (sum, aggregate) in sums.iter_mut().zip(aggregates) {
                    sum.add(aggregate, row);
                }
                true
            });
            if keys.is_empty() && groups.is_empty() {
                groups.insert(GroupKey(Vec::new()), vec![Sum::new(); aggregates.len()]);
            }
            let mut lines: Vec<Vec<Datum>> = groups
                .into_iter()
                .map(|(GroupKey(key), sums)| {
                    let value = |from: &GroupValue| match from {
                        GroupValue::Key(index) => key[*index].clone(),
                        GroupValue::Aggregate(index) => sums[*index].value(&aggregates[*index]),
                    };
                    columns.iter().map(|column| value(&column.from)).collect()
                })
                .collect();
            lines.sort_by(|left, right| {
                let by = |(column, descending): &(usize, bool)| {
                    directed(left[*column].total_order(&right[*column]), *descending)
                };
                order.iter().map(by).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
            });
            let mut page = Served::begin(0);
            for line in lines.iter().skip(clip(query.offset)).take(clip(query.limit)) {
                let members: Map<String, Json> = columns
                    .iter()
                    .zip(line)
                    .filter_map(|(column, value)| Some((column.alias.clone(), json(value, column.kind)?)))
                    .collect();
                page.push(|body| body.extend_from_slice(Json::Object(members).to_string().as_bytes()));
            }
            page.end()
        }
        Answer::Rows { projection, order } => {
            let positions = walk.positions(from..until, order);
            let mut page = Served::begin(positions.len());
            let mut row = TableRow::new(table, query);
            for position in positions {
                match projection {
                    Projection::Whole => page.push(|body| table.write_row(position, body)),
                    Projection::Parts(parts) => {
                        row.turn_to(position);
                        page.push(|body| row.write_parts(parts, body));
                    }
                }
            }
            page.end()
        }
    }
}

fn clip(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn directed(ordering: Ordering, descending: bool) -> Ordering {
    if descending { ordering.reverse() } else { ordering }
}

/// A pass over the rows that a query is about.
struct Walk<'a> {
    table: &'a dyn Table,
    query: &'a Query,
    now_ms: i64,
}

impl<'a> Walk<'a> {
    /// Calls `visit` for each row that is shown and meets the filter, until it returns false.
    fn each(&self, positions: Range<u64>, visit: impl FnMut(&mut TableRow<'a>) -> bool) {
        self.each_of(positions, visit);
    }

    fn each_of(
        &self,
        positions: impl Iterator<Item = u64>,
        mut visit: impl FnMut(&mut TableRow<'a>) -> bool,
    ) {
        let mut row = TableRow::new(self.table, self.query);
        for position in positions {
            if !self.table.is_shown(position, self.now_ms) {
                continue;
            }
            row.turn_to(position);
            let meets = self.query.bounds.rest.iter().all(|part| part.truth(&mut row) == Some(true));
            if meets && !visit(&mut row) {
                return;
            }
        }
    }

    /// Returns the positions of the page, in its order.
    fn positions(&self, range: Range<u64>, order: &RowOrder) -> Vec<u64> {
        match order {
            RowOrder::Source => self.first(range, self.table.keeps_ties_together()),
            RowOrder::SourceReversed => self.first(range.rev(), false),
            RowOrder::By(keys) => self.sorted(range, keys),
        }
    }

    fn first(&self, positions: impl Iterator<Item = u64>, keeps_ties_together: bool) -> Vec<u64> {
        let (limit, mut to_skip) = (clip(self.query.limit), self.query.offset);
        let mut found = Vec::new();
        if limit == 0 {
            return found;
        }
        self.each_of(positions, |row| {
            if to_skip > 0 {
                to_skip -= 1;
                return true;
            }
            if found.len() >= limit {
                let tied = found
                    .last()
                    .is_some_and(|last| self.table.stamp(*last) == self.table.stamp(row.position));
                if !tied {
                    return false;
                }
            }
            found.push(row.position);
            found.len() < limit || keeps_ties_together
        });
        found
    }

    /// Sorts by other keys. Keeps no more rows than the page can need, and the source's order among equals.
    fn sorted(&self, range: Range<u64>, keys: &[(Node, bool)]) -> Vec<u64> {
        let wanted = clip(self.query.limit.saturating_add(self.query.offset));
        let mut found: Vec<(Vec<Datum>, u64)> = Vec::new();
        let sort = |found: &mut Vec<(Vec<Datum>, u64)>| {
            found.sort_by(|(left, _), (right, _)| {
                let pairs = left.iter().zip(right).zip(keys);
                pairs
                    .map(|((left, right), (_, descending))| directed(left.total_order(right), *descending))
                    .find(|ordering| ordering.is_ne())
                    .unwrap_or(Ordering::Equal)
            });
            found.truncate(wanted);
        };
        self.each(range, |row| {
            found.push((keys.iter().map(|(key, _)| key.evaluate(row)).collect(), row.position));
            if found.len() >= wanted.saturating_mul(2).max(1_024) {
                sort(&mut found);
            }
            true
        });
        sort(&mut found);
        found.into_iter().skip(clip(self.query.offset)).map(|(_, position)| position).collect()
    }
}

/// A row that is looked into only as far as the query asks.
struct TableRow<'a> {
    table: &'a dyn Table,
    columns: &'a [(String, ColumnType)],
    position: u64,
    is_written: bool,
    text: Vec<u8>,
    /// Where each of the query's columns lies in `text`.
    places: Vec<Option<Range<usize>>>,
}

impl<'a> TableRow<'a> {
    fn new(table: &'a dyn Table, query: &'a Query) -> Self {
        Self {
            table,
            columns: &query.columns,
            position: 0,
            is_written: false,
            text: Vec::new(),
            places: vec![None; query.columns.len()],
        }
    }

    fn turn_to(&mut self, position: u64) {
        self.position = position;
        self.is_written = false;
    }

    fn write(&mut self) {
        if self.is_written {
            return;
        }
        self.text.clear();
        self.places.fill(None);
        self.table.write_row(self.position, &mut self.text);
        let (columns, places) = (self.columns, &mut self.places);
        let text = &self.text;
        for (name, place) in members(text).unwrap_or_default() {
            if let Some(index) =
                columns.iter().position(|(column, _)| column.as_bytes() == &text[name.clone()])
            {
                places[index] = Some(place);
            }
        }
        self.is_written = true;
    }

    /// Writes the selected members, values byte for byte.
    fn write_parts(&mut self, parts: &[Part], out: &mut Vec<u8>) {
        self.write();
        let Some(members) = members(&self.text) else {
            out.extend_from_slice(&self.text);
            return;
        };
        let mut first = true;
        let mut member = |name: &[u8], value: &[u8]| {
            out.push(if first { b'{' } else { b',' });
            first = false;
            out.push(b'"');
            out.extend_from_slice(name);
            out.extend_from_slice(b"\":");
            out.extend_from_slice(value);
        };
        for part in parts {
            match part {
                Part::Columns | Part::SystemFields => {
                    let system = matches!(part, Part::SystemFields);
                    for (name, value) in &members {
                        let name = &self.text[name.clone()];
                        if is_system_field(&String::from_utf8_lossy(name)) == system {
                            member(name, &self.text[value.clone()]);
                        }
                    }
                }
                Part::Column { name, alias } => {
                    let found =
                        members.iter().find(|(known, _)| &self.text[known.clone()] == name.as_bytes());
                    if let Some((_, value)) = found {
                        member(alias.as_bytes(), &self.text[value.clone()]);
                    }
                }
                Part::Computed { node, kind, alias } => {
                    if let Some(value) = json(&node.evaluate(self), *kind) {
                        member(alias.as_bytes(), value.to_string().as_bytes());
                    }
                }
            }
        }
        if first {
            out.push(b'{');
        }
        out.push(b'}');
    }
}

/// Returns the places of names and values in a row, which may be not quite JSON; none for what is no object.
fn members(row: &[u8]) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let mut members = Vec::new();
    if nyc311_json::members(row, 0, |name, value| members.push((name, value))).is_err() {
        members.clear();
        loose_members(row, |name, value| members.push((name, value)));
    }
    (row.first() == Some(&b'{')).then_some(members)
}

impl Row for TableRow<'_> {
    fn value(&mut self, column: usize) -> Datum {
        let Some((name, kind)) = self.columns.get(column) else { return Datum::Null };
        match name.as_str() {
            ":updated_at" => return Datum::Time(self.table.stamp(self.position).updated_at),
            ":id" => return Datum::RowNumber(self.table.stamp(self.position).row_number),
            "created_date" => {
                if let Some(local_ms) = self.table.created_date(self.position) {
                    return Datum::Time(at_millisecond(local_ms));
                }
            }
            _ => {}
        }
        self.write();
        self.places[column].clone().map_or(Datum::Null, |place| read(&self.text[place], *kind))
    }
}

/// Reads a member's value as its column's type; what does not fit is null.
fn read(text: &[u8], kind: ColumnType) -> Datum {
    let owned: String = match text {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => String::from_utf8_lossy(inner).into_owned(),
        [b'"', ..] => serde_json::from_slice(text).unwrap_or_default(),
        b"null" => return Datum::Null,
        _ => String::from_utf8_lossy(text).into_owned(),
    };
    let value = match kind {
        ColumnType::Text => Some(Datum::Text(owned)),
        ColumnType::Number => owned.parse().ok().map(Datum::Number),
        ColumnType::Boolean => owned.parse().ok().map(Datum::Boolean),
        ColumnType::FloatingTimestamp => read_floating(&owned).map(Datum::Time),
        ColumnType::FixedTimestamp => read_fixed(&owned).map(Datum::Time),
        // An id is asked of the stamp; a location only for being there.
        ColumnType::RowIdentifier | ColumnType::Location => Some(Datum::Boolean(true)),
    };
    value.unwrap_or(Datum::Null)
}

/// Writes a value as the source does: numbers and times as texts, nulls not at all.
fn json(value: &Datum, kind: ColumnType) -> Option<Json> {
    Some(match value {
        Datum::Null => return None,
        Datum::Boolean(value) => Json::Bool(*value),
        Datum::Text(text) => Json::String(text.clone()),
        Datum::Number(number) => Json::String(number.to_string()),
        Datum::Time(at) if kind == ColumnType::FixedTimestamp => Json::String(write_fixed(*at)),
        Datum::Time(local) => Json::String(write_floating(*local)),
        Datum::RowNumber(number) => {
            let mut id = Vec::new();
            super::row_id::write_id(*number, &mut id);
            Json::String(String::from_utf8_lossy(&id).into_owned())
        }
    })
}

/// The values that make a group, in an order.
struct GroupKey(Vec<Datum>);

impl Ord for GroupKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let pairs = self.0.iter().zip(&other.0);
        pairs.map(|(left, right)| left.total_order(right)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for GroupKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for GroupKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for GroupKey {}

/// What an aggregate has come to so far.
#[derive(Clone)]
struct Sum {
    count: u64,
    extreme: Datum,
}

impl Sum {
    fn new() -> Self {
        Self { count: 0, extreme: Datum::Null }
    }

    fn add(&mut self, aggregate: &Aggregate, row: &mut TableRow<'_>) {
        match aggregate {
            Aggregate::Count(None) => self.count += 1,
            Aggregate::Count(Some(node)) => {
                self.count += u64::from(!matches!(node.evaluate(row), Datum::Null));
            }
            Aggregate::Least(node) | Aggregate::Greatest(node) => {
                let greatest = matches!(aggregate, Aggregate::Greatest(_));
                let known = std::mem::replace(&mut self.extreme, Datum::Null);
                self.extreme = extreme(known, node.evaluate(row), greatest);
            }
        }
    }

    fn value(&self, aggregate: &Aggregate) -> Datum {
        match aggregate {
            Aggregate::Count(_) => Datum::Number(self.count as f64),
            Aggregate::Least(_) | Aggregate::Greatest(_) => self.extreme.clone(),
        }
    }
}
