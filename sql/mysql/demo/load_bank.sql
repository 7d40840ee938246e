INSERT INTO branch
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10)
SELECT n, 0, '' FROM numbers;

INSERT INTO teller
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100)
SELECT n, (n - 1) DIV 10 + 1, 0, '' FROM numbers;

INSERT INTO account
WITH RECURSIVE numbers (n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < @per_mille * 1000
)
SELECT n, n % 10 + 1, 0, REPEAT('account ', 10) FROM numbers;

INSERT INTO history
WITH RECURSIVE numbers (n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < @per_mille * 200
)
SELECT n % 100 + 1, n % 10 + 1, n, n % 5000, '2026-01-01' + INTERVAL n SECOND, '' FROM numbers;

INSERT INTO document
WITH RECURSIVE numbers (n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < @per_mille * 2
)
SELECT n, CONCAT('Document ', n), REPEAT(CONCAT(LEFT(SHA2(n, 256), 32), SHA2(n, 512)), 120) FROM numbers;
