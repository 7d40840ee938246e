-- Every type that all servers have, with values at its edges. Statements end in a semicolon at a
-- line's end.
CREATE DATABASE kinds DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
USE kinds;
CREATE TABLE integers (
    id INT PRIMARY KEY,
    t TINYINT, tu TINYINT UNSIGNED, s SMALLINT, su SMALLINT UNSIGNED, y YEAR,
    m MEDIUMINT, mu MEDIUMINT UNSIGNED, i INT, iu INT UNSIGNED, b BIGINT, bu BIGINT UNSIGNED,
    z INT(5) UNSIGNED ZEROFILL, yes BOOLEAN
);
INSERT INTO integers VALUES
    (1, -128, 0, -32768, 0, 0, -8388608, 0, -2147483648, 0, -9223372036854775808, 0, 0, FALSE),
    (2, 127, 255, 32767, 65535, 1901, 8388607, 16777215, 2147483647, 4294967295,
        9223372036854775807, 18446744073709551615, 42, TRUE),
    (3, -1, 128, -1, 32768, 2155, -1, 8388608, -1, 2147483648, -1, 9223372036854775808, 123456,
        TRUE),
    (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE numbers (
    id INT PRIMARY KEY,
    d0 DECIMAL(5), d1 DECIMAL(10, 2), d2 DECIMAL(65, 30), d3 DECIMAL(30, 30), d4 DECIMAL(18, 9),
    du DECIMAL(9, 4) UNSIGNED, f FLOAT, fd FLOAT(7, 3), g DOUBLE, gd DOUBLE(10, 2)
);
INSERT INTO numbers VALUES
    (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    (2, 99999, 99999999.99, 99999999999999999999999999999999999.999999999999999999999999999999,
        0.999999999999999999999999999999, 999999999.999999999, 99999.9999,
        3.402823466e38, 9999.999, 1.7976931348623157e308, 99999999.99),
    (3, -99999, -99999999.99, -99999999999999999999999999999999999.999999999999999999999999999999,
        -0.000000000000000000000000000001, -0.000000001, 0.0001, -1.2345678, -0.125, 2.2250738585072014e-308,
        -0.01),
    (4, -1, 0.05, 1, 0.5, 1.5, 1, 16777217, 1.5, 1e15, 1.5),
    (5, 7, -0.05, -1, -0.5, 10, 2, 1.17549435e-38, 0.1, 1e-16, 12345678.9),
    (6, 8, 1, 12345678901234567890, 0.1, 0.1, 3, 0.1, 0.001, 1234567890123456.7, 0.1),
    (7, 9, 1, 1, 0.1, 0.1, 3, 1e10, 1, 100000000000000, 7),
    (8, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SET time_zone = '+02:00';
SET sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE times (
    id INT PRIMARY KEY,
    d DATE, t TIME, t1 TIME(1), t2 TIME(2), t3 TIME(3), t4 TIME(4), t5 TIME(5), t6 TIME(6),
    dt DATETIME, dt1 DATETIME(1), dt2 DATETIME(2), dt3 DATETIME(3), dt4 DATETIME(4),
    dt5 DATETIME(5), dt6 DATETIME(6),
    ts TIMESTAMP NULL, ts1 TIMESTAMP(1) NULL, ts3 TIMESTAMP(3) NULL, ts4 TIMESTAMP(4) NULL,
    ts6 TIMESTAMP(6) NULL
);
INSERT INTO times VALUES
    (1, '0000-00-00', '00:00:00', '00:00:00', '00:00:00', '00:00:00', '00:00:00', '00:00:00',
        '00:00:00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '0000-00-00 00:00:00',
        '0000-00-00 00:00:00', '0000-00-00 00:00:00', '0000-00-00 00:00:00',
        '0000-00-00 00:00:00', '0000-00-00 00:00:00', '0000-00-00 00:00:00',
        '0000-00-00 00:00:00', '0000-00-00 00:00:00', '0000-00-00 00:00:00'),
    (2, '9999-12-31', '838:59:59', '838:59:58.9', '838:59:58.99', '838:59:58.999',
        '838:59:58.9999', '838:59:58.99999', '838:59:58.999999', '9999-12-31 23:59:59',
        '9999-12-31 23:59:59.9', '9999-12-31 23:59:59.99', '9999-12-31 23:59:59.999',
        '9999-12-31 23:59:59.9999', '9999-12-31 23:59:59.99999', '9999-12-31 23:59:59.999999',
        '2038-01-19 05:14:07', '2038-01-19 05:14:07.9', '2038-01-19 05:14:07.999',
        '2038-01-19 05:14:07.9999', '2038-01-19 05:14:07.999999'),
    (3, '2024-00-00', '-838:59:59', '-00:00:00.1', '-00:00:00.01', '-00:00:00.001',
        '-00:00:00.0001', '-00:00:00.00001', '-00:00:00.000001', '2024-02-31 00:00:00',
        '1000-01-01 00:00:00.1', '0001-01-01 00:00:00.01', '2024-03-31 02:30:00.001',
        '2024-10-27 02:30:00.0001', '2024-00-01 00:00:00', '2024-02-29 12:34:56.000001',
        '1970-01-01 02:00:01', '2024-03-31 02:30:00.1', '2024-10-27 02:30:00.001',
        '2001-09-09 03:46:40.0001', '2024-02-29 12:34:56.000001'),
    (4, '2024-02-30', '-00:00:01', '-00:00:01.9', '-12:34:56.78', '12:34:56.789', '-01:00:00.0',
        '-838:59:58.99999', '-838:59:58.999999', '1969-12-31 23:59:59', '1970-01-01', '2000-02-29',
        '1900-03-01', '2100-02-28 23:59:59', '1582-10-10', '0000-01-01', '2000-02-29 00:00:00',
        '2000-02-28 23:59:59.9', '2000-03-01 00:00:00', '2016-12-31 23:59:59', '2023-12-31 23:59:59'),
    (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL);
SET sql_mode = DEFAULT;
CREATE TABLE texts (
    id INT PRIMARY KEY,
    c CHAR(10), cl CHAR(200), vc VARCHAR(20), vl VARCHAR(300), tt TINYTEXT, te TEXT, mt MEDIUMTEXT,
    lt LONGTEXT, l1 VARCHAR(20) CHARACTER SET latin1, g VARCHAR(20) CHARACTER SET gbk,
    l1c CHAR(10) CHARACTER SET latin1, u16 VARCHAR(10) CHARACTER SET utf16
);
INSERT INTO texts VALUES
    (1, '', '', '', '', '', '', '', '', '', '', '', ''),
    (2, 'a  ', REPEAT('é', 200), 'a  ', REPEAT('🐦', 300), REPEAT('x', 255), REPEAT('y', 300),
        REPEAT('z', 1000), REPEAT('w', 300), 'é', '中文', 'é', 'ä🐦'),
    (3, '\0\n\t\\''"', '🐦', '\0\n\t\\''"', 'x', 'x', 'x', 'x', 'x', CAST(0x80FF AS CHAR CHARACTER SET latin1), 'x', 'x', 'x'),
    (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE bytes (
    id INT PRIMARY KEY,
    b BINARY(5), bl BINARY(255), vb VARBINARY(20), vl VARBINARY(300), tb TINYBLOB, bb BLOB,
    mb MEDIUMBLOB, lb LONGBLOB, b1 BIT(1), b7 BIT(7), b9 BIT(9), b33 BIT(33), b64 BIT(64)
);
INSERT INTO bytes VALUES
    (1, '', '', '', '', '', '', '', '', b'0', b'0', b'0', b'0', b'0'),
    (2, 0x6100, 0xFF, 0x610000, REPEAT(0xFF, 300), 0x00, 0x0001, REPEAT(0xAB, 1000), 0xFFFE, b'1',
        b'1111111', b'100000001', b'100000000000000000000000000000001', 0xFFFFFFFFFFFFFFFF),
    (3, 0x2020202020, 0x2020, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, b'1', b'1', b'1', b'1', b'1'),
    (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SET sql_mode = '';
CREATE TABLE labels (
    id INT PRIMARY KEY,
    e ENUM('a', 'b''c', '', 'x,y') CHARACTER SET ascii, el ENUM('é', 'ü') CHARACTER SET utf8mb4,
    s SET('a', 'b', 'c') CHARACTER SET ascii,
    s64 SET('1','2','3','4','5','6','7','8','9','10','11','12','13','14','15','16','17','18','19',
        '20','21','22','23','24','25','26','27','28','29','30','31','32','33','34','35','36','37',
        '38','39','40','41','42','43','44','45','46','47','48','49','50','51','52','53','54','55',
        '56','57','58','59','60','61','62','63','64')
);
INSERT INTO labels VALUES
    (1, 'a', 'é', '', ''), (2, 'b''c', 'ü', 'a,c', '1,64'), (3, '', 'é', 'b', '32,33'),
    (4, 'nonesuch', 'é', 'a,b,c', '64'), (5, NULL, NULL, NULL, NULL), (6, 'x,y', 'é', 'c', '1');
SET sql_mode = DEFAULT;
CREATE TABLE shapes (id INT PRIMARY KEY, g GEOMETRY, p POINT, l LINESTRING, y POLYGON);
INSERT INTO shapes VALUES
    (1, ST_GeomFromText('POINT(1 2)'), ST_GeomFromText('POINT(-1 0)'),
        ST_GeomFromText('LINESTRING(0 0,1 1)'), ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')),
    (2, ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))', 4326), NULL, NULL,
        NULL);
CREATE TABLE computed (
    id INT PRIMARY KEY, a INT, v INT GENERATED ALWAYS AS (a + 1) VIRTUAL,
    s INT GENERATED ALWAYS AS (a * 2) STORED, z VARCHAR(10)
);
INSERT INTO computed (id, a, z) VALUES (1, 5, 'five'), (2, NULL, NULL);
CREATE TABLE pairs (a INT, b VARCHAR(10), note TEXT, large BLOB, PRIMARY KEY (b, a));
INSERT INTO pairs VALUES (1, 'x', 'one', 'blob'), (2, 'X', 'two', NULL), (3, 'y', 'three', 'large');
UPDATE pairs SET note = 'uno' WHERE a = 1;
UPDATE pairs SET b = 'z', a = 7 WHERE a = 2;
UPDATE pairs SET a = a + 10;
DELETE FROM pairs WHERE a = 13;
CREATE TABLE heap (a INT, b VARCHAR(10));
INSERT INTO heap VALUES (1, 'one'), (1, 'one'), (2, NULL);
DELETE FROM heap WHERE a = 1 LIMIT 1;
UPDATE heap SET b = 'two' WHERE a = 2;
SET SESSION binlog_row_image = 'MINIMAL';
UPDATE pairs SET note = 'minimal' WHERE a = 11;
UPDATE pairs SET a = 12 WHERE a = 11;
INSERT INTO pairs VALUES (20, 'm', 'whole', 'row');
INSERT INTO pairs VALUES (21, 'm', 'whole', 'row');
DELETE FROM pairs WHERE a = 21;
SET SESSION binlog_row_image = 'NOBLOB';
UPDATE pairs SET note = 'noblob' WHERE a = 20;
UPDATE pairs SET a = 22 WHERE a = 20;
SET SESSION binlog_row_image = 'FULL';
BEGIN;
INSERT INTO heap VALUES (5, 'kept');
SAVEPOINT one;
INSERT INTO heap VALUES (6, 'gone');
ROLLBACK TO one;
COMMIT;
XA START 'one';
INSERT INTO heap VALUES (7, 'xa');
XA END 'one';
XA COMMIT 'one' ONE PHASE;
CREATE TABLE emptied (id INT PRIMARY KEY);
INSERT INTO emptied VALUES (1), (2);
TRUNCATE TABLE emptied;
INSERT INTO emptied VALUES (3);
