//! The words that every room shares: positions, values, changes, tables, failures.
//!
//! Nothing in here does any I/O or knows an engine's protocol. A position carries its engine's
//! own order; everything else is the same for every engine.

pub mod alteration;
pub mod change;
pub mod chunk;
pub mod cutover;
pub mod ddl;
pub mod effect;
pub mod failure;
pub mod foreign_key;
pub mod gtid;
pub mod handover;
pub mod objects;
pub mod order;
pub mod phase;
pub mod position;
pub mod report;
pub mod schema;
pub mod schema_change;
pub mod selection;
pub mod tap;
pub mod touch;
pub mod value;
pub mod value_kind;
pub mod verification;

pub use alteration::{Alteration, Before, DroppedColumn, NewColumn, OnDropColumn};
pub use change::{Batch, Change, Event, Relation, RelationColumn, Statement, Truncate};
pub use chunk::{
    Chunk, ChunkRange, Coverage, KeyBound, LedgerEntry, Unassignable, Verdict, are_assignable,
    pieces,
};
pub use cutover::{
    CutoverEnd, CutoverProgress, CutoverRecord, CutoverReport, CutoverStage, CutoverStep,
    EarlyProof, FinalProof, LeftOut, Leftover, Manner, WayBack, WayBackEnd,
};
pub use effect::{Cell, CellIndex, Plan, RowIdentity, Shape, Step, TableEffect, UpdateSet};
pub use failure::{Because, Code, Disposition, Failure, Fault, Halt};
pub use gtid::{Gtid, GtidSet, GtidSource, MariaGtid, MariaGtidList};
pub use handover::{
    CarriedSchema, DefaultCharacterSet, Drift, HeldSnapshot, Peculiarity, RowForm, SchemaFacts,
    ServerFacts, SourceHealth, SourceIdentity, SourceSurvey,
};
pub use objects::{SchemaArchive, SequenceValue};
pub use order::{ColumnOrder, KeyPart};
pub use phase::Phase;
pub use position::{BinlogPosition, Bracket, Lsn, Mark, Position};
pub use schema::{
    Cascades, Column, Identity, Partition, Partitions, Table, TableId, TableName, with_families,
};
pub use schema_change::{
    Act, Alter, Deed, OnCreateTable, OnDropTable, OnOtherDdl, Redefined, SchemaChange,
    SchemaPolicy, SchemaStep,
};
pub use tap::{ChangedRows, KeyBatch, RowKey, TableChanges, Tap};
pub use touch::{Touch, Touches};
pub use value::{Row, Value, ValueRef};
pub use value_kind::ValueKind;
