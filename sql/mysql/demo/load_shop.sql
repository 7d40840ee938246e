INSERT INTO customer (id, name, email, tags, preferences, balance, joined)
WITH RECURSIVE numbers (n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < @per_mille * 50
)
SELECT
    UNHEX(LEFT(SHA2(CONCAT('customer ', n), 256), 32)),
    CONCAT('Customer ', n, IF(n % 7 = 0, ' 🦢', '')),
    CONCAT('Customer', n, '@example.org'),
    n % 16,
    IF(n % 5 = 0, NULL, JSON_OBJECT('news', n % 2 = 0, 'level', n % 10)),
    n / 7e0,
    '2020-01-01' + INTERVAL n % 2000 DAY
FROM numbers;

INSERT INTO orders (id, customer, state, total, details, delivery, sender, signature, placed_at)
WITH RECURSIVE numbers (n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < @per_mille * 300
)
SELECT
    n,
    UNHEX(LEFT(SHA2(CONCAT('customer ', n % (@per_mille * 50) + 1), 256), 32)),
    n % 5 + 1,
    (n % 100000) / 100,
    JSON_OBJECT('note', CONCAT('order ', n), 'gift', n % 11 = 0, 'weight', n / 13e0),
    IF(n % 3 = 0, NULL, SEC_TO_TIME(n % 3000000 - 1500000)),
    INET6_ATON(CONCAT('10.', n % 250, '.0.1')),
    UNHEX(LEFT(SHA2(n, 256), 32)),
    '2026-01-01' + INTERVAL n * 20 SECOND
FROM numbers;

INSERT INTO order_line
WITH RECURSIVE numbers (n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < @per_mille * 300
)
SELECT numbers.n, line.n, CONCAT('SKU-', numbers.n * line.n % 10007), (numbers.n % 5000) / 100
FROM numbers JOIN (SELECT 1 AS n UNION SELECT 2) AS line;
