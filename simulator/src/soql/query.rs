//! A whole query: its parameters read, checked against the columns, and planned.

use super::bounds::Bounds;
use super::columns::{ColumnType, KnownColumns};
use super::parse::{self, Comparison, Expression, Selection};
use super::program::{Compiler, Datum, Node};
use super::query_error::QueryError;

/// What the source answers when `$limit` is not given, and what it answers at most.
const DEFAULT_LIMIT: u64 = 1_000;
pub const MAX_LIMIT: u64 = 50_000;

/// What becomes of a row that is served.
#[derive(Debug)]
pub enum Projection {
    /// `:*,*`: the row as it is.
    Whole,
    /// The row's members in the order of the selection.
    Parts(Vec<Part>),
}

#[derive(Debug)]
pub enum Part {
    Columns,
    SystemFields,
    Column { name: String, alias: String },
    Computed { node: Node, kind: ColumnType, alias: String },
}

#[derive(Debug)]
pub enum Aggregate {
    Count(Option<Node>),
    Least(Node),
    Greatest(Node),
}

/// A column of a grouped answer.
#[derive(Debug)]
pub struct GroupColumn {
    pub alias: String,
    pub kind: ColumnType,
    pub from: GroupValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupValue {
    Key(usize),
    Aggregate(usize),
}

#[derive(Debug)]
pub enum RowOrder {
    /// `:updated_at, :id`, in which the table lies.
    Source,
    SourceReversed,
    By(Vec<(Node, bool)>),
}

#[derive(Debug)]
pub enum Answer {
    Rows {
        projection: Projection,
        order: RowOrder,
    },
    Groups {
        keys: Vec<Node>,
        aggregates: Vec<Aggregate>,
        columns: Vec<GroupColumn>,
        /// Index into `columns`, and whether descending.
        order: Vec<(usize, bool)>,
    },
}

#[derive(Debug)]
pub struct Query {
    /// The columns that the nodes read, by index.
    pub columns: Vec<(String, ColumnType)>,
    pub bounds: Bounds,
    pub answer: Answer,
    pub limit: u64,
    pub offset: u64,
}

#[derive(Default)]
struct Clauses<'a> {
    select: Option<&'a str>,
    filter: Option<&'a str>,
    order: Option<&'a str>,
    group: Option<&'a str>,
    limit: Option<&'a str>,
    offset: Option<&'a str>,
    /// `?agency=DOT`: short for a comparison.
    equal: Vec<(&'a str, &'a str)>,
}

impl Query {
    /// Reads the parameters of a request. Anything that is not understood is refused, as the source does.
    pub fn read(parameters: &[(String, String)], known: &KnownColumns) -> Result<Self, QueryError> {
        let clauses = Clauses::sort(parameters, known)?;
        let selections = parse::selections(clauses.select.unwrap_or("*"))?;
        let mut compiler = Compiler::new(known);
        let aliases = Aliases { known, selections: &selections };

        let mut conditions = Vec::new();
        if let Some(clause) = clauses.filter {
            conditions.push(parse::filter(clause)?);
        }
        for (column, text) in clauses.equal {
            let (left, right) = (Expression::Column(column.to_owned()), Expression::Text(text.to_owned()));
            conditions.push(Expression::Compare(Comparison::Equal, Box::new(left), Box::new(right)));
        }
        let filter = match conditions.len() {
            0 => None,
            1 => Some(flat_and(compiler.condition(&conditions[0])?)),
            _ => Some(flat_and(compiler.condition(&Expression::And(conditions))?)),
        };

        let groups = match clauses.group {
            None => Vec::new(),
            Some(clause) => {
                parse::groupings(clause)?.into_iter().map(|group| aliases.resolve(group)).collect()
            }
        };
        let orderings = match clauses.order {
            None => Vec::new(),
            Some(clause) => parse::orderings(clause)?,
        };
        let grouped = !groups.is_empty() || selections.iter().any(is_aggregate);
        let answer = if grouped {
            read_groups(&mut compiler, &aliases, &groups, &orderings)?
        } else {
            read_rows(&mut compiler, &aliases, &orderings)?
        };
        let limit = count_parameter("$limit", clauses.limit)?.unwrap_or(DEFAULT_LIMIT);
        if limit > MAX_LIMIT {
            return Err(QueryError::invalid(format!(
                "Invalid SoQL query: limit must be at most {MAX_LIMIT}"
            )));
        }
        let offset = count_parameter("$offset", clauses.offset)?.unwrap_or(0);
        let bounds = Bounds::find(filter, &compiler.columns);
        Ok(Self { columns: compiler.columns, bounds, answer, limit, offset })
    }
}

impl<'a> Clauses<'a> {
    fn sort(parameters: &'a [(String, String)], known: &KnownColumns) -> Result<Self, QueryError> {
        let mut clauses = Self::default();
        for (name, value) in parameters {
            let clause = match name.as_str() {
                "$select" => &mut clauses.select,
                "$where" => &mut clauses.filter,
                "$order" => &mut clauses.order,
                "$group" => &mut clauses.group,
                "$limit" => &mut clauses.limit,
                "$offset" => &mut clauses.offset,
                "$$app_token" => continue,
                column if known.kind(column).is_some() => {
                    clauses.equal.push((column, value));
                    continue;
                }
                _ => return Err(QueryError::invalid(format!("Unrecognized arguments [{name}]"))),
            };
            if clause.replace(value).is_some() {
                return Err(QueryError::invalid(format!("{name} is given more than once")));
            }
        }
        Ok(clauses)
    }
}

/// Joins the conditions of `$where` with those of `?column=value`, so that bounds are found among them.
fn flat_and(node: Node) -> Node {
    let Node::And(parts) = node else { return node };
    Node::And(
        parts
            .into_iter()
            .flat_map(|part| match part {
                Node::And(inner) => inner,
                other => vec![other],
            })
            .collect(),
    )
}

fn count_parameter(name: &str, value: Option<&str>) -> Result<Option<u64>, QueryError> {
    value
        .map(|text| text.parse().map_err(|_| QueryError::invalid(format!("{name} is not a count: {text}"))))
        .transpose()
}

/// Names that the selection gives to its expressions.
struct Aliases<'a> {
    known: &'a KnownColumns,
    selections: &'a [Selection],
}

impl Aliases<'_> {
    fn resolve(&self, expression: Expression) -> Expression {
        let Expression::Column(name) = &expression else { return expression };
        if self.known.kind(name).is_some() {
            return expression;
        }
        for selection in self.selections {
            if let Selection::Expression { expression, alias: Some(alias) } = selection
                && alias.eq_ignore_ascii_case(name)
            {
                return expression.clone();
            }
        }
        expression
    }
}

fn is_aggregate(selection: &Selection) -> bool {
    matches!(selection, Selection::Expression { expression, .. } if aggregate_call(expression).is_some())
}

fn aggregate_call(expression: &Expression) -> Option<(&str, &[Expression])> {
    match expression {
        Expression::Call { function, arguments } if matches!(function.as_str(), "count" | "min" | "max") => {
            Some((function, arguments))
        }
        _ => None,
    }
}

/// Returns the name that the source gives to a selected expression.
fn default_alias(expression: &Expression) -> String {
    match expression {
        Expression::Column(name) => name.clone(),
        Expression::Call { function, arguments } => {
            let mut alias = function.clone();
            for argument in arguments {
                alias.push('_');
                alias.push_str(default_alias(argument).trim_start_matches(':'));
            }
            alias
        }
        _ => "expression".to_owned(),
    }
}

fn read_rows(
    compiler: &mut Compiler<'_>,
    aliases: &Aliases<'_>,
    orderings: &[parse::Ordering],
) -> Result<Answer, QueryError> {
    let mut parts = Vec::new();
    for selection in aliases.selections {
        parts.push(match selection {
            Selection::Columns => Part::Columns,
            Selection::SystemFields => Part::SystemFields,
            Selection::Expression { expression, alias } => {
                let alias = alias.clone().unwrap_or_else(|| default_alias(expression));
                match (compiler.expression(expression)?, expression) {
                    (_, Expression::Column(name)) => Part::Column { name: name.clone(), alias },
                    ((node, kind), _) => Part::Computed { node, kind, alias },
                }
            }
        });
    }
    let projection = match parts.as_slice() {
        [Part::Columns, Part::SystemFields] | [Part::SystemFields, Part::Columns] => Projection::Whole,
        _ => Projection::Parts(parts),
    };
    Ok(Answer::Rows { projection, order: read_order(compiler, aliases, orderings)? })
}

fn read_order(
    compiler: &mut Compiler<'_>,
    aliases: &Aliases<'_>,
    orderings: &[parse::Ordering],
) -> Result<RowOrder, QueryError> {
    let resolved: Vec<(Expression, bool)> = orderings
        .iter()
        .map(|ordering| (aliases.resolve(ordering.expression.clone()), ordering.descending))
        .collect();
    let names: Vec<(&str, bool)> = resolved
        .iter()
        .map(|(expression, descending)| match expression {
            Expression::Column(name) => (name.as_str(), *descending),
            _ => ("", *descending),
        })
        .collect();
    Ok(match names.as_slice() {
        [] | [(":updated_at", false)] | [(":updated_at", false), (":id", false)] => RowOrder::Source,
        [(":updated_at", true), (":id", true)] => RowOrder::SourceReversed,
        _ => {
            let mut keys = Vec::with_capacity(resolved.len());
            for (expression, descending) in &resolved {
                keys.push((compiler.expression(expression)?.0, *descending));
            }
            RowOrder::By(keys)
        }
    })
}

fn read_groups(
    compiler: &mut Compiler<'_>,
    aliases: &Aliases<'_>,
    groups: &[Expression],
    orderings: &[parse::Ordering],
) -> Result<Answer, QueryError> {
    let mut keys = Vec::new();
    let mut kinds = Vec::new();
    for group in groups {
        let (node, kind) = compiler.expression(group)?;
        keys.push(node);
        kinds.push(kind);
    }
    let (mut aggregates, mut columns, mut sources) = (Vec::new(), Vec::new(), Vec::new());
    for selection in aliases.selections {
        let Selection::Expression { expression, alias } = selection else {
            return Err(QueryError::not_grouped("*"));
        };
        let (from, kind) = if let Some(key) = groups.iter().position(|group| group == expression) {
            (GroupValue::Key(key), kinds[key])
        } else if let Some((function, arguments)) = aggregate_call(expression) {
            let (aggregate, kind) = read_aggregate(compiler, function, arguments)?;
            aggregates.push(aggregate);
            (GroupValue::Aggregate(aggregates.len() - 1), kind)
        } else {
            compiler.expression(expression)?;
            return Err(QueryError::not_grouped(&default_alias(expression)));
        };
        let alias = alias.clone().unwrap_or_else(|| default_alias(expression));
        columns.push(GroupColumn { alias, kind, from });
        sources.push(expression.clone());
    }
    let mut order = Vec::new();
    for ordering in orderings {
        let expression = aliases.resolve(ordering.expression.clone());
        let column = sources.iter().position(|source| *source == expression).or_else(|| match &expression {
            Expression::Column(name) => columns.iter().position(|column| column.alias == *name),
            _ => None,
        });
        let column = column.ok_or_else(|| QueryError::not_grouped(&default_alias(&expression)))?;
        order.push((column, ordering.descending));
    }
    Ok(Answer::Groups { keys, aggregates, columns, order })
}

fn read_aggregate(
    compiler: &mut Compiler<'_>,
    function: &str,
    arguments: &[Expression],
) -> Result<(Aggregate, ColumnType), QueryError> {
    let argument = match arguments {
        [] if function == "count" => return Ok((Aggregate::Count(None), ColumnType::Number)),
        [argument] => compiler.expression(argument)?,
        _ => return Err(QueryError::type_mismatch(format!("{function} takes one argument"))),
    };
    Ok(match (function, argument) {
        ("count", (node, _)) => (Aggregate::Count(Some(node)), ColumnType::Number),
        (_, (_, ColumnType::Location)) => {
            return Err(QueryError::type_mismatch(format!("{function} cannot take location")));
        }
        ("min", (node, kind)) => (Aggregate::Least(node), kind),
        (_, (node, kind)) => (Aggregate::Greatest(node), kind),
    })
}

/// Returns the greater or lesser of two values; a null gives way.
pub fn extreme(known: Datum, new: Datum, greatest: bool) -> Datum {
    match (&known, &new) {
        (Datum::Null, _) => new,
        (_, Datum::Null) => known,
        _ if new.total_order(&known).is_gt() == greatest => new,
        _ => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: &[(&str, &str)]) -> Result<Query, QueryError> {
        let owned: Vec<(String, String)> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Query::read(&owned, &KnownColumns::default())
    }

    #[test]
    fn the_paging_query_is_planned_without_a_scan() {
        let query = read(&[
            ("$select", ":*,*"),
            ("$where", ":updated_at >= '2026-01-01' AND (:updated_at > '2026-01-01' OR :id > 'row-1')"),
            ("$order", ":updated_at,:id"),
            ("$limit", "10000"),
        ])
        .unwrap();
        let Answer::Rows { projection: Projection::Whole, order: RowOrder::Source } = query.answer else {
            panic!("{query:?}")
        };
        assert!(query.bounds.rest.is_empty());
        assert_eq!((query.limit, query.offset), (10_000, 0));
    }

    #[test]
    fn a_plain_request_gets_the_citys_columns() {
        let query = read(&[("agency", "DOT")]).unwrap();
        assert_eq!((query.limit, query.bounds.rest.len()), (DEFAULT_LIMIT, 1));
        assert!(matches!(query.answer, Answer::Rows { projection: Projection::Parts(_), .. }));
    }

    #[test]
    fn counts_by_month() {
        let query = read(&[
            ("$select", "date_trunc_ym(created_date) as month, count(*) as n"),
            ("$group", "month"),
            ("$order", "n desc, month"),
        ])
        .unwrap();
        let Answer::Groups { keys, columns, order, .. } = query.answer else { panic!() };
        let aliases: Vec<&str> = columns.iter().map(|column| column.alias.as_str()).collect();
        assert_eq!((keys.len(), aliases, order), (1, vec!["month", "n"], vec![(1, true), (0, false)]));
    }

    #[test]
    fn expressions_get_the_names_that_the_source_gives() {
        let query = read(&[("$select", "count(*), max(:updated_at), count(closed_date)")]).unwrap();
        let Answer::Groups { columns, .. } = query.answer else { panic!() };
        let aliases: Vec<&str> = columns.iter().map(|column| column.alias.as_str()).collect();
        assert_eq!(aliases, ["count", "max_updated_at", "count_closed_date"]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (parameters, code) in [
            (&[("$having", "count(*) > 1")] as &[(&str, &str)], "query.execution.queryError"),
            (&[("no_such", "1")], "query.execution.queryError"),
            (&[("$limit", "-1")], "query.execution.queryError"),
            (&[("$limit", "50001")], "query.execution.queryError"),
            (&[("$limit", "1"), ("$limit", "2")], "query.execution.queryError"),
            (&[("$select", "agency, count(*)")], "query.soql.column-not-in-group-bys"),
            (&[("$select", "*"), ("$group", "agency")], "query.soql.column-not-in-group-bys"),
            (&[("$select", "nothing")], "query.soql.no-such-column"),
            (&[("$order", "nothing")], "query.soql.no-such-column"),
            (&[("$where", "count(*) > 1")], "query.soql.no-such-function"),
            (&[("$where", "agency = ")], "query.soql.parse-error"),
        ] {
            assert_eq!(read(parameters).unwrap_err().code, code, "{parameters:?}");
        }
    }
}
