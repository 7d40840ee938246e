-- What only MariaDB has.
CREATE TABLE documents (id INT PRIMARY KEY, j JSON);
INSERT INTO documents VALUES (1, '{"b":  1}'), (2, NULL);
CREATE TABLE compressed (id INT PRIMARY KEY, v VARCHAR(2000) COMPRESSED, t TEXT COMPRESSED, b BLOB COMPRESSED);
INSERT INTO compressed VALUES (1, REPEAT('x', 1500), REPEAT('y', 5000), REPEAT(0xFF, 3000)), (2, 'short', '', NULL);
CREATE TABLE hidden (id INT PRIMARY KEY, a INT INVISIBLE DEFAULT 7, b INT);
INSERT INTO hidden (id, b) VALUES (1, 2);
SET GLOBAL log_bin_compress = ON, log_bin_compress_min_len = 10;
CREATE TABLE packed (id INT PRIMARY KEY, t TEXT);
INSERT INTO packed VALUES (1, REPEAT('abc', 1000)), (2, 'x');
UPDATE packed SET t = REPEAT('de', 5000) WHERE id = 2;
INSERT INTO packed VALUES (3, REPEAT('de', 5000));
DELETE FROM packed WHERE id = 1;
SET GLOBAL log_bin_compress = OFF;
CREATE TABLE selected AS SELECT id, t FROM packed;
SET GLOBAL binlog_row_metadata = 'FULL';
