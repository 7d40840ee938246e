//! Keys sort here as they sort on the server, as the log writes them and as borders are written.
//!
//! The server sorts random values of every type whose order is known; the same order must come out
//! of their texts.

use std::collections::HashMap;

use dunlin::config::endpoint::PostgresEndpoint;
use dunlin::config::environment::Environment;
use dunlin::connect::postgres::connect;
use dunlin::model::selection::{Patterns, Selection};
use dunlin::model::{Change, ColumnOrder, Event, TableId, Value};
use dunlin::source::postgres::decode::{Decoded, Decoder, Registry};
use dunlin::source::postgres::relations::{Tables, tables};
use dunlin::source::postgres::wire::{Wire, WireOptions};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tokio_postgres::Client;

use crate::support::scene::seed;
use crate::support::{TestPair, number};

const VALUES: usize = 1500;

/// A type, its order, the values at its edges, and how to make others.
struct Kind {
    sql: &'static str,
    order: ColumnOrder,
    edges: &'static [&'static str],
    random: fn(&mut StdRng) -> String,
}

const KINDS: &[Kind] = &[
    Kind {
        sql: "int8",
        order: ColumnOrder::Integer,
        edges: &["-9223372036854775808", "-1", "0", "9223372036854775807"],
        random: |rng| rng.random_range(-2000..2000).to_string(),
    },
    Kind {
        sql: "oid",
        order: ColumnOrder::Integer,
        edges: &["0", "2147483647", "2147483648", "4294967295"],
        random: |rng| rng.random::<u32>().to_string(),
    },
    Kind {
        sql: "numeric",
        order: ColumnOrder::Decimal,
        edges: &["NaN", "0", "-0.00", "1e60", "-1e60", "1e-40", "-1e-40", "9999.9999", "10000"],
        random: numeric,
    },
    Kind {
        sql: "numeric(12,3)",
        order: ColumnOrder::Decimal,
        edges: &["NaN", "0", "0.001", "-0.001", "999999999.999"],
        random: |rng| format!("{}e-3", rng.random_range(-2_000_000..2_000_000)),
    },
    Kind { sql: "bool", order: ColumnOrder::Boolean, edges: &["t", "f"], random: |_| "t".into() },
    Kind {
        sql: "date",
        order: ColumnOrder::Moment,
        edges: &[
            "infinity",
            "-infinity",
            "4714-11-24 BC",
            "0001-12-31 BC",
            "0001-01-01",
            "9999-12-31",
            "10000-01-01",
            "5874897-12-31",
            "2000-02-29",
            "1900-03-01",
            "0005-02-28 BC",
            "0005-02-29 BC",
            "0005-03-01 BC",
        ],
        random: |rng| format!("J{}", rng.random_range(0..4_000_000)),
    },
    Kind {
        sql: "timestamp",
        order: ColumnOrder::Moment,
        edges: &[
            "infinity",
            "-infinity",
            "4714-11-24 00:00:00 BC",
            "294276-12-31 23:59:59.999999",
            "0001-12-31 23:59:59.999999 BC",
            "0001-01-01 00:00:00",
            "2000-01-01 00:00:00.1",
        ],
        random: |rng| timestamp(rng, ""),
    },
    Kind {
        sql: "timestamptz",
        order: ColumnOrder::Moment,
        edges: &[
            "infinity",
            "-infinity",
            "4714-11-24 00:00:00+00 BC",
            "294276-12-31 23:59:59.999999+00",
            "0001-12-31 23:59:59.999999+01 BC",
            "0001-01-01 00:00:00-01",
            "2000-01-01 00:00:00.1+05:53:28",
        ],
        random: |rng| {
            let zone = ["+00", "-03:30", "+14", "+05:53:28"].choose(rng).copied();
            timestamp(rng, zone.unwrap())
        },
    },
    Kind {
        sql: "time",
        order: ColumnOrder::TimeOfDay,
        edges: &["00:00:00", "24:00:00", "23:59:59.999999", "12:00:00.1", "12:00:00.01"],
        random: clock,
    },
    Kind {
        sql: "uuid",
        order: ColumnOrder::Uuid,
        edges: &["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
        random: |rng| format!("{:032X}", rng.random::<u128>() >> rng.random_range(0..128)),
    },
    Kind {
        sql: "bytea",
        order: ColumnOrder::Bytes,
        edges: &["", "\\x00", "\\x0000", "\\x7f", "\\x80", "\\xff", "\\xffff"],
        random: |rng| {
            let len = rng.random_range(0..6);
            let bytes = (0..len).map(|_| format!("{:02x}", rng.random::<u8>()));
            format!("\\x{}", bytes.collect::<String>())
        },
    },
    Kind { sql: "text COLLATE \"C\"", order: ColumnOrder::Text, edges: WORDS, random: word },
    Kind {
        sql: "varchar(40) COLLATE \"POSIX\"",
        order: ColumnOrder::Text,
        edges: WORDS,
        random: word,
    },
    Kind {
        sql: "varchar COLLATE \"ucs_basic\"",
        order: ColumnOrder::Text,
        edges: WORDS,
        random: word,
    },
    Kind { sql: "name", order: ColumnOrder::Text, edges: WORDS, random: word },
    Kind {
        sql: "char(40) COLLATE \"C\"",
        order: ColumnOrder::PaddedText,
        edges: WORDS,
        random: word,
    },
    Kind { sql: "public.label", order: ColumnOrder::Text, edges: WORDS, random: word },
];

const WORDS: &[&str] = &[
    "", " ", "  ", "a", "a ", "a  b", "a\t", "a\tb", "A", "B", "é", "e\u{301}", "\u{ffff}", "🐦",
    "\\", "\\\\N",
];

fn numeric(rng: &mut StdRng) -> String {
    let most = 10i64.pow(rng.random_range(1..18));
    let digits = rng.random_range(0..most);
    let sign = ["", "-"].choose(rng).unwrap();
    format!("{sign}{digits}e{}", rng.random_range(-20..20))
}

fn clock(rng: &mut StdRng) -> String {
    let mut part = |most| rng.random_range(0..most);
    let (hour, minute, second, micros) = (part(24), part(60), part(60), part(1_000_000));
    match micros % 3 {
        0 => format!("{hour:02}:{minute:02}:{second:02}"),
        _ => format!("{hour:02}:{minute:02}:{second:02}.{micros:06}"),
    }
}

fn timestamp(rng: &mut StdRng, zone: &str) -> String {
    let most = [30, 3000, 200_000].choose(rng).copied().unwrap();
    let year = rng.random_range(1..most);
    let era = if year < 4000 { ["", " BC"].choose(rng).unwrap() } else { "" };
    let (month, day) = (rng.random_range(1..=12), rng.random_range(1..=28));
    format!("{year:04}-{month:02}-{day:02} {}{zone}{era}", clock(rng))
}

fn word(rng: &mut StdRng) -> String {
    const LETTERS: &[char] = &[
        ' ', ' ', 'a', 'b', 'A', 'B', 'z', '-', '_', '\\', '\t', '0', '9', 'é', 'ß', 'ö', '中',
        '🐦',
    ];
    let len = rng.random_range(0..8);
    (0..len).map(|_| *LETTERS.choose(rng).unwrap()).collect()
}

/// The texts of a table's keys, in the order in which the server sorts the keys.
struct Sorted {
    order: ColumnOrder,
    /// As the log has them.
    logged: Vec<Vec<u8>>,
    /// As a query has them, and as borders are made.
    queried: Vec<[Vec<u8>; 2]>,
}

fn endpoint(url: &str) -> PostgresEndpoint {
    let none: [(&str, &str); 0] = [];
    PostgresEndpoint::parse(url, &Environment::new(none, None)).unwrap()
}

async fn described(url: &str) -> Tables {
    let client = connect(&endpoint(url), "dunlin").await.unwrap();
    tables(&client, &Selection::new(&Patterns::default()).unwrap()).await.unwrap()
}

/// Settings that would have every value look different, if they were not pinned.
const SETTINGS: &str = "
    ALTER DATABASE app SET TimeZone = 'America/St_Johns';
    ALTER DATABASE app SET DateStyle = 'SQL, DMY';
    ALTER DATABASE app SET bytea_output = 'escape';
    CREATE DOMAIN label AS text COLLATE \"C\";
    CREATE PUBLICATION keys FOR ALL TABLES";

/// Random values of one kind, inserted in the order in which the server sorts them; how many.
async fn fill(client: &Client, number: usize, kind: &Kind, rng: &mut StdRng) -> usize {
    let mut values: Vec<String> = kind.edges.iter().map(|edge| (*edge).to_owned()).collect();
    values.extend((0..VALUES).map(|_| (kind.random)(rng)));
    let table = format!("k{number:02}");
    let bare = kind.sql.split(" COLLATE").next().unwrap();
    client
        .batch_execute(&format!(
            "CREATE TABLE {table} (k {0} PRIMARY KEY); CREATE TEMP TABLE unsorted (k {0})",
            kind.sql
        ))
        .await
        .unwrap();
    let insert = format!("INSERT INTO unsorted SELECT v::{bare} FROM unnest($1::text[]) AS v");
    client.execute(&insert, &[&values]).await.unwrap();
    let sort =
        format!("INSERT INTO {table} SELECT k FROM unsorted ORDER BY k ON CONFLICT DO NOTHING");
    let rows = client.execute(&sort, &[]).await.unwrap();
    client.batch_execute("DROP TABLE unsorted").await.unwrap();
    rows as usize
}

/// The first value of each row that is inserted, by table, until there are so many.
async fn logged(pair: &TestPair, found: &Tables, rows: usize) -> HashMap<TableId, Vec<Vec<u8>>> {
    let client = pair.on_source().await;
    let types = "SELECT oid, typname::text FROM pg_type WHERE oid < 10000";
    let types = client.query(types, &[]).await.unwrap();
    let registry = Registry {
        tables: found.tables.iter().map(|table| (table.source_id as u32, table.id)).collect(),
        types: types.iter().map(|row| (row.get(0), row.get(1))).collect(),
        ..Registry::default()
    };
    let options = WireOptions { application_name: "dunlin".into(), replication: true };
    let wire = Wire::connect(&endpoint(&pair.source_url()), &options).await.unwrap();
    let start = "START_REPLICATION SLOT \"keys\" LOGICAL 0/0 \
         (proto_version '1', publication_names 'keys')";
    let mut stream = wire.start_replication(start).await.unwrap();
    let mut decoder = Decoder::new(registry);
    let mut inserted: HashMap<TableId, Vec<Vec<u8>>> = HashMap::new();
    while inserted.values().map(Vec::len).sum::<usize>() < rows {
        let frames = stream.read_frames().await.unwrap().unwrap();
        let mut decoded = Decoded::default();
        decoder.decode(frames.bytes(), frames.payloads(), &mut decoded).unwrap();
        let batch = decoded.batch;
        for event in &batch.events {
            let Event::Change(Change::Insert { table, new }) = event else { continue };
            let Value::Text(key) = batch.value(batch.row(*new)[0]) else { panic!("no key") };
            inserted.entry(*table).or_default().push(key.to_vec());
        }
    }
    inserted
}

#[tokio::test]
async fn keys_sort_here_as_on_the_server() {
    let pair = TestPair::start().await;
    pair.source_sql(SETTINGS).await;
    let client = pair.on_source().await;
    let slot = "SELECT pg_create_logical_replication_slot('keys', 'pgoutput')::text";
    client.query_one(slot, &[]).await.unwrap();
    let mut rng = StdRng::seed_from_u64(seed());
    let mut rows = 0;
    for (number, kind) in KINDS.iter().enumerate() {
        rows += fill(&client, number, kind, &mut rng).await;
    }
    let found = described(&pair.source_url()).await;
    let mut logged = logged(&pair, &found, rows).await;
    let options = WireOptions { application_name: "dunlin".into(), replication: false };
    let mut wire = Wire::connect(&endpoint(&pair.source_url()), &options).await.unwrap();
    assert_eq!(found.tables.len(), KINDS.len());
    for (table, kind) in found.tables.iter().zip(KINDS) {
        let query =
            format!("SELECT k, t.k::text FROM public.{} AS t ORDER BY t.k", table.name.name);
        let texts = wire.simple_query(&query).await.unwrap().into_iter().map(|row| {
            let mut texts = row.into_iter().map(|text| text.unwrap().into_bytes());
            [texts.next().unwrap(), texts.next().unwrap()]
        });
        let sorted = Sorted {
            order: table.columns[0].order,
            logged: logged.remove(&table.id).unwrap(),
            queried: texts.collect(),
        };
        assert_eq!(sorted.order, kind.order, "{}", kind.sql);
        sorted.agrees(kind.sql);
    }
}

impl Sorted {
    fn agrees(&self, sql: &str) {
        assert_eq!(self.logged.len(), self.queried.len(), "{sql}");
        let read = |text: &'_ [u8]| {
            let key = self.order.read(text).map(dunlin::model::KeyPart::into_owned);
            key.unwrap_or_else(|| panic!("{sql}: {} is not read", String::from_utf8_lossy(text)))
        };
        let mut before = None;
        for (logged, [queried, border]) in self.logged.iter().zip(&self.queried) {
            let text = String::from_utf8_lossy(logged);
            let key = read(logged);
            assert_eq!(logged, queried, "{sql}: another text in the log");
            assert_eq!(key, read(border), "{sql}: {text} is another key as a border");
            assert!(before < Some(key.clone()), "{sql}: {text} does not come after the one before");
            before = Some(key);
        }
    }
}

/// Columns whose order is the server's own affair.
const OPAQUE: &str = "
    CREATE COLLATION sorted (provider = icu, locale = 'en');
    CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE COLLATION byteless (provider = icu, locale = 'C');
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TABLE opaque (a text, b text COLLATE sorted, c varchar COLLATE caseless,
        d text COLLATE byteless, e mood, f text[] COLLATE \"C\", g interval, h timetz, i float8,
        j inet, k \"char\", l int4range, m jsonb)";

#[tokio::test]
async fn the_order_of_a_language_is_not_guessed() {
    let pair = TestPair::start().await;
    pair.source_sql(OPAQUE).await;
    for column in &described(&pair.source_url()).await.tables[0].columns {
        assert_eq!(column.order, ColumnOrder::Opaque, "{}", column.name);
    }
}

/// The collation of a database, and what text without a collation of its own is there.
const DATABASES: &[(&str, u32, ColumnOrder)] = &[
    ("LC_COLLATE 'C' LC_CTYPE 'C'", 120_000, ColumnOrder::Text),
    ("LC_COLLATE 'C' LC_CTYPE 'C' ENCODING 'LATIN1'", 120_000, ColumnOrder::Opaque),
    ("LC_COLLATE 'C' LC_CTYPE 'C' ENCODING 'SQL_ASCII'", 120_000, ColumnOrder::Opaque),
    ("LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en'", 150_000, ColumnOrder::Opaque),
    ("LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'", 170_000, ColumnOrder::Text),
];

#[tokio::test]
async fn a_databases_own_collation_counts_for_the_text_in_it() {
    let pair = TestPair::start().await;
    let client = pair.on_source().await;
    let version = "SELECT current_setting('server_version_num')::int4";
    let version = number::<i32>(&client, version).await.cast_unsigned();
    for (number, (options, since, order)) in DATABASES.iter().enumerate() {
        if version < *since {
            continue;
        }
        let name = format!("other{number}");
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 {options}");
        client.batch_execute(&create).await.unwrap();
        let other = pair.source.connect(&name).await.unwrap();
        other.batch_execute("CREATE TABLE words (word text)").await.unwrap();
        let found = described(&pair.source.url(&name)).await;
        assert_eq!(found.tables[0].columns[0].order, *order, "{options}");
    }
}
