//! What the applications of the Postgres demo do, as statements.
//!
//! Enters: a random generator and the size of the database. Leaves: the statements of one
//! transaction.

use rand::RngExt;
use rand::rngs::StdRng;

use super::activity::{Activity, Scope};

/// Every session there is.
pub(super) const ACTIVITIES: &[Activity] = &[
    Activity::new("transfer money", 80.0, transfer),
    Activity::new("transfer money", 80.0, transfer),
    Activity::new("change orders", 50.0, order),
    Activity::new("change orders", 30.0, order),
    Activity::new("record events", 20.0, measure),
    Activity::new("edit documents", 15.0, edit),
    Activity::new("record visits", 10.0, visit),
    Activity::new("swap seats", 15.0, seat),
    Activity::new("reload the staging table", 0.5, stage),
    Activity::new("write the machine's log", 15.0, operate),
    Activity::new("change many rows", 0.7, bulk),
];

/// The transaction of pgbench (TPC-B): three updates and an insert.
fn transfer(random: &mut StdRng, Scope { size, .. }: Scope) -> String {
    let account = random.random_range(1..=size.accounts());
    let teller = random.random_range(1..=100);
    let branch = (teller - 1) / 10 + 1;
    let delta = random.random_range(-5000..=5000);
    format!(
        "UPDATE pgbench_accounts SET abalance = abalance + {delta} WHERE aid = {account}; \
         UPDATE pgbench_tellers SET tbalance = tbalance + {delta} WHERE tid = {teller}; \
         UPDATE pgbench_branches SET bbalance = bbalance + {delta} WHERE bid = {branch}; \
         INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) \
         VALUES ({teller}, {branch}, {account}, {delta}, CURRENT_TIMESTAMP)"
    )
}

/// Orders are placed, paid, cancelled, renumbered.
fn order(random: &mut StdRng, Scope { size, .. }: Scope) -> String {
    let customer = random.random_range(1..=size.customers());
    let order = random.random_range(1..=size.orders());
    let cents = random.random_range(1..1_000_000);
    let place = format!(
        "INSERT INTO shop.orders (customer_id, total, quantities, details, placed_at) VALUES \
         (md5('customer {customer}')::uuid, {cents} / 100.0, '{{{cents},NULL}}', \
         jsonb_build_object('invoice', nextval('shop.invoice_number')), clock_timestamp()); \
         INSERT INTO shop.order_lines SELECT currval('shop.orders_id_seq'), line, 'SKU-{cents}', \
         line * 1.5 FROM generate_series(1, 3) AS line"
    );
    match random.random_range(0..20) {
        0..8 => place,
        8..14 => format!(
            "UPDATE shop.orders SET state = 'paid', history = history || 'paid'::shop.order_state, \
             details = details || '{{\"paid\": {cents}}}' WHERE id = {order}"
        ),
        14..16 => format!("DELETE FROM shop.orders WHERE id = {order}"),
        16 => {
            format!("UPDATE shop.orders SET id = nextval('shop.orders_id_seq') WHERE id = {order}")
        }
        17 => format!(
            "{place}; SAVEPOINT before; DELETE FROM shop.order_lines WHERE order_id = {order}; \
             UPDATE shop.orders SET total = 0 WHERE id = {order}; ROLLBACK TO before; \
             UPDATE shop.orders SET total = {cents} / 100.0 WHERE id = {order}"
        ),
        18 => format!(
            "UPDATE shop.customers SET tags = array_append(tags, 'x{cents}'), home.code = '{cents}', \
             preferences = NULL WHERE id = md5('customer {customer}')::uuid"
        ),
        _ => format!(
            "{place}; DELETE FROM shop.orders WHERE id = currval('shop.orders_id_seq'); {place}"
        ),
    }
}

/// Measurements arrive, are corrected into another partition, and expire.
fn measure(random: &mut StdRng, _: Scope) -> String {
    let device = random.random_range(0..500);
    let rows = random.random_range(1..100);
    match random.random_range(0..10) {
        0..6 => format!(
            "INSERT INTO metrics.events SELECT {device}, clock_timestamp() + n * interval '1 ms', \
             'measure', random(), NULL FROM generate_series(1, {rows}) AS n ON CONFLICT DO NOTHING"
        ),
        6..8 => format!(
            "UPDATE metrics.events SET at = at + interval '31 days 0.000001 seconds' \
             WHERE (device, at) IN (SELECT device, at FROM metrics.events \
             WHERE device = {device} AND at < '2026-03-01' ORDER BY at LIMIT 5)"
        ),
        8 => format!(
            "UPDATE metrics.events SET reading = 'NaN', payload = '{{\"corrected\": true}}' \
             WHERE (device, at) IN (SELECT device, at FROM metrics.events \
             WHERE device = {device} ORDER BY at DESC LIMIT 20)"
        ),
        _ => format!(
            "DELETE FROM metrics.events WHERE (device, at) IN (SELECT device, at \
             FROM metrics.events WHERE device = {device} ORDER BY at LIMIT {rows})"
        ),
    }
}

/// Numbers move by this much and back, so that a document's number is always free.
const OTHER_NUMBERS: u32 = 1_000_000;

/// Titles of large documents change, and now and then a body or a number.
fn edit(random: &mut StdRng, Scope { size, .. }: Scope) -> String {
    let id = random.random_range(1..=size.documents());
    let moved = id + OTHER_NUMBERS;
    let mark: u32 = random.random();
    let times = random.random_range(200..700);
    match random.random_range(0..10) {
        0..6 => {
            format!("UPDATE shop.documents SET title = 'Edited {mark}' WHERE id IN ({id}, {moved})")
        }
        6..8 => format!(
            "UPDATE shop.documents SET id = {id} + {moved} - id, title = 'Moved {mark}' \
             WHERE id IN ({id}, {moved})"
        ),
        _ => format!(
            "UPDATE shop.documents SET body = repeat(md5('{mark}'), {times}) \
             WHERE id IN ({id}, {moved})"
        ),
    }
}

/// Rows that no key tells apart come, change and go.
fn visit(random: &mut StdRng, _: Scope) -> String {
    let page = random.random_range(0..40);
    let one = format!("ctid = (SELECT ctid FROM shop.visits WHERE page = '/page/{page}' LIMIT 1)");
    match random.random_range(0..5) {
        0 | 1 => format!(
            "INSERT INTO shop.visits SELECT '/page/{page}', NULL, '2026-03-01 00:00+00' \
             FROM generate_series(1, 2)"
        ),
        2 => format!("UPDATE shop.visits SET visitor = coalesce(visitor, 0) + 1 WHERE {one}"),
        3 => format!("UPDATE shop.visits SET visitor = visitor WHERE {one}"),
        _ => format!("DELETE FROM shop.visits WHERE {one}"),
    }
}

/// Guests change places, all of which are unique.
fn seat(random: &mut StdRng, _: Scope) -> String {
    let first = random.random_range(1..500);
    let second = random.random_range(first + 1..=500);
    match random.random_range(0..4) {
        // Negative for a moment, since the constraint is checked row by row.
        0 | 1 => format!(
            "UPDATE shop.seats SET place = -place WHERE id IN ({first}, {second}); \
             UPDATE shop.seats AS seats SET place = -other.place FROM shop.seats AS other \
             WHERE seats.id IN ({first}, {second}) AND other.id = {first} + {second} - seats.id"
        ),
        2 => format!(
            "UPDATE shop.seats SET id = -1 WHERE id = {first}; \
             UPDATE shop.seats SET id = {first} WHERE id = {second}; \
             UPDATE shop.seats SET id = {second} WHERE id = -1"
        ),
        _ => format!(
            "UPDATE shop.seats SET guest = NULL WHERE id = {first}; \
             DELETE FROM shop.seats WHERE id = {second}; \
             INSERT INTO shop.seats SELECT {second}, max(place) + 1, 'new' FROM shop.seats"
        ),
    }
}

/// A table is emptied and filled again.
fn stage(random: &mut StdRng, _: Scope) -> String {
    let rows = random.random_range(1..1000);
    let mark: u32 = random.random();
    format!(
        "INSERT INTO shop.staging (payload) VALUES ('too late'); \
         TRUNCATE shop.staging RESTART IDENTITY; \
         INSERT INTO shop.staging (payload) SELECT 'load {mark} row ' || n \
         FROM generate_series(1, {rows}) AS n; \
         UPDATE shop.staging SET payload = payload || ' checked' WHERE id % 3 = 0"
    )
}

/// A machine writes its log, under names that need quotes.
fn operate(random: &mut StdRng, _: Scope) -> String {
    let number: u32 = random.random_range(1..2_000_000_000);
    let table = "\"Shop Floor\".\"Machine \"\"Log\"\"\"";
    let one = format!(
        "\"Entry No\" = (SELECT \"Entry No\" FROM {table} WHERE \"Entry No\" >= {number} % 20000 \
         ORDER BY \"Entry No\" LIMIT 1)"
    );
    match random.random_range(0..6) {
        0..3 => format!(
            "INSERT INTO {table} (\"Größe\", \"when\", \"select\") \
             VALUES ({number}.{number}, clock_timestamp(), '{number} seconds')"
        ),
        3 => format!("UPDATE {table} SET \"when\" = '-infinity', \"Größe\" = 'NaN' WHERE {one}"),
        4 => format!("UPDATE {table} SET \"Entry No\" = DEFAULT WHERE {one}"),
        _ => format!("DELETE FROM {table} WHERE {one}"),
    }
}

/// Many rows in one transaction: mostly as many as there may be, now and then a tenth of it.
fn bulk(random: &mut StdRng, scope: Scope) -> String {
    let rows = match random.random_range(0..4) {
        0 => random.random_range(1..=scope.largest_rows.div_ceil(10)),
        _ => scope.largest_rows,
    };
    let first = random.random_range(1..=scope.size.orders());
    let last = first + rows / 2;
    let mark = random.random_range(1..1000);
    match random.random_range(0..3) {
        0 => format!(
            "UPDATE shop.order_lines SET price = price + {mark} / 100.0 \
             WHERE order_id BETWEEN {first} AND {last}"
        ),
        1 => format!(
            "INSERT INTO metrics.events SELECT 1000 + {mark}, clock_timestamp() \
             + n * interval '1 us', 'bulk', n, NULL FROM generate_series(1, {rows}) AS n \
             ON CONFLICT DO NOTHING"
        ),
        _ => "DELETE FROM metrics.events WHERE kind = 'bulk' AND at > '2026-04-01'".to_owned(),
    }
}
