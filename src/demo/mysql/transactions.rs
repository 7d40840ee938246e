//! What the applications of the MySQL demo do, as statements.
//!
//! Enters: a random generator and the size of the database. Leaves: the statements of one
//! transaction, which both MySQL and MariaDB understand.

use rand::RngExt;
use rand::rngs::StdRng;

use crate::demo::activity::{Activity, Scope};

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
    Activity::new("change values of every type", 15.0, vary),
    Activity::new("change many rows", 0.7, bulk),
];

/// The transaction of TPC-B: three updates and an insert.
fn transfer(random: &mut StdRng, Scope { size, .. }: Scope) -> String {
    let account = random.random_range(1..=size.accounts());
    let teller = random.random_range(1..=100);
    let branch = (teller - 1) / 10 + 1;
    let delta = random.random_range(-5000..=5000);
    format!(
        "UPDATE account SET balance = balance + {delta} WHERE id = {account}; \
         UPDATE teller SET balance = balance + {delta} WHERE id = {teller}; \
         UPDATE branch SET balance = balance + {delta} WHERE id = {branch}; \
         INSERT INTO history (teller, branch, account, delta, at) \
         VALUES ({teller}, {branch}, {account}, {delta}, NOW(6))"
    )
}

/// Orders are placed, paid and cancelled. Only MySQL's cascades are in its log, so lines are deleted
/// before their order now and then, and always on MariaDB, whose keys do not cascade.
fn order(random: &mut StdRng, Scope { size, .. }: Scope) -> String {
    let customer = random.random_range(1..=size.customers());
    let order = random.random_range(1..=size.orders());
    let cents = random.random_range(1..1_000_000);
    let mark: u32 = random.random();
    let place = format!(
        "INSERT INTO orders (customer, total, details, sender, delivery) VALUES \
         (UNHEX(LEFT(SHA2('customer {customer}', 256), 32)), {cents} / 100, JSON_OBJECT('invoice', {mark}), \
         INET6_ATON('::{}'), '-01:02:03.5'); SET @placed = LAST_INSERT_ID(); \
         INSERT INTO order_line VALUES (@placed, 1, 'SKU-{cents}', 1.5), (@placed, 2, '', 3)",
        cents % 10_000
    );
    match random.random_range(0..20) {
        0..8 => place,
        8..14 => format!(
            "UPDATE orders SET state = 'paid', signature = UNHEX(LEFT(SHA2({mark}, 256), 32)), \
             details = JSON_SET(details, '$.paid', {cents}) WHERE id = {order}"
        ),
        14 => format!(
            "DELETE FROM order_line WHERE order_id = {order}; \
             DELETE FROM orders WHERE id = {order}"
        ),
        15 => format!(
            "DELETE FROM order_line WHERE order_id = {order} /*!90600 AND line > 1 */; \
             DELETE FROM orders WHERE id = {order}"
        ),
        16 => format!(
            "UPDATE orders SET /*!90600 id = -id, */ total = total + 1 \
             WHERE id = {order}"
        ),
        17 => format!(
            "{place}; SAVEPOINT before_it; DELETE FROM order_line WHERE order_id = {order}; \
             UPDATE orders SET total = 0 WHERE id = {order}; ROLLBACK TO before_it; \
             UPDATE orders SET total = {cents} / 100 WHERE id = {order}"
        ),
        18 => format!(
            "UPDATE customer SET tags = {mark} % 16, email = CONCAT('New{mark}.', {customer}), \
             preferences = NULL, balance = -{cents} / 3e0 \
             WHERE id = UNHEX(LEFT(SHA2('customer {customer}', 256), 32))"
        ),
        _ => format!(
            "{place}; DELETE FROM order_line WHERE order_id = @placed; \
             DELETE FROM orders WHERE id = @placed; {place}"
        ),
    }
}

/// Measurements arrive, are corrected into another partition, and expire.
fn measure(random: &mut StdRng, _: Scope) -> String {
    let device = random.random_range(0..500);
    let rows = random.random_range(1..100);
    match random.random_range(0..10) {
        0..6 => format!(
            "INSERT IGNORE INTO event WITH RECURSIVE numbers (n) AS \
             (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows}) \
             SELECT {device}, NOW(6) + INTERVAL n * 1000 MICROSECOND, 'measure', n / 3e0, NULL \
             FROM numbers"
        ),
        6..8 => format!(
            "UPDATE IGNORE event SET at = at + INTERVAL 2678400000001 MICROSECOND \
             WHERE device = {device} AND at < '2026-03-01' ORDER BY at LIMIT 5"
        ),
        8 => format!(
            "UPDATE event SET reading = -reading, payload = '{{\"corrected\": true}}' \
             WHERE device = {device} ORDER BY at DESC LIMIT 20"
        ),
        _ => format!("DELETE FROM event WHERE device = {device} ORDER BY at LIMIT {rows}"),
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
        0..6 => format!("UPDATE document SET title = 'Edited {mark}' WHERE id IN ({id}, {moved})"),
        6..8 => format!(
            "UPDATE document SET id = {id} + {moved} - id, title = 'Moved {mark}' \
             WHERE id IN ({id}, {moved})"
        ),
        _ => format!(
            "UPDATE document SET body = REPEAT(LEFT(SHA2('{mark}', 256), 32), {times}) WHERE id IN ({id}, {moved})"
        ),
    }
}

/// Rows that no key tells apart come, change and go.
fn visit(random: &mut StdRng, _: Scope) -> String {
    let page = random.random_range(0..40);
    let one = format!("WHERE page = '/page/{page}' LIMIT 1");
    match random.random_range(0..5) {
        0 | 1 => format!(
            "INSERT INTO visit VALUES ('/page/{page}', NULL, '2026-03-01'), \
             ('/page/{page}', NULL, '2026-03-01')"
        ),
        2 => format!("UPDATE visit SET visitor = COALESCE(visitor, 0) + 1 {one}"),
        3 => format!("UPDATE visit SET visitor = visitor {one}"),
        _ => format!("DELETE FROM visit {one}"),
    }
}

/// Guests change places, all of which are unique.
fn seat(random: &mut StdRng, _: Scope) -> String {
    let first = random.random_range(1..500);
    let second = random.random_range(first + 1..=500);
    match random.random_range(0..4) {
        // By a third place, since the key is checked row by row.
        0 | 1 => format!(
            "SET @first = (SELECT place FROM seat WHERE id = {first} FOR UPDATE), \
             @second = (SELECT place FROM seat WHERE id = {second} FOR UPDATE); \
             UPDATE seat SET place = -@first WHERE id = {first}; \
             UPDATE seat SET place = @first WHERE id = {second}; \
             UPDATE seat SET place = @second WHERE id = {first}"
        ),
        2 => format!(
            "UPDATE seat SET id = -1 WHERE id = {first}; \
             UPDATE seat SET id = {first} WHERE id = {second}; \
             UPDATE seat SET id = {second} WHERE id = -1"
        ),
        _ => format!(
            "UPDATE seat SET guest = NULL WHERE id = {first}; \
             DELETE FROM seat WHERE id = {second}; \
             INSERT INTO seat SELECT {second}, MAX(place) + 1, 'new' FROM seat"
        ),
    }
}

/// A table is emptied, which commits by itself, and filled again.
fn stage(random: &mut StdRng, _: Scope) -> String {
    let rows = random.random_range(1..900);
    let mark: u32 = random.random();
    format!(
        "INSERT INTO staging (payload) VALUES ('too late'); TRUNCATE staging; \
         INSERT INTO staging (payload) WITH RECURSIVE numbers (n) AS \
         (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows}) \
         SELECT CONCAT('load {mark} row ', n) FROM numbers; \
         UPDATE staging SET payload = CONCAT(payload, ' checked') WHERE id % 3 = 0"
    )
}

/// A machine writes its log, under names that need quotes.
fn operate(random: &mut StdRng, _: Scope) -> String {
    let number: u32 = random.random_range(1..2_000_000_000);
    let table = "`machine ``log```";
    let one = format!("WHERE `entry no` >= {number} % 20000 ORDER BY `entry no` LIMIT 1");
    match random.random_range(0..6) {
        0..3 => format!(
            "INSERT INTO {table} (`größe`, `when`, `select`) \
             VALUES ({number}.{number} % 1000, NOW(6), SEC_TO_TIME({number} % 3000000))"
        ),
        3 => format!("UPDATE {table} SET `when` = NOW(6), `größe` = NULL {one}"),
        4 => format!("UPDATE {table} SET `entry no` = -`entry no` {one}"),
        _ => format!("DELETE FROM {table} {one}"),
    }
}

/// Values of every type change, come and go.
fn vary(random: &mut StdRng, Scope { size, .. }: Scope) -> String {
    let id = random.random_range(1..=size.kinds());
    let from = random.random_range(1..=size.kinds());
    let number: u32 = random.random();
    match random.random_range(0..6) {
        0 => format!(
            "UPDATE kind SET t = -128, mu = {number} % 16777216, bu = 18446744073709551615, \
             f = 1.2345678, g = {number} / 3e0, bit64 = {number}, d = -{number} / 7 \
             WHERE id = {id}"
        ),
        1 => format!(
            "UPDATE kind SET day = '9999-12-31', clock6 = '-00:00:00.000001', moment6 = NOW(6), \
             instant = '2038-01-19 03:14:07', instant3 = NOW(3), y = 2155 WHERE id = {id}"
        ),
        2 => format!(
            "UPDATE kind SET v = 'it''s \\\\ \\t \\n \\0', wide = '🦢', chinese = '文', \
             tiny = NULL, large = REPEAT('🦢', {number} % 2000), fixed = X'0100', \
             lb = REPEAT(X'00FF0A5C', {number} % 1000), e = 'größe', members = 'a,c' \
             WHERE id = {id}"
        ),
        3 => format!(
            "UPDATE kind SET j = JSON_SET(j, '$.list', JSON_ARRAY({number}, 1.5e0, 'ß')), \
             shape = ST_GeomFromText('LINESTRING(1 2, 3 4)'), spot = NULL, unseen = {number} % 100 \
             WHERE id = {id}"
        ),
        4 => format!(
            "INSERT INTO kind (t, iu, v, j, shape, moment, e) \
             SELECT t, iu, v, j, shape, moment, e FROM kind WHERE id = {from}"
        ),
        _ => format!("DELETE FROM kind WHERE id = {id}"),
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
            "UPDATE order_line SET price = price + {mark} / 100 \
             WHERE order_id BETWEEN {first} AND {last}"
        ),
        1 => format!(
            "SET @n = 0; INSERT IGNORE INTO event SELECT 1000 + {mark}, \
             NOW(6) + INTERVAL (@n := @n + 1) MICROSECOND, 'bulk', @n, NULL \
             FROM order_line LIMIT {rows}"
        ),
        _ => "DELETE FROM event WHERE kind = 'bulk' AND at > '2026-04-01'".to_owned(),
    }
}
