//! At least one of everything that `pg_dump` knows, between servers of several versions.
//!
//! The oracle is what `pg_dump` says of the target: object for object the same as of a database
//! that it filled there itself, and between equal versions the same as of the source, but for what
//! is listed here.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use dunlin::demo::programs::Programs;
use dunlin::demo::{Server, ServerOptions};

use crate::support::compare::{assert_sequences_carried, differing_tables};
use crate::support::pair::DATABASE;
use crate::support::{Dunlin, TestPair, catch_up_with, text};

const ROLES: &str = include_str!("../cases/postgres/objects/roles.sql");

/// What is made on the source, and from which version on.
const SETUP: &[(u32, &str)] = &[
    (13, include_str!("../cases/postgres/objects/setup.sql")),
    (14, include_str!("../cases/postgres/objects/since_14.sql")),
    (15, include_str!("../cases/postgres/objects/since_15.sql")),
    (17, include_str!("../cases/postgres/objects/since_17.sql")),
    (18, include_str!("../cases/postgres/objects/since_18.sql")),
];

/// What goes through the stream.
const CHANGES: &[(u32, &str)] = &[
    (13, include_str!("../cases/postgres/objects/changes.sql")),
    (18, include_str!("../cases/postgres/objects/changes_18.sql")),
];

/// Unlogged and foreign tables are refused unless they are left out.
const ARGUMENTS: &[&str] = &["--privileges", "--exclude", "away.*"];

/// Between equal versions what differs, each with the reason.
const DIFFERENCES: &[(&str, &str)] = &[
    ("both; Type: VIEW; Schema: away", "reads what is left out"),
    ("fleeting fleeting_pkey; Type: CONSTRAINT; Schema: away", "belongs to what is left out"),
    ("fleeting; Type: TABLE; Schema: away", "unlogged, left out by --exclude"),
    ("joined; Type: TABLE; Schema: shop", "pg_dump puts the parent's columns first"),
    ("remote; Type: FOREIGN TABLE; Schema: away", "foreign, left out by --exclude"),
    ("theirs; Type: SUBSCRIPTION; Schema: -", "two subscribers of one slot would share it"),
];

const LARGE_OBJECTS: &str = "SELECT string_agg(concat_ws(' ', oid, lomowner::regrole, lomacl, \
     md5(lo_get(oid)), obj_description(oid, 'pg_largeobject')), ', ' ORDER BY oid) \
     FROM pg_largeobject_metadata";
const VIEWS: &str = "SELECT concat_ws(' ', (SELECT string_agg(matviewname || ispopulated, ' ' \
     ORDER BY matviewname) FROM pg_matviews), (SELECT sum(hashtext(s::text)) FROM shop.sums s), \
     (SELECT count(*) FROM shop.heap_of), (SELECT a::text FROM shop.a_sum_of_sums a))";
const INVALID: &str = "SELECT string_agg(indexrelid::regclass::text, ' ' ORDER BY 1) \
     FROM pg_index WHERE NOT indisvalid OR NOT indisready";

#[tokio::test]
async fn every_object_comes_from_15_to_15() {
    everything_comes(15, 15).await;
}

#[tokio::test]
async fn every_object_comes_from_15_to_18() {
    everything_comes(15, 18).await;
}

#[tokio::test]
async fn every_object_comes_from_18_to_18() {
    everything_comes(18, 18).await;
}

#[tokio::test]
async fn every_object_comes_from_13_to_18() {
    everything_comes(13, 18).await;
}

async fn everything_comes(source: u32, target: u32) {
    let version = |major| ServerOptions { major: Some(major), ..ServerOptions::default() };
    let pair = TestPair::start_with(version(source), version(target)).await;
    pair.source_sql(ROLES).await;
    pair.target_sql(ROLES).await;
    apply(&pair, SETUP, source).await;
    let programs = Programs::find(Some(source.max(target))).unwrap();
    fill_reference(&programs, &pair).await;
    catch_up_with(&pair, ARGUMENTS).await;
    apply(&pair, CHANGES, source).await;
    catch_up_with(&pair, ARGUMENTS).await;
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    let carried = dump(&programs, &pair.target, DATABASE, &[]);
    let reference = dump(&programs, &pair.target, "reference", &[]);
    assert_eq!(differing(&reference, &carried), [""; 0]);
    if source == target {
        let original = dump(&programs, &pair.source, DATABASE, &[]);
        let expected: Vec<&str> = DIFFERENCES.iter().map(|(object, _)| *object).collect();
        assert_eq!(differing(&original, &carried), expected);
    }
    assert_eq!(differing_tables(&pair).await, ["away.fleeting"]);
    assert_sequences_carried(&pair).await;
    let (source, target) = (pair.on_source().await, pair.on_target().await);
    for query in [LARGE_OBJECTS, VIEWS, INVALID] {
        assert_eq!(text(&source, query).await, text(&target, query).await);
    }
}

async fn apply(pair: &TestPair, statements: &[(u32, &str)], version: u32) {
    for (_, statements) in statements.iter().filter(|(since, _)| *since <= version) {
        pair.source_sql(statements).await;
    }
}

/// Another database on the target, filled by `pg_dump` and `psql`.
async fn fill_reference(programs: &Programs, pair: &TestPair) {
    pair.target.create_database("reference").await.unwrap();
    let left_out = ["--no-subscriptions", "--exclude-table=away.*"];
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("schema.sql");
    fs::write(&script, dump(programs, &pair.source, DATABASE, &left_out)).unwrap();
    let filled = Command::new(programs.path("psql"))
        .args(["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1"])
        .args(["--dbname", &pair.target.url("reference"), "--file"])
        .arg(script)
        .output()
        .unwrap();
    assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
}

fn dump(programs: &Programs, server: &Server, database: &str, arguments: &[&str]) -> String {
    let dump = Command::new(programs.path("pg_dump"))
        .args(["--schema-only", "--dbname", &server.url(database)])
        .args(arguments)
        .output()
        .unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    String::from_utf8(dump.stdout).unwrap()
}

/// The objects that are not the same in both dumps.
fn differing(one: &str, other: &str) -> Vec<String> {
    let (one, other) = (objects(one), objects(other));
    let mut names: Vec<String> = one
        .iter()
        .filter(|(name, body)| other.get(*name) != Some(body))
        .chain(other.iter().filter(|(name, _)| !one.contains_key(*name)))
        .map(|(name, _)| (*name).to_owned())
        .collect();
    names.sort_unstable();
    names
}

/// A dump's objects: by name, type and schema what is said of each.
fn objects(dump: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut objects: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for object in dump.split("\n-- Name: ").skip(1) {
        let (head, body) = object.split_once('\n').unwrap();
        let name = head.split_once("; Owner: ").unwrap().0;
        let frame = |line: &&str| !matches!(*line, "" | "--") && !line.starts_with("\\unrestrict ");
        objects.entry(name).or_default().extend(body.lines().filter(frame));
    }
    objects
}
