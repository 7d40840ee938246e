//! Reads points of a log with a catalog that is ahead of them: what is told, and what is not.

use super::*;
use crate::model::{ColumnOrder, Identity, Partition, Partitions, TableId};

fn name(name: &str) -> TableName {
    TableName { schema: "public".into(), name: name.into() }
}

fn column(number: u16, name: &str) -> Column {
    Column {
        name: name.into(),
        number,
        version: 1,
        type_name: "pg_catalog.int4".into(),
        type_modifier: -1,
        not_null: false,
        generated: false,
        collation: None,
        order: ColumnOrder::Integer,
    }
}

/// `id` and `note`, of three columns that there ever were.
fn table() -> Table {
    Table {
        id: TableId(0),
        name: name("item"),
        source_id: 1,
        columns: vec![column(1, "id"), column(3, "note")],
        columns_ever: 3,
        kept: Vec::new(),
        storage: 10,
        identity: Identity::Nothing,
        primary_key: vec![0],
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

fn attribute(number: u16, name: &str, missing: Option<&str>) -> Attribute {
    let column = column(number, name);
    Attribute {
        dropped: name.is_empty(),
        inherited: false,
        base_type: column.type_name.clone(),
        missing: missing.map(str::to_owned),
        not_null: false,
        new: NewColumn {
            on: self::name("item"),
            type_text: "integer".into(),
            collation: None,
            default: None,
            generation: None,
            before: Before::Untold,
            column,
        },
    }
}

/// The catalog with further columns behind those of [`table`]; one without a name was dropped.
fn catalog(storage: u64, further: &[(u16, &str, Option<&str>)]) -> Kin {
    let known = [(1, "id", None), (2, "", None), (3, "note", None)];
    let all = known.iter().chain(further);
    Kin {
        oid: 1,
        name: name("item"),
        storage,
        parents: Vec::new(),
        attributes: all.map(|(number, name, value)| attribute(*number, name, *value)).collect(),
    }
}

fn read_with(kin: &Kin, logged: &[&str]) -> Alteration {
    let column = |name: &&str| RelationColumn {
        name: (*name).into(),
        type_name: "pg_catalog.int4".into(),
        type_modifier: -1,
        key: false,
    };
    let relation = Relation {
        table: TableId(0),
        name: name("item"),
        columns: logged.iter().map(column).collect(),
        full: false,
        cascades: false,
    };
    let tables = [table()];
    let in_place = |table: &Table, storage| table.storage == storage;
    let family = std::slice::from_ref(kin);
    read(&tables[0], &relation, &Context { tables: &tables, family, in_place: &in_place })
}

/// What older rows hold in the columns that came.
fn before(kin: &Kin, logged: &[&str]) -> Vec<Before> {
    read_with(kin, logged).added.into_iter().map(|new| new.before).collect()
}

#[test]
fn older_rows_hold_what_the_catalog_kept_of_the_moment() {
    let one = || Before::Value("1".into());
    let kin = catalog(10, &[(4, "a", Some("1")), (5, "b", None)]);
    assert_eq!(before(&kin, &["id", "note", "a"]), [one()]);
    assert_eq!(before(&kin, &["id", "note", "a", "b"]), [one(), Before::Null]);
    let altered = read_with(&kin, &["id", "note", "a"]).table;
    assert_eq!((altered.columns_ever, altered.columns.len()), (4, 3));
}

#[test]
fn rows_that_were_written_anew_tell_nothing() {
    let kin = catalog(11, &[(4, "a", None)]);
    assert_eq!(before(&kin, &["id", "note", "a"]), [Before::Untold]);
}

#[test]
fn a_name_that_came_twice_is_not_taken_for_the_other() {
    let twice = catalog(10, &[(4, "", None), (5, "a", Some("2"))]);
    assert_eq!(before(&twice, &["id", "note", "a"]), [Before::Untold]);
    let renamed = catalog(10, &[(4, "b", Some("1")), (5, "a", Some("2"))]);
    assert_eq!(before(&renamed, &["id", "note", "a"]), [Before::Untold]);
    let later = catalog(10, &[(4, "a", Some("1")), (5, "", None), (6, "b", None)]);
    assert_eq!(before(&later, &["id", "note", "a"]), [Before::Value("1".into())]);
}

#[test]
fn what_is_dropped_by_now_needs_no_value() {
    let gone = catalog(10, &[(4, "", None)]);
    assert_eq!(before(&gone, &["id", "note", "a"]), [Before::Null]);
    let partly = catalog(10, &[(4, "", None), (5, "b", Some("2"))]);
    let both = [Before::Null, Before::Value("2".into())];
    assert_eq!(before(&partly, &["id", "note", "a", "b"]), both);
}

#[test]
fn a_renamed_column_is_known_by_its_number() {
    let mut kin = catalog(10, &[(4, "a", Some("1"))]);
    kin.attributes[2].new.column.name = "remark".into();
    let read = read_with(&kin, &["id", "remark", "a"]);
    assert_eq!(read.renamed, [("note".to_owned(), "remark".to_owned())]);
    assert_eq!((read.added.len(), read.dropped.len()), (1, 0));
}

#[test]
fn a_dropped_column_is_gone_everywhere_or_not() {
    let mut kin = catalog(10, &[]);
    assert!(!read_with(&kin, &["id"]).dropped[0].everywhere);
    kin.attributes[2].dropped = true;
    assert!(read_with(&kin, &["id"]).dropped[0].everywhere);
}

#[test]
fn partitions_have_to_say_the_same() {
    let leaf = |source_id, storage, value| Kin {
        oid: source_id,
        attributes: vec![Attribute { inherited: true, ..attribute(9, "a", value) }],
        ..catalog(storage, &[])
    };
    let partition = |source_id| Partition {
        name: name("leaf"),
        source_id,
        storage: 20,
        links: Vec::new(),
        came_in: None,
        bytes: 0,
        estimated_rows: 0,
        pages: 0,
        correlation: None,
    };
    let leaves = vec![partition(2), partition(3)];
    let table = Table { partitions: Some(Partitions { at: None, leaves }), ..table() };
    let told = |one: Kin, other: Kin| {
        let root = catalog(0, &[(4, "a", None)]);
        let attribute = root.attributes[3].clone();
        let family = [root.clone(), one, other];
        let in_place = |_: &Table, _| true;
        let context = Context { tables: &[], family: &family, in_place: &in_place };
        context.with_older_values(&table, &root, &attribute).map(|new| new.before)
    };
    let one = || Before::Value("1".into());
    assert_eq!(told(leaf(2, 20, Some("1")), leaf(3, 20, Some("1"))), Some(one()));
    assert_eq!(told(leaf(2, 20, None), leaf(3, 20, None)), Some(Before::Null));
    assert_eq!(told(leaf(2, 20, None), leaf(3, 20, Some("1"))), None);
    assert_eq!(told(leaf(2, 20, None), leaf(3, 21, None)), None);
}
