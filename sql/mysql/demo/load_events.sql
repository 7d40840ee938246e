INSERT INTO event
WITH RECURSIVE numbers (n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < @per_mille * 500
)
SELECT
    n % 500,
    '2026-01-01' + INTERVAL n * (8640000000000 DIV (@per_mille * 500)) MICROSECOND,
    CASE n % 3 WHEN 0 THEN 'start' WHEN 1 THEN 'stop' ELSE 'measure' END,
    SQRT(n),
    IF(n % 10 = 0, JSON_OBJECT('n', n), NULL)
FROM numbers;

INSERT INTO visit
WITH RECURSIVE numbers (n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < @per_mille * 5
)
SELECT CONCAT('/page/', n % 40), n % 100, '2026-03-01' + INTERVAL n % 50 SECOND FROM numbers;

INSERT INTO seat
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 500)
SELECT n, n * 10, CONCAT('guest ', n) FROM numbers;

INSERT INTO staging (payload)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 500)
SELECT CONCAT('first load ', n) FROM numbers;

INSERT INTO `machine ``log``` (`größe`, `when`, `select`)
WITH RECURSIVE numbers (n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < @per_mille * 20
)
SELECT
    n * 1.000000001,
    IF(n % 60 = 0, '0000-00-00', '2026-02-01' + INTERVAL n SECOND),
    SEC_TO_TIME(n * 3.5 - 100)
FROM numbers;

INSERT INTO kind (
    t, tu, s, su, m, mu, i, iu, b, bu, truth, d, du, f, g, bit1, bit33, bit64,
    day, clock, clock6, moment, moment6, instant, instant3, y,
    c, v, latin, chinese, wide, tiny, plain, medium, large, fixed, varied, tb, bl, mb, lb,
    e, members, j, shape, spot, line, area, unseen
    /*!90000 , embedding */
    /*M!100500 , six */ /*M!100700 , uid */ /*M!101000 , four */ /*M!110701 , embedding */
)
WITH RECURSIVE numbers (n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < @per_mille * 60
)
SELECT
    n % 256 - 128, n % 256, n % 65536 - 32768, n % 65536, n % 16777216 - 8388608, n % 16777216,
    n % 1000000 * 71 - 2147483648, n % 1000000 * 71, n % 100000 * 90071992547409 - 9000000000000000000,
    18446744073709551615 - n, n % 2,
    n * 0.000000000000000000000000000007 - n, (n % 1000) / 1000000000, n / 7, n / 7e0,
    n % 2, n * 8191 % 8589934592, n % 50000 * 150119987579016,
    IF(n % 97 = 0, '0000-00-00', '1000-01-01' + INTERVAL n % 3000000 DAY),
    SEC_TO_TIME(n % 6000000 - 3000000), SEC_TO_TIME(n / 1000 - 20),
    '2026-01-01' + INTERVAL n SECOND, '2026-01-01' + INTERVAL n MICROSECOND,
    IF(n % 13 = 0, NULL, '2001-01-01' + INTERVAL n MINUTE),
    '2001-01-01' + INTERVAL n * 1000 MICROSECOND, IF(n % 50 = 0, 0, 1901 + n % 250),
    CHAR(97 + n % 26), CONCAT('value 🦢 ', n), 'größe', '中文', '🦢',
    CONCAT('tab\tand\\N', n), REPEAT('ß', n % 200), REPEAT(LEFT(SHA2(n, 256), 32), 2), IF(n % 7 = 0, NULL, 'x\ny'),
    UNHEX(LPAD(HEX(n), 16, '0')), UNHEX(LEFT(SHA2(n, 256), 32)), '', UNHEX(REPEAT('00FF0A5C', n % 30)),
    UNHEX(SHA2(n, 256)), NULL,
    n % 3 + 1, n % 8,
    JSON_OBJECT('n', n, 'half', n / 2e0, 'list', JSON_ARRAY(NULL, n % 2 = 0, '\\u0000 ß'), 'b', -n),
    ST_GeomFromText(CONCAT('POINT(', n % 90, ' ', n % 80, ')'), 4326),
    ST_GeomFromText(CONCAT('POINT(', n, ' ', -n, ')')), ST_GeomFromText('LINESTRING(0 0, 1 1)'),
    ST_GeomFromText('POLYGON((0 0, 1 0, 1 1, 0 0))'), n
    /*!90000 , STRING_TO_VECTOR(CONCAT('[', n, ', 0.5, -1.5e-38, 0]')) */
    /*M!100500 , IF(n % 5 = 0, CONCAT('::ffff:10.1.2.', n % 256), CONCAT('fe80::', HEX(n % 65536))) */
    /*M!100700 , INSERT(INSERT(MD5(n), 13, 1, '4'), 17, 1, '8') */
    /*M!101000 , CONCAT('10.', n % 256, '.0.1') */
    /*M!110701 , VEC_FromText(CONCAT('[', n, ', 0.5, -1.5e-38, 0]')) */
FROM numbers;
