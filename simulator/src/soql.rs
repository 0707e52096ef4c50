//! The part of SoQL that the simulator speaks: `$select`, `$where`, `$order`, `$group`, `$limit`, `$offset`
//! with comparisons, `and`, `or`, `not`, `in`, `between`, `is null`, `count`, `min`, `max`, `date_trunc_y`,
//! `_ym`, `_ymd`, `as`.
//!
//! text -> tokens -> tree -> typed nodes -> plan. Anything else is refused with the source's own kind of
//! error.

mod bounds;
mod columns;
mod parse;
mod program;
mod query;
mod query_error;
mod token;

pub use self::columns::{ColumnType, KnownColumns, SYSTEM_FIELDS};
pub use self::program::{Datum, Node, Row, read_fixed, read_floating, write_fixed, write_floating};
pub use self::query::{Aggregate, Answer, GroupValue, Part, Projection, Query, RowOrder, extreme};
pub use self::query_error::QueryError;
