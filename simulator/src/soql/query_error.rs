//! How the source says no to a query: a code, a message, and where it lost the thread.

use serde_json::{Value, json};

/// A query that is not understood, as the source reports it with status 400.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryError {
    pub code: &'static str,
    pub message: String,
    pub data: Value,
}

impl QueryError {
    pub fn syntax(clause: &str, at: usize, detail: &str) -> Self {
        Self {
            code: "query.soql.parse-error",
            message: format!(
                "Could not parse SoQL query \"{clause}\" at line 1 character {}: {detail}",
                at + 1
            ),
            data: json!({"query": clause, "position": {"row": 1, "column": at + 1}}),
        }
    }

    pub fn no_such_column(name: &str) -> Self {
        Self {
            code: "query.soql.no-such-column",
            message: format!("Query coordinator error: query.soql.no-such-column; No such column: {name}"),
            data: json!({"column": name}),
        }
    }

    pub fn no_such_function(name: &str) -> Self {
        Self {
            code: "query.soql.no-such-function",
            message: format!(
                "Query coordinator error: query.soql.no-such-function; No such function: {name}"
            ),
            data: json!({"function": name}),
        }
    }

    pub fn type_mismatch(detail: String) -> Self {
        Self {
            code: "query.soql.type-mismatch",
            message: format!("Query coordinator error: query.soql.type-mismatch; Type mismatch: {detail}"),
            data: Value::Object(serde_json::Map::new()),
        }
    }

    pub fn not_grouped(column: &str) -> Self {
        Self {
            code: "query.soql.column-not-in-group-bys",
            message: format!(
                "Query coordinator error: query.soql.column-not-in-group-bys; Column not in group bys: {column}"
            ),
            data: json!({"column": column}),
        }
    }

    pub fn invalid(message: String) -> Self {
        Self { code: "query.execution.queryError", message, data: Value::Object(serde_json::Map::new()) }
    }

    pub fn body(&self) -> String {
        json!({"code": self.code, "error": true, "message": self.message, "data": self.data}).to_string()
    }
}
