-- A column of every type that both flavours have, with values at its edges: the lowest, the highest,
-- those that are nothing without being NULL, and NULL.

SET sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO';
SET time_zone = '+00:00';

CREATE TABLE numbers (
    id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    t TINYINT, tu TINYINT UNSIGNED, s SMALLINT, su SMALLINT UNSIGNED,
    m MEDIUMINT, mu MEDIUMINT UNSIGNED, i INT, iu INT UNSIGNED ZEROFILL,
    b BIGINT, bu BIGINT UNSIGNED,
    d DECIMAL(65, 30), dz DECIMAL(10, 0), du DECIMAL(9, 9) UNSIGNED,
    f FLOAT, fs FLOAT(7, 2), g DOUBLE, gs DOUBLE(10, 3),
    bit1 BIT(1), bit33 BIT(33), bit64 BIT(64), truth BOOLEAN
);
INSERT INTO numbers VALUES
    (0, -128, 0, -32768, 0, -8388608, 0, -2147483648, 0, -9223372036854775808, 0,
     -99999999999999999999999999999999999.999999999999999999999999999999, -9999999999, 0,
     -3.402823466e38, -99999.99, -1.7976931348623157e308, -9999999.999, 0, 0, 0, FALSE),
    (1, 127, 255, 32767, 65535, 8388607, 16777215, 2147483647, 4294967295, 9223372036854775807,
     18446744073709551615, 99999999999999999999999999999999999.999999999999999999999999999999,
     9999999999, 0.999999999, 3.402823466e38, 99999.99, 1.7976931348623157e308, 9999999.999, 1,
     (1 << 33) - 1, 18446744073709551615, TRUE),
    (2, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, 0.000000000000000000000000000001, 0, 0.000000001,
     1.2345678, 0.01, 5e-324, 0.001, 1, 1, 1, 7),
    (3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1e-45, 0, 0.1, 0, 0, 0, 0, 0);
INSERT INTO numbers (id, g) VALUES (4, 0), (18446744073709551614, NULL);

CREATE TABLE moments (
    id INT PRIMARY KEY,
    d DATE, t TIME, t1 TIME(1), t2 TIME(2), t3 TIME(3), t4 TIME(4), t5 TIME(5), t6 TIME(6),
    dt DATETIME, dt3 DATETIME(3), dt6 DATETIME(6),
    ts TIMESTAMP NULL, ts6 TIMESTAMP(6) NULL, y YEAR
);
INSERT INTO moments VALUES
    (1, '1000-01-01', '-838:59:59', '-838:59:58.9', '-838:59:58.99', '-838:59:58.999',
     '-838:59:58.9999', '-838:59:58.99999', '-838:59:58.999999', '1000-01-01 00:00:00',
     '1000-01-01 00:00:00.001', '1000-01-01 00:00:00.000001', '1970-01-01 00:00:01',
     '1970-01-01 00:00:01.000001', 1901),
    (2, '9999-12-31', '838:59:59', '838:59:59', '838:59:59', '838:59:59', '838:59:59',
     '838:59:59', '838:59:59', '9999-12-31 23:59:59', '9999-12-31 23:59:59.999',
     '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07', '2038-01-19 03:14:07.999999', 2155),
    (3, '0000-00-00', '00:00:00', '-00:00:00.1', '-00:00:00.01', '-00:00:00.001',
     '-00:00:00.0001', '-00:00:00.00001', '-00:00:00.000001', '0000-00-00 00:00:00',
     '2026-00-00 00:00:00', '2026-02-31 12:00:00.5', '0000-00-00 00:00:00',
     '0000-00-00 00:00:00', 0000),
    (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE texts (
    id INT PRIMARY KEY,
    c CHAR(5), v VARCHAR(20), latin VARCHAR(20) CHARACTER SET latin1,
    chinese VARCHAR(20) CHARACTER SET gbk, wide TEXT CHARACTER SET utf16,
    tiny TINYTEXT, plain TEXT, medium MEDIUMTEXT, large LONGTEXT,
    fixed BINARY(8), varied VARBINARY(8),
    tb TINYBLOB, b BLOB, mb MEDIUMBLOB, lb LONGBLOB,
    e ENUM('', 'a', 'ä'), s SET('a', 'b', 'c')
) CHARACTER SET utf8mb4;
INSERT INTO texts VALUES
    (1, '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', 1, ''),
    (2, 'ab  ', 'x  ', 'größe', '中文', '🦢', '\0', '\\N', 'a\tb\nc\r', REPEAT('ß🦢', 30000),
     X'0100', X'0100', X'00', X'5C00', X'FF', REPEAT(X'00FF0A5C', 30000), 'ä', 'a,c'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL);
INSERT INTO texts (id, e) VALUES (4, 0);

CREATE TABLE members (id INT PRIMARY KEY, s SET(
    '01', '02', '03', '04', '05', '06', '07', '08', '09', '10', '11', '12', '13', '14', '15', '16',
    '17', '18', '19', '20', '21', '22', '23', '24', '25', '26', '27', '28', '29', '30', '31', '32',
    '33', '34', '35', '36', '37', '38', '39', '40', '41', '42', '43', '44', '45', '46', '47', '48',
    '49', '50', '51', '52', '53', '54', '55', '56', '57', '58', '59', '60', '61', '62', '63', '64'));
INSERT INTO members VALUES (1, 18446744073709551615), (2, '64'), (3, '01,64'), (4, '');

CREATE TABLE places (
    id INT PRIMARY KEY, any_shape GEOMETRY, spot POINT, line LINESTRING, area POLYGON,
    spots MULTIPOINT, lines_ MULTILINESTRING, areas MULTIPOLYGON, mixture GEOMETRYCOLLECTION
);
INSERT INTO places VALUES
    (1, ST_GeomFromText('POINT(1 2)', 4326), ST_GeomFromText('POINT(-1 0.1)'),
     ST_GeomFromText('LINESTRING(0 0, 1 1)'), ST_GeomFromText('POLYGON((0 0, 1 0, 1 1, 0 0))'),
     ST_GeomFromText('MULTIPOINT(0 0, 1 1)'), ST_GeomFromText('MULTILINESTRING((0 0, 1 1))'),
     ST_GeomFromText('MULTIPOLYGON(((0 0, 1 0, 1 1, 0 0)))'),
     ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))'));
INSERT INTO places (id) VALUES (2);

CREATE TABLE documents (id INT PRIMARY KEY, j JSON);
INSERT INTO documents VALUES
    (1, '{"b": 1, "a": [1.0, 1, 1e15, true, null, "ß🦢\\u0000"]}'), (2, 'null'), (3, '{}'),
    (4, '1'), (5, '-0.0'), (8, '18446744073709551615'), (6, '"\\""'), (7, NULL);

CREATE TABLE derived (
    id INT PRIMARY KEY, a INT, later INT GENERATED ALWAYS AS (a + 1) VIRTUAL,
    kept INT GENERATED ALWAYS AS (a * 2) STORED
);
INSERT INTO derived (id, a) VALUES (1, 1), (2, NULL);

CREATE TABLE keyless (a INT, b VARCHAR(10));
INSERT INTO keyless VALUES (1, 'x'), (1, 'x'), (NULL, NULL), (NULL, NULL);

CREATE TABLE `odd ``name`` "ß" ''中''` (`select` INT PRIMARY KEY, ` a``b'c"d\e` INT, `ä` INT);
INSERT INTO `odd ``name`` "ß" ''中''` VALUES (1, 2, NULL);
CREATE TABLE nothing (id INT PRIMARY KEY);
