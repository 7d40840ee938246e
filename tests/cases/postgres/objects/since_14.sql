-- What came with Postgres 14.
CREATE TYPE shop.stretch AS RANGE (SUBTYPE = integer, MULTIRANGE_TYPE_NAME = shop.stretches);
CREATE TABLE shop.compressed (id integer PRIMARY KEY, v text COMPRESSION pglz, s shop.stretches);
CREATE STATISTICS shop.by_expression ON (lower(v)), (id % 10) FROM shop.compressed;
CREATE FUNCTION shop.atomic(n integer) RETURNS bigint LANGUAGE sql
BEGIN ATOMIC
    SELECT count(*) FROM shop.compressed WHERE id > n;
    SELECT CASE WHEN n > 0 THEN 1 ELSE 2 END;
END;
CREATE PROCEDURE shop.gives(OUT n integer) LANGUAGE plpgsql AS 'BEGIN n := 1; END';
CREATE FUNCTION shop.element(VARIADIC anycompatiblearray) RETURNS anycompatible
    LANGUAGE sql AS 'SELECT $1[1]';
-- Valid only by a primary key, and used by a table.
CREATE FUNCTION shop.by_key_only() RETURNS bigint LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT count(*) FROM (SELECT c.id, c.v FROM shop.compressed c GROUP BY c.id) AS g;
END;
CREATE TABLE shop.uses_atomic (id integer PRIMARY KEY, n bigint DEFAULT shop.atomic(1));
INSERT INTO shop.compressed SELECT n, repeat('x', 5000), '{[1,5),[7,9)}' FROM generate_series(1, 20) n;
INSERT INTO shop.uses_atomic SELECT n FROM generate_series(1, 20) AS n;
