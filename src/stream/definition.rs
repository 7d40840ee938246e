//! What is done about a change of definitions that stands in the log.
//!
//! In: the change, the migration's tables as they are before it, where their chunks were read, and
//! what the operator chose. Out: a [`Course`]. Pure.
//!
//! Tables are followed by their numbers, so that a table keeps its rows under whatever name it gets.
//! Nothing is lost: a change is run where all of a table is of before it; where some of it is a copy
//! of later, it is run only if it leaves rows alone, and else the table is copied again; where all is
//! of later, the copy was made with it. A table whose rows come from one that is not followed is
//! copied again under its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{
    Act, Alter, Code, Coverage, Deed, Disposition, Fault, Halt, Identity, OnCreateTable,
    OnDropColumn, OnDropTable, OnOtherDdl, Position, Redefined, SchemaChange, SchemaPolicy,
    SchemaStep, Table, TableId, TableName, Verdict,
};

/// What is known where a change of definitions is met.
#[derive(Debug)]
pub struct Ground<'a> {
    /// The migration's tables.
    pub tables: &'a [Table],
    /// Where their chunks were read.
    pub coverage: &'a Coverage,
    /// What the operator chose.
    pub policy: &'a SchemaPolicy,
    /// Everything that this position contains is on the target.
    pub applied: &'a Position,
}

/// What is done about a change of definitions.
#[derive(Debug)]
pub enum Course {
    /// The target does this, and records it.
    Step(Box<SchemaStep>),
    /// These tables are copied again, as they are then.
    Recopy(Vec<TableId>),
}

/// Why a change of definitions is not carried over.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log holds {told} in database {database} at {place}, which {why}")]
pub struct DefinitionError {
    told: String,
    database: String,
    place: String,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Why {
    #[error("is not understood")]
    Other,
    #[error("makes a table that is selected, by --on-create-table a case for you")]
    Create,
    #[error("makes a selected table in a way that is not understood")]
    Made,
    #[error("makes a table whose name cannot be read")]
    Unnamed,
    #[error("makes a table like one that the target need not have as the source had it")]
    Alike,
    #[error("takes a table away, by --on-drop-table a case for you")]
    DropTable,
    #[error("drops a column, by --on-drop-column a case for you")]
    DropColumn,
    #[error("brings a table into the selection whose rows are not in the log")]
    Enters,
    #[error("makes a foreign key whose cascades the source does not log")]
    Cascade,
    #[error("renames or drops a table of foreign keys whose cascades the source does not log")]
    Family,
    #[error("stands before rows of its own transaction, which would come without it")]
    Rows,
}

impl Fault for DefinitionError {
    fn disposition(&self) -> Disposition {
        let by_hand = format!(
            "make the same change on the target where it is wanted there, then go on behind it: \
             `dunlin run --ddl-done '{}'`",
            self.place
        );
        let hint = match self.why {
            Why::Other => {
                format!("{by_hand}; or pass by all that is not understood: --on-other-ddl pass")
            }
            Why::Create => {
                format!("run again with --on-create-table create or ignore; or {by_hand}")
            }
            Why::Unnamed => by_hand,
            Why::Alike | Why::Made => {
                format!("leave new tables out: --on-create-table ignore; or {by_hand}")
            }
            Why::DropTable => format!("run again with --on-drop-table drop or keep; or {by_hand}"),
            Why::DropColumn => format!("run again with --on-drop-column drop; or {by_hand}"),
            Why::Cascade => {
                return Halt::with(
                    Code::CascadeUnlogged,
                    "leave a table that is new out: --on-create-table ignore; else make the key \
                     RESTRICT on the source for the time of the migration, then begin anew: `dunlin \
                     complete`, then `dunlin run --truncate-target '*'`",
                );
            }
            Why::Rows | Why::Enters | Why::Family => {
                "begin anew: `dunlin complete`, then `dunlin run --truncate-target '*'`".to_owned()
            }
        };
        Halt::with(Code::SchemaChanged, hint)
    }
}

/// Decides about a change.
///
/// # Errors
///
/// Where it is the operator's.
pub fn decide(change: &Arc<SchemaChange>, ground: &Ground<'_>) -> Result<Course, DefinitionError> {
    let case = Case { change, ground };
    let course = case.course()?;
    match &course {
        // The log is read again from before it, and does not come upon it as it did now where it
        // makes a table that is known then, or nothing is done about it at all.
        Course::Step(step) if change.end.is_none() && step.created.is_none() && does_any(step) => {
            Err(case.refuse(Why::Rows))
        }
        Course::Step(_) | Course::Recopy(_) => Ok(course),
    }
}

/// Whether a step does more than to pass something by.
fn does_any(step: &SchemaStep) -> bool {
    step.run != Deed::Nothing || !step.gone.is_empty()
}

struct Case<'a> {
    change: &'a Arc<SchemaChange>,
    ground: &'a Ground<'a>,
}

impl Case<'_> {
    fn course(&self) -> Result<Course, DefinitionError> {
        let Case { change, ground } = self;
        let comes = change.act.made().is_some_and(|table| self.known(table).is_none());
        let is_left_out = comes && ground.policy.on_create_table == OnCreateTable::Ignore;
        if change.unlogged && !is_left_out {
            return Err(self.refuse(Why::Cascade));
        }
        if self.tears_family() {
            return Err(self.refuse(Why::Family));
        }
        match &change.act {
            Act::Create(table) => self.create(table),
            Act::Alter(alter) => self.alter(alter),
            Act::Rename(pairs) => self.rename(pairs),
            Act::Drop(tables) => self.drop(tables),
            Act::Truncate(table) => self.truncate(table),
            Act::Other(Some(table)) if comes && self.is_selected(table) => self.make(table),
            Act::Other(Some(table)) if self.is_contained(table) => {
                Ok(self.pass("the table was copied later"))
            }
            Act::Other(_) | Act::Unnamed if self.is_done() => {
                let tables = ground.tables.iter().map(|table| as_now(table, &table.name));
                Ok(self.step(Deed::Nothing, tables.collect()))
            }
            // Passed by, the rows that it had would stay.
            Act::Other(Some(table)) if self.known(table).is_some() => Err(self.refuse(Why::Made)),
            Act::Unnamed => Err(self.refuse(Why::Unnamed)),
            Act::Other(_) => match ground.policy.on_other_ddl {
                OnOtherDdl::Halt => Err(self.refuse(Why::Other)),
                OnOtherDdl::Pass => {
                    tracing::warn!(place = %change.mark, "the source ran {}: passed by", change.told);
                    Ok(self.pass("it is not understood"))
                }
            },
        }
    }

    /// A table of a family goes, or gets another name: to which table the keys of the others refer
    /// then depends on the session that did it.
    fn tears_family(&self) -> bool {
        let torn = match &self.change.act {
            Act::Rename(_) | Act::Drop(_) => true,
            Act::Alter(alter) => alter.to != alter.table,
            Act::Create(_) | Act::Truncate(_) | Act::Other(_) | Act::Unnamed => false,
        };
        let bound =
            |name: &&TableName| self.known(name).is_some_and(|table| table.cascades.is_some());
        torn && self.change.act.before().iter().any(bound)
    }

    /// The operator saw to it.
    fn is_done(&self) -> bool {
        let place = self.change.mark.to_string();
        self.ground.policy.done.as_ref().is_some_and(|done| *done == place)
    }

    fn refuse(&self, why: Why) -> DefinitionError {
        DefinitionError {
            told: self.change.told.clone(),
            database: self.change.statement.database.clone(),
            place: self.change.mark.to_string(),
            why,
        }
    }

    fn known(&self, name: &TableName) -> Option<&Table> {
        self.ground.tables.iter().find(|table| table.name == *name)
    }

    fn is_selected(&self, name: &TableName) -> bool {
        self.change.selected.contains(name)
    }

    /// How the change lies to all of a table's copy; None where its chunks differ.
    fn verdict(&self, table: &Table) -> Option<Verdict> {
        let judged = self.ground.coverage.judge_table(table.id, &self.change.mark);
        judged.ok().filter(|verdict| *verdict != Verdict::Between)
    }

    /// All of a table's copy is of later.
    fn is_contained(&self, name: &TableName) -> bool {
        self.known(name).is_some_and(|table| self.verdict(table) == Some(Verdict::Contained))
    }

    /// The target has a table as the source had it then.
    fn is_carried(&self, name: &TableName) -> bool {
        self.known(name).is_some_and(|table| self.verdict(table) == Some(Verdict::After))
    }

    fn step(&self, run: Deed, tables: Vec<Redefined>) -> Course {
        let run = if self.is_done() { Deed::Nothing } else { run };
        Course::Step(Box::new(SchemaStep {
            change: Arc::clone(self.change),
            run,
            repeated: tables
                .iter()
                .any(|redefined| self.verdict(&redefined.table) != Some(Verdict::After)),
            tables,
            seen: Vec::new(),
            created: None,
            gone: Vec::new(),
            at: self.change.end.clone().unwrap_or_else(|| self.ground.applied.clone()),
        }))
    }

    /// Only the position moves on.
    fn pass(&self, why: &str) -> Course {
        tracing::info!(place = %self.change.mark, "not run, since {why}: {}", self.change.told);
        self.step(Deed::Nothing, Vec::new())
    }

    /// A selected table comes by a statement that is not understood. Passed by, its rows would not come.
    fn make(&self, name: &TableName) -> Result<Course, DefinitionError> {
        let is_left_out = self.ground.policy.on_create_table == OnCreateTable::Ignore;
        if is_left_out || self.is_done() { self.create(name) } else { Err(self.refuse(Why::Made)) }
    }

    fn create(&self, name: &TableName) -> Result<Course, DefinitionError> {
        match self.ground.policy.on_create_table {
            OnCreateTable::Halt if !self.is_done() => return Err(self.refuse(Why::Create)),
            OnCreateTable::Ignore => {
                tracing::warn!(table = %name, "a table that the source made is left out");
                return Ok(self.pass("new tables are left out"));
            }
            OnCreateTable::Create | OnCreateTable::Halt => {}
        }
        if !self.is_done() && self.change.template.as_ref().is_some_and(|it| !self.is_carried(it)) {
            return Err(self.refuse(Why::Alike));
        }
        let newest = self.ground.tables.iter().map(|table| table.id.0 + 1).max();
        let id = TableId(newest.unwrap_or_default());
        let mut course = self.step(Deed::AsWritten, vec![as_now(&unread(id, name.clone()), name)]);
        if let Course::Step(step) = &mut course {
            (step.created, step.repeated) = (Some(id), false);
        }
        Ok(course)
    }

    fn alter(&self, alter: &Alter) -> Result<Course, DefinitionError> {
        let Some(table) = self.known(&alter.table) else {
            return match alter.to == alter.table {
                true => Ok(self.pass("its table is left out")),
                false if self.is_contained(&alter.to) => {
                    Ok(self.pass("the table was copied later"))
                }
                false => Err(self.refuse(Why::Enters)),
            };
        };
        match self.verdict(table) {
            Some(Verdict::Contained) if alter.rows => {
                return Ok(self.pass("the table was copied later"));
            }
            None if alter.rows => return Ok(Course::Recopy(vec![table.id])),
            Some(_) | None => {}
        }
        let keeps = self.ground.policy.on_drop_column != OnDropColumn::Drop;
        if keeps && !alter.drops.is_empty() && !self.is_done() {
            return Err(self.refuse(Why::DropColumn));
        }
        if alter.to != alter.table && !self.is_selected(&alter.to) {
            return self.take_away(Deed::AsWritten, vec![table.id]);
        }
        Ok(self.step(Deed::AsWritten, vec![as_now(table, &alter.to)]))
    }

    fn truncate(&self, name: &TableName) -> Result<Course, DefinitionError> {
        let Some(table) = self.known(name) else { return Ok(self.pass("its table is left out")) };
        match self.verdict(table) {
            Some(Verdict::Contained) => Ok(self.pass("the table was copied later")),
            None => Ok(Course::Recopy(vec![table.id])),
            Some(Verdict::After | Verdict::Between) => {
                Ok(self.step(Deed::AsWritten, vec![as_now(table, name)]))
            }
        }
    }

    /// Tables go from the source, or from what is selected of it.
    fn take_away(&self, run: Deed, gone: Vec<TableId>) -> Result<Course, DefinitionError> {
        let run = match self.ground.policy.on_drop_table {
            _ if self.is_done() => Deed::Nothing,
            OnDropTable::Halt => return Err(self.refuse(Why::DropTable)),
            OnDropTable::Drop => run,
            OnDropTable::Keep => Deed::Nothing,
        };
        let mut course = self.step(run, Vec::new());
        if let Course::Step(step) = &mut course {
            step.gone = gone;
        }
        Ok(course)
    }

    fn drop(&self, names: &[TableName]) -> Result<Course, DefinitionError> {
        let known = names.iter().filter_map(|name| self.known(name));
        // A table that was copied later came again under its name.
        let gone: Vec<&Table> =
            known.filter(|table| self.verdict(table) == Some(Verdict::After)).collect();
        let mixed = names.iter().filter_map(|name| self.known(name));
        let mixed: Vec<TableId> =
            mixed.filter(|table| self.verdict(table).is_none()).map(|table| table.id).collect();
        if !mixed.is_empty() {
            return Ok(Course::Recopy(mixed));
        }
        if gone.is_empty() {
            return Ok(self.pass("its tables were copied later"));
        }
        let names = gone.iter().map(|table| table.name.clone()).collect();
        self.take_away(Deed::Drop(names), gone.iter().map(|table| table.id).collect())
    }

    fn rename(&self, pairs: &[(TableName, TableName)]) -> Result<Course, DefinitionError> {
        let names = Names::after(pairs, self.ground.tables);
        let concerned: Vec<&Table> =
            pairs.iter().filter_map(|(from, _)| self.known(from)).collect();
        let mut verdicts = concerned.iter().map(|table| self.verdict(table));
        let first = verdicts.next().flatten();
        if !concerned.is_empty() && (first.is_none() || verdicts.any(|other| other != first)) {
            return Ok(Course::Recopy(concerned.iter().map(|table| table.id).collect()));
        }
        let before = |table: &&&Table| self.verdict(table) == Some(Verdict::After);
        let moved: Vec<&Table> = concerned.iter().filter(before).copied().collect();
        let enters = names.entered.iter().any(|name| self.is_selected(name));
        if enters {
            return self.replaced(&names, &moved);
        }
        if moved.is_empty() {
            return Ok(self.pass("its tables were copied later"));
        }
        let stays = |table: &&Table| self.is_selected(&names.of[&table.id]);
        let renamed = |table: &Table| as_now(table, &names.of[&table.id]);
        let tables = moved.iter().copied().filter(stays).map(renamed).collect();
        let gone: Vec<TableId> =
            moved.iter().filter(|table| !stays(table)).map(|table| table.id).collect();
        let run = Deed::Rename(names.pairs.clone());
        if gone.is_empty() {
            return Ok(self.step(run, tables));
        }
        let mut course = self.take_away(run, gone)?;
        if let Course::Step(step) = &mut course {
            step.tables = tables;
        }
        Ok(course)
    }

    /// A table that is not followed takes the name of one that is, which leaves the selection:
    /// under that name it is another table from there on, which is copied. Where no name is given
    /// up like that, nothing is known of the rows.
    fn replaced(&self, names: &Names, moved: &[&Table]) -> Result<Course, DefinitionError> {
        let entered = names.entered.iter().filter(|name| self.is_selected(name));
        let taken: Vec<&Table> = entered.clone().filter_map(|name| self.known(name)).collect();
        let leaves = |table: &&Table| !self.is_selected(&names.of[&table.id]);
        let all_leave = moved.iter().all(leaves);
        let contained = |table: &&Table| self.verdict(table) == Some(Verdict::Contained);
        if entered.count() != taken.len() || !all_leave {
            return Err(self.refuse(Why::Enters));
        }
        if taken.iter().all(contained) {
            return Ok(self.pass("the table was copied later"));
        }
        Ok(Course::Recopy(taken.iter().map(|table| table.id).collect()))
    }
}

/// A table under the name that it has by now.
fn as_now(table: &Table, name: &TableName) -> Redefined {
    let formerly = table.name.clone();
    Redefined { formerly, table: Table { name: name.clone(), ..table.clone() } }
}

/// A table that is about to be read from the target.
fn unread(id: TableId, name: TableName) -> Table {
    Table {
        id,
        name,
        source_id: 0,
        columns: Vec::new(),
        columns_ever: 0,
        kept: Vec::new(),
        storage: 0,
        identity: Identity::Nothing,
        primary_key: Vec::new(),
        bytes: 0,
        estimated_rows: 0,
        pages: 0,
        correlation: None,
        root: None,
        partitions: None,
        cascades: None,
        binary_travels: false,
    }
}

/// What tables are called once all of them have their new names.
struct Names {
    /// The names of those that are followed.
    of: BTreeMap<TableId, TableName>,
    /// Names that tables got that are not followed.
    entered: Vec<TableName>,
    /// What is to be renamed of those that are followed.
    pairs: Vec<(TableName, TableName)>,
}

impl Names {
    /// Goes through the names in the order in which the server does.
    fn after(pairs: &[(TableName, TableName)], tables: &[Table]) -> Self {
        let mut by_name: BTreeMap<&TableName, TableId> =
            tables.iter().map(|table| (&table.name, table.id)).collect();
        let mut entered: Vec<TableName> = Vec::new();
        let mut followed = Vec::new();
        for (from, to) in pairs {
            entered.retain(|name| name != from);
            match by_name.remove(from) {
                Some(id) => {
                    by_name.insert(to, id);
                    followed.push((from.clone(), to.clone()));
                }
                None => entered.push(to.clone()),
            }
        }
        let of = by_name.into_iter().map(|(name, id)| (id, name.clone())).collect();
        Names { of, entered, pairs: followed }
    }
}

#[cfg(test)]
mod tests;
