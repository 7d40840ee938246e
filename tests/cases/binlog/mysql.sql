-- What only MySQL has.
CREATE TABLE documents (id INT PRIMARY KEY, j JSON, k JSON);
INSERT INTO documents VALUES
    (1, '{}', '[]'),
    (2, '{"b": 1, "aa": 1.0, "a": 1e15, "": null, "é": "ü\\u0001\\n\\"\\\\/"}', 'null'),
    (3, '[1, -1, 32767, 32768, 65535, 65536, -32768, -32769, 2147483647, 2147483648, -2147483649, 9007199254740993, 18446744073709551615, -9223372036854775808, 1.5, -0.0, 1e-7, 1e300, true, false]', '"x"'),
    (4, JSON_OBJECT('d', CAST('2024-02-29' AS DATE), 't', CAST('-12:34:56.789' AS TIME(3)), 'dt', CAST('2024-02-29 12:34:56.000001' AS DATETIME(6)), 'dec', CAST('-1234567890.0500' AS DECIMAL(20, 4)), 'half', CAST(0.5 AS DECIMAL(3,2)), 'bin', CAST('abc' AS BINARY)), JSON_ARRAY(TIMESTAMP'2024-01-01 00:00:00', x'00FF', b'101')),
    (5, JSON_OBJECT('long', REPEAT('x', 70000), 'n', 5), JSON_ARRAY(CAST(REPEAT('y', 300) AS BINARY))),
    (6, JSON_ARRAY(JSON_ARRAY(JSON_OBJECT('k', JSON_ARRAY(1, 2)))), '12345678901234567890123'),
    (7, NULL, '0'),
    (8, JSON_OBJECT('long', REPEAT('x', 700), 'n', 5), '[]');
SET SESSION binlog_row_value_options = 'PARTIAL_JSON';
UPDATE documents SET j = JSON_SET(j, '$.b', 2) WHERE id = 2;
UPDATE documents SET j = JSON_REPLACE(j, '$.n', 'six'), k = JSON_ARRAY(1) WHERE id = 8;
UPDATE documents SET j = JSON_REMOVE(j, '$[0]') WHERE id = 3;
UPDATE documents SET j = JSON_SET(j, '$."a b"', JSON_ARRAY(1, 'x'), '$."q\\"t"', 7, '$.dec', 1.0) WHERE id = 4;
UPDATE documents SET j = JSON_ARRAY_INSERT(j, '$[0][0].k[1]', 'in between') WHERE id = 6;
UPDATE documents SET j = j, k = JSON_SET(k, '$', 'whole') WHERE id = 1;
UPDATE documents SET j = '{"k": 1}' WHERE id = 7;
UPDATE documents SET k = '1' WHERE id = 7;
SET SESSION binlog_row_value_options = '';
CREATE TABLE vectors (id INT PRIMARY KEY, v VECTOR(3));
INSERT INTO vectors VALUES (1, STRING_TO_VECTOR('[1,2.5,-3]')), (2, NULL);
SET SESSION binlog_transaction_compression = ON;
CREATE TABLE packed (id INT PRIMARY KEY, t TEXT);
INSERT INTO packed VALUES (1, REPEAT('abc', 1000)), (2, 'x');
BEGIN;
INSERT INTO packed VALUES (3, REPEAT('de', 5000));
UPDATE packed SET t = 'y' WHERE id = 2;
COMMIT;
SET SESSION binlog_transaction_compression = OFF;
SET gtid_next = 'AUTOMATIC:night';
INSERT INTO packed VALUES (4, 'tagged');
SET gtid_next = 'AUTOMATIC';
CREATE TABLE selected AS SELECT id, t FROM packed;
CREATE TABLE indexed (id INT PRIMARY KEY, a VARCHAR(20), j JSON, KEY f ((LOWER(a))), KEY m ((CAST(j->'$' AS UNSIGNED ARRAY))));
INSERT INTO indexed VALUES (1, 'One', '[1, 2]');
UPDATE indexed SET a = 'Two' WHERE id = 1;
CREATE TABLE hidden (id INT PRIMARY KEY, a INT INVISIBLE DEFAULT 7, b INT);
INSERT INTO hidden (id, b) VALUES (1, 2);
SET GLOBAL binlog_row_metadata = 'FULL';
