-- Keys and columns of every kind of type.
CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext;
CREATE EXTENSION ltree SCHEMA ext; CREATE EXTENSION cube SCHEMA ext;
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN positives AS positive[];
CREATE DOMAIN code AS ext.citext CHECK (VALUE <> '');
CREATE DOMAIN short AS varchar(5);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b text, m mood[]);
CREATE DOMAIN good_pair AS pair CHECK ((VALUE).a > 0);
CREATE TYPE span AS RANGE (subtype = float8);
CREATE TABLE k_citext (k ext.citext PRIMARY KEY, v int);
CREATE TABLE k_code (k code PRIMARY KEY, v int);
CREATE TABLE k_hstore (k ext.hstore PRIMARY KEY, v int);
CREATE TABLE k_ltree (k ext.ltree PRIMARY KEY, v int);
CREATE TABLE k_mood (k mood, l mood[], PRIMARY KEY (k, l), v int);
CREATE TABLE k_pair (k pair PRIMARY KEY, v int);
CREATE TABLE k_char (k char(5) PRIMARY KEY, c "char", n name, v int);
CREATE TABLE k_numeric (k numeric PRIMARY KEY, v int);
CREATE TABLE k_float (k float8 PRIMARY KEY, v int);
CREATE TABLE k_time (k timestamptz PRIMARY KEY, v int);
CREATE TABLE k_bytea (k bytea PRIMARY KEY, v int);
CREATE TABLE k_range (k int4range PRIMARY KEY, v int);
CREATE TABLE k_inet (k inet PRIMARY KEY, v int);
CREATE TABLE k_bit (k bit varying PRIMARY KEY, v int);
CREATE TABLE k_uuid (k uuid PRIMARY KEY, v int);
CREATE TABLE k_jsonb (k jsonb PRIMARY KEY, v int);
CREATE TABLE k_domain (k positive, s short, PRIMARY KEY (k, s), v int);
CREATE TABLE k_interval (k interval PRIMARY KEY, v int);
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE k_nocase (k text COLLATE nocase PRIMARY KEY, v int);
CREATE TABLE many (id int PRIMARY KEY, ps positives, gp good_pair, prs pair[], sp span,
    mr int4multirange, spm span_multirange, ts tsvector, tq tsquery, x xml, m money,
    p path, poly polygon, bx box, ci circle, ln line, ls lseg, mac macaddr8, cb ext.cube,
    hs ext.hstore, cts ext.citext[], d date, ti time, tz timetz, t timestamp, iv interval,
    f4 real, f8 float8, nu numeric(10, 3), bl boolean, bt bit(3), jp jsonpath, o oid,
    rc regclass, lsn pg_lsn, xid xid8, dts date[], tx text[][], b bytea, n numeric, j json);
INSERT INTO k_citext VALUES ('Abc', 0), ('dEf', 0), ('ghi', 0);
INSERT INTO k_code VALUES ('Abc', 0), ('dEf', 0);
INSERT INTO k_hstore VALUES ('a=>1', 0), ('b=>NULL,c=>"x y"', 0);
INSERT INTO k_ltree VALUES ('a.b', 0), ('a.b.c', 0);
INSERT INTO k_mood VALUES ('sad', '{ok,happy}', 0), ('ok', '{}', 0);
INSERT INTO k_pair VALUES ('(1,"a,""b","{sad,ok}")', 0), ('(2,,)', 0);
INSERT INTO k_char VALUES ('a', 'x', 'n', 0), ('b  ', E'\\', 'm', 0);
INSERT INTO k_numeric VALUES (1.0, 0), (2.50, 0), ('NaN', 0), ('Infinity', 0);
INSERT INTO k_float VALUES (0.1, 0), ('-0', 0), ('NaN', 0), ('-Infinity', 0), (1e308, 0);
INSERT INTO k_time VALUES ('infinity', 0), ('-infinity', 0), ('2026-01-01 12:00:00.123456+02', 0),
    ('0044-03-15 00:00:00+00 BC', 0);
INSERT INTO k_bytea VALUES ('\x00ff', 0), ('', 0), ('\x5c', 0);
INSERT INTO k_range VALUES ('[1,5)', 0), ('empty', 0), ('(,)', 0);
INSERT INTO k_inet VALUES ('10.0.0.1/8', 0), ('::1', 0);
INSERT INTO k_bit VALUES ('101', 0), ('', 0);
INSERT INTO k_uuid SELECT gen_random_uuid(), 0 FROM generate_series(1, 3);
INSERT INTO k_jsonb VALUES ('{"a": 1.0}', 0), ('null', 0);
INSERT INTO k_domain VALUES (1, 'a', 0), (2, 'b', 0);
INSERT INTO k_interval VALUES ('1 mon', 0), ('1 day 1 hour', 0), ('-1 year 2 days', 0);
INSERT INTO k_nocase VALUES ('Abc', 0), ('dEf', 0);
INSERT INTO many VALUES (1, '{1,2}', '(1,x,{ok})', ARRAY[ROW(1,'a"b\',NULL)::pair, NULL], '[1.5,2.5)',
    '{[1,2),[5,6)}', '{[1.5,2.5)}', 'a:1 b:2A', 'a & !b', '<a b="c">d</a>', 12.34,
    '[(0,0),(1,1)]', '((0,0),(1,1),(1,0))', '((0,0),(1,1))', '<(0,0),1>', '{1,2,3}', '[(0,0),(1,1)]',
    '08:00:2b:01:02:03:04:05', '(1,2),(3,4)', 'k=>"v\""', '{A,b}', 'infinity', '24:00',
    '12:00+02', '-infinity', '1 year -2 days 00:00:00.000001', 'NaN', '-Infinity', 1234567.890, true,
    '101', '$.a[*] ? (@ > 1)', 4294967295, 'pg_class', 'A/1', '12345678901', '{2026-01-01,NULL}',
    '{{a,NULL},{"","NULL"}}', '\xdeadbeef', 'NaN', '{"b" : 1,  "a":2}');
INSERT INTO many (id) SELECT generate_series(2, 5)
