//! What is decided about definitions, for tables that were copied before and behind them.

use super::*;
use crate::model::{
    Bracket, Cascades, Chunk, ChunkRange, Column, ColumnOrder, LedgerEntry, Lsn, Mark, Statement,
};

fn name(name: &str) -> TableName {
    TableName { schema: "shop".into(), name: name.into() }
}

/// A table of one column, whose rows can be assigned to ranges.
fn table(id: u32, called: &str) -> Table {
    let column = Column {
        name: "id".into(),
        number: 1,
        version: 0,
        type_name: "int".into(),
        type_modifier: -1,
        not_null: true,
        generated: false,
        collation: None,
        order: ColumnOrder::Integer,
    };
    Table {
        columns: vec![column],
        identity: Identity::Key { columns: vec![0] },
        primary_key: vec![0],
        ..unread(TableId(id), name(called))
    }
}

fn entry(table: u32, number: u32, at: u64) -> LedgerEntry {
    let border = |number: u32| vec![(number * 10).to_string()];
    let range = ChunkRange::Key {
        from: (number > 0).then(|| border(number)),
        until: (number == 0).then(|| border(1)),
    };
    let chunk = Chunk { table: TableId(table), number, range, bytes: 0 };
    let read = Some(Bracket::exact(Position::Postgres(Lsn(at))));
    LedgerEntry { chunk, read, rows: 0 }
}

/// Every change stands at 100: `early` was copied before it, `late` behind it, `mixed` both.
fn decided(act: Act, policy: &SchemaPolicy) -> Result<Course, String> {
    decided_within(act, policy, Some(Position::Postgres(Lsn(101))))
}

fn decided_within(
    act: Act,
    policy: &SchemaPolicy,
    end: Option<Position>,
) -> Result<Course, String> {
    let tables = [table(1, "early"), table(2, "late"), table(3, "mixed"), table(4, "first")];
    let ledger =
        [entry(1, 0, 50), entry(2, 0, 150), entry(3, 0, 50), entry(3, 1, 150), entry(4, 0, 50)];
    let coverage = Coverage::new(&tables, &ledger).unwrap();
    let selected = act.after().into_iter().filter(|name| !name.name.starts_with('_'));
    let change = SchemaChange {
        mark: Mark::Postgres(Lsn(100)),
        end,
        committed_at_us: 0,
        selected: selected.cloned().collect(),
        act,
        unlogged: false,
        template: None,
        statement: Statement::default(),
        told: "IT".into(),
    };
    let ground = Ground {
        tables: &tables,
        coverage: &coverage,
        policy,
        applied: &Position::Postgres(Lsn(99)),
    };
    decide(&Arc::new(change), &ground).map_err(|error| error.why.to_string())
}

fn policy() -> SchemaPolicy {
    SchemaPolicy {
        on_other_ddl: OnOtherDdl::Halt,
        on_create_table: OnCreateTable::Create,
        on_drop_table: OnDropTable::Halt,
        on_drop_column: OnDropColumn::Halt,
        done: None,
    }
}

fn alter(table: &str, rows: bool) -> Act {
    let (table, to) = (name(table), name(table));
    Act::Alter(Alter { table, to, rows, drops: Vec::new(), permutes: false })
}

/// What runs, and the names of tables before and behind it, in short.
fn told(course: Result<Course, String>) -> String {
    match course {
        Err(why) => format!("halt: {why}"),
        Ok(Course::Recopy(ids)) => {
            format!("recopy {:?}", ids.iter().map(|id| id.0).collect::<Vec<_>>())
        }
        Ok(Course::Step(step)) => {
            let run = match &step.run {
                Deed::AsWritten => "as written".to_owned(),
                Deed::Nothing => "nothing".to_owned(),
                Deed::Drop(tables) => {
                    format!(
                        "drop {}",
                        tables.iter().map(|t| &*t.name).collect::<Vec<_>>().join(" ")
                    )
                }
                Deed::Rename(pairs) => {
                    let pair =
                        |(from, to): &(TableName, TableName)| format!("{}>{}", from.name, to.name);
                    format!("rename {}", pairs.iter().map(pair).collect::<Vec<_>>().join(" "))
                }
            };
            let table = |r: &Redefined| {
                format!(" {}:{}>{}", r.table.id.0, r.formerly.name, r.table.name.name)
            };
            let tables: String = step.tables.iter().map(table).collect();
            let gone: String = step.gone.iter().map(|id| format!(" -{}", id.0)).collect();
            let repeated = if step.repeated { " again" } else { "" };
            format!("{run}{tables}{gone}{repeated}")
        }
    }
}

#[test]
fn a_change_is_run_where_the_table_is_of_before_it() {
    for (act, expected) in [
        (alter("early", true), "as written 1:early>early"),
        (alter("late", true), "nothing"),
        (alter("mixed", true), "recopy [3]"),
        (alter("early", false), "as written 1:early>early"),
        (alter("late", false), "as written 2:late>late again"),
        (alter("mixed", false), "as written 3:mixed>mixed again"),
        (Act::Truncate(name("early")), "as written 1:early>early"),
        (Act::Truncate(name("late")), "nothing"),
        (Act::Truncate(name("mixed")), "recopy [3]"),
        (Act::Create(name("new")), "as written 5:new>new"),
        (Act::Other(None), "halt: is not understood"),
    ] {
        assert_eq!(told(decided(act.clone(), &policy())), expected, "{act:?}");
    }
}

#[test]
fn tables_keep_their_rows_under_other_names() {
    let rename = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(from, to)| (name(from), name(to))).collect();
        told(decided(Act::Rename(pairs), &policy()))
    };
    assert_eq!(rename(&[("early", "other")]), "rename early>other 1:early>other");
    assert_eq!(
        rename(&[("early", "_x"), ("first", "early"), ("_x", "first")]),
        "rename early>_x first>early _x>first 1:early>first 4:first>early"
    );
    let leaves = "halt: takes a table away, by --on-drop-table a case for you";
    assert_eq!(rename(&[("early", "_old")]), leaves);
    assert_eq!(rename(&[("late", "_old")]), "nothing");
    assert_eq!(rename(&[("early", "a"), ("late", "b")]), "recopy [1, 2]");
    let enters = "halt: brings a table into the selection whose rows are not in the log";
    assert_eq!(rename(&[("_new", "new")]), enters);
    let altered = |to: &str| {
        let Act::Alter(alter) = alter("_new", false) else { panic!() };
        told(decided(Act::Alter(Alter { to: name(to), ..alter }), &policy()))
    };
    assert_eq!(altered("new"), enters);
    assert_eq!(altered("late"), rename(&[("_new", "late")]));
    assert_eq!(rename(&[("early", "_old"), ("_new", "early")]), "recopy [1]");
    assert_eq!(rename(&[("late", "_old"), ("_new", "late")]), "nothing");
    assert_eq!(rename(&[("early", "b"), ("_new", "early")]), enters);
}

#[test]
fn what_goes_is_the_operators_case() {
    let drops = || Act::Drop(vec![name("early"), name("unknown"), name("late")]);
    let with = |on_drop_table| told(decided(drops(), &SchemaPolicy { on_drop_table, ..policy() }));
    assert_eq!(
        with(OnDropTable::Halt),
        "halt: takes a table away, by --on-drop-table a case for you"
    );
    assert_eq!(with(OnDropTable::Drop), "drop early -1");
    assert_eq!(with(OnDropTable::Keep), "nothing -1");
    let Act::Alter(alter) = alter("early", true) else { panic!() };
    let alter = Act::Alter(Alter { drops: vec!["a".into()], ..alter });
    let with =
        |on_drop_column| told(decided(alter.clone(), &SchemaPolicy { on_drop_column, ..policy() }));
    assert_eq!(
        with(OnDropColumn::Halt),
        "halt: drops a column, by --on-drop-column a case for you"
    );
    assert_eq!(with(OnDropColumn::Drop), "as written 1:early>early");
}

#[test]
fn what_the_operator_saw_to_is_not_run() {
    let place = Mark::Postgres(Lsn(100)).to_string();
    let done = SchemaPolicy { done: Some(place), ..policy() };
    assert_eq!(told(decided(alter("early", true), &done)), "nothing 1:early>early");
    assert_eq!(told(decided(Act::Create(name("new")), &done)), "nothing 5:new>new");
    let drop = Act::Drop(vec![name("early")]);
    assert_eq!(told(decided(drop, &done)), "nothing -1");
    let all = "nothing 1:early>early 2:late>late 3:mixed>mixed 4:first>first again";
    assert_eq!(told(decided(Act::Other(None), &done)), all);
    let pass = SchemaPolicy { on_other_ddl: OnOtherDdl::Pass, ..policy() };
    assert_eq!(told(decided(Act::Other(None), &pass)), "nothing");
}

#[test]
fn a_table_that_is_made_in_a_way_not_understood_is_not_left_out_in_silence() {
    let makes =
        |table: &str, policy: &SchemaPolicy| told(decided(Act::Other(Some(name(table))), policy));
    let halted = "halt: makes a selected table in a way that is not understood";
    let pass = SchemaPolicy { on_other_ddl: OnOtherDdl::Pass, ..policy() };
    for (table, expected) in [("new", halted), ("early", halted), ("late", "nothing")] {
        assert_eq!(makes(table, &pass), expected);
    }
    let ignore = SchemaPolicy { on_create_table: OnCreateTable::Ignore, ..pass };
    assert_eq!(makes("new", &ignore), "nothing");
    assert_eq!(makes("early", &ignore), halted, "it replaces one that is followed");
    let place = Mark::Postgres(Lsn(100)).to_string();
    let done = SchemaPolicy { done: Some(place), ..policy() };
    assert_eq!(makes("new", &done), "nothing 5:new>new");
}

#[test]
fn what_rows_of_its_own_follow_makes_a_table_or_is_passed_by() {
    let with = |act, policy| told(decided_within(act, &policy, None));
    let create = || Act::Create(name("new"));
    assert_eq!(with(create(), policy()), "as written 5:new>new");
    let ignore = SchemaPolicy { on_create_table: OnCreateTable::Ignore, ..policy() };
    assert_eq!(with(create(), ignore), "nothing");
    let pass = SchemaPolicy { on_other_ddl: OnOtherDdl::Pass, ..policy() };
    assert_eq!(with(Act::Other(None), pass), "nothing");
    assert_eq!(with(Act::Other(Some(name("late"))), policy()), "nothing", "it was copied later");
    let halted = "halt: stands before rows of its own transaction, which would come without it";
    assert_eq!(with(alter("early", true), policy()), halted);
}

#[test]
fn a_table_whose_name_cannot_be_read_is_the_operators_case() {
    let halted = "halt: makes a table whose name cannot be read";
    let pass = SchemaPolicy { on_other_ddl: OnOtherDdl::Pass, ..policy() };
    let ignore = SchemaPolicy { on_create_table: OnCreateTable::Ignore, ..policy() };
    for policy in [policy(), pass, ignore] {
        assert_eq!(told(decided(Act::Unnamed, &policy)), halted);
    }
    let place = Mark::Postgres(Lsn(100)).to_string();
    let done = SchemaPolicy { done: Some(place), ..policy() };
    assert!(told(decided(Act::Unnamed, &done)).starts_with("nothing"));
}

#[test]
fn a_table_is_made_like_one_that_the_target_has_as_it_was() {
    let tables = [table(1, "early"), table(2, "late")];
    let coverage = Coverage::new(&tables, &[entry(1, 0, 50), entry(2, 0, 150)]).unwrap();
    let applied = Position::Postgres(Lsn(99));
    let decided = |template: &str, done: Option<String>| {
        let change = SchemaChange {
            mark: Mark::Postgres(Lsn(100)),
            end: Some(Position::Postgres(Lsn(101))),
            committed_at_us: 0,
            selected: [name("new")].into(),
            act: Act::Create(name("new")),
            unlogged: false,
            template: Some(name(template)),
            statement: Statement::default(),
            told: "IT".into(),
        };
        let policy = SchemaPolicy { done, ..policy() };
        let ground =
            Ground { tables: &tables, coverage: &coverage, policy: &policy, applied: &applied };
        decide(&Arc::new(change), &ground).map_err(|error| error.why)
    };
    assert!(decided("early", None).is_ok());
    for template in ["late", "unknown"] {
        assert_eq!(decided(template, None).err(), Some(Why::Alike));
        assert!(decided(template, Some(Mark::Postgres(Lsn(100)).to_string())).is_ok());
    }
}

#[test]
fn tables_that_hang_together_by_cascades_keep_their_names() {
    let cascades = Cascades { family: 0, parent: true, rules: Vec::new() };
    let bound = Table { cascades: Some(cascades), ..table(1, "bound") };
    let tables = [bound, table(2, "alone")];
    let coverage = Coverage::new(&tables, &[entry(1, 0, 50), entry(2, 0, 50)]).unwrap();
    let policy = SchemaPolicy { on_drop_table: OnDropTable::Drop, ..policy() };
    let (applied, end) = (Position::Postgres(Lsn(99)), Position::Postgres(Lsn(101)));
    let decided = |act: Act| {
        let change = SchemaChange {
            mark: Mark::Postgres(Lsn(100)),
            end: Some(end.clone()),
            committed_at_us: 0,
            selected: act.after().into_iter().cloned().collect(),
            act,
            unlogged: false,
            template: None,
            statement: Statement::default(),
            told: "IT".into(),
        };
        let ground =
            Ground { tables: &tables, coverage: &coverage, policy: &policy, applied: &applied };
        decide(&Arc::new(change), &ground).map_err(|error| error.why)
    };
    let renamed = |from: &str| Act::Rename(vec![(name(from), name("other"))]);
    let moved = Act::Alter(Alter {
        table: name("bound"),
        to: name("other"),
        rows: false,
        drops: Vec::new(),
        permutes: false,
    });
    for act in [renamed("bound"), moved, Act::Drop(vec![name("alone"), name("bound")])] {
        assert_eq!(decided(act).err(), Some(Why::Family));
    }
    for act in [renamed("alone"), alter("bound", true), Act::Drop(vec![name("alone")])] {
        assert!(decided(act).is_ok());
    }
}
