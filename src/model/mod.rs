//! The words that every room shares: positions, values, changes, tables, failures.
//!
//! Nothing in here does any I/O or knows an engine's protocol. A position carries its engine's
//! own order; everything else is the same for every engine.

pub mod change;
pub mod failure;
pub mod objects;
pub mod position;
pub mod schema;
pub mod selection;
pub mod value;

pub use change::{Batch, Change, Event, Relation, RelationColumn, Truncate};
pub use failure::{Code, Disposition, Failure, Fault, Halt};
pub use position::{Bracket, Lsn, Mark, Position};
pub use schema::{Column, ColumnOrder, Identity, Table, TableId, TableName};
pub use value::{Row, Value, ValueRef};
