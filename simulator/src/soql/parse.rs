//! Reads the clauses of a SoQL query into a tree.

use super::query_error::QueryError;
use super::token::{Placed, Token, tokens};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    Column(String),
    Text(String),
    Number(f64),
    Boolean(bool),
    /// `count(*)` has no arguments here and the name `count`.
    Call {
        function: String,
        arguments: Vec<Expression>,
    },
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Compare(Comparison, Box<Expression>, Box<Expression>),
    In {
        value: Box<Expression>,
        of: Vec<Expression>,
        negated: bool,
    },
    IsNull {
        value: Box<Expression>,
        negated: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// `*`: all of the city's columns.
    Columns,
    /// `:*`: the system fields.
    SystemFields,
    Expression {
        expression: Expression,
        alias: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Ordering {
    pub expression: Expression,
    pub descending: bool,
}

pub fn selections(clause: &str) -> Result<Vec<Selection>, QueryError> {
    Parser::new(clause)?.all(|parser| {
        if parser.take_symbol("*") {
            return Ok(Selection::Columns);
        }
        if parser.take_symbol(":*") {
            return Ok(Selection::SystemFields);
        }
        let expression = parser.expression()?;
        let alias = if parser.take_keyword("as") { Some(parser.name()?) } else { None };
        Ok(Selection::Expression { expression, alias })
    })
}

pub fn filter(clause: &str) -> Result<Expression, QueryError> {
    let mut parser = Parser::new(clause)?;
    let expression = parser.expression()?;
    parser.end()?;
    Ok(expression)
}

pub fn orderings(clause: &str) -> Result<Vec<Ordering>, QueryError> {
    Parser::new(clause)?.all(|parser| {
        let expression = parser.expression()?;
        let descending = parser.take_keyword("desc");
        if !descending {
            parser.take_keyword("asc");
        }
        Ok(Ordering { expression, descending })
    })
}

pub fn groupings(clause: &str) -> Result<Vec<Expression>, QueryError> {
    Parser::new(clause)?.all(Parser::expression)
}

/// How deep parentheses and negations may nest: the parser recurses, and a query comes from outside.
const MAX_DEPTH: usize = 64;

struct Parser<'a> {
    clause: &'a str,
    tokens: Vec<Placed>,
    next: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(clause: &'a str) -> Result<Self, QueryError> {
        Ok(Self { clause, tokens: tokens(clause)?, next: 0, depth: 0 })
    }

    /// Reads a list separated by commas, to the end of the clause.
    fn all<T>(mut self, item: impl Fn(&mut Self) -> Result<T, QueryError>) -> Result<Vec<T>, QueryError> {
        let mut items = vec![item(&mut self)?];
        while self.take_symbol(",") {
            items.push(item(&mut self)?);
        }
        self.end()?;
        Ok(items)
    }

    fn end(&self) -> Result<(), QueryError> {
        if self.next == self.tokens.len() { Ok(()) } else { Err(self.unexpected("the end")) }
    }

    fn unexpected(&self, expected: &str) -> QueryError {
        let at = self.tokens.get(self.next).map_or(self.clause.chars().count(), |placed| placed.at);
        QueryError::syntax(self.clause, at, &format!("expected {expected}"))
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|placed| &placed.token)
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(found)) if *found == symbol);
        self.next += usize::from(found);
        found
    }

    fn symbol(&mut self, symbol: &str) -> Result<(), QueryError> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected(&format!("`{symbol}`"))) }
    }

    fn at_keyword(&self, ahead: usize, keyword: &str) -> bool {
        matches!(
            self.tokens.get(self.next + ahead).map(|placed| &placed.token),
            Some(Token::Name { text, quoted: false }) if text.eq_ignore_ascii_case(keyword)
        )
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.at_keyword(0, keyword);
        self.next += usize::from(found);
        found
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), QueryError> {
        if self.take_keyword(keyword) { Ok(()) } else { Err(self.unexpected(&format!("`{keyword}`"))) }
    }

    fn name(&mut self) -> Result<String, QueryError> {
        match self.peek() {
            Some(Token::Name { text, .. }) => {
                let text = text.clone();
                self.next += 1;
                Ok(text)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, QueryError>) -> Result<T, QueryError> {
        if self.depth == MAX_DEPTH {
            return Err(self.unexpected("less nesting"));
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn expression(&mut self) -> Result<Expression, QueryError> {
        self.deeper(|parser| {
            let mut parts = vec![parser.conjunction()?];
            while parser.take_keyword("or") {
                parts.push(parser.conjunction()?);
            }
            Ok(single_or(parts, Expression::Or))
        })
    }

    fn conjunction(&mut self) -> Result<Expression, QueryError> {
        let mut parts = vec![self.negation()?];
        while self.take_keyword("and") {
            parts.push(self.negation()?);
        }
        Ok(single_or(parts, Expression::And))
    }

    fn negation(&mut self) -> Result<Expression, QueryError> {
        if self.take_keyword("not") {
            return self.deeper(|parser| Ok(Expression::Not(Box::new(parser.negation()?))));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expression, QueryError> {
        const OPERATORS: [(&str, Comparison); 8] = [
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<>", Comparison::NotEqual),
            ("!=", Comparison::NotEqual),
            ("==", Comparison::Equal),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let left = self.primary()?;
        for (symbol, comparison) in OPERATORS {
            if self.take_symbol(symbol) {
                let right = self.primary()?;
                return Ok(Expression::Compare(comparison, Box::new(left), Box::new(right)));
            }
        }
        if self.take_keyword("is") {
            let negated = self.take_keyword("not");
            self.keyword("null")?;
            return Ok(Expression::IsNull { value: Box::new(left), negated });
        }
        let negated =
            self.at_keyword(0, "not") && (self.at_keyword(1, "in") || self.at_keyword(1, "between"));
        self.next += usize::from(negated);
        if self.take_keyword("in") {
            self.symbol("(")?;
            let mut of = vec![self.primary()?];
            while self.take_symbol(",") {
                of.push(self.primary()?);
            }
            self.symbol(")")?;
            return Ok(Expression::In { value: Box::new(left), of, negated });
        }
        if self.take_keyword("between") {
            let low = self.primary()?;
            self.keyword("and")?;
            let high = self.primary()?;
            let between = Expression::And(vec![
                Expression::Compare(Comparison::GreaterOrEqual, Box::new(left.clone()), Box::new(low)),
                Expression::Compare(Comparison::LessOrEqual, Box::new(left), Box::new(high)),
            ]);
            return Ok(if negated { Expression::Not(Box::new(between)) } else { between });
        }
        Ok(left)
    }

    fn primary(&mut self) -> Result<Expression, QueryError> {
        if self.take_symbol("(") {
            let inner = self.expression()?;
            self.symbol(")")?;
            return Ok(inner);
        }
        if self.take_symbol("-") {
            return match self.peek().cloned() {
                Some(Token::Number(number)) => {
                    self.next += 1;
                    Ok(Expression::Number(-number))
                }
                _ => Err(self.unexpected("a number")),
            };
        }
        let expression = match self.peek().cloned() {
            Some(Token::Text(text)) => Expression::Text(text),
            Some(Token::Number(number)) => Expression::Number(number),
            Some(Token::Name { text, quoted: true }) => Expression::Column(text),
            Some(Token::Name { text, quoted: false }) => {
                self.next += 1;
                return self.named(text);
            }
            Some(Token::Symbol(_)) | None => return Err(self.unexpected("an expression")),
        };
        self.next += 1;
        Ok(expression)
    }

    /// Reads on after an unquoted name: a truth value, a call, or a column.
    fn named(&mut self, name: String) -> Result<Expression, QueryError> {
        const RESERVED: [&str; 10] = ["and", "or", "not", "in", "is", "null", "as", "between", "asc", "desc"];
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "true" => return Ok(Expression::Boolean(true)),
            "false" => return Ok(Expression::Boolean(false)),
            reserved if RESERVED.contains(&reserved) => {
                self.next -= 1;
                return Err(self.unexpected("an expression"));
            }
            _ => {}
        }
        if !self.take_symbol("(") {
            return Ok(Expression::Column(name));
        }
        let mut arguments = Vec::new();
        if name == "count" && self.take_symbol("*") {
            self.symbol(")")?;
            return Ok(Expression::Call { function: name, arguments });
        }
        if !self.take_symbol(")") {
            arguments.push(self.expression()?);
            while self.take_symbol(",") {
                arguments.push(self.expression()?);
            }
            self.symbol(")")?;
        }
        if name == "count" && arguments.is_empty() {
            return Err(self.unexpected("`*`"));
        }
        Ok(Expression::Call { function: name, arguments })
    }
}

fn single_or(mut parts: Vec<Expression>, several: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            several(parts)
        }
        None => several(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> Box<Expression> {
        Box::new(Expression::Column(name.into()))
    }

    fn text(text: &str) -> Box<Expression> {
        Box::new(Expression::Text(text.into()))
    }

    #[test]
    fn reads_the_paging_filter() {
        let read =
            filter(":updated_at >= 'T' AND (:updated_at > 'T' OR :id > 'I') AND :updated_at < 'U'").unwrap();
        let compare = |comparison, name, value| Expression::Compare(comparison, column(name), text(value));
        assert_eq!(
            read,
            Expression::And(vec![
                compare(Comparison::GreaterOrEqual, ":updated_at", "T"),
                Expression::Or(vec![
                    compare(Comparison::Greater, ":updated_at", "T"),
                    compare(Comparison::Greater, ":id", "I")
                ]),
                compare(Comparison::Less, ":updated_at", "U"),
            ])
        );
    }

    #[test]
    fn reads_lists_nulls_and_negations() {
        let read = filter("agency in ('NYPD', 'HPD') and not closed_date is not null").unwrap();
        assert_eq!(
            read,
            Expression::And(vec![
                Expression::In {
                    value: column("agency"),
                    of: vec![*text("NYPD"), *text("HPD")],
                    negated: false
                },
                Expression::Not(Box::new(Expression::IsNull { value: column("closed_date"), negated: true })),
            ])
        );
        assert!(matches!(filter("agency not in ('X')").unwrap(), Expression::In { negated: true, .. }));
    }

    #[test]
    fn reads_aliases_and_calls() {
        let read = selections(":*, *, count(*) as n, date_trunc_ym(created_date)").unwrap();
        assert_eq!(read[..2], [Selection::SystemFields, Selection::Columns]);
        assert_eq!(
            read[2],
            Selection::Expression {
                expression: Expression::Call { function: "count".into(), arguments: vec![] },
                alias: Some("n".into())
            }
        );
        let ordered = orderings(":updated_at, n DESC").unwrap();
        assert_eq!(ordered.iter().map(|ordering| ordering.descending).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for clause in
            ["", "a =", "a = 1 b", "(a = 1", "a like 'x'", "and", "a in ()", "count()", "a is 3", "a || b"]
        {
            assert!(filter(clause).is_err(), "{clause}");
        }
        assert!(filter(&"(".repeat(100_000)).is_err());
        assert!(filter(&"not ".repeat(100_000)).is_err());
        assert!(selections("a as").is_err());
    }
}
